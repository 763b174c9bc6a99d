//! Decoded values to bytes, and the check that they are a picture.

use candle_core::{Device, Tensor};

use crate::error::{Error, Kind, Result};
use crate::input::Picture;

/// `[1, 3, h, w]` around −1..1 to `h × w × 3` bytes: clamp, × 255, round half to even, as diffusers does.
///
/// # Errors
/// `Kind::InvalidImage` for values that are no numbers and for an all-black picture.
pub(super) fn to_rgb(pixels: &Tensor) -> Result<Vec<u8>> {
    let values = rows(pixels)?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(invalid("the decoder's output is not a number (NaN or infinite)"));
    }
    let bytes: Vec<u8> = values.iter().map(|&value| to_byte(value)).collect();
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(invalid("the picture is black all over"));
    }
    Ok(bytes)
}

/// Likewise as a picture, whatever the values are.
///
/// # Errors
/// Tensor arithmetic.
pub(super) fn picture(pixels: &Tensor) -> Result<Picture> {
    let (_, _, height, width) = pixels.dims4()?;
    let rgb = rows(pixels)?.into_iter().map(to_byte).collect();
    Ok(Picture { width: width as u32, height: height as u32, rgb, alpha: None })
}

/// The values of `[1, 3, h, w]` pixel by pixel.
fn rows(pixels: &Tensor) -> Result<Vec<f32>> {
    let rows = pixels.squeeze(0)?.permute((1, 2, 0))?.to_device(&Device::Cpu)?;
    Ok(rows.flatten_all()?.to_vec1::<f32>()?)
}

fn to_byte(value: f32) -> u8 {
    ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

fn invalid(what: &str) -> Error {
    Error::new(Kind::InvalidImage, what)
        .hint("try another seed or `--dtype f32`; if it stays, the weights are damaged or of another model")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(values: &[f32]) -> Result<Vec<u8>> {
        to_rgb(&Tensor::from_slice(values, (1, 3, 1, values.len() / 3), &Device::Cpu).unwrap())
    }

    #[test]
    fn channels_interleave_and_values_clamp_and_round() {
        assert_eq!(picture(&[-2.0, 1.0, 0.0, 2.0, -1.0, 0.5]).unwrap(), [0, 128, 0, 255, 255, 191]);
    }

    #[test]
    fn nan_and_black_are_no_pictures() {
        assert_eq!(picture(&[f32::NAN, 0.0, 0.0]).unwrap_err().kind(), Kind::InvalidImage);
        assert_eq!(picture(&[-1.0; 6]).unwrap_err().kind(), Kind::InvalidImage);
    }
}
