//! The network as the sampler sees it: guidance, batching and noise.

use std::sync::Arc;

use candle_core::Tensor;

use super::origin::Origin;
use super::text::{Context, Pooled};
use super::{Batch, Encoded, guidance, tell};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::models::unet::{Added, Conditioning, Unet};
use crate::nn::Backend;
use crate::registry::Inputs;
use crate::request::Interval;
use crate::rng::Noise;
use crate::sampler::{Model, Sample, combine};

/// What the denoiser must know of a run.
pub(super) struct Run {
    /// Calls of the network in all.
    pub(super) calls: usize,
    pub(super) batch: Batch,
    /// Guidance scale.
    pub(super) scale: f64,
    /// Share of the guided output that gets the deviation of the conditional one.
    pub(super) rescale: f64,
    /// Calls that are guided, in fractions of the run.
    pub(super) interval: Interval,
    /// What the run started from besides noise.
    pub(super) origin: Option<Origin>,
    /// What the network takes.
    pub(super) inputs: Inputs,
}

/// Unit noise for the latents of a batch: one generator's numbers for each image, made on the CPU and then moved.
pub(super) struct Source<'a> {
    pub(super) noise: Noise,
    /// Shape of the latents.
    pub(super) shape: [usize; 4],
    pub(super) backend: &'a Backend,
}

impl Source<'_> {
    /// The next numbers of every generator.
    pub(super) fn draw(&mut self) -> Result<Tensor> {
        let numbers = self.noise.draw(self.shape[1..].iter().product());
        Ok(Tensor::from_vec(numbers, &self.shape, &self.backend.device)?)
    }

    /// Images of the batch.
    pub(super) fn images(&self) -> usize {
        self.shape[0]
    }
}

/// Classifier-free guidance (Ho & Salimans 2022) over a network and its conditioning.
pub(super) struct Denoiser<'a> {
    unet: &'a Unet,
    /// The prompt alone; absent when every call is guided.
    alone: Option<Conditioning>,
    /// An unconditional half first, then the prompt; absent without guidance.
    both: Option<Conditioning>,
    run: Run,
    source: Source<'a>,
    observer: &'a mut dyn Observer,
}

impl<'a> Denoiser<'a> {
    pub(super) fn new(
        unet: &'a Unet,
        prompts: &[Arc<Encoded>],
        run: Run,
        source: Source<'a>,
        observer: &'a mut dyn Observer,
    ) -> Result<Self> {
        let images = run.batch.size;
        let condition = |contexts: &[&Context]| unet.guided(condition(unet, contexts)?, run.scale);
        let positive = spread(prompts.iter().map(|prompt| &prompt.positive).collect(), images);
        let negative: Option<Vec<&Context>> = prompts.iter().map(|prompt| prompt.negative.as_ref()).collect();
        let both = negative.map(|negative| condition(&[spread(negative, images), positive.clone()].concat()));
        let both = both.transpose()?;
        let always = both.is_some() && run.interval == Interval::default();
        let alone = if always { None } else { Some(condition(&positive)?) };
        Ok(Self { unet, alone, both, run, source, observer })
    }

    /// The generator as the run left it.
    pub(super) fn into_noise(self) -> Noise {
        self.source.noise
    }

    /// The network's output at call `i`, guided where the run says so.
    fn guided(&self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let Run { calls, scale, rescale, interval, .. } = self.run;
        let x = self.input(x)?;
        match (&self.both, &self.alone) {
            (Some(both), _) if interval.contains(i, calls) => {
                let outputs = self.unet.forward(&Tensor::cat(&[&x, &x], 0)?, timestep, both)?.chunk(2, 0)?;
                guidance::guided(&outputs[0], &outputs[1], scale, rescale)
            }
            (_, Some(alone)) => self.unet.forward(&x, timestep, alone),
            (_, None) => Err(Error::internal("a call without guidance and without a prompt alone")),
        }
    }

    /// The network's input: latents, and for inpainting networks the mask and the masked latents.
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        let (Inputs::Inpainting, Some(origin)) = (self.run.inputs, &self.run.origin) else {
            return Ok(x.clone());
        };
        let (Some(mask), Some(masked)) = (&origin.mask, &origin.masked) else { return Ok(x.clone()) };
        let mask = mask.repeat((x.dim(0)?, 1, 1, 1))?;
        Ok(Tensor::cat(&[x, &mask, masked], 1)?)
    }

    /// Origin and mask of a network that knows nothing of masks: what lies outside is kept for it.
    fn kept(&self) -> Option<(&Origin, &Tensor)> {
        match (self.run.inputs, &self.run.origin) {
            (Inputs::Latents, Some(origin)) => origin.mask.as_ref().map(|mask| (origin, mask)),
            _ => None,
        }
    }
}

/// `inside` where the mask is 1, `outside` where it is 0.
fn blend(mask: &Tensor, inside: &Tensor, outside: &Tensor) -> Result<Tensor> {
    Ok((outside + (inside - outside)?.broadcast_mul(mask)?)?)
}

impl Model for Denoiser<'_> {
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let output = self.guided(i, x, timestep)?;
        let Batch { first, size } = self.run.batch;
        let step = Event::Step { step: i + 1, steps: self.run.calls, image: first, batch: size };
        tell(self.observer, &step)?;
        Ok(output)
    }

    fn noise(&mut self) -> Result<Tensor> {
        self.source.draw()
    }

    fn between(&mut self, sample: Sample) -> Result<Sample> {
        let Some((origin, mask)) = self.kept() else { return Ok(sample) };
        let outside = combine(&[(1.0, &origin.latents), (sample.sigma, &origin.noise)])?;
        Ok(Sample { x: blend(mask, &sample.x, &outside)?, sigma: sample.sigma })
    }

    fn finish(&mut self, latents: Tensor) -> Result<Tensor> {
        match self.kept() {
            Some((origin, mask)) => blend(mask, &latents, &origin.latents),
            None => Ok(latents),
        }
    }
}

/// A context for each image: one that is alone serves them all.
fn spread(contexts: Vec<&Context>, images: usize) -> Vec<&Context> {
    match contexts.as_slice() {
        [one] => vec![*one; images],
        _ => contexts,
    }
}

/// The contexts of a batch, image by image.
fn condition(unet: &Unet, contexts: &[&Context]) -> Result<Conditioning> {
    let states: Vec<&Tensor> = contexts.iter().map(|context| &context.states).collect();
    let states = Tensor::cat(&states, 0)?;
    let pooled: Vec<&Pooled> = contexts.iter().filter_map(|c| c.added.as_ref()).collect();
    if pooled.is_empty() {
        return unet.condition(&states, None);
    }
    let texts: Vec<&Tensor> = pooled.iter().map(|pooled| &pooled.text).collect();
    let time_ids: Vec<Vec<f64>> = pooled.iter().map(|pooled| pooled.ids.clone()).collect();
    unet.condition(&states, Some(&Added { pooled: &Tensor::cat(&texts, 0)?, time_ids: &time_ids }))
}
