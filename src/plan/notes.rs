//! What a plan's user has to know before it is drawn: keys of the model's files that do not count,
//! and runs that begin where hardly any noise is left.

use crate::error::{Error, Result};
use crate::event::{Event, Observer, tell};
use crate::registry::{Component, Family, LatentStatistics, Network, Networks};
use crate::request::Request;
use crate::sampler::{Levels, schedule::Grid};

use super::Model;

/// Warns of what does not count, or counts for little.
///
/// # Errors
/// What diffusers would ignore though nothing of the picture were right; that the observer cancels.
pub(super) fn tell_all(
    request: &Request,
    base: &Model,
    networks: &Networks,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut messages = Vec::new();
    messages.extend(keys(base));
    messages.extend(statistics(request, base, networks)?);
    messages.extend(beginning(request, base)?);
    messages
        .into_iter()
        .try_for_each(|message| tell(observer, &Event::Warning { message }))
}

fn keys(base: &Model) -> Option<String> {
    let keys: Vec<String> = base
        .repo
        .unknown_keys
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    (!keys.is_empty()).then(|| {
        format!(
            "scheduler_config.json: {} belong to no scheduler that sdgen knows and do not count",
            keys.join(", ")
        )
    })
}

/// Mean and deviation of the latents, of the autoencoder that decodes them.
fn statistics(request: &Request, base: &Model, networks: &Networks) -> Result<Option<String>> {
    let (statistics, file) = read(base, networks.autoencoder.as_deref())?;
    let masked = request
        .init
        .as_ref()
        .is_some_and(|init| init.mask.is_some());
    let family = base.repo.family;
    if family == Family::Xl && statistics.both().is_some() && masked && !request.controls.is_empty()
    {
        let message = format!(
            "{file}: `latents_mean` and `latents_std` count for no control network beside a mask"
        );
        return Err(
            Error::field("control", message).hint("leave out the mask or the control network")
        );
    }
    let keys = statistics.uncounted(family);
    if !keys.is_empty() {
        let named = keys
            .iter()
            .map(|key| format!("`{key}`"))
            .collect::<Vec<_>>()
            .join(" and ");
        return Ok(Some(format!(
            "{file}: {named} do not count here, as in diffusers' pipelines"
        )));
    }
    let other = family == Family::Xl && base.repo.latents.both() != statistics.both();
    Ok(other.then(|| {
        format!("{file}: `latents_mean` and `latents_std` are others than those of the model's own")
    }))
}

/// What the autoencoder's file says, and its name in messages. A single file of a whole one takes
/// the model's own.
fn read(base: &Model, other: Option<&Network>) -> Result<(LatentStatistics, String)> {
    let own = || {
        (
            base.repo.latents.clone(),
            base.files.display(&Component::Vae.config()),
        )
    };
    let Some(other) = other else { return Ok(own()) };
    match &other.config {
        Some(config) => Ok((other.files.json(config)?, other.files.display(config))),
        None if other.tensors()?.places.contains_key(TINY) => {
            Ok((LatentStatistics::default(), other.origin.clone()))
        }
        None => Ok(own()),
    }
}

/// A tensor that tiny autoencoders alone have.
const TINY: &str = "decoder.layers.0.weight";

/// A run from noise that begins where there is hardly any.
fn beginning(request: &Request, base: &Model) -> Result<Option<String>> {
    let (config, ladder) = request.ladder(&base.repo)?;
    let first = ladder.levels[0];
    let scheduled =
        config.levels == Levels::Scheduled && config.sampler.row().grid != Grid::Distilled;
    if !scheduled || ladder.start > 0 || first.sigma >= 1.0 {
        return Ok(None);
    }
    let (steps, sampler) = (request.steps, request.sampler);
    let way = match config.edm {
        Some(_) => "take more steps, or `--schedule karras`".to_owned(),
        None => format!(
            "`--timestep-spacing trailing` begins at {}",
            config.train_steps - 1
        ),
    };
    Ok(Some(format!(
        "`--steps {steps}` with `{sampler}` begins at a noise of {:.3}, as in diffusers, and draws next to nothing; {way}",
        first.sigma
    )))
}
