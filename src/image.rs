//! A finished image, and the size of images.

use serde::Serialize;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Size {
    /// The size of `width` by `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

/// A finished image: 8-bit RGB, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width and height.
    pub size: Size,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
    /// Seed of the image.
    pub seed: u64,
    /// Index within the request, from 0.
    pub index: u64,
    /// True if the VAE decoded the latents in tiles.
    pub tiled: bool,
}
