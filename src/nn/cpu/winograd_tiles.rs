//! Owns the Winograd transforms of single tiles, all channels of a tile at a time, WIDTH channels a vector.

use super::simd::{Kernel, Simd};
use super::winograd::Tile;

/// V = B^T d B of one tile, whose pointers the maker vouches for: (side + 2)^2 pixels of `channels` numbers are read from the
/// canvas, as many points written. `channels` is a multiple of WIDTH.
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
                    Tile::Two => self.transform(s, c, |d| input_2(s, d)),
                    Tile::Four => self.transform(s, c, |d| input_4(s, d)),
                }
            }
        }
    }
}

impl TileIn {
    /// Columns first, then rows; N = side + 2.
    ///
    /// # Safety
    /// As the maker vouches, for WIDTH channels from `c` on.
    #[inline(always)]
    unsafe fn transform<S: Simd, const N: usize>(&self, s: S, c: usize, line: impl Fn([S::V; N]) -> [S::V; N]) {
        let mut half = [[s.splat(0.0); N]; N];
        for j in 0..N {
            // SAFETY: pixel (i, j) of the tile.
            let column = line(std::array::from_fn(|i| unsafe { s.load(self.from.add(i * self.row_stride + j * self.channels + c)) }));
            for i in 0..N {
                half[i][j] = column[i];
            }
        }
        for (i, row) in half.into_iter().enumerate() {
            for (j, v) in line(row).into_iter().enumerate() {
                // SAFETY: point (i, j) of the tile.
                unsafe {
                    let point = self.to.add((i * N + j) * self.point_stride);
                    if self.bf16 { s.store_bf16(point.cast::<u16>().add(c), v) } else { s.store(point.add(c), v) }
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
            // SAFETY: the maker vouches for all points and pixels of these channels; `from` and `bias` are padded to panels.
            unsafe {
                match self.tile {
                    Tile::Two => self.transform(s, c, |m: [S::V; 4]| output_2(s, m)),
                    Tile::Four => self.transform(s, c, |m: [S::V; 6]| output_4(s, m)),
                }
            }
        }
    }
}

impl TileOut {
    /// Columns first, then rows; N = R + 2.
    ///
    /// # Safety
    /// As the maker vouches, for WIDTH channels from `c` on.
    #[inline(always)]
    unsafe fn transform<S: Simd, const N: usize, const R: usize>(&self, s: S, c: usize, line: impl Fn([S::V; N]) -> [S::V; R]) {
        let mut half = [[s.splat(0.0); N]; R];
        for j in 0..N {
            // SAFETY: point (i, j) of the tile.
            let column = line(std::array::from_fn(|i| unsafe { s.load(self.from.add((i * N + j) * self.point_stride + c)) }));
            for i in 0..R {
                half[i][j] = column[i];
            }
        }
        // SAFETY: the bias is padded to whole panels.
        let bias = unsafe { s.load(self.bias.add(c)) };
        let n = (self.outputs - c).min(S::WIDTH);
        for (i, row) in half.into_iter().enumerate().take(self.rows) {
            for (j, v) in line(row).into_iter().enumerate().take(self.columns) {
                let at = i * self.row_stride + j * self.outputs + c;
                let mut v = s.add(v, bias);
                // SAFETY: pixel (i, j) is inside the image and has n channels from c on.
                unsafe {
                    if n == S::WIDTH {
                        if let Some(residual) = self.residual {
                            v = s.add(v, s.load(residual.add(at)));
                        }
                        s.store(self.to.add(at), v);
                    } else {
                        if let Some(residual) = self.residual {
                            v = s.add(v, s.load_first(residual.add(at), n));
                        }
                        s.store_first(self.to.add(at), v, n);
                    }
                }
            }
        }
    }
}

/// B^T of F(2, 3).
#[inline(always)]
fn input_2<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
    [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
}

/// A^T of F(2, 3).
#[inline(always)]
fn output_2<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
    [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
}

/// B^T of F(4, 3), at the points 0, 1, -1, 2, -2 and infinity.
#[inline(always)]
fn input_4<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
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

/// A^T of F(4, 3).
#[inline(always)]
fn output_4<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
    let (sum1, difference1) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (sum2, difference2) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(s.add(m[0], sum1), sum2),
        s.fma(s.splat(2.0), difference2, difference1),
        s.fma(s.splat(4.0), sum2, sum1),
        s.add(s.fma(s.splat(8.0), difference2, difference1), m[5]),
    ]
}
