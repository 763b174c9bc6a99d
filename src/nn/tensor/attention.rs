//! Attention in one fused kernel where there is one, else in blocks of queries: scores are never all in memory.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// Scores kept at a time, in elements (64 MiB in single precision).
const SCORE_BUDGET: usize = 1 << 24;

/// softmax(q kᵀ/√d) v by heads; q `[b, n, c]`, k and v `[b, m, c]`. Softmax in single precision.
pub(in crate::nn) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    if let Some(mixed) = fused(q, k, v, heads, causal)? {
        return Ok(mixed);
    }
    let (b, n, c) = q.dims3()?;
    let m = k.dim(1)?;
    let d = c / heads;
    let split = |t: &Tensor, len: usize| t.reshape((b, len, heads, d))?.transpose(1, 2)?.contiguous();
    let scale = 1.0 / (d as f64).sqrt();
    let q = (split(&q.contiguous()?, n)?.to_dtype(DType::F32)? * scale)?;
    let k = split(&k.contiguous()?, m)?.to_dtype(DType::F32)?.transpose(2, 3)?.contiguous()?;
    let v = split(&v.contiguous()?, m)?;
    let rows = (SCORE_BUDGET / (b * heads * m)).clamp(1, n);
    let mut blocks = Vec::with_capacity(n.div_ceil(rows));
    for start in (0..n).step_by(rows) {
        let len = rows.min(n - start);
        let scores = q.narrow(2, start, len)?.contiguous()?.matmul(&k)?;
        let scores =
            if causal { scores.broadcast_add(&causal_mask(start, len, m, &scores)?)? } else { scores };
        let shares = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        blocks.push(shares.matmul(&v)?);
    }
    let mixed = Tensor::cat(&blocks, 2)?;
    Ok(mixed.transpose(1, 2)?.reshape((b, n, c))?.contiguous()?)
}

/// The same by FlashAttention (Dao 2023), which has half precision and heads of up to 256 channels on CUDA; nothing where
/// that does not fit.
#[cfg(feature = "flash-attn")]
fn fused(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Option<Tensor>> {
    const WIDEST: usize = 256;
    let d = q.dim(2)? / heads;
    let half = matches!(q.dtype(), DType::F16 | DType::BF16);
    if !q.device().is_cuda() || !half || !d.is_multiple_of(8) || d > WIDEST {
        return Ok(None);
    }
    let split = |t: &Tensor| t.contiguous()?.reshape((t.dim(0)?, t.dim(1)?, heads, d));
    let scale = 1.0 / (d as f32).sqrt();
    let mixed = candle_flash_attn::flash_attn(&split(q)?, &split(k)?, &split(v)?, scale, causal)?;
    Ok(Some(mixed.flatten_from(2)?))
}

#[cfg(not(feature = "flash-attn"))]
fn fused(_: &Tensor, _: &Tensor, _: &Tensor, _heads: usize, _causal: bool) -> Result<Option<Tensor>> {
    Ok(None)
}

/// 0 where key ≤ query, −∞ elsewhere, for queries `start..start + len`.
fn causal_mask(start: usize, len: usize, m: usize, like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = (start..start + len)
        .flat_map(|i| (0..m).map(move |j| if j <= i { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Ok(Tensor::from_vec(values, (len, m), like.device())?)
}
