//! DPM-Solver++ singlestep (Lu et al. 2022a, algorithms 1 and 2; 2022b, 2S): steps in groups of two
//! or three, each of which starts again from the group's first sample with all its estimates. One
//! call a step.

use candle_core::Tensor;

use super::dpm_solver::{Update, estimate};
use crate::error::Result;
use crate::schedulers::Algorithm;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, History, Key, NoiseFn, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Solver, remember,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "dpmpp_singlestep",
    about: "DPM-Solver++ singlestep, second order",
    a1111: A1111Label::new("DPM++ 2S", &[]),
    class: Some("DPMSolverSinglestepScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Multistep,
    defaults: Defaults {
        lower_order_final: false,
        lacks: &[Key::ClipSample, Key::Spacing, Key::ZeroSnr],
        ..SIGMA_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Singlestep {
            orders: orders(config, sigmas),
            sigmas: sigmas.clone(),
            algorithm: config.algorithm,
            heun_rule: config.heun_rule,
            history: History::new(),
            start: None,
        })
    },
};

struct Singlestep {
    sigmas: SigmaSchedule,
    /// The order of each call.
    orders: Vec<usize>,
    algorithm: Algorithm,
    heun_rule: bool,
    history: History,
    /// The first sample of the group.
    start: Option<Sample>,
}

/// Groups of rising order; what does not fill a group, or ends at σ = 0, ends in lower order.
fn orders(config: &Config, sigmas: &SigmaSchedule) -> Vec<usize> {
    let (order, calls) = (config.order, sigmas.levels.len());
    let mut orders: Vec<usize> = (0..calls).map(|i| i % order + 1).collect();
    let to_zero = sigmas.final_sigma == 0.0;
    let even = calls.is_multiple_of(order);
    if even && order > 1 && (config.lower_order_final || to_zero) {
        // A whole last group would leave no first-order step: 1 2 3 becomes 1 2 1, and 1 2 becomes
        // 1 1.
        orders[calls - 1] = 1;
    }
    if let (true, Some(last)) = (to_zero, orders.last_mut()) {
        *last = 1;
    }
    orders
}

impl Solver for Singlestep {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        remember(
            &mut self.history,
            (estimate(self.algorithm, now)?, now.sample.sigma),
            3,
        );
        let noise = if self.algorithm.adds_noise() {
            Some(noise()?)
        } else {
            None
        };
        // A run that starts in the middle may start in the middle of a group.
        let order = self.orders[i].min(self.history.len());
        let start = self
            .start
            .take()
            .filter(|_| order > 1)
            .unwrap_or_else(|| now.sample.clone());
        let next = self.sigmas.sigma_after(i);
        let update = Update::new(self.algorithm, start.sigma, next);
        let estimates = match self.history.as_slice() {
            [.., two, one, zero] if order == 3 => {
                third(&update, self.heun_rule, [zero, one, two], next)
            }
            [.., one, zero] if order == 2 => second(&update, self.heun_rule, [zero, one], next),
            [.., zero] => vec![(update.c0, &zero.0)],
            [] => Vec::new(),
        };
        let x = update.apply(&start, &estimates, noise.as_ref())?;
        self.start = Some(start);
        Ok(Sample { x, sigma: next })
    }
}

type Entry = (Tensor, f64);

/// D = D₁, D' = (D₀ − D₁)/r₀, where r₀ is the share of the group's way that the first step went.
fn second<'a>(
    update: &Update,
    heun: bool,
    [zero, one]: [&'a Entry; 2],
    next: f64,
) -> Vec<(f64, &'a Tensor)> {
    let r0 = (one.1 / zero.1).ln() / (one.1 / next).ln();
    let per = if heun { update.c1 } else { update.middle } / r0;
    vec![(update.c0 - per, &one.0), (per, &zero.0)]
}

/// With A = (D₁ − D₂)/r₁ and B = (D₀ − D₂)/r₀: D = D₂ and D' = B; by Heun's rule
/// D' = (r₀A − r₁B)/(r₀ − r₁) and D'' = 2(B − A)/(r₀ − r₁).
fn third<'a>(
    update: &Update,
    heun: bool,
    [zero, one, two]: [&'a Entry; 3],
    next: f64,
) -> Vec<(f64, &'a Tensor)> {
    let h = (two.1 / next).ln();
    let (r0, r1) = ((two.1 / zero.1).ln() / h, (two.1 / one.1).ln() / h);
    let (a, b) = if heun {
        let curve = 2.0 * update.c2;
        (
            (update.c1 * r0 - curve) / (r0 - r1) / r1,
            (curve - update.c1 * r1) / (r0 - r1) / r0,
        )
    } else {
        (0.0, update.c1 / r0)
    };
    vec![(update.c0 - a - b, &two.0), (a, &one.0), (b, &zero.0)]
}
