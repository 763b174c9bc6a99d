//! Owns the view of weights as they are stored: f32, f16 or bf16 slices, widened a piece at a time.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Stored numbers of one of three types.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WeightSlice<'a> {
    /// 32 bits.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of an f32.
    Bf16(&'a [bf16]),
}

impl WeightSlice<'_> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            WeightSlice::F32(w) => w.len(),
            WeightSlice::F16(w) => w.len(),
            WeightSlice::Bf16(w) => w.len(),
        }
    }

    /// The numbers from `start` on, as many as `out` has, as f32.
    pub(super) fn widen(&self, start: usize, out: &mut [f32]) {
        let range = start..start + out.len();
        match self {
            WeightSlice::F32(w) => out.copy_from_slice(&w[range]),
            WeightSlice::F16(w) => w[range].convert_to_f32_slice(out),
            WeightSlice::Bf16(w) => w[range].convert_to_f32_slice(out),
        }
    }
}

/// Precision of weights in memory and of their products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Precision {
    /// f32 throughout.
    F32,
    /// Weights f16 in memory, widened a panel at a time next to the multiplication; arithmetic in
    /// f32.
    F16Weights,
    /// Weights and inputs of products rounded to bf16, sums in f32. Without a bf16 dot product in
    /// the machine only the weights are rounded.
    Bf16,
    /// Weights 8-bit with a scale per output channel, inputs 8-bit with a scale per row.
    /// Convolutions use `Bf16` instead.
    Int8,
}

/// Number of weights below which rounding is not worthwhile: no network of full size spends a
/// hundredth of its time in such layers, and the first and the last convolution of a network are
/// where it loses most.
const SMALL_LAYER: usize = 100_000;

impl Precision {
    /// Precision of a layer of `weights` weights.
    pub(crate) fn for_layer(self, weights: usize) -> Precision {
        match self {
            Precision::Bf16 | Precision::Int8 if weights < SMALL_LAYER => Precision::F32,
            Precision::F32 | Precision::F16Weights | Precision::Bf16 | Precision::Int8 => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_layers_of_full_size_are_rounded_and_smaller_ones_are_not() {
        assert_eq!(Precision::Bf16.for_layer(320 * 320), Precision::Bf16);
        assert_eq!(Precision::Int8.for_layer(320 * 4 * 9), Precision::F32);
        assert_eq!(Precision::F16Weights.for_layer(1), Precision::F16Weights);
    }
}
