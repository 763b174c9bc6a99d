//! The complete configuration of one sampler run: a request's overrides over the model's
//! scheduler_config.json over the defaults of the sampler's class, which is diffusers'
//! `from_config`.

use super::scheduler_file::SchedulerFile;
use super::types::{
    ALIGNED_STEPS, Algorithm, Betas, Config, Edm, Grid, Key, Levels, Overrides, Prediction,
    Sampler, Schedule, Spacing,
};
use super::{edm, keys};
use crate::error::{Error, Result};

impl Config {
    /// The configuration of a run: the file's keys under the request's overrides.
    ///
    /// # Errors
    /// A class, curve or option that no sampler here implements; a schedule or list of levels that
    /// the sampler does not support.
    pub fn resolve(file: &SchedulerFile, over: &Overrides) -> Result<Self> {
        keys::foreign(file)?;
        let edm = Edm::of(file)?;
        let (sampler, (algorithm, order)) = variant(file, over.sampler)?;
        keys::check(file, sampler)?;
        let defaults = &sampler.row().defaults;
        let reads = |key: Key| !defaults.lacks.contains(&key);
        let clip = file.clip_sample.unwrap_or(defaults.clip_sample);
        let prediction = over.prediction.map_or_else(|| file.prediction(), Ok)?;
        if edm.is_some() {
            edm::check(file, over, algorithm, prediction)?;
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
