//! Files of `torch.save`: a zip archive with a pickle that names the tensors, and a member for each
//! storage. Members are stored as they are; a compressed one is refused, so that no archive holds
//! more than its own length.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{self, Object, Pickle, Tensor, Value};
use super::{Directory, Entry, FileReader};
use crate::error::{Error, Kind, Result};

/// First bytes of an archive.
pub(super) const MAGIC: &[u8; 4] = b"PK\x03\x04";
/// First bytes of files before torch 1.6, which are no zip archives: a pickle with a magic number.
pub(super) const LEGACY: &[u8; 4] = &[0x80, 0x02, 0x8a, 0x0a];
/// The key under which training programs keep the tensors.
const STATE: &str = "state_dict";
/// Maximum length of the pickle in bytes: names and shapes of some hundred thousand tensors.
const MAX_PICKLE: usize = 256 << 20;

pub(super) fn directory(file: &mut FileReader<'_, impl Read + Seek>) -> Result<Directory> {
    let members = members(file)?;
    let Some((name, place)) = members
        .iter()
        .find(|(name, _)| name.rsplit('/').next() == Some("data.pkl"))
    else {
        return Err(file
            .broken("is a zip archive without `data.pkl`, which torch writes")
            .hint("expected a checkpoint that torch saved, a safetensors or a GGUF file"));
    };
    let folder = name.trim_end_matches("data.pkl");
    if let Some(order) = members.get(&format!("{folder}byteorder"))
        && bytes(file, order)? != b"little"
    {
        return Err(file.broken("was saved on a big-endian machine, which sdgen does not read"));
    }
    if place.len() > MAX_PICKLE {
        return Err(file.broken(format!("has a pickle of {} bytes", place.len())));
    }
    let pickle = pickle::read(&bytes(file, place)?).map_err(|what| {
        file.broken(format!("is refused: its pickle {what}"))
            .hint("a pickle can hold programs; sdgen reads tensors alone. Look for the model as safetensors")
    })?;
    let storages = Storages {
        members: &members,
        folder,
    };
    collect(&pickle, &storages).map_err(|what| file.broken(what))
}

/// Name → byte range of each member of the archive.
fn members(file: &mut FileReader<'_, impl Read + Seek>) -> Result<BTreeMap<String, Range<usize>>> {
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let FileReader { label, length, .. } = *file;
    let error = |what: String| Error::new(Kind::ModelFile, format!("`{label}` {what}"));
    let invalid = |e: &dyn Display| error(format!("is no valid zip archive: {e}"));
    let mut archive = ZipArchive::with_config(config, &mut *file.file).map_err(|e| {
        invalid(&format!("its directory is missing ({e})")).hint("the file may be cut short")
    })?;
    if archive.has_duplicate_names() {
        return Err(invalid(&"a name stands in it twice"));
    }
    let mut members = BTreeMap::new();
    for number in 0..archive.len() {
        let member = archive.by_index_raw(number).map_err(|e| invalid(&e))?;
        let name = String::from_utf8_lossy(member.name_raw()).into_owned();
        let size = member.size();
        if member.compression() != CompressionMethod::Stored || member.compressed_size() != size {
            let what = format!("holds `{name}` compressed, which torch never does");
            return Err(error(what)
                .hint("unpack it and save the model with torch again, or as safetensors"));
        }
        let start = member.data_start();
        let end = start.and_then(|start| start.checked_add(size));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= length as u64)) else {
            return Err(invalid(&format!("`{name}` lies outside")));
        };
        members.insert(name, start as usize..end as usize);
    }
    Ok(members)
}

fn bytes(file: &mut FileReader<'_, impl Read + Seek>, place: &Range<usize>) -> Result<Vec<u8>> {
    file.file
        .seek(SeekFrom::Start(place.start as u64))
        .map_err(|_| file.short())?;
    file.take(place.len())
}

/// The tensors of a pickle by the keys that lead to them; below `state_dict` where there is one.
fn collect(pickle: &Pickle, storages: &Storages<'_>) -> Result<Directory, String> {
    let (root, mut directory) = opened(pickle);
    let mut seen = HashSet::new();
    let mut ahead = vec![(String::new(), root)];
    while let Some((path, value)) = ahead.pop() {
        let Value::Object(number) = value else {
            continue;
        };
        match pickle.heap.get(*number) {
            Some(Object::Tensor(tensor)) => {
                let entry = storages
                    .entry(tensor)
                    .map_err(|what| format!("has a tensor `{path}` that {what}"))?;
                if directory.tensors.insert(path.clone(), entry).is_some() {
                    return Err(format!("has tensor `{path}` twice"));
                }
            }
            // A container that is met again, or that is in itself, brings nothing new.
            Some(Object::Table { rows, .. }) if seen.insert(*number) => {
                ahead.extend(
                    rows.iter()
                        .filter_map(|(key, value)| Some((join(&path, &name(key)?), value))),
                );
            }
            Some(Object::Sequence(items)) if seen.insert(*number) => {
                ahead.extend(
                    items
                        .iter()
                        .enumerate()
                        .map(|(i, value)| (join(&path, &i.to_string()), value)),
                );
            }
            Some(Object::Table { .. } | Object::Sequence(_) | Object::StoredDtype(..)) | None => {}
        }
        if path.len() > MAX_NAME {
            return Err("has names that are nested too deep".to_owned());
        }
    }
    Ok(directory)
}

/// Returns the table of tensors, inside `state_dict` however often that is nested, and the other
/// data next to it; numbers and texts become metadata.
fn opened(pickle: &Pickle) -> (&Value, Directory) {
    let mut directory = Directory {
        format: "pickle",
        tensors: BTreeMap::new(),
        metadata: BTreeMap::new(),
        other_data: Vec::new(),
    };
    let mut root = &pickle.root;
    let mut seen = HashSet::new();
    while let Value::Object(number) = root
        && seen.insert(*number)
        && let Some(Object::Table { rows, .. }) = pickle.heap.get(*number)
    {
        let state = rows
            .iter()
            .find(|(key, _)| matches!(key, Value::Text(text) if &**text == STATE));
        for (key, value) in rows {
            let Value::Text(key) = key else { continue };
            let about = match value {
                Value::Whole(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                Value::Text(text) => text.to_string(),
                Value::Object(number) if state.is_some() && &**key != STATE => {
                    directory
                        .other_data
                        .extend(pickle.holds(*number).then(|| key.to_string()));
                    continue;
                }
                Value::None | Value::Object(_) | Value::Global(_) | Value::Mark => continue,
            };
            directory.metadata.insert(key.to_string(), about);
        }
        let Some((_, state)) = state else { break };
        root = state;
    }
    (root, directory)
}

/// Longest name of a tensor.
const MAX_NAME: usize = 1024;

/// A key as a part of a tensor's name; the key of an object's fields adds nothing.
fn name(key: &Value) -> Option<String> {
    match key {
        Value::None => Some(String::new()),
        Value::Whole(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.to_string()),
        Value::Real(_) | Value::Object(_) | Value::Global(_) | Value::Mark => None,
    }
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", _) => name.to_owned(),
        (_, "") => path.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

/// Members of the archive that hold the storages.
struct Storages<'a> {
    members: &'a BTreeMap<String, Range<usize>>,
    folder: &'a str,
}

impl Storages<'_> {
    /// Returns the location of a tensor, which must lie within its storage and be no larger.
    fn entry(&self, tensor: &Tensor) -> Result<Entry, String> {
        let Tensor {
            storage,
            key,
            offset,
            shape,
            strides,
        } = tensor;
        let place = self
            .members
            .get(&format!("{}data/{key}", self.folder))
            .ok_or("is not in the archive")?;
        let size = storage.bytes(&[1]).unwrap_or(1);
        let room = place.len() / size;
        let absurd = || format!("has an absurd shape: {shape:?}");
        let count = shape
            .iter()
            .try_fold(1usize, |count, n| count.checked_mul(*n))
            .ok_or_else(absurd)?;
        let mut steps = shape
            .iter()
            .zip(strides)
            .map(|(n, stride)| n.saturating_sub(1).checked_mul(*stride));
        let reach = steps
            .try_fold(0usize, |reach, step| reach.checked_add(step?))
            .ok_or_else(absurd)?;
        let length = if count == 0 {
            0
        } else {
            reach.saturating_add(1)
        };
        if count > room || offset.saturating_add(length) > room {
            return Err(format!(
                "of shape {shape:?} lies outside its storage of {room} numbers"
            ));
        }
        let start = place.start + offset * size;
        let bytes = start..start + length * size;
        let plain = Entry::plain(*storage, shape.clone(), start)?;
        let rows = row_by_row(shape, strides);
        Ok(if rows {
            plain
        } else {
            Entry {
                bytes,
                strides: Some(strides.clone()),
                ..plain
            }
        })
    }
}

/// Returns true if the strides are those of a contiguous (row-major) tensor; axes of length one may
/// have any stride.
fn row_by_row(shape: &[usize], strides: &[usize]) -> bool {
    let mut next = 1;
    shape.iter().zip(strides).rev().all(|(&n, &stride)| {
        let fits = n <= 1 || stride == next;
        next *= n.max(1);
        fits
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::tensor_file::{ByteSource, StoredDtype};

    /// An archive of stored members.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in members {
            writer.start_file(*name, options).unwrap();
            writer.write_all(data).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// `{"global_step": 5, "state_dict": {"a": tensor}}` with the tensor's offset, shape and
    /// strides as opcodes.
    fn pickled(tensor: &str) -> Vec<u8> {
        let text = |text: &str| format!("X{}\0\0\0{text}", char::from(text.len() as u8));
        let id = ["storage", "0", "cpu"].map(text);
        let storage = format!("({}ctorch\nFloatStorage\n{}{}K\x06tQ", id[0], id[1], id[2]);
        let rebuilt = format!("ctorch._utils\n_rebuild_tensor_v2\n({storage}{tensor}tR");
        let state = format!("}}{}{rebuilt}s", text("a"));
        let all = format!(
            "}}({}K\x05{}{state}u.",
            text("global_step"),
            text("state_dict")
        );
        [b"\x80\x02".as_slice(), all.as_bytes()].concat()
    }

    fn read(bytes: Vec<u8>) -> Result<Directory> {
        ByteSource::Embedded(bytes.leak()).directory("x.ckpt")
    }

    fn saved(tensor: &str) -> Result<Directory> {
        read(archive(&[
            ("x/data.pkl", &pickled(tensor)),
            ("x/data/0", &[0; 24]),
        ]))
    }

    #[test]
    fn tensors_are_found_by_the_keys_that_lead_to_them() {
        let two = |a: u8, b: u8| format!("(K{}K{}t", char::from(a), char::from(b));
        let directory = saved(&format!("K\0{}{}", two(2, 3), two(3, 1))).unwrap();
        assert_eq!(directory.metadata["global_step"], "5");
        let a = &directory.tensors["a"];
        assert_eq!(
            (a.storage, &a.shape[..], a.bytes.len(), &a.strides),
            (StoredDtype::F32, &[2, 3][..], 24, &None)
        );
        let turned = saved(&format!("K\0{}{}", two(3, 2), two(1, 3))).unwrap();
        assert_eq!(turned.tensors["a"].strides, Some(vec![1, 3]));
    }

    #[test]
    fn tensors_that_are_larger_than_their_storage_are_refused() {
        let two = |a: u8, b: u8| format!("(K{}K{}t", char::from(a), char::from(b));
        for tensor in [
            format!("K\x01{}{}", two(2, 3), two(3, 1)),
            format!("K\0{}{}", two(100, 100), two(0, 0)),
            format!("K\0{}{}", two(2, 3), two(9, 1)),
        ] {
            let error = saved(&tensor).unwrap_err();
            assert!(
                error.to_string().contains("lies outside its storage"),
                "{error}"
            );
        }
    }

    #[test]
    fn hostile_archives_are_refused_for_what_is_wrong_with_them() {
        let refused = |bytes: Vec<u8>, text: &str| {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::ModelFile);
            assert!(
                error.to_string().contains(text),
                "expected {text:?} in {error}"
            );
        };
        refused(archive(&[("x/other", b"")]), "without `data.pkl`");
        refused(
            archive(&[("x/data.pkl", b"cos\nsystem\n(X\x02\0\0\0idtR.")]),
            "`os.system`",
        );
        // The crate writes no name twice.
        let mut twice = archive(&[("x/data.pkl", b""), ("x/data.pk?", b"")]);
        twice
            .iter_mut()
            .filter(|byte| **byte == b'?')
            .for_each(|byte| *byte = b'l');
        refused(twice, "twice");
        refused(
            archive(&[("x/data.pkl", b"}."), ("x/byteorder", b"big")]),
            "big-endian",
        );
        let mut bomb = archive(&[("x/data.pkl", b"}.")]);
        let row = bomb
            .windows(4)
            .position(|bytes| bytes == b"PK\x01\x02")
            .unwrap();
        bomb[row + 10] = 8;
        refused(bomb, "holds `x/data.pkl` compressed");
        let whole = archive(&[("x/data.pkl", &pickled("")), ("x/data/0", &[0; 24])]);
        refused(whole[..whole.len() - 30].to_vec(), "directory is missing");
        refused([LEGACY.as_slice(), &[0; 40]].concat(), "before 1.6");
    }
}
