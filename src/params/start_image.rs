//! Image to image: the initial image of a request, its strength, encoding and mask.

use serde::{Deserialize, Serialize};

use super::Params;
use super::values::{get, in_range};
use crate::error::{Error, Result};
use crate::image::ImageSource;
use crate::imaging::{Extend, Fit, MaskOptions, MaskSource, MaskedContent};
use crate::named_enum::named_enum;

named_enum! {
    /// Latents taken from the VAE encoder's distribution for the initial image.
    pub enum Posterior("posterior") {
        /// A sample of the encoder's distribution with the seed's noise, as in diffusers.
        Sample = "sample",
        /// The distribution's mean.
        Mode = "mode",
    }
}

named_enum! {
    /// Number of steps that a strength leaves of a run.
    #[derive(Default)]
    pub enum StrengthSteps("count of steps") {
        /// ⌊steps × strength⌋, as in diffusers.
        #[default]
        Down = "down",
        /// One more than that (at most all steps), as in A1111, where a strength of 0 leaves one.
        OneMore = "one_more",
    }
}

/// Image to image: the initial image and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartImage {
    /// Source of the image.
    pub image: ImageSource,
    /// Denoising strength: share of the steps that are run, above 0 up to 1; 0 too with
    /// [`StrengthSteps::OneMore`].
    pub strength: f64,
    /// Rounding of the number of steps that are run.
    #[serde(default)]
    pub strength_steps: StrengthSteps,
    /// Resize mode for an image of another size.
    pub fit: Fit,
    /// Latents taken from the VAE encoder's distribution.
    pub posterior: Posterior,
    /// Mask of the part to repaint; the whole image is repainted without one.
    pub mask: Option<MaskOptions>,
}

/// Default strength without a mask, which keeps part of the image, and with one, which keeps
/// nothing of the masked part.
const STRENGTH: f64 = 0.8;
const MASKED_STRENGTH: f64 = 1.0;

impl StartImage {
    /// Initial image of `params` with its options; none if the run starts from noise alone.
    pub(super) fn resolve(params: &Params) -> Result<Option<Self>> {
        let Some(image) = params.init_image.clone() else {
            reject_orphan_option(params, IMAGE_OPTIONS, "picture", "`--init-image`")?;
            reject_orphan_option(params, MASK_OPTIONS, "picture", "`--init-image`")?;
            return Ok(None);
        };
        let mask = mask(params)?;
        let default = if mask.is_some() {
            MASKED_STRENGTH
        } else {
            STRENGTH
        };
        let strength = params.strength.unwrap_or(default);
        let strength_steps = get("strength_steps", &params.strength_steps)?.unwrap_or_default();
        let is_nothing = strength == 0.0 && strength_steps == StrengthSteps::Down;
        if is_nothing || !(0.0..=1.0).contains(&strength) {
            let error = Error::expected("strength", "a number above 0 and up to 1", strength);
            return Err(if is_nothing {
                error.hint("0 would run no step at all: the picture would stay as it is")
            } else {
                error
            });
        }
        Ok(Some(Self {
            image,
            strength,
            strength_steps,
            fit: get("fit", &params.fit)?.unwrap_or(Fit::Cover),
            posterior: get("posterior", &params.posterior)?.unwrap_or(Posterior::Sample),
            mask,
        }))
    }

    /// Outpainting: pixels added on each side of the image, if any.
    pub fn extension(&self) -> Option<Extend> {
        self.mask.as_ref().and_then(|mask| mask.extend)
    }
}

fn mask(params: &Params) -> Result<Option<MaskOptions>> {
    let extend = get("extend", &params.extend)?;
    let source = match (&params.mask, extend) {
        (Some(source), _) if source.name() == "alpha" => MaskSource::Alpha,
        (Some(source), _) => MaskSource::File(source.clone()),
        (None, Some(_)) => MaskSource::Extension,
        (None, None) => {
            reject_orphan_option(params, MASK_OPTIONS, "mask", "`--mask`")?;
            return Ok(None);
        }
    };
    in_range("mask_blur", params.mask_blur, 0.0, 256.0)?;
    in_range("mask_blur_y", params.mask_blur_y, 0.0, 256.0)?;
    let content = get("masked_content", &params.masked_content)?;
    in_range("mask_grow", params.mask_grow, 0, 512)?;
    in_range("mask_padding", params.mask_padding, 0, 4096)?;
    Ok(Some(MaskOptions {
        source,
        blur: params.mask_blur.unwrap_or(0.0),
        blur_y: params.mask_blur_y,
        grow: params.mask_grow.unwrap_or(0),
        invert: params.invert_mask.unwrap_or(false),
        keep_unmasked: params.keep_unmasked.unwrap_or(false),
        padding: params.mask_padding,
        extend,
        content: content.unwrap_or(MaskedContent::Original),
    }))
}

/// Options that need an initial image.
const IMAGE_OPTIONS: &[&str] = &[
    "strength",
    "strength_steps",
    "fit",
    "posterior",
    "mask",
    "extend",
];
/// Options that need a mask.
const MASK_OPTIONS: &[&str] = &[
    "mask_blur",
    "mask_blur_y",
    "masked_content",
    "mask_grow",
    "invert_mask",
    "keep_unmasked",
    "mask_padding",
];

/// Refuses options that need `what` in a request without it; `flag` is the option that gives it.
fn reject_orphan_option(params: &Params, options: &[&str], what: &str, flag: &str) -> Result<()> {
    let Some(field) = options.iter().find(|field| params.has(field)) else {
        return Ok(());
    };
    let message = format!("there is no {what} for this option");
    Err(Error::field(field, message).hint(format!("give one with {flag}")))
}
