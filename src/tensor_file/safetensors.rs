//! Header of a safetensors file: eight bytes of length, then JSON. The tensors follow and end with
//! the file.
//!
//! Not the safetensors crate's reader: it wants the whole file, takes the last of two tensors of one
//! name, and does not say which tensor is wrong or how long the file should be.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Directory, Entry, FileReader, StoredDtype};
use crate::error::Result;

/// Longest header (the specification's own limit).
const MAX_HEADER: u64 = 100_000_000;
/// The one key that is no tensor.
const METADATA: &str = "__metadata__";

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The header's JSON; a name that occurs twice is an error (safetensors 0.8.0 takes the last one).
#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut about = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        // Some writers leave `null` where they have nothing to say.
                        let before =
                            about.replace(map.next_value::<Option<_>>()?.unwrap_or_default());
                        if before.is_some() {
                            return Err(serde::de::Error::custom(format!(
                                "`{METADATA}` stands in it twice"
                            )));
                        }
                        continue;
                    }
                    let tensor = map.next_value()?;
                    if header.tensors.insert(name.clone(), tensor).is_some() {
                        return Err(serde::de::Error::custom(format!(
                            "tensor `{name}` stands in it twice"
                        )));
                    }
                }
                header.metadata = about.unwrap_or_default();
                Ok(header)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

pub(super) fn directory(file: &mut FileReader<'_, impl Read + Seek>) -> Result<Directory> {
    let hint = "the file may be cut short; download or copy it again";
    let invalid = |file: &FileReader<'_, _>, what: &dyn fmt::Display| {
        file.broken(format!("is no valid safetensors file: {what}"))
            .hint(hint)
    };
    let size = u64::from_le_bytes(file.array()?);
    let start = usize::try_from(size)
        .ok()
        .filter(|_| size <= MAX_HEADER)
        .and_then(|size| size.checked_add(8));
    let Some(start) = start.filter(|start| *start <= file.length) else {
        return Err(invalid(file, &format!("its header claims {size} bytes")));
    };
    let text = file.take(start - 8)?;
    let header: Header = serde_json::from_slice(&text).map_err(|e| invalid(file, &e))?;
    let tensors = header
        .tensors
        .into_iter()
        .map(|(name, tensor)| match entry(&tensor, start) {
            Ok(entry) => Ok((name, entry)),
            Err(what) => Err(file.broken(format!(
                "is no valid safetensors file: tensor `{name}` {what}"
            ))),
        });
    let tensors = tensors.collect::<Result<BTreeMap<_, _>>>()?;
    let end = file.check(&tensors)?.max(start);
    if end != file.length {
        return Err(file
            .broken(format!("is {} bytes long, expected {end}", file.length))
            .hint(hint));
    }
    Ok(Directory {
        format: "safetensors",
        tensors,
        metadata: header.metadata,
        other_data: Vec::new(),
    })
}

fn entry(tensor: &Tensor, start: usize) -> Result<Entry, String> {
    let storage = StoredDtype::of_safetensors(&tensor.dtype)
        .ok_or_else(|| format!("has type {}, which sdgen does not know", tensor.dtype))?;
    let (from, to) = tensor.data_offsets;
    let entry = Entry::plain(storage, tensor.shape.clone(), start.saturating_add(from))?;
    if to.checked_sub(from) != Some(entry.bytes.len()) {
        return Err(format!("of shape {:?} lies at {from}..{to}", tensor.shape));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::tensor_file::ByteSource;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<Directory> {
        ByteSource::Embedded(bytes.leak()).directory("x.safetensors")
    }

    const TWO: &str = r#"{"__metadata__": {"modelspec.title": "t"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F16", "shape": [], "data_offsets": [24, 26]}}"#;

    #[test]
    fn a_header_is_a_directory() {
        let directory = read(file(TWO, 26)).unwrap();
        assert_eq!(directory.metadata["modelspec.title"], "t");
        let start = 8 + TWO.len();
        let b = &directory.tensors["b"];
        assert_eq!(
            (b.storage, b.values(), b.bytes.clone()),
            (StoredDtype::F16, 1, start + 24..start + 26)
        );
    }

    /// Seen with safetensors 0.8.0 from Python.
    #[test]
    fn headers_are_read_as_the_reference_reads_them() {
        let one = r#""a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}"#;
        for (about, kept) in [("null", 0), ("{}", 0), (r#"{"x": "1", "x": "2"}"#, 1)] {
            let directory =
                read(file(&format!(r#"{{"__metadata__": {about}, {one}}}"#), 8)).unwrap();
            assert_eq!(
                (directory.metadata.len(), directory.tensors.len()),
                (kept, 1),
                "{about}"
            );
            assert!(read(file(&format!(r#"{{{one}, "__metadata__": {about}}}"#), 8)).is_ok());
        }
        let fields =
            r#"{"a": {"extra": [1], "data_offsets": [0, 8], "shape": [2], "dtype": "F32"}}"#;
        let list = r#"{"a": ["F32", [2], [0, 8]]}"#;
        let blanks = format!(
            "  {{{one}}} 
	  "
        );
        for header in [fields, list, &blanks] {
            assert_eq!(
                read(file(header, 8)).unwrap().tensors["a"].shape,
                [2],
                "{header}"
            );
        }
        assert!(
            read(file(r#"{"__metadata__": null}"#, 0))
                .unwrap()
                .tensors
                .is_empty()
        );
        for about in [r#"{"x": 1}"#, r#"{"x": null}"#, "[]", "\"x\""] {
            assert!(
                read(file(&format!(r#"{{"__metadata__": {about}, {one}}}"#), 8)).is_err(),
                "{about}"
            );
        }
        assert!(
            read(file(
                &format!(r#"{{"__metadata__": {{}}, "__metadata__": {{}}, {one}}}"#),
                8
            ))
            .is_err()
        );
    }

    /// Seen with safetensors 0.8.0 from Python.
    #[test]
    fn types_that_nothing_computes_with_do_no_harm() {
        for (dtype, shape, bytes) in [
            ("C64", "[2]", 16),
            ("F8_E8M0", "[4]", 4),
            ("F8_E4M3FNUZ", "[4]", 4),
            ("F8_E5M2FNUZ", "[4]", 4),
            ("F4", "[2, 3]", 3),
            ("F6_E2M3", "[2, 6]", 9),
            ("F6_E3M2", "[4]", 3),
            ("U16", "[4]", 8),
        ] {
            let header = format!(
                r#"{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [0, {bytes}]}}}}"#
            );
            let directory = read(file(&header, bytes)).unwrap();
            assert_eq!(directory.tensors["a"].storage.name(), dtype.to_lowercase());
        }
        let odd = r#"{"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}"#;
        assert!(read(file(odd, 2)).is_err());
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
        let one = |shape: &str, from: &str, to: &str| {
            format!(
                r#"{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [{from}, {to}]}}}}"#
            )
        };
        refused(vec![1, 2, 3], "cut short");
        refused(file(TWO, 25), "bytes long, expected");
        refused(file(TWO, 27), "bytes long, expected");
        refused(u64::MAX.to_le_bytes().to_vec(), "its header claims");
        refused(
            1000u64.to_le_bytes().repeat(4),
            "its header claims 1000 bytes",
        );
        refused(file("{", 0), "EOF");
        refused(file(&one("[2]", "8", "0"), 8), "lies at 8..0");
        refused(file(&one("[2]", "0", "12"), 12), "lies at 0..12");
        refused(
            file(&one("[4294967296, 4294967296, 16]", "0", "8"), 8),
            "absurd shape",
        );
        refused(file(&one("[1]", "18446744073709551615", "3"), 8), "absurd");
        let twice = TWO.replace("\"b\"", "\"a\"");
        refused(file(&twice, 26), "`a` stands in it twice");
        let over = TWO.replace("[24, 26]", "[20, 22]");
        refused(file(&over, 26), "overlap: `a` and `b`");
        refused(file(&TWO.replace("F16", "F12"), 26), "F12");
    }
}
