//! Uploaded images: decoded from base64, checked, and stored with their job. Clients never name a
//! path; the worker fills in the bytes.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::{Error, Result};
use crate::image::{ImageSource, Size};
use crate::imaging::{MaskChannel, Source, Transparency};
use crate::output::encode;
use crate::output::latents::SUFFIX;
use crate::params::Params;
use crate::serve::fields::ALPHA;

/// Field → bytes of its image.
pub(crate) type UploadedImages = BTreeMap<String, Vec<u8>>;

/// Placeholder in a job's parameters for an image stored with the job.
pub(crate) const UPLOADED: &str = "upload";

/// File name of a finished image within its job.
pub(crate) fn image_file_name(index: u64) -> String {
    format!("{index}{}", encode::DEFAULT.suffix())
}

/// File name of latents within their job, if they could not be decoded.
pub(crate) const LATENTS_FILE: &str = SUFFIX;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes an image in base64, alone or as a `data:` URL.
pub(crate) fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>> {
    let body = match text.strip_prefix("data:") {
        None => text,
        Some(url) => url
            .split_once(";base64,")
            .map(|(_, body)| body)
            .unwrap_or_default(),
    };
    let body: String = body.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(&body).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| {
        Error::field(field, "expected a picture in base64").hint(
            "send the file's bytes in base64, alone or as `data:image/png;base64,...`; paths are not read",
        )
    })
}

/// Bytes as base64.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The fields that hold images.
fn image_fields(params: &mut Params) -> [(&'static str, &mut Option<ImageSource>); 2] {
    [
        ("init_image", &mut params.init_image),
        ("mask", &mut params.mask),
    ]
}

/// Moves every base64 image of `params` to `uploaded` and leaves a placeholder.
pub(crate) fn extract_images(params: &mut Params, uploaded: &mut UploadedImages) -> Result<()> {
    for (field, value) in image_fields(params) {
        let Some(source) = value else { continue };
        if uploaded.contains_key(field) || (field == "mask" && source.name() == ALPHA) {
            continue;
        }
        uploaded.insert(field.to_owned(), decode_base64(field, source.name())?);
        *source = UPLOADED.into();
    }
    Ok(())
}

/// Width and height of an image, from its header alone.
pub(crate) fn image_size(field: &str, bytes: &[u8]) -> Result<Size> {
    let (width, height) = Source::sent(field, bytes).size()?;
    Ok(Size::new(width, height))
}

/// Converts a mask of another API: white where the image is repainted.
pub(crate) fn convert_mask(bytes: &[u8], channel: MaskChannel) -> Result<Vec<u8>> {
    Source::sent("mask", bytes).decoded(Transparency::Dropped, |picture| {
        let plane = picture.mask(channel).ok_or_else(|| {
            Error::field("mask", "has no transparency")
                .hint("it has to be transparent where the image is to be repainted")
        })?;
        let mut png = Cursor::new(Vec::new());
        let grey = PngEncoder::new(&mut png);
        let written =
            grey.write_image(&plane, picture.width, picture.height, ExtendedColorType::L8);
        written.map_err(|e| Error::internal("a mask cannot be encoded").source(e))?;
        Ok(png.into_inner())
    })
}

/// Checks that an image of this size stays within `pixels`.
pub(crate) fn check_pixel_limit(field: &str, width: u32, height: u32, pixels: u64) -> Result<()> {
    if u64::from(width) * u64::from(height) <= pixels {
        return Ok(());
    }
    let side = (pixels as f64).sqrt() as u64;
    Err(Error::field(
        field,
        format!("{width}x{height} exceeds the limit of this server"),
    )
    .hint(format!("at most {pixels} pixels, such as {side}x{side}")))
}

/// Replaces the placeholder of each uploaded image by the bytes stored in `folder`.
pub(crate) fn insert_uploads(params: &Params, folder: &Path) -> Result<Params> {
    let mut params = params.clone();
    for (field, value) in image_fields(&mut params) {
        if value
            .as_ref()
            .is_some_and(|source| source.name() == UPLOADED)
        {
            let bytes = std::fs::read(folder.join(field))
                .map_err(|error| Error::internal("an uploaded image is lost").source(error))?;
            *value = Some(ImageSource::Bytes {
                name: field.to_owned(),
                bytes: bytes.into(),
            });
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_accepted_with_and_without_padding_and_as_a_url() {
        for text in ["aGk=", "aGk", "data:image/png;base64,aGk=", "aG\nk="] {
            assert_eq!(decode_base64("mask", text).unwrap(), b"hi", "{text}");
        }
        for text in ["", "/etc/passwd!", "data:image/png,hi", "é"] {
            assert_eq!(
                decode_base64("mask", text).unwrap_err().field_name(),
                Some("mask"),
                "{text}"
            );
        }
    }

    #[test]
    fn images_leave_the_parameters_and_return_as_bytes() {
        let mut params = Params {
            prompt: Some("a".into()),
            init_image: Some("aGk=".into()),
            mask: Some("alpha".into()),
            ..Params::default()
        };
        let mut uploaded = UploadedImages::new();
        extract_images(&mut params, &mut uploaded).unwrap();
        assert_eq!(
            uploaded,
            UploadedImages::from([("init_image".to_owned(), b"hi".to_vec())])
        );
        let folder = tempfile::tempdir().unwrap();
        assert!(insert_uploads(&params, folder.path()).is_err());
        std::fs::write(folder.path().join("init_image"), b"hi").unwrap();
        let placed = insert_uploads(&params, folder.path()).unwrap();
        let sent = ImageSource::Bytes {
            name: "init_image".to_owned(),
            bytes: b"hi".as_slice().into(),
        };
        assert_eq!(placed.init_image, Some(sent));
        assert_eq!(placed.mask, Some("alpha".into()));
    }

    #[test]
    fn the_size_of_an_image_is_read_from_its_header() {
        let image = image::RgbImage::new(20, 10);
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        assert_eq!(image_size("init_image", &png).unwrap(), Size::new(20, 10));
        let mut huge = png.clone();
        huge[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        for bytes in [&huge[..], b"no picture at all"] {
            let error = image_size("init_image", bytes).unwrap_err();
            assert!(
                error.field_name() == Some("init_image") && !error.to_string().contains("/tmp"),
                "{error}"
            );
        }
    }
}
