//! Linear multistep over dx/dσ (k-diffusion): the polynomial through the last four derivatives,
//! integrated exactly.

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, History, Key, NoiseFn, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Solver, combine, remember,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "lms",
    about: "linear multistep, fourth order",
    a1111: A1111Label::new("LMS", &["k_lms"]),
    class: Some("LMSDiscreteScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Continuous,
    defaults: Defaults {
        lacks: &[
            Key::ClipSample,
            Key::FinalSigma,
            Key::ZeroSnr,
            Key::KarrasEnds,
        ],
        ..SIGMA_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(Lms {
            sigmas: sigmas.clone(),
            slopes: History::new(),
        })
    },
};

const ORDER: usize = 4;

struct Lms {
    sigmas: SigmaSchedule,
    slopes: History,
}

impl Solver for Lms {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        remember(
            &mut self.slopes,
            (now.derivative()?, now.sample.sigma),
            ORDER,
        );
        // The nodes are those of the whole noise schedule: a run that starts in the middle uses the
        // weights of a full history from its first step on and leaves out the calls before its
        // start, as diffusers does.
        let nodes: Vec<f64> = (0..ORDER.min(i + 1))
            .map(|back| self.sigmas.levels[i - back].sigma)
            .collect();
        let mut terms = vec![(1.0, &now.sample.x)];
        for (k, (slope, _)) in self.slopes.iter().rev().enumerate() {
            terms.push((weight(&nodes, k, next), slope));
        }
        Ok(Sample {
            x: combine(&terms)?,
            sigma: next,
        })
    }
}

/// ∫ Πⱼ≠ₖ (τ − σⱼ)/(σₖ − σⱼ) dτ from σ₀ to `next`. Gauss's rule of two nodes is exact for the
/// cubics that occur.
fn weight(nodes: &[f64], k: usize, next: f64) -> f64 {
    let (middle, half) = (0.5 * (nodes[0] + next), 0.5 * (next - nodes[0]));
    let basis = |tau: f64| {
        let others = nodes.iter().enumerate().filter(|(j, _)| *j != k);
        others
            .map(|(_, node)| (tau - node) / (nodes[k] - node))
            .product::<f64>()
    };
    let offset = half / 3f64.sqrt();
    half * (basis(middle - offset) + basis(middle + offset))
}
