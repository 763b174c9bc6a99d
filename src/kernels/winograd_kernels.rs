//! Owns the kernels of a Winograd convolution: stored as in the checkpoint, nine numbers each, and
//! transformed a piece at a time just before their multiplication.
//!
//! Transformed kernels take 1.8 (F(2x2)) or four times (F(4x4)) as much memory, and reading that
//! much costs more than the arithmetic of the transform: ninety operations for sixteen kernels of
//! F(4x4), which are then multiplied with at least eight tiles in each of thirty-six points.

use super::Cpu;
use super::geometry::ConvWeights;
use super::isa::Isa;
use super::panels::{LaneKind, PanelFormat, Panels, Precision, Slab, Stored, WeightSlice};
use super::simd::{Kernel, Simd, prefetch};
use super::winograd_tiles::{F2, F4, Lines, Tile};
use half::{bf16, f16};
use std::ops::Range;

/// Prefetch distance in vectors: the transform waits for kernels longer than it computes.
const AHEAD: usize = 8;

/// The kernels of a layer.
pub(super) struct WinogradKernels {
    /// [panel][tap][input][column]; inputs are padded to whole vectors.
    plain: Panels,
    /// Lanes of the transformed kernels.
    kind: LaneKind,
}

impl WinogradKernels {
    /// Packs `weights`; kernels that the checkpoint keeps in 16 bits stay as they are, others are
    /// rounded to f16 where the precision is not f32.
    pub(super) fn pack(
        cpu: &Cpu,
        weights: &ConvWeights<'_>,
        precision: Precision,
    ) -> WinogradKernels {
        let g = weights.geometry;
        let narrow = matches!(precision, Precision::Bf16 | Precision::Int8);
        let kind = if narrow && cpu.isa().has_bf16() {
            LaneKind::Bf16
        } else {
            LaneKind::F32
        };
        let format = match (weights.kernels, precision) {
            (WeightSlice::Bf16(_), _) => PanelFormat::Bf16,
            (WeightSlice::F32(_), Precision::F32) => PanelFormat::F32,
            (WeightSlice::F32(_) | WeightSlice::F16(_), _) => PanelFormat::F16,
        };
        WinogradKernels {
            plain: weights.pack(cpu, g.inputs.next_multiple_of(cpu.isa().width()), format),
            kind,
        }
    }

    /// The instruction set that the kernels are packed for.
    pub(super) fn isa(&self) -> Isa {
        self.plain.isa
    }

    /// Panels of columns.
    pub(super) fn panels(&self) -> usize {
        self.plain.count
    }

    /// Columns of a panel.
    pub(super) fn columns(&self) -> usize {
        self.plain.columns
    }

    /// Output channels, padded to whole panels.
    pub(super) fn outputs(&self) -> usize {
        self.plain.count * self.plain.columns
    }

    /// Input channels, padded to whole vectors.
    pub(super) fn inputs(&self) -> usize {
        self.plain.depth
    }

    /// Lanes of a transformed tile.
    pub(super) fn kind(&self) -> LaneKind {
        self.kind
    }

    /// Lanes of a pixel's inputs.
    pub(super) fn depth(&self) -> usize {
        self.inputs() / self.kind.count()
    }

    /// Transforms lanes `piece` of a panel's inputs to [point][lane][column], points `point_stride`
    /// lanes apart.
    ///
    /// # Panics
    /// If `out` does not hold them, or the panel has no such lanes.
    pub(super) fn transform(
        &self,
        tile: Tile,
        panel: usize,
        piece: &Range<usize>,
        point_stride: usize,
        out: &mut [f32],
    ) {
        let count = self.kind.count();
        let slab = Slab {
            first_tap: 0,
            taps: 9,
            from: piece.start * count,
            depth: piece.len() * count,
        };
        let lanes = piece.len() * self.plain.columns;
        assert!(lanes <= point_stride && (tile.points() - 1) * point_stride + lanes <= out.len());
        let (kernels, tap_stride) = self.plain.stored(panel, slab);
        self.plain.isa.run_bf16(Transform {
            tile,
            kind: self.kind,
            kernels,
            tap_stride,
            rows: piece.len(),
            columns: self.plain.columns,
            to: out.as_mut_ptr(),
            point_stride,
        });
    }
}

/// U = G g G^T for every kernel of a piece, whose pointers the maker vouches for.
struct Transform {
    tile: Tile,
    kind: LaneKind,
    /// [tap][row of numbers][column]; `rows` rows of lanes.
    kernels: Stored,
    tap_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    point_stride: usize,
}

impl Kernel for Transform {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the maker vouches for the pointers.
        unsafe {
            match self.kernels {
                Stored::F32(from) => self.by_tile(s, from),
                Stored::F16(from) => self.by_tile(s, from.cast::<f16>()),
                Stored::Bf16(from) => self.by_tile(s, from.cast::<bf16>()),
            }
        }
    }
}

impl Transform {
    /// # Safety
    /// As for the maker of the transform.
    #[inline(always)]
    unsafe fn by_tile<S: Simd, T: Number>(&self, s: S, from: *const T) {
        // SAFETY: as the caller vouches.
        unsafe {
            match self.tile {
                Tile::TwoByTwo => self.all::<S, T, F2, F2, 4, 2, 4, 2>(s, from),
                Tile::TwoByFour => self.all::<S, T, F2, F4, 4, 2, 6, 4>(s, from),
                Tile::FourByFour => self.all::<S, T, F4, F4, 6, 4, 6, 4>(s, from),
            }
        }
    }

    /// # Safety
    /// As for the maker of the transform.
    #[inline(always)]
    unsafe fn all<S, T, V, H, const NV: usize, const RV: usize, const NH: usize, const RH: usize>(
        &self,
        s: S,
        from: *const T,
    ) where
        S: Simd,
        T: Number,
        V: Lines<NV, RV>,
        H: Lines<NH, RH>,
    {
        for row in 0..self.rows {
            for column in (0..self.columns).step_by(S::WIDTH) {
                let to = self.to.wrapping_add(row * self.columns + column);
                let kernels = |number: usize| from.wrapping_add(number * self.columns + column);
                // SAFETY: WIDTH kernels of this row and column, and their places in every point.
                unsafe {
                    if self.kind == LaneKind::Bf16 {
                        let low = transformed::<S, T, V, H, _, RV, _, RH>(
                            s,
                            kernels(2 * row),
                            self.tap_stride,
                        );
                        let high = transformed::<S, T, V, H, _, RV, _, RH>(
                            s,
                            kernels(2 * row + 1),
                            self.tap_stride,
                        );
                        for (i, (low, high)) in low.iter().zip(&high).enumerate() {
                            for (j, (low, high)) in low.iter().zip(high).enumerate() {
                                let point = to.add((i * NH + j) * self.point_stride);
                                s.store(point, s.pair_bf16(*low, *high));
                            }
                        }
                    } else {
                        let points = transformed::<S, T, V, H, _, RV, _, RH>(
                            s,
                            kernels(row),
                            self.tap_stride,
                        );
                        for (i, row) in points.iter().enumerate() {
                            for (j, v) in row.iter().enumerate() {
                                s.store(to.add((i * NH + j) * self.point_stride), *v);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The points of WIDTH kernels, whose taps begin at `from`: columns first, then rows.
///
/// # Safety
/// WIDTH numbers of each of the nine taps are readable.
#[inline(always)]
unsafe fn transformed<
    S,
    T,
    V,
    H,
    const NV: usize,
    const RV: usize,
    const NH: usize,
    const RH: usize,
>(
    s: S,
    from: *const T,
    tap_stride: usize,
) -> [[S::V; NH]; NV]
where
    S: Simd,
    T: Number,
    V: Lines<NV, RV>,
    H: Lines<NH, RH>,
{
    let mut half = [[s.splat(0.0); 3]; NV];
    for j in 0..3 {
        let mut column = [s.splat(0.0); 3];
        for (i, g) in column.iter_mut().enumerate() {
            let tap = from.wrapping_add((3 * i + j) * tap_stride);
            prefetch(tap.wrapping_add(AHEAD * S::WIDTH));
            // SAFETY: tap (i, j).
            *g = unsafe { T::load(s, tap) };
        }
        let column = V::kernel(s, column);
        half.iter_mut().zip(column).for_each(|(row, v)| row[j] = v);
    }
    let mut points = [[s.splat(0.0); NH]; NV];
    for (row, half) in points.iter_mut().zip(half) {
        *row = H::kernel(s, half);
    }
    points
}

/// A number that vectors are widened from.
trait Number: Copy {
    /// # Safety
    /// WIDTH numbers are readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: as the caller vouches.
        unsafe { s.load(p) }
    }
}

impl Number for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f16) -> S::V {
        // SAFETY: as the caller vouches.
        unsafe { s.load_f16(p.cast()) }
    }
}

impl Number for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const bf16) -> S::V {
        // SAFETY: as the caller vouches.
        unsafe { s.load_bf16(p.cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, every_isa};
    use super::super::winograd_tiles::POINTS;
    use super::super::{Geometry, Padding};
    use super::*;

    /// The matrix G of Lavin and Gray for `outputs` outputs, one row per point: Lagrange
    /// polynomials through 0, the finite points and infinity.
    fn matrix(outputs: usize) -> Vec<[f64; 3]> {
        let (a, b) = (f64::from(POINTS[0]), f64::from(POINTS[1]));
        let finite = if outputs == 2 {
            vec![0.0, 1.0, -1.0]
        } else {
            vec![0.0, a, -a, b, -b]
        };
        // F(2x2) is usually written with the sign of its first row and last input turned.
        let sign = if outputs == 2 { -1.0 } else { 1.0 };
        let row = |p: &f64| {
            let n: f64 = finite.iter().filter(|q| *q != p).map(|q| p - q).product();
            let n = if *p == 0.0 { sign * n } else { n };
            [1.0 / n, p / n, p * p / n]
        };
        finite.iter().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }

    #[test]
    fn transformed_kernels_are_those_of_the_matrix() {
        let (inputs, outputs) = (21, 37);
        let kernels = Random::new(5).normal(inputs * outputs * 9);
        let geometry = Geometry {
            inputs,
            outputs,
            kernel: 3,
            stride: 1,
            padding: Padding::all(1),
        };
        let weights = ConvWeights {
            kernels: WeightSlice::F32(&kernels),
            bias: None,
            geometry,
        };
        every_isa(|cpu| {
            let packed = WinogradKernels::pack(cpu, &weights, Precision::F32);
            for tile in Tile::ALL {
                let (down, across) = (matrix(tile.size().0), matrix(tile.size().1));
                let points = tile.points();
                let stride = packed.depth() * packed.columns() + 16;
                let mut out = vec![0f32; points * stride];
                for panel in 0..packed.panels() {
                    packed.transform(tile, panel, &(0..packed.depth()), stride, &mut out);
                    for j in 0..packed
                        .columns()
                        .min(outputs.saturating_sub(panel * packed.columns()))
                    {
                        for input in 0..inputs {
                            let kernel = &kernels
                                [((panel * packed.columns() + j) * inputs + input) * 9..][..9];
                            for point in 0..points {
                                let (u, v) =
                                    (down[point / across.len()], across[point % across.len()]);
                                let terms =
                                    (0..9).map(|t| u[t / 3] * v[t % 3] * f64::from(kernel[t]));
                                let got = out[point * stride + input * packed.columns() + j];
                                let (want, size): (f64, f64) =
                                    (terms.clone().sum(), terms.map(f64::abs).sum());
                                assert!(
                                    (f64::from(got) - want).abs() <= 4e-7 * size,
                                    "{tile:?} {point}"
                                );
                            }
                        }
                    }
                }
            }
        });
    }
}
