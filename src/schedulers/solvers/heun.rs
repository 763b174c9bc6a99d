//! Heun's method along dx/dσ (Karras et al. 2022, algorithm 1): Euler to the next level, then back
//! with the mean of both slopes. Two calls a step; the last step, to σ = 0, is Euler's.

use candle_core::Tensor;

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, Key, NoiseFn, SD_BETAS, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Solver, combine,
};
use crate::schedulers::{Grid, Level, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "heun",
    about: "Heun, second order; two calls a step",
    a1111: A1111Label::new("Heun", &["k_heun"]),
    class: Some("HeunDiscreteScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Continuous,
    defaults: Defaults {
        betas: SD_BETAS,
        lacks: &[Key::FinalSigma, Key::ZeroSnr],
        ..SIGMA_DEFAULTS
    },
    order: 2,
    visits: Some(visits),
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Heun {
            sigmas: sigmas.clone(),
            clip: config.clip_sample,
            start: None,
        })
    },
};

/// Each level but the first twice: reached, and corrected.
fn visits(_: &Config, grid: &[Level], _: &[f64]) -> Result<Vec<Level>> {
    Ok(grid[..1]
        .iter()
        .chain(grid[1..].iter().flat_map(|level| [level, level]))
        .copied()
        .collect())
}

struct Heun {
    sigmas: SigmaSchedule,
    clip: Option<f64>,
    /// In the middle of a step: the sample that it started from, and its slope.
    start: Option<(Sample, Tensor)>,
}

impl Solver for Heun {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let clipped = Denoised {
            sample: now.sample,
            x0: now.clipped(self.clip)?,
            output: now.output.clone(),
        };
        let slope = clipped.derivative()?;
        if let Some((start, first)) = self.start.take() {
            let half = 0.5 * (now.sample.sigma - start.sigma);
            let x = combine(&[(1.0, &start.x), (half, &first), (half, &slope)])?;
            return Ok(Sample {
                x,
                sigma: now.sample.sigma,
            });
        }
        let next = self.sigmas.sigma_after(i);
        let x = combine(&[(1.0, &now.sample.x), (next - now.sample.sigma, &slope)])?;
        self.start = Some((now.sample.clone(), slope));
        Ok(Sample { x, sigma: next })
    }
}
