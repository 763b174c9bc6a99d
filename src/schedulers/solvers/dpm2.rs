//! The midpoint rule along dx/dσ, its middle at the geometric mean of both levels (Karras et al.
//! 2022, algorithm 2, as KDPM2). Two calls a step; the last step, to σ = 0, is Euler's.

use crate::error::Result;
use crate::schedulers::train_sigmas::single;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, Key, NoiseFn, SD_BETAS, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Schedule, Solver, combine,
};
use crate::schedulers::{Grid, Level, SigmaSchedule, timestep_of};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "dpm2",
    about: "DPM2, second order; two calls a step",
    a1111: A1111Label::new("DPM2", &["k_dpm_2", "dpm_2"]).automatic(Schedule::Karras),
    class: Some("KDPM2DiscreteScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Midpoint,
    defaults: DEFAULTS,
    order: 2,
    visits: Some(|_, grid, train_sigmas| halved(grid, train_sigmas, |_, next| next)),
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(Dpm2 {
            sigmas: sigmas.clone(),
            start: None,
        })
    },
};

/// Defaults of the classes with calls in the middle of their steps.
pub(super) const DEFAULTS: Defaults = Defaults {
    betas: SD_BETAS,
    lacks: &[Key::ClipSample, Key::FinalSigma, Key::ZeroSnr],
    ..SIGMA_DEFAULTS
};

/// The grid with a level between each two: the geometric mean of σ and the step's `target(σ, σ')`,
/// in diffusers' single precision.
pub(super) fn halved(
    grid: &[Level],
    train_sigmas: &[f64],
    target: fn(f64, f64) -> f64,
) -> Result<Vec<Level>> {
    let middle = |pair: &[Level]| {
        let log = |sigma: f64| (sigma as f32).ln();
        let (from, to) = (
            log(pair[0].sigma),
            log(target(pair[0].sigma, pair[1].sigma)),
        );
        let sigma = f64::from((from - (from - to) * 0.5).exp());
        Level {
            sigma,
            timestep: single(timestep_of(sigma, train_sigmas)),
            kept: pair[1].sigma,
        }
    };
    Ok(grid[..1]
        .iter()
        .copied()
        .chain(grid.windows(2).flat_map(|pair| [middle(pair), pair[1]]))
        .collect())
}

struct Dpm2 {
    sigmas: SigmaSchedule,
    /// In the middle of a step: the sample that it started from.
    start: Option<Sample>,
}

impl Solver for Dpm2 {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        let start = self.start.take();
        let from = start.as_ref().unwrap_or(now.sample);
        let x = combine(&[(1.0, &from.x), (next - from.sigma, &now.derivative()?)])?;
        if start.is_none() {
            self.start = Some(now.sample.clone());
        }
        Ok(Sample { x, sigma: next })
    }
}
