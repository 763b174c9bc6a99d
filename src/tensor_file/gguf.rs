//! Header of a GGUF file (versions 2 and 3): keys with values, and the tensors' names, sizes, types
//! and offsets.
//!
//! Not candle's reader: it allocates the lengths that the file claims before it reads.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::{Directory, Entry, FileReader, StoredDtype};
use crate::error::Result;

/// First bytes of the file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Metadata key of the alignment of tensors in bytes, and its default.
const ALIGNMENT: (&str, usize) = ("general.alignment", 32);
/// Maximum number of axes in ggml.
const MAX_AXES: u32 = 4;
/// Key prefix under which some tools store the original shape of a tensor that they have reshaped.
const FOLDED: &str = "comfy.gguf.orig_shape.";

/// A metadata value, as far as it is used.
enum Value {
    Text(String),
    Whole(u64),
    /// At most four integers; other lists are skipped.
    List(Vec<usize>),
    Other,
}

/// Bytes of one value by type number; 0 for types without a fixed size.
const SIZES: [usize; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
pub(super) const TEXT: u32 = 8;
const LIST: u32 = 9;
const FLOATS: [u32; 2] = [6, 12];

pub(super) fn directory(file: &mut FileReader<'_, impl Read + Seek>) -> Result<Directory> {
    let version = word(file)?;
    if !(2..=3).contains(&version) {
        let what = format!("is a GGUF file of version {version}, expected 2 or 3");
        return Err(file
            .broken(what)
            .hint("convert the model again with a newer program"));
    }
    let (tensors, keys) = (long(file)?, long(file)?);
    let mut metadata = BTreeMap::new();
    let mut folded = BTreeMap::new();
    let mut alignment = ALIGNMENT.1;
    for _ in 0..keys {
        let key = text(file)?;
        let kind = word(file)?;
        match value(file, &key, kind)? {
            Value::Whole(number) if key == ALIGNMENT.0 => alignment = number as usize,
            Value::Whole(number) => {
                metadata.insert(key, number.to_string());
            }
            Value::Text(text) => {
                metadata.insert(key, text);
            }
            Value::List(shape) => {
                folded.extend(
                    key.strip_prefix(FOLDED)
                        .map(|name| (name.to_owned(), shape)),
                );
            }
            Value::Other => {}
        }
    }
    if !alignment.is_power_of_two() || !(8..=1 << 20).contains(&alignment) {
        return Err(file.broken(format!(
            "puts its tensors on multiples of {alignment} bytes"
        )));
    }
    let infos = (0..tensors)
        .map(|_| Info::read(file))
        .collect::<Result<Vec<_>>>()?;
    let position = file.file.stream_position().map_err(|_| file.short())?;
    let start = usize::try_from(position)
        .unwrap_or(usize::MAX)
        .next_multiple_of(alignment);
    let mut directory = Directory {
        format: "gguf",
        tensors: BTreeMap::new(),
        metadata,
        other_data: Vec::new(),
    };
    for info in infos {
        let name = info.name.clone();
        if !info.offset.is_multiple_of(alignment as u64) {
            return Err(file.broken(format!(
                "is no valid GGUF file: tensor `{name}` lies at {}",
                info.offset
            )));
        }
        let entry = info.entry(start, folded.get(&name));
        let entry = entry.map_err(|what| {
            file.broken(format!("is no valid GGUF file: tensor `{name}` {what}"))
        })?;
        if directory.tensors.insert(name.clone(), entry).is_some() {
            return Err(file.broken(format!(
                "is no valid GGUF file: tensor `{name}` stands in it twice"
            )));
        }
    }
    file.check(&directory.tensors)?;
    Ok(directory)
}

/// Header entry of a tensor.
struct Info {
    name: String,
    /// Outermost axis first, which is the reverse of the file's order.
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl Info {
    fn read(file: &mut FileReader<'_, impl Read + Seek>) -> Result<Self> {
        let name = text(file)?;
        let axes = word(file)?;
        if axes > MAX_AXES {
            return Err(file.broken(format!(
                "is no valid GGUF file: tensor `{name}` has {axes} axes"
            )));
        }
        let mut shape = (0..axes).map(|_| long(file)).collect::<Result<Vec<_>>>()?;
        shape.reverse();
        Ok(Self {
            name,
            shape,
            kind: word(file)?,
            offset: long(file)?,
        })
    }

    fn entry(self, start: usize, folded: Option<&Vec<usize>>) -> Result<Entry, String> {
        let storage = StoredDtype::of_ggml(self.kind)
            .ok_or_else(|| format!("has type {}, which sdgen does not know", self.kind))?;
        let whole = |n: u64| {
            usize::try_from(n).map_err(|_| format!("has an absurd shape: {:?}", self.shape))
        };
        let shape = self
            .shape
            .iter()
            .map(|n| whole(*n))
            .collect::<Result<Vec<_>, _>>()?;
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let entry = Entry::plain(storage, shape, start.saturating_add(offset))?;
        let count = |shape: &[usize]| {
            shape
                .iter()
                .try_fold(1usize, |count, n| count.checked_mul(*n))
        };
        Ok(match folded {
            Some(shape) if count(shape) == Some(entry.values()) => Entry {
                shape: shape.clone(),
                ..entry
            },
            _ => entry,
        })
    }
}

fn word(file: &mut FileReader<'_, impl Read + Seek>) -> Result<u32> {
    file.array().map(u32::from_le_bytes)
}

fn long(file: &mut FileReader<'_, impl Read + Seek>) -> Result<u64> {
    file.array().map(u64::from_le_bytes)
}

fn text(file: &mut FileReader<'_, impl Read + Seek>) -> Result<String> {
    let length = long(file)?;
    let bytes = file.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    String::from_utf8(bytes).map_err(|_| file.broken("is no valid GGUF file: a name is not UTF-8"))
}

/// Size in bytes of a value of a type.
fn size(file: &FileReader<'_, impl Read + Seek>, key: &str, kind: u32) -> Result<usize> {
    SIZES
        .get(kind as usize)
        .copied()
        .filter(|size| *size > 0)
        .ok_or_else(|| {
            file.broken(format!(
                "is no valid GGUF file: key `{key}` has a value of type {kind}"
            ))
        })
}

fn value(file: &mut FileReader<'_, impl Read + Seek>, key: &str, kind: u32) -> Result<Value> {
    if kind == TEXT {
        return text(file).map(Value::Text);
    }
    if kind == LIST {
        return list(file, key);
    }
    let number = number(file, size(file, key, kind)?)?;
    Ok(if FLOATS.contains(&kind) {
        Value::Other
    } else {
        Value::Whole(number)
    })
}

fn number(file: &mut FileReader<'_, impl Read + Seek>, size: usize) -> Result<u64> {
    let bytes = file.take(size)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn list(file: &mut FileReader<'_, impl Read + Seek>, key: &str) -> Result<Value> {
    let (kind, count) = (word(file)?, long(file)?);
    if kind == TEXT {
        for _ in 0..count {
            text(file)?;
        }
        return Ok(Value::Other);
    }
    let size = size(file, key, kind)?;
    if count <= u64::from(MAX_AXES) && !FLOATS.contains(&kind) {
        let numbers = (0..count).map(|_| number(file, size).map(|number| number as usize));
        return numbers.collect::<Result<_>>().map(Value::List);
    }
    let bytes = count
        .checked_mul(size as u64)
        .filter(|bytes| *bytes <= file.length as u64);
    let bytes = bytes
        .and_then(|bytes| i64::try_from(bytes).ok())
        .ok_or_else(|| file.short())?;
    file.file
        .seek(SeekFrom::Current(bytes))
        .map_err(|_| file.short())?;
    Ok(Value::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::tensor_file::ByteSource;

    fn named(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    /// A header with one key of each sort and tensors of (name, sizes in the file's order, type,
    /// offset).
    fn file(counts: (u64, u64), tensors: &[(&str, &[u64], u32, u64)], data: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(counts.0.to_le_bytes());
        bytes.extend(counts.1.to_le_bytes());
        named(&mut bytes, "general.architecture");
        bytes.extend(TEXT.to_le_bytes());
        named(&mut bytes, "sd1");
        named(&mut bytes, "comfy.gguf.orig_shape.folded");
        bytes.extend([LIST, 5, 2, 0, 8, 4].map(u32::to_le_bytes).concat());
        named(&mut bytes, "words");
        bytes.extend([LIST, TEXT, 1, 0].map(u32::to_le_bytes).concat());
        named(&mut bytes, "word");
        for (name, sizes, kind, offset) in tensors {
            named(&mut bytes, name);
            bytes.extend((sizes.len() as u32).to_le_bytes());
            bytes.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<Directory> {
        ByteSource::Embedded(bytes.leak()).directory("x.gguf")
    }

    #[test]
    fn sizes_are_reversed_and_blocks_counted() {
        let tensors: &[(&str, &[u64], u32, u64)] =
            &[("a", &[64, 3], 8, 0), ("folded", &[32], 0, 224)];
        let directory = read(file((2, 3), tensors, 224 + 128)).unwrap();
        assert_eq!(directory.metadata["general.architecture"], "sd1");
        let a = &directory.tensors["a"];
        assert_eq!(
            (a.storage, a.shape.as_slice(), a.bytes.len()),
            (StoredDtype::Q8_0, &[3, 64][..], 3 * 2 * 34)
        );
        assert_eq!(directory.tensors["folded"].shape, [8, 4]);
    }

    #[test]
    fn damaged_files_are_refused_for_what_is_wrong_with_them() {
        let refused = |bytes: Vec<u8>, text: &str| {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::ModelFile);
            assert!(
                error.to_string().contains(text),
                "expected {text:?} in {error}"
            );
        };
        let one: &[(&str, &[u64], u32, u64)] = &[("a", &[64], 0, 0)];
        refused(file((u64::MAX, 3), one, 256), "x.gguf");
        refused(file((2, 3), one, 256), "x.gguf");
        refused(file((1, u64::MAX), one, 256), "x.gguf");
        refused(file((1, 3), one, 255), "bytes long, expected");
        refused(
            file((1, 3), &[("a", &[1 << 40, 1 << 40], 0, 0)], 256),
            "absurd shape",
        );
        refused(file((1, 3), &[("a", &[33], 8, 0)], 256), "absurd shape");
        refused(file((1, 3), &[("a", &[4], 77, 0)], 256), "has type 77");
        refused(
            file((1, 3), &[("a", &[1, 1, 1, 1, 1], 0, 0)], 256),
            "5 axes",
        );
        refused(
            file((2, 3), &[("a", &[4], 0, 0), ("a", &[4], 0, 32)], 256),
            "`a` stands in it twice",
        );
        refused(
            file((2, 3), &[("a", &[16], 0, 0), ("b", &[4], 0, 32)], 256),
            "overlap: `a` and `b`",
        );
        refused(file((1, 3), &[("a", &[4], 0, 8)], 256), "`a` lies at 8");
        refused(file((1, 3), one, 256)[..40].to_vec(), "cut short");
    }
}
