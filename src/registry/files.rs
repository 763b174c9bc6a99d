//! The files of one model, wherever they lie: a folder on disk or data compiled in. Reading is by path relative to
//! the model's root; parsing and tensors are others' work.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result};

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
        let text = self.text(path)?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(Kind::ModelFile, format!("`{}`: {e}", self.display(path))))
    }

    /// The folder on disk, if there is one.
    pub fn root(&self) -> Option<&Path> {
        match &self.root {
            Root::Folder(folder) => Some(folder),
            Root::Embedded(_) => None,
        }
    }
}
