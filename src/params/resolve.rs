//! Resolution of `Params` to a `Request`, in two steps: [`Checked`] has the values that need no
//! model, and every error among them; the model's defaults give the rest.

use std::path::PathBuf;

use super::adapters::{self, NamedAdapters};
use super::dimensions::{check_inputs, check_side, rendered_size};
use super::refiner::base_suits;
use super::values::{get, in_range};
use super::{
    Approximations, Control, IpAdapterInput, Memory, MicroConditioning, Params, Refiner, Request,
    Seed, StartImage, VaeTiling,
};
use crate::catalog::{Inputs, ModelFiles, ModelSpec, Preset, RepoConfig, models};
use crate::device::{DeviceChoice, Dtype, Rng};
use crate::error::{Error, Kind, Result};
use crate::image::Size;
use crate::imaging::Thresholds;
use crate::prompt::{LongPrompt, Prompt, Syntax};
use crate::schedulers::{Config, Grid, Overrides, Sampler, Schedule, Spacing};

/// Fields that have an effect with latents from a file: how and where to decode, and where the
/// image goes.
const WITH_LATENTS: &[&str] = &[
    "from_latents",
    "model",
    "config",
    "locked",
    "offline",
    "device",
    "dtype",
    "threads",
    "memory",
    "vae_tiling",
    "output",
    "overwrite",
    "no_metadata",
];

/// Options of which every value is legal as far as that can be said without the model, with the
/// parts of the request that need no model.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(crate) params: Params,
    adapters: NamedAdapters,
    pub(super) prompt_syntax: Syntax,
    long_prompt: LongPrompt,
    approximations: Approximations,
    init: Option<StartImage>,
    controls: Vec<Control>,
    canny: Option<Thresholds>,
    ip_adapter: Option<IpAdapterInput>,
    refiner: Option<Refiner>,
    pub(super) preset: Option<&'static Preset>,
    rng: Option<Rng>,
    device: Option<DeviceChoice>,
    dtype: Option<Dtype>,
    memory: Memory,
    vae_tiling: Option<VaeTiling>,
}

/// All errors of a request, in the order in which they were found.
#[derive(Default)]
struct Errors(Vec<Error>);

impl Errors {
    /// The value, or after an error, which is kept, a default that nobody sees.
    fn keep<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(error);
            T::default()
        })
    }
}

/// Every error of `params` that is known without the model.
pub fn check(params: &Params) -> Vec<Error> {
    Checked::all(params).err().unwrap_or_default()
}

impl Checked {
    /// Checks `params`.
    ///
    /// # Errors
    /// The first wrong field, by name, with what was expected and what was given.
    pub fn new(params: &Params) -> Result<Self> {
        Self::all(params).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Checks `params`; an `Err` has all errors, at least one.
    fn all(params: &Params) -> Result<Self, Vec<Error>> {
        let mut errors = Errors::default();
        errors.keep(match params.from_latents {
            Some(_) => only_with_latents(params),
            None => has_prompt(params),
        });
        let prompt_syntax = errors.keep(get("prompt_syntax", &params.prompt_syntax));
        let prompt_syntax = prompt_syntax.unwrap_or_default();
        errors.keep(check_prompts(params, prompt_syntax));
        let adapters = errors.keep(adapters::resolve(params));
        let long_prompt = errors.keep(get("long_prompt", &params.long_prompt));
        check_numbers(params, &mut errors);
        let approximations = errors.keep(Approximations::resolve(params));
        errors.keep(check_locks(params));
        errors.keep(check_seeds(params));
        check_sampling(params, &mut errors);
        let init = errors.keep(StartImage::resolve(params));
        let (controls, canny) = errors.keep(Control::resolve(params));
        let ip_adapter = errors.keep(IpAdapterInput::resolve(params));
        errors.keep(in_range("preview_every", params.preview_every, 1, 1000));
        let refiner = errors.keep(Refiner::resolve(params));
        errors.keep(check_micro_conditioning(params));
        let checked = Self {
            params: params.clone(),
            adapters,
            prompt_syntax,
            long_prompt: long_prompt.unwrap_or_default(),
            approximations,
            init,
            controls,
            canny,
            ip_adapter,
            refiner,
            preset: errors.keep(get("preset", &params.preset)),
            rng: errors.keep(get("rng", &params.rng)),
            dtype: errors.keep(get("dtype", &params.dtype)),
            vae_tiling: errors.keep(get("vae_tiling", &params.vae_tiling)),
            memory: errors
                .keep(get("memory", &params.memory))
                .unwrap_or_default(),
            device: errors.keep(get("device", &params.device)),
        };
        if errors.0.is_empty() {
            Ok(checked)
        } else {
            Err(errors.0)
        }
    }

    /// Fills every gap from the model, and checks what depends on it.
    ///
    /// # Errors
    /// The first wrong field, by name, with what was expected and what was given.
    pub fn resolve(&self, files: &ModelFiles, repo: &RepoConfig) -> Result<Request> {
        let params = &self.params;
        let defaults = defaults(self.preset, files, repo);
        let native = defaults.size.unwrap_or(repo.native_size);
        let size = rendered_size(params, self.init.as_ref(), &self.controls, native)?;
        check_inputs(repo, self.init.as_ref(), files)?;
        if self.refiner.is_some() {
            base_suits(repo)?;
        }
        let (sizes, negative_sizes) = MicroConditioning::resolve(params, size)?;
        let config = Config::resolve(&repo.scheduler, &sampling(params, &defaults, repo)?)?;
        let request = Request {
            prompt: self.adapters.prompt.clone(),
            negative_prompt: params.negative_prompt.clone(),
            prompt_2: second_prompt(params.prompt_2.as_ref()),
            negative_prompt_2: second_prompt(params.negative_prompt_2.as_ref()),
            prompt_syntax: self.prompt_syntax,
            long_prompt: self.long_prompt,
            model: files.origin.clone(),
            config: params.config.clone(),
            width: size.width,
            height: size.height,
            steps: steps(params, &defaults),
            cfg_scale: cfg_scale(params, &defaults),
            seed: match params.seed {
                Some(Seed::Number(seed)) => seed,
                Some(Seed::Random) | None => u64::from(rand::random::<u32>()),
            },
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
            cfg_interval: get("cfg_interval", &params.cfg_interval)?.unwrap_or_default(),
            shortcuts: self.approximations,
            eta: config.eta,
            clip_skip: params.clip_skip.unwrap_or(0),
            loras: self.adapters.loras.clone(),
            embeddings: Vec::new(),
            init: self.init.clone(),
            controls: self.controls.clone(),
            canny: self.canny,
            control_guess: params.control_guess.unwrap_or(false),
            picture_prompt: self.ip_adapter.clone(),
            vae: params.vae.clone(),
            refiner: self.refiner.clone(),
            sizes,
            negative_sizes,
            rng: self.rng.unwrap_or(Rng::Torch),
            device: self.device.unwrap_or(DeviceChoice::Auto),
            dtype: self.dtype.unwrap_or(Dtype::Auto),
            threads: params.threads,
            memory: self.memory,
            vae_tiling: self.vae_tiling.unwrap_or_default(),
            preview_every: params
                .preview_every
                .or(params.preview_dir.as_ref().map(|_| 1)),
        };
        // The schedule has to leave steps for the model or, with a refiner, for both models.
        let (_, sigmas) = request.sigmas(repo)?;
        if let Some(refiner) = &request.refiner {
            Refiner::switch_step(refiner.start, &sigmas)?;
        }
        Ok(request)
    }

    /// Files of the embeddings on offer; the prompts decide which of them are used.
    pub(crate) fn embedding_files(&self) -> &[PathBuf] {
        &self.adapters.embedding_files
    }

    /// The recorded request of latents with the execution settings of these options: device, data
    /// type, threads, memory and tiling.
    pub(crate) fn decoding(&self, recorded: Request) -> Request {
        Request {
            count: 1,
            batch_size: 1,
            device: self.device.unwrap_or(DeviceChoice::Auto),
            dtype: self.dtype.unwrap_or(recorded.dtype),
            threads: self.params.threads,
            memory: self.memory,
            vae_tiling: self.vae_tiling.unwrap_or(recorded.vae_tiling),
            ..recorded
        }
    }
}

impl Request {
    /// Checks `params` and fills every gap from the model.
    ///
    /// # Errors
    /// The first wrong field, by name, with what was expected and what was given.
    pub fn resolve(params: &Params, files: &ModelFiles, repo: &RepoConfig) -> Result<Self> {
        Checked::new(params)?.resolve(files, repo)
    }
}

impl Params {
    /// The options that have an effect with latents from a file.
    #[must_use]
    pub fn for_latents(&self) -> Self {
        self.clone().only(WITH_LATENTS)
    }

    /// The prompts that are given.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = Prompt<'_>> {
        let prompts = [
            ("prompt", &self.prompt),
            ("negative_prompt", &self.negative_prompt),
            ("prompt_2", &self.prompt_2),
            ("negative_prompt_2", &self.negative_prompt_2),
        ];
        prompts.into_iter().filter_map(|(field, text)| {
            let text = text.as_deref()?;
            Some(Prompt { field, text })
        })
    }
}

/// Refuses options that the file of latents has decided already.
fn only_with_latents(params: &Params) -> Result<()> {
    let Some(field) = params.given().find(|field| !WITH_LATENTS.contains(field)) else {
        return Ok(());
    };
    Err(Error::field(field, "is decided by the file of latents")
        .hint("with `--from-latents` a picture is decoded, not drawn; leave this option out"))
}

fn has_prompt(params: &Params) -> Result<()> {
    if params.prompt.is_some() {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "no prompt")
        .hint("say what to draw: `sdgen \"a lighthouse at dusk\" -o out.png`"))
}

fn check_prompts(params: &Params, syntax: Syntax) -> Result<()> {
    for prompt in params.prompts() {
        prompt.pieces(syntax)?;
    }
    Ok(())
}

fn check_numbers(params: &Params, errors: &mut Errors) {
    errors.keep(check_side("width", params.width));
    errors.keep(check_side("height", params.height));
    errors.keep(in_range("steps", params.steps, 1, 1000));
    errors.keep(in_range("cfg_scale", params.cfg_scale, 0.0, 50.0));
    errors.keep(in_range("eta", params.eta, 0.0, 1.0));
    errors.keep(in_range(
        "guidance_rescale",
        params.guidance_rescale,
        0.0,
        1.0,
    ));
    errors.keep(get("cfg_interval", &params.cfg_interval));
    errors.keep(check_levels(params));
    errors.keep(in_range("count", params.count, 1, 1_000_000));
    errors.keep(in_range("batch_size", params.batch_size, 1, 256));
    errors.keep(in_range("threads", params.threads, 1, 1024));
}

fn check_levels(params: &Params) -> Result<()> {
    let (sigmas, timesteps) = (params.sigmas.as_ref(), params.timesteps.as_ref());
    in_range("sigmas", sigmas.map(Vec::len), 2, 1001)?;
    if sigmas.is_some_and(|sigmas| sigmas.iter().any(|sigma| !sigma.is_finite())) {
        return Err(Error::field("sigmas", "expected finite numbers"));
    }
    in_range("timesteps", timesteps.map(Vec::len), 1, 1000)
}

fn check_sampling(params: &Params, errors: &mut Errors) {
    errors.keep(get("sampler", &params.sampler));
    errors.keep(get("schedule", &params.schedule));
    errors.keep(get("timestep_spacing", &params.timestep_spacing));
    errors.keep(get("prediction", &params.prediction));
}

fn check_micro_conditioning(params: &Params) -> Result<()> {
    MicroConditioning::resolve(params, Size::new(0, 0))?;
    Ok(())
}

fn check_locks(params: &Params) -> Result<()> {
    if params.lock.is_none() || params.locked.is_none() {
        return Ok(());
    }
    let message = "a run writes a lock file or keeps to one, not both";
    Err(Error::field("lock", message))
}

fn check_seeds(params: &Params) -> Result<()> {
    let seed = params.seed.and_then(Seed::number).unwrap_or(0);
    let count = params.count.unwrap_or(1);
    if seed.checked_add(count.saturating_sub(1)).is_some() {
        return Ok(());
    }
    let expected = format!("room for {count} seeds below 2^64");
    Err(Error::expected("seed", expected, seed))
}

/// A second prompt, unless it is empty: as in diffusers, both encoders then get the first one.
fn second_prompt(prompt: Option<&String>) -> Option<String> {
    prompt.filter(|text| !text.is_empty()).cloned()
}

/// Recommended values, where the user gives none; those that are absent are left to the model's own
/// files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    size: Option<u32>,
    steps: Option<usize>,
    cfg_scale: Option<f64>,
    sampler: Option<Sampler>,
    schedule: Option<Schedule>,
    timestep_spacing: Option<Spacing>,
}

/// Defaults of a model that no row of models.toml describes, where its family has no others.
const DEFAULT_STEPS: usize = 25;
const DEFAULT_CFG_SCALE: f64 = 7.5;

impl From<&ModelSpec> for Defaults {
    fn from(spec: &ModelSpec) -> Self {
        Self {
            size: Some(spec.size),
            steps: Some(spec.steps),
            cfg_scale: Some(spec.cfg_scale),
            sampler: spec.sampler,
            schedule: spec.schedule,
            timestep_spacing: spec.timestep_spacing,
        }
    }
}

/// Defaults of diffusers' pipelines, for a model that no row describes.
impl From<&RepoConfig> for Defaults {
    fn from(repo: &RepoConfig) -> Self {
        let (steps, cfg_scale) = match (repo.latent_consistency, repo.inputs) {
            (true, _) => (Some(4), Some(8.5)),
            (false, Inputs::Latents) => (None, repo.family.cfg_scale),
            (false, Inputs::Inpainting) => (None, None),
        };
        Self {
            steps,
            cfg_scale,
            ..Self::default()
        }
    }
}

impl From<&Preset> for Defaults {
    fn from(preset: &Preset) -> Self {
        Self {
            size: preset.size,
            steps: Some(preset.steps),
            cfg_scale: Some(preset.cfg_scale),
            sampler: Some(preset.sampler),
            schedule: preset.schedule,
            timestep_spacing: preset.timestep_spacing,
        }
    }
}

/// Recommended values: those of the preset, else of the row of models.toml for `files`, else of the
/// model's family.
pub(super) fn defaults(preset: Option<&Preset>, files: &ModelFiles, repo: &RepoConfig) -> Defaults {
    if let Some(preset) = preset {
        return preset.into();
    }
    let spec = models().iter().find(|spec| spec.name == files.origin);
    spec.map_or_else(|| repo.into(), Into::into)
}

/// The sampling options, and the recommended sampler, schedule and timestep spacing where there are
/// none. The recommended schedule does not apply to a sampler or a list of levels of the user's
/// own, nor the recommended spacing to samplers on a distillation grid.
pub(super) fn sampling(
    params: &Params,
    defaults: &Defaults,
    repo: &RepoConfig,
) -> Result<Overrides> {
    let mut over = Overrides {
        sampler: get("sampler", &params.sampler)?,
        schedule: get("schedule", &params.schedule)?,
        spacing: get("timestep_spacing", &params.timestep_spacing)?,
        prediction: get("prediction", &params.prediction)?,
        eta: params.eta,
        zero_terminal_snr: params.zero_terminal_snr,
        sigmas: params.sigmas.clone(),
        timesteps: params.timesteps.clone(),
        aligned_steps: Some(repo.family.aligned_steps),
        strength: None,
    };
    defaults.fill(&mut over);
    Ok(over)
}

impl Defaults {
    fn fill(&self, over: &mut Overrides) {
        if over.sampler.is_none() {
            over.sampler = self.sampler;
            if over.sigmas.is_none() && over.timesteps.is_none() {
                over.schedule = over.schedule.or(self.schedule);
            }
        }
        let is_distilled = over
            .sampler
            .is_some_and(|sampler| sampler.row().grid == Grid::Distilled);
        if !is_distilled {
            over.spacing = over.spacing.or(self.timestep_spacing);
        }
    }
}

pub(super) fn cfg_scale(params: &Params, defaults: &Defaults) -> f64 {
    let scale = params.cfg_scale.or(defaults.cfg_scale);
    scale.unwrap_or(DEFAULT_CFG_SCALE)
}

/// The number of steps.
pub(super) fn steps(params: &Params, defaults: &Defaults) -> usize {
    let steps = params.steps.or(listed_steps(params)).or(defaults.steps);
    steps.unwrap_or(DEFAULT_STEPS)
}

/// The number of steps that a list of levels stands for.
fn listed_steps(params: &Params) -> Option<usize> {
    let sigmas = params.sigmas.as_ref();
    let levels = sigmas.map(|sigmas| sigmas.len().saturating_sub(1));
    levels.or(params.timesteps.as_ref().map(Vec::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field of the first error.
    fn wrong(params: Params) -> Option<String> {
        let prompt = Some("a".into());
        let errors = check(&Params { prompt, ..params });
        let field = errors.first().and_then(Error::field_name);
        field.map(str::to_owned)
    }

    #[test]
    fn sampling_options_out_of_range_are_named() {
        let cases = [
            ("guidance_rescale = 1.5", "guidance_rescale"),
            ("cfg_interval = '0.9..0.1'", "cfg_interval"),
            (
                "prompt_syntax = 'weighted'\nnegative_prompt = '(a:99)'",
                "negative_prompt",
            ),
            ("prompt_syntax = 'a1111'", "prompt_syntax"),
            ("long_prompt = 'cut'", "long_prompt"),
            ("sigmas = [1.0]", "sigmas"),
            ("sigmas = [inf, 1.0]", "sigmas"),
            ("eta = nan", "eta"),
            ("timesteps = []", "timesteps"),
        ];
        for (text, field) in cases {
            let params = toml::from_str(text).unwrap();
            assert_eq!(wrong(params).as_deref(), Some(field), "{text}");
        }
        let fine = Params {
            guidance_rescale: Some(0.7),
            cfg_interval: Some("0.2..0.8".into()),
            zero_terminal_snr: Some(true),
            timesteps: Some(vec![999, 499]),
            ..Params::default()
        };
        assert_eq!((listed_steps(&fine), wrong(fine)), (Some(2), None));
    }

    fn filled(model: &str, mut over: Overrides) -> (Option<Sampler>, Option<Spacing>) {
        let spec = models().iter().find(|spec| spec.name == model).unwrap();
        Defaults::from(spec).fill(&mut over);
        (over.sampler, over.spacing)
    }

    #[test]
    fn a_row_fills_what_the_user_left_open() {
        let named = |name| get("sampler", &Some(super::super::Parsed::from(name))).unwrap();
        let turbo = filled("sdxl-turbo", Overrides::default());
        assert_eq!(turbo, (named("euler_a"), Some(Spacing::Trailing)));
        let own = Overrides {
            sampler: named("lcm"),
            ..Overrides::default()
        };
        assert_eq!(filled("sdxl-turbo", own), (named("lcm"), None));
        assert_eq!(filled("sd15", Overrides::default()), (None, None));
    }

    #[test]
    fn a_preset_does_what_the_row_of_the_same_model_does() {
        let preset = Defaults::from(Preset::parse("turbo").unwrap());
        let mut over = Overrides::default();
        preset.fill(&mut over);
        assert_eq!(
            (over.sampler, over.spacing),
            filled("sdxl-turbo", Overrides::default())
        );
        assert_eq!(
            (preset.size, preset.steps, preset.cfg_scale),
            (Some(512), Some(1), Some(0.0))
        );
    }
}
