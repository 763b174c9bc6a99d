//! From prompt to pixels: the loaded networks of one model and the stages between them. No files
//! are written and nothing is printed here; progress goes to an `Observer`, which may cancel.

mod autoencoder;
mod beside;
mod cast;
mod control;
mod decode;
mod denoiser;
mod emphasis;
mod equipment;
mod estimate;
mod guidance;
mod inversion;
mod latent_scale;
mod loading;
mod origin;
mod part;
mod pixels;
mod preview;
mod probe;
mod recent;
mod sizes;
mod sound;

mod text;
mod tiles;
mod workload;

use std::sync::Arc;

use candle_core::Tensor;

use crate::adapters::Adapters;
use crate::error::{Error, Result};
use crate::event::{Event, Flow, Observer, Stage, tell};
use crate::imaging::{MaskOptions, MaskedContent, Picture, Start};
use crate::models::unet::Unet;
use crate::models::unet_config::UnetConfig;
use crate::nn::{Backend, Weights, within_memory};
use crate::output::latents::Latents;
use crate::params::{Request, StartImage};
use crate::registry::{Component, ModelFiles, Network, Networks, RepoConfig};
use crate::rng::Noise;
use crate::schedulers::{self, Config, Prediction, combine};
use crate::schedulers::{SigmaSchedule, schedule};
use autoencoder::Autoencoder;
use cast::Cast;
use control::Guide;
use denoiser::{Denoiser, Run, Source};
use equipment::Equipment;
pub use estimate::Estimate;
use origin::{Encoding, Origin};
use part::Part;
use preview::Previews;
pub(crate) use sizes::{Sizes, Stages};

pub(crate) use beside::Beside;
pub(crate) use text::Encoded;
use text::TextEncoder;
pub(crate) use workload::Workload;

/// A model in memory.
pub(crate) struct Pipeline {
    text: Part<TextEncoder>,
    recent: recent::Recent,
    unet: Part<Unet>,
    /// LoRAs merged into the weights of the loaded networks, and embeddings.
    adapters: Adapters,
    autoencoder: Autoencoder,
    equipment: Equipment,
    config: UnetConfig,
    files: ModelFiles,
    /// Prediction type of the network.
    prediction: Prediction,
    stay: Stay,
    repo: RepoConfig,
    backend: Backend,
}

/// Lifetime of networks in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// Kept for later requests once loaded; all are loaded at the beginning.
    Loaded,
    /// Loaded when they are needed and freed afterwards, with kernels that take little memory.
    WhileNeeded,
}

/// Opens the weights of a component.
type Open<'a> = &'a dyn Fn(Component) -> Result<Weights>;

/// A slice of a request that runs in one forward.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// Index of the first image within the request.
    pub(crate) first: u64,
    /// Number of images.
    pub(crate) size: usize,
}

/// Arguments of drawing a batch.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// The request.
    pub(crate) request: &'a Request,
    /// Encoded prompts of the request.
    pub(crate) prompts: &'a Encoded,
    /// Images of the request to draw.
    pub(crate) batch: Batch,
    /// Extra networks of the request.
    pub(crate) networks: &'a Networks,
}

/// Images of a request, except the start image.
pub(crate) struct Shown {
    /// Control image of each ControlNet.
    pub(crate) controls: Vec<Picture>,
    /// Image prompt (IP-Adapter).
    pub(crate) prompt: Option<Picture>,
}

/// A drawn batch, before decoding.
pub(crate) struct Drawn {
    /// Latents `[size, c, h, w]` as the sampler leaves them.
    latents: Tensor,
    /// The random generators in their final state, for a refiner that continues.
    noise: Noise,
    /// Images of the request that were drawn.
    pub(crate) batch: Batch,
    /// The observer's answer to the last step: other than [`Flow::Continue`], the latents are an
    /// early estimate of the clean ones.
    pub(crate) flow: Flow,
}

/// A run of the sampler that is ready to begin.
struct Descent<'a> {
    config: Config,
    sigmas: SigmaSchedule,
    x: Tensor,
    origin: Option<Origin>,
    source: Source<'a>,
    /// Calls already made by the base model.
    before: usize,
}

impl Drawn {
    /// Latents of image `i`, for a file.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub(crate) fn kept(&self, i: usize, seed: u64) -> Result<Latents> {
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

impl Pipeline {
    /// Encodes the prompts of a request.
    ///
    /// # Errors
    /// A `clip_skip` beyond the encoder's layers; tensor arithmetic.
    pub(crate) fn encode(
        &self,
        request: &Request,
        beside: Beside<'_>,
        shown: &Shown,
        observer: &mut dyn Observer,
    ) -> Result<Encoded> {
        // Networks distilled to take the guidance as an input have no unconditional pass.
        let guided = request.cfg_scale > 1.0 && self.config.guidance_width.is_none();
        let Beside { networks, adapters } = beside;
        let mut encoded = self.recent.get(request, observer, |observer| {
            let text = self.text(observer)?;
            staged(observer, Stage::Encode, "prompt", |observer| {
                text.encode(request, &adapters.embeddings, guided, observer)
            })
        })?;
        self.leave(|| self.text.free());
        if shown.prompt.is_none() && shown.controls.is_empty() {
            return Ok(encoded);
        }
        staged(observer, Stage::Encode, "pictures", |_| {
            if let (Some(reader), Some(picture)) = (self.equipment.picture(), &shown.prompt) {
                let [something, nothing] = reader.read(picture, &self.backend)?;
                encoded.positive.picture = Some(something);
                encoded
                    .negative
                    .iter_mut()
                    .for_each(|negative| negative.picture = Some(nothing.clone()));
            }
            for (network, picture) in networks.controls.iter().zip(&shown.controls) {
                let picture = origin::pixels(picture, None, &self.backend)?.affine(0.5, 0.5)?;
                encoded
                    .hints
                    .push(self.equipment.control(network)?.hint(&picture)?);
            }
            Ok(encoded)
        })
    }

    /// Noise, or a start image, to latents: finished ones, or up to the handover to the refiner of
    /// the request. `noise` has a generator for each image of the task.
    ///
    /// # Errors
    /// `Kind::Interrupted` when the observer cancels; tensor arithmetic.
    pub(crate) fn denoise(
        &self,
        task: &Task<'_>,
        noise: Noise,
        start: Option<&Start>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn> {
        staged(observer, Stage::Denoise, "latents", |observer| {
            let Task { request, batch, .. } = *task;
            let (config, mut sigmas) = request.sigmas(&self.repo)?;
            let mut source = self.source(request, noise, batch.size);
            let (x, origin) = match (&request.init, start) {
                (Some(init), Some(start)) => {
                    let origin = self.origin(init, start, &mut source)?;
                    (first_sample(init, &sigmas, &origin)?, Some(origin))
                }
                _ => ((source.draw()? * sigmas.init_noise_sigma)?, None),
            };
            if let Some(refiner) = &request.refiner {
                let end = refiner.handover(&sigmas)?;
                sigmas = sigmas.until_call(end);
            }
            let descent = Descent {
                config,
                sigmas,
                x,
                origin,
                source,
                before: 0,
            };
            self.descend(task, descent, observer)
        })
    }

    /// Continues the denoising that the base model has begun; no noise is added. `task` is that of
    /// the refiner ([`Request::refined`]).
    ///
    /// # Errors
    /// As [`Self::denoise`].
    pub(crate) fn refine(
        &self,
        task: &Task<'_>,
        drawn: Drawn,
        observer: &mut dyn Observer,
    ) -> Result<Drawn> {
        staged(observer, Stage::Denoise, "latents", |observer| {
            let Task { request, batch, .. } = *task;
            let refiner = request
                .refiner
                .as_ref()
                .ok_or_else(|| Error::internal("nothing to refine"))?;
            let config = request.sampler_config(&self.repo)?;
            let sigmas = schedule::sigma_schedule(&config, request.steps)?;
            let start = refiner.handover(&sigmas)?;
            let sigmas = sigmas.from_call(start);
            let x = schedulers::resumed(&config, &sigmas, drawn.latents)?;
            let source = self.source(request, drawn.noise, batch.size);
            let descent = Descent {
                config,
                sigmas,
                x,
                origin: None,
                source,
                before: start,
            };
            self.descend(task, descent, observer)
        })
    }

    fn descend(
        &self,
        task: &Task<'_>,
        descent: Descent<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn> {
        let Task {
            request,
            prompts,
            batch,
            ..
        } = *task;
        let Descent {
            config,
            sigmas,
            x,
            origin,
            source,
            before,
        } = descent;
        let run = Run {
            calls: sigmas.calls(),
            batch,
            scale: request.cfg_scale,
            rescale: request.guidance_rescale,
            interval: request.cfg_interval,
            origin,
            inputs: self.repo.inputs,
            previews: match request.preview_every {
                Some(every) => Some(self.previews(every, before)?),
                None => None,
            },
        };
        self.leave(|| self.autoencoder.free());
        let unet = self.unet(observer)?;
        let mut model = Denoiser::new(self.cast(&unet, task)?, prompts, run, source, observer)?;
        let latents = schedulers::sample(&config, &sigmas, x, &mut model)?;
        let (noise, flow) = model.end();
        drop(unet);
        self.leave(|| self.unet.free());
        // The decoder needs the most memory of all, and buffers of other sizes than the network's.
        self.backend.trim();
        Ok(Drawn {
            latents,
            noise,
            batch,
            flow,
        })
    }

    /// The networks that a task uses.
    fn cast<'a>(&'a self, unet: &'a Unet, task: &Task<'a>) -> Result<Cast<'a>> {
        let Task {
            request,
            prompts,
            networks,
            ..
        } = *task;
        let guide = |((network, hint), control): ((&Arc<Network>, _), _)| {
            let network = self.equipment.control(network)?;
            Ok(Guide {
                network,
                hint,
                control,
                guess: request.control_guess,
            })
        };
        let guides = networks
            .controls
            .iter()
            .zip(&prompts.hints)
            .zip(&request.controls)
            .map(guide);
        let scale = request
            .picture_prompt
            .as_ref()
            .map_or(0.0, |picture| picture.scale);
        Ok(Cast {
            unet,
            guides: guides.collect::<Result<_>>()?,
            adapter: self
                .equipment
                .picture()
                .map(|reader| (&reader.adapter, scale)),
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

    fn source(&self, request: &Request, noise: Noise, images: usize) -> Source<'_> {
        Source {
            noise,
            shape: self.latent_shape(request, images),
            backend: &self.backend,
        }
    }

    fn origin(&self, init: &StartImage, start: &Start, source: &mut Source<'_>) -> Result<Origin> {
        let encoding = Encoding {
            autoencoder: &self.autoencoder,
            factor: self.repo.vae_factor,
            posterior: init.posterior,
            inputs: self.repo.inputs,
            backend: &self.backend,
        };
        encoding.origin(start, whole(init), source)
    }

    /// Restores latents from a file as a drawn batch.
    ///
    /// # Errors
    /// Latents of another size than the request's.
    pub(crate) fn restore(&self, request: &Request, latents: &Latents) -> Result<Drawn> {
        let shape = self.latent_shape(request, 1);
        if shape[1..] != latents.shape {
            let [c, h, w] = latents.shape;
            let expected = format!("latents of {shape:?}");
            return Err(
                Error::expected("from_latents", expected, format!("[1, {c}, {h}, {w}]"))
                    .hint("the file is of another model or another size"),
            );
        }
        let noise = Noise::new(request.rng, request.seed, 1);
        let latents = self.backend.upload(latents.values.clone(), &shape)?;
        Ok(Drawn {
            latents,
            noise,
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
fn whole(init: &StartImage) -> bool {
    let is_original = |mask: &MaskOptions| mask.content == MaskedContent::Original;
    init.mask.as_ref().is_some_and(is_original) && init.strength >= 1.0
}

fn first_sample(init: &StartImage, sigmas: &SigmaSchedule, origin: &Origin) -> Result<Tensor> {
    if whole(init) {
        return Ok((&origin.noise * sigmas.init_noise_sigma)?);
    }
    let level = sigmas
        .levels
        .get(sigmas.start)
        .ok_or_else(|| Error::internal("a run of no step"))?;
    combine(&[(1.0, &origin.latents), (level.sigma, &origin.noise)])
}

/// Runs a stage between its two events.
fn staged<T>(
    observer: &mut dyn Observer,
    stage: Stage,
    what: &str,
    work: impl FnOnce(&mut dyn Observer) -> Result<T>,
) -> Result<T> {
    let start = std::time::Instant::now();
    tell(
        observer,
        &Event::Begin {
            stage,
            what: what.to_owned(),
        },
    )?;
    let result = within_memory(|| work(observer))?;
    tell(
        observer,
        &Event::End {
            stage,
            seconds: start.elapsed().as_secs_f64(),
        },
    )?;
    Ok(result)
}
