//! Layers on candle tensors, for devices whose kernels candle has: maps are `[b, c, h, w]`, tokens
//! `[b, n, c]`.

mod attention;
mod conv;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(feature = "cudnn")]
mod cudnn;
mod fused;
mod norm;

pub(super) use attention::{KeyValues, self_attention};
pub(super) use conv::{ConvOptions, ConvTensors};
pub(super) use norm::{group_norm, layer_norm};

use candle_core::Tensor;

use super::linear::Activation;
use crate::error::Result;

/// y = activation(x Wᵀ + b) for x `[b, n, in]`, W `[out, in]`. A map's tokens lie channel by
/// channel; the product reads them as they are.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let (b, n, c) = x.dims3()?;
    let weight = weight.t()?;
    // candle 0.11 on the processor takes several matrices by one for rows of a single one, in
    // whatever order they lie.
    let as_they_lie = b == 1 || !x.device().is_cpu();
    let y = match as_they_lie && !x.is_contiguous() && x.transpose(1, 2)?.is_contiguous() {
        true => x.matmul(&weight.broadcast_left(b)?)?,
        false => x
            .reshape((b * n, c))?
            .matmul(&weight)?
            .reshape((b, n, ()))?,
    };
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
    let gate = y.narrow(2, half, half)?.gelu_erf()?;
    Ok((y.narrow(2, 0, half)? * gate)?)
}
