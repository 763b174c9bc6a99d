//! The tensors of one component by their names in diffusers, wherever they lie. Reading them is others' work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Component, ModelFiles, shards};
use crate::checkpoint::{Content, Entry};
use crate::error::{Error, Kind, Result};

/// Where a component's tensors are.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// The files that hold them.
    pub files: Vec<TensorFile>,
    /// Name in diffusers → place.
    pub places: BTreeMap<String, Place>,
}

/// A file of tensors.
#[derive(Clone, Debug)]
pub struct TensorFile {
    /// Its name in messages.
    pub label: String,
    /// Its bytes.
    pub content: Content,
}

/// Where one tensor is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which of the files.
    pub file: usize,
    /// Where in it.
    pub entry: Entry,
    /// The network may do without it.
    pub spare: bool,
}

impl Tensors {
    /// The tensors of `component`, in whichever of its file layouts the model has.
    ///
    /// # Errors
    /// No weights file, or one that is truncated or malformed.
    pub fn of(files: &ModelFiles, component: Component) -> Result<Arc<Self>> {
        if let Some(tensors) = files.checkpoint().and_then(|checkpoint| checkpoint.parts.get(&component)) {
            return Ok(tensors.clone());
        }
        let candidates = component.weights();
        let path =
            candidates.iter().find(|path| files.has(path)).ok_or_else(|| match files.checkpoint() {
                Some(_) => component.lacking(&files.origin),
                None => {
                    Error::new(Kind::ModelFile, format!("`{}` has no weights for {component}", files.origin))
                        .hint(format!("expected one of {}", candidates.join(", ")))
                }
            })?;
        Self::at(files, path).map(Arc::new)
    }

    /// Those of the file at `path`, or of the shards that it lists.
    ///
    /// # Errors
    /// A file that is missing, truncated or malformed.
    pub fn at(files: &ModelFiles, path: &str) -> Result<Self> {
        let mut tensors = Self { files: Vec::new(), places: BTreeMap::new() };
        for path in shards::files(files, path)? {
            let file = TensorFile { label: files.display(&path), content: files.content(&path) };
            let directory = file.content.directory(&file.label)?;
            let number = tensors.files.len();
            let place = |entry| Place { file: number, entry, spare: false };
            tensors.places.extend(directory.tensors.into_iter().map(|(name, entry)| (name, place(entry))));
            tensors.files.push(file);
        }
        Ok(tensors)
    }

    /// Bytes of all of them.
    pub fn size(&self) -> usize {
        self.places.values().map(|place| place.entry.bytes.len()).sum()
    }
}
