//! Image to image: the initial image of a request, its strength, encoding and mask.

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};
use crate::imaging::{Extend, Fit, MaskOptions, MaskSource, MaskedContent};
use crate::named_enum::{Named, named_enum};

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
    /// Path of the picture.
    pub image: String,
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
    ///
    /// # Errors
    /// A value out of range; an option about an initial image or a mask in a request without one.
    pub(super) fn resolve(params: &Params) -> Result<Option<Self>> {
        let Some(image) = params.init_image.clone() else {
            let options = [&about_pictures(params)[..], &about_masks(params)].concat();
            return lonely(&options, "picture", "`--init-image`").map(|()| None);
        };
        let mask = mask(params)?;
        let strength = params.strength.unwrap_or(if mask.is_some() {
            MASKED_STRENGTH
        } else {
            STRENGTH
        });
        let counted = params.strength_steps.as_deref();
        let strength_steps = counted.map_or(Ok(StrengthSteps::Down), |name| {
            StrengthSteps::parse("strength_steps", name)
        })?;
        let is_nothing = strength == 0.0 && strength_steps == StrengthSteps::Down;
        if is_nothing || !(0.0..=1.0).contains(&strength) {
            let error = Error::expected("strength", "a number above 0 and up to 1", strength);
            return Err(if is_nothing {
                error.hint("0 would run no step at all: the picture would stay as it is")
            } else {
                error
            });
        }
        let fit = params
            .fit
            .as_deref()
            .map_or(Ok(Fit::Cover), |name| Fit::parse("fit", name))?;
        let posterior = params
            .posterior
            .as_deref()
            .map_or(Ok(Posterior::Sample), |name| {
                Posterior::parse("posterior", name)
            })?;
        Ok(Some(Self {
            image,
            strength,
            strength_steps,
            fit,
            posterior,
            mask,
        }))
    }
}

impl StartImage {
    /// Outpainting: pixels added on each side of the image, if any.
    pub fn extension(&self) -> Option<Extend> {
        self.mask.as_ref().and_then(|mask| mask.extend)
    }
}

fn mask(params: &Params) -> Result<Option<MaskOptions>> {
    let extend = params
        .extend
        .as_deref()
        .map(|text| Extend::parse("extend", text))
        .transpose()?;
    let source = match (params.mask.as_deref(), extend) {
        (Some("alpha"), _) => MaskSource::Alpha,
        (Some(path), _) => MaskSource::File(path.to_owned()),
        (None, Some(_)) => MaskSource::Extension,
        (None, None) => return lonely(&about_masks(params), "mask", "`--mask`").map(|()| None),
    };
    let blur = params.mask_blur.unwrap_or(0.0);
    if !(0.0..=256.0).contains(&blur) {
        return Err(Error::expected("mask_blur", "a number from 0 to 256", blur));
    }
    let blur_y = params.mask_blur_y;
    if blur_y.is_some_and(|pixels| !(0.0..=256.0).contains(&pixels)) {
        return Err(Error::expected(
            "mask_blur_y",
            "a number from 0 to 256",
            blur_y.unwrap_or(0.0),
        ));
    }
    let content = params.masked_content.as_deref();
    let content = content.map_or(Ok(MaskedContent::Original), |name| {
        MaskedContent::parse("masked_content", name)
    })?;
    let grow = params.mask_grow.unwrap_or(0);
    if grow > 512 {
        return Err(Error::expected("mask_grow", "a number from 0 to 512", grow));
    }
    let padding = params.mask_padding;
    if padding.is_some_and(|pixels| pixels > 4096) {
        return Err(Error::expected(
            "mask_padding",
            "a number from 0 to 4096",
            padding.unwrap_or(0),
        ));
    }
    let keep_unmasked = params.keep_unmasked.unwrap_or(false);
    let invert = params.invert_mask.unwrap_or(false);
    Ok(Some(MaskOptions {
        source,
        blur,
        blur_y,
        grow,
        invert,
        keep_unmasked,
        padding,
        extend,
        content,
    }))
}

/// Options that need a mask, and whether each was given.
fn about_masks(params: &Params) -> [Given; 7] {
    [
        ("mask_blur", params.mask_blur.is_some()),
        ("mask_blur_y", params.mask_blur_y.is_some()),
        ("masked_content", params.masked_content.is_some()),
        ("mask_grow", params.mask_grow.is_some()),
        ("invert_mask", params.invert_mask.is_some()),
        ("keep_unmasked", params.keep_unmasked.is_some()),
        ("mask_padding", params.mask_padding.is_some()),
    ]
}

fn about_pictures(params: &Params) -> [Given; 6] {
    [
        ("strength", params.strength.is_some()),
        ("strength_steps", params.strength_steps.is_some()),
        ("fit", params.fit.is_some()),
        ("posterior", params.posterior.is_some()),
        ("mask", params.mask.is_some()),
        ("extend", params.extend.is_some()),
    ]
}

/// An option's field, and whether it was given.
type Given = (&'static str, bool);

/// Refuses options that need `what` in a request without it; `flag` is the option that gives it.
fn lonely(options: &[Given], what: &str, flag: &str) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => Err(Error::field(
            field,
            format!("there is no {what} that this could be about"),
        )
        .hint(format!("give one with {flag}"))),
    }
}
