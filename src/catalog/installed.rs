//! Contents of the cache: models and their sizes, verification of hashes, and removal.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lookup::repository_ids;
use super::{ModelFiles, ModelRef};
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::hub::{BlobHash, RepoCache, commit_of, disk_error, repository_of_folder};

/// One repository in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstalledRepo {
    /// `org/name`.
    pub repo: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Bytes of downloads that are not finished, among them.
    pub unfinished: u64,
    /// Commits with a snapshot.
    pub revisions: Vec<String>,
    /// Its folder.
    pub path: PathBuf,
}

/// Everything in the cache, by name.
///
/// # Errors
/// There is no folder for a cache.
pub fn list_installed(hub: &Hub) -> Result<Vec<InstalledRepo>> {
    let mut repos: Vec<InstalledRepo> = entries(hub.cache()?)
        .filter_map(|path| Some((repository_of_folder(&path)?, path)))
        .map(|(repo, path)| measure(repo, path))
        .collect();
    repos.sort_by(|a, b| a.repo.cmp(&b.repo));
    Ok(repos)
}

fn measure(repo: String, path: PathBuf) -> InstalledRepo {
    let length = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
    let is_partial = |path: &&PathBuf| path.extension().is_some_and(|end| end == "incomplete");
    let blobs: Vec<PathBuf> = entries(&path.join("blobs")).collect();
    // Without links a snapshot holds the files themselves.
    let own = files_below(&path.join("snapshots"))
        .into_iter()
        .filter(|path| !path.is_symlink());
    let mut revisions: Vec<String> = entries(&path.join("snapshots"))
        .filter_map(|path| Some(commit_of(&path)?.to_owned()))
        .collect();
    revisions.sort();
    InstalledRepo {
        repo,
        bytes: blobs
            .iter()
            .map(|path| length(path))
            .chain(own.map(|path| length(&path)))
            .sum(),
        unfinished: blobs
            .iter()
            .filter(is_partial)
            .map(|path| length(path))
            .sum(),
        revisions,
        path,
    }
}

/// Result of checking one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Verdict {
    /// The content has the hash that its name is.
    Intact,
    /// The content has another hash.
    Damaged {
        /// Hash by which the hub knows the file.
        expected: String,
        /// Hash of the content.
        found: String,
    },
    /// The cache lacks the content, or it cannot be read.
    Missing,
    /// Nothing says what the content should be.
    Unknown,
}

/// Path and verdict of every file in a model's snapshot, hashed one by one as the iterator goes.
///
/// # Errors
/// The model does not lie in the cache.
pub fn verify(files: &ModelFiles) -> Result<impl Iterator<Item = (String, Verdict)>> {
    let root = files
        .root()
        .filter(|root| commit_of(root).is_some())
        .ok_or_else(|| {
            Error::field(
                "model",
                format!("`{}` is no model of the cache", files.origin),
            )
            .hint("only the hub says what the hash of a file should be")
        })?;
    let root = root.to_owned();
    let mut paths = files_below(&root);
    paths.sort();
    Ok(paths.into_iter().map(move |path| {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .to_string_lossy()
            .replace('\\', "/");
        (name, verify_file(&path))
    }))
}

fn verify_file(path: &Path) -> Verdict {
    let target = fs::read_link(path)
        .ok()
        .and_then(|to| BlobHash::parse(to.file_name()?.to_str()?));
    match target {
        Some(hash) => match hash.mismatch(path) {
            Err(_) => Verdict::Missing,
            Ok(Some(found)) => Verdict::Damaged {
                expected: hash.name().to_owned(),
                found,
            },
            Ok(None) if matches!(hash, BlobHash::Opaque(_)) => Verdict::Unknown,
            Ok(None) => Verdict::Intact,
        },
        None => Verdict::Unknown,
    }
}

/// Removes a model from the cache: all of its repository, or one revision where the name says
/// which. Returns the bytes that are free again.
///
/// # Errors
/// It is not there, another process is fetching it, or a file cannot be removed.
pub fn remove(model: &ModelRef, hub: &Hub) -> Result<u64> {
    let cache = hub.cache()?;
    let (names, revision) = match model {
        ModelRef::Repo { id, revision } => (
            vec![id.clone()],
            Some(revision).filter(|name| *name != "main"),
        ),
        ModelRef::Known(_) | ModelRef::Folder(_) | ModelRef::File(_) => {
            (repository_ids(model), None)
        }
    };
    let caches: Vec<RepoCache> = names
        .iter()
        .map(|id| RepoCache::new(cache, id))
        .filter(|store| store.root().is_dir())
        .collect();
    if caches.is_empty() {
        return Err(
            Error::new(Kind::ModelNotFound, "the model is not in the cache")
                .hint("`sdgen models du` lists what is"),
        );
    }
    let mut freed = 0;
    for store in caches {
        check_unused(&store)?;
        freed += match revision {
            Some(revision) => remove_revision(&store, revision)?,
            None => remove_all(&store)?,
        };
    }
    Ok(freed)
}

/// Checks that no other process is downloading the repository.
fn check_unused(store: &RepoCache) -> Result<()> {
    for lock in entries(&store.locks()) {
        let held = OpenOptions::new()
            .write(true)
            .open(&lock)
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if held {
            return Err(
                Error::new(Kind::Output, "another process is fetching this model")
                    .hint(format!("it holds `{}`", lock.display())),
            );
        }
    }
    Ok(())
}

fn remove_all(store: &RepoCache) -> Result<u64> {
    let root = store.root();
    let bytes = measure(String::new(), root.clone()).bytes;
    fs::remove_dir_all(&root).map_err(|e| disk_error(&root, e))?;
    // Python leaves its locks as well; an empty folder is no harm.
    let _ = fs::remove_dir_all(store.locks());
    Ok(bytes)
}

/// Removes a snapshot, the refs to it, and the contents that no other snapshot has.
fn remove_revision(store: &RepoCache, revision: &str) -> Result<u64> {
    let root = store.root();
    let snapshot = store.find_snapshot(revision).ok_or_else(|| {
        Error::new(
            Kind::ModelNotFound,
            format!("revision `{revision}` is not in the cache"),
        )
        .hint(format!(
            "there: {}",
            measure(String::new(), root.clone()).revisions.join(", ")
        ))
    })?;
    let before = measure(String::new(), root.clone()).bytes;
    let commit = commit_of(&snapshot).unwrap_or_default().to_owned();
    fs::remove_dir_all(&snapshot).map_err(|e| disk_error(&snapshot, e))?;
    for path in files_below(&root.join("refs")) {
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == commit) {
            fs::remove_file(&path).map_err(|e| disk_error(&path, e))?;
        }
    }
    let in_use: BTreeSet<_> = files_below(&root.join("snapshots"))
        .iter()
        .filter_map(|path| Some(fs::read_link(path).ok()?.file_name()?.to_owned()))
        .collect();
    for blob in entries(&root.join("blobs")) {
        if blob.file_name().is_some_and(|name| !in_use.contains(name)) {
            fs::remove_file(&blob).map_err(|e| disk_error(&blob, e))?;
        }
    }
    Ok(before.saturating_sub(measure(String::new(), root).bytes))
}

/// Paths in a folder; none if the folder does not exist.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Every file and link below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder).partition(|path| path.is_dir() && !path.is_symlink());
    files
        .into_iter()
        .chain(folders.iter().flat_map(|folder| files_below(folder)))
        .collect()
}
