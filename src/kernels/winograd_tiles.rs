//! Owns the Winograd transforms: those of one dimension, and of single tiles, all channels of a
//! tile at a time, WIDTH channels a vector.

use super::epilogue::ResidualPtr;
use super::simd::{Kernel, Simd};

/// F(4x4) interpolates at 0, plus and minus each of these, and infinity. The usual 1 and 2 lose 2.6
/// times more bits: of all pairs of small fractions these are within a tenth of the best (Barabasz
/// et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
/// Networks", 2020), and their products are exact in f32.
pub(super) const POINTS: [f32; 2] = [0.75, 1.5];

/// The output tile of a transform, in the order of their errors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tile {
    /// F(2x2, 3x3).
    TwoByTwo,
    /// F(2x4, 3x3).
    TwoByFour,
    /// F(4x4, 3x3).
    FourByFour,
}

impl Tile {
    /// All of them.
    pub(crate) const ALL: [Tile; 3] = [Tile::TwoByTwo, Tile::TwoByFour, Tile::FourByFour];

    /// Output rows and columns.
    pub(super) fn size(self) -> (usize, usize) {
        match self {
            Tile::TwoByTwo => (2, 2),
            Tile::TwoByFour => (2, 4),
            Tile::FourByFour => (4, 4),
        }
    }

    /// Points of the transformed tile.
    pub(super) fn points(self) -> usize {
        let (rows, columns) = self.size();
        (rows + 2) * (columns + 2)
    }

    /// The tile, of no larger errors than this one, that covers a map with the fewest products.
    pub(super) fn for_map(self, map: (usize, usize)) -> Tile {
        let products = |tile: &Tile| {
            let (rows, columns) = tile.size();
            map.0.div_ceil(rows) * map.1.div_ceil(columns) * tile.points()
        };
        let allowed = Tile::ALL.into_iter().filter(|tile| *tile <= self);
        allowed.min_by_key(products).unwrap_or(self)
    }
}

/// The one-dimensional transforms of F(R, 3), N = R + 2; those of a tile are V's down its columns
/// and H's along its rows. A type, not closures: those would not be inlined.
pub(super) trait Lines<const N: usize, const R: usize> {
    /// G g.
    fn kernel<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; N];
    /// B^T d.
    fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N];
    /// A^T m.
    fn output<S: Simd>(s: S, m: [S::V; N]) -> [S::V; R];
}

/// The transform of a tile in two dimensions.
trait Transform {
    /// WIDTH channels from `c` on: V's transform down the columns, then H's along the rows.
    ///
    /// # Safety
    /// The maker of the transform vouches for those channels.
    unsafe fn transform<
        S,
        V,
        H,
        const NV: usize,
        const RV: usize,
        const NH: usize,
        const RH: usize,
    >(
        &self,
        s: S,
        c: usize,
    ) where
        S: Simd,
        V: Lines<NV, RV>,
        H: Lines<NH, RH>;

    /// All `channels`, with the transforms of `tile`.
    ///
    /// # Safety
    /// The maker of the transform vouches for all of them.
    #[inline(always)]
    unsafe fn transform_all<S: Simd>(&self, s: S, tile: Tile, channels: usize) {
        for c in (0..channels).step_by(S::WIDTH) {
            // SAFETY: as the caller vouches.
            unsafe {
                match tile {
                    Tile::TwoByTwo => self.transform::<S, F2, F2, 4, 2, 4, 2>(s, c),
                    Tile::TwoByFour => self.transform::<S, F2, F4, 4, 2, 6, 4>(s, c),
                    Tile::FourByFour => self.transform::<S, F4, F4, 6, 4, 6, 4>(s, c),
                }
            }
        }
    }
}

/// V = B^T d B of some tiles side by side, whose pointers the maker vouches for: two rows and
/// columns more than a tile's own of pixels of `channels` numbers are read from the canvas, as many
/// points written. `channels` is a multiple of WIDTH.
#[derive(Clone, Copy)]
pub(super) struct TilesIn {
    pub(super) tile: Tile,
    pub(super) tiles: usize,
    /// True if the points are rounded to bf16.
    pub(super) bf16: bool,
    pub(super) channels: usize,
    pub(super) from: *const f32,
    pub(super) row_stride: usize,
    pub(super) to: *mut f32,
    /// Lanes from a tile to the next in every point.
    pub(super) depth: usize,
    /// Lanes from a point to the next.
    pub(super) point_stride: usize,
}

impl Kernel for TilesIn {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let step = self.tile.size().1 * self.channels;
        for i in 0..self.tiles {
            let from = self.from.wrapping_add(i * step);
            let tile = TilesIn {
                from,
                to: self.to.wrapping_add(i * self.depth),
                ..self
            };
            // SAFETY: the maker vouches for all points of the channels.
            unsafe { tile.transform_all(s, self.tile, self.channels) };
        }
    }
}

impl Transform for TilesIn {
    #[inline(always)]
    unsafe fn transform<
        S,
        V,
        H,
        const NV: usize,
        const RV: usize,
        const NH: usize,
        const RH: usize,
    >(
        &self,
        s: S,
        c: usize,
    ) where
        S: Simd,
        V: Lines<NV, RV>,
        H: Lines<NH, RH>,
    {
        let mut half = [[s.splat(0.0); NH]; NV];
        for j in 0..NH {
            let mut column = [s.splat(0.0); NV];
            for (i, d) in column.iter_mut().enumerate() {
                // SAFETY: pixel (i, j) of the tile.
                *d = unsafe { s.load(self.from.add(i * self.row_stride + j * self.channels + c)) };
            }
            let column = V::input(s, column);
            half.iter_mut().zip(column).for_each(|(row, v)| row[j] = v);
        }
        for (i, row) in half.iter().enumerate() {
            let row = H::input(s, *row);
            for (j, v) in row.iter().enumerate() {
                // SAFETY: point (i, j) of the tile.
                unsafe {
                    let point = self.to.add((i * NH + j) * self.point_stride);
                    if self.bf16 {
                        s.store_bf16(point.cast::<u16>().add(c), *v);
                    } else {
                        s.store(point.add(c), *v);
                    }
                }
            }
        }
    }
}

/// Y = A^T m A of some tiles side by side, plus bias and residual, clipped to the image; pointers
/// as for `TilesIn`, all of them at the first of the channels.
#[derive(Clone, Copy)]
pub(super) struct TilesOut {
    pub(super) tile: Tile,
    pub(super) tiles: usize,
    /// Channels transformed.
    pub(super) channels: usize,
    /// Channels of the output.
    pub(super) pixel_stride: usize,
    /// Output rows and columns inside the image, from the first tile's corner on.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) from: *const f32,
    /// Lanes from a tile to the next in every point.
    pub(super) depth: usize,
    pub(super) point_stride: usize,
    pub(super) bias: *const f32,
    /// Residual in the layout of the output, one row per pixel.
    pub(super) residual: Option<ResidualPtr>,
    pub(super) to: *mut f32,
    pub(super) row_stride: usize,
}

impl Kernel for TilesOut {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let across = self.tile.size().1;
        for i in 0..self.tiles {
            let tile = TilesOut {
                from: self.from.wrapping_add(i * self.depth),
                to: self.to.wrapping_add(i * across * self.pixel_stride),
                residual: self.residual.map(|residual| residual.from(i * across, 0)),
                columns: self.columns - i * across,
                ..self
            };
            // SAFETY: the maker vouches for all points and pixels of the channels; `from` and
            // `bias` are padded to panels.
            unsafe { tile.transform_all(s, self.tile, self.channels) };
        }
    }
}

impl Transform for TilesOut {
    #[inline(always)]
    unsafe fn transform<
        S,
        V,
        H,
        const NV: usize,
        const RV: usize,
        const NH: usize,
        const RH: usize,
    >(
        &self,
        s: S,
        c: usize,
    ) where
        S: Simd,
        V: Lines<NV, RV>,
        H: Lines<NH, RH>,
    {
        let mut half = [[s.splat(0.0); NH]; RV];
        for j in 0..NH {
            let mut column = [s.splat(0.0); NV];
            for (i, m) in column.iter_mut().enumerate() {
                // SAFETY: point (i, j) of the tile.
                *m = unsafe { s.load(self.from.add((i * NH + j) * self.point_stride + c)) };
            }
            let column = V::output(s, column);
            half.iter_mut().zip(column).for_each(|(row, v)| row[j] = v);
        }
        let whole = self.rows >= RV && self.columns >= RH && self.channels - c >= S::WIDTH;
        // SAFETY: the bias is padded to whole panels.
        let bias = unsafe { s.load(self.bias.add(c)) };
        for (i, row) in half.iter().enumerate() {
            let row = H::output(s, *row);
            for (j, v) in row.iter().enumerate() {
                let v = s.add(*v, bias);
                let at = i * self.row_stride + j * self.pixel_stride + c;
                // SAFETY: the pixel is inside the image, of which the clipped store makes sure.
                unsafe {
                    if whole {
                        self.put(s, at, v);
                    } else {
                        self.put_clipped(s, i, j, c, v);
                    }
                };
            }
        }
    }
}

impl TilesOut {
    /// # Safety
    /// WIDTH numbers of the output from `at` on are this tile's.
    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, at: usize, v: S::V) {
        // SAFETY: as the caller vouches; the residual has the output's shape.
        unsafe {
            let v = self
                .residual
                .map_or(v, |residual| s.add(v, s.load(residual.at.add(at))));
            s.store(self.to.add(at), v);
        }
    }

    /// Stores the part of pixel (i, j) and the channels from c on that is inside the image.
    ///
    /// # Safety
    /// The rows, columns and outputs of the tile are inside the output.
    #[inline(always)]
    unsafe fn put_clipped<S: Simd>(&self, s: S, i: usize, j: usize, c: usize, v: S::V) {
        if i >= self.rows || j >= self.columns {
            return;
        }
        let at = i * self.row_stride + j * self.pixel_stride + c;
        let n = (self.channels - c).min(S::WIDTH);
        // SAFETY: as the caller vouches; the residual has the output's shape.
        unsafe {
            let v = self
                .residual
                .map_or(v, |residual| s.add(v, s.load_first(residual.at.add(at), n)));
            s.store_first(self.to.add(at), v, n);
        }
    }
}

/// F(2, 3).
pub(super) struct F2;

impl Lines<4, 2> for F2 {
    #[inline(always)]
    fn kernel<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 4] {
        let half = s.splat(0.5);
        let (even, odd) = (s.mul(half, s.add(g[0], g[2])), s.mul(half, g[1]));
        [g[0], s.add(even, odd), s.sub(even, odd), g[2]]
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
        [
            s.sub(d[0], d[2]),
            s.add(d[1], d[2]),
            s.sub(d[2], d[1]),
            s.sub(d[1], d[3]),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
        [
            s.add(s.add(m[0], m[1]), m[2]),
            s.sub(s.sub(m[1], m[2]), m[3]),
        ]
    }
}

/// F(4, 3), at the points 0, a, -a, b, -b and infinity.
pub(super) struct F4;

const A: f32 = POINTS[0];
const B: f32 = POINTS[1];
/// The products of a point's distances from the other finite ones: at 0, a and b.
const AT_ZERO: f32 = A * A * B * B;
const AT_A: f32 = 2.0 * A * A * (A * A - B * B);
const AT_B: f32 = 2.0 * B * B * (B * B - A * A);

impl Lines<6, 4> for F4 {
    /// The powers of the points, over those products.
    #[inline(always)]
    fn kernel<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 6] {
        let (one_a, one_b) = (s.splat(1.0 / AT_A), s.splat(1.0 / AT_B));
        let even_a = s.fma(s.splat(A * A / AT_A), g[2], s.mul(one_a, g[0]));
        let even_b = s.fma(s.splat(B * B / AT_B), g[2], s.mul(one_b, g[0]));
        let (odd_a, odd_b) = (s.splat(A / AT_A), s.splat(B / AT_B));
        [
            s.mul(s.splat(1.0 / AT_ZERO), g[0]),
            s.fma(odd_a, g[1], even_a),
            s.neg_fma(odd_a, g[1], even_a),
            s.fma(odd_b, g[1], even_b),
            s.neg_fma(odd_b, g[1], even_b),
            g[2],
        ]
    }

    /// The coefficients of the five polynomials x (x^2 - a^2) (x^2 - b^2) / (x - point), and of all
    /// of it.
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        let (product, sum) = (s.splat(AT_ZERO), s.splat(A * A + B * B));
        let (a, b, a2, b2) = (s.splat(A), s.splat(B), s.splat(A * A), s.splat(B * B));
        let (even_a, odd_a) = (s.neg_fma(b2, d[2], d[4]), s.neg_fma(b2, d[1], d[3]));
        let (even_b, odd_b) = (s.neg_fma(a2, d[2], d[4]), s.neg_fma(a2, d[1], d[3]));
        [
            s.fma(product, d[0], s.neg_fma(sum, d[2], d[4])),
            s.fma(a, odd_a, even_a),
            s.neg_fma(a, odd_a, even_a),
            s.fma(b, odd_b, even_b),
            s.neg_fma(b, odd_b, even_b),
            s.fma(product, d[1], s.neg_fma(sum, d[3], d[5])),
        ]
    }

    /// The powers of the points.
    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        let (sum_a, difference_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_b, difference_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        let power = |n: i32| (s.splat(A.powi(n)), s.splat(B.powi(n)));
        let (first, second, third) = (power(1), power(2), power(3));
        [
            s.add(s.add(m[0], sum_a), sum_b),
            s.fma(first.1, difference_b, s.mul(first.0, difference_a)),
            s.fma(second.1, sum_b, s.mul(second.0, sum_a)),
            s.fma(third.1, difference_b, s.fma(third.0, difference_a, m[5])),
        ]
    }
}
