//! Ancestral DPM2: the midpoint rule down below the next level, then fresh noise up to it
//! (k-diffusion).

use super::dpm2::{DEFAULTS, halved};
use super::euler_a::ancestral;
use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Denoised, NoiseFn, Sample, SamplerSpec, Schedule, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "dpm2_a",
    about: "DPM2 ancestral, adds noise; two calls a step",
    a1111: A1111Label::new("DPM2 a", &["k_dpm_2_a", "dpm_2_ancestral"])
        .automatic(Schedule::Karras)
        .adds_noise(),
    class: Some("KDPM2AncestralDiscreteScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Midpoint,
    defaults: DEFAULTS,
    order: 2,
    visits: Some(|_, grid, train_sigmas| halved(grid, train_sigmas, down)),
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(Dpm2Ancestral {
            sigmas: sigmas.clone(),
            start: None,
        })
    },
};

/// σ_down of a step in diffusers' single precision, which loses digits where the step is long.
pub(super) fn down(sigma: f64, next: f64) -> f64 {
    let (sigma, next) = (sigma as f32, next as f32);
    let up = (next * next * (sigma * sigma - next * next) / (sigma * sigma)).sqrt();
    f64::from((next * next - up * up).max(0.0).sqrt())
}

struct Dpm2Ancestral {
    sigmas: SigmaSchedule,
    /// In the middle of a step: the sample that it started from.
    start: Option<Sample>,
}

impl Solver for Dpm2Ancestral {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        let Some(start) = self.start.take() else {
            let x = combine(&[
                (1.0, &now.sample.x),
                (next - now.sample.sigma, &now.derivative()?),
            ])?;
            self.start = Some(now.sample.clone());
            return Ok(Sample { x, sigma: next });
        };
        let (down, up) = ancestral(start.sigma, next);
        let x = combine(&[
            (1.0, &start.x),
            (down - start.sigma, &now.derivative()?),
            (up, &noise()?),
        ])?;
        Ok(Sample { x, sigma: next })
    }
}
