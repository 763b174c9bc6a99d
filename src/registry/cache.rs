//! Layout of the Hugging Face cache, which Python and sdgen share:
//! `models--org--name/{blobs,refs,snapshots}`, and a lock for each blob in `.locks`. Downloading is
//! not part of this module.

use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::digest::Hash;

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `org/name`.
    pub(super) id: String,
    /// Branch, tag or commit.
    pub(super) revision: String,
}

/// The store of one repository in a cache.
#[derive(Clone, Debug)]
pub(super) struct Store {
    cache: PathBuf,
    id: String,
    /// Its folder.
    name: String,
    no_symlinks: bool,
}

impl Store {
    /// The store of `org/name`.
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        let name = Repo::model(id.to_owned()).folder_name();
        Self {
            cache: cache.to_owned(),
            id: id.to_owned(),
            name,
            no_symlinks: false,
        }
    }

    /// The same, without symbolic links in what is put into it from now on if so wanted.
    pub(super) fn without_symlinks(self, no_symlinks: bool) -> Self {
        Self {
            no_symlinks,
            ..self
        }
    }

    /// The folder with everything of the repository but its locks.
    pub(super) fn root(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    /// The folder of the repository's locks.
    pub(super) fn locks(&self) -> PathBuf {
        self.cache.join(".locks").join(&self.name)
    }

    /// Path of a blob by its hash.
    pub(super) fn blob(&self, hash: &Hash) -> PathBuf {
        self.root().join("blobs").join(hash.name())
    }

    /// Path of a blob while it is incomplete.
    pub(super) fn partial(&self, hash: &Hash) -> PathBuf {
        self.root()
            .join("blobs")
            .join(format!("{}.incomplete", hash.name()))
    }

    /// Path of the lock that is held while a blob is downloaded, by Python as well.
    pub(super) fn lock(&self, hash: &Hash) -> PathBuf {
        self.locks().join(format!("{}.lock", hash.name()))
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    /// The snapshot that a revision stands for: through its ref, or the commit itself.
    pub(super) fn find(&self, revision: &str) -> Option<PathBuf> {
        let commit = std::fs::read_to_string(self.root().join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
        let snapshot = self.snapshot(&commit);
        (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// Writes down which commit a branch or tag is; a commit needs no ref.
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

    /// Puts a blob into a snapshot under the file's path: a relative link, or where there are none
    /// another name of the same file, or a copy.
    pub(super) fn link(&self, hash: &Hash, commit: &str, path: &str) -> io::Result<()> {
        let pointer = self.snapshot(commit).join(path);
        create_parent(&pointer)?;
        match std::fs::remove_file(&pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let up = "../".repeat(2 + path.matches('/').count());
        let blob = self.blob(hash);
        let linked = match self.no_symlinks {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => symlink(&format!("{up}blobs/{}", hash.name()), &pointer),
        };
        linked
            .or_else(|_| std::fs::hard_link(&blob, &pointer))
            .or_else(|_| std::fs::copy(&blob, &pointer).map(|_| ()))
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
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// The commit whose snapshot a folder is, if it is one in a cache.
pub(super) fn commit_of(folder: &Path) -> Option<&str> {
    let parent = folder.parent()?;
    (parent.file_name()? == "snapshots")
        .then(|| folder.file_name()?.to_str())
        .flatten()
}

/// The repository that a snapshot in a cache is of.
pub(super) fn repository_of(snapshot: &Path) -> Option<String> {
    commit_of(snapshot)?;
    identity(snapshot.parent()?.parent()?)
}

/// The repository whose folder in a cache this is.
pub(super) fn identity(folder: &Path) -> Option<String> {
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
        let store = Store::new(cache.path(), "o/n");
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
            (store.find("main"), store.find("abc")),
            (Some(expected.clone()), Some(expected))
        );
        assert_eq!((store.find("v2"), store.find("evil")), (None, None));
    }

    #[test]
    fn the_layout_is_that_of_python() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::new(cache.path(), "org/name");
        let hash = Hash::parse("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f").unwrap();
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
}
