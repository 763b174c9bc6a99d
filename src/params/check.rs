//! Checks of `Params` that need no model: single values, and options that depend on one another.

use super::adapters;
use super::decoding::nothing_else;
use super::dimensions::side;
use super::{
    Control, Interval, IpAdapterInput, Memory, Params, Refiner, Seed, Shortcuts, Sizes, StartImage,
    VaeTiling,
};
use crate::device::{DeviceChoice, Dtype, Rng};
use crate::error::{Error, Kind, Result};
use crate::imaging::SIDE_UNIT;
use crate::named_enum::Named;
use crate::prompt::{LongPrompt, Prompt, Syntax};
use crate::registry::Preset;
use crate::schedulers::{Overrides, Prediction, Sampler, Schedule, Spacing};

/// Everything wrong with `params` that can be known without the model.
pub fn check(params: &Params) -> Vec<Error> {
    let mut errors: Vec<Error> = Vec::new();
    let mut keep = |result: Result<()>| errors.extend(result.err());
    match params.from_latents {
        Some(_) => keep(nothing_else(params)),
        None => keep(params.prompt.is_some().then_some(()).ok_or_else(no_prompt)),
    }
    keep(brackets(params));
    keep(adapters::check(params));
    keep(
        parsed(
            "long_prompt",
            params.long_prompt.as_deref(),
            LongPrompt::default(),
        )
        .map(|_| ()),
    );
    keep(side("width", params.width));
    keep(side("height", params.height));
    keep(within("steps", params.steps, 1, 1000));
    keep(real("cfg_scale", params.cfg_scale, 0.0, 50.0));
    keep(real("eta", params.eta, 0.0, 1.0));
    keep(real("guidance_rescale", params.guidance_rescale, 0.0, 1.0));
    keep(interval(params).map(|_| ()));
    keep(Shortcuts::resolve(params).map(|_| ()));
    keep(within(
        "sigmas",
        params.sigmas.as_ref().map(Vec::len),
        2,
        1001,
    ));
    keep(within(
        "timesteps",
        params.timesteps.as_ref().map(Vec::len),
        1,
        1000,
    ));
    keep(within("count", params.count, 1, 1_000_000));
    keep(within("batch_size", params.batch_size, 1, 256));
    keep(within("threads", params.threads, 1, 1024));
    keep(locks(params));
    keep(seeds(params));
    keep(overrides(params).map(|_| ()));
    keep(StartImage::resolve(params).map(|_| ()));
    keep(Control::resolve(params).map(|_| ()));
    keep(IpAdapterInput::resolve(params).map(|_| ()));
    keep(within("preview_every", params.preview_every, 1, 1000));
    keep(Refiner::resolve(params).map(|_| ()));
    keep(Sizes::resolve(params, [SIDE_UNIT; 2]).map(|_| ()));
    keep(
        params
            .preset
            .as_deref()
            .map_or(Ok(()), |name| Preset::parse(name).map(|_| ())),
    );
    keep(parsed("rng", params.rng.as_deref(), Rng::Torch).map(|_| ()));
    keep(parsed("dtype", params.dtype.as_deref(), Dtype::Auto).map(|_| ()));
    keep(parsed("vae_tiling", params.vae_tiling.as_deref(), VaeTiling::Auto).map(|_| ()));
    keep(
        params
            .memory
            .as_deref()
            .map_or(Ok(()), |text| Memory::parse(text).map(|_| ())),
    );
    keep(
        params
            .device
            .as_deref()
            .map_or(Ok(()), |text| DeviceChoice::parse(text).map(|_| ())),
    );
    errors
}

fn no_prompt() -> Error {
    Error::new(Kind::Usage, "no prompt")
        .hint("say what to draw: `sdgen \"a lighthouse at dusk\" -o out.png`")
}

/// Checks that every prompt parses in its syntax.
fn brackets(params: &Params) -> Result<()> {
    let syntax = parsed(
        "prompt_syntax",
        params.prompt_syntax.as_deref(),
        Syntax::default(),
    )?;
    let prompts = [
        ("prompt", &params.prompt),
        ("negative_prompt", &params.negative_prompt),
        ("prompt_2", &params.prompt_2),
        ("negative_prompt_2", &params.negative_prompt_2),
    ];
    let mut given = prompts.into_iter().filter_map(|(field, text)| {
        Some(Prompt {
            field,
            text: text.as_deref()?,
        })
    });
    given.try_for_each(|prompt| prompt.pieces(syntax).map(|_| ()))
}

/// The part of a run that has guidance.
pub(super) fn interval(params: &Params) -> Result<Interval> {
    params
        .cfg_interval
        .as_deref()
        .map_or(Ok(Interval::default()), |text| {
            Interval::parse("cfg_interval", text)
        })
}

/// The sampling options of `params`, for the sampler's configuration.
pub(super) fn overrides(params: &Params) -> Result<Overrides> {
    let named = |name: &Option<String>| name.clone();
    Ok(Overrides {
        sampler: named(&params.sampler)
            .map(|name| Sampler::parse("sampler", &name))
            .transpose()?,
        schedule: named(&params.schedule)
            .map(|name| Schedule::parse("schedule", &name))
            .transpose()?,
        spacing: named(&params.timestep_spacing)
            .map(|name| Spacing::parse("timestep_spacing", &name))
            .transpose()?,
        prediction: named(&params.prediction)
            .map(|name| Prediction::parse("prediction", &name))
            .transpose()?,
        eta: params.eta,
        zero_terminal_snr: params.zero_terminal_snr,
        sigmas: params.sigmas.clone(),
        timesteps: params.timesteps.clone(),
        aligned_steps: None,
        strength: None,
    })
}

/// The value of a name, or `default` where there is none.
pub(super) fn parsed<T: Named>(field: &str, name: Option<&str>, default: T) -> Result<T> {
    name.map_or(Ok(default), |name| T::parse(field, name))
}

fn within<T: PartialOrd + std::fmt::Display + Copy>(
    field: &str,
    value: Option<T>,
    low: T,
    high: T,
) -> Result<()> {
    match value {
        Some(value) if value < low || value > high => Err(Error::expected(
            field,
            format!("a number from {low} to {high}"),
            value,
        )),
        _ => Ok(()),
    }
}

fn real(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<()> {
    match value {
        Some(value) if !(low..=high).contains(&value) => Err(Error::expected(
            field,
            format!("a number from {low} to {high}"),
            value,
        )),
        _ => Ok(()),
    }
}

fn locks(params: &Params) -> Result<()> {
    match (&params.lock, &params.locked) {
        (Some(_), Some(_)) => Err(Error::field(
            "lock",
            "a run writes a lock file or keeps to one, not both",
        )),
        _ => Ok(()),
    }
}

fn seeds(params: &Params) -> Result<()> {
    let (seed, count) = (
        params.seed.and_then(Seed::number).unwrap_or(0),
        params.count.unwrap_or(1),
    );
    match seed.checked_add(count.saturating_sub(1)) {
        Some(_) => Ok(()),
        None => Err(Error::expected(
            "seed",
            format!("room for {count} seeds below 2^64"),
            seed,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::listed;
    use super::*;

    fn wrong(params: Params) -> Option<String> {
        let params = Params {
            prompt: Some("a".into()),
            ..params
        };
        check(&params)
            .first()
            .and_then(|error| error.field_name().map(str::to_owned))
    }

    #[test]
    fn sampling_options_out_of_range_are_named() {
        let field = |params| wrong(params).unwrap_or_default();
        assert_eq!(
            field(Params {
                guidance_rescale: Some(1.5),
                ..Params::default()
            }),
            "guidance_rescale"
        );
        assert_eq!(
            field(Params {
                cfg_interval: Some("0.9..0.1".into()),
                ..Params::default()
            }),
            "cfg_interval"
        );
        let weighted = Params {
            prompt_syntax: Some("weighted".into()),
            ..Params::default()
        };
        assert_eq!(
            field(Params {
                negative_prompt: Some("(a:99)".into()),
                ..weighted
            }),
            "negative_prompt"
        );
        assert_eq!(
            field(Params {
                prompt_syntax: Some("a1111".into()),
                ..Params::default()
            }),
            "prompt_syntax"
        );
        assert_eq!(
            field(Params {
                long_prompt: Some("cut".into()),
                ..Params::default()
            }),
            "long_prompt"
        );
        assert_eq!(
            field(Params {
                sigmas: Some(vec![1.0]),
                ..Params::default()
            }),
            "sigmas"
        );
        assert_eq!(
            field(Params {
                timesteps: Some(Vec::new()),
                ..Params::default()
            }),
            "timesteps"
        );
        let fine = Params {
            guidance_rescale: Some(0.7),
            cfg_interval: Some("0.2..0.8".into()),
            zero_terminal_snr: Some(true),
            timesteps: Some(vec![999, 499]),
            ..Params::default()
        };
        assert_eq!((listed(&fine), wrong(fine)), (Some(2), None));
    }
}
