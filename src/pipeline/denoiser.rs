//! The network as the sampler sees it: guidance, batching and noise.

use candle_core::Tensor;

use super::cast::{Cast, Prepared};
use super::control::Call;
use super::origin::Origin;
use super::preview::Previews;
use super::sound::sound;
use super::{Batch, Encoded, guidance, tell};
use crate::error::{Error, Result};
use crate::event::{Event, Flow, Observer, heard};
use crate::nn::Backend;
use crate::params::Interval;
use crate::registry::Inputs;
use crate::rng::Noise;
use crate::schedulers::{Model, Sample, combine};

/// Settings of a run of the denoiser.
pub(super) struct Run<'a> {
    /// Calls of the network in total.
    pub(super) calls: usize,
    pub(super) batch: Batch,
    /// Guidance scale.
    pub(super) scale: f64,
    /// Guidance rescale: share of the guided output that gets the standard deviation of the
    /// conditional one.
    pub(super) rescale: f64,
    /// Calls with guidance, in fractions of the run.
    pub(super) interval: Interval,
    /// Start image of the run, in latents, if there is one.
    pub(super) origin: Option<Origin>,
    /// Inputs of the network: latents alone, or with mask and masked latents.
    pub(super) inputs: Inputs,
    /// Previews, if they are wanted.
    pub(super) previews: Option<Previews<'a>>,
}

/// Source of unit noise for the latents of a batch: one generator for each image, whose numbers are
/// made on the CPU and then moved.
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

/// Classifier-free guidance (Ho & Salimans 2022) over a network and its conditioning.
pub(super) struct Denoiser<'a> {
    cast: Cast<'a>,
    /// The prompt alone; absent when every call is guided.
    alone: Option<Prepared>,
    /// Negative prompt first, then the prompt; absent without guidance.
    both: Option<Prepared>,
    run: Run<'a>,
    source: Source<'a>,
    observer: &'a mut dyn Observer,
    /// The observer's answer to the last step.
    flow: Flow,
}

impl<'a> Denoiser<'a> {
    pub(super) fn new(
        cast: Cast<'a>,
        prompts: &Encoded,
        run: Run<'a>,
        source: Source<'a>,
        observer: &'a mut dyn Observer,
    ) -> Result<Self> {
        // Joined prompts have one for each image already.
        let images = run.batch.size / prompts.count();
        let both = match &prompts.negative {
            Some(negative) => Some(cast.prepare(&[negative, &prompts.positive], images)?),
            None => None,
        };
        let always = both.is_some() && run.interval == Interval::default();
        let alone = if always {
            None
        } else {
            Some(cast.prepare(&[&prompts.positive], images)?)
        };
        Ok(Self {
            cast,
            alone,
            both,
            run,
            source,
            observer,
            flow: Flow::Continue,
        })
    }

    /// Ends the run: the random generators in their final state, and the last answer of the
    /// observer.
    pub(super) fn end(self) -> (Noise, Flow) {
        (self.source.noise, self.flow)
    }

    /// The network's output at call `i`, with guidance if the run has it at that call.
    fn guided(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let Run {
            calls,
            scale,
            rescale,
            interval,
            ..
        } = self.run;
        let call = Call {
            i,
            calls,
            x,
            timestep,
        };
        let input = self.input(x)?;
        match (&mut self.both, &mut self.alone) {
            (Some(both), _) if interval.contains(i, calls) => {
                let outputs = self.cast.output(&call, &input, both)?.chunk(2, 0)?;
                guidance::guided(&outputs[0], &outputs[1], scale, rescale)
            }
            (_, Some(alone)) => self.cast.output(&call, &input, alone),
            (_, None) => Err(Error::internal(
                "a call without guidance and without a prompt alone",
            )),
        }
    }

    /// The network's input: latents, and for inpainting networks the mask and the masked latents.
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        let (Inputs::Inpainting, Some(origin)) = (self.run.inputs, &self.run.origin) else {
            return Ok(x.clone());
        };
        let (Some(mask), Some(masked)) = (&origin.mask, &origin.masked) else {
            return Ok(x.clone());
        };
        let mask = mask.repeat((x.dim(0)?, 1, 1, 1))?;
        Ok(Tensor::cat(&[x, &mask, masked], 1)?)
    }

    /// Origin and mask for a network that does not take a mask itself: the area outside the mask is
    /// restored after each step.
    fn kept(&self) -> Option<(&Origin, &Tensor)> {
        match (self.run.inputs, &self.run.origin) {
            (Inputs::Latents, Some(origin)) => origin.mask.as_ref().map(|mask| (origin, mask)),
            _ => None,
        }
    }
}

/// Returns `inside` where the mask is 1, `outside` where it is 0.
fn blend(mask: &Tensor, inside: &Tensor, outside: &Tensor) -> Result<Tensor> {
    Ok((outside + (inside - outside)?.broadcast_mul(mask)?)?)
}

impl Model for Denoiser<'_> {
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let calls = self.run.calls;
        let call = || format!("the denoising network at call {} of {calls}", i + 1);
        let output = sound(call, || self.guided(i, x, timestep), |output| output)?;
        let Batch { first, size } = self.run.batch;
        let step = Event::Step {
            step: i + 1,
            steps: self.run.calls,
            image: first,
            batch: size,
        };
        self.flow = self.observer.on(&step);
        heard(self.flow)?;
        Ok(output)
    }

    fn noise(&mut self) -> Result<Tensor> {
        self.source.draw()
    }

    fn on_x0(&mut self, i: usize, x0: &Tensor) -> Result<bool> {
        if let Some(previews) = self.run.previews {
            let shown = previews.after(i, x0, self.run.batch.first)?;
            shown
                .iter()
                .try_for_each(|preview| tell(self.observer, preview))?;
        }
        Ok(self.flow != Flow::Continue)
    }

    fn before_denoise(&mut self, sample: Sample, kept: f64) -> Result<Sample> {
        let Some((origin, mask)) = self.kept() else {
            return Ok(sample);
        };
        let outside = combine(&[(1.0, &origin.latents), (kept, &origin.noise)])?;
        Ok(Sample {
            x: blend(mask, &sample.x, &outside)?,
            sigma: sample.sigma,
        })
    }

    fn finish(&mut self, latents: Tensor) -> Result<Tensor> {
        match self.kept() {
            Some((origin, mask)) => blend(mask, &latents, &origin.latents),
            None => Ok(latents),
        }
    }
}
