//! DDIM (Song et al. 2021, equation 12), with η for its stochastic form.

use super::{Config, Defaults, Denoised, Draw, Row, Sample, Solver, Spacing, alpha, combine};
use crate::error::Result;
use crate::sampler::schedule::{Grid, Ladder};

pub(super) static ROW: Row = Row {
    name: "ddim",
    about: "DDIM; --eta adds noise",
    class: "DDIMScheduler",
    variant: None,
    grid: Grid::Discrete,
    defaults: Defaults { spacing: Spacing::Leading, set_alpha_to_one: true, clips: true, clip_sample: true },
    visits: None,
    solver: |config: &Config, ladder: &Ladder| {
        Box::new(Ddim { ladder: ladder.clone(), eta: config.eta, clip: config.clip_sample })
    },
};

struct Ddim {
    ladder: Ladder,
    eta: f64,
    clip: Option<f64>,
}

impl Solver for Ddim {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: Draw<'_>) -> Result<Sample> {
        let sigma = now.sample.sigma;
        // diffusers steps by the stride whatever the spacing says, so the target is not always the next level.
        let target = self.ladder.levels[i].timestep as i64 - self.ladder.stride as i64;
        let next = self.ladder.sigma_at(target);
        let std = self.eta * deviation(sigma, next) / alpha(next);
        let x0 = match self.clip {
            Some(range) => now.x0.clamp(-range, range)?,
            None => now.x0.clone(),
        };
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
    ((1.0 - bar_next) / (1.0 - bar) * (1.0 - bar / bar_next)).max(0.0).sqrt()
}
