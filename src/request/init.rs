//! What a request starts from, besides noise: a picture, how much of it is kept, and a mask.

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};
use crate::input::{Fit, MaskOptions, MaskSource};
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

/// Picture to picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Path of the picture.
    pub image: String,
    /// Share of the steps that are run, above 0 to 1.
    pub strength: f64,
    /// How another shape is brought to size.
    pub fit: Fit,
    /// Which latents.
    pub posterior: Posterior,
    /// What to paint anew; everything without.
    pub mask: Option<MaskOptions>,
}

/// Strength where the request names none: part of the picture is kept without a mask, none of what is masked.
const STRENGTH: f64 = 0.8;
const MASKED_STRENGTH: f64 = 1.0;

impl Init {
    /// What `params` start from, if not from noise alone.
    ///
    /// # Errors
    /// A value out of range; an option of pictures or masks without the picture or mask that it is about.
    pub(super) fn resolve(params: &Params) -> Result<Option<Self>> {
        let Some(image) = params.init_image.clone() else { return lonely(params).map(|()| None) };
        let mask = mask(params)?;
        let strength = params.strength.unwrap_or(if mask.is_some() { MASKED_STRENGTH } else { STRENGTH });
        if !(strength > 0.0 && strength <= 1.0) {
            return Err(Error::expected("strength", "a number above 0 and up to 1", strength)
                .hint("0 would run no step at all: the picture would stay as it is"));
        }
        let fit = params.fit.as_deref().map_or(Ok(Fit::Cover), |name| Fit::parse("fit", name))?;
        let posterior = params
            .posterior
            .as_deref()
            .map_or(Ok(Posterior::Sample), |name| Posterior::parse("posterior", name))?;
        Ok(Some(Self { image, strength, fit, posterior, mask }))
    }
}

fn mask(params: &Params) -> Result<Option<MaskOptions>> {
    let Some(source) = &params.mask else { return Ok(None) };
    let blur = params.mask_blur.unwrap_or(0.0);
    if !(0.0..=256.0).contains(&blur) {
        return Err(Error::expected("mask_blur", "a number from 0 to 256", blur));
    }
    let grow = params.mask_grow.unwrap_or(0);
    if grow > 512 {
        return Err(Error::expected("mask_grow", "a number from 0 to 512", grow));
    }
    let source = match source.as_str() {
        "alpha" => MaskSource::Alpha,
        path => MaskSource::File(path.to_owned()),
    };
    let keep_unmasked = params.keep_unmasked.unwrap_or(false);
    Ok(Some(MaskOptions { source, blur, grow, invert: params.invert_mask.unwrap_or(false), keep_unmasked }))
}

/// Options that mean nothing without a picture to start from.
fn lonely(params: &Params) -> Result<()> {
    let given = [
        ("strength", params.strength.is_some()),
        ("fit", params.fit.is_some()),
        ("posterior", params.posterior.is_some()),
        ("mask", params.mask.is_some()),
        ("mask_blur", params.mask_blur.is_some()),
        ("mask_grow", params.mask_grow.is_some()),
        ("invert_mask", params.invert_mask.is_some()),
        ("keep_unmasked", params.keep_unmasked.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => Err(Error::field(field, "there is no picture that this could be about")
            .hint("give one with `--init-image`")),
    }
}
