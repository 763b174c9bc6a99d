//! DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2): second order over the last two estimates of x₀.

use candle_core::Tensor;

use super::{Config, Denoised, Draw, Row, SIGMA_DEFAULTS, Sample, Solver, combine};
use crate::error::Result;
use crate::sampler::schedule::{Grid, Ladder};

pub(super) static ROW: Row = Row {
    name: "dpmpp_2m",
    about: "DPM-Solver++ multistep, second order",
    class: "DPMSolverMultistepScheduler",
    variant: Some(("dpmsolver++", 2)),
    grid: Grid::Multistep,
    defaults: SIGMA_DEFAULTS,
    visits: None,
    solver: |config: &Config, ladder: &Ladder| {
        Box::new(DpmSolver2M { ladder: ladder.clone(), config: config.clone(), before: None })
    },
};

struct DpmSolver2M {
    ladder: Ladder,
    config: Config,
    /// The last estimate of x₀ and the σ it was made at.
    before: Option<(Tensor, f64)>,
}

impl DpmSolver2M {
    fn first_order(&self, i: usize) -> bool {
        let calls = self.ladder.levels.len();
        let last = i + 1 == calls;
        let low = self.config.euler_at_final
            || (self.config.lower_order_final && calls < 15)
            || self.ladder.final_sigma == 0.0;
        self.before.is_none() || (last && low)
    }
}

impl Solver for DpmSolver2M {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: Draw<'_>) -> Result<Sample> {
        let (sigma, next) = (now.sample.sigma, self.ladder.sigma_after(i));
        // In x = x₀ + σn, λ = −ln σ: x' = (σ'/σ) x + (1 − e^−h) D.
        let keep = next / sigma;
        let x = match &self.before {
            Some((before, sigma_before)) if !self.first_order(i) => {
                let (h, h_before) = ((sigma / next).ln(), (sigma_before / sigma).ln());
                let weight = slope_weight(h, self.config.heun_rule) * h / h_before;
                combine(&[(keep, &now.sample.x), (1.0 - keep + weight, &now.x0), (-weight, before)])?
            }
            _ => combine(&[(keep, &now.sample.x), (1.0 - keep, &now.x0)])?,
        };
        self.before = Some((now.x0.clone(), sigma));
        Ok(Sample { x, sigma: next })
    }
}

/// The weight of (x₀ − x₀ before): half of 1 − e^−h by the midpoint rule, (e^−h − 1)/h + 1 by Heun's.
fn slope_weight(h: f64, heun: bool) -> f64 {
    let decay = (-h).exp_m1();
    if heun { decay / h + 1.0 } else { -0.5 * decay }
}
