//! Attention in one fused kernel where the device has one, else in blocks of queries: the whole
//! score matrix is never in memory.

use candle_core::{DType, Tensor};

use super::fused;
use crate::error::{Error, Result};

/// Scores kept at a time, in elements (64 MiB in single precision).
const SCORE_BUDGET: usize = 1 << 24;

/// Keys and values of a sequence as their kernel reads them, made once for any number of queries.
pub(in crate::nn) struct KeyValues {
    /// In the kernel's form; `heads` heads of `[b, m, heads · d]`.
    keys: Tensor,
    values: Tensor,
    heads: usize,
    causal: bool,
    kernel: Kernel,
}

/// Kernel that computes the attention.
#[derive(Clone, Copy)]
enum Kernel {
    Fused(fused::Kernel),
    /// Products and softmax by blocks of queries.
    Blocks,
}

impl KeyValues {
    /// Converts `[b, m, 2 c]`, keys and values side by side, in `heads` heads.
    pub(in crate::nn) fn new(both: &Tensor, heads: usize) -> Result<Self> {
        let [keys, values] = by_heads(both, heads)?;
        Self::of(&keys, &values, false)
    }

    /// Converts views `[b, m, heads, d]`.
    fn of(keys: &Tensor, values: &Tensor, causal: bool) -> Result<Self> {
        let heads = keys.dim(2)?;
        if let Some(kernel) = fused::kernel(keys)? {
            let (keys, values) = kernel.prepared(keys, values)?;
            return Ok(Self {
                keys,
                values,
                heads,
                causal,
                kernel: Kernel::Fused(kernel),
            });
        }
        let keys = keys.transpose(1, 2)?.to_dtype(DType::F32)?.contiguous()?;
        let values = values.transpose(1, 2)?.contiguous()?;
        Ok(Self {
            keys,
            values,
            heads,
            causal,
            kernel: Kernel::Blocks,
        })
    }

    /// softmax(q kᵀ/√d) v by heads for q `[b, n, c]`. Softmax in single precision.
    pub(in crate::nn) fn answer(&self, q: &Tensor) -> Result<Tensor> {
        let [q] = by_heads(q, self.heads)?;
        self.mixed(&q)
    }

    /// softmax(q kᵀ/√d) v for a view `[b, n, heads, d]` of the queries.
    fn mixed(&self, q: &Tensor) -> Result<Tensor> {
        let scale = 1.0 / (q.dim(3)? as f64).sqrt();
        match self.kernel {
            Kernel::Fused(kernel) => {
                kernel.mixed(q, &self.keys, &self.values, scale as f32, self.causal)
            }
            Kernel::Blocks => self.by_blocks(q, scale),
        }
    }

    fn by_blocks(&self, q: &Tensor, scale: f64) -> Result<Tensor> {
        let (b, n, heads, d) = q.dims4()?;
        let m = self.keys.dim(2)?;
        let q = (q.transpose(1, 2)?.to_dtype(DType::F32)? * scale)?.contiguous()?;
        let rows = (SCORE_BUDGET / (b * heads * m)).clamp(1, n);
        let mut blocks = Vec::with_capacity(n.div_ceil(rows));
        for start in (0..n).step_by(rows) {
            let len = rows.min(n - start);
            let scores = fused::scores(
                &q.narrow(2, start, len)?,
                &self.keys.t()?,
                self.values.dtype(),
            )?;
            let scores = if self.causal {
                scores.broadcast_add(&causal_mask(start, len, m, &scores)?)?
            } else {
                scores
            };
            let shares =
                candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(self.values.dtype())?;
            blocks.push(shares.matmul(&self.values)?);
        }
        Ok(Tensor::cat(&blocks, 2)?
            .transpose(1, 2)?
            .reshape((b, n, heads * d))?)
    }
}

/// Attention of a sequence to itself: `qkv` `[b, n, 3 c]` are its queries, keys and values side by
/// side.
pub(in crate::nn) fn self_attention(qkv: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    let [q, keys, values] = by_heads(qkv, heads)?;
    KeyValues::of(&keys, &values, causal)?.mixed(&q)
}

/// The parts of `[b, n, N · heads · d]` as views `[b, n, heads, d]`.
fn by_heads<const N: usize>(stacked: &Tensor, heads: usize) -> Result<[Tensor; N]> {
    let (b, n, c) = stacked.dims3()?;
    let stacked = stacked.reshape((b, n, N, heads, c / (N * heads)))?;
    let parts = (0..N)
        .map(|i| stacked.narrow(2, i, 1)?.squeeze(2))
        .collect::<candle_core::Result<Vec<_>>>()?;
    parts
        .try_into()
        .map_err(|_| Error::internal("another number of parts"))
}

/// 0 where key ≤ query, −∞ elsewhere, for queries `start..start + len`.
fn causal_mask(start: usize, len: usize, m: usize, like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = (start..start + len)
        .flat_map(|i| (0..m).map(move |j| if j <= i { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Ok(Tensor::from_vec(values, (len, m), like.device())?)
}
