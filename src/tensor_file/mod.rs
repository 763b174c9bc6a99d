//! Directories of tensor files: names, types, shapes and byte ranges of the tensors, read strictly
//! and from the file's header alone.

mod gguf;
mod globals;
mod pickle;
mod safetensors;
mod stored_dtype;
mod tensors;
mod torch;
mod write;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use stored_dtype::StoredDtype;
pub(crate) use tensors::attach_scales;
pub use tensors::{Scale, TensorFile, TensorSpan, Tensors};
pub use write::{Format, PlannedTensor};

use crate::error::{Error, Kind, Result};

/// Contents of a tensor file.
#[derive(Clone, Debug)]
pub struct Directory {
    /// `safetensors`, `gguf` or `pickle`.
    pub format: &'static str,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Entry>,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
    /// Names of data other than tensors in files of training programs, such as the state of an
    /// optimizer.
    pub other_data: Vec<String>,
}

/// Location of a tensor in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Data type of the tensor.
    pub storage: StoredDtype,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Byte range in the file.
    pub bytes: Range<usize>,
    /// Strides in elements, if the tensor is not contiguous (row-major).
    pub strides: Option<Vec<usize>>,
}

/// Source of a file's bytes.
#[derive(Clone, Debug)]
pub enum ByteSource {
    /// On disk.
    Disk(PathBuf),
    /// Compiled into the program.
    Embedded(&'static [u8]),
}

impl Entry {
    /// Entry of a contiguous (row-major) tensor that begins at byte `start`.
    fn plain(
        storage: StoredDtype,
        shape: Vec<usize>,
        start: usize,
    ) -> std::result::Result<Self, String> {
        let size = storage
            .bytes(&shape)
            .ok_or_else(|| format!("has an absurd shape: {shape:?}"))?;
        let end = start
            .checked_add(size)
            .ok_or_else(|| format!("has an absurd place: {start}"))?;
        Ok(Self {
            storage,
            shape,
            bytes: start..end,
            strides: None,
        })
    }

    /// Number of values in the tensor.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Entry of some rows (first axis) of a contiguous tensor; `None` if it is not contiguous or
    /// has no such rows.
    pub fn rows(&self, rows: Range<usize>) -> Option<Self> {
        let all = *self.shape.first()?;
        let size = self.bytes.len() / all.max(1);
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        let whole = size.checked_mul(all) == Some(self.bytes.len()) && self.strides.is_none();
        let fits = rows.end <= all && self.storage.bytes(&shape) == Some(rows.len() * size);
        let bytes = self.bytes.start + rows.start * size..self.bytes.start + rows.end * size;
        (whole && fits).then_some(Self {
            storage: self.storage,
            shape,
            bytes,
            strides: None,
        })
    }

    /// Entry of the transposed matrix; `None` if the tensor is no matrix.
    pub fn transposed(&self) -> Option<Self> {
        let &[rows, columns] = self.shape.as_slice() else {
            return None;
        };
        let strides = self.strides.clone().unwrap_or(vec![columns, 1]);
        Some(Self {
            shape: vec![columns, rows],
            strides: Some(strides.into_iter().rev().collect()),
            ..self.clone()
        })
    }
}

impl ByteSource {
    /// Reads the directory of the file, called `label` in messages.
    ///
    /// # Errors
    /// A file that is unreadable, cut short, malformed or of no known format.
    pub fn directory(&self, label: &str) -> Result<Directory> {
        match self {
            Self::Disk(path) => read(&mut open(path, label)?, label),
            Self::Embedded(bytes) => read(&mut std::io::Cursor::new(bytes), label),
        }
    }

    /// Reads a tensor of a few floats, called `label` in messages.
    ///
    /// # Errors
    /// A tensor of many numbers or of another type; a file that is unreadable or cut short.
    pub fn floats(&self, entry: &Entry, label: &str) -> Result<Vec<f64>> {
        let wrong = |what: &str| Error::new(Kind::ModelFile, format!("{label} {what}"));
        if entry.values() > FEW || entry.strides.is_some() {
            return Err(wrong("has more numbers than expected"));
        }
        let mut bytes = vec![0; entry.bytes.len()];
        let cut = |e: std::io::Error| wrong("cannot be read").source(e);
        match self {
            Self::Disk(path) => {
                let mut file = open(path, label)?;
                file.seek(SeekFrom::Start(entry.bytes.start as u64))
                    .map_err(cut)?;
                file.read_exact(&mut bytes).map_err(cut)?;
            }
            Self::Embedded(all) => {
                let found = all
                    .get(entry.bytes.clone())
                    .ok_or_else(|| wrong("is cut short"))?;
                bytes.copy_from_slice(found);
            }
        }
        stored_dtype::floats(entry.storage, &bytes).ok_or_else(|| wrong("holds no floats"))
    }
}

/// Maximum number of values that `ByteSource::floats` reads.
const FEW: usize = 64;

fn open(path: &Path, label: &str) -> Result<std::io::BufReader<std::fs::File>> {
    let file = std::fs::File::open(path)
        .map_err(|e| Error::new(Kind::ModelFile, format!("cannot read `{label}`")).source(e))?;
    Ok(std::io::BufReader::new(file))
}

fn read(file: &mut (impl Read + Seek), label: &str) -> Result<Directory> {
    let unreadable =
        |e: std::io::Error| Error::new(Kind::ModelFile, format!("cannot read `{label}`")).source(e);
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let mut file = FileReader {
        file,
        label,
        length: usize::try_from(length).unwrap_or(usize::MAX),
    };
    match &file.array()? {
        gguf::MAGIC => gguf::directory(&mut file),
        torch::MAGIC => torch::directory(&mut file),
        torch::LEGACY => Err(file
            .broken("is in the format of torch before 1.6, which sdgen does not read")
            .hint("load it with torch and save it again, or convert it to safetensors")),
        _ => {
            file.file.rewind().map_err(unreadable)?;
            safetensors::directory(&mut file)
        }
    }
}

/// A file that is being read, with label and length for its errors.
struct FileReader<'a, F> {
    file: &'a mut F,
    label: &'a str,
    /// Length of the file in bytes.
    length: usize,
}

impl<F: Read + Seek> FileReader<'_, F> {
    /// Reads the next `count` bytes; never allocates more than the length of the file.
    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        if count > self.length {
            return Err(self.short());
        }
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(|_| self.short())?;
        Ok(bytes)
    }

    /// Reads the next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| self.short())?;
        Ok(bytes)
    }

    fn short(&self) -> Error {
        self.broken("is cut short")
            .hint("download or copy it again")
    }

    /// An error about the file.
    fn broken(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::ModelFile, format!("`{}` {what}", self.label))
    }

    /// Checks that every tensor lies within the file and no two share a byte; returns the end of
    /// the last tensor.
    fn check(&self, tensors: &BTreeMap<String, Entry>) -> Result<usize> {
        let mut places: Vec<(&Range<usize>, &str)> = tensors
            .iter()
            .map(|(name, entry)| (&entry.bytes, name.as_str()))
            .collect();
        places.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
        for pair in places.windows(2) {
            if pair[1].0.start < pair[0].0.end {
                return Err(self.broken(format!(
                    "has tensors that overlap: `{}` and `{}`",
                    pair[0].1, pair[1].1
                )));
            }
        }
        let end = places.last().map_or(0, |(bytes, _)| bytes.end);
        if end > self.length {
            let what = format!("is {} bytes long, expected {end}", self.length);
            return Err(self
                .broken(what)
                .hint("the file is cut short; download or copy it again"));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Entry {
        Entry::plain(StoredDtype::F16, vec![6, 4], 100).unwrap()
    }

    #[test]
    fn rows_and_axes_are_views_of_the_same_bytes() {
        let part = matrix().rows(2..4).unwrap();
        assert_eq!((part.shape.clone(), part.bytes), (vec![2, 4], 116..132));
        let turned = matrix().transposed().unwrap();
        assert_eq!(
            (turned.shape.clone(), turned.strides),
            (vec![4, 6], Some(vec![1, 4]))
        );
        assert!(
            matrix().rows(2..7).is_none() && matrix().transposed().unwrap().rows(0..1).is_none()
        );
    }

    #[test]
    fn absurd_shapes_are_refused() {
        for shape in [vec![usize::MAX, 2], vec![1 << 40, 1 << 40]] {
            assert!(Entry::plain(StoredDtype::F32, shape, 0).is_err());
        }
    }
}
