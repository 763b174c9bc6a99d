//! Layout of the Hugging Face cache, which Python and sdgen share:
//! `models--org--name/{blobs,refs,snapshots}`, and a lock for each blob in `.locks`. A blob is named
//! by its hash: SHA-256 for large files, git's blob hash for small ones.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::env::Hub;
use crate::hash::hex;

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// `org/name`.
    pub(crate) id: String,
    /// Branch, tag or commit.
    pub(crate) revision: String,
}

impl Repository {
    /// Reads `org/name[@rev]` in the hub's alphabet; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (org, name) = id.split_once('/')?;
        let legal = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        // A revision is a path below refs/ in the cache: none may lead out of it.
        let is_valid = legal(org) && legal(name) && revision.split('/').all(legal);
        is_valid.then(|| Self::new(id, revision))
    }

    pub(crate) fn new(id: &str, revision: &str) -> Self {
        Self {
            id: id.to_owned(),
            revision: revision.to_owned(),
        }
    }

    /// The repository as users name it: without `main`, which is meant anyway.
    pub(crate) fn display_name(&self) -> String {
        if self.revision == "main" {
            self.id.clone()
        } else {
            format!("{}@{}", self.id, self.revision)
        }
    }
}

/// One repository in a cache.
#[derive(Clone, Debug)]
pub(crate) struct RepoCache {
    cache: PathBuf,
    id: String,
    folder_name: String,
    no_symlinks: bool,
}

impl RepoCache {
    /// The repository `org/name` in the cache at `cache`.
    pub(crate) fn new(cache: &Path, id: &str) -> Self {
        Self {
            cache: cache.to_owned(),
            id: id.to_owned(),
            folder_name: Repo::model(id.to_owned()).folder_name(),
            no_symlinks: false,
        }
    }

    /// The same repository, to which files are added without symbolic links if `no_symlinks`.
    pub(super) fn without_symlinks(self, no_symlinks: bool) -> Self {
        Self {
            no_symlinks,
            ..self
        }
    }

    /// The folder with everything of the repository but its locks.
    pub(crate) fn root(&self) -> PathBuf {
        self.cache.join(&self.folder_name)
    }

    /// The folder of the repository's locks.
    pub(crate) fn locks(&self) -> PathBuf {
        self.cache.join(".locks").join(&self.folder_name)
    }

    /// Path of a blob by its hash.
    pub(super) fn blob(&self, hash: &BlobHash) -> PathBuf {
        self.root().join("blobs").join(hash.name())
    }

    /// Path of a blob while it is incomplete.
    pub(super) fn partial(&self, hash: &BlobHash) -> PathBuf {
        self.root()
            .join("blobs")
            .join(format!("{}.incomplete", hash.name()))
    }

    /// Path of the lock that is held while a blob is downloaded, by Python as well.
    pub(super) fn lock(&self, hash: &BlobHash) -> PathBuf {
        self.locks().join(format!("{}.lock", hash.name()))
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    /// The snapshot of a revision, which is a branch or tag with a ref, or a commit.
    pub(crate) fn find_snapshot(&self, revision: &str) -> Option<PathBuf> {
        let commit = std::fs::read_to_string(self.root().join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
        let snapshot = self.snapshot(&commit);
        (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// Writes the ref of a branch or tag; a commit needs none.
    pub(super) fn set_ref(&self, revision: &str, commit: &str) -> io::Result<()> {
        let path = self.root().join("refs").join(revision);
        if revision == commit || std::fs::read_to_string(&path).is_ok_and(|text| text == commit) {
            return Ok(());
        }
        let branch = Repo::with_revision(self.id.clone(), RepoType::Model, revision.to_owned());
        Cache::new(self.cache.clone())
            .repo(branch)
            .create_ref(commit)
    }

    /// Adds a blob to a snapshot under the file's path: a relative symbolic link, else a hard link,
    /// else a copy.
    pub(super) fn link(&self, hash: &BlobHash, commit: &str, path: &str) -> io::Result<()> {
        let pointer = self.snapshot(commit).join(path);
        create_parent(&pointer)?;
        if let Err(error) = std::fs::remove_file(&pointer)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let up = "../".repeat(2 + path.matches('/').count());
        let target = format!("{up}blobs/{}", hash.name());
        if !self.no_symlinks && symlink(&target, &pointer).is_ok() {
            return Ok(());
        }
        let blob = self.blob(hash);
        if std::fs::hard_link(&blob, &pointer).is_err() {
            std::fs::copy(&blob, &pointer)?;
        }
        Ok(())
    }
}

/// Hash by which the hub knows a file: the name of its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BlobHash {
    /// SHA-256 of the content.
    Sha256(String),
    /// SHA-1 of git's header and the content.
    GitBlob(String),
    /// A name that says nothing about the content.
    Opaque(String),
}

impl BlobHash {
    /// Reads an etag of the hub or the name of a blob; `None` if it cannot be a file name.
    pub(crate) fn parse(etag: &str) -> Option<Self> {
        let name = etag.trim_start_matches("W/").trim_matches('"');
        let is_hex = name
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_valid = !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match name.len() {
            64 if is_hex => Some(Self::Sha256(name.to_owned())),
            40 if is_hex => Some(Self::GitBlob(name.to_owned())),
            1..=128 if is_valid => Some(Self::Opaque(name.to_owned())),
            _ => None,
        }
    }

    /// The blob's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sha256(name) | Self::GitBlob(name) | Self::Opaque(name) => name,
        }
    }

    /// A hasher for `size` bytes, which git's hash begins with.
    pub(super) fn hasher(&self, size: Option<u64>) -> Hasher {
        match (self, size) {
            (Self::Sha256(_), _) => Hasher::Sha256(Sha256::new()),
            (Self::GitBlob(_), Some(size)) => {
                Hasher::GitBlob(Sha1::new().chain_update(format!("blob {size}\0")))
            }
            (Self::GitBlob(_), None) | (Self::Opaque(_), _) => Hasher::Unknown,
        }
    }

    /// The actual hash of a file if it differs from this one.
    pub(crate) fn mismatch(&self, path: &Path) -> io::Result<Option<String>> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = self.hasher(Some(file.metadata()?.len()));
        hasher.read(&mut file)?;
        Ok(hasher.finish().filter(|found| found != self.name()))
    }
}

/// A hash of the content so far.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
    Unknown,
}

impl Hasher {
    /// Adds content.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
            Self::Unknown => {}
        }
    }

    /// Adds the rest of `source`; returns its length.
    pub(super) fn read(&mut self, source: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 1 << 18];
        let mut length = 0;
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(length),
                n => {
                    self.update(&buffer[..n]);
                    length += n as u64;
                }
            }
        }
    }

    /// The hash in hexadecimal digits; `None` for an opaque name.
    pub(super) fn finish(self) -> Option<String> {
        match self {
            Self::Sha256(hasher) => Some(hex(&hasher.finalize())),
            Self::GitBlob(hasher) => Some(hex(&hasher.finalize())),
            Self::Unknown => None,
        }
    }
}

#[cfg(unix)]
fn symlink(to: &str, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
fn symlink(to: &str, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(to.replace('/', "\\"), at)
}

/// Creates the folder that a file goes into.
pub(super) fn create_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// The commit of a snapshot folder; `None` for any other folder.
pub(crate) fn commit_of(folder: &Path) -> Option<&str> {
    let parent = folder.parent()?;
    (parent.file_name()? == "snapshots")
        .then(|| folder.file_name()?.to_str())
        .flatten()
}

/// The id of the repository of a snapshot folder.
pub(crate) fn repository_of_snapshot(snapshot: &Path) -> Option<String> {
    commit_of(snapshot)?;
    repository_of_folder(snapshot.parent()?.parent()?)
}

/// The id of the repository of a folder directly in a cache.
pub(crate) fn repository_of_folder(folder: &Path) -> Option<String> {
    Some(
        folder
            .file_name()?
            .to_str()?
            .strip_prefix("models--")?
            .replace("--", "/"),
    )
}

/// Returns true if the text can be a commit, and so a folder's name.
pub(super) fn is_commit(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Bytes that are free where the cache is, or will be; nothing where the file system does not say.
pub fn free_space(hub: &Hub) -> Option<u64> {
    free_space_at(hub.cache.as_deref()?)
}

/// Bytes that are free where a folder is, or will be.
pub(super) fn free_space_at(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    fs4::available_space(existing).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path, text: &str) {
        create_parent(path).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_revision_is_a_ref_or_a_commit() {
        let cache = tempfile::tempdir().unwrap();
        let store = RepoCache::new(cache.path(), "o/n");
        touch(&cache.path().join("models--o--n/refs/main"), "abc\n");
        touch(&cache.path().join("models--o--n/refs/evil"), "../../..");
        touch(
            &cache
                .path()
                .join("models--o--n/snapshots/abc/model_index.json"),
            "{}",
        );
        let expected = cache.path().join("models--o--n/snapshots/abc");
        assert_eq!(commit_of(&expected), Some("abc"));
        assert_eq!(
            (store.find_snapshot("main"), store.find_snapshot("abc")),
            (Some(expected.clone()), Some(expected))
        );
        assert_eq!(
            (store.find_snapshot("v2"), store.find_snapshot("evil")),
            (None, None)
        );
    }

    #[test]
    fn the_layout_is_that_of_python() {
        let cache = tempfile::tempdir().unwrap();
        let store = RepoCache::new(cache.path(), "org/name");
        let hash = BlobHash::parse("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f").unwrap();
        touch(&store.blob(&hash), "abc");
        store.link(&hash, "c0", "unet/config.json").unwrap();
        store.link(&hash, "c0", "model_index.json").unwrap();
        store.link(&hash, "c0", "model_index.json").unwrap();
        store.set_ref("refs/pr/1", "c0").unwrap();
        store.set_ref("c0", "c0").unwrap();
        let root = cache.path().join("models--org--name");
        assert_eq!(
            std::fs::read_to_string(root.join("refs/refs/pr/1")).unwrap(),
            "c0"
        );
        assert!(!root.join("refs/c0").exists());
        for (path, to) in [
            ("unet/config.json", "../../../blobs/"),
            ("model_index.json", "../../blobs/"),
        ] {
            let pointer = root.join("snapshots/c0").join(path);
            assert_eq!(std::fs::read_to_string(&pointer).unwrap(), "abc");
            if cfg!(unix) {
                assert_eq!(
                    std::fs::read_link(pointer).unwrap(),
                    Path::new(&format!("{to}{}", hash.name()))
                );
            }
        }
        let lock = cache
            .path()
            .join(".locks/models--org--name")
            .join(format!("{}.lock", hash.name()));
        assert_eq!(store.lock(&hash), lock);
        let plain = store.without_symlinks(true);
        plain.link(&hash, "c1", "unet/config.json").unwrap();
        let pointer = root.join("snapshots/c1/unet/config.json");
        assert!(std::fs::read_link(&pointer).is_err());
        assert_eq!(std::fs::read_to_string(&pointer).unwrap(), "abc");
    }

    #[test]
    fn blobs_have_the_names_that_git_and_sha256sum_give_them() {
        // `printf abc | git hash-object --stdin` and `printf abc | sha256sum`
        let git = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        for name in [git, sha256] {
            let hash = BlobHash::parse(&format!("\"{name}\"")).unwrap();
            assert_eq!(hash.mismatch(file.path()).unwrap(), None, "{name}");
        }
        std::fs::write(file.path(), "abd").unwrap();
        let hash = BlobHash::parse(git).unwrap();
        assert!(hash.mismatch(file.path()).unwrap().is_some());
    }

    #[test]
    fn an_etag_that_could_lead_out_of_the_cache_is_none() {
        let opaque = Some(BlobHash::Opaque("0f-1".into()));
        assert_eq!(BlobHash::parse("W/\"0f-1\""), opaque);
        for wild in ["", "../x", ".hidden", "a/b", "a\\b", "\"\""] {
            assert_eq!(BlobHash::parse(wild), None, "{wild:?}");
        }
    }
}
