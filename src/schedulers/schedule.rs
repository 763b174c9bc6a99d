//! The noise schedule of a run: the timesteps visited and their σ, as plain numbers. No tensors
//! here. Single precision is imitated where diffusers rounds to it, since images are compared digit
//! by digit.

use super::train_sigmas::{self, single};
use super::types::{Betas, Config, Grid, Level, Levels, Schedule, SigmaSchedule, Spacing};
use super::{edm, sigmas as grids};
use crate::error::{Error, Result};

/// The noise schedule of `steps` steps.
///
/// # Errors
/// A number of steps that the spacing cannot hold; a list of levels that does not fall or leaves
/// the model's range.
pub fn sigma_schedule(config: &Config, steps: usize) -> Result<SigmaSchedule> {
    let row = config.sampler.row();
    // A model with EDM preconditioning has no timesteps.
    let train_sigmas = if config.edm.is_some() {
        Vec::new()
    } else {
        train_sigmas::sigmas(config)?
    };
    let mut levels = match (&config.levels, config.edm) {
        (Levels::Scheduled, Some(edm)) => edm.levels(config.schedule, row, steps),
        (Levels::Scheduled, None) => scheduled(config, steps, &train_sigmas)?,
        (Levels::Sigmas(sigmas), _) => given_sigmas(config, steps, sigmas, &train_sigmas)?,
        (Levels::Timesteps(timesteps), _) => given_timesteps(steps, timesteps, &train_sigmas)?,
    };
    if row.grid.respaces() {
        levels
            .iter_mut()
            .for_each(|level| level.sigma = single(level.sigma));
    }
    if levels.is_empty() || levels.windows(2).any(|pair| pair[0].sigma <= pair[1].sigma) {
        return Err(too_many(config, steps));
    }
    if config.continuous_time {
        levels
            .iter_mut()
            .for_each(|level| level.timestep = 0.25 * level.sigma.ln());
    }
    let init_noise_sigma = init_noise_sigma(config, &levels);
    let final_sigma = final_sigma(config, &levels, &train_sigmas);
    if let Some(visits) = row.visits {
        levels = visits(config, &levels, &train_sigmas)?;
    }
    Ok(SigmaSchedule {
        final_sigma,
        end: levels.len(),
        levels,
        start: 0,
        steps,
        order: row.order,
        stride: config.train_steps / steps,
        init_noise_sigma,
        train_sigmas,
    })
}

/// The levels of the configuration's schedule and spacing.
fn scheduled(config: &Config, steps: usize, train_sigmas: &[f64]) -> Result<Vec<Level>> {
    let grid = config.sampler.row().grid;
    let visited: Vec<Level> = timesteps(config, steps)?
        .iter()
        .map(|&timestep| Level::at(train_sigmas, timestep))
        .collect();
    let range = match (grid, visited.first(), visited.last()) {
        _ if config.schedule == Schedule::Normal => return Ok(visited),
        (Grid::Continuous | Grid::Midpoint, Some(first), Some(last)) => (first.sigma, last.sigma),
        _ => (train_sigmas[train_sigmas.len() - 1], train_sigmas[0]),
    };
    let [highest, lowest] = config.sigma_range;
    let range = (highest.unwrap_or(range.0), lowest.unwrap_or(range.1));
    let sigmas = grids::sigmas(config, range, steps, train_sigmas);
    Ok(sigmas
        .into_iter()
        .map(|sigma| model_timestep(config, sigma, train_sigmas))
        .collect())
}

/// The levels of `--sigmas`, whose last is where the run ends.
fn given_sigmas(
    config: &Config,
    steps: usize,
    sigmas: &[f64],
    train_sigmas: &[f64],
) -> Result<Vec<Level>> {
    // A list may round the model's own ends to three digits.
    let highest = 1.005
        * config
            .edm
            .map_or_else(|| train_sigmas[train_sigmas.len() - 1], |edm| edm.sigma_max);
    let falls = sigmas.windows(2).all(|pair| pair[0] > pair[1]);
    if sigmas.len() < 2 || !falls || !sigmas.iter().all(|sigma| (0.0..=highest).contains(sigma)) {
        let wanted = format!("two or more falling numbers from {highest:.3} to 0");
        return Err(Error::expected("sigmas", wanted, list(sigmas)));
    }
    counted("sigmas", sigmas.len() - 1, steps)?;
    let called = &sigmas[..sigmas.len() - 1];
    Ok(called
        .iter()
        .map(|&sigma| model_timestep(config, sigma, train_sigmas))
        .collect())
}

/// The levels of `--timesteps`.
fn given_timesteps(steps: usize, timesteps: &[usize], train_sigmas: &[f64]) -> Result<Vec<Level>> {
    let falls = timesteps.windows(2).all(|pair| pair[0] > pair[1]);
    if !falls
        || timesteps
            .first()
            .is_none_or(|&first| first >= train_sigmas.len())
    {
        let wanted = format!("falling whole numbers from {} to 0", train_sigmas.len() - 1);
        return Err(Error::expected("timesteps", wanted, list(timesteps)));
    }
    counted("timesteps", timesteps.len(), steps)?;
    Ok(timesteps
        .iter()
        .map(|&timestep| Level::at(train_sigmas, timestep as f64))
        .collect())
}

fn counted(field: &str, count: usize, steps: usize) -> Result<()> {
    if count == steps {
        return Ok(());
    }
    Err(
        Error::expected("steps", format!("{count}, as `{field}` says"), steps)
            .hint("leave out `--steps`"),
    )
}

fn list<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// The timesteps of the configuration's spacing, falling.
fn timesteps(config: &Config, steps: usize) -> Result<Vec<f64>> {
    let grid = config.sampler.row().grid;
    let total = config.train_steps;
    let offset = config.steps_offset as f64;
    let list: Vec<f64> = match (config.spacing, grid) {
        (_, Grid::Distilled) => distilled(config, steps)?,
        (Spacing::Linspace, Grid::Discrete) => linspace_down(total, steps)
            .map(f64::round_ties_even)
            .collect(),
        (Spacing::Linspace, Grid::Continuous | Grid::Midpoint) => {
            linspace_down(total, steps).map(single).collect()
        }
        (Spacing::Linspace, Grid::Multistep) => linspace_down(total, steps + 1)
            .take(steps)
            .map(f64::round_ties_even)
            .collect(),
        (Spacing::Leading, Grid::Discrete | Grid::Continuous | Grid::Midpoint) => (0..steps)
            .rev()
            .map(|i| (i * (total / steps)) as f64 + offset)
            .collect(),
        (Spacing::Leading, Grid::Multistep) => (1..=steps)
            .rev()
            .map(|i| (i * (total / (steps + 1))) as f64 + offset)
            .collect(),
        (Spacing::Trailing, _) => arange_down(total, steps)
            .map(|t| t.round_ties_even() - 1.0)
            .collect(),
    };
    if list.iter().all(|t| (0.0..=(total - 1) as f64).contains(t)) {
        return Ok(list);
    }
    Err(too_many(config, steps))
}

fn too_many(config: &Config, steps: usize) -> Error {
    let (spacing, total) = (config.spacing, config.train_steps);
    let message = format!(
        "{steps} steps of `{spacing}` spacing do not fit into the model's {total} timesteps"
    );
    Error::field("steps", message).hint("use fewer steps, or another `--timestep-spacing`")
}

/// Evenly chosen timesteps of the grid that the model was distilled on (Luo et al. 2023, as in
/// diffusers).
fn distilled(config: &Config, steps: usize) -> Result<Vec<f64>> {
    let stride = config.train_steps / config.original_steps.clamp(1, config.train_steps);
    let count = (config.original_steps as f64 * config.strength) as usize;
    if steps > count {
        let sampler = config.sampler;
        return Err(Error::expected(
            "steps",
            format!("1 to {count} for sampler `{sampler}`"),
            steps,
        ));
    }
    let every = count as f64 / steps as f64;
    Ok((0..steps)
        .map(|i| ((count - (i as f64 * every) as usize) * stride - 1) as f64)
        .collect())
}

/// `numpy.linspace(0, total − 1, n)` reversed.
fn linspace_down(total: usize, n: usize) -> impl Iterator<Item = f64> {
    let last = (total - 1) as f64;
    let step = last / (n.max(2) - 1) as f64;
    (0..n).rev().map(move |i| {
        if i + 1 == n && n > 1 {
            last
        } else {
            i as f64 * step
        }
    })
}

/// `numpy.arange(total, 0, −total/n)`, which steps by the rounded difference of its first two
/// values.
fn arange_down(total: usize, n: usize) -> impl Iterator<Item = f64> {
    let start = total as f64;
    let step = (start - start / n as f64) - start;
    (0..n).map(move |i| start + i as f64 * step)
}

/// A respaced level with the timestep that the network gets, rounded or truncated as in diffusers'
/// class.
fn model_timestep(config: &Config, sigma: f64, train_sigmas: &[f64]) -> Level {
    if config.edm.is_some() {
        return edm::level(sigma);
    }
    let timestep = timestep_of(sigma, train_sigmas);
    let timestep = match (config.sampler.row().grid, config.schedule) {
        (Grid::Multistep, Schedule::Exponential | Schedule::Beta) => timestep.trunc(),
        (Grid::Multistep, Schedule::Karras) if config.betas == Betas::SquaredCosine => {
            timestep.trunc()
        }
        (Grid::Multistep, _) | (Grid::Midpoint, Schedule::Karras) => timestep.round_ties_even(),
        _ => single(timestep),
    };
    Level {
        sigma,
        timestep,
        kept: sigma,
    }
}

/// The fractional timestep of a level, linear in log σ.
pub fn timestep_of(sigma: f64, train_sigmas: &[f64]) -> f64 {
    let log = |s: f64| f64::from((s as f32).ln());
    let wanted = sigma.max(1e-10).ln();
    let above = train_sigmas.partition_point(|&s| log(s) <= wanted);
    let low = above.saturating_sub(1).min(train_sigmas.len() - 2);
    let (a, b) = (log(train_sigmas[low]), log(train_sigmas[low + 1]));
    let weight = ((a - wanted) / (a - b)).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * (low + 1) as f64
}

fn final_sigma(config: &Config, levels: &[Level], train_sigmas: &[f64]) -> f64 {
    let row = config.sampler.row();
    let last = levels.last().map_or(0.0, |level| level.sigma);
    let grid = row.grid;
    match (&config.levels, grid) {
        (Levels::Sigmas(sigmas), _) => sigmas.last().copied().map_or(0.0, single),
        (_, Grid::Discrete | Grid::Distilled) if config.set_alpha_to_one => 0.0,
        (_, Grid::Discrete | Grid::Distilled) => train_sigmas[0],
        _ if !config.final_sigma_min => 0.0,
        _ => match config.edm {
            // diffusers' Euler repeats its last level, the others go on to the lowest one.
            Some(edm) if row.variant.is_some() => single(edm.sigma_min),
            Some(_) => last,
            None if row.defaults.repeats_last && config.schedule != Schedule::Normal => last,
            None => single(train_sigmas[0]),
        },
    }
}

/// Unit noise is the first sample of x = αx₀ + σn for the discrete and multistep samplers; the σ
/// samplers of diffusers take σ_max itself, except with leading spacing.
fn init_noise_sigma(config: &Config, levels: &[Level]) -> f64 {
    if let Some(edm) = config.edm {
        return edm.init_noise_sigma();
    }
    let sigma = levels.iter().map(|level| level.sigma).fold(0.0, f64::max);
    match config.spacing {
        Spacing::Linspace | Spacing::Trailing if config.sampler.row().grid.scales_input() => sigma,
        Spacing::Linspace | Spacing::Trailing | Spacing::Leading => (sigma * sigma + 1.0).sqrt(),
    }
}
