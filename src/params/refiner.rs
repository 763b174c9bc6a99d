//! The refiner of an SDXL run: the model, the point of the handover, and the request that it runs.

use serde::{Deserialize, Serialize};

use super::{Params, Request};
use crate::catalog::{Inputs, RepoConfig};
use crate::error::{Error, Result};
use crate::schedulers::SigmaSchedule;
use crate::schedulers::{Config, Overrides};

/// A model that takes over the last steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refiner {
    /// The model as the user would name it.
    pub model: String,
    /// Fraction of the timesteps that the base model takes (diffusers' `denoising_end`), between 0
    /// and 1.
    pub start: f64,
}

/// Default fraction at which the refiner takes over (Podell et al. 2023; diffusers' and A1111's
/// default).
const START: f64 = 0.8;

impl Refiner {
    /// The refiner of `params`, if they name one.
    pub(super) fn resolve(params: &Params) -> Result<Option<Self>> {
        let Some(model) = params.refiner.clone() else {
            return match params.refiner_start {
                None => Ok(None),
                Some(_) => Err(Error::field(
                    "refiner_start",
                    "there is no refiner for this option",
                )
                .hint("give one with `--refiner sdxl-refiner`")),
            };
        };
        let start = params.refiner_start.unwrap_or(START);
        if !(start > 0.0 && start < 1.0) {
            return Err(
                Error::expected("refiner_start", "a number between 0 and 1", start)
                    .hint("the base model draws this share of the way, the refiner the rest"),
            );
        }
        if params.mask.is_some() || params.extend.is_some() {
            return Err(Error::field("refiner", "a refiner knows nothing of masks")
                .hint("leave it out, or refine the finished picture with `--model REFINER --init-image`"));
        }
        Ok(Some(Self { model, start }))
    }

    /// The call of `sigmas` that a refiner starts with, which takes over at the share `start`.
    ///
    /// # Errors
    /// One of the models would have no call.
    pub fn switch_step(start: f64, sigmas: &SigmaSchedule) -> Result<usize> {
        let call = sigmas.switch_step(start);
        if sigmas.start < call && call < sigmas.levels.len() {
            return Ok(call);
        }
        let idle = if call <= sigmas.start {
            "base model"
        } else {
            "refiner"
        };
        Err(Error::field(
            "refiner_start",
            format!("at `{start}` there is no step left for the {idle}"),
        )
        .hint("use more steps, or another fraction"))
    }

    /// Checks that a refiner can continue from the latents of a base model.
    ///
    /// # Errors
    /// A model that is not of the XL family or has EDM preconditioning; latents of different
    /// scales; a base model that is itself a refiner; a refiner that takes more than latents.
    pub fn suits(base: &RepoConfig, refiner: &RepoConfig) -> Result<()> {
        base_suits(base)?;
        if base.latents != refiner.latents || refiner.scheduler.is_edm() {
            return Err(Error::field(
                "refiner",
                "the refiner's latents are of another scale than the base model's",
            )
            .hint(
                "leave it out, or refine the finished picture with `--model REFINER --init-image`",
            ));
        }
        if !refiner.family.has_refiners || refiner.inputs != Inputs::Latents {
            return Err(
                Error::field("refiner", "the refiner is no model of the XL family")
                    .hint("`--refiner sdxl-refiner` is the one made for it"),
            );
        }
        Ok(())
    }
}

/// Checks that a refiner can continue from the latents of this base model.
pub(super) fn base_suits(base: &RepoConfig) -> Result<()> {
    if base.scheduler.is_edm() {
        return Err(Error::field(
            "refiner",
            "a model with EDM preconditioning has noise that no refiner takes over",
        )
        .hint("leave it out, or refine the finished picture with `--model REFINER --init-image`"));
    }
    if !base.family.has_refiners || base.aesthetic_score {
        return Err(
            Error::field("refiner", "a refiner needs a base model of the XL family")
                .hint("use `--model sdxl`, or leave out `--refiner`"),
        );
    }
    Ok(())
}

impl Request {
    /// This request as the refiner runs it: the same sampler and noise schedule, the prediction
    /// type of the refiner's scheduler file, and no initial image, ControlNets or image prompt.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn refined(&self, refiner: &RepoConfig) -> Result<Self> {
        let over = Overrides {
            sampler: Some(self.sampler),
            ..Overrides::default()
        };
        let own = Config::resolve(&refiner.scheduler, &over)?;
        // The SDXL refiner has the second text encoder alone, and gets its prompts.
        let second = |second: &Option<String>, first: Option<&String>| {
            let second = second.as_ref().filter(|_| refiner.aesthetic_score);
            second.or(first).cloned()
        };
        Ok(Self {
            prompt: second(&self.prompt_2, Some(&self.prompt)).unwrap_or_default(),
            negative_prompt: second(&self.negative_prompt_2, self.negative_prompt.as_ref()),
            prediction: own.prediction,
            init: None,
            controls: Vec::new(),
            picture_prompt: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedulers::{Sampler, SchedulerFile, schedule};

    fn sigmas(sampler: &str) -> SigmaSchedule {
        let file: SchedulerFile = serde_json::from_str(
            r#"{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
                "timestep_spacing": "leading", "steps_offset": 1}"#,
        )
        .unwrap();
        let over = Overrides {
            sampler: Sampler::parse("sampler", sampler).ok(),
            ..Overrides::default()
        };
        schedule::sigma_schedule(&Config::resolve(&file, &over).unwrap(), 10).unwrap()
    }

    #[test]
    fn the_refiner_takes_over_at_the_first_timestep_below_its_share() {
        // Timesteps 901, 801 ... 101, 1: below 200 are the last two.
        assert_eq!(Refiner::switch_step(0.8, &sigmas("euler")).unwrap(), 8);
        assert_eq!(Refiner::switch_step(0.5, &sigmas("euler")).unwrap(), 5);
        // Two calls a step, the second at the next timestep: whole steps only.
        assert_eq!(Refiner::switch_step(0.8, &sigmas("heun")).unwrap(), 14);
    }

    #[test]
    fn neither_model_is_left_without_a_step() {
        for (start, idle) in [(0.05, "base model"), (0.9999, "refiner")] {
            let error = Refiner::switch_step(start, &sigmas("euler")).unwrap_err();
            assert_eq!(error.field_name(), Some("refiner_start"));
            assert!(error.to_string().contains(idle), "{error}");
        }
    }

    #[test]
    fn wrong_refiner_options_are_named() {
        let wrong = |params: Params| {
            Refiner::resolve(&params)
                .unwrap_err()
                .field_name()
                .map(str::to_owned)
        };
        let model = Some("sdxl-refiner".to_owned());
        assert_eq!(
            wrong(Params {
                refiner_start: Some(0.8),
                ..Params::default()
            })
            .unwrap(),
            "refiner_start"
        );
        for start in [0.0, 1.0, f64::NAN] {
            let params = Params {
                refiner: model.clone(),
                refiner_start: Some(start),
                ..Params::default()
            };
            assert_eq!(wrong(params).unwrap(), "refiner_start");
        }
        let params = Params {
            refiner: model,
            mask: Some("m.png".into()),
            ..Params::default()
        };
        assert_eq!(wrong(params).unwrap(), "refiner");
    }
}
