//! What a request starts from, besides noise: a picture, how much of it is kept, and a mask.

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};
use crate::input::{Extend, Fit, MaskOptions, MaskSource, MaskedContent};
use crate::named::{Named, named_enum};

named_enum! {
    /// Which latents a picture is encoded to.
    pub enum Posterior("posterior") {
        /// Drawn from the encoder's distribution with the seed's noise, as diffusers does.
        Sample = "sample",
        /// The distribution's mean.
        Mode = "mode",
    }
}

named_enum! {
    /// How many steps a strength leaves of a run.
    #[derive(Default)]
    pub enum StrengthSteps("count of steps") {
        /// Their share, rounded down, as in diffusers.
        #[default]
        Down = "down",
        /// One more than that, as in A1111, where a strength of 0 leaves one.
        OneMore = "one_more",
    }
}

/// Picture to picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Path of the picture.
    pub image: String,
    /// Share of the steps that are run, above 0 to 1.
    pub strength: f64,
    /// How many those are.
    #[serde(default)]
    pub strength_steps: StrengthSteps,
    /// How another shape is brought to size.
    pub fit: Fit,
    /// Which latents.
    pub posterior: Posterior,
    /// What to paint anew; everything without.
    pub mask: Option<MaskOptions>,
}

/// Strength where the request names none: part of the picture is kept without a mask, none of what
/// is masked.
const STRENGTH: f64 = 0.8;
const MASKED_STRENGTH: f64 = 1.0;

impl Init {
    /// What `params` start from, if not from noise alone.
    ///
    /// # Errors
    /// A value out of range; an option of pictures or masks without the picture or mask that it is
    /// about.
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
            return Err(
                Error::expected("strength", "a number above 0 and up to 1", strength)
                    .hint("0 would run no step at all: the picture would stay as it is"),
            );
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

impl Init {
    /// How far the picture is painted beyond its edges.
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

/// Whether each option of masks was given.
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

/// Options that mean nothing without `what`.
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
