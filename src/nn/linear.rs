//! Linear layers over tokens, with the activation or the residual that follows.

use candle_core::Tensor;

use super::map::Tokens;
use super::weights::Weights;
use crate::error::Result;
use crate::named::named_enum;

named_enum! {
    /// What follows a linear layer; the names are those of `hidden_act` in config.json.
    pub enum Activation("activation") {
        /// x · sigmoid(1.702 x), OpenAI's CLIP.
        QuickGelu = "quick_gelu",
        /// x · Φ(x), exact.
        Gelu = "gelu",
    }
}

/// y = x Wᵀ + b.
pub(crate) struct Linear {
    /// `[in, out]`.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Loads `weight` `[output, input]` (or `[output, input, 1, 1]`) and, with `bias`, `bias`.
    pub(crate) fn load(weights: &Weights, input: usize, output: usize, bias: bool) -> Result<Self> {
        Self::stacked(std::slice::from_ref(weights), input, output, bias)
    }

    /// Several layers over the same input as one, outputs side by side; each of `output` channels.
    pub(crate) fn stacked(parts: &[Weights], input: usize, output: usize, bias: bool) -> Result<Self> {
        let matrix = |w: &Weights| w.reshaped("weight", &[&[output, input], &[output, input, 1, 1]]);
        let matrices = parts.iter().map(matrix).collect::<Result<Vec<_>>>()?;
        let bias = match bias {
            true => {
                let vectors =
                    parts.iter().map(|w| w.tensor("bias", &[output])).collect::<Result<Vec<_>>>()?;
                Some(Tensor::cat(&vectors, 0)?)
            }
            false => None,
        };
        Ok(Self { weight: Tensor::cat(&matrices, 0)?.t()?.contiguous()?, bias })
    }

    /// x Wᵀ + b.
    pub(crate) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        let (b, n, c) = x.dims();
        let y = x.tensor.reshape((b * n, c))?.matmul(&self.weight)?.reshape((b, n, ()))?;
        let tensor = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        Ok(Tokens { tensor })
    }

    /// x Wᵀ + b + residual.
    pub(crate) fn forward_add(&self, x: &Tokens, residual: &Tokens) -> Result<Tokens> {
        self.forward(x)?.add(residual)
    }

    /// activation(x Wᵀ + b).
    pub(crate) fn forward_act(&self, x: &Tokens, activation: Activation) -> Result<Tokens> {
        let y = self.forward(x)?.tensor;
        let tensor = match activation {
            Activation::QuickGelu => (&y * candle_nn::ops::sigmoid(&(&y * 1.702)?)?)?,
            Activation::Gelu => y.gelu_erf()?,
        };
        Ok(Tokens { tensor })
    }
}

/// Gated linear unit with an exact GELU gate (Shazeer 2020): split x Wᵀ + b into a, g; a · gelu(g).
pub(crate) struct Geglu {
    both: Linear,
    half: usize,
}

impl Geglu {
    /// Loads `weight` `[2·output, input]` and `bias`.
    pub(crate) fn load(weights: &Weights, input: usize, output: usize) -> Result<Self> {
        Ok(Self { both: Linear::load(weights, input, 2 * output, true)?, half: output })
    }

    /// a · gelu(g).
    pub(crate) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        let y = self.both.forward(x)?.tensor;
        let value = y.narrow(2, 0, self.half)?;
        let gate = y.narrow(2, self.half, self.half)?.contiguous()?.gelu_erf()?;
        Ok(Tokens { tensor: (value * gate)? })
    }
}
