//! ControlNets in a run: their residuals at a call of the denoising network.

use candle_core::Tensor;

use super::cast::Joined;
use crate::error::Result;
use crate::models::conditioning::Conditioning;
use crate::models::controlnet::{ControlNet, Residuals, Strength};
use crate::nn::FeatureMap;
use crate::params::Control;

/// A ControlNet with its control image.
#[derive(Clone, Copy)]
pub(super) struct Guide<'a> {
    pub(super) network: &'a ControlNet,
    /// The embedded control image.
    pub(super) hint: &'a FeatureMap,
    pub(super) control: &'a Control,
    /// Guess mode: the ControlNet acts on the conditional pass alone, with a scale that grows from
    /// the high resolutions to the low.
    pub(super) guess: bool,
}

/// A call of the denoising network.
pub(super) struct Call<'a> {
    /// Number of the call, from 0, out of `calls`.
    pub(super) i: usize,
    pub(super) calls: usize,
    /// Latents of the batch, not repeated for guidance.
    pub(super) x: &'a Tensor,
    pub(super) timestep: f64,
}

impl Guide<'_> {
    /// Prepares the network for prompts.
    pub(super) fn condition(&self, prompts: &Joined) -> Result<Conditioning> {
        self.network
            .condition(&prompts.states, prompts.added().as_ref())
    }

    /// Residuals of the ControlNet at `call`, for the batch once for each of the prompts that it
    /// was prepared for; `None` outside its interval of the run or at scale 0.
    fn says(&self, call: &Call<'_>, conditioning: &Conditioning) -> Result<Option<Residuals>> {
        let Control {
            scale, interval, ..
        } = *self.control;
        if scale == 0.0 || !interval.covers(call.i, call.calls) {
            return Ok(None);
        }
        let strength = Strength {
            scale,
            rising: self.guess,
        };
        self.network
            .forward(call.x, call.timestep, conditioning, self.hint, strength)
            .map(Some)
    }
}

/// Residuals of all ControlNets at `call`.
pub(super) fn residuals(
    guides: &[Guide<'_>],
    call: &Call<'_>,
    conditionings: &[Conditioning],
) -> Result<Vec<Residuals>> {
    let said = guides
        .iter()
        .zip(conditionings)
        .map(|(guide, conditioning)| guide.says(call, conditioning));
    said.filter_map(Result::transpose).collect()
}
