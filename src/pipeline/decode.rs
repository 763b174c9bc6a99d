//! Latents to pixels, with fallbacks: single precision where a lower one yields no valid image,
//! tiles where memory runs out. Latents are never lost to a decoder that fails.

use candle_core::{Device, Tensor};

use super::autoencoder::Autoencoder;
use super::finite_check::{check_finite, invalid_image};
use super::stage::staged;
use super::{PassOutput, Pipeline};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, Stage, tell};
use crate::imaging::Pixels;

impl Pipeline {
    /// Decodes image `i` of a batch to 8-bit RGB. Each image is decoded alone, since decoding needs
    /// the most memory of all stages.
    pub(crate) fn decode(
        &self,
        output: &PassOutput,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<u8>> {
        let latents = output.latents.narrow(0, i, 1)?;
        loop {
            self.autoencoder.load(observer)?;
            let decoded = staged(observer, Stage::Decode, "pixels", |_| {
                let what = || "the autoencoder's decoder".to_owned();
                to_rgb(&check_finite(
                    what,
                    || self.autoencoder.decode(&latents),
                    |pixels| pixels,
                )?)
            });
            let Err(error) = decoded else { return decoded };
            let Some(fallback) = fallback(&self.autoencoder, &error) else {
                return Err(error);
            };
            self.backend.trim();
            tell(
                observer,
                &Event::Warning {
                    message: format!("{error}; {fallback}"),
                },
            )?;
        }
    }
}

/// Fallback for a decoding that failed with `error`, which stays in force; `None` if there is none.
fn fallback(autoencoder: &Autoencoder, error: &Error) -> Option<&'static str> {
    if error.kind() == Kind::InvalidImage && autoencoder.upcast() {
        return Some("decoding again in single precision");
    }
    (error.kind() == Kind::Device && !autoencoder.set_tiling(true))
        .then_some("decoding again in tiles")
}

/// `[1, 3, h, w]` around −1..1 to `h × w × 3` bytes: clamp, × 255, round half to even, as diffusers
/// does.
fn to_rgb(pixels: &Tensor) -> Result<Vec<u8>> {
    let values = rows(pixels)?;
    let bytes: Vec<u8> = values.iter().map(|&value| to_byte(value)).collect();
    match flat(&bytes) {
        Some([0, 0, 0]) => Err(invalid_image("the picture is black all over")),
        Some(colour) => Err(invalid_image(&format!(
            "the picture is of one colour all over: {colour:?}"
        ))),
        None => Ok(bytes),
    }
}

/// The colour of an image of a single colour, `None` for any other; a difference of one step counts
/// as rounding. A single pixel is a valid image.
fn flat(rgb: &[u8]) -> Option<[u8; 3]> {
    let (pixels, _) = rgb.as_chunks::<3>();
    let first = *pixels.first()?;
    let near = |pixel: &[u8; 3]| pixel.iter().zip(first).all(|(a, b)| a.abs_diff(b) <= 1);
    (pixels.len() > 1 && pixels.iter().all(near)).then_some(first)
}

/// Converts pixels as `to_rgb` does, to a picture, without the check for a single colour.
pub(super) fn picture(pixels: &Tensor) -> Result<Pixels> {
    let (_, _, height, width) = pixels.dims4()?;
    let rgb = rows(pixels)?.into_iter().map(to_byte).collect();
    Ok(Pixels {
        width: width as u32,
        height: height as u32,
        rgb,
        alpha: None,
    })
}

/// The values of `[1, 3, h, w]` pixel by pixel.
fn rows(pixels: &Tensor) -> Result<Vec<f32>> {
    let rows = pixels
        .squeeze(0)?
        .permute((1, 2, 0))?
        .to_device(&Device::Cpu)?;
    Ok(rows.flatten_all()?.to_vec1::<f32>()?)
}

fn to_byte(value: f32) -> u8 {
    ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn picture(values: &[f32]) -> Result<Vec<u8>> {
        to_rgb(&Tensor::from_slice(values, (1, 3, 1, values.len() / 3), &Device::Cpu).unwrap())
    }

    #[test]
    fn channels_interleave_and_values_clamp_and_round() {
        assert_eq!(
            picture(&[-2.0, 1.0, 0.0, 2.0, -1.0, 0.5]).unwrap(),
            [0, 128, 0, 255, 255, 191]
        );
    }

    #[test]
    fn one_colour_all_over_is_no_picture() {
        let black = picture(&[-1.0; 6]).unwrap_err();
        assert_eq!(
            (black.kind(), black.message()),
            (Kind::InvalidImage, "the picture is black all over")
        );
        let grey = picture(&[0.0, 0.0, 0.0, 0.0, 0.001, 0.0]).unwrap_err();
        assert!(
            grey.message().ends_with("all over: [128, 128, 128]"),
            "{grey}"
        );
        assert!(picture(&[0.0, 0.0, 0.0, 0.0, 0.1, 0.0]).is_ok());
    }
}
