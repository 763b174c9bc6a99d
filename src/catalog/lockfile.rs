//! Lock file: the revision of each model and the SHA-256 of every file that a run read, so that
//! another machine or a later run uses the same bytes or fails.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ModelFiles;
use super::required_files::used_files;
use crate::error::{Error, Kind, Result};
use crate::hash::{sha256, sha256_of_file};
use crate::hub::{Repository, commit_of, repository_of_snapshot};

/// Version of the format.
const VERSION: u32 = 1;
const HEAD: &str =
    "# Written by `sdgen --lock`. `sdgen --locked` draws with these files and no others.\n";

/// Path → `sha256:` and digits.
type Hashes = BTreeMap<String, String>;

/// The content of a lock file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    version: u32,
    /// LoRAs and embeddings: the file as the request names it → hash.
    #[serde(default, skip_serializing_if = "Hashes::is_empty")]
    adapters: Hashes,
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
    /// Repository on the hub; `None` for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repo: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Path in the model → hash.
    files: Hashes,
}

impl LockFile {
    /// Reads a lock file.
    ///
    /// # Errors
    /// It is missing, or of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let named = |what: &str| Error::field("locked", format!("{what} `{}`", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| {
            named("cannot read the lock file")
                .source(e)
                .hint("`--lock FILE` writes one from a run")
        })?;
        let mut lock: Self = toml::from_str(&text).map_err(|e| named("no lock file:").source(e))?;
        if lock.version != VERSION {
            let found = lock.version;
            return Err(
                named("cannot read").hint(format!("it has version {found}, expected {VERSION}"))
            );
        }
        path.clone_into(&mut lock.path);
        Ok(lock)
    }

    /// The lock file at `path` as it is, or an empty one; models that are recorded replace those of
    /// the same name.
    ///
    /// # Errors
    /// There is a file and it is no lock file.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() {
            Self::read(path)
        } else {
            Ok(Self::new(path))
        }
    }

    fn new(path: &Path) -> Self {
        Self {
            version: VERSION,
            adapters: Hashes::new(),
            models: Vec::new(),
            path: path.to_owned(),
        }
    }

    /// Records the files of a model.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn record(&mut self, files: &ModelFiles) -> Result<()> {
        let entry = Entry {
            files: hashes_of_model(files)?,
            ..Entry::of(&files.origin, files)
        };
        self.put(entry);
        Ok(())
    }

    /// Records the files at `paths` of the network called `name`; those of other networks from the
    /// same place stay.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn record_files(&mut self, name: &str, files: &ModelFiles, paths: &[&str]) -> Result<()> {
        let mut entry = Entry::of(name, files);
        let known = self.models.iter().find(|other| other.is_of(&entry));
        entry.files = known.map(|known| known.files.clone()).unwrap_or_default();
        entry.files.extend(hashes_of_files(files, paths)?);
        self.put(entry);
        Ok(())
    }

    /// Records the SHA-256 of a LoRA or an embedding.
    pub fn record_adapter(&mut self, file: &str, sha256: &str) {
        self.adapters
            .insert(file.to_owned(), format!("sha256:{sha256}"));
    }

    fn put(&mut self, entry: Entry) {
        self.models.retain(|other| other.name != entry.name);
        self.models.push(entry);
        self.models.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The folder is missing or cannot be written to.
    pub fn write(&self) -> Result<()> {
        let text =
            toml::to_string(self).map_err(|e| Error::internal("cannot write TOML").source(e))?;
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let save = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all((HEAD.to_owned() + &text).as_bytes())?;
            file.persist(&self.path)?;
            Ok(())
        };
        save().map_err(|e| {
            Error::new(
                Kind::Output,
                format!("cannot write the lock file `{}`", self.path.display()),
            )
            .source(e)
        })
    }

    /// Repository and commit that a locked model of the hub must come from.
    pub(super) fn repository(&self, name: &str) -> Result<Repository> {
        match self.entry(name)? {
            Entry {
                repo: Some(id),
                revision: Some(revision),
                ..
            } => Ok(Repository::new(id, revision)),
            _ => Err(self.refused(format!(
                "`{name}` was no model of the hub when it was locked"
            ))),
        }
    }

    /// Checks that a model has exactly the files that are locked.
    ///
    /// # Errors
    /// It is not in the lock file; a file is missing, one too many, or another.
    pub fn check(&self, files: &ModelFiles) -> Result<()> {
        let name = &files.origin;
        let (expected, found) = (&self.entry(name)?.files, hashes_of_model(files)?);
        self.compare(name, expected, &found)?;
        match expected.keys().find(|path| !found.contains_key(*path)) {
            Some(path) => Err(self.refused(format!("`{name}` lacks `{path}`, which is locked"))),
            None => Ok(()),
        }
    }

    /// Checks that the network called `name` has the files that are locked.
    ///
    /// # Errors
    /// It is not in the lock file, or a file is another.
    pub fn check_files(&self, name: &str, files: &ModelFiles, paths: &[&str]) -> Result<()> {
        let name = without_main(name);
        let found = hashes_of_files(files, paths)?;
        self.compare(name, &self.entry(name)?.files, &found)
    }

    /// Checks that a LoRA or an embedding is the file that is locked.
    ///
    /// # Errors
    /// It is not in the lock file, or another.
    pub fn check_adapter(&self, file: &str, sha256: &str) -> Result<()> {
        self.check_hash(
            &format!("`{file}`"),
            self.adapters.get(file),
            &format!("sha256:{sha256}"),
        )
    }

    /// Checks that each of the files `found` is locked with the same hash.
    fn compare(&self, name: &str, expected: &Hashes, found: &Hashes) -> Result<()> {
        for (path, hash) in found {
            self.check_hash(&format!("`{path}` of `{name}`"), expected.get(path), hash)?;
        }
        Ok(())
    }

    fn check_hash(&self, what: &str, locked: Option<&String>, found: &str) -> Result<()> {
        match locked {
            Some(locked) if locked == found => Ok(()),
            Some(locked) => Err(self.refused(format!(
                "{what} is another file than the locked one: expected {locked}, got {found}"
            ))),
            None => Err(self.refused(format!("{what} is not in the lock file"))),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let found = self.models.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| self.refused(format!("model `{name}` is not in the lock file")))
    }

    fn refused(&self, message: String) -> Error {
        Error::new(Kind::ModelFile, message).hint(format!(
            "`--locked {}` allows nothing else; `--lock` records again",
            self.path.display()
        ))
    }
}

impl Entry {
    /// The entry of a model or network, with its origin and no file yet.
    fn of(name: &str, files: &ModelFiles) -> Self {
        let root = files.root();
        Self {
            name: without_main(name).to_owned(),
            repo: root.and_then(repository_of_snapshot),
            revision: root.and_then(commit_of).map(str::to_owned),
            files: Hashes::new(),
        }
    }

    /// Returns true if both are the same revision of the same model or network.
    fn is_of(&self, other: &Self) -> bool {
        (&self.name, &self.repo, &self.revision) == (&other.name, &other.repo, &other.revision)
    }
}

/// A name without the default branch.
fn without_main(name: &str) -> &str {
    name.strip_suffix("@main").unwrap_or(name)
}

/// The SHA-256 of the files at `paths`.
fn hashes_of_files(files: &ModelFiles, paths: &[&str]) -> Result<Hashes> {
    let root = files.root().unwrap_or(Path::new(""));
    let mut hashes = Hashes::new();
    for path in paths {
        hashes.insert((*path).to_owned(), hash_of_file(&root.join(path))?);
    }
    Ok(hashes)
}

/// The SHA-256 of every file that a run with this model reads, except files that are generated from
/// a single-file model.
fn hashes_of_model(files: &ModelFiles) -> Result<Hashes> {
    let mut hashes = Hashes::new();
    if files.checkpoint().is_some() {
        hashes.insert(files.name.clone(), hash_of_file(Path::new(&files.origin))?);
    }
    for path in used_files(files) {
        if let Some(bytes) = files.embedded_bytes(&path) {
            hashes.insert(path, format!("sha256:{}", sha256(bytes)));
        } else if let Some(place) = files.path(&path).filter(|place| place.is_file()) {
            hashes.insert(path, hash_of_file(&place)?);
        }
    }
    Ok(hashes)
}

fn hash_of_file(path: &Path) -> Result<String> {
    let digits = sha256_of_file(path).map_err(|e| {
        Error::new(Kind::ModelFile, format!("cannot read `{}`", path.display())).source(e)
    })?;
    Ok(format!("sha256:{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::models::{DEMO_FILES, DEMO_NAME};

    #[test]
    fn a_lock_is_written_read_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.lock");
        let files = ModelFiles::embedded(DEMO_NAME, DEMO_FILES);
        let mut lock = LockFile::open(&path).unwrap();
        lock.record(&files).unwrap();
        lock.record(&files).unwrap();
        lock.write().unwrap();
        let read = LockFile::read(&path).unwrap();
        assert_eq!(read.models.len(), 1);
        assert_eq!(read.models[0].files.len(), DEMO_FILES.len());
        read.check(&files).unwrap();
        assert!(
            read.repository(DEMO_NAME).is_err(),
            "it is no model of the hub"
        );

        let fewer = ModelFiles::embedded(DEMO_NAME, &DEMO_FILES[..DEMO_FILES.len() - 1]);
        assert!(
            read.check(&fewer)
                .unwrap_err()
                .to_string()
                .contains("lacks `vae/")
        );
        let other = ModelFiles::embedded("other", DEMO_FILES);
        assert!(
            read.check(&other)
                .unwrap_err()
                .to_string()
                .contains("`other` is not in the lock file")
        );
        let mut changed = read;
        changed.models[0]
            .files
            .insert("vae/config.json".into(), "sha256:0".into());
        assert!(
            changed
                .check(&files)
                .unwrap_err()
                .to_string()
                .contains("expected sha256:0, got sha256:")
        );
    }

    #[test]
    fn adapters_are_locked_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let mut lock = LockFile::open(&path).unwrap();
        lock.record(&ModelFiles::embedded(DEMO_NAME, DEMO_FILES))
            .unwrap();
        lock.record_adapter("loras/ink.safetensors", "01ab");
        lock.write().unwrap();
        let read = LockFile::read(&path).unwrap();
        read.check_adapter("loras/ink.safetensors", "01ab").unwrap();
        let error = read
            .check_adapter("loras/ink.safetensors", "02cd")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected sha256:01ab, got sha256:02cd"),
            "{error}"
        );
        let error = read
            .check_adapter("words/ink.pt", "01ab")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`words/ink.pt` is not in the lock file"),
            "{error}"
        );
    }

    #[test]
    fn networks_are_locked_by_their_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("diffusion_pytorch_model.safetensors");
        std::fs::write(&weights, [0; 16]).unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let files = ModelFiles::folder("net", "net", folder.path().to_owned());
        let paths = ["config.json", "diffusion_pytorch_model.safetensors"];
        let mut lock = LockFile::new(Path::new("x.lock"));
        assert!(
            lock.check_files("net", &files, &paths)
                .unwrap_err()
                .to_string()
                .contains("is not in the lock file")
        );
        lock.record_files("net", &files, &paths).unwrap();
        assert_eq!(lock.models[0].files.len(), 2);
        lock.check_files("net", &files, &paths).unwrap();
        std::fs::write(&weights, [1; 16]).unwrap();
        assert!(
            lock.check_files("net", &files, &paths)
                .unwrap_err()
                .to_string()
                .contains("is another file")
        );
    }

    #[test]
    fn what_is_no_lock_file_is_said_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in [
            "models = 1",
            "version = 1\n[[model]]\nnam = \"x\"",
            "version = 9",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = LockFile::read(file.path()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains(&file.path().display().to_string()),
                "{error}"
            );
        }
    }
}
