//! Owns the choice of algorithm for a convolution: what each costs in time, memory and errors.

use super::conv::{Geometry, Padding};
use super::isa::Isa;
use super::source::Precision;

/// How a convolution is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algo {
    /// A matrix product over pixels: kernel 1, stride 1, no padding.
    Pointwise,
    /// Implicit matrix product over a padded copy: any kernel and stride.
    Direct,
    /// Winograd F(2x2, 3x3): 2.25 times fewer products, weights 1.78 times larger; relative error 7e-7 in
    /// f32, 4e-3 in bf16.
    WinogradF2,
    /// Winograd F(4x4, 3x3) in f32 whatever the precision: 4 times fewer products, weights 4 times larger; relative
    /// error 2e-6.
    WinogradF4,
    /// The same in bf16 where the precision is, with an error of 9e-3 there: four times that of a direct convolution.
    WinogradF4Narrow,
}

/// What a network may cost beside time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trade {
    /// Bytes.
    pub memory: Memory,
    /// Errors.
    pub passes: Passes,
}

/// How often a picture goes through a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Passes {
    /// Every step: its errors come back as input.
    #[default]
    Many,
    /// Once: a layer in bf16 may round as coarsely as the eye allows.
    Once,
}

/// What packed weights may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Memory {
    /// Winograd wherever it is faster.
    Fast,
    /// Winograd where a megabyte of weights saves the most time: the time saved grows with the pixels, the
    /// weights do not.
    #[default]
    Balanced,
    /// Winograd on the largest maps only, whose layers are narrow.
    Small,
}

/// The algorithm for a layer that is mostly given outputs of `size` (rows, columns) an image, on `isa`.
///
/// In f32 F(4x4) down to 16x16 and F(2x2) below (`Fast`), or F(4x4) down to 32x32 and direct below (`Balanced`). Where
/// the machine multiplies bf16, F(2x2) is faster than F(4x4) in f32 and takes less than half of its memory: down to
/// 16x16 (`Balanced`); in a network that runs once F(4x4) in bf16 down to 32x32. Few channels leave the transforms
/// without products to save, and go direct.
pub(crate) fn plan(
    isa: Isa,
    geometry: &Geometry,
    size: (usize, usize),
    precision: Precision,
    trade: Trade,
) -> Algo {
    let g = geometry;
    if g.kernel == 1 && g.stride == 1 && g.padding == Padding::default() {
        return Algo::Pointwise;
    }
    if g.kernel != 3 || g.stride != 1 || g.inputs < 32 || g.outputs < 32 {
        return Algo::Direct;
    }
    let narrow = matches!(precision, Precision::Bf16 | Precision::Int8) && isa.has_bf16();
    let (four, four_from, two_from) = match (narrow, trade.passes, trade.memory) {
        (true, Passes::Many, Memory::Fast) => (Algo::WinogradF2, 0, 0),
        (true, Passes::Many, Memory::Balanced) => (Algo::WinogradF2, 16, 16),
        (true, Passes::Many, Memory::Small) => (Algo::WinogradF2, 64, 64),
        (true, Passes::Once, _) => (Algo::WinogradF4Narrow, 32, 16),
        (false, _, Memory::Fast) => (Algo::WinogradF4, 16, 0),
        (false, _, Memory::Balanced) => (Algo::WinogradF4, 32, 32),
        (false, _, Memory::Small) => (Algo::WinogradF4, 64, 64),
    };
    let at_least = |side: usize| size.0 * size.1 >= side * side;
    match (at_least(four_from), at_least(two_from)) {
        (true, _) => four,
        (false, true) => Algo::WinogradF2,
        (false, false) => Algo::Direct,
    }
}
