//! Trajectory consistency distillation (Zheng et al. 2024, algorithm 4, strategic stochastic
//! sampling): down the trajectory to (1 − γ) of the next timestep, then up to it by fresh noise. γ
//! is the request's `eta`.

use super::lcm::DEFAULTS;
use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, NoiseFn, Sample, SamplerSpec, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "tcd",
    about: "trajectory consistency, for models distilled so; --eta is its gamma",
    a1111: A1111Label::new("TCD", &[]),
    class: Some("TCDScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Distilled,
    defaults: Defaults {
        eta: 0.3,
        takes_eta: true,
        ..DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Tcd {
            sigmas: sigmas.clone(),
            gamma: config.eta,
        })
    },
};

struct Tcd {
    sigmas: SigmaSchedule,
    gamma: f64,
}

impl Solver for Tcd {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        // After the last step comes timestep 0, whatever the model says about its end.
        let target = self
            .sigmas
            .levels
            .get(i + 1)
            .map_or(0.0, |level| level.timestep);
        // diffusers multiplies in single precision before it cuts.
        let down = self
            .sigmas
            .sigma_at(((1.0 - self.gamma) as f32 * target as f32) as i64);
        let x = combine(&[(1.0, &now.x0), (down, &now.derivative()?)])?;
        if self.gamma == 0.0 || i + 1 == self.sigmas.levels.len() {
            return Ok(Sample { x, sigma: down });
        }
        let next = self.sigmas.sigma_at(target as i64);
        let up = (next * next - down * down).max(0.0).sqrt();
        Ok(Sample {
            x: combine(&[(1.0, &x), (up, &noise()?)])?,
            sigma: next,
        })
    }
}
