//! The denoising network as the pipeline sees it, whatever its architecture.

use candle_core::Tensor;

use super::conditioning::Added;
use super::controlnet::Residuals;
use super::ip_adapter::IpAdapter;
use crate::error::Result;

/// A denoising network.
pub(crate) trait Denoiser {
    /// Channels of its input.
    fn channels(&self) -> usize;

    /// Channels of the text conditioning.
    fn context_width(&self) -> usize;

    /// Prepares the network for a batch, whose conditioning is the same at all calls of a run.
    fn conditioned<'n>(&'n self, inputs: &DenoiserInputs<'_>) -> Result<Box<dyn Conditioned + 'n>>;
}

/// Conditioning of a batch, and approximations that save work.
pub(crate) struct DenoiserInputs<'a> {
    /// Text states `[b, n, context]`.
    pub(crate) context: &'a Tensor,
    /// SDXL's added conditioning.
    pub(crate) added: Option<Added<'a>>,
    /// Guidance scale, for networks that take it as an input.
    pub(crate) guidance_scale: f64,
    /// Image prompt.
    pub(crate) image_prompt: Option<ImagePrompt<'a>>,
    /// Share of the tokens that self-attention merges on the largest maps.
    pub(crate) merge_tokens: f64,
    /// Calls for which deep features are used again (DeepCache).
    pub(crate) cache: Option<usize>,
}

impl<'a> DenoiserInputs<'a> {
    /// Text states alone.
    pub(crate) fn text(context: &'a Tensor) -> Self {
        Self {
            context,
            added: None,
            guidance_scale: 1.0,
            image_prompt: None,
            merge_tokens: 0.0,
            cache: None,
        }
    }
}

/// An image prompt (IP-Adapter).
#[derive(Clone, Copy)]
pub(crate) struct ImagePrompt<'a> {
    pub(crate) adapter: &'a IpAdapter,
    /// `[b, m, context]`.
    pub(crate) tokens: &'a Tensor,
    /// Weight relative to the text.
    pub(crate) scale: f64,
}

/// A denoising network with the conditioning of a batch.
pub(crate) trait Conditioned {
    /// The prediction `[b, out, h, w]` in single precision at call `i` of a run, for latents
    /// `[images, in, h, w]` that are repeated to the size of the batch. `controls` computes the
    /// residuals of the ControlNets, if the network uses them at this call.
    fn predict(
        &mut self,
        i: usize,
        latents: &Tensor,
        timestep: f64,
        controls: &mut dyn FnMut() -> Result<Vec<Residuals>>,
    ) -> Result<Tensor>;
}
