//! Start images of a run, as latents: the posterior of the encoder, the mask in latent cells, and
//! the order in which diffusers draws noise for them.

use candle_core::Tensor;

use super::autoencoder::Autoencoder;
use super::finite_check::check_finite;
use crate::catalog::Inputs;
use crate::error::{Error, Result};
use crate::imaging::{Mask, MaskedContent, Pixels, Start};
use crate::nn::Backend;
use crate::params::Posterior;
use crate::rng::Noise;

/// Source of unit noise for the latents of a batch: one generator for each image, whose numbers are
/// made on the CPU and then moved.
pub(super) struct NoiseSource<'a> {
    pub(super) noise: Noise,
    /// Shape of the latents.
    pub(super) shape: [usize; 4],
    pub(super) backend: &'a Backend,
}

impl NoiseSource<'_> {
    /// The next numbers of every generator.
    pub(super) fn next(&mut self) -> Result<Tensor> {
        let numbers = self.noise.draw(self.shape[1..].iter().product());
        Ok(Tensor::from_vec(
            numbers,
            &self.shape,
            &self.backend.device,
        )?)
    }

    /// Images of the batch.
    pub(super) fn images(&self) -> usize {
        self.shape[0]
    }
}

/// The start of a batch in latents.
pub(super) struct StartLatents {
    /// Scaled latents of the image, `[b, c, h, w]`.
    pub(super) latents: Tensor,
    /// Unit noise that the run starts with.
    pub(super) noise: Tensor,
    /// Mask of the area to repaint, `[1, 1, h, w]` of 0 and 1.
    pub(super) mask: Option<Tensor>,
    /// Scaled latents of the image with the masked area blanked.
    pub(super) masked: Option<Tensor>,
}

/// Settings of the encoding of a start image.
pub(super) struct Encoding<'a> {
    pub(super) autoencoder: &'a Autoencoder,
    pub(super) factor: u32,
    pub(super) posterior: Posterior,
    pub(super) inputs: Inputs,
    pub(super) backend: &'a Backend,
}

impl Encoding<'_> {
    /// Encodes `start` for a batch, drawing noise in the order of diffusers: for the latents of the
    /// image, for the run itself, for the latents of the masked image. An inpainting network that
    /// starts from pure noise (`whole`) does without the first.
    pub(super) fn encode(
        &self,
        start: &Start,
        whole: bool,
        noise: &mut NoiseSource<'_>,
    ) -> Result<StartLatents> {
        let skip = whole && self.inputs == Inputs::Inpainting;
        let picture = pixels(&start.initial_image(), None, self.backend)?;
        let masks = start.mask.is_some();
        let latents = if skip {
            None
        } else {
            Some(self.latents(&picture, masks, noise)?)
        };
        let first = noise.next()?;
        let masked = match &start.mask {
            None => None,
            Some(mask) => {
                let picture = pixels(&start.picture, Some(mask), self.backend)?;
                Some(self.latents(&picture, masks, noise)?)
            }
        };
        let mask = match &start.mask {
            None => None,
            Some(mask) => Some(self.cells(mask)?),
        };
        let latents = match (latents, &mask) {
            (None, _) => first.clone(),
            (Some(latents), Some(mask)) => fill_masked(latents, mask, start.content, &first)?,
            (Some(latents), None) => latents,
        };
        Ok(StartLatents {
            latents,
            noise: first,
            mask,
            masked,
        })
    }

    /// Scaled latents of one image, with or without a mask (`masks`), for each image of the batch.
    fn latents(&self, pixels: &Tensor, masks: bool, noise: &mut NoiseSource<'_>) -> Result<Tensor> {
        let what = || "the autoencoder's encoder".to_owned();
        let encoded = check_finite(
            what,
            || self.autoencoder.encode(pixels),
            |encoded| &encoded.mean,
        )?;
        let latents = match encoded
            .deviation
            .filter(|_| self.posterior == Posterior::Sample)
        {
            None => encoded.mean.repeat((noise.images(), 1, 1, 1))?,
            Some(deviation) => noise
                .next()?
                .broadcast_mul(&deviation)?
                .broadcast_add(&encoded.mean)?,
        };
        self.autoencoder.scale().encoded(&latents, masks)
    }

    fn cells(&self, mask: &Mask) -> Result<Tensor> {
        let shape = (
            1,
            1,
            (mask.height / self.factor) as usize,
            (mask.width / self.factor) as usize,
        );
        Ok(Tensor::from_vec(
            mask.cells(self.factor),
            shape,
            &self.backend.device,
        )?)
    }
}

/// Latents with the masked area replaced by noise or zeros, where `content` asks for that.
fn fill_masked(
    latents: Tensor,
    mask: &Tensor,
    content: MaskedContent,
    noise: &Tensor,
) -> Result<Tensor> {
    let kept = || Ok::<_, Error>(latents.broadcast_mul(&mask.affine(-1.0, 1.0)?)?);
    match content {
        MaskedContent::Original | MaskedContent::Fill => Ok(latents),
        MaskedContent::LatentNoise => Ok((kept()? + noise.broadcast_mul(mask)?)?),
        MaskedContent::LatentNothing => kept(),
    }
}

/// Pixels `[1, 3, h, w]` in −1..1; the area that `mask` covers is 0, the middle grey.
pub(super) fn pixels(picture: &Pixels, mask: Option<&Mask>, backend: &Backend) -> Result<Tensor> {
    let mut values: Vec<f32> = picture
        .rgb
        .iter()
        .map(|&byte| f32::from(byte) / 255.0 * 2.0 - 1.0)
        .collect();
    if let Some(mask) = mask {
        let covered = mask
            .binary()
            .zip(values.chunks_exact_mut(3))
            .filter(|(on, _)| *on);
        covered.for_each(|(_, pixel)| pixel.fill(0.0));
    }
    let shape = (picture.height as usize, picture.width as usize, 3);
    Ok(Tensor::from_vec(values, shape, &backend.device)?
        .permute((2, 0, 1))?
        .unsqueeze(0)?
        .contiguous()?)
}
