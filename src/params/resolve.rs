//! `Request`: every value that a run needs, resolved from `Params` and the model's defaults, and
//! validated.

use serde::{Deserialize, Serialize};

use super::adapters::{self, Adapter, Named as NamedAdapters};
use super::check::{check, interval, overrides, parsed};
use super::defaults::Defaults;
use super::dimensions::{size, suits};
use super::refiner::base_suits;
use super::start_image::StrengthSteps;
use super::{
    Control, Interval, IpAdapterInput, Memory, Params, Refiner, Seed, Shortcuts, Sizes, StartImage,
    VaeTiling,
};
use crate::device::{DeviceChoice, Dtype, Rng};
use crate::error::{Error, Result};
use crate::imaging::{Fit, Pixels, PreprocessorSettings, Start, Thresholds, control_image};
use crate::prompt::{LongPrompt, Syntax};
use crate::registry::{ModelFiles, Preset, RepoConfig, models};
use crate::schedulers::{Config, Overrides, Prediction, Sampler, Schedule, Spacing};
use crate::schedulers::{SigmaSchedule, schedule};

/// A resolved request. Serialises into the picture's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Prompt.
    pub prompt: String,
    /// Negative prompt; absent and empty are different for some models.
    pub negative_prompt: Option<String>,
    /// Prompt of the second text encoder, where it differs.
    pub prompt_2: Option<String>,
    /// Negative prompt of the second text encoder, where it differs.
    pub negative_prompt_2: Option<String>,
    /// Syntax of brackets in the prompts.
    #[serde(default)]
    pub prompt_syntax: Syntax,
    /// Treatment of prompts that are longer than the text encoder's context.
    #[serde(default)]
    pub long_prompt: LongPrompt,
    /// The model as the user would name it.
    pub model: String,
    /// Model that provides the small files (configuration, tokenizer) of a single-file checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale; 1 or less means no unconditional pass.
    pub cfg_scale: f64,
    /// Seed of the first picture.
    pub seed: u64,
    /// Number of images; image i has seed + i.
    pub count: u64,
    /// Images per forward pass of the network.
    pub batch_size: usize,
    /// Sampler.
    pub sampler: Sampler,
    /// Spacing of noise levels.
    pub schedule: Schedule,
    /// Timesteps visited.
    pub timestep_spacing: Spacing,
    /// Prediction type of the network.
    pub prediction: Prediction,
    /// Noise levels given one by one, the last one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// Timesteps given one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<usize>>,
    /// β rescaled to zero terminal SNR.
    #[serde(default)]
    pub zero_terminal_snr: bool,
    /// Share of the rescaled guidance (Lin et al. 2023, equation 16).
    #[serde(default)]
    pub guidance_rescale: f64,
    /// Part of the run with guidance.
    #[serde(default)]
    pub cfg_interval: Interval,
    /// Approximations that save time at a cost in quality.
    #[serde(default, skip_serializing_if = "Shortcuts::is_none")]
    pub shortcuts: Shortcuts,
    /// Noise added at each step: η of ddim, γ of tcd.
    pub eta: f64,
    /// Text-encoder layers left out.
    pub clip_skip: usize,
    /// LoRAs merged into the model; `prompt` no longer holds the references to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<Adapter>,
    /// Embeddings that the prompts use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<Adapter>,
    /// Initial image and mask; without one, the run starts from noise alone.
    pub init: Option<StartImage>,
    /// ControlNets and their conditioning images.
    #[serde(default, rename = "control", skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<Control>,
    /// Canny thresholds, if the edges of any conditioning image are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canny: Option<Thresholds>,
    /// Guess mode of the ControlNets (diffusers' `guess_mode`): they act on the conditional pass
    /// alone, and less in the shallow blocks than in the deep ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_guess: bool,
    /// Image prompt (IP-Adapter).
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub picture_prompt: Option<IpAdapterInput>,
    /// VAE that replaces the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<String>,
    /// Refiner that takes over the last steps, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refiner: Option<Refiner>,
    /// Size and crop conditioning of SDXL for the prompt.
    pub sizes: Sizes,
    /// Size and crop conditioning of SDXL for the negative prompt.
    pub negative_sizes: Sizes,
    /// Noise generator.
    pub rng: Rng,
    /// Device of the computation.
    #[serde(skip, default = "auto_device")]
    pub device: DeviceChoice,
    /// Arithmetic.
    pub dtype: Dtype,
    /// CPU threads; all physical cores when absent.
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Memory that the run may take.
    #[serde(skip)]
    pub memory: Memory,
    /// Decoding in tiles: automatic, always or never.
    #[serde(default)]
    pub vae_tiling: VaeTiling,
    /// Calls of the network from one preview to the next; no previews when absent.
    #[serde(skip)]
    pub preview_every: Option<usize>,
}

/// A second prompt, unless it is empty: as in diffusers, both encoders then get the first one.
fn written(prompt: Option<&String>) -> Option<String> {
    prompt.filter(|text| !text.is_empty()).cloned()
}

fn auto_device() -> DeviceChoice {
    DeviceChoice::Auto
}

/// Defaults of a model that no row of models.toml describes, where its family has no others.
const DEFAULT_STEPS: usize = 25;
pub(super) const DEFAULT_CFG_SCALE: f64 = 7.5;

impl Request {
    /// Fills every gap of `params` from the model and checks every value.
    ///
    /// # Errors
    /// The first wrong field, by name, with what was expected and what was given.
    #[allow(clippy::too_many_lines, reason = "one field after another")]
    pub fn resolve(params: &Params, files: &ModelFiles, repo: &RepoConfig) -> Result<Self> {
        check(params).into_iter().next().map_or(Ok(()), Err)?;
        let defaults = defaults(params, files, repo)?;
        let params = &defaults.fill(params);
        let native = defaults.size.unwrap_or(repo.native_size);
        let NamedAdapters { prompt, loras } = adapters::named(params)?;
        let (init, refiner) = (StartImage::resolve(params)?, Refiner::resolve(params)?);
        let (controls, canny) = Control::resolve(params)?;
        let (width, height) = size(params, init.as_ref(), &controls, native)?;
        suits(repo, init.as_ref(), files)?;
        refiner.as_ref().map_or(Ok(()), |_| base_suits(repo))?;
        let (sizes, negative_sizes) = Sizes::resolve(params, [width, height])?;
        let config = sampling(params, repo)?;
        Self {
            prompt,
            negative_prompt: params.negative_prompt.clone(),
            prompt_2: written(params.prompt_2.as_ref()),
            negative_prompt_2: written(params.negative_prompt_2.as_ref()),
            prompt_syntax: parsed(
                "prompt_syntax",
                params.prompt_syntax.as_deref(),
                Syntax::default(),
            )?,
            long_prompt: parsed(
                "long_prompt",
                params.long_prompt.as_deref(),
                LongPrompt::default(),
            )?,
            model: files.origin.clone(),
            config: params.config.clone(),
            width,
            height,
            steps: steps(params, &defaults),
            cfg_scale: params
                .cfg_scale
                .or(defaults.cfg_scale)
                .unwrap_or(DEFAULT_CFG_SCALE),
            seed: params
                .seed
                .and_then(Seed::number)
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
            count: params.count.unwrap_or(1),
            batch_size: params.batch_size.unwrap_or(1),
            sampler: config.sampler,
            schedule: config.schedule,
            timestep_spacing: config.spacing,
            prediction: config.prediction,
            sigmas: params.sigmas.clone(),
            timesteps: params.timesteps.clone(),
            zero_terminal_snr: config.zero_terminal_snr,
            guidance_rescale: params.guidance_rescale.unwrap_or(0.0),
            cfg_interval: interval(params)?,
            shortcuts: Shortcuts::resolve(params)?,
            eta: config.eta,
            clip_skip: params.clip_skip.unwrap_or(0),
            loras,
            embeddings: Vec::new(),
            init,
            controls,
            canny,
            control_guess: params.control_guess.unwrap_or(false),
            picture_prompt: IpAdapterInput::resolve(params)?,
            vae: params.vae.clone(),
            refiner,
            sizes,
            negative_sizes,
            rng: parsed("rng", params.rng.as_deref(), Rng::Torch)?,
            device: params
                .device
                .as_deref()
                .map_or(Ok(DeviceChoice::Auto), DeviceChoice::parse)?,
            dtype: parsed("dtype", params.dtype.as_deref(), Dtype::Auto)?,
            threads: params.threads,
            memory: params
                .memory
                .as_deref()
                .map_or(Ok(Memory::Auto), Memory::parse)?,
            vae_tiling: parsed(
                "vae_tiling",
                params.vae_tiling.as_deref(),
                VaeTiling::default(),
            )?,
            preview_every: params
                .preview_every
                .or(params.preview_dir.as_ref().map(|_| 1)),
        }
        .with_steps(repo)
    }

    /// This request, after a check that its noise schedule leaves steps for the model or, with a
    /// refiner, for both models.
    fn with_steps(self, repo: &RepoConfig) -> Result<Self> {
        let (_, sigmas) = self.sigmas(repo)?;
        if let Some(refiner) = &self.refiner {
            Refiner::switch_step(refiner.start, &sigmas)?;
        }
        Ok(self)
    }

    /// The picture and the mask that the request starts from, read and fitted.
    ///
    /// # Errors
    /// A file that is missing or no picture; a mask that paints nothing.
    pub fn start(&self) -> Result<Option<Start>> {
        let size = [self.width, self.height];
        self.init
            .as_ref()
            .map(|init| Start::load(&init.image, init.mask.as_ref(), init.fit, size))
            .transpose()
    }

    /// Conditioning image of each ControlNet, at the size that is rendered.
    ///
    /// # Errors
    /// A file that is missing or no picture.
    pub fn control_pictures(&self, start: Option<&Start>) -> Result<Vec<Pixels>> {
        let fit = self.init.as_ref().map_or(Fit::Cover, |init| init.fit);
        let size = [self.width, self.height];
        let settings = &PreprocessorSettings {
            canny: self.canny.unwrap_or_default(),
        };
        let picture = |Control {
                           image,
                           preprocessor,
                           ..
                       }: &Control| {
            control_image(image, *preprocessor, settings, fit, size, start)
        };
        self.controls.iter().map(picture).collect()
    }

    /// Returns true if pixels outside the mask are restored from the initial image.
    pub fn keeps_unmasked(&self) -> bool {
        self.init
            .as_ref()
            .and_then(|init| init.mask.as_ref())
            .is_some_and(|mask| mask.keep_unmasked)
    }

    /// The sampler's configuration for this request on a model's scheduler file.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn sampler_config(&self, repo: &RepoConfig) -> Result<Config> {
        let over = Overrides {
            sampler: Some(self.sampler),
            schedule: Some(self.schedule),
            spacing: Some(self.timestep_spacing),
            prediction: Some(self.prediction),
            eta: Some(self.eta),
            zero_terminal_snr: Some(self.zero_terminal_snr),
            sigmas: self.sigmas.clone(),
            timesteps: self.timesteps.clone(),
            aligned_steps: Some(repo.family.aligned_steps),
            strength: self
                .init
                .as_ref()
                .filter(|_| repo.latent_consistency)
                .map(|init| init.strength),
        };
        Config::resolve(&repo.scheduler, &over)
    }

    /// The noise schedule of this request, without the steps that the strength of an initial image
    /// leaves out: a latent consistency model picks its steps from a shorter distillation grid,
    /// other models skip the first steps.
    ///
    /// # Errors
    /// As [`Config::resolve`]; a schedule that has no such number of steps; a strength that leaves
    /// none.
    pub fn sigmas(&self, repo: &RepoConfig) -> Result<(Config, SigmaSchedule)> {
        let config = self.sampler_config(repo)?;
        let sigmas = schedule::sigma_schedule(&config, self.steps)?;
        let Some(init) = self.init.as_ref().filter(|_| !repo.latent_consistency) else {
            return Ok((config, sigmas));
        };
        let sigmas = match init.strength_steps {
            StrengthSteps::Down => sigmas.at_strength(init.strength),
            // A1111's `setup_img2img_steps`, whose levels begin one before the encoded one.
            StrengthSteps::OneMore => {
                sigmas.with_last((init.strength.min(0.999) * self.steps as f64) as usize + 1)
            }
        };
        if sigmas.calls() == 0 {
            let least = (1e3 / self.steps as f64).ceil() / 1e3;
            return Err(Error::expected(
                "strength",
                format!("at least {least} for one of {} steps", self.steps),
                init.strength,
            )
            .hint("use more steps or more strength"));
        }
        Ok((config, sigmas))
    }
}

/// The sampler's configuration as far as `params` and the model's scheduler file say it.
fn sampling(params: &Params, repo: &RepoConfig) -> Result<Config> {
    let over = Overrides {
        aligned_steps: Some(repo.family.aligned_steps),
        ..overrides(params)?
    };
    Config::resolve(&repo.scheduler, &over)
}

/// The number of steps.
pub(super) fn steps(params: &Params, defaults: &Defaults) -> usize {
    params
        .steps
        .or(listed(params))
        .or(defaults.steps)
        .unwrap_or(DEFAULT_STEPS)
}

/// The number of steps that a list of levels stands for.
pub(super) fn listed(params: &Params) -> Option<usize> {
    let levels = params
        .sigmas
        .as_ref()
        .map(|sigmas| sigmas.len().saturating_sub(1));
    levels.or(params.timesteps.as_ref().map(Vec::len))
}

/// Recommended values: those of the preset that was asked for, else of the row of models.toml for
/// `files`, else of the model's family.
pub(super) fn defaults(params: &Params, files: &ModelFiles, repo: &RepoConfig) -> Result<Defaults> {
    if let Some(name) = &params.preset {
        return Preset::parse(name).map(Defaults::from);
    }
    let spec = models().iter().find(|spec| spec.name == files.origin);
    Ok(spec.map_or_else(|| Defaults::from(repo), Defaults::from))
}
