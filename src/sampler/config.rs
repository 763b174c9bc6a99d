//! What a model's scheduler_config.json says, and the complete configuration of one sampler run.
//! The rule for a missing key is diffusers' `from_config`: the file's keys, else the default of the sampler's class.

use serde::{Deserialize, Serialize};

use super::Sampler;
use super::schedule::Grid;
use crate::error::{Error, Kind, Result};
use crate::named::named_enum;

named_enum! {
    /// What the network predicts.
    pub enum Prediction("prediction") {
        /// The noise ε.
        Epsilon = "epsilon",
        /// The velocity v = α ε − σ x₀ (Salimans & Ho 2022).
        V = "v",
        /// The clean sample x₀ itself.
        Sample = "sample",
    }
}

named_enum! {
    /// How the noise levels between the first and the last are spaced.
    pub enum Schedule("schedule") {
        /// The model's own levels at the visited timesteps.
        Normal = "normal",
        /// Karras et al. 2022, equation 5, ρ = 7.
        Karras = "karras",
        /// Uniform in log σ.
        Exponential = "exponential",
    }
}

named_enum! {
    /// Which of the training timesteps are visited (Lin et al. 2023, table 2).
    pub enum Spacing("timestep spacing") {
        /// From the last to the first, both included.
        Linspace = "linspace",
        /// Multiples of ⌊T/n⌋ plus `steps_offset`.
        Leading = "leading",
        /// From T downwards.
        Trailing = "trailing",
    }
}

/// The keys of a scheduler_config.json that matter here; each may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SchedulerFile {
    /// diffusers' class name.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    num_train_timesteps: Option<usize>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    beta_schedule: Option<String>,
    trained_betas: Option<Vec<f64>>,
    /// `epsilon`, `v_prediction` or `sample`.
    pub prediction_type: Option<String>,
    timestep_spacing: Option<Spacing>,
    steps_offset: Option<usize>,
    set_alpha_to_one: Option<bool>,
    clip_sample: Option<bool>,
    clip_sample_range: Option<f64>,
    thresholding: Option<bool>,
    rescale_betas_zero_snr: Option<bool>,
    skip_prk_steps: Option<bool>,
    use_karras_sigmas: Option<bool>,
    use_exponential_sigmas: Option<bool>,
    /// `dpmsolver++`, `sde-dpmsolver++` ...
    pub algorithm_type: Option<String>,
    /// Order of a multistep solver.
    pub solver_order: Option<usize>,
    solver_type: Option<String>,
    lower_order_final: Option<bool>,
    euler_at_final: Option<bool>,
    final_sigmas_type: Option<String>,
}

/// What a request overrides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// `--sampler`.
    pub sampler: Option<Sampler>,
    /// `--schedule`.
    pub schedule: Option<Schedule>,
    /// `--timestep-spacing`.
    pub spacing: Option<Spacing>,
    /// `--prediction`.
    pub prediction: Option<Prediction>,
    /// `--eta`.
    pub eta: Option<f64>,
}

/// How β grows over the training steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Betas {
    /// Linear in β.
    Linear,
    /// Linear in √β (Stable Diffusion).
    ScaledLinear,
    /// Cosine in ᾱ (Nichol & Dhariwal 2021).
    SquaredCosine,
    /// Given one by one.
    Trained(Vec<f64>),
}

/// Everything a sampler needs to know about its noise levels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The row that runs.
    pub sampler: Sampler,
    /// Spacing of the noise levels.
    pub schedule: Schedule,
    /// Timesteps visited.
    pub spacing: Spacing,
    /// What the network predicts.
    pub prediction: Prediction,
    /// Number of training timesteps T.
    pub train_steps: usize,
    /// First β.
    pub beta_start: f64,
    /// Last β.
    pub beta_end: f64,
    /// Curve between them.
    pub betas: Betas,
    /// Added to the timesteps of leading spacing.
    pub steps_offset: usize,
    /// The last step of ddim and pndm goes to ᾱ = 1 instead of ᾱ₀.
    pub set_alpha_to_one: bool,
    /// Clamp x₀ to ± this.
    pub clip_sample: Option<f64>,
    /// Rescale β so that the last step has no signal (Lin et al. 2023).
    pub zero_terminal_snr: bool,
    /// pndm without its Runge-Kutta warm-up.
    pub skip_prk_steps: bool,
    /// Ladder ends at σ_min of training instead of 0.
    pub final_sigma_min: bool,
    /// dpmpp: Heun's rather than the midpoint rule.
    pub heun_rule: bool,
    /// dpmpp: lower order at the end of short runs.
    pub lower_order_final: bool,
    /// dpmpp: first order in the very last step, always.
    pub euler_at_final: bool,
    /// Noise of ddim, 0 to 1.
    pub eta: f64,
}

impl Config {
    /// The configuration of a run: the file's keys under the request's overrides.
    ///
    /// # Errors
    /// A class, curve or option that no sampler here implements; a schedule that the sampler has not.
    pub fn resolve(file: &SchedulerFile, over: &Overrides) -> Result<Self> {
        let sampler = match over.sampler {
            Some(sampler) => sampler,
            None => Sampler::of_file(file)?,
        };
        if file.thresholding == Some(true) {
            return Err(unsupported("thresholding", "true"));
        }
        let defaults = &sampler.row().defaults;
        let clip = file.clip_sample.unwrap_or(defaults.clip_sample);
        Ok(Self {
            sampler,
            schedule: schedule(file, sampler, over.schedule)?,
            spacing: over.spacing.or(file.timestep_spacing).unwrap_or(defaults.spacing),
            prediction: match over.prediction {
                Some(prediction) => prediction,
                None => prediction_of(file)?,
            },
            train_steps: file.num_train_timesteps.unwrap_or(1000),
            beta_start: file.beta_start.unwrap_or(0.0001),
            beta_end: file.beta_end.unwrap_or(0.02),
            betas: betas(file)?,
            steps_offset: file.steps_offset.unwrap_or(0),
            set_alpha_to_one: file.set_alpha_to_one.unwrap_or(defaults.set_alpha_to_one),
            clip_sample: (clip && defaults.clips).then(|| file.clip_sample_range.unwrap_or(1.0)),
            zero_terminal_snr: file.rescale_betas_zero_snr.unwrap_or(false),
            skip_prk_steps: file.skip_prk_steps.unwrap_or(false),
            final_sigma_min: file.final_sigmas_type.as_deref() == Some("sigma_min"),
            heun_rule: file.solver_type.as_deref() == Some("heun"),
            lower_order_final: file.lower_order_final.unwrap_or(true),
            euler_at_final: file.euler_at_final.unwrap_or(false),
            eta: over.eta.unwrap_or(0.0),
        })
    }
}

fn schedule(file: &SchedulerFile, sampler: Sampler, wanted: Option<Schedule>) -> Result<Schedule> {
    let free = sampler.row().grid != Grid::Discrete;
    match wanted {
        Some(schedule) if free || schedule == Schedule::Normal => Ok(schedule),
        Some(schedule) => {
            Err(Error::field("schedule", format!("sampler `{sampler}` has no `{schedule}` schedule"))
                .hint("use `--schedule normal`, or a sampler over sigmas such as `euler` or `dpmpp_2m`"))
        }
        None if free && file.use_karras_sigmas == Some(true) => Ok(Schedule::Karras),
        None if free && file.use_exponential_sigmas == Some(true) => Ok(Schedule::Exponential),
        None => Ok(Schedule::Normal),
    }
}

fn prediction_of(file: &SchedulerFile) -> Result<Prediction> {
    match file.prediction_type.as_deref() {
        None | Some("epsilon") => Ok(Prediction::Epsilon),
        Some("v_prediction") => Ok(Prediction::V),
        Some("sample") => Ok(Prediction::Sample),
        Some(other) => {
            Err(unsupported("prediction_type", other)
                .hint("override it with `--prediction epsilon|v|sample`"))
        }
    }
}

fn betas(file: &SchedulerFile) -> Result<Betas> {
    if let Some(betas) = &file.trained_betas {
        return Ok(Betas::Trained(betas.clone()));
    }
    match file.beta_schedule.as_deref() {
        None | Some("linear") => Ok(Betas::Linear),
        Some("scaled_linear") => Ok(Betas::ScaledLinear),
        Some("squaredcos_cap_v2") => Ok(Betas::SquaredCosine),
        Some(other) => Err(unsupported("beta_schedule", other)),
    }
}

fn unsupported(key: &str, value: &str) -> Error {
    Error::new(
        Kind::ModelFile,
        format!("scheduler_config.json: `{key}` is `{value}`, which sdgen does not implement"),
    )
}
