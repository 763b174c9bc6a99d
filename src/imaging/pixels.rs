//! Pixels of input images, and their resizing as in diffusers.

use image::DynamicImage;

use super::decode::Source;
use super::resample::{Filter, resize};
use super::{Fit, MaskChannel, SIDE_UNIT};
use crate::error::Result;
use crate::image::ImageSource;

/// Treatment of transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transparency {
    /// The picture is laid over white.
    OverWhite,
    /// Colours are taken as they stand, shown or hidden (Pillow's `convert("RGB")`).
    Dropped,
}

/// Pixels of an image: rows from the top, three bytes each, and alpha.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
    /// `width × height` bytes, 255 for opaque; only for files with transparency.
    pub alpha: Option<Vec<u8>>,
}

/// Width and height of the image of `source`, upright, from its header alone.
///
/// # Errors
/// The file is missing, no picture, or too large; the message names `field`.
pub fn size_of(field: &str, source: &ImageSource) -> Result<(u32, u32)> {
    Source::open(field, source)?.size()
}

impl Pixels {
    /// Reads the image of `source`, turned upright.
    ///
    /// # Errors
    /// The file is missing, no picture, or too large; the message names `field`.
    pub fn read(field: &str, source: &ImageSource, transparency: Transparency) -> Result<Self> {
        Source::open(field, source)?.decoded(transparency, Ok)
    }

    /// The pixels of a decoded file.
    pub(super) fn from_decoded(image: DynamicImage, transparency: Transparency) -> Self {
        let (width, height) = (image.width(), image.height());
        if !image.color().has_alpha() {
            return Self {
                width,
                height,
                rgb: image.into_rgb8().into_raw(),
                alpha: None,
            };
        }
        let rgba = image.into_rgba8();
        let over_white = |c: u8, a: u8| {
            ((u16::from(c) * u16::from(a) + 255 * (255 - u16::from(a)) + 127) / 255) as u8
        };
        let pixels = rgba.as_raw().chunks_exact(4);
        let mut rgb = Vec::with_capacity(pixels.len() * 3);
        for p in pixels.clone() {
            match transparency {
                Transparency::OverWhite => rgb.extend([0, 1, 2].map(|i| over_white(p[i], p[3]))),
                Transparency::Dropped => rgb.extend_from_slice(&p[..3]),
            }
        }
        Self {
            width,
            height,
            rgb,
            alpha: Some(pixels.map(|p| p[3]).collect()),
        }
    }

    /// The picture at `width × height`, Lanczos-scaled where that is another size.
    pub fn fitted(&self, width: u32, height: u32, fit: Fit) -> Self {
        if (self.width, self.height) == (width, height) {
            return self.clone();
        }
        let lanczos = |size| resize(self, Filter::Lanczos, size);
        let rounded = |own: u32, to: u32| own >= to && own - to < SIDE_UNIT;
        match fit {
            Fit::Stretch => lanczos([width, height]),
            Fit::Cover if rounded(self.width, width) && rounded(self.height, height) => {
                lanczos([width, height])
            }
            Fit::Cover => {
                lanczos(self.scaled_to([width, height], u32::max)).center_on_canvas([width, height])
            }
            Fit::Contain => {
                lanczos(self.scaled_to([width, height], u32::min)).center_on_canvas([width, height])
            }
        }
    }

    /// The centre crop of `side` × `side` pixels that CLIP's image encoders take: the shorter side
    /// is scaled to `side` by bicubic interpolation, the rest of the longer one cropped.
    pub fn center_square(&self, side: u32) -> Self {
        resize(
            self,
            Filter::Bicubic,
            self.scaled_to([side, side], u32::max),
        )
        .center_on_canvas([side, side])
    }

    /// The size in this image's aspect ratio that covers a rectangle (with `max`) or fits into it
    /// (with `min`).
    fn scaled_to(&self, [width, height]: [u32; 2], choose: fn(u32, u32) -> u32) -> [u32; 2] {
        let scaled = |own: u32, to: u32, from: u32| {
            let side = u64::from(own) * u64::from(to) / u64::from(from.max(1));
            side.clamp(1, u64::from(u32::MAX)) as u32
        };
        [
            choose(width, scaled(self.width, height, self.height)),
            choose(height, scaled(self.height, width, self.width)),
        ]
    }

    /// The image in the middle of a canvas of another size.
    fn center_on_canvas(&self, [width, height]: [u32; 2]) -> Self {
        let before = |to: u32, own: u32| i64::from(to / 2) - i64::from(own / 2);
        self.place_on_canvas(
            [before(width, self.width), before(height, self.height)],
            [width, height],
        )
    }

    /// The image on a canvas of another size, `[left, top]` pixels from the canvas's corner:
    /// cropped where it reaches beyond, its border pixels repeated around it.
    pub(super) fn place_on_canvas(&self, [left, top]: [i64; 2], [width, height]: [u32; 2]) -> Self {
        let near = |at: u32, before: i64, own: u32| {
            (i64::from(at) - before).clamp(0, i64::from(own) - 1) as usize
        };
        let columns: Vec<usize> = (0..width).map(|x| near(x, left, self.width)).collect();
        let rows: Vec<usize> = (0..height).map(|y| near(y, top, self.height)).collect();
        let at = |y: &usize, x: &usize| y * self.width as usize + x;
        let pixels = || {
            rows.iter()
                .flat_map(|y| columns.iter().map(move |x| at(y, x)))
        };
        let rgb = pixels()
            .flat_map(|i| self.rgb[i * 3..][..3].iter().copied())
            .collect();
        let alpha = self
            .alpha
            .as_ref()
            .map(|alpha| pixels().map(|i| alpha[i]).collect());
        Self {
            width,
            height,
            rgb,
            alpha,
        }
    }

    /// Luma of each pixel (ITU-R 601, as Pillow's `L`).
    pub(super) fn luma(&self) -> Vec<u8> {
        let luma = |p: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|i| u32::from(p[i]));
            ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
        };
        self.rgb.chunks_exact(3).map(luma).collect()
    }

    /// The image as a mask, one byte per pixel; none for [`MaskChannel::Transparent`] of an image
    /// without alpha.
    pub fn mask(&self, channel: MaskChannel) -> Option<Vec<u8>> {
        let alpha = self.alpha.as_ref();
        match channel {
            MaskChannel::Luma => Some(self.luma()),
            MaskChannel::Opaque => {
                Some(match alpha.filter(|alpha| alpha.iter().any(|a| *a < 255)) {
                    Some(alpha) => alpha
                        .iter()
                        .map(|a| if *a > 128 { 255 } else { 0 })
                        .collect(),
                    None => self.luma(),
                })
            }
            MaskChannel::Transparent => alpha.map(|alpha| alpha.iter().map(|a| 255 - a).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbaImage;

    use super::*;
    use crate::named_enum::Named;

    fn saved(image: &DynamicImage, name: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn transparency_becomes_white_and_is_remembered() {
        let image = RgbaImage::from_fn(2, 1, |x, _| {
            image::Rgba([10, 20, 30, if x == 0 { 255 } else { 0 }])
        });
        let (_folder, path) = saved(&image.into(), "a.png");
        let picture =
            Pixels::read("init_image", &path.as_str().into(), Transparency::OverWhite).unwrap();
        assert_eq!(picture.rgb, [10, 20, 30, 255, 255, 255]);
        assert_eq!(picture.mask(MaskChannel::Transparent).unwrap(), [0, 255]);
    }

    /// tests/golden/resample.py: one of a kind is named after how it was fitted, and its size.
    #[test]
    fn pictures_are_fitted_as_diffusers_fits_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/resample");
        let read = |name: &str| {
            Pixels::read(
                "init_image",
                &format!("{folder}/{name}.png").into(),
                Transparency::Dropped,
            )
            .unwrap()
        };
        let picture = read("picture");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some((fit, _)) = name.split_once('-') else {
                continue;
            };
            let wanted = read(name.trim_end_matches(".png"));
            let fitted =
                picture.fitted(wanted.width, wanted.height, Fit::parse("fit", fit).unwrap());
            assert_eq!(
                (fitted.width, fitted.height),
                (wanted.width, wanted.height),
                "{name}"
            );
            let apart = fitted
                .rgb
                .iter()
                .zip(&wanted.rgb)
                .map(|(a, b)| a.abs_diff(*b))
                .max()
                .unwrap();
            assert_eq!(apart, 0, "{name}");
            count += 1;
        }
        assert_eq!(count, 8);
    }

    /// tests/golden/resample.py
    #[test]
    fn the_middle_square_is_cut_as_for_clip() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/resample");
        let read = |name: &str| {
            Pixels::read(
                "ip_image",
                &format!("{folder}/{name}.png").into(),
                Transparency::Dropped,
            )
            .unwrap()
        };
        assert!(read("tall").center_square(24) == read("square"));
    }

    #[test]
    fn what_is_missing_beside_a_contained_picture_repeats_its_border() {
        let image = RgbaImage::from_fn(4, 2, |x, y| {
            image::Rgba([x as u8 * 60, y as u8 * 200, 9, 255 - y as u8])
        });
        let picture = Pixels::from_decoded(image.into(), Transparency::OverWhite);
        let (contained, inner) = (
            picture.fitted(8, 9, Fit::Contain),
            picture.fitted(8, 4, Fit::Stretch),
        );
        for (y, row) in contained.rgb.chunks_exact(24).enumerate() {
            let from = y.saturating_sub(2).min(3);
            assert_eq!(row, &inner.rgb[from * 24..][..24], "row {y}");
        }
    }

    #[test]
    fn what_rounding_a_size_leaves_over_is_scaled_away_and_transparency_with_it() {
        let image = RgbaImage::from_fn(15, 9, |x, y| {
            image::Rgba([x as u8 * 9, y as u8 * 9, 0, 255 - x as u8])
        });
        let picture = Pixels::from_decoded(image.into(), Transparency::OverWhite);
        let covered = picture.fitted(8, 8, Fit::Cover);
        assert_eq!(covered, picture.fitted(8, 8, Fit::Stretch));
        assert_eq!(covered.alpha.map(|alpha| alpha.len()), Some(64));
        assert_ne!(
            picture.fitted(7, 8, Fit::Cover),
            picture.fitted(7, 8, Fit::Stretch)
        );
    }

    #[test]
    fn what_is_no_picture_is_refused_by_field_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.png");
        std::fs::write(&path, "hello").unwrap();
        let error = size_of("init_image", &path.to_str().unwrap().into()).unwrap_err();
        assert!(error.to_string().contains("text.png"), "{error}");
        let missing =
            Pixels::read("mask", &"nowhere.png".into(), Transparency::Dropped).unwrap_err();
        assert_eq!(missing.field_name(), Some("mask"));
    }
}
