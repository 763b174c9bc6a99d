//! Owns the Winograd transforms of single tiles, all channels of a tile at a time, WIDTH channels a vector.

use super::simd::{Kernel, Simd};
use super::winograd::Tile;

/// The one-dimensional transforms of F(R, 3), N = R + 2. A type, not a pair of closures: those would not be
/// inlined.
trait Lines<const N: usize, const R: usize> {
    /// B^T d.
    fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N];
    /// A^T m.
    fn output<S: Simd>(s: S, m: [S::V; N]) -> [S::V; R];
}

/// V = B^T d B of one tile, whose pointers the maker vouches for: (side + 2)^2 pixels of `channels` numbers
/// are read from the canvas, as many points written. `channels` is a multiple of WIDTH.
pub(super) struct TileIn {
    pub(super) tile: Tile,
    /// Whether the points are rounded to bf16.
    pub(super) bf16: bool,
    pub(super) channels: usize,
    pub(super) from: *const f32,
    pub(super) row_stride: usize,
    pub(super) to: *mut f32,
    /// Lanes from a point to the next.
    pub(super) point_stride: usize,
}

impl Kernel for TileIn {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for c in (0..self.channels).step_by(S::WIDTH) {
            // SAFETY: the maker vouches for all points of these channels.
            unsafe {
                match self.tile {
                    Tile::Two => self.transform::<S, F2, 4, 2>(s, c),
                    Tile::Four => self.transform::<S, F4, 6, 4>(s, c),
                }
            }
        }
    }
}

impl TileIn {
    /// Columns first, then rows.
    ///
    /// # Safety
    /// As the maker vouches, for WIDTH channels from `c` on.
    #[inline(always)]
    unsafe fn transform<S: Simd, L: Lines<N, R>, const N: usize, const R: usize>(&self, s: S, c: usize) {
        let mut half = [[s.splat(0.0); N]; N];
        for j in 0..N {
            let mut column = [s.splat(0.0); N];
            for (i, d) in column.iter_mut().enumerate() {
                // SAFETY: pixel (i, j) of the tile.
                *d = unsafe { s.load(self.from.add(i * self.row_stride + j * self.channels + c)) };
            }
            let column = L::input(s, column);
            half.iter_mut().zip(column).for_each(|(row, v)| row[j] = v);
        }
        for (i, row) in half.iter().enumerate() {
            let row = L::input(s, *row);
            for (j, v) in row.iter().enumerate() {
                // SAFETY: point (i, j) of the tile.
                unsafe {
                    let point = self.to.add((i * N + j) * self.point_stride);
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

/// Y = A^T m A of one tile, plus bias and residual, clipped to the image; pointers as for `TileIn`.
pub(super) struct TileOut {
    pub(super) tile: Tile,
    pub(super) outputs: usize,
    /// Output rows and columns inside the image.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) from: *const f32,
    pub(super) point_stride: usize,
    pub(super) bias: *const f32,
    pub(super) residual: Option<*const f32>,
    pub(super) to: *mut f32,
    pub(super) row_stride: usize,
}

impl Kernel for TileOut {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for c in (0..self.outputs).step_by(S::WIDTH) {
            // SAFETY: the maker vouches for all points and pixels of these channels; `from` and `bias` are
            // padded to panels.
            unsafe {
                match self.tile {
                    Tile::Two => self.transform::<S, F2, 4, 2>(s, c),
                    Tile::Four => self.transform::<S, F4, 6, 4>(s, c),
                }
            }
        }
    }
}

impl TileOut {
    /// Columns first, then rows.
    ///
    /// # Safety
    /// As the maker vouches, for WIDTH channels from `c` on.
    #[inline(always)]
    unsafe fn transform<S: Simd, L: Lines<N, R>, const N: usize, const R: usize>(&self, s: S, c: usize) {
        let mut half = [[s.splat(0.0); N]; R];
        for j in 0..N {
            let mut column = [s.splat(0.0); N];
            for (i, m) in column.iter_mut().enumerate() {
                // SAFETY: point (i, j) of the tile.
                *m = unsafe { s.load(self.from.add((i * N + j) * self.point_stride + c)) };
            }
            let column = L::output(s, column);
            half.iter_mut().zip(column).for_each(|(row, v)| row[j] = v);
        }
        let whole = self.rows == R && self.columns == R && self.outputs - c >= S::WIDTH;
        // SAFETY: the bias is padded to whole panels.
        let bias = unsafe { s.load(self.bias.add(c)) };
        for (i, row) in half.iter().enumerate() {
            let row = L::output(s, *row);
            for (j, v) in row.iter().enumerate() {
                let v = s.add(*v, bias);
                let at = i * self.row_stride + j * self.outputs + c;
                // SAFETY: the pixel is inside the image, of which the clipped store makes sure.
                unsafe { if whole { self.put(s, at, v) } else { self.put_clipped(s, (i, j, c), v) } };
            }
        }
    }

    /// # Safety
    /// WIDTH numbers of the output from `at` on are this tile's.
    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, at: usize, v: S::V) {
        // SAFETY: as the caller vouches; the residual has the output's shape.
        unsafe {
            let v = self.residual.map_or(v, |residual| s.add(v, s.load(residual.add(at))));
            s.store(self.to.add(at), v);
        }
    }

    /// Stores what of pixel (i, j) and the channels from c on exists.
    ///
    /// # Safety
    /// The rows, columns and outputs of the tile are inside the output.
    #[inline(always)]
    unsafe fn put_clipped<S: Simd>(&self, s: S, (i, j, c): (usize, usize, usize), v: S::V) {
        if i >= self.rows || j >= self.columns {
            return;
        }
        let (at, n) = (i * self.row_stride + j * self.outputs + c, (self.outputs - c).min(S::WIDTH));
        // SAFETY: as the caller vouches; the residual has the output's shape.
        unsafe {
            let v = self.residual.map_or(v, |residual| s.add(v, s.load_first(residual.add(at), n)));
            s.store_first(self.to.add(at), v, n);
        }
    }
}

/// F(2, 3).
struct F2;

impl Lines<4, 2> for F2 {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
        [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
    }
}

/// F(4, 3), at the points 0, 1, -1, 2, -2 and infinity.
struct F4;

impl Lines<6, 4> for F4 {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        let (two, four, five) = (s.splat(2.0), s.splat(4.0), s.splat(5.0));
        let even = s.neg_fma(four, d[2], d[4]);
        let odd = s.neg_fma(four, d[1], d[3]);
        let (even2, odd2) = (s.sub(d[4], d[2]), s.sub(d[3], d[1]));
        [
            s.fma(four, d[0], s.neg_fma(five, d[2], d[4])),
            s.add(even, odd),
            s.sub(even, odd),
            s.fma(two, odd2, even2),
            s.neg_fma(two, odd2, even2),
            s.fma(four, d[1], s.neg_fma(five, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        let (sum1, difference1) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum2, difference2) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(s.add(m[0], sum1), sum2),
            s.fma(s.splat(2.0), difference2, difference1),
            s.fma(s.splat(4.0), sum2, sum1),
            s.add(s.fma(s.splat(8.0), difference2, difference1), m[5]),
        ]
    }
}
