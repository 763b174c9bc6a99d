//! Text files of users: UTF-8, with or without the byte order mark that Windows writes.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The byte order mark; as a character, a space of no width that joins words.
const MARK: char = '\u{feff}';
/// UTF-16 in either order.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String> {
    decoded(std::fs::read(path)?)
}

/// All text of a stream.
pub(crate) fn of(mut stream: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    decoded(bytes)
}

/// Returns true if every other byte is 0, as in UTF-16 of Latin letters without a byte order mark.
fn is_wide(bytes: &[u8]) -> bool {
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).all(|byte| *byte == 0);
    bytes.len() > 1 && (zeros(0) || zeros(1))
}

/// Bytes as text, without the byte order mark at the head of any line: files that were concatenated
/// may hold several.
fn decoded(bytes: Vec<u8>) -> Result<String> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidData, what);
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) || is_wide(&bytes) {
        return Err(wrong(
            "it is UTF-16, expected UTF-8; save it as UTF-8".to_owned(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        wrong(format!("line {line} is not UTF-8; save it as UTF-8"))
    })?;
    if !text.contains(MARK) {
        return Ok(text);
    }
    let lines = text.split_inclusive('\n');
    Ok(lines.map(|line| line.trim_start_matches(MARK)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_at_the_head_of_lines_are_no_text_and_others_stay() {
        let text = |bytes: &[u8]| of(bytes).unwrap();
        assert_eq!(text(b"\xef\xbb\xbfa\r\nb"), "a\r\nb");
        assert_eq!(text(b"\xef\xbb\xbf"), "");
        assert_eq!(text(b"a\n\xef\xbb\xbf\xef\xbb\xbfb\n"), "a\nb\n");
        assert_eq!(text("a\u{feff}b\n".as_bytes()), "a\u{feff}b\n");
        assert_eq!(text("é\n".as_bytes()), "é\n");
    }

    #[test]
    fn other_encodings_are_named() {
        let told = |bytes: &[u8]| of(bytes).unwrap_err().to_string();
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0 \0"] {
            assert!(told(utf_16).contains("UTF-16"), "{utf_16:?}");
        }
        assert_eq!(told(b"a\nb\xe9\n"), "line 2 is not UTF-8; save it as UTF-8");
    }
}
