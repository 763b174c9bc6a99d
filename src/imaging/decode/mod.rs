//! Image files: recognised by their content, decoded as Pillow decodes them within a memory budget,
//! and turned upright.

mod budget;
mod exif;
mod formats;
mod jpeg;
mod other_formats;
mod png;
mod tiff;

use std::borrow::Cow;

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};

use self::budget::{DECODING, MOST};
use self::formats::{Format, READ, detect_format};
use super::{Pixels, Transparency};
use crate::error::{Error, Result};
use crate::image::ImageSource;

/// Longest side of a picture that is read.
const MAX_SIDE: u32 = 16_384;

/// A picture whose header has been read.
trait Decoder {
    /// Width and height, as they are stored.
    fn size(&self) -> [u32; 2];

    /// Bytes that decoding takes for each pixel at its peak.
    fn cost(&self) -> u64;

    /// Orientation of the image.
    fn orientation(&self) -> Orientation;

    /// The pixels, as they are stored, of 8 bits a channel or scaled to them by [`DynamicImage`].
    fn decode(self: Box<Self>) -> Result<DynamicImage, Fault>;
}

/// Reason why a file is not read.
enum Fault {
    /// A file of another kind; a description of it.
    Other(&'static str),
    /// A damaged file, or one with a feature that is not supported.
    Broken(String),
    /// A file beyond the limits of size or memory.
    Large(String),
}

/// Bytes of an image file, with their origin for messages.
pub struct Source<'a> {
    field: &'a str,
    name: String,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Source<'a> {
    /// The image of `source`; errors will name `field` and the source.
    ///
    /// # Errors
    /// A file that cannot be read, or is larger than any picture.
    pub fn open(field: &'a str, source: &'a ImageSource) -> Result<Self> {
        let name = format!("`{source}`");
        let path = match source {
            ImageSource::Path(path) => path,
            ImageSource::Bytes { bytes, .. } => {
                return Ok(Self {
                    field,
                    name,
                    bytes: Cow::Borrowed(bytes),
                });
            }
        };
        let failed = |e: std::io::Error| {
            Error::field(field, format!("cannot read `{path}`"))
                .source(e)
                .hint("give the path of a picture")
        };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MOST {
            let fault = Fault::Large(format!("{size} bytes are more than a picture has"));
            return Err(fault.into_error(field, &name));
        }
        Ok(Self {
            field,
            name,
            bytes: std::fs::read(path).map_err(failed)?.into(),
        })
    }

    /// Bytes that a client sent; errors will name `field`.
    pub fn sent(field: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            field,
            name: "this".to_owned(),
            bytes: bytes.into(),
        }
    }

    /// Width and height of the image after it is turned upright, from its header alone.
    ///
    /// # Errors
    /// A file that is not a supported image, or one beyond the limits.
    pub fn size(&self) -> Result<(u32, u32)> {
        let decoder = self.with_name(self.decoder())?;
        let [width, height] = decoder.size();
        Ok(if swaps_sides(decoder.orientation()) {
            (height, width)
        } else {
            (width, height)
        })
    }

    /// Calls `work` with the decoded image, turned upright. The memory of the image counts against
    /// the budget of all threads until `work` returns.
    ///
    /// # Errors
    /// As [`Source::size`]; data that is damaged or missing; those of `work`.
    pub fn decoded<T>(
        &self,
        transparency: Transparency,
        work: impl FnOnce(Pixels) -> Result<T>,
    ) -> Result<T> {
        let decoder = self.with_name(self.decoder())?;
        let share = DECODING.take(peak_bytes(decoder.as_ref()));
        let orientation = decoder.orientation();
        let mut image = self.with_name(decoder.decode())?;
        image.apply_orientation(orientation);
        let done = work(Pixels::from_decoded(image, transparency));
        drop(share);
        done
    }

    fn decoder(&self) -> Result<Box<dyn Decoder + '_>, Fault> {
        let bytes = self.bytes.as_ref();
        let decoder: Box<dyn Decoder> = match detect_format(bytes).map_err(Fault::Other)? {
            Format::Jpeg => Box::new(jpeg::Jpeg::open(bytes)?),
            Format::Png => Box::new(png::Png::open(bytes)?),
            Format::Tiff => Box::new(tiff::Tiff::open(bytes)?),
            Format::Ico => match other_formats::png_in_icon(bytes) {
                Some(png) => Box::new(png::Png::open(png)?),
                None => Box::new(other_formats::ImageCrate::open(bytes, ImageFormat::Ico)?),
            },
            Format::ImageCrate(format) => Box::new(other_formats::ImageCrate::open(bytes, format)?),
        };
        let [width, height] = decoder.size();
        if width == 0 || height == 0 {
            return Err(Fault::Broken("it has no pixels".to_owned()));
        }
        if width.max(height) > MAX_SIDE {
            return Err(Fault::Large(format!(
                "{width}x{height} is more than {MAX_SIDE} pixels a side"
            )));
        }
        let bytes = peak_bytes(decoder.as_ref());
        if bytes > MOST {
            let [bytes, most] = [bytes, MOST].map(|bytes| bytes >> 20);
            return Err(Fault::Large(format!(
                "{width}x{height} takes {bytes} MiB to decode, of {most} at most"
            )));
        }
        Ok(decoder)
    }

    fn with_name<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| fault.into_error(self.field, &self.name))
    }
}

impl Fault {
    fn into_error(self, field: &str, name: &str) -> Error {
        match self {
            Self::Other(what) => {
                Error::field(field, format!("{name} is {what}, which is not read"))
                    .hint(format!("expected {READ}; save it as one of them"))
            }
            Self::Broken(text) => Error::field(field, format!("{name} cannot be read: {text}"))
                .hint("save it again as PNG or JPEG"),
            Self::Large(text) => Error::field(field, format!("{name} is too large: {text}"))
                .hint("scale it down first"),
        }
    }
}

/// Peak bytes of decoding: those of the decoder, and 4 per pixel for the resulting [`Pixels`] or a
/// rotated copy.
fn peak_bytes(decoder: &dyn Decoder) -> u64 {
    let [width, height] = decoder.size().map(u64::from);
    width * height * (decoder.cost() + 4)
}

/// Returns true if the orientation swaps width and height.
fn swaps_sides(orientation: Orientation) -> bool {
    orientation.to_exif() >= 5
}

/// A 16-bit sample as Pillow reads it in all images but grey ones.
fn high_byte(level: u16) -> u8 {
    (level >> 8) as u8
}

/// A 16-bit grey level, scaled. (Pillow clips it: everything but the darkest 256 levels is white.)
fn grey_of_16(level: u16) -> u8 {
    ((u32::from(level) + 128) / 257) as u8
}

/// RGB of a CMYK colour, as Pillow converts it.
fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = i32::from(255 - k);
    [c, m, y].map(|ink| {
        let product = i32::from(ink) * light + 128;
        (light - ((product + (product >> 8)) >> 8)).clamp(0, 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pictures");

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{FOLDER}/{name}")).unwrap()
    }

    fn sent(bytes: &[u8]) -> Result<Pixels> {
        Source::sent("init_image", bytes).decoded(Transparency::Dropped, Ok)
    }

    fn refused(bytes: &[u8]) -> String {
        sent(bytes).unwrap_err().to_string()
    }

    /// tests/golden/pictures.py
    #[test]
    fn files_are_read_as_diffusers_reads_them() {
        let mut count = 0;
        for entry in std::fs::read_dir(FOLDER).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                continue;
            }
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let path = path.to_str().unwrap();
            let ours = Pixels::read("init_image", &path.into(), Transparency::Dropped).unwrap();
            let theirs = sent(&golden(&format!("seen/{name}.png"))).unwrap();
            let size = (ours.width, ours.height);
            assert_eq!(size, (theirs.width, theirs.height), "{name}");
            assert_eq!(
                size,
                crate::imaging::size_of("mask", &path.into()).unwrap(),
                "{name}"
            );
            let apart = ours
                .rgb
                .iter()
                .zip(&theirs.rgb)
                .map(|(a, b)| a.abs_diff(*b))
                .max()
                .unwrap();
            assert!(
                apart <= u8::from(!name.ends_with(".jpg")),
                "{name}: {apart}"
            );
            count += 1;
        }
        assert_eq!(count, 73);
    }

    #[test]
    fn a_jpeg_that_ends_early_or_is_damaged_is_refused() {
        let kinds = [
            "sampling-2x2",
            "scans-progressive",
            "scans-components",
            "arithmetic",
            "cmyk",
            "restart",
        ];
        for name in kinds {
            let whole = golden(&format!("{name}.jpg"));
            for missing in [1, 2, 3, 10, whole.len() / 3, whole.len() / 2] {
                let cut = refused(&whole[..whole.len() - missing]);
                assert!(
                    cut.contains("ends early"),
                    "{name} without {missing}: {cut}"
                );
            }
            assert!(refused(&whole[..20]).contains("ends early"), "{name}");
            assert!(
                sent(&[&whole, &b"something behind it"[..]].concat()).is_ok(),
                "{name}"
            );
        }
        for name in ["sampling-2x2", "scans-components", "grey"] {
            let whole = golden(&format!("{name}.jpg"));
            let ended = [&whole[..whole.len() * 4 / 5], &b"\xff\xd9"[..]].concat();
            assert!(refused(&ended).contains("cannot be read"), "{name}");
        }
        let mut restart = golden("restart.jpg");
        let mark = restart
            .windows(2)
            .position(|pair| pair == b"\xff\xd1")
            .unwrap();
        restart[mark + 1] = 0xd5;
        assert!(refused(&restart).contains("damaged"));
    }

    #[test]
    fn other_pictures_that_end_early_are_refused() {
        for name in [
            "mode-RGBA.png",
            "lossy.webp",
            "words.tif",
            "still.gif",
            "mode-RGB.bmp",
            "levels.ppm",
        ] {
            let whole = golden(name);
            assert!(sent(&whole[..whole.len() / 2]).is_err(), "{name}");
        }
    }

    /// A PNG with a chunk before its pixels.
    fn with_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let plain = golden("mode-RGBA.png");
        let mut crc = flate2::Crc::new();
        crc.update(&[&kind[..], body].concat());
        let length = (body.len() as u32).to_be_bytes();
        let chunk = [&length[..], kind, body, &crc.sum().to_be_bytes()[..]].concat();
        [&plain[..33], &chunk, &plain[33..]].concat()
    }

    #[test]
    fn what_is_not_needed_is_not_unpacked() {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..80 {
            std::io::Write::write_all(&mut packed, &[b'0'; 1 << 20]).unwrap();
        }
        let packed = packed.finish().unwrap();
        let plain = sent(&golden("mode-RGBA.png")).unwrap();
        let chunks = [
            (b"iCCP", &b"name\0\0"[..]),
            (b"zTXt", b"Comment\0\0"),
            (b"zTXt", b"Raw profile type exif\0\0"),
            (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0"),
        ];
        for (kind, head) in chunks {
            let picture = sent(&with_chunk(kind, &[head, &packed[..]].concat())).unwrap();
            assert!(picture == plain, "{head:?}");
        }
    }

    #[test]
    fn what_would_take_more_than_there_is_to_decode_is_refused_by_its_header() {
        let mut png = golden("mode-RGBA.png");
        png[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&png[12..29]);
        png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        assert!(refused(&png).contains("too large"), "{}", refused(&png));
        assert!(Source::sent("mask", &png).size().is_err());
    }

    #[test]
    fn what_is_not_read_is_named() {
        let error = sent(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap_err();
        assert!(
            error.to_string().contains("HEIC") && error.hints()[0].contains("PNG"),
            "{error}"
        );
        assert_eq!(error.field_name(), Some("init_image"));
    }

    #[test]
    fn levels_of_16_bits_keep_their_high_byte_but_in_grey() {
        let levels: Vec<u16> = vec![0, 127, 128, 255, 256, 383, 32_767, 65_407, 65_535];
        let written = |image: DynamicImage| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            sent(&bytes.into_inner()).unwrap().rgb
        };
        let rgb = image::ImageBuffer::from_raw(3, 1, levels.clone()).unwrap();
        assert_eq!(
            written(DynamicImage::ImageRgb16(rgb)),
            [0, 0, 0, 0, 1, 1, 127, 255, 255]
        );
        let grey = image::ImageBuffer::from_raw(9, 1, levels).unwrap();
        let grey: Vec<u8> = written(DynamicImage::ImageLuma16(grey))
            .into_iter()
            .step_by(3)
            .collect();
        assert_eq!(grey, [0, 0, 0, 1, 1, 1, 127, 255, 255]);
    }
}
