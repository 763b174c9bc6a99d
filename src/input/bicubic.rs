//! Bicubic scaling as Pillow does it, number by number: what CLIP's picture encoders were fed with.

use super::Picture;

/// Bits behind the point of a weight (Pillow, `Resample.c`).
const BITS: u32 = 22;

/// What one pixel of the result is made of: the first pixel of the source, and the weights from it on.
struct Mix {
    first: usize,
    weights: Vec<i64>,
}

/// Keys's cubic with a = −1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The mixes that bring a line of `from` pixels to `to`; the kernel grows as the line shrinks.
fn mixes(from: usize, to: usize) -> Vec<Mix> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let mix = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - 2.0 * wide + 0.5).max(0.0) as usize;
        let end = ((centre + 2.0 * wide + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end).map(|j| cubic((j as f64 - centre + 0.5) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << BITS)).round() as i64;
        Mix { first, weights: weights.into_iter().map(fixed).collect() }
    };
    (0..to).map(mix).collect()
}

impl Mix {
    /// The byte that it makes of `at(j)`, the pixels of the source.
    fn of(&self, at: impl Fn(usize) -> u8) -> u8 {
        let pixels = self.weights.iter().enumerate();
        let sum: i64 = pixels.map(|(j, weight)| weight * i64::from(at(self.first + j))).sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

/// `picture` at another size, rows first, rounded to bytes in between.
pub(super) fn resized(picture: &Picture, width: u32, height: u32) -> Picture {
    let (from, columns) = (picture.width as usize, mixes(picture.width as usize, width as usize));
    let mut wide = Vec::with_capacity(picture.height as usize * columns.len() * 3);
    for row in picture.rgb.chunks_exact(from * 3) {
        for mix in &columns {
            wide.extend([0, 1, 2].map(|channel| mix.of(|x| row[x * 3 + channel])));
        }
    }
    let line = columns.len() * 3;
    let rows = mixes(picture.height as usize, height as usize);
    let rgb = rows.iter().flat_map(|mix| (0..line).map(|i| mix.of(|y| wide[y * line + i]))).collect();
    Picture { width, height, rgb, alpha: None }
}
