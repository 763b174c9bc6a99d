//! Conditioning images of ControlNets.

use super::{Fit, Picture, Start, Thresholds, Transparency, canny};
use crate::error::Result;

/// The conditioning image at `path`, at `size`: where only a part of the image in `start` is
/// rendered, that part of it; with `edges`, its Canny edges instead.
///
/// # Errors
/// A file that is missing or no picture.
pub fn control_picture(
    path: &str,
    edges: Option<Thresholds>,
    fit: Fit,
    [width, height]: [u32; 2],
    start: Option<&Start>,
) -> Result<Picture> {
    let picture = Picture::read("control", path, Transparency::Dropped)?;
    let picture = match start.and_then(|start| start.patch.as_ref()) {
        None => picture.fitted(width, height, fit),
        Some(patch) => patch
            .part_of(&picture, fit)
            .fitted(width, height, Fit::Contain),
    };
    Ok(match edges {
        Some(thresholds) => canny::edges(&picture, thresholds),
        None => picture,
    })
}
