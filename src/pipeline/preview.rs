//! Previews of a run, from the estimates of the clean latents.

use candle_core::{Device, Tensor};

use super::autoencoder::Autoencoder;
use super::pixels;
use crate::error::Result;
use crate::event::Event;
use crate::imaging::{Fit, Pixels};
use crate::registry::Family;

/// Previews of a run.
#[derive(Clone, Copy)]
pub(super) struct Previews<'a> {
    /// Number of calls from one preview to the next.
    pub(super) every: usize,
    /// Calls already made by the base model.
    pub(super) before: usize,
    pub(super) autoencoder: &'a Autoencoder,
    pub(super) family: Family,
}

/// Longest side of a preview, in pixels.
const MAX_SIDE: u32 = 256;

/// Colours in 255ths as a linear function of four latents: a row of factors and a last number to
/// add for each of red, green and blue.
type Projection = [[f64; 5]; 3];

/// J. Turner's fit for SD 1.x ("Decoding latents to RGB without upscaling", Hugging Face forum,
/// 2022), whose result lies in −1..1, in 255ths.
const SD: Projection = [
    [
        0.298 * 127.5,
        0.187 * 127.5,
        -0.158 * 127.5,
        -0.184 * 127.5,
        127.5,
    ],
    [
        0.207 * 127.5,
        0.286 * 127.5,
        0.189 * 127.5,
        -0.271 * 127.5,
        127.5,
    ],
    [
        0.208 * 127.5,
        0.173 * 127.5,
        0.264 * 127.5,
        -0.473 * 127.5,
        127.5,
    ],
];
/// T. A. Vass's fit for SDXL ("Explaining the SDXL latent space", Hugging Face blog, 2023).
const XL: Projection = [
    [60.0, -60.0, 25.0, -70.0, 150.0],
    [60.0, -5.0, 15.0, -50.0, 140.0],
    [60.0, 10.0, -5.0, -35.0, 130.0],
];

impl Previews<'_> {
    /// The previews after call `i` (from 0): one for each image of the estimates `x0`
    /// `[b, c, h, w]`, the first of which is image `first` of the request. Empty if no preview is
    /// due.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub(super) fn after(&self, i: usize, x0: &Tensor, first: u64) -> Result<Vec<Event>> {
        if !(i + 1).is_multiple_of(self.every) {
            return Ok(Vec::new());
        }
        let step = self.before + i + 1;
        let event = |k: usize| {
            let Pixels {
                width, height, rgb, ..
            } = self.picture(&x0.narrow(0, k, 1)?)?;
            Ok(Event::Preview {
                step,
                image: first + k as u64,
                width,
                height,
                rgb,
            })
        };
        (0..x0.dim(0)?).map(event).collect()
    }

    fn picture(&self, x0: &Tensor) -> Result<Pixels> {
        let (_, channels, rows, columns) = x0.dims4()?;
        let picture = if self.autoencoder.is_tiny() {
            pixels::picture(&self.autoencoder.decode(x0)?)?
        } else {
            let x0 = self.autoencoder.scale().usual(x0)?;
            let cells = x0
                .to_device(&Device::Cpu)?
                .permute((0, 2, 3, 1))?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let rgb = cells
                .chunks_exact(channels)
                .flat_map(|cell| projected(self.family, cell))
                .collect();
            Pixels {
                width: columns as u32,
                height: rows as u32,
                rgb,
                alpha: None,
            }
        };
        let longest = picture.width.max(picture.height);
        if longest <= MAX_SIDE {
            return Ok(picture);
        }
        let scaled = |side: u32| (side * MAX_SIDE / longest).max(1);
        Ok(picture.fitted(scaled(picture.width), scaled(picture.height), Fit::Stretch))
    }
}

/// Approximate colour of a latent cell.
fn projected(family: Family, cell: &[f32]) -> [u8; 3] {
    let projection = match family {
        Family::Sd => SD,
        Family::Xl => XL,
    };
    projection.map(|[factors @ .., shift]| {
        let sum: f64 = factors
            .iter()
            .zip(cell)
            .map(|(factor, &value)| factor * f64::from(value))
            .sum();
        // NaN becomes 0.
        (sum + shift).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_latents_are_grey_and_colours_clamp() {
        assert_eq!(projected(Family::Sd, &[0.0; 4]), [128; 3]);
        assert_eq!(projected(Family::Xl, &[0.0; 4]), [150, 140, 130]);
        assert_eq!(projected(Family::Xl, &[9.0, 0.0, 0.0, 0.0]), [255; 3]);
        assert_eq!(projected(Family::Sd, &[f32::NAN, 0.0, 0.0, 0.0]), [0; 3]);
    }
}
