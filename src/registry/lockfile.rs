//! A lock file: the revision of each model and the SHA-256 of every file that a render used, so that another machine
//! or another day draws with the very same bytes or not at all.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::{Source, commit_of, repository_of};
use super::digest::{hex, sha256};
use super::{ModelFiles, needs};
use crate::error::{Error, Kind, Result};

/// The one form of the file.
const VERSION: u32 = 1;
const HEAD: &str = "# Written by `sdgen --lock`. `sdgen --locked` draws with these files and no others.\n";

/// The content of a lock file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    version: u32,
    #[serde(default, rename = "model")]
    models: Vec<Entry>,
    #[serde(skip)]
    path: PathBuf,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// As the request names it.
    name: String,
    /// Where it came from on the hub; none for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repo: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Path in the model → `sha256:` and digits.
    files: BTreeMap<String, String>,
}

impl LockFile {
    /// Reads a lock file.
    ///
    /// # Errors
    /// It is missing, or of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let named = |what: &str| Error::field("locked", format!("{what} `{}`", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| {
            named("cannot read the lock file").source(e).hint("`--lock FILE` writes one from a run")
        })?;
        let mut lock: Self = toml::from_str(&text).map_err(|e| named("no lock file:").source(e))?;
        if lock.version != VERSION {
            let found = lock.version;
            return Err(named("cannot read").hint(format!("it has version {found}, expected {VERSION}")));
        }
        path.clone_into(&mut lock.path);
        Ok(lock)
    }

    /// The lock file at `path` as it is, or an empty one; models that are recorded replace those of the same name.
    ///
    /// # Errors
    /// There is a file and it is no lock file.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() { Self::read(path) } else { Ok(Self::new(path)) }
    }

    fn new(path: &Path) -> Self {
        Self { version: VERSION, models: Vec::new(), path: path.to_owned() }
    }

    /// Writes down which files a model is.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn record(&mut self, files: &ModelFiles) -> Result<()> {
        let root = files.root();
        let entry = Entry {
            name: files.origin.clone(),
            repo: root.and_then(repository_of),
            revision: root.and_then(commit_of).map(str::to_owned),
            files: hashes(files)?,
        };
        self.models.retain(|other| other.name != entry.name);
        self.models.push(entry);
        self.models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The folder is missing or cannot be written to.
    pub fn write(&self) -> Result<()> {
        let text = toml::to_string(self).map_err(|e| Error::internal("cannot write TOML").source(e))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let save = || {
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all((HEAD.to_owned() + &text).as_bytes())?;
            file.persist(&self.path).map(|_| ()).map_err(|e| e.error)
        };
        save().map_err(|e| {
            Error::new(Kind::Output, format!("cannot write the lock file `{}`", self.path.display()))
                .source(e)
        })
    }

    /// Where a model of the hub has to come from.
    pub(super) fn source(&self, name: &str) -> Result<Source> {
        match self.entry(name)? {
            Entry { repo: Some(id), revision: Some(revision), .. } => {
                Ok(Source { id: id.clone(), revision: revision.clone() })
            }
            _ => Err(self.refused(format!("`{name}` was no model of the hub when it was locked"))),
        }
    }

    /// Whether a model has the files that are locked.
    ///
    /// # Errors
    /// It is not in the lock file; a file is missing, one too many, or another.
    pub fn check(&self, files: &ModelFiles) -> Result<()> {
        let name = &files.origin;
        let (expected, found) = (&self.entry(name)?.files, hashes(files)?);
        for (path, hash) in &found {
            match expected.get(path) {
                Some(locked) if locked == hash => {}
                Some(locked) => {
                    let what = format!("`{path}` of `{name}` is another file than the locked one");
                    return Err(self.refused(format!("{what}: expected {locked}, got {hash}")));
                }
                None => return Err(self.refused(format!("`{path}` of `{name}` is not in the lock file"))),
            }
        }
        match expected.keys().find(|path| !found.contains_key(*path)) {
            Some(path) => Err(self.refused(format!("`{name}` lacks `{path}`, which is locked"))),
            None => Ok(()),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let found = self.models.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| self.refused(format!("model `{name}` is not in the lock file")))
    }

    fn refused(&self, message: String) -> Error {
        Error::new(Kind::ModelFile, message)
            .hint(format!("`--locked {}` allows nothing else; `--lock` records anew", self.path.display()))
    }
}

/// The SHA-256 of every file that a render with this model reads.
fn hashes(files: &ModelFiles) -> Result<BTreeMap<String, String>> {
    let hash = |path: String| {
        let digits = match (files.embedded_bytes(&path), files.path(&path)) {
            (None, Some(place)) => sha256(&place).map_err(|e| {
                Error::new(Kind::ModelFile, format!("cannot read `{}`", place.display())).source(e)
            })?,
            (bytes, _) => hex(&Sha256::digest(bytes.unwrap_or_default())),
        };
        Ok((path, format!("sha256:{digits}")))
    };
    needs::used(files).into_iter().map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::demo;

    #[test]
    fn a_lock_is_written_read_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.lock");
        let files = ModelFiles::embedded(demo::NAME, demo::FILES);
        let mut lock = LockFile::open(&path).unwrap();
        lock.record(&files).unwrap();
        lock.record(&files).unwrap();
        lock.write().unwrap();
        let read = LockFile::read(&path).unwrap();
        assert_eq!(read.models.len(), 1);
        assert_eq!(read.models[0].files.len(), demo::FILES.len());
        read.check(&files).unwrap();
        assert!(read.source(demo::NAME).is_err(), "it is no model of the hub");

        let fewer = ModelFiles::embedded(demo::NAME, &demo::FILES[..demo::FILES.len() - 1]);
        assert!(read.check(&fewer).unwrap_err().to_string().contains("lacks `vae/"));
        let other = ModelFiles::embedded("other", demo::FILES);
        assert!(read.check(&other).unwrap_err().to_string().contains("`other` is not in the lock file"));
        let mut changed = read;
        changed.models[0].files.insert("vae/config.json".into(), "sha256:0".into());
        assert!(changed.check(&files).unwrap_err().to_string().contains("expected sha256:0, got sha256:"));
    }

    #[test]
    fn what_is_no_lock_file_is_said_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["models = 1", "version = 1\n[[model]]\nnam = \"x\"", "version = 9"] {
            std::fs::write(file.path(), text).unwrap();
            let error = LockFile::read(file.path()).unwrap_err();
            assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        }
    }
}
