//! TIFF: the `tiff` crate unpacks the samples as grey levels, whatever their colours; the
//! conversion to colours is done here as in Pillow, except that grey of more than 8 bits is scaled
//! and not clipped.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use mozjpeg::ColorSpace;
use tiff::decoder::{Decoder as Unpacker, DecodingResult, Limits};

use super::budget::MOST;
use super::exif::{Tags, orientation};
use super::jpeg::Jpeg;
use super::{Decoder, Fault, cmyk_to_rgb, grey_of_16, high_byte};

const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const STRIP_BYTE_COUNTS: u16 = 279;
const PLANAR_CONFIGURATION: u16 = 284;
const COLOUR_MAP: u16 = 320;
const EXTRA_SAMPLES: u16 = 338;
const JPEG_TABLES: u16 = 347;
const CHROMA_SUBSAMPLING: u16 = 530;
const XMP: u16 = 700;

/// JPEG compression: left to libjpeg where the strips hold whole pixels.
const JPEG: u16 = 7;
const BLACK_IS_ZERO: u16 = 1;

/// A TIFF file whose first directory has been read.
pub(super) struct Tiff {
    unpacker: Unpacker<Cursor<Vec<u8>>>,
    size: [u32; 2],
    model: Model,
    /// Samples of a pixel, and bits of a sample.
    samples: usize,
    bits: u16,
    alpha: Alpha,
    orientation: Orientation,
    /// Strips of the image, where they are JPEG files.
    jpegs: Option<Jpegs>,
}

/// The colours that samples stand for.
enum Model {
    Grey { inverted: bool },
    Rgb,
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

/// Meaning of the sample behind the colours.
#[derive(Clone, Copy, PartialEq)]
enum Alpha {
    None,
    /// Alpha with which the colours are premultiplied.
    Associated,
    Unassociated,
}

impl Tiff {
    /// Reads the first directory.
    pub(super) fn open(bytes: &[u8]) -> Result<Self, Fault> {
        let tags = Tags::open(bytes).ok_or_else(|| broken("it has no header"))?;
        let one = |tag: u16| tags.all(tag).first().copied();
        let samples = usize::from(one(SAMPLES).unwrap_or(1));
        let jpegs = Jpegs::from_tags(&tags).filter(|_| one(COMPRESSION) == Some(JPEG));
        let model = Model::from_tags(&tags, samples, jpegs.is_some())?;
        let alpha = match (
            tags.all(EXTRA_SAMPLES).first(),
            samples.checked_sub(model.samples()),
        ) {
            (Some(1), Some(1..)) => Alpha::Associated,
            (Some(2 | 999), Some(1..)) => Alpha::Unassociated,
            (None, Some(1)) if matches!(model, Model::Rgb) => Alpha::Unassociated,
            (_, Some(_)) => Alpha::None,
            (_, None) => return Err(broken("it has fewer samples than colours")),
        };
        if one(FILL_ORDER) == Some(2) {
            return Err(broken("a TIFF of reversed bits is not read"));
        }
        let mut patched = bytes.to_vec();
        let place = tags
            .find(PHOTOMETRIC)
            .map(|entry| entry.place)
            .filter(|_| one(COMPRESSION) != Some(JPEG));
        if let Some(kind) = place.and_then(|place| patched.get_mut(place..place + 2)) {
            kind.copy_from_slice(&tags.written(BLACK_IS_ZERO));
        }
        let mut limits = Limits::default();
        limits.decoding_buffer_size = MOST as usize;
        limits.intermediate_buffer_size = MOST as usize;
        let unpacker = Unpacker::new(Cursor::new(patched)).map_err(|e| broken(e.to_string()))?;
        let mut unpacker = unpacker.with_limits(limits);
        let (width, height) = unpacker.dimensions().map_err(|e| broken(e.to_string()))?;
        let orientation = orientation(Some(bytes), tags.bytes(XMP));
        let bits = one(BITS).unwrap_or(1);
        Ok(Self {
            unpacker,
            size: [width, height],
            model,
            samples,
            bits,
            alpha,
            orientation,
            jpegs,
        })
    }

    /// The samples as bytes, by pixels.
    fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        if let Some(jpegs) = &self.jpegs {
            let samples = jpegs.samples(self.size[0], self.samples)?;
            let size = self.size.map(|side| side as usize);
            return if samples.len() < size[0] * size[1] * self.samples {
                Err(broken("the file ends early"))
            } else {
                Ok(samples)
            };
        }
        let mut buffer = DecodingResult::U8(Vec::new());
        let layout = self
            .unpacker
            .read_image_to_buffer(&mut buffer)
            .map_err(|e| broken(e.to_string()))?;
        let grey = matches!(self.model, Model::Grey { .. }) && self.samples == 1;
        let levels = match buffer {
            DecodingResult::U8(packed) if self.bits < 8 => self.unpacked(&packed),
            DecodingResult::U8(levels) => levels,
            DecodingResult::U16(levels) if grey => levels.into_iter().map(grey_of_16).collect(),
            DecodingResult::U16(levels) => levels.into_iter().map(high_byte).collect(),
            DecodingResult::F32(values) => levels_of_floats(&values),
            DecodingResult::U32(_)
            | DecodingResult::U64(_)
            | DecodingResult::F16(_)
            | DecodingResult::F64(_)
            | DecodingResult::I8(_)
            | DecodingResult::I16(_)
            | DecodingResult::I32(_)
            | DecodingResult::I64(_) => {
                return Err(broken(format!(
                    "a TIFF of {} bits of this kind is not read",
                    self.bits
                )));
            }
        };
        let [width, height] = self.size.map(|side| side as usize);
        let pixels = width * height;
        if levels.len() < pixels * self.samples {
            return Err(broken("the file ends early"));
        }
        if layout.planes <= 1 {
            return Ok(levels);
        }
        Ok((0..pixels)
            .flat_map(|i| (0..self.samples).map(move |s| s * pixels + i))
            .map(|i| levels[i])
            .collect())
    }

    /// Levels or indices of fewer than 8 bits, one per byte; each packed row begins with a whole
    /// byte.
    fn unpacked(&self, packed: &[u8]) -> Vec<u8> {
        let bits = usize::from(self.bits);
        let line = self.size[0] as usize * self.samples;
        let most = (1u16 << bits) - 1;
        let scale = if matches!(self.model, Model::Palette(_)) {
            1
        } else {
            255 / most as u8
        };
        let level = |row: &[u8], i: usize| {
            let at = i * bits;
            ((u16::from(row[at / 8]) >> (8 - bits - at % 8)) & most) as u8 * scale
        };
        let rows = packed.chunks_exact((line * bits).div_ceil(8).max(1));
        rows.flat_map(|row| (0..line).map(move |i| level(row, i)))
            .collect()
    }
}

impl Decoder for Tiff {
    fn size(&self) -> [u32; 2] {
        self.size
    }

    fn cost(&self) -> u64 {
        self.samples as u64 * (u64::from(self.bits).div_ceil(8) + 1)
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(mut self: Box<Self>) -> Result<DynamicImage, Fault> {
        let bytes = self.bytes()?;
        let [width, height] = self.size;
        let pixels = bytes.chunks_exact(self.samples);
        let (colours, alpha) = (self.model.samples(), self.alpha);
        let opaque = |p: &[u8]| {
            if alpha == Alpha::None {
                255
            } else {
                p[colours]
            }
        };
        let colour = |p: &[u8]| plain(self.model.rgb(p), opaque(p), alpha);
        let image = match (&self.model, alpha) {
            (Model::Grey { .. }, Alpha::None) => {
                GrayImage::from_raw(width, height, pixels.map(|p| colour(p)[0]).collect())
                    .map(Into::into)
            }
            (Model::Grey { .. }, _) => {
                let both = pixels.flat_map(|p| [colour(p)[0], opaque(p)]).collect();
                GrayAlphaImage::from_raw(width, height, both).map(Into::into)
            }
            (_, Alpha::None) => {
                RgbImage::from_raw(width, height, pixels.flat_map(colour).collect()).map(Into::into)
            }
            _ => {
                let all = pixels.flat_map(|p| {
                    let [r, g, b] = colour(p);
                    [r, g, b, opaque(p)]
                });
                RgbaImage::from_raw(width, height, all.collect()).map(Into::into)
            }
        };
        image.ok_or_else(|| broken("the file ends early"))
    }
}

/// Strips that are JPEG files, each with the tables that they share.
struct Jpegs {
    strips: Vec<Vec<u8>>,
    /// Colour space that the strips are converted to; their own if absent.
    space: Option<ColorSpace>,
}

impl Jpegs {
    fn from_tags(tags: &Tags) -> Option<Self> {
        let space = (tags.all(PHOTOMETRIC) == [6] && tags.all(SAMPLES) == [3])
            .then_some(ColorSpace::JCS_RGB);
        let tables = tags.bytes(JPEG_TABLES).unwrap_or(b"\xff\xd8\xff\xd9");
        let tables = tables.get(..tables.len().checked_sub(2)?)?;
        let strips = tags.parts(STRIP_OFFSETS, STRIP_BYTE_COUNTS)?;
        let whole = |strip: &&[u8]| Some([tables, strip.get(2..)?].concat());
        let strips: Vec<Vec<u8>> = strips.iter().map(whole).collect::<Option<_>>()?;
        let chunky = tags
            .all(PLANAR_CONFIGURATION)
            .first()
            .is_none_or(|planes| *planes == 1);
        (chunky && !strips.is_empty()).then_some(Self { strips, space })
    }

    /// The samples of all strips, by pixels.
    fn samples(&self, width: u32, channels: usize) -> Result<Vec<u8>, Fault> {
        let mut samples = Vec::new();
        for strip in &self.strips {
            let strip = Jpeg::open(strip)?;
            if strip.size()[0] != width || strip.channels() != channels {
                return Err(broken("its strips have another shape"));
            }
            samples.extend(strip.samples(self.space)?);
        }
        Ok(samples)
    }
}

impl Model {
    fn from_tags(tags: &Tags, samples: usize, converted: bool) -> Result<Self, Fault> {
        let jpeg = tags.all(COMPRESSION) == [JPEG];
        Ok(match tags.all(PHOTOMETRIC).first() {
            Some(0) => Self::Grey { inverted: true },
            Some(1) => Self::Grey { inverted: false },
            Some(2) => Self::Rgb,
            Some(3) => {
                // As Pillow: the high byte of each.
                let levels: Vec<u8> = tags.all(COLOUR_MAP).into_iter().map(high_byte).collect();
                let n = levels.len() / 3;
                Self::Palette(
                    (0..n)
                        .map(|i| [levels[i], levels[n + i], levels[2 * n + i]])
                        .collect(),
                )
            }
            Some(5) => Self::Cmyk,
            Some(6) if converted && samples == 3 => Self::Rgb,
            Some(6) if jpeg && samples == 3 => Self::YCbCr,
            Some(6) if samples == 1 => Self::Grey { inverted: false },
            Some(6) if matches!(tags.all(CHROMA_SUBSAMPLING)[..], [] | [1, 1]) => Self::YCbCr,
            Some(6) => return Err(broken("a TIFF of subsampled colours is not read")),
            Some(8..=10) => return Err(broken("a TIFF of Lab colours is not read")),
            _ => return Err(broken("a TIFF of such colours is not read")),
        })
    }

    /// Samples of a colour.
    fn samples(&self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }

    /// The colour of a pixel.
    fn rgb(&self, p: &[u8]) -> [u8; 3] {
        match self {
            Self::Grey { inverted } => [if *inverted { 255 - p[0] } else { p[0] }; 3],
            Self::Rgb => [p[0], p[1], p[2]],
            Self::Palette(colours) => colours.get(usize::from(p[0])).copied().unwrap_or_default(),
            Self::Cmyk => cmyk_to_rgb([p[0], p[1], p[2], p[3]]),
            Self::YCbCr => ycbcr(p[0], p[1], p[2]),
        }
    }
}

/// RGB of a YCbCr colour (JFIF).
fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let [y, cb, cr] = [f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0];
    let rgb = [
        y + 1.402 * cr,
        y - 0.344_14 * cb - 0.714_14 * cr,
        y + 1.772 * cb,
    ];
    rgb.map(|v| v.clamp(0.0, 255.0) as u8)
}

/// The colour of a pixel, unpremultiplied where its alpha is associated.
fn plain(rgb: [u8; 3], opaque: u8, alpha: Alpha) -> [u8; 3] {
    match (alpha, u16::from(opaque)) {
        (Alpha::None | Alpha::Unassociated, _) | (_, 255) => rgb,
        (Alpha::Associated, 0) => [0; 3],
        (Alpha::Associated, a) => rgb.map(|c| (u16::from(c) * 255 / a).min(255) as u8),
    }
}

fn broken(text: impl Into<String>) -> Fault {
    Fault::Broken(text.into())
}

/// Levels of floats from 0 to 1 or, where one is above that, of Pillow's from 0 to 255, which it
/// cuts off to whole numbers.
fn levels_of_floats(values: &[f32]) -> Vec<u8> {
    let are_levels = values.iter().any(|value| *value > 1.0);
    let level = |value: &f32| {
        if are_levels {
            value.clamp(0.0, 255.0) as u8
        } else {
            (value.clamp(0.0, 1.0) * 255.0).round() as u8
        }
    };
    values.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow 13: `Image.fromarray(values).convert("RGB")` where one is above 1.
    #[test]
    fn floats_are_shares_or_pillows_levels() {
        assert_eq!(levels_of_floats(&[0.0, 0.5, 1.0, -1.0]), [0, 128, 255, 0]);
        let levels = [0.0, 0.9, 1.0, 127.9, 254.99, 255.0, 300.0, -3.0];
        assert_eq!(levels_of_floats(&levels), [0, 0, 1, 127, 254, 255, 255, 0]);
    }
}
