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

    fn weight_at(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => cubic(x),
            Self::Lanczos if x.abs() < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// Weights of the source pixels in one pixel of the result: the first source pixel, and the weights
/// from there on.
struct PixelWeights {
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
fn pixel_weights(filter: Filter, from: usize, to: usize) -> Vec<PixelWeights> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let support = filter.support() * wide;
    let weights_of = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end)
            .map(|j| filter.weight_at((j as f64 - centre + 0.5) / wide))
            .collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << BITS)).round() as i64;
        PixelWeights {
            first,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    (0..to).map(weights_of).collect()
}

impl PixelWeights {
    /// The weighted sum of the source pixels `at(j)`, rounded to a byte.
    fn apply(&self, at: impl Fn(usize) -> u8) -> u8 {
        let pixels = self.weights.iter().enumerate();
        let sum: i64 = pixels
            .map(|(j, weight)| weight * i64::from(at(self.first + j)))
            .sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

/// Lines of pixels of `channels` bytes, resized along each line.
fn resample_rows(
    pixel_weights: &[PixelWeights],
    pixels: &[u8],
    width: usize,
    channels: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / width * pixel_weights.len());
    for line in pixels.chunks_exact(width * channels) {
        for weights in pixel_weights {
            out.extend(
                (0..channels).map(|channel| weights.apply(|x| line[x * channels + channel])),
            );
        }
    }
    out
}

/// Lines of `line` bytes, resized across the lines.
fn resample_columns(pixel_weights: &[PixelWeights], pixels: &[u8], line: usize) -> Vec<u8> {
    pixel_weights
        .iter()
        .flat_map(|weights| (0..line).map(move |i| weights.apply(|y| pixels[y * line + i])))
        .collect()
}

/// `pixels` of `[width, height]` and `channels` bytes each at another size, rounded to bytes
/// between the two passes. The vertical pass comes first where the height is reduced by more than
/// twice the factor of the width, as in Pillow from version 13 on.
fn resample(
    filter: Filter,
    pixels: &[u8],
    channels: usize,
    from: [u32; 2],
    to: [u32; 2],
) -> Vec<u8> {
    let lost = |side: usize| i64::from(from[side]) - i64::from(to[side]);
    let [width, height] = from.map(|side| side as usize);
    let columns = pixel_weights(filter, width, to[0] as usize);
    let rows = pixel_weights(filter, height, to[1] as usize);
    if lost(1) > 0 && lost(1) > 2 * lost(0) {
        resample_rows(
            &columns,
            &resample_columns(&rows, pixels, width * channels),
            width,
            channels,
        )
    } else {
        resample_columns(
            &rows,
            &resample_rows(&columns, pixels, width, channels),
            columns.len() * channels,
        )
    }
}

/// `picture` at `[width, height]`; the alpha channel is resized independently of the colours.
pub(super) fn resize(picture: &Pixels, filter: Filter, to: [u32; 2]) -> Pixels {
    let from = [picture.width, picture.height];
    let rgb = resample(filter, &picture.rgb, 3, from, to);
    let alpha = picture
        .alpha
        .as_ref()
        .map(|alpha| resample(filter, alpha, 1, from, to));
    Pixels {
        width: to[0],
        height: to[1],
        rgb,
        alpha,
    }
}
