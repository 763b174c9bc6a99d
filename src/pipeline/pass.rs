//! A pass: one run of the sampler, latents in, latents out. Text to image is one pass; a refiner
//! makes it two.

use std::sync::Arc;

use candle_core::Tensor;

use super::Pipeline;
use super::denoise::{ActiveControl, DenoiserSet, GuidedDenoiser, Run, guider};
use super::preview::Previews;
use super::stage::{Batch, staged};
use super::start_latents::{Encoding, NoiseSource, StartLatents};
use super::text::EncodedPrompts;
use crate::adapters::Adapters;
use crate::catalog::Networks;
use crate::error::{Error, Result};
use crate::event::{Flow, Observer, Stage};
use crate::imaging::{MaskOptions, MaskedContent, Start};
use crate::models::denoiser::Denoiser;
use crate::output::latents::Latents;
use crate::params::{Refiner, Request, StartImage};
use crate::planner::{Model, Plan};
use crate::rng::Noise;
use crate::schedulers::{self, Process, SigmaSchedule};

/// One run of the sampler.
pub(crate) struct Pass<'a> {
    /// Model whose networks run.
    pub(crate) model: &'a Arc<Model>,
    /// Size, steps, strength, sampler, guidance and prompts of this pass.
    pub(crate) request: Request,
    /// ControlNets, IP-Adapter with its image encoder, and another autoencoder.
    pub(crate) networks: Networks,
    /// LoRAs and embeddings.
    pub(crate) adapters: Adapters,
    /// Image that the pass starts from.
    pub(crate) start: Option<&'a Start>,
    /// Share of the timesteps after which the pass begins, with the latents of the pass before it
    /// (diffusers' `denoising_start`).
    pub(crate) denoising_start: Option<f64>,
    /// Share of the timesteps after which it ends (diffusers' `denoising_end`).
    pub(crate) denoising_end: Option<f64>,
    /// False if the latents exist already and are only decoded.
    pub(crate) denoises: bool,
}

/// Latents that a pass begins with.
pub(crate) enum PassInput {
    /// Noise, or the start image with noise; a generator for each image of the batch.
    Noise(Noise),
    /// The latents of the pass before, with the noise that they still hold.
    Latents(PassOutput),
}

/// The latents of a batch after a pass, before decoding.
pub(crate) struct PassOutput {
    /// Latents `[size, c, h, w]` as the sampler leaves them.
    pub(super) latents: Tensor,
    /// The random generators in their final state, for a pass that continues.
    noise: Noise,
    /// Images of the request.
    pub(crate) batch: Batch,
    /// The observer's answer to the last step: other than [`Flow::Continue`], the latents are an
    /// early estimate of the clean ones.
    pub(crate) flow: Flow,
}

impl PassOutput {
    /// Latents of image `i`, for a file.
    pub(crate) fn latents_of(&self, i: usize, seed: u64) -> Result<Latents> {
        let (_, c, h, w) = self.latents.dims4()?;
        let values = self.latents.get(i)?.flatten_all()?.to_vec1()?;
        Ok(Latents {
            shape: [c, h, w],
            values,
            seed,
            index: self.batch.first + i as u64,
        })
    }
}

impl<'a> Pass<'a> {
    /// The first pass of a plan, up to the end. `start` is the start image of its request.
    pub(crate) fn base(plan: &'a Plan, start: Option<&'a Start>) -> Self {
        Pass {
            model: &plan.base,
            request: plan.request.clone(),
            networks: plan.networks.clone(),
            adapters: plan.adapters.clone(),
            start,
            denoising_start: None,
            denoising_end: None,
            denoises: plan.latents.is_none(),
        }
    }

    /// The passes of a plan.
    pub(crate) fn of_plan(plan: &'a Plan, start: Option<&'a Start>) -> Result<Vec<Self>> {
        let base = Self::base(plan, start);
        match (&plan.refiner, &plan.request.refiner) {
            (Some(model), Some(options)) if base.denoises => {
                let refiner = base.refined(model, options)?;
                let base = Pass {
                    denoising_end: Some(options.start),
                    ..base
                };
                Ok(vec![base, refiner])
            }
            _ => Ok(vec![base]),
        }
    }

    /// The pass of a refiner over the latents of this one. It shares the autoencoder and the
    /// textual inversion embeddings; ControlNets, image prompt and LoRAs are the base model's.
    fn refined(&self, model: &'a Arc<Model>, options: &Refiner) -> Result<Self> {
        Ok(Pass {
            model,
            request: self.request.refined(&model.repo)?,
            networks: Networks {
                autoencoder: self.networks.autoencoder.clone(),
                ..Networks::default()
            },
            adapters: Adapters {
                embeddings: self.adapters.embeddings.clone(),
                ..Adapters::default()
            },
            start: None,
            denoising_start: Some(options.start),
            denoising_end: None,
            denoises: true,
        })
    }
}

impl Pipeline {
    /// Runs a pass over a batch, with its encoded prompts.
    pub(crate) fn run(
        &self,
        pass: &Pass<'_>,
        prompts: &EncodedPrompts,
        batch: Batch,
        input: PassInput,
        observer: &mut dyn Observer,
    ) -> Result<PassOutput> {
        staged(observer, Stage::Denoise, "latents", |observer| {
            let request = &pass.request;
            let (config, mut sigmas) = request.sigmas(&self.repo)?;
            let process = Process::of(&config);
            let mut before = 0;
            if let Some(share) = pass.denoising_end {
                let end = Refiner::switch_step(share, &sigmas)?;
                sigmas = sigmas.until_call(end);
            }
            if let Some(share) = pass.denoising_start {
                before = Refiner::switch_step(share, &sigmas)?;
                sigmas = sigmas.from_call(before);
            }
            let (x, start, noise) = match input {
                PassInput::Noise(noise) => {
                    let mut noise = self.noise_source(request, noise, batch.size);
                    let (x, start) = self.first_sample(pass, process, &sigmas, &mut noise)?;
                    (x, start, noise)
                }
                PassInput::Latents(output) => (
                    schedulers::resumed(&config, &sigmas, output.latents)?,
                    None,
                    self.noise_source(request, output.noise, batch.size),
                ),
            };
            let calls = sigmas.calls();
            let run = Run {
                calls,
                batch,
                guider: guider(request, self.takes_guidance_scale(), calls),
                process,
                start,
                inputs: self.repo.inputs,
                previews: match request.preview_every {
                    Some(every) => Some(self.previews(every, before)?),
                    None => None,
                },
            };
            self.free_if_short(|| self.autoencoder.free());
            let denoiser = self.denoiser(observer)?;
            let set = self.denoiser_set(&**denoiser, pass, prompts)?;
            let mut model = GuidedDenoiser::new(set, prompts, run, noise, observer)?;
            let latents = schedulers::sample(&config, &sigmas, x, &mut model)?;
            let (noise, flow) = model.end();
            drop(denoiser);
            self.free_if_short(|| self.denoiser.free());
            // The decoder needs the most memory of all, and buffers of other sizes than the
            // network's.
            self.backend.trim();
            Ok(PassOutput {
                latents,
                noise,
                batch,
                flow,
            })
        })
    }

    /// The first sample of a pass that begins with noise, and its start image in latents.
    fn first_sample(
        &self,
        pass: &Pass<'_>,
        process: Process,
        sigmas: &SigmaSchedule,
        noise: &mut NoiseSource<'_>,
    ) -> Result<(Tensor, Option<StartLatents>)> {
        let (Some(options), Some(start)) = (&pass.request.init, pass.start) else {
            return Ok(((noise.next()? * sigmas.init_noise_sigma)?, None));
        };
        let encoding = Encoding {
            autoencoder: &self.autoencoder,
            factor: self.repo.vae_factor,
            posterior: options.posterior,
            inputs: self.repo.inputs,
            backend: &self.backend,
        };
        let from_noise = starts_from_noise(options);
        let start = encoding.encode(start, from_noise, noise)?;
        let x = if from_noise {
            (&start.noise * sigmas.init_noise_sigma)?
        } else {
            let level = sigmas
                .levels
                .get(sigmas.start)
                .ok_or_else(|| Error::internal("a run of no step"))?;
            process.noised(&start.latents, &start.noise, level.sigma)?
        };
        Ok((x, Some(start)))
    }

    /// The networks that a pass uses.
    fn denoiser_set<'a>(
        &'a self,
        denoiser: &'a dyn Denoiser,
        pass: &'a Pass<'_>,
        prompts: &'a EncodedPrompts,
    ) -> Result<DenoiserSet<'a>> {
        let request = &pass.request;
        let mut controls = Vec::new();
        let hints = pass.networks.controls.iter().zip(&prompts.hints);
        for ((network, hint), control) in hints.zip(&request.controls) {
            controls.push(ActiveControl {
                network: self.extra_networks.control(network)?,
                hint,
                control,
                guess: request.control_guess,
            });
        }
        let scale = request.picture_prompt.as_ref().map(|prompt| prompt.scale);
        let image_prompt = self.extra_networks.image_prompt();
        Ok(DenoiserSet {
            denoiser,
            controls,
            adapter: image_prompt.map(|encoder| (&encoder.adapter, scale.unwrap_or(0.0))),
            scale: request.cfg_scale,
            shortcuts: request.shortcuts,
        })
    }

    /// Previews every `every` calls of a run that `before` calls have begun.
    fn previews(&self, every: usize, before: usize) -> Result<Previews<'_>> {
        let previews = Previews {
            every,
            before,
            autoencoder: &self.autoencoder,
            rgb: &self.repo.family.latents.rgb,
        };
        previews.check()?;
        Ok(previews)
    }

    fn noise_source(&self, request: &Request, noise: Noise, images: usize) -> NoiseSource<'_> {
        NoiseSource {
            noise,
            shape: self.latent_shape(request, images),
            backend: &self.backend,
        }
    }

    /// Restores latents from a file as the output of a pass.
    pub(crate) fn restore(&self, request: &Request, latents: &Latents) -> Result<PassOutput> {
        let shape = self.latent_shape(request, 1);
        if shape[1..] != latents.shape {
            let [c, h, w] = latents.shape;
            let expected = format!("latents of {shape:?}");
            return Err(
                Error::expected("from_latents", expected, format!("[1, {c}, {h}, {w}]"))
                    .hint("the file is of another model or another size"),
            );
        }
        Ok(PassOutput {
            latents: self.backend.upload(latents.values.clone(), &shape)?,
            noise: Noise::new(request.rng, request.seed, 1),
            batch: Batch { first: 0, size: 1 },
            flow: Flow::Continue,
        })
    }

    fn latent_shape(&self, request: &Request, images: usize) -> [usize; 4] {
        let cells = |pixels: u32| (pixels / self.repo.vae_factor) as usize;
        [
            images,
            self.autoencoder.channels(),
            cells(request.height),
            cells(request.width),
        ]
    }
}

/// Returns true if a run starts from noise alone, as with a mask over the original at full
/// strength; every other run starts from its image with noise added.
fn starts_from_noise(init: &StartImage) -> bool {
    let is_original = |mask: &MaskOptions| mask.content == MaskedContent::Original;
    init.mask.as_ref().is_some_and(is_original) && init.strength >= 1.0
}
