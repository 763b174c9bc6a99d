//! The one update that all DPM-Solvers share (Lu et al. 2022a, 2022b): an exponential integrator
//! over λ = −log σ. With estimates D of x₀ (dpmsolver++) or of the noise (dpmsolver) and h = λ' −
//! λ, in x = x₀ + σn:
//!
//! x' = keep x + c₀ D + c₁ D' + c₂ D'' + noise z, where D' and D'' are differences for one whole
//! step h.

use candle_core::Tensor;

use crate::error::Result;
use crate::schedulers::Algorithm;
use crate::schedulers::{Denoised, Sample, combine};

/// Coefficients of a step from one level to another.
pub(super) struct Update {
    keep: f64,
    /// Of the estimate itself.
    pub(super) c0: f64,
    /// Of its first difference by the midpoint rule.
    pub(super) middle: f64,
    /// Of its first difference by Heun's rule.
    pub(super) c1: f64,
    /// Of its second difference.
    pub(super) c2: f64,
    noise: f64,
}

impl Update {
    pub(super) fn new(algorithm: Algorithm, from: f64, to: f64) -> Self {
        let (ratio, h) = (to / from, (from / to).ln());
        // A step of no length has no slope, rather than 0/0.
        let over = |value: f64, by: f64| if by == 0.0 { 0.0 } else { value / by };
        match algorithm {
            Algorithm::DpmPlusPlus => {
                let c0 = 1.0 - ratio;
                let (c1, c2) = (1.0 - over(c0, h), 0.5 - over(h - c0, h * h));
                Self {
                    keep: ratio,
                    c0,
                    middle: 0.5 * c0,
                    c1,
                    c2,
                    noise: 0.0,
                }
            }
            Algorithm::SdePlusPlus => {
                let (c0, h) = (1.0 - ratio * ratio, 2.0 * h);
                // −½ is diffusers' own; a Taylor expansion has +½ and the other sign before the
                // rest, so that its third order is of second order at best.
                let (c1, c2) = (1.0 - over(c0, h), -0.5 - over(h - c0, h * h));
                Self {
                    keep: ratio * ratio,
                    c0,
                    middle: 0.5 * c0,
                    c1,
                    c2,
                    noise: to * c0.max(0.0).sqrt(),
                }
            }
            Algorithm::Dpm => Self::over_noise(from, to, h, 1.0),
            Algorithm::Sde => {
                let noise = (from * from - to * to).max(0.0).sqrt();
                Self {
                    noise,
                    ..Self::over_noise(from, to, h, 2.0)
                }
            }
        }
    }

    /// c₀ = −σ'(e^h − 1), c₁ = −σ'((e^h − 1)/h − 1), c₂ = −σ'((e^h − 1 − h)/h² − ½), twice for the
    /// SDE.
    fn over_noise(from: f64, to: f64, h: f64, times: f64) -> Self {
        let growth = (from - to) / to;
        let c0 = -times * (from - to);
        let (c1, c2) = if h == 0.0 {
            (0.0, 0.0)
        } else {
            (
                -times * to * (growth / h - 1.0),
                -times * to * ((growth - h) / (h * h) - 0.5),
            )
        };
        Self {
            keep: 1.0,
            c0,
            middle: 0.5 * c0,
            c1,
            c2,
            noise: 0.0,
        }
    }

    /// x' from the sample that the step starts from and the weighted estimates.
    pub(super) fn apply(
        &self,
        from: &Sample,
        estimates: &[(f64, &Tensor)],
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut terms = vec![(self.keep, &from.x)];
        terms.extend_from_slice(estimates);
        terms.extend(noise.map(|noise| (self.noise, noise)));
        combine(&terms)
    }
}

/// The estimate that the algorithm integrates, at this call: x₀ or the noise.
pub(super) fn estimate(algorithm: Algorithm, now: &Denoised<'_>) -> Result<Tensor> {
    if algorithm.over_noise() {
        now.derivative()
    } else {
        Ok(now.x0.clone())
    }
}
