//! PNG: pixels without loss; a text as `tEXt` where Latin-1 holds it, as `iTXt` otherwise.

use ::png::{BitDepth, ColorType, Encoder, EncodingError};

use super::{Format, Text, png_text};
use crate::error::{Error, Result};
use crate::image::Size;

/// The format's row.
pub const PNG: Format = Format {
    extension: "png",
    label: "PNG",
    mime: "image/png",
    signature: &png_text::SIGNATURE,
    encode,
    read_metadata: png_text::read,
};

fn encode(size: Size, rgb: &[u8], texts: &[Text]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, size, rgb, texts)
        .map_err(|e| Error::internal("cannot encode the picture").source(e))?;
    Ok(bytes)
}

fn encode_into(
    bytes: &mut Vec<u8>,
    size: Size,
    rgb: &[u8],
    texts: &[Text],
) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, size.width, size.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    for (keyword, text) in texts {
        if text.chars().all(|c| u32::from(c) < 256) {
            encoder.add_text_chunk(keyword.clone(), text.clone())?;
        } else {
            encoder.add_itxt_chunk(keyword.clone(), text.clone())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const PIXELS: [u8; 6] = [255, 0, 0, 0, 0, 255];

    #[test]
    fn pixels_and_texts_come_back_as_they_were_written() {
        let texts = [
            ("a".to_owned(), "café".to_owned()),
            ("b".to_owned(), "灯台".to_owned()),
        ];
        let bytes = PNG.encode(Size::new(2, 1), &PIXELS, &texts).unwrap();
        let mut reader = ::png::Decoder::new(Cursor::new(&bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; 6];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, PIXELS);
        let found = crate::output::encode::read_metadata(&mut Cursor::new(&bytes)).unwrap();
        assert_eq!(found.size, Size::new(2, 1));
        assert_eq!(found.texts, texts);
        assert!(bytes.windows(4).any(|w| w == b"tEXt") && bytes.windows(4).any(|w| w == b"iTXt"));
    }
}
