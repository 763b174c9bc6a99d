//! Tensors of one component of a model, in whichever of its file layouts the model has.

use std::sync::Arc;

use super::{Component, ModelFiles, TensorFile, Tensors, shards};
use crate::error::{Error, Kind, Result};

impl Tensors {
    /// The tensors of `component` by their names in diffusers.
    ///
    /// # Errors
    /// No weights file, or one that is truncated or malformed.
    pub fn of(files: &ModelFiles, component: Component) -> Result<Arc<Self>> {
        if let Some(tensors) = files
            .checkpoint()
            .and_then(|checkpoint| checkpoint.parts.get(&component))
        {
            return Ok(tensors.clone());
        }
        let candidates = component.weights();
        let path = candidates
            .iter()
            .find(|path| files.has(path))
            .ok_or_else(|| match files.checkpoint() {
                Some(_) => component.lacking(&files.origin),
                None => Error::new(
                    Kind::ModelFile,
                    format!("`{}` has no weights for {component}", files.origin),
                )
                .hint(format!("expected one of {}", candidates.join(", "))),
            })?;
        Self::at(files, path).map(Arc::new)
    }

    /// The tensors of the file at `path`, or of the shards that it lists.
    ///
    /// # Errors
    /// A file that is missing, truncated or malformed.
    pub fn at(files: &ModelFiles, path: &str) -> Result<Self> {
        let paths = shards::files(files, path)?.into_iter();
        let tensor_files = paths.map(|path| TensorFile {
            label: files.display(&path),
            content: files.content(&path),
        });
        Self::read(tensor_files.collect())
    }
}
