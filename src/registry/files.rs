//! The files of one model, wherever they lie: a folder on disk or data compiled in. Reading is by path relative to
//! the model's root; parsing and tensors are others' work.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Component;
use crate::checkpoint::Content;
use crate::error::{Error, Kind, Result};
use crate::named::Named;

/// A model's root.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Short name for file names and titles.
    pub name: String,
    /// What the user would type to get it again (`org/name@rev`, a path, a known name).
    pub origin: String,
    root: Root,
}

#[derive(Clone, Debug)]
enum Root {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl ModelFiles {
    /// The files under `folder`.
    pub fn folder(name: &str, origin: &str, folder: PathBuf) -> Self {
        Self { name: name.to_owned(), origin: origin.to_owned(), root: Root::Folder(folder) }
    }

    /// Files compiled into the program: (path, content).
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { name: name.to_owned(), origin: name.to_owned(), root: Root::Embedded(files) }
    }

    /// Whether the model has this file.
    pub fn has(&self, path: &str) -> bool {
        match &self.root {
            Root::Folder(folder) => folder.join(path).is_file(),
            Root::Embedded(files) => files.iter().any(|(name, _)| *name == path),
        }
    }

    /// Where the file is, for messages and for mapping into memory; `None` for compiled-in data.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        match &self.root {
            Root::Folder(folder) => Some(folder.join(path)),
            Root::Embedded(_) => None,
        }
    }

    /// The file's name in messages.
    pub fn display(&self, path: &str) -> String {
        match &self.root {
            Root::Folder(folder) => folder.join(path).display().to_string(),
            Root::Embedded(_) => format!("{}:{path}", self.name),
        }
    }

    /// The compiled-in content, `None` for files on disk.
    pub fn embedded_bytes(&self, path: &str) -> Option<&'static [u8]> {
        match &self.root {
            Root::Folder(_) => None,
            Root::Embedded(files) => files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes),
        }
    }

    /// Where the bytes of a file are.
    pub fn content(&self, path: &str) -> Content {
        match &self.root {
            Root::Folder(folder) => Content::Disk(folder.join(path)),
            Root::Embedded(_) => Content::Embedded(self.embedded_bytes(path).unwrap_or_default()),
        }
    }

    /// The file as text.
    ///
    /// # Errors
    /// The file is missing, unreadable or not UTF-8.
    pub fn text(&self, path: &str) -> Result<Cow<'static, str>> {
        let broken = |e: &dyn std::error::Error| {
            Error::new(Kind::ModelFile, format!("cannot read `{}`: {e}", self.display(path)))
        };
        match &self.root {
            Root::Folder(folder) => {
                std::fs::read_to_string(folder.join(path)).map(Cow::Owned).map_err(|e| broken(&e))
            }
            Root::Embedded(_) => {
                let bytes = self.embedded_bytes(path).unwrap_or_default();
                std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| broken(&e))
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

    /// Path → identity of each weight file: the hub's SHA-256 where the cache names its blob so, else the SHA-256
    /// of the file's header and length, which is cheap and changes with names, shapes and types.
    pub fn fingerprints(&self) -> BTreeMap<String, String> {
        Component::ALL
            .iter()
            .filter_map(|(component, _)| component.weights().into_iter().find(|path| self.has(path)))
            .filter_map(|path| self.fingerprint(&path).map(|hash| (path, hash)))
            .collect()
    }

    fn fingerprint(&self, path: &str) -> Option<String> {
        match &self.root {
            Root::Folder(folder) => fingerprint(&folder.join(path)),
            Root::Embedded(_) => self.embedded_bytes(path).map(|bytes| hex(&Sha256::digest(bytes))),
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

/// Python writes infinities and NaN into JSON, which has neither: diffusers' own schedulers do so. They become null.
fn finite(text: &str) -> String {
    ["-Infinity", "Infinity", "NaN"]
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(&format!(": {word}"), ": null"))
}

/// Longest header of a safetensors file (its specification's own limit).
const MAX_HEADER: u64 = 100_000_000;

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
    file.take(u64::from_le_bytes(prefix).min(MAX_HEADER)).read_to_end(&mut header).ok()?;
    let hash = Sha256::new().chain_update(length.to_le_bytes()).chain_update(header).finalize();
    Some(format!("header:{}", hex(&hash)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
