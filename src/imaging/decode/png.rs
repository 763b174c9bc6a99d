//! PNG: the `png` crate decodes the pixels alone; the orientation in other chunks is read here,
//! wherever they stand, within limits of this module.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use png::{BitDepth, ColorType, Limits, Reader, Transformations};

use super::exif::orientation;
use super::{Decoder, Fault, grey_of_16, high_byte};

/// Most bytes that the decoder may take in addition to the pixels, and most bytes that a text may
/// inflate to.
const MOST_BESIDE: usize = 64 << 20;
const MOST_TEXT: u64 = 1 << 20;

/// Keyword of a text chunk with XMP.
const XMP: &[u8] = b"XML:com.adobe.xmp";

/// A PNG file whose header has been read.
pub(super) struct Png<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    orientation: Orientation,
}

impl<'a> Png<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut decoder =
            png::Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MOST_BESIDE });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().map_err(|e| broken(&e))?;
        Ok(Self {
            reader,
            orientation: read_orientation(bytes),
        })
    }
}

impl Decoder for Png<'_> {
    fn size(&self) -> [u32; 2] {
        self.reader.info().size().into()
    }

    fn cost(&self) -> u64 {
        let (colour, depth) = self.reader.output_color_type();
        let samples = colour.samples() as u64;
        if depth == BitDepth::Sixteen {
            3 * samples
        } else {
            samples
        }
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(mut self: Box<Self>) -> Result<DynamicImage, Fault> {
        let size = self
            .reader
            .output_buffer_size()
            .ok_or_else(|| broken(&"it is too large"))?;
        let mut bytes = vec![0; size];
        let (width, height) = self.reader.info().size();
        self.reader.next_frame(&mut bytes).map_err(|e| broken(&e))?;
        let (colour, depth) = self.reader.output_color_type();
        if depth == BitDepth::Sixteen {
            let levels = bytes
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]));
            let eight_bits = if colour == ColorType::Grayscale {
                grey_of_16
            } else {
                high_byte
            };
            bytes = levels.map(eight_bits).collect();
        }
        let image = match colour {
            ColorType::Grayscale => {
                GrayImage::from_raw(width, height, bytes).map(DynamicImage::from)
            }
            ColorType::GrayscaleAlpha => {
                GrayAlphaImage::from_raw(width, height, bytes).map(Into::into)
            }
            ColorType::Rgb => RgbImage::from_raw(width, height, bytes).map(Into::into),
            ColorType::Rgba => RgbaImage::from_raw(width, height, bytes).map(Into::into),
            ColorType::Indexed => None,
        };
        image.ok_or_else(|| broken(&"its palette is missing"))
    }
}

/// The orientation in the chunks before or behind the pixels.
fn read_orientation(bytes: &[u8]) -> Orientation {
    let (mut exif, mut profile, mut xmp) = (None, None, None);
    let mut rest = &bytes[8..];
    while let Some((kind, body, behind)) = next_chunk(rest) {
        rest = behind;
        match kind {
            b"eXIf" => exif = Some(body.to_vec()),
            b"tEXt" | b"zTXt" | b"iTXt" => match relevant_text(kind, body) {
                Some((b"exif", block)) if kind == b"tEXt" => exif = Some(block),
                Some((b"Raw profile type exif", lines)) => profile = decode_raw_profile(&lines),
                Some((XMP, packet)) => xmp = Some(packet),
                _ => {}
            },
            b"IEND" => break,
            _ => {}
        }
    }
    orientation(exif.or(profile).as_deref(), xmp.as_deref())
}

/// The next chunk's type and body, and the bytes behind it.
fn next_chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (kind, rest) = rest.split_at_checked(4)?;
    Some((
        kind,
        rest.get(..length)?,
        rest.get(length.checked_add(4)?..)?,
    ))
}

/// Keyword and text of a chunk whose keyword may matter here.
fn relevant_text<'a>(kind: &[u8], body: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let (keyword, rest) = split_at_zero(body)?;
    if !matches!(keyword, b"exif" | b"Raw profile type exif" | XMP) {
        return None;
    }
    let text = match (kind, rest) {
        (b"tEXt", text) => text.to_vec(),
        (b"zTXt", [0, packed @ ..]) => inflate(packed)?,
        (b"iTXt", [compressed, 0, rest @ ..]) => {
            let (_language, rest) = split_at_zero(rest)?;
            let (_translated, text) = split_at_zero(rest)?;
            if *compressed == 0 {
                text.to_vec()
            } else {
                inflate(text)?
            }
        }
        _ => return None,
    };
    Some((keyword, text))
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The inflated text, unless it is longer than [`MOST_TEXT`].
fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    ZlibDecoder::new(packed)
        .take(MOST_TEXT + 1)
        .read_to_end(&mut text)
        .ok()?;
    (text.len() as u64 <= MOST_TEXT).then_some(text)
}

/// The bytes of a raw profile as ImageMagick writes it to a text: a line with its name and one with
/// its length, then hexadecimal digits.
fn decode_raw_profile(lines: &[u8]) -> Option<Vec<u8>> {
    let digits = lines
        .split(|b| *b == b'\n')
        .skip(3)
        .flatten()
        .filter(|b| !b.is_ascii_whitespace());
    let digits: Option<Vec<u8>> = digits
        .map(|b| (*b as char).to_digit(16).map(|d| d as u8))
        .collect();
    digits.map(|digits| {
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    })
}

fn broken(error: &dyn std::fmt::Display) -> Fault {
    Fault::Broken(error.to_string())
}
