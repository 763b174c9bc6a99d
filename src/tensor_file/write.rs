//! Headers of tensor files to be written: safetensors and GGUF. The tensors follow in the given
//! order, aligned as their format requires.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{StoredDtype, gguf};

/// A tensor that will be written.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTensor {
    /// Name of the tensor.
    pub name: String,
    /// Data type of the tensor.
    pub storage: StoredDtype,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
}

/// Formats that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.safetensors`
    Safetensors,
    /// `.gguf`
    Gguf,
}

/// GGUF's default alignment in bytes.
const BOUNDARY: usize = 32;
/// The version of GGUF that is written.
const VERSION: u32 = 3;

impl PlannedTensor {
    /// Size of the tensor in bytes.
    pub fn bytes(&self) -> usize {
        self.storage.bytes(&self.shape).unwrap_or(0)
    }
}

impl Format {
    /// Number of zero bytes after a tensor of `bytes`.
    pub fn padding(self, bytes: usize) -> usize {
        match self {
            Self::Safetensors => 0,
            Self::Gguf => bytes.next_multiple_of(BOUNDARY) - bytes,
        }
    }

    /// Returns everything before the first tensor.
    pub fn header(self, tensors: &[PlannedTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
        match self {
            Self::Safetensors => safetensors(tensors, metadata),
            Self::Gguf => self.gguf(tensors, metadata),
        }
    }

    fn gguf(self, tensors: &[PlannedTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut bytes = gguf::MAGIC.to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            text(&mut bytes, key);
            bytes.extend(gguf::TEXT.to_le_bytes());
            text(&mut bytes, value);
        }
        let mut offset = 0;
        for tensor in tensors {
            text(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(
                tensor
                    .shape
                    .iter()
                    .rev()
                    .flat_map(|n| (*n as u64).to_le_bytes()),
            );
            bytes.extend(tensor.storage.ggml().unwrap_or(0).to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes() + self.padding(tensor.bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(BOUNDARY), 0);
        bytes
    }
}

fn safetensors(tensors: &[PlannedTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.bytes();
        let about = json!({
            "dtype": tensor.storage.safetensors(),
            "shape": tensor.shape,
            "data_offsets": [start, end],
        });
        header.insert(tensor.name.clone(), about);
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // The tensors begin on a multiple of eight bytes, for the widest type.
    text.resize(text.len().next_multiple_of(8), b' ');
    [(text.len() as u64).to_le_bytes().to_vec(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_file::ByteSource;

    #[test]
    fn headers_read_back_as_they_were_planned() {
        let tensors = [
            PlannedTensor {
                name: "a.weight".into(),
                storage: StoredDtype::F32,
                shape: vec![3, 5],
            },
            PlannedTensor {
                name: "b".into(),
                storage: StoredDtype::F16,
                shape: vec![7],
            },
            PlannedTensor {
                name: "c".into(),
                storage: StoredDtype::Bf16,
                shape: vec![2, 32],
            },
        ];
        let metadata = BTreeMap::from([("modelspec.title".to_owned(), "x \"y\"".to_owned())]);
        for format in [Format::Safetensors, Format::Gguf] {
            let mut bytes = format.header(&tensors, &metadata);
            for tensor in &tensors {
                bytes.resize(
                    bytes.len() + tensor.bytes() + format.padding(tensor.bytes()),
                    0,
                );
            }
            let directory = ByteSource::Embedded(bytes.leak()).directory("x").unwrap();
            assert_eq!(directory.metadata, metadata);
            for tensor in &tensors {
                let entry = &directory.tensors[&tensor.name];
                assert_eq!(
                    (entry.storage, &entry.shape),
                    (tensor.storage, &tensor.shape),
                    "{format:?}"
                );
            }
        }
    }
}
