//! The network as the sampler sees it: guidance, batching and noise.

use candle_core::Tensor;

use super::{Batch, Encoded, guidance, tell};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::models::unet::{Conditioning, Unet};
use crate::nn::Compute;
use crate::request::Interval;
use crate::rng::Noise;
use crate::sampler::Model;

/// What the denoiser must know of a run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Calls of the network in all.
    pub(super) steps: usize,
    pub(super) batch: Batch,
    /// Shape of the latents.
    pub(super) shape: [usize; 4],
    /// Guidance scale.
    pub(super) scale: f64,
    /// Share of the guided output that gets the deviation of the conditional one.
    pub(super) rescale: f64,
    /// Calls that are guided, in fractions of the run.
    pub(super) interval: Interval,
}

/// Classifier-free guidance (Ho & Salimans 2022) over a network and its conditioning.
pub(super) struct Denoiser<'a> {
    unet: &'a Unet,
    /// The prompt alone; absent when every call is guided.
    alone: Option<Conditioning>,
    /// An unconditional half first, then the prompt; absent without guidance.
    both: Option<Conditioning>,
    run: Run,
    noise: Noise,
    compute: &'a Compute,
    observer: &'a mut dyn Observer,
}

impl<'a> Denoiser<'a> {
    pub(super) fn new(
        unet: &'a Unet,
        prompts: &Encoded,
        run: Run,
        noise: Noise,
        compute: &'a Compute,
        observer: &'a mut dyn Observer,
    ) -> Result<Self> {
        let images = (run.batch.size, 1, 1);
        let condition = |context: &Tensor| unet.guided(unet.condition(context, None)?, run.scale);
        let positive = prompts.positive.repeat(images)?;
        let both = match &prompts.negative {
            Some(negative) => Some(condition(&Tensor::cat(&[&negative.repeat(images)?, &positive], 0)?)?),
            None => None,
        };
        let always = both.is_some() && run.interval == Interval::default();
        let alone = if always { None } else { Some(condition(&positive)?) };
        Ok(Self { unet, alone, both, run, noise, compute, observer })
    }

    /// The network's output at call `i`, guided where the run says so.
    fn guided(&self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let Run { steps, scale, rescale, interval, .. } = self.run;
        match (&self.both, &self.alone) {
            (Some(both), _) if interval.contains(i, steps) => {
                let outputs = self.unet.forward(&Tensor::cat(&[x, x], 0)?, timestep, both)?.chunk(2, 0)?;
                guidance::guided(&outputs[0], &outputs[1], scale, rescale)
            }
            (_, Some(alone)) => self.unet.forward(x, timestep, alone),
            (_, None) => Err(Error::internal("a call without guidance and without a prompt alone")),
        }
    }
}

impl Model for Denoiser<'_> {
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let output = self.guided(i, x, timestep)?;
        let Batch { first, size } = self.run.batch;
        let step = Event::Step { step: i + 1, steps: self.run.steps, image: first, batch: size };
        tell(self.observer, &step)?;
        Ok(output)
    }

    fn noise(&mut self) -> Result<Tensor> {
        draw(&mut self.noise, self.run.shape, self.compute)
    }
}

/// Unit noise of `shape`, one generator's numbers for each image, made on the CPU and then moved.
pub(super) fn draw(noise: &mut Noise, shape: [usize; 4], compute: &Compute) -> Result<Tensor> {
    let numbers = noise.draw(shape[1..].iter().product());
    Ok(Tensor::from_vec(numbers, &shape, &compute.device)?)
}
