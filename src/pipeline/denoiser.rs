//! The network as the sampler sees it: guidance, batching and noise.

use candle_core::Tensor;

use super::text::{Context, Pooled};
use super::{Batch, Encoded, tell};
use crate::error::Result;
use crate::event::{Event, Observer};
use crate::models::unet::{Added, Conditioning, Unet};
use crate::nn::Compute;
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
}

/// Classifier-free guidance (Ho & Salimans 2022) over a network and its conditioning.
pub(super) struct Denoiser<'a> {
    unet: &'a Unet,
    conditioning: Conditioning,
    /// The batch holds an unconditional half, first.
    guided: bool,
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
        let conditioning = unet.guided(condition(unet, prompts, run.batch.size)?, run.scale)?;
        let guided = prompts.negative.is_some();
        Ok(Self { unet, conditioning, guided, run, noise, compute, observer })
    }
}

impl Model for Denoiser<'_> {
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let output = if self.guided {
            let both = self.unet.forward(&Tensor::cat(&[x, x], 0)?, timestep, &self.conditioning)?;
            let halves = both.chunk(2, 0)?;
            (&halves[0] + ((&halves[1] - &halves[0])? * self.run.scale)?)?
        } else {
            self.unet.forward(x, timestep, &self.conditioning)?
        };
        let Batch { first, size } = self.run.batch;
        let step = Event::Step { step: i + 1, steps: self.run.steps, image: first, batch: size };
        tell(self.observer, &step)?;
        Ok(output)
    }

    fn noise(&mut self) -> Result<Tensor> {
        draw(&mut self.noise, self.run.shape, self.compute)
    }
}

/// The contexts of a batch: the negative one for each image, then the positive one for each.
fn condition(unet: &Unet, prompts: &Encoded, images: usize) -> Result<Conditioning> {
    let contexts: Vec<&Context> = prompts.negative.iter().chain([&prompts.positive]).collect();
    let states = contexts.iter().map(|c| c.states.repeat((images, 1, 1))).collect::<Result<Vec<_>, _>>()?;
    let states = Tensor::cat(&states, 0)?;
    let pooled: Vec<&Pooled> = contexts.iter().filter_map(|c| c.added.as_ref()).collect();
    if pooled.is_empty() {
        return unet.condition(&states, None);
    }
    let texts = pooled.iter().map(|p| p.text.repeat((images, 1))).collect::<Result<Vec<_>, _>>()?;
    let time_ids: Vec<Vec<f64>> = pooled.iter().flat_map(|p| vec![p.ids.clone(); images]).collect();
    unet.condition(&states, Some(&Added { pooled: &Tensor::cat(&texts, 0)?, time_ids: &time_ids }))
}

/// Unit noise of `shape`, one generator's numbers for each image, made on the CPU and then moved.
pub(super) fn draw(noise: &mut Noise, shape: [usize; 4], compute: &Compute) -> Result<Tensor> {
    let numbers = noise.draw(shape[1..].iter().product());
    Ok(Tensor::from_vec(numbers, &shape, &compute.device)?)
}
