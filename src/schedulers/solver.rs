//! Vocabulary of a step: the sample, the network's answer for it, and the trait of a sampler's
//! formula.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// A sample and its noise level: x = x₀ + σ n, or what [`super::Process`] makes of them.
#[derive(Clone)]
pub struct Sample {
    /// Latents `[b, c, h, w]`.
    pub x: Tensor,
    /// σ.
    pub sigma: f64,
}

/// Output of the network for a sample.
pub struct Denoised<'a> {
    /// The sample from which the network's input was made.
    pub sample: &'a Sample,
    /// Its estimate of the clean latents.
    pub x0: Tensor,
    /// Its raw output, after guidance.
    pub output: Tensor,
}

impl Denoised<'_> {
    /// The estimate of x₀ within ± `range`.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn clipped(&self, range: Option<f64>) -> Result<Tensor> {
        match range {
            Some(range) => Ok(self.x0.clamp(-range, range)?),
            None => Ok(self.x0.clone()),
        }
    }

    /// dx/dσ, which is the estimated noise: (x − x₀)/σ.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn derivative(&self) -> Result<Tensor> {
        combine(&[
            (1.0 / self.sample.sigma, &self.sample.x),
            (-1.0 / self.sample.sigma, &self.x0),
        ])
    }
}

/// Unit noise in the shape of the latents, drawn when asked.
pub type NoiseFn<'a> = &'a mut dyn FnMut() -> Result<Tensor>;

/// The formula of a sampler, with the state that it keeps between calls.
pub trait Solver {
    /// The sample after call `i` of the network.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn step(&mut self, i: usize, denoised: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample>;
}

/// Earlier estimates of a multistep sampler with the σ of each, newest last.
pub(crate) type History = Vec<(Tensor, f64)>;

/// Adds an entry to a history of at most `most` entries.
pub(super) fn remember(history: &mut History, entry: (Tensor, f64), most: usize) {
    history.push(entry);
    if history.len() > most {
        history.remove(0);
    }
}

/// Σ coefficient × tensor, in the tensors' precision.
///
/// # Errors
/// Tensor arithmetic (out of memory), or no term at all.
pub fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (coefficient, tensor) in terms {
        let term = (*tensor * *coefficient)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| Error::internal("a sum without terms"))
}
