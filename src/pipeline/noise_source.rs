//! Source of the noise of a run.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::Backend;
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
