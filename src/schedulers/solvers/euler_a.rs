//! Ancestral Euler: each step goes down below the next level and back up by fresh noise
//! (k-diffusion).

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, Key, NoiseFn, SIGMA_DEFAULTS, Sample, SamplerSpec,
    Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "euler_a",
    about: "Euler ancestral, adds noise at each step",
    a1111: A1111Label::new(
        "Euler a",
        &["k_euler_a", "k_euler_ancestral", "euler_ancestral"],
    )
    .adds_noise(),
    class: Some("EulerAncestralDiscreteScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Continuous,
    defaults: Defaults {
        lacks: &[Key::ClipSample, Key::FinalSigma, Key::Respacing],
        ..SIGMA_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(EulerAncestral {
            sigmas: sigmas.clone(),
        })
    },
};

struct EulerAncestral {
    sigmas: SigmaSchedule,
}

impl Solver for EulerAncestral {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let sigma = now.sample.sigma;
        let next = self.sigmas.sigma_after(i);
        let (down, up) = ancestral(sigma, next);
        let x = combine(&[
            (1.0, &now.sample.x),
            (down - sigma, &now.derivative()?),
            (up, &noise()?),
        ])?;
        Ok(Sample { x, sigma: next })
    }
}

/// σ_down and σ_up of a step from `sigma` to `next`: σ_down² + σ_up² = next².
pub(super) fn ancestral(sigma: f64, next: f64) -> (f64, f64) {
    let up = next * ((sigma * sigma - next * next).max(0.0)).sqrt() / sigma;
    ((next * next - up * up).max(0.0).sqrt(), up)
}
