//! Cache of adapter files: each is read and hashed once, until its size or modification time
//! changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::embedding::Embedding;
use super::hash::{Hashes, hashes};
use super::lora::LoraFile;
use crate::catalog::Component;
use crate::error::{Error, Kind, Result};

/// LoRA files that were read, by path.
#[derive(Default)]
pub struct Shelf {
    loras: HashMap<PathBuf, (Stamp, Arc<LoraFile>)>,
}

/// Size in bytes and modification time of a file.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Shelf {
    /// Creates an empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the LoRA at `path`, read once while the file stays the same.
    ///
    /// # Errors
    /// As [`LoraFile::read`].
    pub fn lora(&mut self, path: &Path) -> Result<Arc<LoraFile>> {
        let about = std::fs::metadata(path).map_err(|e| {
            Error::new(Kind::ModelFile, format!("cannot read `{}`", path.display())).source(e)
        })?;
        let stamp = Stamp {
            length: about.len(),
            modified: about.modified().ok(),
        };
        if let Some((_, lora)) = self.loras.get(path).filter(|(kept, _)| *kept == stamp) {
            return Ok(lora.clone());
        }
        let lora = Arc::new(LoraFile::read(path)?);
        self.loras.insert(path.to_owned(), (stamp, lora.clone()));
        Ok(lora)
    }

    /// Returns the embeddings at `paths` that the prompts use. A file that cannot be read is an
    /// error only if a prompt contains its name.
    ///
    /// # Errors
    /// As [`Embedding::read`].
    pub fn embeddings(&self, paths: &[PathBuf], prompts: &[&str]) -> Result<Vec<Arc<Embedding>>> {
        let mut used: Vec<Arc<Embedding>> = Vec::new();
        for path in paths {
            let found = Embedding::read(path);
            let word = match &found {
                Ok(embedding) => embedding.any_word(),
                Err(_) => Embedding::nameless(path),
            };
            let twice = used.iter().any(|embedding| embedding.path == *path);
            if !twice && prompts.iter().any(|prompt| word.is_in(prompt)) {
                used.push(Arc::new(found?));
            }
        }
        Ok(used)
    }
}

impl Embedding {
    /// Hashes of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hashes(&self) -> Result<Hashes> {
        let file = hashes(&self.path, &std::collections::BTreeMap::new())?.file;
        // A1111 identifies an embedding by the hash of its whole file.
        Ok(Hashes {
            short: file.chars().take(12).collect(),
            file,
        })
    }

    /// The word for the first text encoder that the file has vectors for.
    fn any_word(&self) -> crate::prompt::Word {
        let word = self
            .word(Component::TextEncoder)
            .or_else(|| self.word(Component::TextEncoder2));
        word.unwrap_or_else(|| Self::nameless(&self.path))
    }
}
