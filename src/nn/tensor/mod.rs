//! Layers on candle tensors, for devices whose kernels candle has: maps are `[b, c, h, w]`, tokens `[b, n, c]`.

mod attention;
mod conv;
mod norm;

pub(super) use attention::attention;
pub(super) use conv::{ConvOptions, ConvTensors};
pub(super) use norm::{group_norm, layer_norm};

use candle_core::Tensor;

use super::linear::Activation;
use crate::error::Result;

/// y = activation(x W + b) for x `[b, n, in]`, W `[in, out]`.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let (b, n, c) = x.dims3()?;
    let y = x.reshape((b * n, c))?.matmul(weight)?.reshape((b, n, ()))?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    Ok(match activation {
        None => y,
        Some(Activation::QuickGelu) => (&y * candle_nn::ops::sigmoid(&(&y * 1.702)?)?)?,
        Some(Activation::Gelu) => y.gelu_erf()?,
    })
}

/// The first half of the channels times the exact GELU of the second.
pub(super) fn gate(y: &Tensor) -> Result<Tensor> {
    let half = y.dim(2)? / 2;
    let gate = y.narrow(2, half, half)?.contiguous()?.gelu_erf()?;
    Ok((y.narrow(2, 0, half)? * gate)?)
}
