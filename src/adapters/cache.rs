//! Cache of LoRA files: each is read and hashed once, until its size or modification time changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::discover::unreadable;
use super::lora::LoraFile;
use crate::error::Result;

/// LoRA files that were read, by path.
#[derive(Default)]
pub struct AdapterCache {
    loras: HashMap<PathBuf, (Stamp, Arc<LoraFile>)>,
}

/// Size in bytes and modification time of a file.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl AdapterCache {
    /// Creates an empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the LoRA at `path`, read once while the file stays the same.
    ///
    /// # Errors
    /// As [`LoraFile::read`].
    pub fn lora(&mut self, path: &Path) -> Result<Arc<LoraFile>> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
        let stamp = Stamp {
            length: metadata.len(),
            modified: metadata.modified().ok(),
        };
        if let Some((_, lora)) = self.loras.get(path).filter(|(kept, _)| *kept == stamp) {
            return Ok(lora.clone());
        }
        let lora = Arc::new(LoraFile::read(path)?);
        self.loras.insert(path.to_owned(), (stamp, lora.clone()));
        Ok(lora)
    }
}
