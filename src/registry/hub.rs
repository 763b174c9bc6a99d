//! Finds a model's files: a folder as it stands, or a repository through the Hugging Face cache and hub.

use super::{ModelFiles, ModelRef};
use crate::error::{Error, Result};
use crate::event::Observer;

/// How to fetch.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// Open no connection.
    pub offline: bool,
    /// Prefer 16-bit variants of the weights.
    pub half: bool,
}

/// The files of `model`: from its folder, from the cache, or downloaded into the cache.
///
/// # Errors
/// The model is nowhere, access is refused, or the network fails.
pub fn locate(model: &ModelRef, _fetch: &Fetch, _observer: &mut dyn Observer) -> Result<ModelFiles> {
    match model {
        ModelRef::Folder(folder) => {
            let name =
                folder.canonicalize().ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
            let origin = folder.display().to_string();
            Ok(ModelFiles::folder(&name.unwrap_or_else(|| "model".to_owned()), &origin, folder.clone()))
        }
        ModelRef::Known(_) | ModelRef::Repo { .. } => Err(Error::internal("the hub is not built yet")),
    }
}
