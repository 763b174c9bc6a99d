//! Inpainting of the masked area only (A1111's "only masked"): the surroundings of a mask are cut
//! out, rendered at full size and pasted back into the image.

use super::{Fit, Mask, Pixels};
use crate::error::Result;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// The whole image with its mask, and the region that is rendered and pasted back.
pub struct Patch {
    whole: Pixels,
    mask: Mask,
    region: Region,
}

impl Patch {
    /// Cuts the surroundings of `mask` out of `whole`: the picture and the mask to be rendered at
    /// `size`, and the patch that takes the rendering back.
    pub(super) fn cut(
        whole: Pixels,
        mask: Mask,
        padding: u32,
        size: [u32; 2],
    ) -> Result<(Pixels, Mask, Self)> {
        let region = Region::around(&mask, padding, size);
        let [width, height] = size;
        let part = region.crop(&whole).fitted(width, height, Fit::Contain);
        let cut = region
            .crop(&mask.to_grey_image())
            .fitted(width, height, Fit::Contain)
            .luma();
        Ok((
            part,
            Mask::from_soft(cut, size)?,
            Self {
                whole,
                mask,
                region,
            },
        ))
    }

    /// The rendered region of another image that is fitted to the whole one.
    pub(super) fn crop_like(&self, other: &Pixels, fit: Fit) -> Pixels {
        self.region
            .crop(&other.fitted(self.whole.width, self.whole.height, fit))
    }

    /// The whole picture with a rendering in its place, blended along the mask's edge.
    pub(super) fn paste_back(&self, rendering: &Pixels) -> Pixels {
        let Region {
            left,
            top,
            width,
            height,
        } = self.region;
        let part = rendering.fitted(width, height, Fit::Cover);
        let mut picture = Pixels {
            alpha: None,
            ..self.whole.clone()
        };
        for (row, pixels) in part.rgb.chunks_exact(width as usize * 3).enumerate() {
            let start = ((top as usize + row) * self.whole.width as usize + left as usize) * 3;
            picture.rgb[start..start + pixels.len()].copy_from_slice(pixels);
        }
        self.mask.blend(&mut picture.rgb, &self.whole.rgb);
        picture
    }
}

impl Region {
    /// The smallest rectangle around all that is not black in `mask`, `padding` pixels larger on
    /// each side, and in the aspect ratio of `size` as far as the image allows (diffusers'
    /// `get_crop_region`).
    fn around(mask: &Mask, padding: u32, [width, height]: [u32; 2]) -> Self {
        let (columns, rows) = mask.bounds();
        let [left, right] = pad_range(columns, padding, mask.width);
        let [top, bottom] = pad_range(rows, padding, mask.height);
        let (wide, high) = (f64::from(right - left), f64::from(bottom - top));
        let wanted = f64::from(width) / f64::from(height);
        let ([left, right], [top, bottom]) = if wide / high > wanted {
            (
                [left, right],
                widen_range([top, bottom], (wide / wanted - high) as u32, mask.height),
            )
        } else {
            (
                widen_range([left, right], (high * wanted - wide) as u32, mask.width),
                [top, bottom],
            )
        };
        Self {
            left,
            top,
            width: right - left,
            height: bottom - top,
        }
    }

    /// The rectangle's pixels.
    fn crop(self, picture: &Pixels) -> Pixels {
        let row = |y: u32| {
            let start = ((y * picture.width + self.left) * 3) as usize;
            &picture.rgb[start..start + self.width as usize * 3]
        };
        let rows = self.top..self.top + self.height;
        Pixels {
            width: self.width,
            height: self.height,
            rgb: rows.flat_map(row).copied().collect(),
            alpha: None,
        }
    }
}

/// A range grown on both sides, within 0..length.
fn pad_range([from, to]: [u32; 2], padding: u32, length: u32) -> [u32; 2] {
    [
        from.saturating_sub(padding),
        to.saturating_add(padding).min(length),
    ]
}

/// A range grown by `more` in all, half on each side, moved to lie within 0..length and cut where
/// it cannot.
fn widen_range([from, to]: [u32; 2], more: u32, length: u32) -> [u32; 2] {
    let size = (to - from + more).min(length);
    let from = from.saturating_sub(more / 2).min(length - size);
    [from, from + size]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask that is white in columns 6 and 7 of rows 2 to 5, on 16 × 8 pixels.
    fn mask() -> Mask {
        let white = |i: u32| (6..8).contains(&(i % 16)) && (2..6).contains(&(i / 16));
        Mask::from_soft(
            (0..128).map(|i| if white(i) { 255 } else { 0 }).collect(),
            [16, 8],
        )
        .unwrap()
    }

    #[test]
    fn the_region_is_padded_and_takes_the_shape_of_the_rendering() {
        let region = |padding, size| {
            let Region {
                left,
                top,
                width,
                height,
            } = Region::around(&mask(), padding, size);
            [left, top, width, height]
        };
        assert_eq!(region(0, [8, 8]), [5, 2, 4, 4]);
        assert_eq!(region(1, [8, 8]), [4, 1, 6, 6]);
        assert_eq!(region(0, [16, 8]), [3, 2, 8, 4]);
        // The picture is no higher than 8.
        assert_eq!(region(9, [8, 8]), [0, 0, 16, 8]);
        assert_eq!(widen_range([0, 2], 4, 16), [0, 6]);
        assert_eq!(widen_range([14, 16], 4, 16), [10, 16]);
    }

    #[test]
    fn a_rendering_goes_back_where_the_mask_is_and_nowhere_else() {
        let whole = Pixels {
            width: 16,
            height: 8,
            rgb: vec![10; 384],
            alpha: None,
        };
        let (part, cut, patch) = Patch::cut(whole, mask(), 0, [8, 8]).unwrap();
        assert_eq!(
            (part.width, part.height, cut.width, cut.height),
            (8, 8, 8, 8)
        );
        // Two of four columns are masked, scaled twofold.
        assert_eq!(cut.binary().filter(|on| *on).count(), 32);
        let painted = patch.paste_back(&Pixels {
            rgb: vec![200; 192],
            ..part
        });
        assert_eq!((painted.width, painted.height), (16, 8));
        for (i, pixel) in painted.rgb.chunks_exact(3).enumerate() {
            let on = (6..8).contains(&(i % 16)) && (2..6).contains(&(i / 16));
            assert_eq!(pixel, [if on { 200 } else { 10 }; 3], "{i}");
        }
    }
}
