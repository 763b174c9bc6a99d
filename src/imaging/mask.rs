//! Masks: white is repainted. Grown, blurred and inverted on pixels; binary for the network, soft
//! for the edge of the part that is kept.

use image::GrayImage;
use serde::{Deserialize, Serialize};

use super::{Extend, MaskedContent, Pixels};
use crate::error::{Error, Result};
use crate::image::ImageSource;

/// Source of a mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskSource {
    /// The transparent part of the initial picture.
    Alpha,
    /// The white part of an image.
    File(ImageSource),
    /// The extension beyond the image's edges alone.
    Extension,
}

/// Channel of an image that makes the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskChannel {
    /// Luma, whatever the transparency (diffusers).
    Luma,
    /// Alpha above 128, if any pixel is not opaque; else luma (A1111's `create_binary_mask`).
    Opaque,
    /// Transparency, 255 − alpha (OpenAI).
    Transparent,
}

/// A mask and its preprocessing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskOptions {
    /// Source of the mask.
    pub source: MaskSource,
    /// Standard deviation of a Gaussian blur, in pixels.
    pub blur: f64,
    /// Standard deviation of the blur along columns, in pixels, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur_y: Option<f64>,
    /// Pixels by which white grows.
    pub grow: u32,
    /// True if black and white are swapped.
    pub invert: bool,
    /// True if pixels outside the mask are restored from the initial image.
    pub keep_unmasked: bool,
    /// Padding around the mask in pixels, if only this part of the image is rendered and pasted
    /// back.
    #[serde(default)]
    pub padding: Option<u32>,
    /// Outpainting: pixels added on each side, which are painted too.
    #[serde(default)]
    pub extend: Option<Extend>,
    /// Initial content of the masked area.
    #[serde(default)]
    pub content: MaskedContent,
}

/// A mask of the picture's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// 255 where the image is repainted, with soft edges where the mask was blurred.
    soft: Vec<u8>,
}

impl Mask {
    /// A mask from grey values, preprocessed as `options` say.
    pub(super) fn new(
        grey: Vec<u8>,
        [width, height]: [u32; 2],
        options: &MaskOptions,
    ) -> Result<Self> {
        let mut plane = grey;
        if options.invert {
            plane.iter_mut().for_each(|v| *v = 255 - *v);
        }
        if options.grow > 0 {
            plane = dilate(&plane, width as usize, options.grow as usize);
        }
        let plane = match options.blur_y.filter(|down| *down != options.blur) {
            None => gaussian_blur(plane, [width, height], options.blur),
            Some(down) => {
                // A picture of one row is blurred along that row alone.
                let rows = plane.chunks(width as usize);
                let across: Vec<u8> = rows
                    .flat_map(|row| gaussian_blur(row.to_vec(), [width, 1], options.blur))
                    .collect();
                let columns = transpose(&across, width as usize);
                let columns = columns.chunks(height as usize);
                let both: Vec<u8> = columns
                    .flat_map(|column| gaussian_blur(column.to_vec(), [height, 1], down))
                    .collect();
                transpose(&both, height as usize)
            }
        };
        Self::from_soft(plane, [width, height])
    }

    /// A mask from grey values, without preprocessing.
    pub(super) fn from_soft(soft: Vec<u8>, [width, height]: [u32; 2]) -> Result<Self> {
        let mask = Self {
            width,
            height,
            soft,
        };
        if mask.binary().all(|on| !on) {
            return Err(Error::field(
                "mask",
                "the mask is black all over: nothing would be painted",
            )
            .hint("white is repainted; `--invert-mask` swaps black and white"));
        }
        Ok(mask)
    }

    /// Share of each pixel that is repainted, from 0 to 255.
    pub(super) fn soft(&self) -> &[u8] {
        &self.soft
    }

    /// True for each pixel that is repainted: 128 or more.
    pub fn binary(&self) -> impl Iterator<Item = bool> + '_ {
        self.soft.iter().map(|&v| v >= 128)
    }

    /// The mask at one value for each cell of `factor` pixels a side: that of the cell's first
    /// pixel, as the networks were trained.
    pub fn cells(&self, factor: u32) -> Vec<f32> {
        let (columns, rows) = (self.width / factor, self.height / factor);
        let at = |row: u32, column: u32| {
            self.soft[((row * self.width + column) * factor) as usize] >= 128
        };
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| f32::from(u8::from(at(row, column)))))
            .collect()
    }

    /// The ranges of columns and of rows that hold anything but black, their ends exclusive.
    pub(super) fn bounds(&self) -> ([u32; 2], [u32; 2]) {
        let lit = (0u32..)
            .zip(&self.soft)
            .filter(|(_, value)| **value > 0)
            .map(|(i, _)| i);
        let empty = ([self.width, 0], [self.height, 0]);
        lit.fold(empty, |([left, right], [top, bottom]), i| {
            let (x, y) = (i % self.width, i / self.width);
            (
                [left.min(x), right.max(x + 1)],
                [top.min(y), bottom.max(y + 1)],
            )
        })
    }

    /// The mask as a grey picture.
    pub(super) fn to_grey_image(&self) -> Pixels {
        let rgb = self.soft.iter().flat_map(|&value| [value; 3]).collect();
        Pixels {
            width: self.width,
            height: self.height,
            rgb,
            alpha: None,
        }
    }

    /// `new` over `old` where the mask is white.
    pub(super) fn blend(&self, new: &mut [u8], old: &[u8]) {
        for ((new, old), &share) in new
            .chunks_exact_mut(3)
            .zip(old.chunks_exact(3))
            .zip(&self.soft)
        {
            for (n, o) in new.iter_mut().zip(old) {
                let (a, b, share) = (u16::from(*n), u16::from(*o), u16::from(share));
                *n = ((a * share + b * (255 - share) + 127) / 255) as u8;
            }
        }
    }
}

/// A plane after a Gaussian blur.
fn gaussian_blur(plane: Vec<u8>, [width, height]: [u32; 2], sigma: f64) -> Vec<u8> {
    if sigma <= 0.0 {
        return plane;
    }
    let image = GrayImage::from_raw(width, height, plane);
    image.map_or_else(Vec::new, |image| {
        image::imageops::blur(&image, sigma as f32).into_raw()
    })
}

/// The plane transposed.
fn transpose(plane: &[u8], width: usize) -> Vec<u8> {
    (0..width)
        .flat_map(|x| plane.iter().skip(x).step_by(width).copied())
        .collect()
}

/// Each pixel as bright as the brightest within `reach` pixels along both axes (a square brush).
fn dilate(plane: &[u8], width: usize, reach: usize) -> Vec<u8> {
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
        MaskOptions {
            source: MaskSource::Alpha,
            blur: 0.0,
            blur_y: None,
            grow: 0,
            invert: false,
            keep_unmasked: false,
            padding: None,
            extend: None,
            content: MaskedContent::Original,
        }
    }

    #[test]
    fn growing_reaches_all_ways_and_inverting_swaps() {
        let mut grey = vec![0u8; 25];
        grey[12] = 255;
        let grown = Mask::new(
            grey.clone(),
            [5, 5],
            &MaskOptions {
                grow: 1,
                ..options()
            },
        )
        .unwrap();
        assert_eq!(grown.binary().filter(|on| *on).count(), 9);
        let inverted = Mask::new(
            grey,
            [5, 5],
            &MaskOptions {
                invert: true,
                ..options()
            },
        )
        .unwrap();
        assert_eq!(inverted.binary().filter(|on| *on).count(), 24);
    }

    #[test]
    fn a_blur_may_differ_between_rows_and_columns() {
        let mut grey = vec![0u8; 21 * 21];
        grey[10 * 21 + 10] = 255;
        grey[10 * 21 + 11] = 255;
        let reach = |blur: f64, blur_y: Option<f64>| {
            let options = MaskOptions {
                blur,
                blur_y,
                ..options()
            };
            let plane = [vec![255; 21 * 2], grey[42..].to_vec()].concat();
            let mask = Mask::new(plane, [21, 21], &options).unwrap();
            let lit = |at: usize| mask.soft[at] > 0;
            [lit(10 * 21 + 14), lit(14 * 21 + 10)]
        };
        assert_eq!(reach(3.0, Some(0.0)), [true, false]);
        assert_eq!(reach(0.0, Some(3.0)), [false, true]);
        assert_eq!(reach(3.0, Some(3.0)), reach(3.0, None));
    }

    #[test]
    fn a_black_mask_is_an_error() {
        let error = Mask::new(vec![127; 4], [2, 2], &options()).unwrap_err();
        assert_eq!(error.field_name(), Some("mask"));
    }

    #[test]
    fn cells_take_their_first_pixel() {
        let grey = (0..64)
            .map(|i| if i == 0 || i == 36 { 255 } else { 0 })
            .collect();
        let mask = Mask::new(grey, [8, 8], &options()).unwrap();
        assert_eq!(mask.cells(4), [1.0, 0.0, 0.0, 1.0]);
    }
}
