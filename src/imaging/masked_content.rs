//! Initial content of the masked area, and A1111's fill of it with the colours around it.

use super::{Mask, Pixels};
use crate::named_enum::named_enum;

named_enum! {
    /// Initial content of the masked area: A1111's "masked content".
    #[derive(Default)]
    pub enum MaskedContent("masked content") {
        /// The picture as it is.
        #[default]
        Original = "original",
        /// The colours around the mask, blurred into it.
        Fill = "fill",
        /// Noise in place of the latents.
        LatentNoise = "latent_noise",
        /// Latents of 0.
        LatentNothing = "latent_nothing",
    }
}

/// Standard deviations, in pixels, of the blurred copies that are laid over one another, and the
/// number of times each is.
const BLURS: [(f64, usize); 6] = [
    (256.0, 1),
    (64.0, 1),
    (16.0, 2),
    (4.0, 4),
    (2.0, 2),
    (0.0, 1),
];
/// Number of box blurs that approximate a Gaussian blur.
const PASSES: usize = 3;

/// A pixel: red, green, blue and alpha.
type Rgba = [u8; 4];

impl Mask {
    /// The image with the masked area filled from around it: copies of the rest, blurred less and
    /// less, laid over one another (A1111's `masking.fill`, in Pillow's arithmetic).
    pub(super) fn fill_masked(&self, picture: &Pixels) -> Pixels {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let kept: Vec<Rgba> = picture
            .rgb
            .chunks_exact(3)
            .zip(self.soft())
            .map(|(rgb, soft)| {
                let share = 255 - soft;
                [rgb[0], rgb[1], rgb[2], 255]
                    .map(|value| divide_by_255(u32::from(value) * u32::from(share)))
            })
            .collect();
        let mut over = vec![[0; 4]; kept.len()];
        for (deviation, times) in BLURS {
            let layer: Vec<Rgba> = gaussian_blur(&kept, [width, height], deviation)
                .into_iter()
                .map(unpremultiply)
                .collect();
            for _ in 0..times {
                over.iter_mut()
                    .zip(&layer)
                    .for_each(|(under, top)| *under = alpha_composite(*under, *top));
            }
        }
        let rgb = over.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        Pixels {
            rgb,
            ..picture.clone()
        }
    }
}

/// A product of two bytes over 255, rounded.
fn divide_by_255(product: u32) -> u8 {
    let product = product + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// A pixel with premultiplied alpha, unpremultiplied.
fn unpremultiply(pixel: Rgba) -> Rgba {
    let [r, g, b, a] = pixel;
    if a == 0 || a == 255 {
        return pixel;
    }
    let [r, g, b] = [r, g, b].map(|value| (255 * u32::from(value) / u32::from(a)).min(255) as u8);
    [r, g, b, a]
}

/// `top` composited over `under`, with 7 bits more than the bytes have (Pillow's
/// `alpha_composite`).
fn alpha_composite(under: Rgba, top: Rgba) -> Rgba {
    let [.., opaque] = top.map(u32::from);
    if opaque == 0 {
        return under;
    }
    let left = u32::from(under[3]) * (255 - opaque);
    let all = opaque * 255 + left;
    let share = opaque * 255 * 255 * 128 / all;
    let rest = 255 * 128 - share;
    let colour = |i: usize| {
        let sum = u32::from(top[i]) * share + u32::from(under[i]) * rest + (128 << 7);
        ((((sum >> 8) + sum) >> 8) >> 7) as u8
    };
    [colour(0), colour(1), colour(2), divide_by_255(all)]
}

/// Pillow's Gaussian blur: three box blurs along rows and three along columns.
fn gaussian_blur(pixels: &[Rgba], [width, height]: [usize; 2], deviation: f64) -> Vec<Rgba> {
    let radius = box_radius(deviation as f32);
    if radius == 0.0 {
        return pixels.to_vec();
    }
    let mut plane = pixels.to_vec();
    for side in [width, height] {
        let mut line = vec![[0; 4]; side];
        for row in plane.chunks_exact_mut(side) {
            for _ in 0..PASSES {
                box_blur(row, &mut line, radius);
                row.copy_from_slice(&line);
            }
        }
        plane = (0..side)
            .flat_map(|x| plane.iter().skip(x).step_by(side).copied())
            .collect();
    }
    plane
}

/// Radius of the box blurs of which [`PASSES`] in a row have the given standard deviation (Gwosdek
/// et al. 2011, equations 7, 11 and 14).
fn box_radius(deviation: f32) -> f32 {
    let variance = deviation * deviation / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    whole + part / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)))
}

/// Box blur of a line: the mean of 2r + 1 pixels around each, with the pixels at both ends of the
/// box weighted by the fraction of r, and the border pixels repeated beyond the line.
fn box_blur(line: &[Rgba], out: &mut [Rgba], radius: f32) {
    let reach = radius as usize;
    let weight = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    let far = ((1u32 << 24) - (2 * reach as u32 + 1) * weight) / 2;
    let last = line.len() - 1;
    let at = |x: usize, i: usize| u32::from(line[x.min(last)][i]);
    for i in 0..4 {
        // From reach + 1 before the first pixel to reach - 1 behind it.
        let first = u32::from(line[0][i]);
        let mut sum = first * (reach as u32 + 1) + (0..reach).map(|x| at(x, i)).sum::<u32>();
        for (x, pixel) in out.iter_mut().enumerate() {
            sum = sum + at(x + reach, i) - at(x.saturating_sub(reach + 1), i);
            let ends = at(x.saturating_sub(reach + 1), i) + at(x + reach + 1, i);
            pixel[i] = ((sum * weight + ends * far + (1 << 23)) >> 24) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/golden/masked_content.py`, which calls Pillow as A1111 does.
    #[test]
    fn a_mask_is_filled_as_a1111_fills_it() {
        let open = |name: &str| {
            let path = format!(
                "{}/tests/golden/masked_content/{name}.png",
                env!("CARGO_MANIFEST_DIR")
            );
            image::open(path).unwrap()
        };
        for case in ["soft", "hard", "wide"] {
            let (from, mask) = (
                open(&format!("{case}-picture")).to_rgb8(),
                open(&format!("{case}-mask")).to_luma8(),
            );
            let (width, height) = from.dimensions();
            let picture = Pixels {
                width,
                height,
                rgb: from.into_raw(),
                alpha: None,
            };
            let mask = Mask::from_soft(mask.into_raw(), [width, height]).unwrap();
            let filled = mask.fill_masked(&picture).rgb;
            let expected = open(&format!("{case}-filled")).to_rgb8().into_raw();
            let wrong = filled.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert_eq!(wrong, 0, "{case}: {wrong} of {} values", expected.len());
        }
    }
}
