//! Vocabulary of the schedulers: what a sampler is as data, the configuration of a run, and its noise
//! schedule.

use std::fmt;

use serde::{Serialize, Serializer};

use super::solver::Solver;
use crate::error::Result;
use crate::named_enum::named_enum;

named_enum! {
    /// Prediction type of the network.
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
    /// Spacing of the noise levels between the first and the last.
    pub enum Schedule("schedule") {
        /// The model's own levels at the visited timesteps.
        Normal = "normal",
        /// Karras et al. 2022, equation 5, ρ = 7.
        Karras = "karras",
        /// Uniform in log σ.
        Exponential = "exponential",
        /// Quantiles of Beta(0.6, 0.6) between σ_max and σ_min (Lee et al. 2024), as diffusers
        /// reads it.
        Beta = "beta",
        /// The model's levels at n + 1 even timesteps from the last to the first, without the first
        /// (ComfyUI, A1111).
        SgmUniform = "sgm_uniform",
        /// The model's levels at every T/n-th timestep from the last down (ComfyUI, A1111).
        Simple = "simple",
        /// Align Your Steps (Sabour et al. 2024), made for SD 1.5 and SDXL, log-linear between its
        /// ten steps.
        Ays = "ays",
        /// Uniform in λ = −log σ with whole timesteps (Lu et al. 2022a).
        Lu = "lu",
    }
}

named_enum! {
    /// Estimate and differential equation that a DPM-Solver integrates.
    pub enum Algorithm("algorithm type") {
        /// The estimate of x₀ along the ODE (Lu et al. 2022b).
        DpmPlusPlus = "dpmsolver++",
        /// The estimate of x₀ along the SDE.
        SdePlusPlus = "sde-dpmsolver++",
        /// The estimate of the noise along the ODE (Lu et al. 2022a).
        Dpm = "dpmsolver",
        /// The estimate of the noise along the SDE.
        Sde = "sde-dpmsolver",
    }
}

impl Schedule {
    /// Label in A1111, and other names of the same levels. `Polyexponential` is `Exponential` unless
    /// its ρ is set to something else than 1, and `Normal` is k-diffusion's `Uniform` on any model
    /// whose levels A1111 knows.
    pub fn a1111(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Normal => ("Uniform", &["Normal", "discrete"]),
            Self::Karras => ("Karras", &[]),
            Self::Exponential => ("Exponential", &["Polyexponential"]),
            Self::Beta => ("Beta", &[]),
            Self::SgmUniform => ("SGM Uniform", &["SGMUniform"]),
            Self::Simple => ("Simple", &[]),
            Self::Ays => ("Align Your Steps", &["align_your_steps"]),
            Self::Lu => ("Lu", &[]),
        }
    }

    /// Returns true if the schedule runs between two ends that a model's file may name.
    pub(super) fn has_ends(self) -> bool {
        matches!(self, Self::Karras | Self::Exponential | Self::Beta)
    }
}

impl Algorithm {
    /// Returns true if the algorithm adds noise at every step.
    pub const fn adds_noise(self) -> bool {
        matches!(self, Self::SdePlusPlus | Self::Sde)
    }

    /// Returns true if the algorithm works on the estimate of the noise, which has no limit at σ =
    /// 0.
    pub const fn over_noise(self) -> bool {
        matches!(self, Self::Dpm | Self::Sde)
    }
}

/// Source of the noise levels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Levels {
    /// From the schedule and the spacing.
    Scheduled,
    /// Given one by one, the level after the last step included.
    Sigmas(Vec<f64>),
    /// The model's own levels at these timesteps.
    Timesteps(Vec<usize>),
}

named_enum! {
    /// Spacing of the visited training timesteps (Lin et al. 2023, table 2).
    pub enum Spacing("timestep spacing") {
        /// From the last to the first, both included.
        Linspace = "linspace",
        /// Multiples of ⌊T/n⌋ plus `steps_offset`.
        Leading = "leading",
        /// From T downwards.
        Trailing = "trailing",
    }
}

/// Curve of β over the training steps.
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

/// Align Your Steps: the published timesteps of ten steps, with 0 as the end that the last step
/// replaces by σ = 0.
pub type AlignedSteps = [f64; 11];

/// Align Your Steps for SD 1.x (Sabour et al. 2024, appendix).
pub static ALIGNED_STEPS: AlignedSteps = [
    999.0, 850.0, 736.0, 645.0, 545.0, 455.0, 343.0, 233.0, 124.0, 24.0, 0.0,
];

/// Values of a request that override the model's scheduler file.
#[derive(Clone, Debug, Default)]
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
    /// `--zero-terminal-snr`.
    pub zero_terminal_snr: Option<bool>,
    /// `--sigmas`.
    pub sigmas: Option<Vec<f64>>,
    /// `--timesteps`.
    pub timesteps: Option<Vec<usize>>,
    /// Timesteps of `ays` for the model's family.
    pub aligned_steps: Option<&'static AlignedSteps>,
    /// Part of the distillation grid that lcm and tcd choose from, in (0, 1] [all of it].
    pub strength: Option<f64>,
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
    /// Levels given one by one instead.
    pub levels: Levels,
    /// Prediction type of the network.
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
    /// The noise schedule ends at σ_min of training instead of 0.
    pub final_sigma_min: bool,
    /// dpmpp: estimate and equation that are integrated.
    pub algorithm: Algorithm,
    /// dpmpp, unipc, deis: order, 1 to 3.
    pub order: usize,
    /// dpmpp: Heun's rather than the midpoint rule.
    pub heun_rule: bool,
    /// Multistep samplers: lower order at the end of short runs.
    pub lower_order_final: bool,
    /// dpmpp: first order in the very last step, always.
    pub euler_at_final: bool,
    /// unipc: B(h) = h rather than e^h − 1.
    pub bh1: bool,
    /// unipc: over x₀ rather than the noise.
    pub predict_x0: bool,
    /// unipc: steps after which nothing is corrected.
    pub disable_corrector: Vec<usize>,
    /// ddpm: the upper bound of the posterior's variance, β, rather than the lower.
    pub large_variance: bool,
    /// lcm, tcd: steps of the distillation grid.
    pub original_steps: usize,
    /// lcm: sharpness of its boundary condition.
    pub timestep_scaling: f64,
    /// lcm, tcd: part of the distillation grid that is used.
    pub strength: f64,
    /// The network gets ¼ ln σ in place of a timestep.
    pub continuous_time: bool,
    /// Ends of the karras, exponential and beta schedules, the highest first, where the model's
    /// file names them.
    pub sigma_range: [Option<f64>; 2],
    /// The network's preconditioning, where it is that of Karras et al. 2022.
    pub edm: Option<Edm>,
    /// Timesteps of `ays`.
    pub aligned_steps: &'static AlignedSteps,
    /// Noise of ddim and tcd, 0 to 1.
    pub eta: f64,
}

impl Config {
    /// Returns true if diffusers' class holds samples as x₀ + σn and scales the network's input.
    pub fn scales_input(&self) -> bool {
        self.edm.is_some() || self.sampler.row().grid.scales_input()
    }
}

/// Range of noise and preconditioning of a network with EDM preconditioning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Edm {
    /// The lowest level.
    pub sigma_min: f64,
    /// The highest level.
    pub sigma_max: f64,
    /// Standard deviation of the clean latents.
    pub sigma_data: f64,
    /// Exponent of the Karras schedule.
    pub rho: f64,
}

/// Family of timestep grids in diffusers that a sampler belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Whole timesteps; levels from ᾱ directly (ddim, pndm, ddpm).
    Discrete,
    /// Whole timesteps chosen from the grid of the model's distillation (lcm, tcd).
    Distilled,
    /// Fractional timesteps allowed; Karras et al. over the *visited* range (euler, heun, lms ...).
    Continuous,
    /// As `Continuous`, but Karras et al. with whole timesteps (dpm2 and similar).
    Midpoint,
    /// Whole timesteps; Karras et al. over the whole training range (dpmpp, unipc, deis).
    Multistep,
}

impl Grid {
    /// Returns true if the levels may be spaced by a [`Schedule`] or given as σ.
    pub fn respaces(self) -> bool {
        matches!(self, Self::Continuous | Self::Midpoint | Self::Multistep)
    }

    /// Returns true if diffusers' classes of this family hold samples as x₀ + σn and scale the
    /// network's input.
    pub fn scales_input(self) -> bool {
        matches!(self, Self::Continuous | Self::Midpoint)
    }
}

/// One call of the network: the noise level of the sample, and the timestep that the network gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// σ = √((1 − ᾱ)/ᾱ), the noise of x = x₀ + σ n.
    pub sigma: f64,
    /// Timestep, fractional where the grid allows it.
    pub timestep: f64,
    /// Noise level of the part that an inpainting mask keeps: in the middle of a step, diffusers'
    /// classes know only the level that the step leads to.
    pub kept: f64,
}

impl Level {
    /// The level of a timestep, linear between whole ones (`numpy.interp`).
    pub(super) fn at(sigmas: &[f64], timestep: f64) -> Self {
        let low = (timestep.floor() as usize).min(sigmas.len() - 1);
        let high = (low + 1).min(sigmas.len() - 1);
        let weight = timestep - low as f64;
        let sigma = if weight == 0.0 {
            sigmas[low]
        } else {
            (sigmas[high] - sigmas[low]) * weight + sigmas[low]
        };
        Self {
            sigma,
            timestep,
            kept: sigma,
        }
    }
}

/// The noise schedule of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct SigmaSchedule {
    /// One entry per call of the network in a whole run.
    pub levels: Vec<Level>,
    /// The call that this run starts with; 0 for a whole run.
    pub start: usize,
    /// The call before which this run ends; all of them for a run to the end.
    pub end: usize,
    /// The level after the last call.
    pub final_sigma: f64,
    /// Steps of a whole run.
    pub steps: usize,
    /// Calls in a step but for the last, 1 or 2.
    pub order: usize,
    /// ⌊T/n⌋, the stride of the discrete samplers.
    pub stride: usize,
    /// σ of every training timestep.
    pub train_sigmas: Vec<f64>,
    /// Factor by which unit noise is scaled to the first sample of x = x₀ + σ n.
    pub init_noise_sigma: f64,
}

impl SigmaSchedule {
    /// σ of a training timestep; below 0 it is the last level of all (ᾱ₀ or 1, as the model says).
    pub fn sigma_at(&self, timestep: i64) -> f64 {
        usize::try_from(timestep)
            .ok()
            .and_then(|index| self.train_sigmas.get(index))
            .copied()
            .unwrap_or(self.final_sigma)
    }

    /// The level after call `i`.
    pub fn sigma_after(&self, i: usize) -> f64 {
        self.levels
            .get(i + 1)
            .map_or(self.final_sigma, |level| level.sigma)
    }

    /// Calls of the network from the start to the end.
    pub fn calls(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// The first call of a refiner that takes over at the fraction `start` of the timesteps: that
    /// of the first timestep below T − start T, rounded (diffusers' `denoising_end` and
    /// `denoising_start`), at a whole step.
    pub fn switch_step(&self, start: f64) -> usize {
        let total = self.train_sigmas.len() as f64;
        let cutoff = (total - start * total).round_ties_even();
        let before = self
            .levels
            .iter()
            .take_while(|level| level.timestep >= cutoff)
            .count();
        before / self.order * self.order
    }

    /// The same noise schedule for image to image at `strength` in [0, 1]: its last ⌊n × strength⌋
    /// steps (diffusers' `get_timesteps`). The sample to start with is x₀ + σ n at the level of the
    /// first call that is left.
    #[must_use]
    pub fn at_strength(self, strength: f64) -> Self {
        let kept = (self.steps as f64 * strength) as usize;
        self.with_last(kept)
    }

    /// The same noise schedule from its last `steps` steps on; the whole of it if it has fewer.
    #[must_use]
    pub fn with_last(self, steps: usize) -> Self {
        let start = self.steps.saturating_sub(steps) * self.order;
        self.from_call(start)
    }

    /// The same noise schedule, ended before call `end`.
    #[must_use]
    pub fn until_call(self, end: usize) -> Self {
        Self { end, ..self }
    }

    /// The same noise schedule, started with call `start`.
    #[must_use]
    pub fn from_call(self, start: usize) -> Self {
        Self { start, ..self }
    }
}

/// A sampler as data.
pub struct SamplerSpec {
    /// The name that users type.
    pub name: &'static str,
    /// One phrase for help.
    pub about: &'static str,
    /// The sampler in A1111's terms.
    pub a1111: A1111Label,
    /// diffusers' class of the same arithmetic, where there is one.
    pub class: Option<&'static str>,
    /// diffusers' class of the same arithmetic for networks with EDM preconditioning, where there
    /// is one.
    pub edm: Option<&'static str>,
    /// `algorithm_type` and `solver_order` of this sampler, where that class holds several.
    pub variant: Option<(Algorithm, usize)>,
    /// Family of its timestep grid.
    pub grid: Grid,
    /// Values that diffusers' class assumes for keys missing from a scheduler_config.json.
    pub defaults: Defaults,
    /// Calls of the network in a step, but for the last one: 1 or 2.
    pub order: usize,
    /// The order of its calls, where that is not one call for each level of the grid.
    pub visits: Option<EvalOrder>,
    /// A fresh solver for one run.
    pub solver: fn(&Config, &SigmaSchedule) -> Box<dyn Solver>,
}

/// A sampler in A1111's terms.
pub struct A1111Label {
    /// Name in A1111 and its forks; for a sampler that they lack, sdgen's name in their style.
    pub label: &'static str,
    /// Other names in A1111, k-diffusion, ComfyUI and stable-diffusion.cpp.
    pub aliases: &'static [&'static str],
    /// The schedule that `Automatic` stands for since A1111 1.9.
    pub automatic: Schedule,
    /// True if the sampler has timesteps of its own in A1111, whatever schedule is named.
    pub own_timesteps: bool,
    /// True if the sampler adds noise, scaled by `eta` and `s_noise` in A1111.
    pub adds_noise: bool,
}

impl A1111Label {
    pub(super) const fn new(label: &'static str, aliases: &'static [&'static str]) -> Self {
        Self {
            label,
            aliases,
            automatic: Schedule::Normal,
            own_timesteps: false,
            adds_noise: false,
        }
    }

    pub(super) const fn automatic(self, automatic: Schedule) -> Self {
        Self { automatic, ..self }
    }

    pub(super) const fn adds_noise(self) -> Self {
        Self {
            adds_noise: true,
            ..self
        }
    }

    pub(super) const fn own_timesteps(self) -> Self {
        Self {
            own_timesteps: true,
            ..self
        }
    }
}

/// The calls of a run, from its falling grid and σ of every training timestep.
pub type EvalOrder = fn(&Config, &[Level], &[f64]) -> Result<Vec<Level>>;

/// A class's own values for missing keys.
pub struct Defaults {
    /// `timestep_spacing`.
    pub spacing: Spacing,
    /// `set_alpha_to_one`.
    pub set_alpha_to_one: bool,
    /// `clip_sample`.
    pub clip_sample: bool,
    /// `lower_order_final`.
    pub lower_order_final: bool,
    /// `final_sigmas_type` is `sigma_min`.
    pub final_sigma_min: bool,
    /// A `final_sigmas_type` of `sigma_min` is the last level once more where levels are respaced.
    pub repeats_last: bool,
    /// `beta_start` and `beta_end`.
    pub betas: [f64; 2],
    /// `beta_schedule` is `scaled_linear`, not `linear`.
    pub scaled_betas: bool,
    /// Noise added at each step, as a request would give it.
    pub eta: f64,
    /// True if a request's `eta` sets that noise.
    pub takes_eta: bool,
    /// Keys that the class does not read.
    pub lacks: &'static [Key],
}

/// A key of scheduler_config.json that some classes do not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `timestep_spacing`.
    Spacing,
    /// `use_karras_sigmas` and the similar switches of other schedules.
    Respacing,
    /// `final_sigmas_type`.
    FinalSigma,
    /// `clip_sample`.
    ClipSample,
    /// `rescale_betas_zero_snr`.
    ZeroSnr,
    /// `set_alpha_to_one`.
    SetAlphaToOne,
    /// `sigma_min` and `sigma_max`, where the levels are spaced as Karras et al. have them.
    KarrasEnds,
}

/// Defaults of the classes over sigmas.
pub(super) const SIGMA_DEFAULTS: Defaults = Defaults {
    spacing: Spacing::Linspace,
    set_alpha_to_one: true,
    clip_sample: false,
    lower_order_final: true,
    final_sigma_min: false,
    repeats_last: false,
    betas: [0.0001, 0.02],
    scaled_betas: false,
    eta: 0.0,
    takes_eta: false,
    lacks: &[Key::ClipSample],
};

/// `beta_start` and `beta_end` of Stable Diffusion, which some classes assume.
pub(super) const SD_BETAS: [f64; 2] = [0.00085, 0.012];

/// Defaults of the classes over whole timesteps.
pub(super) const DISCRETE_DEFAULTS: Defaults = Defaults {
    spacing: Spacing::Leading,
    lacks: &[],
    ..SIGMA_DEFAULTS
};

/// One row of [`super::SAMPLERS`].
#[derive(Clone, Copy)]
pub struct Sampler(&'static SamplerSpec);

impl Sampler {
    /// The sampler of a row.
    pub(super) const fn of(spec: &'static SamplerSpec) -> Self {
        Self(spec)
    }

    /// The sampler's data.
    pub fn row(self) -> &'static SamplerSpec {
        self.0
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Sampler {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Serialize for Sampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}
