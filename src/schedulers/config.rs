//! The complete configuration of one sampler run: a request's overrides over the model's
//! scheduler_config.json over the defaults of the sampler's class, which is diffusers'
//! `from_config`.

use serde::Serialize;

use super::edm::{self, Edm};
use super::keys;
use super::schedule::Grid;
use super::scheduler_file::SchedulerFile;
use super::sigmas::{ALIGNED_STEPS, AlignedSteps};
use super::{Key, Sampler};
use crate::error::{Error, Result};
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
    /// The configuration of a run: the file's keys under the request's overrides.
    ///
    /// # Errors
    /// A class, curve or option that no sampler here implements; a schedule or list of levels that
    /// the sampler does not support.
    pub fn resolve(file: &SchedulerFile, over: &Overrides) -> Result<Self> {
        keys::foreign(file)?;
        let edm = file.edm()?;
        let (sampler, (algorithm, order)) = variant(file, over.sampler)?;
        keys::check(file, sampler)?;
        let defaults = &sampler.row().defaults;
        let reads = |key: Key| !defaults.lacks.contains(&key);
        let clip = file.clip_sample.unwrap_or(defaults.clip_sample);
        let prediction = over.prediction.map_or_else(|| file.prediction(), Ok)?;
        if edm.is_some() {
            edm::check((file, over), algorithm, prediction)?;
        }
        let (schedule, levels) = match edm {
            Some(_) => edm::sampling(file, sampler, over)?,
            None => (schedule(file, sampler, over)?, levels(sampler, over)?),
        };
        let ends = schedule.has_ends() && (schedule != Schedule::Karras || reads(Key::KarrasEnds));
        let final_min = if reads(Key::FinalSigma) {
            file.final_sigmas_type.as_deref()
        } else {
            None
        };
        let file_zero_snr = file.rescale_betas_zero_snr.filter(|_| reads(Key::ZeroSnr));
        let file_alpha = file.set_alpha_to_one.filter(|_| reads(Key::SetAlphaToOne));
        Ok(Self {
            sampler,
            schedule,
            spacing: if edm.is_some() {
                Spacing::Linspace
            } else {
                spacing(file, sampler, over.spacing)?
            },
            levels,
            prediction,
            train_steps: file.num_train_timesteps.unwrap_or(1000),
            beta_start: file.beta_start.unwrap_or(defaults.betas[0]),
            beta_end: file.beta_end.unwrap_or(defaults.betas[1]),
            betas: if edm.is_some() {
                Betas::Linear
            } else {
                file.betas(defaults.scaled_betas)?
            },
            steps_offset: file.steps_offset.unwrap_or(0),
            set_alpha_to_one: file_alpha.unwrap_or(defaults.set_alpha_to_one),
            clip_sample: (clip && reads(Key::ClipSample))
                .then(|| file.clip_sample_range.unwrap_or(1.0)),
            zero_terminal_snr: over.zero_terminal_snr.or(file_zero_snr).unwrap_or(false),
            skip_prk_steps: file.skip_prk_steps.unwrap_or(false),
            final_sigma_min: final_min.map_or(defaults.final_sigma_min, |kind| kind == "sigma_min")
                || algorithm.over_noise(),
            algorithm,
            order,
            heun_rule: file.solver_type.as_deref() == Some("heun"),
            lower_order_final: file.lower_order_final.unwrap_or(defaults.lower_order_final),
            euler_at_final: file.euler_at_final.unwrap_or(false),
            bh1: file.solver_type.as_deref() == Some("bh1"),
            predict_x0: file.predict_x0.unwrap_or(true),
            disable_corrector: file.disable_corrector.clone().unwrap_or_default(),
            large_variance: file.variance_type.as_deref() == Some("fixed_large"),
            original_steps: file.original_inference_steps.unwrap_or(50),
            timestep_scaling: file.timestep_scaling.unwrap_or(10.0),
            strength: over.strength.unwrap_or(1.0),
            continuous_time: continuous_time(file, sampler, prediction)?,
            sigma_range: if ends {
                file.sigma_range()?
            } else {
                [None, None]
            },
            edm,
            aligned_steps: over.aligned_steps.unwrap_or(&ALIGNED_STEPS),
            eta: over.eta.unwrap_or(defaults.eta),
        })
    }
}

impl Config {
    /// Returns true if diffusers' class holds samples as x₀ + σn and scales the network's input.
    pub fn scales_input(&self) -> bool {
        self.edm.is_some() || self.sampler.row().grid.scales_input()
    }
}

/// The sampler that was asked for or that the file names, with the variant of its class.
fn variant(file: &SchedulerFile, wanted: Option<Sampler>) -> Result<(Sampler, (Algorithm, usize))> {
    let own = Sampler::of_file(file);
    let named_by_file = own.as_ref().ok().copied();
    let sampler = match wanted {
        Some(sampler) => sampler,
        None => own?,
    };
    let row = sampler.row();
    match row.variant {
        Some(variant) if named_by_file != Some(sampler) => Ok((sampler, variant)),
        _ => Ok((
            sampler,
            file.variant(
                row.class
                    .is_some_and(|class| class.starts_with("DPMSolver")),
            )?,
        )),
    }
}

fn schedule(file: &SchedulerFile, sampler: Sampler, over: &Overrides) -> Result<Schedule> {
    let free = sampler.row().grid.respaces();
    let custom = over.sigmas.is_some() || over.timesteps.is_some();
    match over.schedule {
        Some(schedule) if custom && schedule != Schedule::Normal => {
            let message = format!("`{schedule}` is of no use with a list of noise levels");
            Err(Error::field("schedule", message).hint("leave out `--schedule`, or the list"))
        }
        Some(schedule) if free || schedule == Schedule::Normal => Ok(schedule),
        Some(schedule) => Err(Error::field(
            "schedule",
            format!("sampler `{sampler}` has no `{schedule}` schedule"),
        )
        .hint("use `--schedule normal`, or a sampler over sigmas such as `euler` or `dpmpp_2m`")),
        None if free && !custom && !sampler.row().defaults.lacks.contains(&Key::Respacing) => {
            file.schedule(sampler.row().class)
        }
        None => Ok(Schedule::Normal),
    }
}

/// Returns true if the network gets ¼ ln σ in place of a timestep, as in diffusers' Euler alone; an
/// error for a sampler that takes whole timesteps only.
fn continuous_time(file: &SchedulerFile, sampler: Sampler, prediction: Prediction) -> Result<bool> {
    let continuous = prediction == Prediction::V && file.has_continuous_time();
    if continuous && sampler.row().grid != Grid::Continuous {
        let message = format!(
            "sampler `{sampler}` has whole timesteps, which this model was not trained with"
        );
        return Err(Error::field("sampler", message).hint(
            "its scheduler_config.json says so by `timestep_type`; use one such as `euler` or `heun`",
        ));
    }
    Ok(continuous)
}

fn spacing(file: &SchedulerFile, sampler: Sampler, wanted: Option<Spacing>) -> Result<Spacing> {
    let row = sampler.row();
    let own = row.defaults.spacing;
    match wanted {
        Some(spacing) if row.grid == Grid::Distilled && spacing != own => {
            let message =
                format!("sampler `{sampler}` takes its timesteps from its distillation grid");
            Err(Error::field("timestep_spacing", message).hint("leave out `--timestep-spacing`"))
        }
        Some(spacing) => Ok(spacing),
        None if row.defaults.lacks.contains(&Key::Spacing) => Ok(own),
        None => Ok(file.timestep_spacing.unwrap_or(own)),
    }
}

fn levels(sampler: Sampler, over: &Overrides) -> Result<Levels> {
    let grid = sampler.row().grid;
    let refused = |field: &str, hint: &str| {
        Err(Error::field(
            field,
            format!("sampler `{sampler}` takes no list of `{field}`"),
        )
        .hint(hint))
    };
    match (&over.sigmas, &over.timesteps) {
        (None, None) => Ok(Levels::Scheduled),
        (Some(_), Some(_)) => Err(Error::field(
            "sigmas",
            "`sigmas` and `timesteps` exclude each other",
        )
        .hint("give one of them")),
        (Some(_), None) if !grid.respaces() => refused(
            "sigmas",
            "use `--timesteps`, or a sampler over sigmas such as `euler` or `dpmpp_2m`",
        ),
        (None, Some(_)) if grid == Grid::Discrete && sampler.row().visits.is_some() => refused(
            "timesteps",
            "use another sampler, such as `ddim` or `euler`",
        ),
        (Some(sigmas), None) => Ok(Levels::Sigmas(sigmas.clone())),
        (None, Some(timesteps)) => Ok(Levels::Timesteps(timesteps.clone())),
    }
}
