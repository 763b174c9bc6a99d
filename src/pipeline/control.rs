//! Control networks in a run: what each says at a call of the network.

use candle_core::Tensor;

use super::cast::Joined;
use crate::error::Result;
use crate::models::conditioning::Conditioning;
use crate::models::controlnet::{ControlNet, Residuals, Strength};
use crate::nn::FeatureMap;
use crate::request::Control;

/// A control network with its picture.
#[derive(Clone, Copy)]
pub(super) struct Guide<'a> {
    pub(super) network: &'a ControlNet,
    /// The picture as the network adds it to its latents.
    pub(super) hint: &'a FeatureMap,
    pub(super) control: &'a Control,
    /// It leads the conditional pass alone, more in the large than in the small.
    pub(super) guess: bool,
}

/// A call of the network.
pub(super) struct Call<'a> {
    /// Its number, from 0, of so many.
    pub(super) i: usize,
    pub(super) calls: usize,
    /// Latents of the batch, once.
    pub(super) x: &'a Tensor,
    pub(super) timestep: f64,
}

impl Guide<'_> {
    /// Prepares the network for prompts.
    pub(super) fn condition(&self, prompts: &Joined) -> Result<Conditioning> {
        self.network
            .condition(&prompts.states, prompts.added().as_ref())
    }

    /// What the network says at `call`, for the batch once for each of the prompts that it was
    /// prepared for; nothing outside its part of the run.
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

/// What all of them say at `call`.
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
