//! Image resizing as in diffusers and CLIP's image processor. Written by hand because its bytes equal
//! Pillow's one by one, which no crate's do.

use super::Pixels;

/// Bits behind the point of a weight (Pillow, `Resample.c`).
const BITS: u32 = 22;

/// Resampling filter.
#[derive(Clone, Copy)]
pub(super) enum Filter {
    /// Keys's cubic with a = −1/2.
    Bicubic,
    /// Lanczos with three lobes: sinc(x) · sinc(x/3) up to |x| = 3.
    Lanczos,
}

impl Filter {
    /// Radius of the filter, in pixels of the result or of the source, whichever are larger.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => cubic(x),
            Self::Lanczos if x.abs() < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// Weights of the source pixels in one pixel of the result: the first source pixel, and the weights
/// from there on.
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

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// The weights that resize a line of `from` pixels to `to`; the filter is widened where the line is
/// reduced.
fn mixes(filter: Filter, from: usize, to: usize) -> Vec<Mix> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let support = filter.support() * wide;
    let mix = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end)
            .map(|j| filter.at((j as f64 - centre + 0.5) / wide))
            .collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << BITS)).round() as i64;
        Mix {
            first,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    (0..to).map(mix).collect()
}

impl Mix {
    /// The weighted sum of the source pixels `at(j)`, rounded to a byte.
    fn of(&self, at: impl Fn(usize) -> u8) -> u8 {
        let pixels = self.weights.iter().enumerate();
        let sum: i64 = pixels
            .map(|(j, weight)| weight * i64::from(at(self.first + j)))
            .sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

/// Lines of pixels of `channels` bytes, resized along each line.
fn along(mixes: &[Mix], pixels: &[u8], width: usize, channels: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / width * mixes.len());
    for line in pixels.chunks_exact(width * channels) {
        for mix in mixes {
            out.extend((0..channels).map(|channel| mix.of(|x| line[x * channels + channel])));
        }
    }
    out
}

/// Lines of `line` bytes, resized across the lines.
fn across(mixes: &[Mix], pixels: &[u8], line: usize) -> Vec<u8> {
    mixes
        .iter()
        .flat_map(|mix| (0..line).map(move |i| mix.of(|y| pixels[y * line + i])))
        .collect()
}

/// `pixels` of `[width, height]` and `channels` bytes each at another size, rounded to bytes
/// between the two passes. The vertical pass comes first where the height is reduced by more than
/// twice the factor of the width, as in Pillow from version 13 on.
fn scaled(filter: Filter, pixels: &[u8], channels: usize, from: [u32; 2], to: [u32; 2]) -> Vec<u8> {
    let lost = |side: usize| i64::from(from[side]) - i64::from(to[side]);
    let [width, height] = from.map(|side| side as usize);
    let columns = mixes(filter, width, to[0] as usize);
    let rows = mixes(filter, height, to[1] as usize);
    if lost(1) > 0 && lost(1) > 2 * lost(0) {
        along(
            &columns,
            &across(&rows, pixels, width * channels),
            width,
            channels,
        )
    } else {
        across(
            &rows,
            &along(&columns, pixels, width, channels),
            columns.len() * channels,
        )
    }
}

/// `picture` at `[width, height]`; the alpha channel is resized independently of the colours.
pub(super) fn resized(picture: &Pixels, filter: Filter, to: [u32; 2]) -> Pixels {
    let from = [picture.width, picture.height];
    let rgb = scaled(filter, &picture.rgb, 3, from, to);
    let alpha = picture
        .alpha
        .as_ref()
        .map(|alpha| scaled(filter, alpha, 1, from, to));
    Pixels {
        width: to[0],
        height: to[1],
        rgb,
        alpha,
    }
}
