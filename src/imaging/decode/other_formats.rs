//! The formats that the `image` crate reads as Pillow does: BMP, GIF, ICO, PNM, QOI, TGA and WebP.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::budget::MOST;
use super::exif::orientation;
use super::{Decoder, Fault, MAX_SIDE};

/// A file whose header has been read.
pub(super) struct ImageCrate<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
}

impl<'a> ImageCrate<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8], format: ImageFormat) -> Result<Self, Fault> {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MOST);
        reader.limits(limits);
        let mut decoder = reader
            .into_decoder()
            .map_err(|e| Fault::Broken(e.to_string()))?;
        let (exif, xmp) = (
            decoder.exif_metadata().ok().flatten(),
            decoder.xmp_metadata().ok().flatten(),
        );
        let orientation = orientation(exif.as_deref(), xmp.as_deref());
        Ok(Self {
            decoder: Box::new(decoder),
            orientation,
        })
    }
}

/// The largest image of an icon, if it is a PNG, as in modern icons.
pub(super) fn png_in_icon(bytes: &[u8]) -> Option<&[u8]> {
    let entries = bytes
        .get(6..)?
        .chunks_exact(16)
        .take(usize::from(u16::from_le_bytes([bytes[4], bytes[5]])));
    // A side of 256 is written as 0.
    let area = |entry: &&[u8]| {
        (u32::from(entry[0].wrapping_sub(1)) + 1) * (u32::from(entry[1].wrapping_sub(1)) + 1)
    };
    let largest = entries.max_by_key(area)?;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| largest[at + i])) as usize;
    let png = bytes.get(number(12)..)?;
    let png = png.get(..number(8)).unwrap_or(png);
    png.starts_with(b"\x89PNG").then_some(png)
}

impl Decoder for ImageCrate<'_> {
    fn size(&self) -> [u32; 2] {
        self.decoder.dimensions().into()
    }

    fn cost(&self) -> u64 {
        // Some decoders keep a canvas of their own besides the result.
        2 * u64::from(self.decoder.color_type().bytes_per_pixel())
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(self: Box<Self>) -> Result<DynamicImage, Fault> {
        DynamicImage::from_decoder(self.decoder).map_err(|e| Fault::Broken(e.to_string()))
    }
}
