//! Hashes that identify an adapter file: the SHA-256 of the whole file, and the one that A1111 and
//! kohya compute, which leaves out the header.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::hash::hex;

/// Hashes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256 of the file.
    pub file: String,
    /// First twelve digits of the hash by which A1111 identifies a LoRA.
    pub short: String,
}

/// Metadata key under which kohya's programs store the hash of the tensors.
const KOHYA: &str = "sshs_model_hash";
/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// Reads the whole file once and computes both hashes.
pub(super) fn hashes(path: &Path, metadata: &BTreeMap<String, String>) -> Result<Hashes> {
    let unreadable = |e: std::io::Error| {
        Error::new(Kind::ModelFile, format!("cannot read `{}`", path.display())).source(e)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut whole, mut tensors) = (Sha256::new(), Sha256::new());
    let mut block = vec![0; BLOCK];
    let mut header = 0;
    for first in std::iter::once(true).chain(std::iter::repeat(false)) {
        let read = file.read(&mut block).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        whole.update(&block[..read]);
        if let Some(size) = block[..read].first_chunk::<8>().filter(|_| first) {
            header = u64::from_le_bytes(*size).saturating_add(8);
        }
        let skipped = usize::try_from(header).map_or(read, |header| header.min(read));
        header -= skipped as u64;
        tensors.update(&block[skipped..read]);
    }
    let stored = metadata
        .get(KOHYA)
        .filter(|hash| hash.len() == 64 && hash.is_ascii());
    let short = stored.cloned().unwrap_or_else(|| hex(&tensors.finalize()));
    Ok(Hashes {
        file: hex(&whole.finalize()),
        short: short.chars().take(12).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_hash_leaves_the_header_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = vec![7u8; 3 * BLOCK];
        std::fs::write(
            &path,
            [&2u64.to_le_bytes(), b"{}".as_slice(), &tensors].concat(),
        )
        .unwrap();
        let found = hashes(&path, &BTreeMap::new()).unwrap();
        assert_eq!(found.short, hex(&Sha256::digest(&tensors))[..12]);
        assert_eq!(
            found.file,
            hex(&Sha256::digest(std::fs::read(&path).unwrap()))
        );
        let kohya = BTreeMap::from([(KOHYA.to_owned(), "ab".repeat(32))]);
        assert_eq!(hashes(&path, &kohya).unwrap().short, "abababababab");
    }
}
