//! Pixels to files: names from templates, PNGs that appear whole or not at all, and the metadata
//! inside them. Plain data; the rendering of the pixels is not part of this module.

pub mod a1111;
pub mod album;
pub mod chunks;
mod foreign;
pub mod latents;
pub mod metadata;
pub mod parameters;
pub mod path;
pub mod png;
pub mod sheet;

/// A picture to be written: 8-bit RGB, row by row from the top left.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: &'a [u8],
}

/// One text chunk: keyword and text.
pub type Text = (String, String);
