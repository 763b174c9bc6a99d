//! A finished image, the size of images, and the source of an image that comes in.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// Source of an image that comes in. Serialises as its path or name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum ImageSource {
    /// A file.
    Path(String),
    /// Bytes that a client sent.
    Bytes {
        /// Name in messages and records.
        name: String,
        /// A whole file.
        bytes: Arc<[u8]>,
    },
}

impl ImageSource {
    /// The path of a file, or the name of bytes.
    pub fn name(&self) -> &str {
        match self {
            Self::Path(name) | Self::Bytes { name, .. } => name,
        }
    }

    /// The path, if it is a file.
    pub fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Path(path) => Some(path),
            Self::Bytes { .. } => None,
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImageSource {
    type Err = Infallible;

    fn from_str(path: &str) -> Result<Self, Infallible> {
        Ok(path.into())
    }
}

impl From<&str> for ImageSource {
    fn from(path: &str) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<String> for ImageSource {
    fn from(path: String) -> Self {
        Self::Path(path)
    }
}

impl From<ImageSource> for String {
    fn from(source: ImageSource) -> Self {
        source.name().to_owned()
    }
}
