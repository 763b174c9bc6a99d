//! Owns matrices as kernels see them: rows of a slice with a stride, and their conversion to bf16,
//! f32 or 8-bit lanes.

use super::Cpu;
use super::arena::Buffer;
use super::pool::Shareable;
use super::simd::{Kernel, Simd};
use half::bf16;

/// A matrix in a slice: row i is `columns` numbers from `i * stride` on. A slice of columns of a
/// wider matrix is one too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, T = f32> {
    data: &'a [T],
    columns: usize,
    stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Rows one after another.
    pub(crate) fn new(data: &'a [T], columns: usize) -> Rows<'a, T> {
        Rows::strided(data, columns, columns)
    }

    /// Rows `stride` apart; `data` starts at the first column wanted.
    pub(crate) fn strided(data: &'a [T], columns: usize, stride: usize) -> Rows<'a, T> {
        assert!(
            columns <= stride,
            "rows of {columns} overlap at a stride of {stride}"
        );
        Rows {
            data,
            columns,
            stride,
        }
    }

    /// Numbers in a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers from a row's start to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first number.
    pub(super) fn as_ptr(&self) -> *const T {
        self.data.as_ptr()
    }

    /// The rows from `row` on.
    pub(super) fn tail(&self, row: usize) -> Rows<'a, T> {
        Rows {
            data: &self.data[row * self.stride..],
            ..*self
        }
    }

    /// Row `i`.
    pub(crate) fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.stride..][..self.columns]
    }

    /// Panics unless there are `rows` rows; afterwards pointers into them are good.
    pub(super) fn check(&self, rows: usize) {
        let needed = if rows == 0 {
            0
        } else {
            (rows - 1) * self.stride + self.columns
        };
        assert!(
            self.data.len() >= needed,
            "{} numbers are too few for {rows} rows {} apart",
            self.data.len(),
            self.stride
        );
    }
}

/// Rows converted by one task.
const BLOCK: usize = 32;

/// Side by side parts as one bf16 matrix, each row padded with zeros to `padded` numbers.
pub(super) fn to_bf16(cpu: &Cpu, rows: usize, parts: &[Rows<'_>], padded: usize) -> Buffer<u16> {
    let mut out = cpu.arena().take::<u16>(rows * padded);
    cpu.pool()
        .for_chunks(&mut out, BLOCK * padded.max(1), |block, chunk| {
            for (i, row) in chunk.chunks_exact_mut(padded).enumerate() {
                let mut start = 0;
                for part in parts {
                    cpu.isa().run_bf16(Narrow {
                        from: part.row(block * BLOCK + i),
                        to: &mut row[start..],
                    });
                    start += part.columns;
                }
                row[start..].fill(0);
            }
        });
    out
}

/// A bf16 matrix as f32, rows `padded` apart.
pub(super) fn to_f32(cpu: &Cpu, rows: usize, part: Rows<'_, bf16>) -> Buffer<f32> {
    let columns = part.columns;
    let mut out = cpu.arena().take::<f32>(rows * columns);
    cpu.pool()
        .for_chunks(&mut out, BLOCK * columns.max(1), |block, chunk| {
            for (i, row) in chunk.chunks_exact_mut(columns).enumerate() {
                row.iter_mut()
                    .zip(part.row(block * BLOCK + i))
                    .for_each(|(to, from)| *to = from.to_f32());
            }
        });
    out
}

/// A bf16 matrix copied to rows padded with zeros to `padded` numbers.
pub(super) fn copy_bf16(
    cpu: &Cpu,
    rows: usize,
    part: Rows<'_, bf16>,
    padded: usize,
) -> Buffer<u16> {
    let mut out = cpu.arena().take::<u16>(rows * padded);
    cpu.pool()
        .for_chunks(&mut out, BLOCK * padded.max(1), |block, chunk| {
            for (i, row) in chunk.chunks_exact_mut(padded).enumerate() {
                let (to, rest) = row.split_at_mut(part.columns);
                to.iter_mut()
                    .zip(part.row(block * BLOCK + i))
                    .for_each(|(to, from)| *to = from.to_bits());
                rest.fill(0);
            }
        });
    out
}

/// One row to bf16.
pub(super) struct Narrow<'a> {
    pub(super) from: &'a [f32],
    /// At least as long as `from`.
    pub(super) to: &'a mut [u16],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (n, to) = (self.from.len(), &mut self.to[..self.from.len()]);
        let mut i = 0;
        while i < n {
            let count = (n - i).min(S::WIDTH);
            // SAFETY: `count` numbers from i on are inside both slices, which are equally long.
            unsafe {
                if count == S::WIDTH {
                    s.store_bf16(to.as_mut_ptr().add(i), s.load(self.from.as_ptr().add(i)));
                } else {
                    s.store_bf16_first(
                        to.as_mut_ptr().add(i),
                        s.load_first(self.from.as_ptr().add(i), count),
                        count,
                    );
                }
            }
            i += count;
        }
    }
}

/// A matrix as unsigned bytes around 128 with a scale per row: x = scale (byte - 128).
pub(super) struct Quantized {
    pub(super) bytes: Buffer<u8>,
    pub(super) scales: Buffer<f32>,
    /// Bytes from row to row, a multiple of four.
    pub(super) stride: usize,
}

/// Quantizes side by side parts, each row by its own largest magnitude.
pub(super) fn quantize(cpu: &Cpu, rows: usize, parts: &[Rows<'_>]) -> Quantized {
    let stride = parts
        .iter()
        .map(|p| p.columns)
        .sum::<usize>()
        .next_multiple_of(4);
    let mut bytes = cpu.arena().take::<u8>(rows * stride);
    let mut scales = cpu.arena().take::<f32>(rows);
    let shared = Shareable::new(scales.as_mut_ptr());
    cpu.pool()
        .for_chunks(&mut bytes, BLOCK * stride.max(1), |block, chunk| {
            for (i, row) in chunk.chunks_exact_mut(stride).enumerate() {
                let index = block * BLOCK + i;
                let scale = cpu.isa().run(QuantizeRow {
                    index,
                    parts,
                    to: row,
                });
                // SAFETY: index < rows, and each row belongs to one task.
                unsafe { *shared.get().add(index) = scale };
            }
        });
    Quantized {
        bytes,
        scales,
        stride,
    }
}

struct QuantizeRow<'a> {
    index: usize,
    parts: &'a [Rows<'a>],
    to: &'a mut [u8],
}

impl Kernel for QuantizeRow<'_> {
    /// The scale.
    type Output = f32;

    /// Plain loops, which the compiler vectorises for the set this is compiled for.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        let mut greatest = [0f32; 16];
        for part in self.parts {
            for chunk in part.row(self.index).chunks(16) {
                greatest
                    .iter_mut()
                    .zip(chunk)
                    .for_each(|(g, x)| *g = if x.abs() > *g { x.abs() } else { *g });
            }
        }
        // The least normal scale keeps rows of zeros finite.
        let scale = (greatest.iter().fold(0f32, |a, b| a.max(*b)) / 127.0).max(1e-30);
        let inverse = 1.0 / scale;
        let mut start = 0;
        for part in self.parts {
            let row = part.row(self.index);
            // Adding 1.5 x 2^23 leaves the nearest whole number in the low bits of the sum.
            let byte = |x: f32| ((x * inverse + 12_582_912.0).to_bits() as u8).wrapping_add(128);
            self.to[start..]
                .iter_mut()
                .zip(row)
                .for_each(|(to, x)| *to = byte(*x));
            start += row.len();
        }
        self.to[start..].fill(128);
        scale
    }
}
