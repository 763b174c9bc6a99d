//! DDPM (Ho et al. 2020, equations 6 and 7): a fresh sample from the posterior of the next level at
//! each step.

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, DISCRETE_DEFAULTS, Defaults, Denoised, Key, NoiseFn, Sample, SamplerSpec,
    Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "ddpm",
    about: "DDPM, adds noise at each step; wants many",
    a1111: A1111Label::new("DDPM", &[]),
    class: Some("DDPMScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Discrete,
    defaults: Defaults {
        clip_sample: true,
        lacks: &[Key::SetAlphaToOne],
        ..DISCRETE_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Ddpm {
            sigmas: sigmas.clone(),
            large: config.large_variance,
            clip: config.clip_sample,
        })
    },
};

struct Ddpm {
    sigmas: SigmaSchedule,
    /// Variance β rather than β̃.
    large: bool,
    clip: Option<f64>,
}

impl Solver for Ddpm {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let (sigma, next) = (now.sample.sigma, self.sigmas.sigma_after(i));
        // In x = x₀ + σn: mean x₀ + (σ'²/σ²)(x − x₀).
        let keep = (next / sigma).powi(2);
        let x = combine(&[
            (keep, &now.sample.x),
            (1.0 - keep, &now.clipped(self.clip)?),
        ])?;
        if self.sigmas.levels[i].timestep == 0.0 {
            return Ok(Sample { x, sigma: next });
        }
        let x = combine(&[(1.0, &x), (self.deviation(sigma, next), &noise()?)])?;
        Ok(Sample { x, sigma: next })
    }
}

impl Ddpm {
    /// √β̃ = σ' √(1 − σ'²/σ²), or √β = √((1 + σ'²) (1 − (1 + σ'²)/(1 + σ²))), both over √ᾱ'.
    fn deviation(&self, sigma: f64, next: f64) -> f64 {
        let (square, next_square) = (sigma * sigma, next * next);
        if self.large {
            return ((1.0 + next_square) * (1.0 - (1.0 + next_square) / (1.0 + square))).sqrt();
        }
        next * (1.0 - next_square / square).max(0.0).sqrt()
    }
}
