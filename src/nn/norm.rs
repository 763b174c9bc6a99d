//! Group and layer normalisation, always in single precision.

use candle_core::{DType, Tensor};

use super::map::{FeatureMap, Tokens};
use super::weights::Weights;
use crate::error::{Error, Kind, Result};

/// Group normalisation over channels (Wu & He 2018), y = (x − μ)/√(var + ε) · γ + β per group.
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Loads `weight` and `bias` of `channels` values.
    pub(crate) fn load(weights: &Weights, groups: usize, channels: usize, eps: f64) -> Result<Self> {
        if groups == 0 || channels % groups != 0 {
            return Err(Error::new(
                Kind::ModelFile,
                format!("config.json: `norm_num_groups` {groups} does not divide {channels} channels"),
            ));
        }
        let load = |name| weights.tensor(name, &[channels]).and_then(|t| Ok(t.to_dtype(DType::F32)?));
        Ok(Self { weight: load("weight")?, bias: load("bias")?, groups, eps })
    }

    /// The normalised map; with `silu`, also through x · sigmoid(x).
    pub(crate) fn forward(&self, x: &FeatureMap, silu: bool) -> Result<FeatureMap> {
        let shape = x.shape();
        let dtype = x.tensor.dtype();
        let grouped = x.tensor.to_dtype(DType::F32)?.reshape((shape.b, self.groups, ()))?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(2)?)?;
        let variance = centred.sqr()?.mean_keepdim(2)?;
        let normed = centred.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let per_channel = |t: &Tensor| t.reshape((1, shape.c, 1, 1));
        let y = normed
            .reshape((shape.b, shape.c, shape.h, shape.w))?
            .broadcast_mul(&per_channel(&self.weight)?)?
            .broadcast_add(&per_channel(&self.bias)?)?;
        let y = if silu { y.silu()? } else { y };
        Ok(FeatureMap { tensor: y.to_dtype(dtype)? })
    }
}

/// Layer normalisation over a token's channels (Ba et al. 2016).
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Loads `weight` and `bias` of `channels` values.
    pub(crate) fn load(weights: &Weights, channels: usize, eps: f64) -> Result<Self> {
        let load = |name| weights.tensor(name, &[channels]).and_then(|t| Ok(t.to_dtype(DType::F32)?));
        Ok(Self { weight: load("weight")?, bias: load("bias")?, eps })
    }

    /// The normalised tokens.
    pub(crate) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        let dtype = x.tensor.dtype();
        let x = x.tensor.to_dtype(DType::F32)?;
        let y = candle_nn::ops::layer_norm(&x, &self.weight, &self.bias, self.eps as f32)?;
        Ok(Tokens { tensor: y.to_dtype(dtype)? })
    }
}
