//! Warnings before a plan runs: keys of the model's files that are ignored, and runs that begin
//! with hardly any noise.

use crate::catalog::{Component, Network, Networks};
use crate::error::{Error, Result};
use crate::event::{Event, Observer, tell};
use crate::family::LatentStatistics;
use crate::params::Request;
use crate::schedulers::{Grid, Levels};

use super::Model;

/// Warns of settings that are ignored or have little effect.
pub(super) fn report_all(
    request: &Request,
    base: &Model,
    networks: &Networks,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut messages = Vec::new();
    messages.extend(scheduler(base));
    messages.extend(keys(base));
    messages.extend(statistics(request, base, networks)?);
    messages.extend(beginning(request, base)?);
    messages
        .into_iter()
        .try_for_each(|message| tell(observer, &Event::Warning { message }))
}

fn scheduler(base: &Model) -> Option<String> {
    let own = base.repo.overruled_scheduler.as_ref()?;
    let class = base.repo.scheduler.class_name.as_ref()?;
    Some(format!(
        "scheduler_config.json is one of `{own}`, and model_index.json names `{class}`, which counts, as in diffusers"
    ))
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

/// Checks `latents_mean` and `latents_std` of the VAE that decodes the latents.
fn statistics(request: &Request, base: &Model, networks: &Networks) -> Result<Option<String>> {
    let (statistics, file) = read(base, networks.autoencoder.as_deref())?;
    let masked = request
        .init
        .as_ref()
        .is_some_and(|init| init.mask.is_some());
    let format = &base.repo.family.latents;
    let scaled = format.reads_statistics && statistics.both().is_some();
    if scaled && masked && !request.controls.is_empty() {
        let message = format!(
            "{file}: `latents_mean` and `latents_std` have no effect on control networks with a mask"
        );
        return Err(
            Error::field("control", message).hint("leave out the mask or the control network")
        );
    }
    let keys = statistics.ignored_keys(format);
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
    let other = format.reads_statistics && base.repo.latents.both() != statistics.both();
    Ok(other.then(|| {
        format!("{file}: `latents_mean` and `latents_std` are others than those of the model's own")
    }))
}

/// Latent statistics of the VAE in use, and the name of their file in messages. A full VAE in a
/// single file takes those of the model's own VAE; a tiny one (TAESD) has none.
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

/// Warning about a run from noise whose first noise level is below 1.
fn beginning(request: &Request, base: &Model) -> Result<Option<String>> {
    let (config, sigmas) = request.sigmas(&base.repo)?;
    let first = sigmas.levels[0];
    let scheduled =
        config.levels == Levels::Scheduled && config.sampler.row().grid != Grid::Distilled;
    if !scheduled || sigmas.start > 0 || first.sigma >= 1.0 {
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
