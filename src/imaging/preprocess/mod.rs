//! Conditioning images of ControlNets, and their preprocessors. A new preprocessor is a file in this
//! folder, and a value of [`Preprocessor`] with its arm in [`Preprocessor::apply`].

mod canny;

pub use canny::Thresholds;

use super::{Fit, Pixels, Start, Transparency};
use crate::error::Result;
use crate::image::ImageSource;
use crate::named_enum::{Named, named_enum};

named_enum! {
    /// Function of an image on whose results a ControlNet was trained. Its name, with a colon, is
    /// the prefix of the path of an image that it is applied to.
    pub enum Preprocessor("preprocessor") {
        /// Canny edges.
        Canny = "canny",
    }
}

/// Settings of the preprocessors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreprocessorSettings {
    /// Thresholds of the Canny edges.
    pub canny: Thresholds,
}

impl Preprocessor {
    /// The preprocessor that a path's prefix names, if any, and the path without it.
    pub fn split_prefix(path: &str) -> (Option<Self>, &str) {
        for &(preprocessor, name) in Self::ALL {
            let prefixed = path.strip_prefix(name);
            if let Some(rest) = prefixed.and_then(|rest| rest.strip_prefix(':')) {
                return (Some(preprocessor), rest);
            }
        }
        (None, path)
    }

    fn apply(self, image: &Pixels, settings: &PreprocessorSettings) -> Pixels {
        match self {
            Self::Canny => canny::detect_edges(image, settings.canny),
        }
    }
}

/// Reads the conditioning image of `source`, at `size`: where only a part of the image in `start` is
/// rendered, that part of it; with a preprocessor, its result for the image.
///
/// # Errors
/// A file that is missing or no picture.
pub fn control_image(
    source: &ImageSource,
    preprocessor: Option<Preprocessor>,
    settings: &PreprocessorSettings,
    fit: Fit,
    [width, height]: [u32; 2],
    start: Option<&Start>,
) -> Result<Pixels> {
    let image = Pixels::read("control", source, Transparency::Dropped)?;
    let image = match start.and_then(|start| start.patch.as_ref()) {
        None => image.fitted(width, height, fit),
        Some(patch) => patch
            .crop_like(&image, fit)
            .fitted(width, height, Fit::Contain),
    };
    Ok(match preprocessor {
        Some(preprocessor) => preprocessor.apply(&image, settings),
        None => image,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_a_preprocessor_and_a_drive_does_not() {
        let split = Preprocessor::split_prefix;
        assert_eq!(split("canny:a.png"), (Some(Preprocessor::Canny), "a.png"));
        for path in ["a.png", "C:\\a.png", "canny.png"] {
            assert_eq!(split(path), (None, path));
        }
    }
}
