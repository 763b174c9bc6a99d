//! Pictures that a request starts from: read, turned upright, fitted to size, and masks made of them. Plain bytes;
//! latents are the pipeline's work.

mod mask;
mod read;

pub use mask::{Mask, MaskOptions, MaskSource};
pub use read::{Picture, size_of};

use crate::error::Result;
use crate::named::named_enum;

named_enum! {
    /// How a picture of another shape is brought to the wanted size.
    pub enum Fit("fit") {
        /// Scaled to cover, the overhang cut off on both sides alike.
        Cover = "cover",
        /// Scaled to lie within, the rest filled with its border's pixels.
        Contain = "contain",
        /// Scaled on each axis by itself.
        Stretch = "stretch",
    }
}

/// What a request starts from, in pixels of the wanted size.
pub struct Start {
    /// The picture.
    pub picture: Picture,
    /// What of it is to be painted anew; all of it without a mask.
    pub mask: Option<Mask>,
}

impl Start {
    /// Reads the picture at `path`, and its mask if it has one, fitted to `size`.
    ///
    /// # Errors
    /// A file that is missing, too large or no picture; a mask that repaints nothing.
    pub fn load(path: &str, mask: Option<&MaskOptions>, fit: Fit, [width, height]: [u32; 2]) -> Result<Self> {
        let picture = Picture::read("init_image", path)?.fitted(width, height, fit);
        let mask = match mask {
            None => None,
            Some(options) => {
                let plane = match &options.source {
                    MaskSource::Alpha => picture.transparency("mask")?,
                    MaskSource::File(path) => Picture::read("mask", path)?.fitted(width, height, fit).grey(),
                };
                Some(Mask::new(plane, [width, height], options)?)
            }
        };
        Ok(Self { picture, mask })
    }

    /// A finished picture with the pixels outside the mask put back as they were, blended along the mask's edge.
    pub fn restored(&self, rgb: &mut [u8]) {
        if let Some(mask) = &self.mask {
            mask.blend(rgb, &self.picture.rgb);
        }
    }
}
