//! Layers on candle tensors, for devices whose kernels candle has: maps are `[b, c, h, w]`, tokens
//! `[b, n, c]`.

mod attention;
mod conv;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(feature = "cudnn")]
mod cudnn;
mod fused;

pub(super) use attention::{KeyValues, self_attention};
pub(super) use conv::{ConvOptions, ConvTensors};

use candle_core::{DType, Tensor};

use super::shapes::Activation;
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
    let y = if as_they_lie && !x.is_contiguous() && x.transpose(1, 2)?.is_contiguous() {
        x.matmul(&weight.broadcast_left(b)?)?
    } else {
        x.reshape((b * n, c))?
            .matmul(&weight)?
            .reshape((b, n, ()))?
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

/// `[b, c, h, w]` normalised over each of `groups` groups, in single precision whatever its type;
/// with `silu`, also through x · sigmoid(x).
pub(super) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let grouped = x
        .to_dtype(DType::F32)?
        .reshape((b, groups, c / groups, h * w))?;
    // Channel by channel first: a device sums each row alone, and a group's would be few and long.
    let mean = |t: &Tensor| t.mean_keepdim(3)?.mean_keepdim(2);
    let centred = grouped.broadcast_sub(&mean(&grouped)?)?;
    let deviation = (mean(&centred.sqr()?)? + eps)?.sqrt()?;
    // γ/σ is small; the map itself is read once for it and once for β.
    let per_channel = |t: &Tensor| t.reshape((1, groups, c / groups, 1));
    let scale = per_channel(weight)?.broadcast_div(&deviation)?;
    let y = centred
        .broadcast_mul(&scale)?
        .broadcast_add(&per_channel(bias)?)?;
    let y = if silu { y.silu()? } else { y };
    Ok(y.to_dtype(x.dtype())?.reshape((b, c, h, w))?)
}

/// `[b, n, c]` normalised over its channels. candle's kernel reads and writes the tensor's type and
/// computes in single precision between.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    Ok(candle_nn::ops::layer_norm(
        &x.contiguous()?,
        weight,
        bias,
        eps as f32,
    )?)
}
