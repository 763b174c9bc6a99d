//! DPM-Solver++ multistep (Lu et al. 2022b, algorithm 2) of second and third order, along the ODE
//! or the SDE, and its older form over the noise: differences of the estimates at the last calls.
//! Four samplers of one class.

use candle_core::Tensor;

use super::dpm_solver::{Update, estimate};
use crate::error::Result;
use crate::schedulers::Algorithm;
use crate::schedulers::{
    A1111Label, Config, Denoised, History, NoiseFn, SIGMA_DEFAULTS, Sample, SamplerSpec, Schedule,
    Solver, remember,
};
use crate::schedulers::{Grid, SigmaSchedule};

/// The row of one order and algorithm.
const fn row(
    name: &'static str,
    about: &'static str,
    a1111: A1111Label,
    variant: (Algorithm, usize),
) -> SamplerSpec {
    SamplerSpec {
        name,
        about,
        a1111,
        class: Some("DPMSolverMultistepScheduler"),
        edm: Some("EDMDPMSolverMultistepScheduler"),
        variant: Some(variant),
        grid: Grid::Multistep,
        defaults: SIGMA_DEFAULTS,
        order: 1,
        visits: None,
        solver: |config: &Config, sigmas: &SigmaSchedule| {
            Box::new(Multistep {
                sigmas: sigmas.clone(),
                config: config.clone(),
                history: History::new(),
            })
        },
    }
}

pub(super) static SECOND: SamplerSpec = row(
    "dpmpp_2m",
    "DPM-Solver++ multistep, second order",
    A1111Label::new("DPM++ 2M", &["k_dpmpp_2m", "dpm++2m"]).automatic(Schedule::Karras),
    (Algorithm::DpmPlusPlus, 2),
);
pub(super) static SECOND_SDE: SamplerSpec = row(
    "dpmpp_2m_sde",
    "DPM-Solver++ multistep, second order, adds noise",
    A1111Label::new("DPM++ 2M SDE", &["k_dpmpp_2m_sde"])
        .automatic(Schedule::Exponential)
        .adds_noise(),
    (Algorithm::SdePlusPlus, 2),
);
pub(super) static THIRD: SamplerSpec = row(
    "dpmpp_3m",
    "DPM-Solver++ multistep, third order",
    A1111Label::new("DPM++ 3M", &[]),
    (Algorithm::DpmPlusPlus, 3),
);
pub(super) static THIRD_SDE: SamplerSpec = row(
    "dpmpp_3m_sde",
    "DPM-Solver++ multistep, third order, adds noise",
    A1111Label::new("DPM++ 3M SDE", &["k_dpmpp_3m_sde"])
        .automatic(Schedule::Exponential)
        .adds_noise(),
    (Algorithm::SdePlusPlus, 3),
);

struct Multistep {
    sigmas: SigmaSchedule,
    config: Config,
    history: History,
}

impl Multistep {
    /// The order of call `i`, as far as the end of the noise schedule allows it.
    fn order(&self, i: usize) -> usize {
        let calls = self.sigmas.levels.len();
        let short = self.config.lower_order_final && calls < 15;
        let low_end = self.config.euler_at_final || short || self.sigmas.final_sigma == 0.0;
        match calls - i {
            1 if low_end => 1,
            2 if short => self.config.order.min(2),
            _ => self.config.order,
        }
    }
}

impl Solver for Multistep {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        let algorithm = self.config.algorithm;
        let (sigma, next) = (now.sample.sigma, self.sigmas.sigma_after(i));
        remember(&mut self.history, (estimate(algorithm, now)?, sigma), 3);
        let noise = if algorithm.adds_noise() {
            Some(noise()?)
        } else {
            None
        };
        let update = Update::new(algorithm, sigma, next);
        let order = self.order(i).min(self.history.len());
        let slope = if self.config.heun_rule {
            update.c1
        } else {
            update.middle
        };
        let estimates = match self.history.as_slice() {
            [.., two, one, zero] if order == 3 => third(&update, [zero, one, two], next),
            [.., one, zero] if order == 2 => second(&update, slope, [zero, one], next),
            [.., zero] => vec![(update.c0, &zero.0)],
            [] => Vec::new(),
        };
        let x = update.apply(now.sample, &estimates, noise.as_ref())?;
        Ok(Sample { x, sigma: next })
    }
}

type Entry = (Tensor, f64);

/// D' = (D₀ − D₁)/r₀ with r₀ = h₀/h.
fn second<'a>(
    update: &Update,
    slope: f64,
    [zero, one]: [&'a Entry; 2],
    next: f64,
) -> Vec<(f64, &'a Tensor)> {
    let per = slope * (zero.1 / next).ln() / (one.1 / zero.1).ln();
    vec![(update.c0 + per, &zero.0), (-per, &one.0)]
}

/// With A = (D₀ − D₁)/r₀ and B = (D₁ − D₂)/r₁: D' = A + r₀/(r₀ + r₁) (A − B), D'' = (A − B)/(r₀ +
/// r₁).
fn third<'a>(
    update: &Update,
    [zero, one, two]: [&'a Entry; 3],
    next: f64,
) -> Vec<(f64, &'a Tensor)> {
    let h = (zero.1 / next).ln();
    let (r0, r1) = ((one.1 / zero.1).ln() / h, (two.1 / one.1).ln() / h);
    let both = (update.c1 * r0 + update.c2) / (r0 + r1);
    let (a, b) = ((update.c1 + both) / r0, both / r1);
    vec![(update.c0 + a, &zero.0), (-a - b, &one.0), (b, &two.0)]
}
