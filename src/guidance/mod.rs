//! Guidance methods, as diffusers' guiders: which predictions a call of the denoising network makes,
//! and how they become one.
//!
//! Adding a method: one file with a [`Guider`], and its place in `pipeline::denoise::guider`.

mod cfg;

use candle_core::Tensor;

pub use cfg::ClassifierFreeGuidance;

use crate::error::Result;

/// Prompt that a prediction is conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The negative prompt, or nothing: the unconditional prediction.
    Negative,
    /// The prompt.
    Positive,
}

/// A guidance method.
pub trait Guider {
    /// Conditions of the predictions that call `i` of a run needs, in the order that
    /// [`Self::combine`] takes them; the positive one is the last.
    fn conditions(&self, i: usize) -> &'static [Condition];

    /// The guided prediction `[b, c, h, w]` from one prediction for each condition of the call.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn combine(&self, predictions: &[Tensor]) -> Result<Tensor>;
}

/// Returns true if a run with the guidance scale `scale` makes unconditional predictions: networks
/// distilled to take the scale as an input (`time_cond_proj_dim`) never do.
pub fn is_guided(scale: f64, takes_scale: bool) -> bool {
    scale > 1.0 && !takes_scale
}
