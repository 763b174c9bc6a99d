//! Input images of a request: read, turned upright, resized, and masks made of them. Plain bytes;
//! the encoding to latents is not part of this module.

mod decode;
mod inpaint_crop;
mod mask;
mod masked_content;
mod outpaint;
mod pixels;
mod preprocess;
mod resample;

pub use decode::Source;
pub use inpaint_crop::Patch;
pub use mask::{Mask, MaskChannel, MaskOptions, MaskSource};
pub use masked_content::MaskedContent;
pub use outpaint::Extend;
pub use pixels::{Pixels, Transparency, size_of};
pub use preprocess::{Preprocessor, PreprocessorSettings, Thresholds, control_image};

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::image::ImageSource;
use crate::named_enum::named_enum;

/// Width and height of an image are multiples of this, in pixels.
pub const SIDE_UNIT: u32 = 8;

named_enum! {
    /// Resize mode for an image of another shape: diffusers' `crop`, `fill` and `default`.
    pub enum Fit("fit") {
        /// Scaled to cover, the overhang cropped evenly on both sides; an overhang of less than
        /// [`SIDE_UNIT`] pixels, left by the rounding of an image's own size, is removed by scaling
        /// instead.
        Cover = "cover",
        /// Scaled to lie within, the rest filled with its border's pixels.
        Contain = "contain",
        /// Scaled on each axis separately.
        Stretch = "stretch",
    }
}

/// Initial image and mask of a request, in pixels of the size that is rendered.
pub struct Start {
    /// The picture.
    pub picture: Pixels,
    /// Mask of the part to repaint; the whole image is repainted without one.
    pub mask: Option<Mask>,
    /// Initial content of the masked area.
    pub content: MaskedContent,
    /// Whole image that takes the rendering back, if only a part of it is rendered.
    patch: Option<Patch>,
}

impl Start {
    /// Reads the image of `source`, and its mask if it has one, fitted to `size`.
    ///
    /// # Errors
    /// A file that is missing, too large or no picture; a mask that repaints nothing.
    pub fn load(
        source: &ImageSource,
        mask: Option<&MaskOptions>,
        fit: Fit,
        size: [u32; 2],
    ) -> Result<Self> {
        let picture = Pixels::read("init_image", source, Transparency::OverWhite)?;
        let Some(options) = mask else {
            let picture = picture.fitted(size[0], size[1], fit);
            return Ok(Self {
                picture,
                mask: None,
                content: MaskedContent::Original,
                patch: None,
            });
        };
        let extend = options.extend.unwrap_or_default();
        let [more_width, more_height] = extend.added();
        // A part is cut out of the picture at its own size.
        let [width, height] = match options.padding {
            Some(_) => [picture.width, picture.height],
            None => [
                size[0].saturating_sub(more_width).max(1),
                size[1].saturating_sub(more_height).max(1),
            ],
        };
        let picture = picture.fitted(width, height, fit);
        let plane = mask_plane(&picture, options, fit)?;
        let canvas = extend.extend_image(&picture);
        let mask = Mask::new(plane, [canvas.width, canvas.height], options)?;
        let content = options.content;
        let Some(padding) = options.padding else {
            return Ok(Self {
                picture: canvas,
                mask: Some(mask),
                content,
                patch: None,
            });
        };
        let (picture, mask, patch) = Patch::cut(canvas, mask, padding, size)?;
        Ok(Self {
            picture,
            mask: Some(mask),
            content,
            patch: Some(patch),
        })
    }

    /// The image that a run begins with: with [`MaskedContent::Fill`], the colours around the mask
    /// in the masked area; otherwise unchanged.
    pub fn initial_image(&self) -> Cow<'_, Pixels> {
        match (&self.mask, self.content) {
            (Some(mask), MaskedContent::Fill) => Cow::Owned(mask.fill_masked(&self.picture)),
            _ => Cow::Borrowed(&self.picture),
        }
    }

    /// The finished image of a rendering: a part is pasted back in its place; with `keep`, the
    /// pixels outside the mask are restored, blended along the mask's edge.
    pub fn finish(&self, rgb: Vec<u8>, keep: bool) -> Pixels {
        let mut rendering = Pixels {
            width: self.picture.width,
            height: self.picture.height,
            rgb,
            alpha: None,
        };
        if let Some(patch) = &self.patch {
            return patch.paste_back(&rendering);
        }
        if let Some(mask) = self.mask.as_ref().filter(|_| keep) {
            mask.blend(&mut rendering.rgb, &self.picture.rgb);
        }
        rendering
    }
}

/// The mask of an image on its extended canvas, before it is inverted, grown or blurred.
fn mask_plane(picture: &Pixels, options: &MaskOptions, fit: Fit) -> Result<Vec<u8>> {
    let (width, height) = (picture.width, picture.height);
    // The extension has to be white after inversion; an image without a mask of its own, black.
    let new = if options.invert { 0 } else { 255 };
    let inner = match &options.source {
        MaskSource::Alpha => picture.mask(MaskChannel::Transparent).ok_or_else(|| {
            Error::field("mask", "the initial picture has no alpha channel")
                .hint("give a mask file instead")
        })?,
        MaskSource::File(source) => Pixels::read("mask", source, Transparency::Dropped)?
            .fitted(width, height, fit)
            .luma(),
        MaskSource::Extension => vec![255 - new; (width * height) as usize],
    };
    Ok(options
        .extend
        .unwrap_or_default()
        .extend_mask(&inner, [width, height], new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(padding: Option<u32>) -> MaskOptions {
        MaskOptions {
            source: MaskSource::Extension,
            blur: 0.0,
            blur_y: None,
            grow: 0,
            invert: false,
            keep_unmasked: true,
            padding,
            extend: Some(Extend {
                left: 8,
                ..Extend::default()
            }),
            content: MaskedContent::Original,
        }
    }

    fn start(options: &MaskOptions, size: [u32; 2]) -> Start {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::RgbImage::from_pixel(16, 16, image::Rgb([7, 8, 9]))
            .save(&path)
            .unwrap();
        Start::load(
            &path.to_str().unwrap().into(),
            Some(options),
            Fit::Cover,
            size,
        )
        .unwrap()
    }

    #[test]
    fn an_extended_picture_is_painted_where_it_is_new() {
        for invert in [false, true] {
            let start = start(
                &MaskOptions {
                    invert,
                    ..options(None)
                },
                [24, 16],
            );
            let mask = start.mask.as_ref().unwrap();
            assert_eq!(
                (start.picture.width, mask.binary().filter(|on| *on).count()),
                (24, 128)
            );
            let picture = start.finish(vec![200; 24 * 16 * 3], true);
            assert_eq!(
                (&picture.rgb[21..24], &picture.rgb[24..27]),
                (&[200; 3][..], &[7, 8, 9][..])
            );
        }
    }

    #[test]
    fn a_part_is_rendered_at_its_own_size_and_the_picture_keeps_its_size() {
        let start = start(&options(Some(0)), [64, 128]);
        assert_eq!((start.picture.width, start.picture.height), (64, 128));
        let picture = start.finish(vec![200; 64 * 128 * 3], false);
        assert_eq!((picture.width, picture.height), (24, 16));
        assert_eq!(
            (&picture.rgb[21..24], &picture.rgb[24..27]),
            (&[200; 3][..], &[7, 8, 9][..])
        );
    }
}
