//! Post-processing: steps over the decoded image, in the order of the list.
//!
//! Adding a step: a variant, its place in [`PostProcess::of_request`], and its arm in
//! [`PostProcess::apply`].

use crate::image::{Image, Size};
use crate::imaging::Start;
use crate::params::Request;

/// A step over a decoded image.
pub(super) enum PostProcess<'a> {
    /// Puts the generated part back into the start image: undoes a crop, and keeps the pixels
    /// outside the mask where the request asks for that.
    Composite {
        start: &'a Start,
        keeps_unmasked: bool,
    },
}

impl<'a> PostProcess<'a> {
    /// The steps of a request.
    pub(super) fn of_request(request: &Request, start: Option<&'a Start>) -> Vec<Self> {
        let keeps_unmasked = request.keeps_unmasked();
        let composite = start.map(|start| Self::Composite {
            start,
            keeps_unmasked,
        });
        composite.into_iter().collect()
    }

    /// The image after the step.
    pub(super) fn apply(&self, image: Image) -> Image {
        match self {
            Self::Composite {
                start,
                keeps_unmasked,
            } => {
                let picture = start.finish(image.rgb, *keeps_unmasked);
                Image {
                    size: Size::new(picture.width, picture.height),
                    rgb: picture.rgb,
                    ..image
                }
            }
        }
    }
}
