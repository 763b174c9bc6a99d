//! DPM-Solver++ 2S ancestral (Lu et al. 2022b, algorithm 1, in k-diffusion's ancestral form): down
//! below the next level by way of the middle, then fresh noise up to it. Two calls a step; the last
//! step is of first order.

use super::dpm2::{DEFAULTS, halved};
use super::dpm2_a::down;
use super::euler_a::ancestral;
use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Denoised, NoiseFn, Sample, SamplerSpec, Schedule, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "dpmpp_2s_a",
    about: "DPM-Solver++ 2S ancestral, adds noise; two calls a step",
    a1111: A1111Label::new(
        "DPM++ 2S a",
        &["k_dpmpp_2s_a", "dpmpp_2s_ancestral", "dpm++2s_a"],
    )
    .automatic(Schedule::Karras)
    .adds_noise(),
    class: None,
    edm: None,
    variant: None,
    grid: Grid::Midpoint,
    defaults: DEFAULTS,
    order: 2,
    visits: Some(|_, grid, train_sigmas| halved(grid, train_sigmas, down)),
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(DpmSolver2SAncestral {
            sigmas: sigmas.clone(),
            start: None,
        })
    },
};

struct DpmSolver2SAncestral {
    sigmas: SigmaSchedule,
    /// In the middle of a step: the sample that it started from.
    start: Option<Sample>,
}

impl Solver for DpmSolver2SAncestral {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        let Some(start) = self.start.take() else {
            let x = toward(now.sample, next, now)?;
            self.start = Some(now.sample.clone());
            return Ok(Sample { x, sigma: next });
        };
        let (down, up) = ancestral(start.sigma, next);
        let x = combine(&[(1.0, &toward(&start, down, now)?), (up, &noise()?)])?;
        Ok(Sample { x, sigma: next })
    }
}

/// The exponential Euler step x' = (σ'/σ) x + (1 − σ'/σ) x₀ from `from` with the estimate of this
/// call.
pub(super) fn toward(from: &Sample, next: f64, now: &Denoised<'_>) -> Result<candle_core::Tensor> {
    let keep = next / from.sigma;
    combine(&[(keep, &from.x), (1.0 - keep, &now.x0)])
}
