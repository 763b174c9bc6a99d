//! From prompt to pixels: the loaded networks of one model and the stages between them. No files are written and
//! nothing is shown here; progress goes to an `Observer`, who may cancel.

mod denoiser;
mod emphasis;
mod guidance;
mod origin;
mod pixels;
mod recent;
mod text;

use std::cell::OnceCell;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer, Stage};
use crate::input::Start;
use crate::models::unet::Unet;
use crate::models::unet_config::UnetConfig;
use crate::models::vae::{Decoder, Encoder, VaeConfig};
use crate::nn::{Backend, Weights};
use crate::registry::{Component, ModelFiles, RepoConfig};
use crate::request::{Init, Request};
use crate::rng::Noise;
use crate::sampler::schedule::{self, Ladder};
use crate::sampler::{self, Config, combine};
use denoiser::{Denoiser, Run, Source};
use origin::{Encoding, Origin};
pub(crate) use text::Encoded;
use text::TextEncoder;

/// A model in memory.
pub(crate) struct Pipeline {
    text: TextEncoder,
    recent: recent::Recent,
    unet: Unet,
    decoder: Decoder,
    encoder: OnceCell<Encoder>,
    vae: VaeConfig,
    files: ModelFiles,
    latent_channels: usize,
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
    /// Its prompts, encoded: one for all pictures, or one for each.
    pub(crate) prompts: &'a [Arc<Encoded>],
    /// Which of its pictures.
    pub(crate) batch: Batch,
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
}

impl Pipeline {
    /// Loads every network of the model.
    ///
    /// # Errors
    /// A file that is missing, malformed or of another network.
    pub(crate) fn load(
        files: &ModelFiles,
        repo: &RepoConfig,
        request: &Request,
        backend: &Backend,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
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
        let vae: VaeConfig = files.json(&Component::Vae.config())?;
        vae.check()?;
        let decoder = staged(observer, Stage::Load, Component::Vae.name(), |_| {
            let weights = open(Component::Vae)?;
            let decoder = Decoder::load(&weights, &vae)?;
            weights.finish(&["encoder.", "quant_conv."])?;
            Ok(decoder)
        })?;
        let latent_channels = vae.latent_channels;
        backend.trim();
        Ok(Self {
            text,
            recent: recent::Recent::default(),
            unet,
            decoder,
            encoder: OnceCell::new(),
            vae,
            files: files.clone(),
            latent_channels,
            repo: repo.clone(),
            backend: backend.clone(),
        })
    }

    /// The prompts of a request as the network takes them.
    ///
    /// # Errors
    /// A `clip_skip` beyond the encoder's layers; tensor arithmetic.
    pub(crate) fn encode(&self, request: &Request, observer: &mut dyn Observer) -> Result<Arc<Encoded>> {
        // Networks distilled to take the guidance as an input have no unconditional pass.
        let guided = request.cfg_scale > 1.0 && !self.unet.takes_guidance();
        self.recent.get(request, observer, |observer| {
            staged(observer, Stage::Encode, "prompt", |observer| self.text.encode(request, guided, observer))
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
            let descent = Descent { config, ladder, x, origin, source };
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
            self.descend(task, Descent { config, ladder, x, origin: None, source }, observer)
        })
    }

    fn descend(&self, task: &Task<'_>, descent: Descent<'_>, observer: &mut dyn Observer) -> Result<Drawn> {
        let Task { request, prompts, batch } = *task;
        let Descent { config, ladder, x, origin, source } = descent;
        let run = Run {
            calls: ladder.calls(),
            batch,
            scale: request.cfg_scale,
            rescale: request.guidance_rescale,
            interval: request.cfg_interval,
            origin,
            inputs: self.repo.inputs,
        };
        let mut model = Denoiser::new(&self.unet, prompts, run, source, observer)?;
        let latents = sampler::sample(&config, &ladder, x, &mut model)?;
        let noise = model.into_noise();
        // The decoder needs the most memory of all, and buffers of other sizes than the network's.
        self.backend.trim();
        Ok(Drawn { latents, noise, batch })
    }

    fn source(&self, request: &Request, noise: Noise, images: usize) -> Source<'_> {
        Source { noise, shape: self.latent_shape(request, images), backend: &self.backend }
    }

    fn origin(&self, init: &Init, start: &Start, source: &mut Source<'_>) -> Result<Origin> {
        let encoding = Encoding {
            encoder: self.encoder()?,
            vae: &self.vae,
            factor: self.repo.vae_factor,
            posterior: init.posterior,
            inputs: self.repo.inputs,
            backend: &self.backend,
        };
        encoding.origin(start, whole(init), source)
    }

    /// The encoder half of the autoencoder, loaded when first asked for.
    fn encoder(&self) -> Result<&Encoder> {
        if let Some(encoder) = self.encoder.get() {
            return Ok(encoder);
        }
        let weights = Weights::open(&self.files, Component::Vae, &self.backend)?;
        let encoder = Encoder::load(&weights, &self.vae)?;
        Ok(self.encoder.get_or_init(|| encoder))
    }

    /// Picture `i` of a batch to 8-bit RGB, one after the other: each is decoded alone, since that needs the most
    /// memory of all.
    ///
    /// # Errors
    /// `Kind::InvalidImage` when a picture is not a number or all black; tensor arithmetic.
    pub(crate) fn decode(&self, drawn: &Drawn, i: usize, observer: &mut dyn Observer) -> Result<Vec<u8>> {
        staged(observer, Stage::Decode, "pixels", |_| {
            let latents = (drawn.latents.narrow(0, i, 1)? / self.vae.scaling_factor)?;
            pixels::to_rgb(&self.decoder.forward(&latents)?)
        })
    }

    fn latent_shape(&self, request: &Request, images: usize) -> [usize; 4] {
        let cells = |pixels: u32| (pixels / self.repo.vae_factor) as usize;
        [images, self.latent_channels, cells(request.height), cells(request.width)]
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
