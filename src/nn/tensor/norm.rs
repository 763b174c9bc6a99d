//! Group and layer normalisation, in single precision whatever the type of the tensor.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// `[b, c, h, w]` normalised over each of `groups` groups; with `silu`, also through x ·
/// sigmoid(x).
pub(in crate::nn) fn group_norm(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
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
pub(in crate::nn) fn layer_norm(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
) -> Result<Tensor> {
    Ok(candle_nn::ops::layer_norm(
        &x.contiguous()?,
        weight,
        bias,
        eps as f32,
    )?)
}
