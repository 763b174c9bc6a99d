//! Size and crop conditioning of SDXL (Podell et al. 2023, section 2.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::values::get;
use super::{FromText, Params, Parsed};
use crate::error::{Error, Result};
use crate::image::Size;

/// Size and crop conditioning of SDXL: `original_size`, `crops_coords_top_left` and `target_size`
/// in diffusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicroConditioning {
    /// Width and height before any scaling.
    pub original: [u32; 2],
    /// Pixels cut off at the top and at the left.
    pub crop: [u32; 2],
    /// Width and height of the finished image.
    pub target: [u32; 2],
}

/// Two numbers with a separator between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<const SEPARATOR: char>(pub [u32; 2]);

impl<const SEPARATOR: char> FromText for Pair<SEPARATOR> {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        let parsed = text
            .split_once(SEPARATOR)
            .and_then(|(a, b)| Some(Self([a.trim().parse().ok()?, b.trim().parse().ok()?])));
        let expected = format!("two numbers such as `512{SEPARATOR}768`");
        parsed.ok_or_else(|| Error::expected(field, expected, text))
    }
}

impl<const SEPARATOR: char> fmt::Display for Pair<SEPARATOR> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.0[0], self.0[1])
    }
}

/// The numbers of an option, or `default` if it is not given.
fn numbers<const SEPARATOR: char>(
    field: &str,
    option: &Option<Parsed<Pair<SEPARATOR>>>,
    default: [u32; 2],
) -> Result<[u32; 2]> {
    Ok(get(field, option)?.map_or(default, |pair| pair.0))
}

impl MicroConditioning {
    /// The conditioning for an image of `size` without options.
    pub(super) fn default_for(size: Size) -> Self {
        let size = [size.width, size.height];
        Self {
            original: size,
            crop: [0, 0],
            target: size,
        }
    }

    /// The conditioning that `params` give for an image of `size`: for the prompt, and for the
    /// negative prompt, which defaults to that of the prompt.
    pub(super) fn resolve(params: &Params, size: Size) -> Result<(Self, Self)> {
        let default = Self::default_for(size);
        let positive = Self {
            original: numbers("original_size", &params.original_size, default.original)?,
            crop: numbers("crop", &params.crop, default.crop)?,
            target: numbers("target_size", &params.target_size, default.target)?,
        };
        let negative = Self {
            original: numbers(
                "negative_original_size",
                &params.negative_original_size,
                positive.original,
            )?,
            crop: numbers("negative_crop", &params.negative_crop, positive.crop)?,
            target: numbers(
                "negative_target_size",
                &params.negative_target_size,
                positive.target,
            )?,
        };
        Ok((positive, negative))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_negative_prompt_has_the_same_conditioning_by_default() {
        let params = Params {
            crop: Some("8,16".into()),
            negative_target_size: Some("64x32".into()),
            ..Params::default()
        };
        let (positive, negative) = MicroConditioning::resolve(&params, Size::new(128, 96)).unwrap();
        let expected = MicroConditioning {
            crop: [8, 16],
            ..MicroConditioning::default_for(Size::new(128, 96))
        };
        assert_eq!(positive, expected);
        let target = [64, 32];
        assert_eq!(negative, MicroConditioning { target, ..positive });
    }

    #[test]
    fn another_form_is_refused_by_name() {
        let params = Params {
            target_size: Some("512".into()),
            ..Params::default()
        };
        let error = MicroConditioning::resolve(&params, Size::new(8, 8)).unwrap_err();
        assert_eq!(error.field_name(), Some("target_size"));
    }
}
