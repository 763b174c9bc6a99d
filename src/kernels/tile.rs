//! Owns the inner loop of every product: a register tile of up to `TILE_ROWS` rows by two vectors
//! of columns.

use super::simd::{Kernel, Lane, MAX_TILE_ROWS, Simd};
use std::marker::PhantomData;

/// Initial value of the sums.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// Zero.
    Zero,
    /// The same 2 x WIDTH lanes for every row.
    Row(*const f32),
    /// The content of `sums`.
    Sums,
}

/// Rows times a panel: `sums[i][j] += sum over taps t and k < depth of a[i * row_stride + taps[t] +
/// k] * b[t
/// * tap_stride + k * NR + j]`.
///
/// Everything is counted in 32-bit lanes; NR = 2 x WIDTH. A matrix product has one tap at offset 0;
/// a convolution read from a padded image has one tap per kernel position.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) a: *const f32,
    pub(super) row_stride: usize,
    pub(super) taps: &'a [usize],
    pub(super) depth: usize,
    pub(super) b: *const f32,
    pub(super) tap_stride: usize,
    pub(super) sums: *mut f32,
    pub(super) sums_stride: usize,
    pub(super) start: Start,
}

impl Product<'_> {
    /// The product of the rows from `row` on.
    #[inline(always)]
    pub(super) fn tail(&self, row: usize) -> Self {
        let a = self.a.wrapping_add(row * self.row_stride);
        Product {
            a,
            sums: self.sums.wrapping_add(row * self.sums_stride),
            ..*self
        }
    }
}

/// Computes `rows` rows of the product, in tiles as even in height as they can be.
///
/// # Safety
/// `a` is readable at every row, tap and k; `b` at every tap and k for 2 x WIDTH lanes; `sums` is
/// writable at every row for 2 x WIDTH lanes, and no other thread accesses it.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, L: Lane>(s: S, rows: usize, product: Product<'_>) {
    let tiles = rows.div_ceil(S::TILE_ROWS);
    let mut row = 0;
    for tile in 0..tiles {
        let height = (rows - row).div_ceil(tiles - tile);
        // SAFETY: rows row..row + height are among those the caller vouches for.
        unsafe {
            multiply_tile::<S, L>(s, height, product.tail(row));
        }
        row += height;
    }
}

/// One tile of `height` <= TILE_ROWS rows: the loop is compiled for each height.
///
/// # Safety
/// As for `multiply`.
#[inline(always)]
unsafe fn multiply_tile<S: Simd, L: Lane>(s: S, height: usize, p: Product<'_>) {
    macro_rules! heights {
        ($($n:literal)*) => {
            match height {
                $($n if $n <= S::TILE_ROWS => s.vectorize(Tile::<L, $n>(p, PhantomData)),)*
                _ => unreachable!("a tile of {height} rows"),
            }
        };
    }
    const { assert!(S::TILE_ROWS <= MAX_TILE_ROWS) };
    heights!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// Holds R x 2 vectors of sums in registers. The maker vouches for the pointers as for `multiply`.
struct Tile<'a, L, const R: usize>(Product<'a>, PhantomData<L>);

impl<L: Lane, const R: usize> Kernel for Tile<'_, L, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = self.0;
        let mut sums = [[s.splat(0.0); 2]; R];
        // SAFETY: the maker vouches for every row, tap and k of the product.
        unsafe {
            for (i, row) in sums.iter_mut().enumerate() {
                let from = match p.start {
                    Start::Zero => continue,
                    Start::Row(row) => row,
                    Start::Sums => p.sums.add(i * p.sums_stride).cast_const(),
                };
                *row = [s.load(from), s.load(from.add(S::WIDTH))];
            }
            for (t, offset) in p.taps.iter().enumerate() {
                add_products::<S, L, R>(
                    s,
                    &mut sums,
                    &p,
                    p.a.add(*offset),
                    p.b.add(t * p.tap_stride),
                );
            }
            for (i, row) in sums.iter().enumerate() {
                let to = p.sums.add(i * p.sums_stride);
                s.store(to, row[0]);
                s.store(to.add(S::WIDTH), row[1]);
            }
        }
    }
}

/// The loop over k of one tap. Rows are addressed from every fourth one, so that twelve of them
/// need three pointers and two strides, not twelve pointers; with more the x86 registers run out.
///
/// # Safety
/// As for `multiply`.
#[inline(always)]
unsafe fn add_products<S: Simd, L: Lane, const R: usize>(
    s: S,
    sums: &mut [[S::V; 2]; R],
    p: &Product<'_>,
    a: *const f32,
    b: *const f32,
) {
    let stride = p.row_stride;
    let mut b = b;
    let mut fours = [a, a.wrapping_add(4 * stride), a.wrapping_add(8 * stride)];
    for _ in 0..p.depth {
        // SAFETY: the caller vouches for row i at this k, and for 2 x WIDTH lanes of b.
        unsafe {
            let columns = [s.load(b), s.load(b.add(S::WIDTH))];
            for (i, row) in sums.iter_mut().enumerate() {
                let lane = s.splat(fours[i / 4].add(i % 4 * stride).read_unaligned());
                row[0] = L::multiply_add(s, lane, columns[0], row[0]);
                row[1] = L::multiply_add(s, lane, columns[1], row[1]);
            }
        }
        b = b.wrapping_add(2 * S::WIDTH);
        // Not `map`, which is only inlined, and then compiled for this instruction set, if the
        // linker optimises.
        for four in &mut fours {
            *four = four.wrapping_add(1);
        }
    }
}
