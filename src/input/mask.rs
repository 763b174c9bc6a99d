//! Masks: white is painted anew. Grown, blurred and inverted on pixels; binary for the network, soft for the edge of
//! what is kept.

use image::GrayImage;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a mask comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskSource {
    /// The transparent part of the initial picture.
    Alpha,
    /// The white part of the picture at this path.
    File(String),
}

/// A mask and what is done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskOptions {
    /// Where it comes from.
    pub source: MaskSource,
    /// Standard deviation of a Gaussian blur, in pixels.
    pub blur: f64,
    /// Pixels by which white grows.
    pub grow: u32,
    /// Black and white change places.
    pub invert: bool,
    /// Pixels outside the mask are put back as they were.
    pub keep_unmasked: bool,
}

/// A mask of the picture's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// 255 where the picture is painted anew, with soft edges where it was blurred.
    soft: Vec<u8>,
}

impl Mask {
    /// A mask from grey values.
    ///
    /// # Errors
    /// Nothing in it is white: nothing would be painted.
    pub(super) fn new(grey: Vec<u8>, [width, height]: [u32; 2], options: &MaskOptions) -> Result<Self> {
        let mut plane = grey;
        if options.invert {
            plane.iter_mut().for_each(|v| *v = 255 - *v);
        }
        if options.grow > 0 {
            plane = grown(&plane, width as usize, options.grow as usize);
        }
        if options.blur > 0.0
            && let Some(image) = GrayImage::from_raw(width, height, plane.clone())
        {
            plane = image::imageops::blur(&image, options.blur as f32).into_raw();
        }
        let mask = Self { width, height, soft: plane };
        if mask.binary().all(|on| !on) {
            return Err(Error::field("mask", "the mask is black all over: nothing would be painted")
                .hint("white is painted anew; `--invert-mask` swaps black and white"));
        }
        Ok(mask)
    }

    /// Whether each pixel is painted anew: brighter than half.
    pub fn binary(&self) -> impl Iterator<Item = bool> + '_ {
        self.soft.iter().map(|&v| v >= 128)
    }

    /// The mask at one value for each cell of `factor` pixels a side: that of the cell's first pixel, as the
    /// networks were trained.
    pub fn cells(&self, factor: u32) -> Vec<f32> {
        let (columns, rows) = (self.width / factor, self.height / factor);
        let at = |row: u32, column: u32| self.soft[((row * self.width + column) * factor) as usize] >= 128;
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| f32::from(u8::from(at(row, column)))))
            .collect()
    }

    /// `new` over `old` where the mask is white.
    pub(super) fn blend(&self, new: &mut [u8], old: &[u8]) {
        for ((new, old), &share) in new.chunks_exact_mut(3).zip(old.chunks_exact(3)).zip(&self.soft) {
            for (n, o) in new.iter_mut().zip(old) {
                let (a, b, share) = (u16::from(*n), u16::from(*o), u16::from(share));
                *n = ((a * share + b * (255 - share) + 127) / 255) as u8;
            }
        }
    }
}

/// Each pixel as bright as the brightest within `reach` pixels along both axes (a square brush).
fn grown(plane: &[u8], width: usize, reach: usize) -> Vec<u8> {
    let height = plane.len() / width;
    let brightest = |values: &mut dyn Iterator<Item = u8>| values.max().unwrap_or(0);
    let mut rows = vec![0u8; plane.len()];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let range = x.saturating_sub(reach)..=(x + reach).min(width - 1);
        rows[y * width + x] = brightest(&mut range.map(|x| plane[y * width + x]));
    }
    let mut both = vec![0u8; plane.len()];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let range = y.saturating_sub(reach)..=(y + reach).min(height - 1);
        both[y * width + x] = brightest(&mut range.map(|y| rows[y * width + x]));
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MaskOptions {
        MaskOptions { source: MaskSource::Alpha, blur: 0.0, grow: 0, invert: false, keep_unmasked: false }
    }

    #[test]
    fn growing_reaches_all_ways_and_inverting_swaps() {
        let mut grey = vec![0u8; 25];
        grey[12] = 255;
        let grown = Mask::new(grey.clone(), [5, 5], &MaskOptions { grow: 1, ..options() }).unwrap();
        assert_eq!(grown.binary().filter(|on| *on).count(), 9);
        let inverted = Mask::new(grey, [5, 5], &MaskOptions { invert: true, ..options() }).unwrap();
        assert_eq!(inverted.binary().filter(|on| *on).count(), 24);
    }

    #[test]
    fn a_black_mask_is_an_error() {
        let error = Mask::new(vec![127; 4], [2, 2], &options()).unwrap_err();
        assert_eq!(error.field_name(), Some("mask"));
    }

    #[test]
    fn cells_take_their_first_pixel() {
        let grey = (0..64).map(|i| if i == 0 || i == 36 { 255 } else { 0 }).collect();
        let mask = Mask::new(grey, [8, 8], &options()).unwrap();
        assert_eq!(mask.cells(4), [1.0, 0.0, 0.0, 1.0]);
    }
}
