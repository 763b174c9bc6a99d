//! Attention layers: projections, heads and the softmax between. Scores are never all in memory.

use candle_core::{D, DType, Tensor};

use super::linear::Linear;
use super::map::Tokens;
use super::weights::Weights;
use crate::error::{Error, Kind, Result};

/// Scores kept at a time, in elements (64 MiB in single precision).
const SCORE_BUDGET: usize = 1 << 24;

/// The names under which a file keeps the four projections.
pub(crate) struct Projections {
    pub(crate) q: Weights,
    pub(crate) k: Weights,
    pub(crate) v: Weights,
    pub(crate) out: Weights,
    /// Whether q, k and v have a bias; the output always has.
    pub(crate) bias: bool,
}

/// Attention of a sequence to itself.
pub(crate) struct SelfAttention {
    qkv: Linear,
    out: Linear,
    heads: usize,
    causal: bool,
}

impl SelfAttention {
    /// Loads the projections of `channels` channels in `heads` heads.
    pub(crate) fn load(names: &Projections, channels: usize, heads: usize) -> Result<Self> {
        divides(heads, channels)?;
        let parts = [names.q.clone(), names.k.clone(), names.v.clone()];
        Ok(Self {
            qkv: Linear::stacked(&parts, channels, channels, names.bias)?,
            out: Linear::load(&names.out, channels, channels, true)?,
            heads,
            causal: false,
        })
    }

    /// The same layer, where a token sees only itself and those before it.
    pub(crate) fn causal(self) -> Self {
        Self { causal: true, ..self }
    }

    /// out(attention(x)) + residual.
    pub(crate) fn forward_add(&self, x: &Tokens, residual: &Tokens) -> Result<Tokens> {
        let qkv = self.qkv.forward(x)?.tensor;
        let c = qkv.dim(D::Minus1)? / 3;
        let part = |i: usize| qkv.narrow(2, i * c, c);
        let mixed = attention(&part(0)?, &part(1)?, &part(2)?, self.heads, self.causal)?;
        self.out.forward_add(&mixed, residual)
    }
}

/// Attention of a sequence to another.
pub(crate) struct CrossAttention {
    q: Linear,
    kv: Linear,
    out: Linear,
    heads: usize,
}

/// Keys and values of a context, made once for all steps.
pub(crate) struct KeyValues {
    k: Tensor,
    v: Tensor,
}

impl CrossAttention {
    /// Loads the projections: queries of `channels`, keys and values from `context` channels.
    pub(crate) fn load(names: &Projections, channels: usize, context: usize, heads: usize) -> Result<Self> {
        divides(heads, channels)?;
        Ok(Self {
            q: Linear::load(&names.q, channels, channels, names.bias)?,
            kv: Linear::stacked(&[names.k.clone(), names.v.clone()], context, channels, names.bias)?,
            out: Linear::load(&names.out, channels, channels, true)?,
            heads,
        })
    }

    /// Keys and values of `context`.
    pub(crate) fn key_values(&self, context: &Tokens) -> Result<KeyValues> {
        let kv = self.kv.forward(context)?.tensor;
        let c = kv.dim(D::Minus1)? / 2;
        Ok(KeyValues { k: kv.narrow(2, 0, c)?, v: kv.narrow(2, c, c)? })
    }

    /// out(attention(x, context)) + residual.
    pub(crate) fn forward_add(&self, x: &Tokens, context: &KeyValues, residual: &Tokens) -> Result<Tokens> {
        let q = self.q.forward(x)?.tensor;
        let mixed = attention(&q, &context.k, &context.v, self.heads, false)?;
        self.out.forward_add(&mixed, residual)
    }
}

fn divides(heads: usize, channels: usize) -> Result<()> {
    if heads > 0 && channels % heads == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::ModelFile, format!("config.json: {heads} heads do not divide {channels} channels")))
}

/// softmax(q kᵀ/√d) v by heads; q `[b, n, c]`, k and v `[b, m, c]`. Softmax in single precision.
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tokens> {
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
    Ok(Tokens { tensor: mixed.transpose(1, 2)?.reshape((b, n, c))?.contiguous()? })
}

/// 0 where key ≤ query, −∞ elsewhere, for queries `start..start + len`.
fn causal_mask(start: usize, len: usize, m: usize, like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = (start..start + len)
        .flat_map(|i| (0..m).map(move |j| if j <= i { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Ok(Tensor::from_vec(values, (len, m), like.device())?)
}
