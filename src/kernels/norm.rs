//! Owns the normalisations: group statistics as an affine for the layer that reads next, its
//! application, and layer norm.

use super::Cpu;
use super::arena::Buffer;
use super::conv_input::{Affine, CanvasRow, CanvasShape, ConvInput};
use super::epilogue::{Output, OutputPtr};
use super::pool::Shareable;
use super::rows::Rows;
use super::simd::{Kernel, Simd};

/// Pixels summed in f32 before f64 takes over.
const PIXELS: usize = 256;
/// Rows of a layer norm in one task.
const ROWS: usize = 32;

/// The parameters of a group norm.
#[derive(Clone, Copy)]
pub(crate) struct GroupNorm<'a> {
    /// Groups the channels are divided into.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// One scale per channel.
    pub weight: &'a [f32],
    /// One shift per channel.
    pub bias: &'a [f32],
}

/// Contribution of a block of pixels to the statistics of a channel. Sums are of the differences to
/// the first number of the block, so that a mean far from zero costs no precision.
struct Partial {
    first: Buffer<f32>,
    sum: Buffer<f32>,
    squares: Buffer<f32>,
    /// Blocks of an image.
    blocks: usize,
}

/// The scale and shift with which `norm` normalises the joined parts of `input` [batch, height,
/// width, channels].
///
/// Wu and He, "Group Normalization" (2018), equation 1. Relative error 3e-7 for means up to 100
/// deviations.
///
/// # Panics
/// If the channels are not a whole number of groups, or a length does not fit.
pub(crate) fn group_norm(cpu: &Cpu, input: &ConvInput<'_>, norm: &GroupNorm<'_>) -> Affine {
    input.check();
    let (channels, pixels) = (input.channels(), input.height * input.width);
    assert_eq!(
        channels % norm.groups,
        0,
        "{channels} channels in {} groups",
        norm.groups
    );
    assert!(
        norm.weight.len() == channels && norm.bias.len() == channels,
        "a weight and bias for {channels} channels"
    );
    let partial = Partial::sum(cpu, input);
    let size = channels / norm.groups;
    let mut affine = Affine {
        scale: vec![0.0; input.batch * channels],
        shift: vec![0.0; input.batch * channels],
    };
    for (group, (scale, shift)) in affine
        .scale
        .chunks_exact_mut(size)
        .zip(affine.shift.chunks_exact_mut(size))
        .enumerate()
    {
        let (image, first) = (group / norm.groups, group % norm.groups * size);
        let (mean, variance) = partial.moments(image, first..first + size, channels, pixels);
        let inverse = 1.0 / (variance + norm.eps).sqrt();
        for c in 0..size {
            let s = f64::from(norm.weight[first + c]) * inverse;
            scale[c] = s as f32;
            shift[c] = (f64::from(norm.bias[first + c]) - mean * s) as f32;
        }
    }
    affine
}

impl Partial {
    fn sum(cpu: &Cpu, input: &ConvInput<'_>) -> Partial {
        let (channels, pixels) = (input.channels(), input.height * input.width);
        let blocks = pixels.div_ceil(PIXELS);
        let take = || cpu.arena().take::<f32>(input.batch * blocks * channels);
        let mut partial = Partial {
            first: take(),
            sum: take(),
            squares: take(),
            blocks,
        };
        let to = [&mut partial.first, &mut partial.sum, &mut partial.squares]
            .map(|b| Shareable::new(b.as_mut_ptr()));
        cpu.pool().run(input.batch * blocks, |task| {
            let (image, start) = (task / blocks, task % blocks * PIXELS);
            let mut channel = task * channels;
            for (data, c) in input.parts {
                let pixels = &data[(image * pixels + start) * c
                    ..(image * pixels + pixels.min(start + PIXELS)) * c];
                let to = [0, 1, 2].map(|i: usize| to[i].get().wrapping_add(channel));
                cpu.isa().run(SumPixels {
                    pixels,
                    channels: *c,
                    to,
                });
                channel += c;
            }
        });
        partial
    }

    /// Mean and variance of a range of channels of an image, by Chan's combination of the blocks'
    /// moments.
    fn moments(
        &self,
        image: usize,
        range: std::ops::Range<usize>,
        channels: usize,
        pixels: usize,
    ) -> (f64, f64) {
        let blocks = move || {
            let range = range.clone();
            (0..self.blocks).flat_map(move |block| {
                let n = PIXELS.min(pixels - block * PIXELS) as f64;
                let at = (image * self.blocks + block) * channels;
                range.clone().map(move |c| {
                    let (first, sum) = (f64::from(self.first[at + c]), f64::from(self.sum[at + c]));
                    (
                        n,
                        first + sum / n,
                        f64::from(self.squares[at + c]) - sum * sum / n,
                    )
                })
            })
        };
        let (count, total) = blocks().fold((0.0, 0.0), |(count, total), (n, mean, _)| {
            (count + n, total + n * mean)
        });
        let mean = total / count;
        let spread: f64 = blocks()
            .map(|(n, block_mean, squares)| squares + n * (block_mean - mean).powi(2))
            .sum();
        (mean, spread.max(0.0) / count)
    }
}

/// First number, sum and sum of squares (both less the first) of every channel over some pixels;
/// the maker vouches for `to`.
struct SumPixels<'a> {
    pixels: &'a [f32],
    channels: usize,
    to: [*mut f32; 3],
}

impl Kernel for SumPixels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut c = 0;
        while c + 4 * S::WIDTH <= self.channels {
            self.columns::<S, 4>(s, c, S::WIDTH);
            c += 4 * S::WIDTH;
        }
        while c < self.channels {
            let n = (self.channels - c).min(S::WIDTH);
            self.columns::<S, 1>(s, c, n);
            c += n;
        }
    }
}

impl SumPixels<'_> {
    /// N vectors of channels from `c` on, the first `n` lanes of each.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&self, s: S, c: usize, n: usize) {
        // SAFETY: channels c..c + (N - 1) WIDTH + n are inside every pixel and inside the buffers
        // at `to`.
        unsafe {
            let load = |pixel: *const f32, j: usize| {
                let p = pixel.add(c + j * S::WIDTH);
                s.load_up_to(p, n)
            };
            let first: [S::V; N] = std::array::from_fn(|j| load(self.pixels.as_ptr(), j));
            let (mut sum, mut squares) = ([s.splat(0.0); N], [s.splat(0.0); N]);
            for pixel in self.pixels.chunks_exact(self.channels) {
                for j in 0..N {
                    let x = s.sub(load(pixel.as_ptr(), j), first[j]);
                    sum[j] = s.add(sum[j], x);
                    squares[j] = s.fma(x, x, squares[j]);
                }
            }
            for j in 0..N {
                for (to, v) in self.to.iter().zip([first[j], sum[j], squares[j]]) {
                    s.store_first(to.add(c + j * S::WIDTH), v, n);
                }
            }
        }
    }
}

/// Writes `input` out with its affine and activation applied, parts joined: [batch, rows, columns,
/// channels].
///
/// # Panics
/// If a length does not fit.
pub(crate) fn transform(cpu: &Cpu, input: &ConvInput<'_>, out: &mut [f32]) {
    input.check();
    let ((rows, width), channels) = (input.size(), input.channels());
    assert_eq!(
        out.len(),
        input.batch * rows * width * channels,
        "an output of {rows}x{width}x{channels}"
    );
    let row = |r: usize| CanvasRow {
        image: r / rows,
        source: Some(r % rows),
    };
    let canvas_rows = (0..input.batch * rows).map(row).collect();
    CanvasShape {
        rows: canvas_rows,
        width,
        left: 0,
        channels,
        bf16: false,
    }
    .fill_into(cpu, input, out);
}

/// The parameters of a layer norm.
#[derive(Clone, Copy)]
pub(crate) struct LayerNorm<'a> {
    /// Added to the variance.
    pub eps: f32,
    /// One scale per column.
    pub weight: &'a [f32],
    /// One shift per column.
    pub bias: &'a [f32],
}

/// Normalises each of `rows` rows of x over its columns: (x - mean) / sqrt(variance + eps) * weight
/// + bias.
///
/// Ba, Kiros and Hinton, "Layer Normalization" (2016). Two passes over a row, which stays in the
/// first-level cache.
///
/// # Panics
/// If a length does not fit.
pub(crate) fn layer_norm(
    cpu: &Cpu,
    rows: usize,
    x: Rows<'_>,
    norm: &LayerNorm<'_>,
    mut out: Output<'_>,
) {
    let columns = x.columns();
    x.check(rows);
    assert_eq!(
        out.len(),
        rows * columns,
        "an output of {rows} rows of {columns}"
    );
    assert!(
        norm.weight.len() == columns && norm.bias.len() == columns,
        "a weight and bias for {columns} columns"
    );
    let target = out.target();
    cpu.pool().run(rows.div_ceil(ROWS), |task| {
        let range = task * ROWS..rows.min((task + 1) * ROWS);
        cpu.isa().run_bf16(NormRows {
            range,
            x,
            norm,
            target,
        });
    });
}

/// Layer norm of some rows, which no other task writes.
struct NormRows<'a> {
    range: std::ops::Range<usize>,
    x: Rows<'a>,
    norm: &'a LayerNorm<'a>,
    target: OutputPtr,
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.x.columns();
        for r in self.range.clone() {
            let row = self.x.row(r);
            let mean = sum(s, row, |v| v) / count as f32;
            let center = s.splat(mean);
            // Lanes past the end hold zeros, whose squared distance is taken off again.
            let padding = count.next_multiple_of(S::WIDTH) - count;
            let squares = sum(s, row, |v| {
                let d = s.sub(v, center);
                s.mul(d, d)
            });
            let variance = (squares - padding as f32 * mean * mean).max(0.0) / count as f32;
            let inverse = s.splat(1.0 / (variance + self.norm.eps).sqrt());
            for c in (0..count).step_by(S::WIDTH) {
                let n = (count - c).min(S::WIDTH);
                // SAFETY: n numbers from c on are inside the row and the parameters; the output row
                // is this task's.
                unsafe {
                    let load = |p: &[f32]| s.load_up_to(p[c..].as_ptr(), n);
                    let v = s.mul(s.sub(load(row), center), inverse);
                    self.target.put(
                        s,
                        r * count + c,
                        s.fma(v, load(self.norm.weight), load(self.norm.bias)),
                        n,
                    );
                }
            }
        }
    }
}

/// Sum of f over a row in four chains of additions; the lanes past the end count as zeros.
#[inline(always)]
fn sum<S: Simd>(s: S, row: &[f32], f: impl Fn(S::V) -> S::V) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    for (i, chunk) in row.chunks(S::WIDTH).enumerate() {
        // SAFETY: the chunk has at most WIDTH numbers.
        let v = unsafe { s.load_up_to(chunk.as_ptr(), chunk.len()) };
        sums[i % 4] = s.add(sums[i % 4], f(v));
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

#[cfg(test)]
#[path = "norm_tests.rs"]
mod tests;
