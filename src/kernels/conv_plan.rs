//! Owns the choice of algorithm for a convolution, by time, memory and rounding error.

use super::conv::{Geometry, Padding};
use super::isa::Isa;
use super::source::Precision;
use super::winograd_tiles::Tile;

/// Algorithm of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algo {
    /// A matrix product over pixels: kernel 1, stride 1, no padding.
    Pointwise,
    /// Implicit matrix product over a padded copy: any kernel and stride.
    Direct,
    /// Winograd's, in tiles of at most these errors. F(2x2, 3x3): 2.25 times fewer products;
    /// relative error 7e-7 in f32, 4e-3 in bf16. F(2x4, 3x3): 3 times fewer; 6e-3 in bf16. F(4x4,
    /// 3x3): 4 times fewer; 2e-6 in f32, 9e-3 in bf16, four times that of a direct convolution.
    Winograd(Tile),
}

/// Number of passes of an image through a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Passes {
    /// One per step: rounding errors come back as input.
    #[default]
    Many,
    /// One: a layer in bf16 may round as coarsely as the eye allows.
    Once,
}

/// The algorithm for a layer on `isa`.
///
/// Winograd for 3x3 kernels wherever it saves products, which it does not with few channels.
/// Kernels are transformed during the convolution, so that they cost no memory. Where the machine
/// multiplies bf16, F(2x4) in bf16 is faster than F(4x4) in f32; a network that runs once takes
/// F(4x4) in bf16.
pub(crate) fn plan(isa: Isa, geometry: &Geometry, precision: Precision, passes: Passes) -> Algo {
    let g = geometry;
    if g.kernel == 1 && g.stride == 1 && g.padding == Padding::default() {
        return Algo::Pointwise;
    }
    if g.kernel != 3 || g.stride != 1 || g.inputs < 32 || g.outputs < 32 {
        return Algo::Direct;
    }
    let narrow = matches!(precision, Precision::Bf16 | Precision::Int8) && isa.has_bf16();
    let many = narrow && passes == Passes::Many;
    Algo::Winograd(if many {
        Tile::TwoByFour
    } else {
        Tile::FourByFour
    })
}
