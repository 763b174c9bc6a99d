//! Euler's method along dx/dσ (Karras et al. 2022, algorithm 2 without churn).

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Denoised, NoiseFn, SIGMA_DEFAULTS, Sample, SamplerSpec, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "euler",
    about: "Euler, first order",
    a1111: A1111Label::new("Euler", &["k_euler"]),
    class: Some("EulerDiscreteScheduler"),
    edm: Some("EDMEulerScheduler"),
    variant: None,
    grid: Grid::Continuous,
    defaults: SIGMA_DEFAULTS,
    order: 1,
    visits: None,
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(Euler {
            sigmas: sigmas.clone(),
        })
    },
};

struct Euler {
    sigmas: SigmaSchedule,
}

impl Solver for Euler {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        let x = combine(&[
            (1.0, &now.sample.x),
            (next - now.sample.sigma, &now.derivative()?),
        ])?;
        Ok(Sample { x, sigma: next })
    }
}
