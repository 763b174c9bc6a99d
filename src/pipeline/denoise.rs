//! The denoising network as the sampler sees it: the networks of a run prepared for its prompts,
//! guidance, inpainting, and events.

use candle_core::Tensor;

use super::finite_check::check_finite;
use super::preview::Previews;
use super::stage::Batch;
use super::start_latents::{NoiseSource, StartLatents};
use super::text::{EncodedPrompts, Pooled, PromptEmbeds, count};
use crate::catalog::Inputs;
use crate::error::{Error, Result};
use crate::event::{Event, Flow, Observer, heard, tell};
use crate::guidance::{ClassifierFreeGuidance, Condition, Guider, is_guided};
use crate::models::conditioning::{Added, Conditioning};
use crate::models::controlnet::{ControlNet, Residuals, Strength};
use crate::models::denoiser::{Conditioned, Denoiser, DenoiserInputs, ImagePrompt};
use crate::models::ip_adapter::IpAdapter;
use crate::nn::FeatureMap;
use crate::params::{Approximations, Control, Request};
use crate::rng::Noise;
use crate::schedulers::{Model, Process, Sample};

/// The guidance of a run of `calls` calls; `takes_scale` says that the network has the scale as an
/// input.
pub(super) fn guider(request: &Request, takes_scale: bool, calls: usize) -> Box<dyn Guider> {
    let inside = |i: &usize| request.cfg_interval.contains(*i, calls);
    let guided = if is_guided(request.cfg_scale, takes_scale) {
        let first = (0..calls).find(inside).unwrap_or(calls);
        first..(0..calls).rfind(inside).map_or(first, |last| last + 1)
    } else {
        0..0
    };
    Box::new(ClassifierFreeGuidance {
        scale: request.cfg_scale,
        rescale: request.guidance_rescale,
        calls: guided,
    })
}

/// The denoising network of a run with its ControlNets and IP-Adapter.
pub(super) struct DenoiserSet<'a> {
    pub(super) denoiser: &'a dyn Denoiser,
    pub(super) controls: Vec<ActiveControl<'a>>,
    /// IP-Adapter of the image prompt, and its scale.
    pub(super) adapter: Option<(&'a IpAdapter, f64)>,
    /// Guidance scale, for networks that take it as an input.
    pub(super) scale: f64,
    /// Token merging and DeepCache.
    pub(super) shortcuts: Approximations,
}

/// A ControlNet with its control image.
#[derive(Clone, Copy)]
pub(super) struct ActiveControl<'a> {
    pub(super) network: &'a ControlNet,
    /// The embedded control image.
    pub(super) hint: &'a FeatureMap,
    pub(super) control: &'a Control,
    /// Guess mode: the ControlNet acts on the conditional pass alone, with a scale that grows from
    /// the high resolutions to the low.
    pub(super) guess: bool,
}

/// A call of the denoising network.
struct Call<'a> {
    /// Number of the call, from 0, out of `calls`.
    i: usize,
    calls: usize,
    /// Latents of the batch, not repeated for guidance.
    x: &'a Tensor,
    timestep: f64,
}

/// The networks prepared for the conditions of a call.
struct Prepared<'a> {
    conditions: &'static [Condition],
    denoiser: Box<dyn Conditioned + 'a>,
    controls: Vec<Conditioning>,
}

impl ActiveControl<'_> {
    /// Residuals of the ControlNet at `call`, for the batch once for each of the prompts that it
    /// was prepared for; `None` outside its interval of the run or at scale 0.
    fn residuals(&self, call: &Call<'_>, conditioning: &Conditioning) -> Result<Option<Residuals>> {
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
        let residuals =
            self.network
                .forward(call.x, call.timestep, conditioning, self.hint, strength)?;
        Ok(Some(residuals))
    }
}

/// Conditioning of joined prompts, each repeated for every image of a batch.
struct Joined {
    /// `[b, n, c]`.
    states: Tensor,
    /// SDXL's added conditioning.
    pooled: Option<(Tensor, Vec<Vec<f64>>)>,
    /// Tokens of an image prompt, `[b, m, c]`.
    image: Option<Tensor>,
}

impl Joined {
    fn new(prompts: &[&PromptEmbeds], images: usize) -> Result<Self> {
        let each = |of: &dyn Fn(&PromptEmbeds) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let mut parts = Vec::new();
            for part in prompts.iter().filter_map(|prompt| of(prompt)) {
                let mut times = vec![1; part.dims().len()];
                times[0] = images;
                parts.push(part.repeat(times)?);
            }
            if parts.is_empty() {
                return Ok(None);
            }
            Ok(Some(Tensor::cat(&parts, 0)?))
        };
        let text = each(&|prompt| prompt.added.as_ref().map(|pooled| pooled.text.clone()))?;
        let pooled = prompts.iter().filter_map(|prompt| prompt.added.as_ref());
        let ids = pooled
            .flat_map(|Pooled { ids, text }| vec![ids.clone(); images * count(text)])
            .collect();
        let states = each(&|prompt| Some(prompt.states.clone()))?;
        Ok(Self {
            states: states.ok_or_else(|| Error::internal("no prompt at all"))?,
            pooled: text.map(|text| (text, ids)),
            image: each(&|prompt| prompt.picture.clone())?,
        })
    }

    fn added(&self) -> Option<Added<'_>> {
        let (pooled, time_ids) = self.pooled.as_ref()?;
        Some(Added { pooled, time_ids })
    }
}

impl<'a> DenoiserSet<'a> {
    /// Prepares every network for the prompts of `conditions`, each for `images` images.
    fn prepare(
        &self,
        conditions: &'static [Condition],
        prompts: &EncodedPrompts,
        images: usize,
    ) -> Result<Prepared<'a>> {
        let mut embeds = Vec::with_capacity(conditions.len());
        for condition in conditions {
            embeds.push(match (condition, &prompts.negative) {
                (Condition::Positive, _) => &prompts.positive,
                (Condition::Negative, Some(negative)) => negative,
                (Condition::Negative, None) => {
                    return Err(Error::internal("guidance without a negative prompt"));
                }
            });
        }
        let joined = Joined::new(&embeds, images)?;
        let image_prompt = match (self.adapter, &joined.image) {
            (Some((adapter, scale)), Some(tokens)) => Some(ImagePrompt {
                adapter,
                tokens,
                scale,
            }),
            _ => None,
        };
        let denoiser = self.denoiser.conditioned(&DenoiserInputs {
            context: &joined.states,
            added: joined.added(),
            guidance_scale: self.scale,
            image_prompt,
            merge_tokens: self.shortcuts.merge_tokens,
            cache: self.shortcuts.cache,
        })?;
        let positive = Joined::new(&[&prompts.positive], images)?;
        let mut controls = Vec::with_capacity(self.controls.len());
        for control in &self.controls {
            let prompts = if control.guess { &positive } else { &joined };
            let added = prompts.added();
            controls.push(control.network.condition(&prompts.states, added.as_ref())?);
        }
        Ok(Prepared {
            conditions,
            denoiser,
            controls,
        })
    }

    /// One prediction for each condition that the networks are prepared for, at `call`, from the
    /// network's `input`.
    fn predict(
        &self,
        call: &Call<'_>,
        input: &Tensor,
        prepared: &mut Prepared<'_>,
    ) -> Result<Vec<Tensor>> {
        let Prepared {
            conditions,
            denoiser,
            controls,
        } = prepared;
        let mut residuals = || {
            let mut all = Vec::new();
            for (control, conditioning) in self.controls.iter().zip(controls.iter()) {
                all.extend(control.residuals(call, conditioning)?);
            }
            Ok(all)
        };
        let output = denoiser.predict(call.i, input, call.timestep, &mut residuals)?;
        if conditions.len() == 1 {
            return Ok(vec![output]);
        }
        Ok(output.chunk(conditions.len(), 0)?)
    }
}

/// Settings of a run.
pub(super) struct Run<'a> {
    /// Calls of the network in total.
    pub(super) calls: usize,
    pub(super) batch: Batch,
    pub(super) guider: Box<dyn Guider>,
    /// Noise process of the network.
    pub(super) process: Process,
    /// Start image of the run, in latents, if there is one.
    pub(super) start: Option<StartLatents>,
    /// Inputs of the network: latents alone, or with mask and masked latents.
    pub(super) inputs: Inputs,
    /// Previews, if they are wanted.
    pub(super) previews: Option<Previews<'a>>,
}

/// The model that a sampler calls: a guided denoising network with its noise.
pub(super) struct GuidedDenoiser<'a> {
    set: DenoiserSet<'a>,
    /// For every list of conditions that a call of the run needs.
    prepared: Vec<Prepared<'a>>,
    run: Run<'a>,
    noise: NoiseSource<'a>,
    observer: &'a mut dyn Observer,
    /// The observer's answer to the last step.
    flow: Flow,
}

impl<'a> GuidedDenoiser<'a> {
    pub(super) fn new(
        set: DenoiserSet<'a>,
        prompts: &EncodedPrompts,
        run: Run<'a>,
        noise: NoiseSource<'a>,
        observer: &'a mut dyn Observer,
    ) -> Result<Self> {
        // Joined prompts have one for each image already.
        let images = run.batch.size / prompts.count();
        let mut prepared: Vec<Prepared<'a>> = Vec::new();
        for conditions in (0..run.calls).map(|i| run.guider.conditions(i)) {
            if !prepared.iter().any(|one| one.conditions == conditions) {
                prepared.push(set.prepare(conditions, prompts, images)?);
            }
        }
        Ok(Self {
            set,
            prepared,
            run,
            noise,
            observer,
            flow: Flow::Continue,
        })
    }

    /// Ends the run: the random generators in their final state, and the last answer of the
    /// observer.
    pub(super) fn end(self) -> (Noise, Flow) {
        (self.noise.noise, self.flow)
    }

    /// The guided prediction at call `i`.
    fn guided(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let call = Call {
            i,
            calls: self.run.calls,
            x,
            timestep,
        };
        let input = self.input(x)?;
        let conditions = self.run.guider.conditions(i);
        let prepared = self.prepared.iter_mut();
        let prepared = prepared
            .into_iter()
            .find(|one| one.conditions == conditions)
            .ok_or_else(|| Error::internal("a call that was not prepared"))?;
        let predictions = self.set.predict(&call, &input, prepared)?;
        self.run.guider.combine(&predictions)
    }

    /// The network's input: latents, and for inpainting networks the mask and the masked latents.
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        let (Inputs::Inpainting, Some(start)) = (self.run.inputs, &self.run.start) else {
            return Ok(x.clone());
        };
        let (Some(mask), Some(masked)) = (&start.mask, &start.masked) else {
            return Ok(x.clone());
        };
        let mask = mask.repeat((x.dim(0)?, 1, 1, 1))?;
        Ok(Tensor::cat(&[x, &mask, masked], 1)?)
    }

    /// Start image and mask for a network that does not take a mask itself: the area outside the
    /// mask is restored after each step.
    fn kept(&self) -> Option<(&StartLatents, &Tensor)> {
        match (self.run.inputs, &self.run.start) {
            (Inputs::Latents, Some(start)) => start.mask.as_ref().map(|mask| (start, mask)),
            _ => None,
        }
    }
}

/// Returns `inside` where the mask is 1, `outside` where it is 0.
fn blend(mask: &Tensor, inside: &Tensor, outside: &Tensor) -> Result<Tensor> {
    Ok((outside + (inside - outside)?.broadcast_mul(mask)?)?)
}

impl Model for GuidedDenoiser<'_> {
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor> {
        let calls = self.run.calls;
        let call = || format!("the denoising network at call {} of {calls}", i + 1);
        let output = check_finite(call, || self.guided(i, x, timestep), |output| output)?;
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
        self.noise.next()
    }

    fn on_x0(&mut self, i: usize, x0: &Tensor) -> Result<bool> {
        if let Some(previews) = self.run.previews {
            for preview in previews.at_call(i, x0, self.run.batch.first)? {
                tell(self.observer, &preview)?;
            }
        }
        Ok(self.flow != Flow::Continue)
    }

    fn before_denoise(&mut self, sample: Sample, kept: f64) -> Result<Sample> {
        let Some((start, mask)) = self.kept() else {
            return Ok(sample);
        };
        let outside = self
            .run
            .process
            .noised(&start.latents, &start.noise, kept)?;
        Ok(Sample {
            x: blend(mask, &sample.x, &outside)?,
            sigma: sample.sigma,
        })
    }

    fn finish(&mut self, latents: Tensor) -> Result<Tensor> {
        match self.kept() {
            Some((start, mask)) => blend(mask, &latents, &start.latents),
            None => Ok(latents),
        }
    }
}
