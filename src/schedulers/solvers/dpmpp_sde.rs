//! DPM-Solver++ SDE (Lu et al. 2022b; k-diffusion's `sample_dpmpp_sde` with r = ½, η = 1): an
//! ancestral step to the middle, then one over the whole with the estimate made there. Each call
//! draws its own N(0, 1) noise, where k-diffusion reads both from one Brownian path; the marginal
//! distributions are the same, the pictures are not.

use super::dpm2::{DEFAULTS, halved};
use super::dpmpp_2s_a::toward;
use super::euler_a::ancestral;
use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Denoised, NoiseFn, Sample, SamplerSpec, Schedule, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "dpmpp_sde",
    about: "DPM-Solver++ SDE, adds noise; two calls a step",
    a1111: A1111Label::new("DPM++ SDE", &["k_dpmpp_sde"])
        .automatic(Schedule::Karras)
        .adds_noise(),
    class: None,
    edm: None,
    variant: None,
    grid: Grid::Midpoint,
    defaults: DEFAULTS,
    order: 2,
    visits: Some(|_, grid, train_sigmas| halved(grid, train_sigmas, |_, next| next)),
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(DpmSolverSde {
            sigmas: sigmas.clone(),
            start: None,
        })
    },
};

struct DpmSolverSde {
    sigmas: SigmaSchedule,
    /// In the middle of a step: the sample that it started from.
    start: Option<Sample>,
}

impl Solver for DpmSolverSde {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        let start = self.start.take();
        let from = start.as_ref().unwrap_or(now.sample);
        if i + 1 == self.sigmas.levels.len() {
            return Ok(Sample {
                x: toward(from, next, now)?,
                sigma: next,
            });
        }
        let (down, up) = ancestral(from.sigma, next);
        let x = combine(&[(1.0, &toward(from, down, now)?), (up, &noise()?)])?;
        if start.is_none() {
            self.start = Some(now.sample.clone());
        }
        Ok(Sample { x, sigma: next })
    }
}
