//! Group and layer normalisation, in single precision whatever the tensor's.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// `[b, c, h, w]` normalised over each of `groups` groups; with `silu`, also through x · sigmoid(x).
pub(in crate::nn) fn group_norm(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let grouped = x.to_dtype(DType::F32)?.reshape((b, groups, ()))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(2)?)?;
    let variance = centred.sqr()?.mean_keepdim(2)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let per_channel = |t: &Tensor| t.reshape((1, c, 1, 1));
    let y = normed
        .reshape((b, c, h, w))?
        .broadcast_mul(&per_channel(weight)?)?
        .broadcast_add(&per_channel(bias)?)?;
    let y = if silu { y.silu()? } else { y };
    Ok(y.to_dtype(x.dtype())?)
}

/// `[b, n, c]` normalised over its channels.
pub(in crate::nn) fn layer_norm(x: &Tensor, (weight, bias): (&Tensor, &Tensor), eps: f64) -> Result<Tensor> {
    let y = candle_nn::ops::layer_norm(&x.to_dtype(DType::F32)?.contiguous()?, weight, bias, eps as f32)?;
    Ok(y.to_dtype(x.dtype())?)
}
