//! The noise levels of training: β → ᾱ → σ for every timestep. Single precision is imitated where
//! diffusers rounds to it, since pictures are compared digit by digit.

use super::types::{Betas, Config, Grid};
use crate::error::{Error, Kind, Result};

/// `x` rounded to single precision.
pub(super) fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

/// σ of each training timestep, rounded as diffusers rounds.
pub(super) fn sigmas(config: &Config) -> Result<Vec<f64>> {
    let betas = betas(config)?;
    let betas = if config.zero_terminal_snr {
        rescaled(&betas)
    } else {
        betas
    };
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
        // diffusers floors ᾱ_T at 2^-24 in the σ samplers and leaves 0 in ddim; a tiny ᾱ is that 0
        // without the infinity.
        *last = match config.sampler.row().grid {
            Grid::Discrete | Grid::Distilled => 1e-30,
            Grid::Continuous | Grid::Midpoint | Grid::Multistep => 2f64.powi(-24),
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
pub(super) fn linspace_single(start: f64, end: f64, n: usize) -> Vec<f64> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (n.max(2) - 1) as f32;
    (0..n)
        .map(|i| {
            let x = if i < n / 2 || n == 1 {
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
    let alpha_bar = |t: f64| {
        ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (0..n)
        .map(|i| {
            single(
                (1.0 - alpha_bar((i + 1) as f64 / n as f64) / alpha_bar(i as f64 / n as f64))
                    .min(0.999),
            )
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
    let bars = roots
        .iter()
        .map(|root| single(single(single(root - last) * stretch).powi(2)));
    let mut before = 1.0;
    bars.map(|bar| {
        let beta = single(1.0 - single(bar / before));
        before = bar;
        beta
    })
    .collect()
}
