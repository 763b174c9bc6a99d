//! SHA-256 of bytes and of files, as hexadecimal digits.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that are read at a time.
const BLOCK: usize = 1 << 20;

/// SHA-256 of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of a file's content, and of that content without the header with which safetensors files
/// begin: eight bytes of length, then so many bytes.
pub(crate) fn sha256_with_and_without_header(path: &Path) -> io::Result<[String; 2]> {
    let mut file = File::open(path)?;
    let (mut whole, mut tensors) = (Sha256::new(), Sha256::new());
    let mut block = vec![0; BLOCK];
    let mut header = None;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        whole.update(&block[..read]);
        let left = header.get_or_insert_with(|| {
            let length = block[..read].first_chunk::<8>();
            length.map_or(0, |length| u64::from_le_bytes(*length).saturating_add(8))
        });
        let skipped = usize::try_from(*left).map_or(read, |left| left.min(read));
        *left -= skipped as u64;
        tensors.update(&block[skipped..read]);
    }
    Ok([hex(&whole.finalize()), hex(&tensors.finalize())])
}

/// Hexadecimal digits of bytes.
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
    fn a_header_can_be_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tensors = vec![7u8; 3 * BLOCK];
        let bytes = [&2u64.to_le_bytes(), b"{}".as_slice(), &tensors].concat();
        std::fs::write(file.path(), &bytes).unwrap();
        let found = sha256_with_and_without_header(file.path()).unwrap();
        assert_eq!(found, [sha256(&bytes), sha256(&tensors)]);
    }

    #[test]
    fn hashes_are_those_of_sha256sum() {
        // `printf abc | sha256sum`
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(sha256(b"abc"), expected);
        assert_eq!(sha256_of_file(file.path()).unwrap(), expected);
    }
}
