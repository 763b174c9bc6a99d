//! Files of one model, in a folder on disk or compiled into the program, read by path relative to
//! the model's root. Interpreting them is not part of this module.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::digest::hex;
use super::{Checkpoint, Component, needs};
use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;
use crate::schedulers::Prediction;
use crate::tensor_file::ByteSource;

/// Files of a model.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Short name for file names and titles.
    pub name: String,
    /// Model as the user would type it again (`org/name@rev`, a path, a known name).
    pub origin: String,
    root: Root,
    /// Contents of a single-file model.
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// Generated configuration files, which take precedence over those of the root.
    written: BTreeMap<String, String>,
    /// Files on disk that take precedence too: path in the model → real path.
    borrowed: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug)]
enum Root {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl ModelFiles {
    /// The files under `folder`.
    pub fn folder(name: &str, origin: &str, folder: PathBuf) -> Self {
        Self::new(name, origin, Root::Folder(folder))
    }

    /// Files compiled into the program: (path, content).
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::new(name, name, Root::Embedded(files))
    }

    fn new(name: &str, origin: &str, root: Root) -> Self {
        let (name, origin) = (name.to_owned(), origin.to_owned());
        Self {
            name,
            origin,
            root,
            checkpoint: None,
            written: BTreeMap::new(),
            borrowed: BTreeMap::new(),
        }
    }

    /// A model that is one file; the small files that it has not are made from what is in it.
    ///
    /// # Errors
    /// A file that is malformed, or no Stable Diffusion model.
    pub fn file(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        let name = path.file_stem().map_or_else(
            || "model".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let written = checkpoint.files(checkpoint.likely());
        let files = Self::new(&name, &path.display().to_string(), Root::Embedded(&[]));
        Ok(Self {
            checkpoint: Some(Arc::new(checkpoint)),
            written,
            ..files
        })
    }

    /// The same model with the small files of another in place of those that were made, and with
    /// its weights for the parts that the file has not.
    #[must_use]
    pub fn configured(&self, other: &Self) -> Self {
        Self {
            root: other.root.clone(),
            written: other.written.clone(),
            ..self.clone()
        }
    }

    /// The same model, which is known to predict `prediction`.
    #[must_use]
    pub fn predicting(&self, prediction: Prediction) -> Self {
        let Some(checkpoint) = &self.checkpoint else {
            return self.clone();
        };
        let checkpoint = Checkpoint {
            prediction: Some(prediction),
            ..Checkpoint::clone(checkpoint)
        };
        let written = if self.written.is_empty() {
            BTreeMap::new()
        } else {
            checkpoint.files(prediction)
        };
        Self {
            checkpoint: Some(Arc::new(checkpoint)),
            written,
            ..self.clone()
        }
    }

    /// The same model with the file at `path` taken from elsewhere on this machine.
    #[must_use]
    pub fn borrowing(mut self, path: String, from: PathBuf) -> Self {
        self.borrowed.insert(path, from);
        self
    }

    /// Of a model that is one file, what was found in it.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_deref()
    }

    /// Returns true if the prediction type is a guess, since the file does not say it.
    pub fn guesses_prediction(&self) -> bool {
        !self.written.is_empty()
            && self
                .checkpoint()
                .is_some_and(|checkpoint| checkpoint.prediction.is_none())
    }

    /// Returns true if the model has this file.
    pub fn has(&self, path: &str) -> bool {
        if self.written.contains_key(path) {
            return true;
        }
        match self.path(path) {
            Some(path) => path.is_file(),
            None => self.embedded_bytes(path).is_some(),
        }
    }

    /// Path of the file, for messages and for mapping into memory; `None` for compiled-in data.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        match (self.borrowed.get(path), &self.root) {
            (Some(elsewhere), _) => Some(elsewhere.clone()),
            (None, Root::Folder(folder)) => Some(folder.join(path)),
            (None, Root::Embedded(_)) => None,
        }
    }

    /// The file's name in messages.
    pub fn display(&self, path: &str) -> String {
        match self.path(path).filter(|_| !self.written.contains_key(path)) {
            Some(path) => path.display().to_string(),
            None => format!("{}:{path}", self.name),
        }
    }

    /// The compiled-in content, `None` for files on disk.
    pub fn embedded_bytes(&self, path: &str) -> Option<&'static [u8]> {
        match &self.root {
            Root::Folder(_) => None,
            Root::Embedded(files) => files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, bytes)| *bytes),
        }
    }

    /// Source of a file's bytes.
    pub fn content(&self, path: &str) -> ByteSource {
        match self.path(path) {
            Some(path) => ByteSource::Disk(path),
            None => ByteSource::Embedded(self.embedded_bytes(path).unwrap_or_default()),
        }
    }

    /// The file as text.
    ///
    /// # Errors
    /// The file is missing, unreadable or not UTF-8.
    pub fn text(&self, path: &str) -> Result<Cow<'static, str>> {
        if let Some(text) = self.written.get(path) {
            return Ok(Cow::Owned(text.clone()));
        }
        let broken = |e: &dyn std::error::Error| {
            Error::new(
                Kind::ModelFile,
                format!("cannot read `{}`: {e}", self.display(path)),
            )
        };
        match self.path(path) {
            Some(path) => std::fs::read_to_string(path)
                .map(Cow::Owned)
                .map_err(|e| broken(&e)),
            None => {
                let bytes = self.embedded_bytes(path).unwrap_or_default();
                std::str::from_utf8(bytes)
                    .map(Cow::Borrowed)
                    .map_err(|e| broken(&e))
            }
        }
    }

    /// The file as JSON of the expected form.
    ///
    /// # Errors
    /// The file is missing, no JSON, or of another form; the message names file, line and field.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let text = finite(&self.text(path)?);
        serde_json::from_str(&text)
            .map_err(|e| Error::new(Kind::ModelFile, format!("`{}`: {e}", self.display(path))))
    }

    /// The small files that a folder of this model has.
    pub fn small_files(&self) -> Vec<String> {
        let parts: Vec<Component> = Component::ALL.iter().map(|row| row.0).collect();
        let all = needs::required(&parts).into_iter().chain(needs::optional());
        all.filter(|path| self.has(path)).collect()
    }

    /// Path → identity of each weight file: the hub's SHA-256 where the cache names its blob so,
    /// else the SHA-256 of the file's header and length, which is cheap and changes with names,
    /// shapes and types.
    pub fn fingerprints(&self) -> BTreeMap<String, String> {
        let inside = |component: &Component| {
            self.checkpoint()
                .is_some_and(|checkpoint| checkpoint.parts.contains_key(component))
        };
        let file = self
            .checkpoint
            .as_ref()
            .and_then(|_| Some((self.name.clone(), fingerprint(Path::new(&self.origin))?)));
        let components = Component::ALL
            .iter()
            .map(|row| row.0)
            .filter(|component| !inside(component));
        components
            .filter_map(|component| component.weights().into_iter().find(|path| self.has(path)))
            .filter_map(|path| self.fingerprint(&path).map(|hash| (path, hash)))
            .chain(file)
            .collect()
    }

    pub(super) fn fingerprint(&self, path: &str) -> Option<String> {
        match self.path(path) {
            Some(path) => fingerprint(&path),
            None => self
                .embedded_bytes(path)
                .map(|bytes| hex(&Sha256::digest(bytes))),
        }
    }

    /// The folder on disk, if there is one.
    pub fn root(&self) -> Option<&Path> {
        match &self.root {
            Root::Folder(folder) => Some(folder),
            Root::Embedded(_) => None,
        }
    }
}

/// Python writes infinities and NaN into JSON, which has neither: diffusers' own schedulers do so.
/// They become null.
fn finite(text: &str) -> String {
    ["-Infinity", "Infinity", "NaN"]
        .iter()
        .fold(text.to_owned(), |text, word| {
            text.replace(&format!(": {word}"), ": null")
        })
}

/// Longest header of a safetensors file (its specification's own limit).
const MAX_HEADER: u64 = 100_000_000;
/// Bytes that are read of files that do not begin with their header's length.
const START: u64 = 1 << 20;

fn fingerprint(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let blob = real.file_name()?.to_str()?;
    if blob.len() == 64 && blob.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(blob.to_owned());
    }
    let mut file = std::fs::File::open(&real).ok()?;
    let length = file.metadata().ok()?.len();
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).ok()?;
    let mut header = Vec::new();
    let header_length = Some(u64::from_le_bytes(prefix)).filter(|length| *length <= MAX_HEADER);
    file.take(header_length.unwrap_or(START))
        .read_to_end(&mut header)
        .ok()?;
    let hash = Sha256::new()
        .chain_update(length.to_le_bytes())
        .chain_update(header)
        .finalize();
    Some(format!("header:{}", hex(&hash)))
}
