//! Size and crop conditioning of SDXL (Podell et al. 2023, section 2.2).

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};

/// Size and crop conditioning of SDXL: `original_size`, `crops_coords_top_left` and `target_size`
/// in diffusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Width and height before any scaling.
    pub original: [u32; 2],
    /// Pixels cut off at the top and at the left.
    pub crop: [u32; 2],
    /// Width and height of the finished image.
    pub target: [u32; 2],
}

impl Sizes {
    /// The conditioning that `params` give for an image of `size` (width, height): for the prompt,
    /// and for the negative prompt, which defaults to that of the prompt.
    ///
    /// # Errors
    /// A value of another form than `WxH` or `TOP,LEFT`.
    pub(super) fn resolve(params: &Params, size: [u32; 2]) -> Result<(Self, Self)> {
        let own = Self {
            original: size,
            crop: [0, 0],
            target: size,
        };
        let positive = own.told([
            ("original_size", &params.original_size),
            ("crop", &params.crop),
            ("target_size", &params.target_size),
        ])?;
        let negative = positive.told([
            ("negative_original_size", &params.negative_original_size),
            ("negative_crop", &params.negative_crop),
            ("negative_target_size", &params.negative_target_size),
        ])?;
        Ok((positive, negative))
    }

    fn told(self, [original, crop, target]: [(&str, &Option<String>); 3]) -> Result<Self> {
        Ok(Self {
            original: pair(original, 'x', self.original)?,
            crop: pair(crop, ',', self.crop)?,
            target: pair(target, 'x', self.target)?,
        })
    }
}

/// Two numbers with `between` between them.
fn pair(
    (field, text): (&str, &Option<String>),
    between: char,
    default: [u32; 2],
) -> Result<[u32; 2]> {
    let Some(text) = text else { return Ok(default) };
    let parsed = text
        .split_once(between)
        .and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    parsed.ok_or_else(|| {
        Error::expected(
            field,
            format!("two numbers such as `512{between}768`"),
            text,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_negative_prompt_is_told_the_same_unless_told_otherwise() {
        let params = Params {
            crop: Some("8,16".into()),
            negative_target_size: Some("64x32".into()),
            ..Params::default()
        };
        let (positive, negative) = Sizes::resolve(&params, [128, 96]).unwrap();
        assert_eq!(
            positive,
            Sizes {
                original: [128, 96],
                crop: [8, 16],
                target: [128, 96]
            }
        );
        assert_eq!(
            negative,
            Sizes {
                target: [64, 32],
                ..positive
            }
        );
    }

    #[test]
    fn another_form_is_refused_by_name() {
        let params = Params {
            target_size: Some("512".into()),
            ..Params::default()
        };
        let error = Sizes::resolve(&params, [8, 8]).unwrap_err();
        assert_eq!(error.field_name(), Some("target_size"));
    }
}
