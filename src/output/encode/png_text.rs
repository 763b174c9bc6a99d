//! Size and text chunks of a PNG from an untrusted source. Every length is checked before memory is
//! taken; pixels are skipped.
//!
//! The `png` crate's reader does not serve here: it drops a text that is damaged, malformed or not
//! UTF-8 without a word, sorts the texts by kind, and unpacks the pixels to reach the texts behind
//! them, so that a file whose pixels are damaged would lose its metadata too.

use std::io::{Read, SeekFrom};

use super::{BufReadSeek, FileMetadata, Text};
use crate::error::{Error, Kind, Result};
use crate::image::Size;

/// Longest text that is read, as stored and as unpacked.
const MAX_TEXT: u64 = 8 << 20;
/// Most text chunks that are read.
const MAX_TEXTS: usize = 256;
/// Most chunks of any kind, which bounds the time that a hostile file takes.
const MAX_CHUNKS: usize = 1 << 20;

/// First bytes of a PNG.
pub(super) const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// Reads a PNG's size, and keyword and text of each `tEXt`, `zTXt` and `iTXt` chunk.
pub(super) fn read(file: &mut dyn BufReadSeek) -> Result<FileMetadata> {
    let mut signature = [0; 8];
    if file.read_exact(&mut signature).is_err() || signature != SIGNATURE {
        return Err(damaged("it is no PNG"));
    }
    let header = ChunkHeader::read(file)?;
    if &header.kind != b"IHDR" {
        return Err(damaged("its first chunk is no `IHDR`"));
    }
    let size = image_size(&header.read_content(file)?)?;
    let mut texts = Vec::new();
    for _ in 1..MAX_CHUNKS {
        let header = ChunkHeader::read(file)?;
        match &header.kind {
            b"tEXt" | b"zTXt" | b"iTXt" => {
                if texts.len() == MAX_TEXTS {
                    return Err(damaged(format!("it has more than {MAX_TEXTS} texts")));
                }
                texts.push(decode_text(&header.kind, &header.read_content(file)?)?);
            }
            b"IEND" => {
                header.read_content(file)?;
                return Ok(FileMetadata { size, texts });
            }
            _ => header.skip_content(file)?,
        }
    }
    Err(damaged("it has too many chunks"))
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Usage, format!("cannot read the PNG: {what}"))
}

fn cut(_: std::io::Error) -> Error {
    damaged("the file ends in the middle")
}

/// Length and type of a chunk.
struct ChunkHeader {
    length: u64,
    kind: [u8; 4],
}

impl ChunkHeader {
    fn read(file: &mut dyn BufReadSeek) -> Result<Self> {
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(cut)?;
        let [a, b, c, d, kind @ ..] = head;
        Ok(Self {
            length: u64::from(u32::from_be_bytes([a, b, c, d])),
            kind,
        })
    }

    /// The chunk's data, its checksum verified.
    fn read_content(&self, file: &mut dyn BufReadSeek) -> Result<Vec<u8>> {
        let name = String::from_utf8_lossy(&self.kind);
        if self.length > MAX_TEXT {
            return Err(damaged(format!(
                "its `{name}` chunk of {} bytes is beyond {MAX_TEXT}",
                self.length
            )));
        }
        // `take` and not a buffer of the promised length: a lie in the header costs no memory.
        let mut data = Vec::new();
        file.take(self.length).read_to_end(&mut data).map_err(cut)?;
        let mut sum = [0; 4];
        file.read_exact(&mut sum).map_err(cut)?;
        let mut crc = flate2::Crc::new();
        crc.update(&self.kind);
        crc.update(&data);
        if crc.sum() != u32::from_be_bytes(sum) {
            let message = format!("the checksum of its `{name}` chunk is wrong");
            return Err(damaged(message));
        }
        Ok(data)
    }

    fn skip_content(&self, file: &mut dyn BufReadSeek) -> Result<()> {
        // Invariant: a chunk's length has 32 bits, so the sum fits.
        let behind = SeekFrom::Current(self.length as i64 + 4);
        file.seek(behind).map_err(cut)?;
        Ok(())
    }
}

fn image_size(header: &[u8]) -> Result<Size> {
    match *header {
        [a, b, c, d, e, f, g, h, ..] => Ok(Size {
            width: u32::from_be_bytes([a, b, c, d]),
            height: u32::from_be_bytes([e, f, g, h]),
        }),
        _ => Err(damaged("its `IHDR` chunk is too short")),
    }
}

/// Keyword and text of a text chunk (PNG specification, 11.3.3).
fn decode_text(kind: &[u8; 4], data: &[u8]) -> Result<Text> {
    let (keyword, rest) = split_at_zero(data)?;
    let text = match (kind, rest) {
        (b"zTXt", [0, packed @ ..]) => latin1(&inflate(packed)?),
        (b"iTXt", [flag, _method, rest @ ..]) => {
            let (_language, rest) = split_at_zero(rest)?;
            let (_translated, rest) = split_at_zero(rest)?;
            let bytes = if *flag == 1 {
                inflate(rest)?
            } else {
                rest.to_vec()
            };
            String::from_utf8(bytes).map_err(|_| damaged("an `iTXt` chunk is not UTF-8"))?
        }
        (b"zTXt" | b"iTXt", _) => return Err(damaged("a text chunk is malformed")),
        _ => latin1(rest),
    };
    Ok((latin1(keyword), text))
}

/// The bytes before the first zero byte, and those after it.
fn split_at_zero(data: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = data.iter().position(|&byte| byte == 0);
    let end = end.ok_or_else(|| damaged("a text chunk is malformed"))?;
    Ok((&data[..end], &data[end + 1..]))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(packed)
        .take(MAX_TEXT + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| damaged("a compressed text is damaged"))?;
    if bytes.len() as u64 > MAX_TEXT {
        let message = format!("a compressed text unpacks to more than {MAX_TEXT} bytes");
        return Err(damaged(message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length, kind.as_slice(), data, &crc.sum().to_be_bytes()].concat()
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let header = chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 16, 8, 2, 0, 0, 0]);
        [
            &SIGNATURE[..],
            &header,
            &chunks.concat(),
            &chunk(b"IEND", &[]),
        ]
        .concat()
    }

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn message(bytes: Vec<u8>) -> String {
        read(&mut Cursor::new(bytes)).unwrap_err().to_string()
    }

    #[test]
    fn the_three_kinds_of_text_are_read_before_and_after_the_pixels() {
        let packed = [b"b\0\0".as_slice(), &zipped(b"caf\xe9")].concat();
        let utf8 = [b"c\0\x01\0de\0\0".as_slice(), &zipped("灯".as_bytes())].concat();
        let bytes = file(&[
            chunk(b"tEXt", b"a\0caf\xe9"),
            chunk(b"IDAT", &[1; 100]),
            chunk(b"zTXt", &packed),
            chunk(b"iTXt", &utf8),
        ]);
        let found = read(&mut Cursor::new(bytes)).unwrap();
        let texts: Vec<(&str, &str)> = found
            .texts
            .iter()
            .map(|(k, t)| (k.as_str(), t.as_str()))
            .collect();
        assert_eq!(texts, [("a", "café"), ("b", "café"), ("c", "灯")]);
        assert_eq!(found.size, Size::new(8, 16));
    }

    #[test]
    fn every_cut_of_a_file_is_an_error_and_no_panic() {
        let whole = file(&[chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", &[1; 9])]);
        for length in 0..whole.len() {
            assert!(
                read(&mut Cursor::new(&whole[..length])).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn lies_and_bombs_are_refused_by_name() {
        let mut huge = file(&[]);
        huge.truncate(8 + 25);
        huge.extend([0xff, 0xff, 0xff, 0xff]);
        huge.extend(b"tEXt");
        assert!(message(huge).contains("is beyond"));
        let bomb = [b"b\0\0".as_slice(), &zipped(&vec![0; 9 << 20])].concat();
        assert!(message(file(&[chunk(b"zTXt", &bomb)])).contains("unpacks to more than"));
        let mut flipped = file(&[chunk(b"tEXt", b"a\0b")]);
        let at = flipped.len() - 12 - 5;
        flipped[at] ^= 1;
        assert!(message(flipped).contains("checksum"));
        let many = vec![chunk(b"tEXt", b"a\0b"); MAX_TEXTS + 1];
        assert!(message(file(&many)).contains("more than 256 texts"));
        assert!(message(file(&[chunk(b"iTXt", b"a")])).contains("malformed"));
        assert!(message(b"GIF89a".to_vec()).contains("no PNG"));
    }
}
