//! From prompt to pixels: the loaded networks of one model and the stages between them. No files are written and
//! nothing is shown here; progress goes to an `Observer`, who may cancel.

mod autoencoder;
mod cast;
mod control;
mod denoiser;
mod emphasis;
mod equipment;
mod guidance;
mod origin;
mod pixels;
mod preview;
mod probe;
mod recent;
mod text;

use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer, Stage};
use crate::input::{Picture, Start};
use crate::models::unet::Unet;
use crate::models::unet_config::UnetConfig;
use crate::nn::{Backend, Weights};
use crate::registry::{Component, ModelFiles, Network, Networks, RepoConfig};
use crate::request::{Init, Request};
use crate::rng::Noise;
use crate::sampler::schedule::{self, Ladder};
use crate::sampler::{self, Config, combine};
use autoencoder::Autoencoder;
use cast::Cast;
use control::Guide;
use denoiser::{Denoiser, Run, Source};
use equipment::{Equipment, Loading};
use origin::{Encoding, Origin};
use preview::Previews;
pub(crate) use text::Encoded;
use text::TextEncoder;

/// A model in memory.
pub(crate) struct Pipeline {
    text: TextEncoder,
    recent: recent::Recent,
    unet: Unet,
    autoencoder: Autoencoder,
    equipment: Equipment,
    repo: RepoConfig,
    backend: Backend,
}

/// Opens the weights of a component.
type Open<'a> = &'a dyn Fn(Component) -> Result<Weights>;

/// A slice of a request that runs in one forward.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// Index of its first picture within the request.
    pub(crate) first: u64,
    /// Pictures.
    pub(crate) size: usize,
}

/// What is drawn for a batch.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// What was asked for.
    pub(crate) request: &'a Request,
    /// Its prompts, encoded.
    pub(crate) prompts: &'a Encoded,
    /// Which of its pictures.
    pub(crate) batch: Batch,
    /// What works beside the model.
    pub(crate) networks: &'a Networks,
}

/// What a request gives in pictures, besides the one that it starts from.
pub(crate) struct Shown {
    /// What each control network looks at.
    pub(crate) controls: Vec<Picture>,
    /// A picture as part of the prompt.
    pub(crate) prompt: Option<Picture>,
}

/// A batch on its way.
pub(crate) struct Drawn {
    /// Latents `[size, c, h, w]` as the sampler leaves them.
    latents: Tensor,
    /// The generator as it was left, for the model that goes on.
    noise: Noise,
    /// Which pictures of the request.
    pub(crate) batch: Batch,
}

/// A run of the sampler that is ready to begin.
struct Descent<'a> {
    config: Config,
    ladder: Ladder,
    x: Tensor,
    origin: Option<Origin>,
    source: Source<'a>,
    /// Calls that another model has made before.
    before: usize,
}

impl Pipeline {
    /// Loads every network of the model.
    ///
    /// # Errors
    /// A file that is missing, malformed or of another network.
    pub(crate) fn load(
        files: &ModelFiles,
        repo: &RepoConfig,
        networks: &Networks,
        request: &Request,
        backend: &Backend,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let other = &networks.autoencoder;
        // Kernels are chosen for maps of the request's size; another size is right too, only not as fast.
        let side = (request.width.max(request.height) / repo.vae_factor) as usize;
        let careful = backend.careful();
        let open = |component| {
            let backend = if component == Component::Unet { backend } else { &careful };
            Weights::open(files, component, backend).map(|weights| weights.at(side))
        };
        let text = staged(observer, Stage::Load, Component::TextEncoder.name(), |_| {
            TextEncoder::load(files, repo, &open)
        })?;
        let config = UnetConfig::parse(files.json(&Component::Unet.config())?)?;
        let unet = staged(observer, Stage::Load, Component::Unet.name(), |_| {
            Unet::load(open(Component::Unet)?, &config)
        })?;
        if repo.guesses_prediction {
            probe::confirm(&unet, request.prediction, &files.origin, backend)?;
        }
        let source =
            autoencoder::Source { model: files.clone(), other: other.clone(), backend: careful, side };
        let autoencoder = Autoencoder::told(source, observer)?;
        autoencoder.suits(config.out_channels, repo.vae_factor)?;
        backend.trim();
        let (repo, backend) = (repo.clone(), backend.clone());
        let (recent, equipment) = (recent::Recent::default(), Equipment::default());
        Ok(Self { text, recent, unet, autoencoder, equipment, repo, backend })
    }

    /// Has what `networks` names at work beside the model from now on, and nothing else.
    ///
    /// # Errors
    /// As [`Self::load`]; a network for another family.
    pub(crate) fn equip(&mut self, networks: &Networks, observer: &mut dyn Observer) -> Result<()> {
        if !self.autoencoder.source().is(networks.autoencoder.as_ref()) {
            let other = networks.autoencoder.clone();
            let source = autoencoder::Source { other, ..self.autoencoder.source().clone() };
            let changed = Autoencoder::told(source, observer)?;
            changed.suits(self.unet.config().out_channels, self.repo.vae_factor)?;
            self.autoencoder = changed;
        }
        let source = self.autoencoder.source();
        let (careful, side) = (&source.backend, source.side);
        let loading = Loading { unet: self.unet.config(), backend: &self.backend, careful, side };
        self.equipment.change(networks, &loading, observer)
    }

    /// The prompts of a request as the network takes them.
    ///
    /// # Errors
    /// A `clip_skip` beyond the encoder's layers; tensor arithmetic.
    pub(crate) fn encode(
        &self,
        request: &Request,
        networks: &Networks,
        shown: &Shown,
        observer: &mut dyn Observer,
    ) -> Result<Encoded> {
        // Networks distilled to take the guidance as an input have no unconditional pass.
        let guided = request.cfg_scale > 1.0 && !self.unet.takes_guidance();
        let mut encoded = self.recent.get(request, observer, |observer| {
            staged(observer, Stage::Encode, "prompt", |observer| self.text.encode(request, guided, observer))
        })?;
        if shown.prompt.is_none() && shown.controls.is_empty() {
            return Ok(encoded);
        }
        staged(observer, Stage::Encode, "pictures", |_| {
            if let (Some(reader), Some(picture)) = (self.equipment.picture(), &shown.prompt) {
                let [something, nothing] = reader.read(picture, &self.backend)?;
                encoded.positive.picture = Some(something);
                encoded.negative.iter_mut().for_each(|negative| negative.picture = Some(nothing.clone()));
            }
            for (network, picture) in networks.controls.iter().zip(&shown.controls) {
                let picture = origin::pixels(picture, None, &self.backend)?.affine(0.5, 0.5)?;
                encoded.hints.push(self.equipment.control(network)?.hint(&picture)?);
            }
            Ok(encoded)
        })
    }

    /// Noise, or a start picture, to latents: finished ones, or as far as the request's refiner takes over. `noise`
    /// has a generator for each picture of the task.
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
            let config = request.sampler_config(&self.repo)?;
            let mut ladder = schedule::ladder(&config, request.steps)?;
            let mut source = self.source(request, noise, batch.size);
            let (x, origin) = match (&request.init, start) {
                (Some(init), Some(start)) => {
                    if !self.repo.latent_consistency {
                        ladder = ladder.at_strength(init.strength);
                    }
                    let origin = self.origin(init, start, &mut source)?;
                    (first_sample(init, &ladder, &origin)?, Some(origin))
                }
                _ => ((source.draw()? * ladder.init_noise_sigma)?, None),
            };
            if let Some(refiner) = &request.refiner {
                let end = refiner.handover(&ladder)?;
                ladder = ladder.until_call(end);
            }
            let descent = Descent { config, ladder, x, origin, source, before: 0 };
            self.descend(task, descent, observer)
        })
    }

    /// Goes on with what another model has begun; no noise is added. `task` is the refiner's own
    /// ([`Request::refined`]).
    ///
    /// # Errors
    /// As [`Self::denoise`].
    pub(crate) fn refine(&self, task: &Task<'_>, drawn: Drawn, observer: &mut dyn Observer) -> Result<Drawn> {
        staged(observer, Stage::Denoise, "latents", |observer| {
            let Task { request, batch, .. } = *task;
            let refiner = request.refiner.as_ref().ok_or_else(|| Error::internal("nothing to refine"))?;
            let config = request.sampler_config(&self.repo)?;
            let ladder = schedule::ladder(&config, request.steps)?;
            let start = refiner.handover(&ladder)?;
            let ladder = ladder.from_call(start);
            let x = sampler::resumed(&config, &ladder, drawn.latents)?;
            let source = self.source(request, drawn.noise, batch.size);
            let descent = Descent { config, ladder, x, origin: None, source, before: start };
            self.descend(task, descent, observer)
        })
    }

    fn descend(&self, task: &Task<'_>, descent: Descent<'_>, observer: &mut dyn Observer) -> Result<Drawn> {
        let Task { request, prompts, batch, .. } = *task;
        let Descent { config, ladder, x, origin, source, before } = descent;
        let run = Run {
            calls: ladder.calls(),
            batch,
            scale: request.cfg_scale,
            rescale: request.guidance_rescale,
            interval: request.cfg_interval,
            origin,
            inputs: self.repo.inputs,
            previews: request.preview_every.map(|every| Previews {
                every,
                before,
                autoencoder: &self.autoencoder,
                family: self.repo.family,
            }),
        };
        let mut model = Denoiser::new(self.cast(task)?, prompts, run, source, observer)?;
        let latents = sampler::sample(&config, &ladder, x, &mut model)?;
        let noise = model.into_noise();
        // The decoder needs the most memory of all, and buffers of other sizes than the network's.
        self.backend.trim();
        Ok(Drawn { latents, noise, batch })
    }

    /// The networks that a task asks.
    fn cast<'a>(&'a self, task: &Task<'a>) -> Result<Cast<'a>> {
        let Task { request, prompts, networks, .. } = *task;
        let guide = |((network, hint), control): ((&Arc<Network>, _), _)| {
            let network = self.equipment.control(network)?;
            Ok(Guide { network, hint, control, guess: request.control_guess })
        };
        let guides = networks.controls.iter().zip(&prompts.hints).zip(&request.controls).map(guide);
        let scale = request.picture_prompt.as_ref().map_or(0.0, |picture| picture.scale);
        Ok(Cast {
            unet: &self.unet,
            guides: guides.collect::<Result<_>>()?,
            adapter: self.equipment.picture().map(|reader| (&reader.adapter, scale)),
            scale: request.cfg_scale,
        })
    }

    fn source(&self, request: &Request, noise: Noise, images: usize) -> Source<'_> {
        Source { noise, shape: self.latent_shape(request, images), backend: &self.backend }
    }

    fn origin(&self, init: &Init, start: &Start, source: &mut Source<'_>) -> Result<Origin> {
        let encoding = Encoding {
            autoencoder: &self.autoencoder,
            factor: self.repo.vae_factor,
            posterior: init.posterior,
            inputs: self.repo.inputs,
            backend: &self.backend,
        };
        encoding.origin(start, whole(init), source)
    }

    /// Picture `i` of a batch to 8-bit RGB, one after the other: each is decoded alone, since that needs the most
    /// memory of all.
    ///
    /// # Errors
    /// `Kind::InvalidImage` when a picture is not a number or all black; tensor arithmetic.
    pub(crate) fn decode(&self, drawn: &Drawn, i: usize, observer: &mut dyn Observer) -> Result<Vec<u8>> {
        staged(observer, Stage::Decode, "pixels", |_| {
            pixels::to_rgb(&self.autoencoder.decode(&drawn.latents.narrow(0, i, 1)?)?)
        })
    }

    fn latent_shape(&self, request: &Request, images: usize) -> [usize; 4] {
        let cells = |pixels: u32| (pixels / self.repo.vae_factor) as usize;
        [images, self.autoencoder.channels(), cells(request.height), cells(request.width)]
    }
}

/// A mask at full strength starts from noise alone; every other run from the picture with noise on it.
fn whole(init: &Init) -> bool {
    init.mask.is_some() && init.strength >= 1.0
}

fn first_sample(init: &Init, ladder: &Ladder, origin: &Origin) -> Result<Tensor> {
    if whole(init) {
        return Ok((&origin.noise * ladder.init_noise_sigma)?);
    }
    let level = ladder.levels.get(ladder.start).ok_or_else(|| {
        Error::expected("strength", "enough for one step", init.strength)
            .hint("use more steps or more strength")
    })?;
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
    tell(observer, &Event::Begin { stage, what: what.to_owned() })?;
    let result = work(observer)?;
    tell(observer, &Event::End { stage, seconds: start.elapsed().as_secs_f64() })?;
    Ok(result)
}

/// Passes an event on; a cancelling observer becomes an error.
pub(crate) fn tell(observer: &mut dyn Observer, event: &Event) -> Result<()> {
    match observer.on(event) {
        Flow::Continue => Ok(()),
        Flow::Cancel => Err(Error::new(Kind::Interrupted, "interrupted")),
    }
}
