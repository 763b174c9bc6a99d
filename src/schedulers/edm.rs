//! Networks with the preconditioning of Karras et al. 2022 (table 1, column "ours"), such as
//! Playground v2.5 and CosXL: their range of noise, and the conversion between a sample x = x₀ + σn
//! of the sampler and the network's input and output.

use super::scheduler_file::{SchedulerFile, unsupported};
use super::solvers::SAMPLERS;
use super::train_sigmas::linspace_single;
use super::types::{
    Algorithm, Edm, Level, Levels, Overrides, Prediction, Sampler, SamplerSpec, Schedule, Spacing,
};
use crate::error::{Error, Kind, Result};

impl Edm {
    /// The values of a file whose class is made for EDM networks; none for other classes.
    ///
    /// # Errors
    /// Numbers that give no range of noise.
    pub fn of(file: &SchedulerFile) -> Result<Option<Self>> {
        if !file.is_edm() {
            return Ok(None);
        }
        let edm = Self {
            sigma_min: file.sigma_min.unwrap_or(0.002),
            sigma_max: file.sigma_max.unwrap_or(80.0),
            sigma_data: file.sigma_data.unwrap_or(0.5),
            rho: file.rho.unwrap_or(7.0),
        };
        let Self {
            sigma_min,
            sigma_max,
            sigma_data,
            rho,
        } = edm;
        let range = 0.0 < sigma_min && sigma_min < sigma_max && sigma_max.is_finite();
        if range && sigma_data > 0.0 && rho > 0.0 {
            return Ok(Some(edm));
        }
        Err(Error::new(
            Kind::ModelFile,
            format!(
                "scheduler_config.json: `sigma_min` {sigma_min}, `sigma_max` {sigma_max}, `sigma_data` {sigma_data} \
                 and `rho` {rho} are no range of noise"
            ),
        )
        .hint("expected positive numbers, `sigma_min` below `sigma_max`"))
    }

    /// c_in: factor of x in the network's input.
    pub(super) fn input(self, sigma: f64) -> f64 {
        1.0 / (sigma * sigma + self.sigma_data * self.sigma_data).sqrt()
    }

    /// Factor by which diffusers scales unit noise to the first sample.
    pub(super) fn init_noise_sigma(self) -> f64 {
        (self.sigma_max * self.sigma_max + 1.0).sqrt()
    }

    /// `n` falling levels of `schedule`, rounded as diffusers' class for `row` rounds.
    pub(super) fn levels(self, schedule: Schedule, row: &SamplerSpec, n: usize) -> Vec<Level> {
        let sigmas = if schedule == Schedule::Exponential {
            self.exponential(n)
        } else if row.variant.is_some() {
            self.karras_single(n)
        } else {
            self.karras(n)
        };
        sigmas.into_iter().map(level).collect()
    }

    /// Uniform in log σ, upwards and then turned round: a single level is the lowest one.
    fn exponential(self, n: usize) -> Vec<f64> {
        let logs = linspace_single(self.sigma_min.ln(), self.sigma_max.ln(), n);
        logs.into_iter()
            .rev()
            .map(|log| f64::from((log as f32).exp()))
            .collect()
    }

    /// The Karras schedule (equation 5), in double precision.
    fn karras(self, n: usize) -> Vec<f64> {
        let (high, low) = self.roots();
        let share = |i: usize| i as f64 / (n.max(2) - 1) as f64;
        (0..n)
            .map(|i| (high + share(i) * (low - high)).powf(self.rho))
            .collect()
    }

    /// The Karras schedule in single precision.
    fn karras_single(self, n: usize) -> Vec<f64> {
        let (high, low) = self.roots();
        let level =
            |share: f64| (high as f32 + share as f32 * (low - high) as f32).powf(self.rho as f32);
        linspace_single(0.0, 1.0, n)
            .into_iter()
            .map(|share| f64::from(level(share)))
            .collect()
    }

    fn roots(self) -> (f64, f64) {
        (
            self.sigma_max.powf(1.0 / self.rho),
            self.sigma_min.powf(1.0 / self.rho),
        )
    }
}

/// c_skip and c_out: x₀ is c_skip x + c_out F, where F is the network's output.
pub(super) fn skip_and_out(edm: Edm, prediction: Prediction, sigma: f64) -> (f64, f64) {
    let data = edm.sigma_data;
    let sum = sigma * sigma + data * data;
    let out = sigma * data / sum.sqrt();
    let sign = if prediction == Prediction::V {
        -1.0
    } else {
        1.0
    };
    (data * data / sum, sign * out)
}

/// The level σ, with c_noise = ¼ ln σ as its timestep.
pub(super) fn level(sigma: f64) -> Level {
    let sigma = f64::from(sigma as f32);
    Level {
        sigma,
        timestep: f64::from(0.25 * (sigma as f32).ln()),
        kept: sigma,
    }
}

/// Schedule and list of levels of a run with an EDM network, in place of timesteps.
pub(super) fn sampling(
    file: &SchedulerFile,
    sampler: Sampler,
    over: &Overrides,
) -> Result<(Schedule, Levels)> {
    suits(file, sampler)?;
    let none = |field: &str| {
        Err(Error::field(
            field,
            "a model with EDM preconditioning has levels of noise and no timesteps",
        )
        .hint(format!("leave out `--{}`", field.replace('_', "-"))))
    };
    if over
        .spacing
        .is_some_and(|spacing| spacing != Spacing::Linspace)
    {
        return none("timestep_spacing");
    }
    if over.timesteps.is_some() {
        return none("timesteps");
    }
    if over.zero_terminal_snr == Some(true) {
        return none("zero_terminal_snr");
    }
    let levels = over
        .sigmas
        .clone()
        .map_or(Levels::Scheduled, Levels::Sigmas);
    match (over.schedule, &levels) {
        (None | Some(Schedule::Normal), Levels::Sigmas(_)) => Ok((Schedule::Normal, levels)),
        (Some(schedule @ (Schedule::Karras | Schedule::Exponential)), Levels::Scheduled) => {
            Ok((schedule, levels))
        }
        (None, _) => Ok((file.sigma_schedule()?, levels)),
        (Some(schedule), _) => Err(Error::field(
            "schedule",
            format!("a model with EDM preconditioning has no `{schedule}` schedule"),
        )
        .hint("use `--schedule karras` or `--schedule exponential`, or `--sigmas` without either")),
    }
}

fn suits(file: &SchedulerFile, sampler: Sampler) -> Result<()> {
    let class = file.class_name.as_deref().unwrap_or_default();
    let known = SAMPLERS
        .iter()
        .filter(|row| row.edm.is_some() && !third_of_sde(row));
    let hint = || {
        known
            .map(|row| format!("`{}`", row.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let row = sampler.row();
    if row.edm.is_none() || third_of_sde(row) {
        let message =
            format!("sampler `{sampler}` does not draw models of `{class}` (EDM preconditioning)");
        return Err(Error::field("sampler", message).hint(format!("use one of {}", hint())));
    }
    Ok(())
}

/// The one combination that diffusers' class has no formula for.
fn third_of_sde(row: &SamplerSpec) -> bool {
    row.variant
        .is_some_and(|(algorithm, order)| algorithm.adds_noise() && order == 3)
}

/// Refuses an algorithm or a prediction that diffusers' classes for such networks do not support.
pub(super) fn check(
    file: &SchedulerFile,
    over: &Overrides,
    algorithm: Algorithm,
    prediction: Prediction,
) -> Result<()> {
    if algorithm.over_noise() {
        return Err(unsupported(
            "algorithm_type",
            file.algorithm_type.as_deref().unwrap_or_default(),
        ));
    }
    if prediction != Prediction::Sample {
        return Ok(());
    }
    let error = match over.prediction {
        Some(_) => Error::field(
            "prediction",
            "a model with EDM preconditioning predicts no `sample`",
        ),
        None => unsupported("prediction_type", "sample"),
    };
    Err(error.hint("use `--prediction epsilon` or `--prediction v`"))
}
