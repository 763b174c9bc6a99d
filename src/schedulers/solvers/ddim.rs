//! DDIM (Song et al. 2021, equation 12), with η for its stochastic form.

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, DISCRETE_DEFAULTS, Defaults, Denoised, Levels, NoiseFn, Sample,
    SamplerSpec, Solver, alpha, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "ddim",
    about: "DDIM; --eta adds noise",
    a1111: A1111Label::new("DDIM", &[]).own_timesteps(),
    class: Some("DDIMScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Discrete,
    defaults: Defaults {
        clip_sample: true,
        takes_eta: true,
        ..DISCRETE_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        let strides = config.levels == Levels::Scheduled;
        Box::new(Ddim {
            sigmas: sigmas.clone(),
            strides,
            eta: config.eta,
            clip: config.clip_sample,
        })
    },
};

struct Ddim {
    sigmas: SigmaSchedule,
    /// Every step is the stride of the spacing, not the way to the next of the listed timesteps.
    strides: bool,
    eta: f64,
    clip: Option<f64>,
}

impl Solver for Ddim {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let sigma = now.sample.sigma;
        let next = if self.strides {
            // diffusers steps by the stride whatever the spacing says, so the target is not always
            // the next level.
            self.sigmas
                .sigma_at(self.sigmas.levels[i].timestep as i64 - self.sigmas.stride as i64)
        } else {
            self.sigmas.sigma_after(i)
        };
        let std = self.eta * deviation(sigma, next) / alpha(next);
        let x0 = now.clipped(self.clip)?;
        let direction = (next * next - std * std).max(0.0).sqrt();
        let mut x = combine(&[(1.0, &x0), (direction, &now.derivative()?)])?;
        if self.eta > 0.0 {
            x = combine(&[(1.0, &x), (std, &noise()?)])?;
        }
        Ok(Sample { x, sigma: next })
    }
}

/// σ_η at η = 1, in the units of αx₀ + σ'n: √((1 − ᾱ')/(1 − ᾱ)) √(1 − ᾱ/ᾱ').
fn deviation(sigma: f64, next: f64) -> f64 {
    let (bar, bar_next) = (alpha(sigma).powi(2), alpha(next).powi(2));
    ((1.0 - bar_next) / (1.0 - bar) * (1.0 - bar / bar_next))
        .max(0.0)
        .sqrt()
}
