//! Noise levels as plain numbers: β → ᾱ → σ, the timesteps visited, and the ladder of σ that a sampler descends.
//! No tensors here. Single precision is imitated where diffusers rounds to it, since pictures are compared digit by digit.

use super::config::{Betas, Config, Schedule, Spacing};
use crate::error::{Error, Kind, Result};

/// Which of diffusers' families of timestep grids a sampler belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Whole timesteps; levels from ᾱ directly (ddim, pndm, ddpm).
    Discrete,
    /// Fractional timesteps allowed; Karras et al. over the *visited* range (euler, heun, lms ...).
    Continuous,
    /// Whole timesteps; Karras et al. over the whole training range (dpmpp, unipc, deis).
    Multistep,
}

/// One call of the network: the noise level of the sample and the time the network is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// σ = √((1 − ᾱ)/ᾱ), the noise of x = x₀ + σ n.
    pub sigma: f64,
    /// Timestep, fractional where the grid allows it.
    pub timestep: f64,
}

impl Level {
    /// The level of a timestep, linear between whole ones (`numpy.interp`).
    pub(super) fn at(sigmas: &[f64], timestep: f64) -> Self {
        let low = (timestep.floor() as usize).min(sigmas.len() - 1);
        let high = (low + 1).min(sigmas.len() - 1);
        let weight = timestep - low as f64;
        let sigma =
            if weight == 0.0 { sigmas[low] } else { (sigmas[high] - sigmas[low]) * weight + sigmas[low] };
        Self { sigma, timestep }
    }
}

/// The ladder of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// One entry per call of the network.
    pub levels: Vec<Level>,
    /// The call that this run starts with; 0 for a whole run.
    pub start: usize,
    /// Steps of a whole run.
    pub steps: usize,
    /// The level after the last call.
    pub final_sigma: f64,
    /// ⌊T/n⌋, the stride of the discrete samplers.
    pub stride: usize,
    /// σ of every training timestep.
    pub train_sigmas: Vec<f64>,
    /// What unit noise is multiplied with to be the first sample of x = x₀ + σ n.
    pub init_noise_sigma: f64,
}

impl Ladder {
    /// σ of a training timestep; below 0 it is the last level of all (ᾱ₀ or 1, as the model says).
    pub fn sigma_at(&self, timestep: i64) -> f64 {
        usize::try_from(timestep)
            .ok()
            .and_then(|index| self.train_sigmas.get(index))
            .copied()
            .unwrap_or(self.final_sigma)
    }

    /// Calls of the network from the start on.
    pub fn calls(&self) -> usize {
        self.levels.len().saturating_sub(self.start)
    }

    /// The same ladder for image to image at `strength`.
    #[must_use]
    pub fn at_strength(self, strength: f64) -> Self {
        let kept = ((self.steps as f64 * strength) as usize).min(self.steps);
        Self { start: self.steps - kept, ..self }
    }

    /// The level after call `i`.
    pub fn sigma_after(&self, i: usize) -> f64 {
        self.levels.get(i + 1).map_or(self.final_sigma, |level| level.sigma)
    }
}

/// The ladder of `steps` steps.
///
/// # Errors
/// A number of steps that the spacing cannot hold.
pub fn ladder(config: &Config, steps: usize) -> Result<Ladder> {
    let train_sigmas = train_sigmas(config)?;
    let grid = config.sampler.row().grid;
    let timesteps = timesteps(config, grid, steps)?;
    let mut levels: Vec<Level> =
        timesteps.iter().map(|&timestep| Level::at(&train_sigmas, timestep)).collect();
    if config.schedule != Schedule::Normal {
        let (first, last) = match grid {
            Grid::Multistep => (train_sigmas[train_sigmas.len() - 1], train_sigmas[0]),
            Grid::Discrete | Grid::Continuous => (levels[0].sigma, levels[levels.len() - 1].sigma),
        };
        levels = respaced(config.schedule, (first, last), steps)
            .into_iter()
            .map(|sigma| Level { sigma, timestep: told(grid, config, sigma, &train_sigmas) })
            .collect();
    }
    if grid != Grid::Discrete {
        levels.iter_mut().for_each(|level| level.sigma = single(level.sigma));
    }
    let init_noise_sigma = init_noise_sigma(config, grid, &levels);
    let stride = config.train_steps / steps;
    if let Some(visits) = config.sampler.row().visits {
        levels = visits(config, &levels, &train_sigmas)?;
    }
    Ok(Ladder {
        final_sigma: final_sigma(config, grid, &train_sigmas),
        stride,
        start: 0,
        steps,
        init_noise_sigma,
        levels,
        train_sigmas,
    })
}

fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

/// σ of each training timestep, rounded as diffusers rounds.
fn train_sigmas(config: &Config) -> Result<Vec<f64>> {
    let betas = betas(config)?;
    let betas = if config.zero_terminal_snr { rescaled(&betas) } else { betas };
    let mut product = 1.0f64;
    let mut cumprod: Vec<f64> = betas
        .iter()
        .map(|beta| {
            product *= single(1.0 - beta);
            single(product)
        })
        .collect();
    if config.zero_terminal_snr
        && let Some(last) = cumprod.last_mut()
    {
        // diffusers floors ᾱ_T at 2^-24 in the σ samplers and leaves 0 in ddim; a tiny ᾱ is that 0 without the infinity.
        *last = match config.sampler.row().grid {
            Grid::Discrete => 1e-30,
            Grid::Continuous | Grid::Multistep => 2f64.powi(-24),
        };
    }
    Ok(cumprod.iter().map(|a| ((1.0 - a) / a).sqrt()).collect())
}

fn betas(config: &Config) -> Result<Vec<f64>> {
    let n = config.train_steps;
    let line = |a: f64, b: f64| linspace_single(a, b, n);
    let betas = match &config.betas {
        Betas::Linear => line(config.beta_start, config.beta_end),
        Betas::ScaledLinear => line(config.beta_start.sqrt(), config.beta_end.sqrt())
            .into_iter()
            .map(|root| single(root * root))
            .collect(),
        Betas::SquaredCosine => cosine_betas(n),
        Betas::Trained(betas) => betas.clone(),
    };
    let fine = betas.len() == n && betas.iter().all(|b| (0.0..1.0).contains(b) || *b == 1.0);
    if fine && n > 0 {
        return Ok(betas);
    }
    Err(Error::new(
        Kind::ModelFile,
        format!(
            "scheduler_config.json: expected {n} betas between 0 and 1, got {} from `beta_start` {} and `beta_end` {}",
            betas.len(),
            config.beta_start,
            config.beta_end
        ),
    ))
}

/// `torch.linspace` in single precision: from both ends towards the middle.
fn linspace_single(start: f64, end: f64, n: usize) -> Vec<f64> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (n.max(2) - 1) as f32;
    (0..n)
        .map(|i| {
            let x = if i < n / 2 {
                step.mul_add(i as f32, start)
            } else {
                step.mul_add(-((n - 1 - i) as f32), end)
            };
            f64::from(x)
        })
        .collect()
}

/// Nichol & Dhariwal 2021, equation 17, with β capped at 0.999.
fn cosine_betas(n: usize) -> Vec<f64> {
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    (0..n)
        .map(|i| {
            single((1.0 - alpha_bar((i + 1) as f64 / n as f64) / alpha_bar(i as f64 / n as f64)).min(0.999))
        })
        .collect()
}

/// Lin et al. 2023, algorithm 1: shift and scale √ᾱ so that the last is 0 and the first is kept.
fn rescaled(betas: &[f64]) -> Vec<f64> {
    let mut product = 1.0;
    let roots: Vec<f64> = betas
        .iter()
        .map(|b| {
            product *= single(1.0 - b);
            single(single(product).sqrt())
        })
        .collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let stretch = single(first / single(first - last));
    let bars = roots.iter().map(|root| single(single(single(root - last) * stretch).powi(2)));
    let mut before = 1.0;
    bars.map(|bar| {
        let beta = single(1.0 - single(bar / before));
        before = bar;
        beta
    })
    .collect()
}

fn timesteps(config: &Config, grid: Grid, steps: usize) -> Result<Vec<f64>> {
    let total = config.train_steps;
    let offset = config.steps_offset as f64;
    let list: Vec<f64> = match (config.spacing, grid) {
        (Spacing::Linspace, Grid::Discrete) => {
            linspace_down(total, steps).map(f64::round_ties_even).collect()
        }
        (Spacing::Linspace, Grid::Continuous) => linspace_down(total, steps).map(single).collect(),
        (Spacing::Linspace, Grid::Multistep) => {
            linspace_down(total, steps + 1).take(steps).map(f64::round_ties_even).collect()
        }
        (Spacing::Leading, Grid::Discrete | Grid::Continuous) => {
            (0..steps).rev().map(|i| (i * (total / steps)) as f64 + offset).collect()
        }
        (Spacing::Leading, Grid::Multistep) => {
            (1..=steps).rev().map(|i| (i * (total / (steps + 1))) as f64 + offset).collect()
        }
        (Spacing::Trailing, _) => arange_down(total, steps).map(|t| t.round_ties_even() - 1.0).collect(),
    };
    let legal = |t: &f64| (0.0..=(total - 1) as f64).contains(t);
    if list.len() == steps
        && list.iter().all(legal)
        && list.windows(2).all(|w| w[0] > w[1] || grid == Grid::Multistep)
    {
        return Ok(list);
    }
    Err(Error::field(
        "steps",
        format!(
            "{steps} steps of `{}` spacing do not fit into the model's {total} timesteps",
            config.spacing
        ),
    )
    .hint("use fewer steps, or another `--timestep-spacing`"))
}

/// `numpy.linspace(0, total − 1, n)` reversed.
fn linspace_down(total: usize, n: usize) -> impl Iterator<Item = f64> {
    let last = (total - 1) as f64;
    let step = last / (n.max(2) - 1) as f64;
    (0..n).rev().map(move |i| if i + 1 == n && n > 1 { last } else { i as f64 * step })
}

/// `numpy.arange(total, 0, −total/n)`, which steps by the rounded difference of its first two values.
fn arange_down(total: usize, n: usize) -> impl Iterator<Item = f64> {
    let start = total as f64;
    let step = (start - start / n as f64) - start;
    (0..n).map(move |i| start + i as f64 * step)
}

/// `n` levels from `range.0` down to `range.1`.
fn respaced(schedule: Schedule, range: (f64, f64), n: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let ramp = |i: usize| if n < 2 { 0.0 } else { i as f64 / (n - 1) as f64 };
    let blend =
        |f: fn(f64) -> f64, g: fn(f64) -> f64, i: usize| g(f(range.0) + ramp(i) * (f(range.1) - f(range.0)));
    (0..n)
        .map(|i| match schedule {
            Schedule::Normal => blend(|x| x, |x| x, i),
            Schedule::Karras => blend(|x| x.powf(1.0 / RHO), |x| x.powf(RHO), i),
            Schedule::Exponential => blend(f64::ln, f64::exp, i),
        })
        .collect()
}

/// The timestep that the network is told at a respaced level.
fn told(grid: Grid, config: &Config, sigma: f64, train_sigmas: &[f64]) -> f64 {
    let timestep = timestep_of(sigma, train_sigmas);
    match (grid, config.schedule) {
        (Grid::Multistep, Schedule::Karras) if config.betas != Betas::SquaredCosine => {
            timestep.round_ties_even()
        }
        (Grid::Multistep, _) => timestep.trunc(),
        (Grid::Discrete | Grid::Continuous, _) => single(timestep),
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

fn final_sigma(config: &Config, grid: Grid, train_sigmas: &[f64]) -> f64 {
    let at_one = match grid {
        Grid::Discrete => config.set_alpha_to_one,
        Grid::Continuous | Grid::Multistep => !config.final_sigma_min,
    };
    if at_one { 0.0 } else { train_sigmas[0] }
}

/// Unit noise is the first sample of x = αx₀ + σn for the discrete and multistep samplers; the σ samplers
/// of diffusers take σ_max itself, except with leading spacing.
fn init_noise_sigma(config: &Config, grid: Grid, levels: &[Level]) -> f64 {
    let sigma = levels.iter().map(|level| level.sigma).fold(0.0, f64::max);
    match (grid, config.spacing) {
        (Grid::Continuous, Spacing::Linspace | Spacing::Trailing) => sigma,
        _ => (sigma * sigma + 1.0).sqrt(),
    }
}
