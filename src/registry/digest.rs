//! Hashes by which the hub names contents: SHA-256 of large files, git's blob hash of small ones.

use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Name of a content in the cache, which is the name of its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// SHA-256 of the content.
    Sha256(String),
    /// SHA-1 of git's header and the content.
    GitBlob(String),
    /// A name that says nothing about the content.
    Opaque(String),
}

impl Hash {
    /// Reads an etag of the hub or the name of a blob; `None` for what can be no file name.
    pub(super) fn parse(etag: &str) -> Option<Self> {
        let name = etag.trim_start_matches("W/").trim_matches('"');
        let is_hex = name
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_tame = !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match name.len() {
            64 if is_hex => Some(Self::Sha256(name.to_owned())),
            40 if is_hex => Some(Self::GitBlob(name.to_owned())),
            1..=128 if is_tame => Some(Self::Opaque(name.to_owned())),
            _ => None,
        }
    }

    /// The blob's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Sha256(name) | Self::GitBlob(name) | Self::Opaque(name) => name,
        }
    }

    /// Starts to hash a content of `size` bytes; git's hash needs to know how many.
    pub(super) fn hasher(&self, size: Option<u64>) -> Hasher {
        match (self, size) {
            (Self::Sha256(_), _) => Hasher::Sha256(Sha256::new()),
            (Self::GitBlob(_), Some(size)) => {
                Hasher::GitBlob(Sha1::new().chain_update(format!("blob {size}\0")))
            }
            (Self::GitBlob(_), None) | (Self::Opaque(_), _) => Hasher::Nothing,
        }
    }

    /// The hash that the content of a file has in place of this one; `None` when it is this one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn differs(&self, path: &Path) -> io::Result<Option<String>> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = self.hasher(Some(file.metadata()?.len()));
        hasher.read(&mut file)?;
        Ok(hasher.finish().filter(|found| found != self.name()))
    }
}

/// A hash on its way.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
    Nothing,
}

impl Hasher {
    /// More content.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
            Self::Nothing => {}
        }
    }

    /// All that `source` still has; returns how much that was.
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

    /// The hash in hexadecimal digits; nothing where none is known.
    pub(super) fn finish(self) -> Option<String> {
        match self {
            Self::Sha256(hasher) => Some(hex(&hasher.finalize())),
            Self::GitBlob(hasher) => Some(hex(&hasher.finalize())),
            Self::Nothing => None,
        }
    }
}

/// SHA-256 of a file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_have_the_names_that_git_and_sha256sum_give_them() {
        // `printf abc | git hash-object --stdin` and `printf abc | sha256sum`
        let git = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        for name in [git, sha256] {
            let hash = Hash::parse(&format!("\"{name}\"")).unwrap();
            assert_eq!(hash.differs(file.path()).unwrap(), None, "{name}");
        }
        assert_eq!(super::sha256(file.path()).unwrap(), sha256);
        std::fs::write(file.path(), "abd").unwrap();
        assert!(
            Hash::parse(git)
                .unwrap()
                .differs(file.path())
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn an_etag_that_could_lead_out_of_the_cache_is_none() {
        assert_eq!(Hash::parse("W/\"0f-1\""), Some(Hash::Opaque("0f-1".into())));
        for wild in ["", "../x", ".hidden", "a/b", "a\\b", "\"\""] {
            assert_eq!(Hash::parse(wild), None, "{wild:?}");
        }
    }
}
