//! DEIS (Zhang & Chen 2022, equation 15, in log ρ as diffusers): the estimates of the noise at the
//! last calls as a polynomial in log σ, integrated exactly over σ. It ends at the lowest level of
//! training, not at 0.

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, History, Key, NoiseFn, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Solver, combine, remember,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "deis",
    about: "DEIS multistep, second order",
    a1111: A1111Label::new("DEIS", &[]),
    class: Some("DEISMultistepScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Multistep,
    defaults: Defaults {
        final_sigma_min: true,
        repeats_last: true,
        lacks: &[Key::ClipSample, Key::FinalSigma, Key::ZeroSnr],
        ..SIGMA_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Deis {
            sigmas: sigmas.clone(),
            config: config.clone(),
            history: History::new(),
        })
    },
};

struct Deis {
    sigmas: SigmaSchedule,
    config: Config,
    history: History,
}

impl Deis {
    /// The order of call `i`: lower at the end of the noise schedule, when the run is short or goes
    /// to σ = 0.
    fn order(&self, i: usize) -> usize {
        let calls = self.sigmas.levels.len();
        let short = self.config.lower_order_final && calls < 15;
        match calls - i {
            1 if short || self.sigmas.final_sigma == 0.0 => 1,
            2 if short => self.config.order.min(2),
            _ => self.config.order,
        }
    }
}

impl Solver for Deis {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let (sigma, next) = (now.sample.sigma, self.sigmas.sigma_after(i));
        remember(
            &mut self.history,
            (now.derivative()?, sigma),
            self.config.order,
        );
        let order = self.order(i).min(self.history.len());
        let used = &self.history[self.history.len() - order..];
        let nodes: Vec<f64> = used.iter().map(|entry| entry.1).collect();
        let mut terms = vec![(1.0, &now.sample.x)];
        for (k, (noise, _)) in used.iter().enumerate() {
            terms.push((
                integral(&nodes, k, next) - integral(&nodes, k, sigma),
                noise,
            ));
        }
        Ok(Sample {
            x: combine(&terms)?,
            sigma: next,
        })
    }
}

/// ∫ Πⱼ≠ₖ (ln τ − ln σⱼ)/(ln σₖ − ln σⱼ) dτ at τ = t, for one, two or three nodes.
fn integral(nodes: &[f64], k: usize, t: f64) -> f64 {
    if t == 0.0 {
        return 0.0;
    }
    let log = t.ln();
    let others: Vec<f64> = nodes
        .iter()
        .enumerate()
        .filter(|(j, _)| *j != k)
        .map(|(_, s)| s.ln())
        .collect();
    let scale: f64 = others.iter().map(|other| nodes[k].ln() - other).product();
    match others.as_slice() {
        [c] => t * (log - 1.0 - c) / scale,
        [c, d] => t * (log * log - (2.0 + c + d) * log + 2.0 + c + d + c * d) / scale,
        _ => t,
    }
}
