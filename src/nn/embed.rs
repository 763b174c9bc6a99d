//! Embeddings: rows of a table by id, and sinusoidal embeddings of a number.

use candle_core::{Device, Tensor};

use super::weights::Weights;
use crate::error::Result;

/// A table of `rows` vectors. It stays in the mapped file: only the rows that are asked for are
/// read.
pub(crate) struct Embedding {
    weights: Weights,
    rows: usize,
    width: usize,
}

impl Embedding {
    /// Checks `weight` `[rows, width]`.
    pub(crate) fn load(weights: &Weights, rows: usize, width: usize) -> Result<Self> {
        weights.values("weight", &[rows, width])?;
        Ok(Self {
            weights: weights.clone(),
            rows,
            width,
        })
    }

    /// The rows of `ids` as `[ids, width]` in single precision on the CPU.
    pub(crate) fn lookup(&self, ids: &[u32]) -> Result<Tensor> {
        self.lookup_with(ids, ExtraRows::NONE)
    }

    /// As [`Self::lookup`], with `extra` rows for ids beyond the table.
    pub(crate) fn lookup_with(&self, ids: &[u32], extra: ExtraRows<'_>) -> Result<Tensor> {
        let own: Vec<u32> = ids.iter().copied().filter(|id| *id < extra.first).collect();
        let own = self.weights.rows("weight", [self.rows, self.width], &own)?;
        let mut own = own.chunks(self.width);
        let row = |id: &u32| match id.checked_sub(extra.first) {
            None => own.next(),
            Some(place) => extra.rows.chunks(self.width).nth(place as usize),
        };
        let rows: Vec<f32> = ids.iter().filter_map(row).flatten().copied().collect();
        Ok(Tensor::from_vec(
            rows,
            (ids.len(), self.width),
            &Device::Cpu,
        )?)
    }
}

/// Rows that follow those of a table in one call.
#[derive(Clone, Copy)]
pub(crate) struct ExtraRows<'a> {
    /// The id of the first extra row; the ids of the table are smaller.
    pub(crate) first: u32,
    /// Values of the rows, one row after the other.
    pub(crate) rows: &'a [f32],
}

impl ExtraRows<'_> {
    /// No extra rows.
    pub(crate) const NONE: Self = Self {
        first: u32::MAX,
        rows: &[],
    };
}

/// Layout of a sinusoidal embedding: its width, the order of its halves and the fall of its
/// frequencies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sinusoid {
    /// Channels, half of them cosines.
    pub(crate) width: usize,
    /// `flip_sin_to_cos`: cosines first.
    pub(crate) cosine_first: bool,
    /// `freq_shift`: subtracted from the number of frequencies in the exponent.
    pub(crate) shift: f64,
}

impl Sinusoid {
    /// Sinusoidal embedding of `value` (Vaswani et al. 2017, section 3.5), in single precision as
    /// the models were trained.
    pub(crate) fn of(self, value: f64) -> Vec<f32> {
        let half = self.width / 2;
        let angle = |i: usize| {
            let exponent = -(10_000f64.ln() as f32) * i as f32 / (half as f64 - self.shift) as f32;
            exponent.exp() * value as f32
        };
        let sines = (0..half).map(|i| angle(i).sin());
        let cosines = (0..half).map(|i| angle(i).cos());
        let mut wave: Vec<f32> = if self.cosine_first {
            cosines.chain(sines).collect()
        } else {
            sines.chain(cosines).collect()
        };
        wave.resize(self.width, 0.0);
        wave
    }
}
