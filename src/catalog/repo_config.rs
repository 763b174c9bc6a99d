//! Defaults from a model's own JSON files: pipeline class, scheduler, native size. The networks'
//! own configurations are read by the networks.

use serde::Deserialize;

use super::{Component, ModelFiles};
use crate::error::{Error, Kind, Result};
use crate::family::{Family, LatentStatistics};
use crate::schedulers::{SchedulerFile, unknown_keys};

/// Inputs of the UNet next to the latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Nothing.
    Latents,
    /// A mask and the latents of the masked picture.
    Inpainting,
}

/// The defaults of a model folder.
#[derive(Clone, Debug)]
pub struct RepoConfig {
    /// Family, which decides the conditioning.
    pub family: Family,
    /// Inputs of the UNet.
    pub inputs: Inputs,
    /// scheduler/scheduler_config.json.
    pub scheduler: SchedulerFile,
    /// Class that the scheduler's own file names, where model_index.json names another one, which
    /// counts as in diffusers.
    pub overruled_scheduler: Option<String>,
    /// Keys of that file that no class of diffusers has which sdgen knows.
    pub unknown_keys: Vec<String>,
    /// Mean and deviation of its autoencoder's latents.
    pub latents: LatentStatistics,
    /// Side of the native picture in pixels.
    pub native_size: u32,
    /// Pixels a latent cell covers on each side.
    pub vae_factor: u32,
    /// True if an absent negative prompt is zeros, not an encoded empty text.
    pub zeros_for_absent_negative: bool,
    /// A latent consistency model: its sampler thins out its steps by the strength, instead of
    /// leaving some away.
    pub latent_consistency: bool,
    /// True if the conditioning has an aesthetic score instead of a target size (XL's refiner).
    pub aesthetic_score: bool,
    /// True if the prediction type is a guess, since the single file does not say it.
    pub guesses_prediction: bool,
}

#[derive(Deserialize)]
struct Index {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(default)]
    force_zeros_for_empty_prompt: bool,
    #[serde(default)]
    requires_aesthetics_score: bool,
    /// Library and class.
    #[serde(default)]
    scheduler: Option<(Option<String>, Option<String>)>,
}

#[derive(Deserialize)]
struct UnetSize {
    #[serde(default = "default_sample_size")]
    sample_size: u32,
    #[serde(default = "default_in_channels")]
    in_channels: usize,
}

fn default_sample_size() -> u32 {
    64
}

fn default_in_channels() -> usize {
    4
}

#[derive(Deserialize)]
struct VaeBlocks {
    #[serde(default)]
    block_out_channels: Vec<usize>,
    /// Of tiny autoencoders, whose files may have no `block_out_channels`.
    #[serde(default)]
    decoder_block_out_channels: Vec<usize>,
    #[serde(default = "default_in_channels")]
    latent_channels: usize,
}

const SCHEDULER: &str = "scheduler/scheduler_config.json";

impl RepoConfig {
    /// Reads the small files of a model folder.
    ///
    /// # Errors
    /// No `model_index.json`; a file that does not parse; a pipeline that this program does not
    /// run.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        if !files.has("model_index.json") {
            return Err(Error::new(
                Kind::ModelNotFound,
                format!("`{}` holds no model: `model_index.json` is missing", files.origin),
            )
            .hint("expected a folder in diffusers' layout, with unet/, vae/, text_encoder/, tokenizer/ and scheduler/"));
        }
        let index: Index = files.json("model_index.json")?;
        let family = family(&index.class, files)?;
        if files.checkpoint().is_some() {
            let second = family.text.second_encoder;
            let texts = [
                (
                    !(second && index.requires_aesthetics_score),
                    Component::TextEncoder,
                ),
                (second, Component::TextEncoder2),
            ];
            if let Some((_, part)) = texts
                .iter()
                .find(|(needed, part)| *needed && !files.has(&part.config()))
            {
                return Err(part.missing_from(&files.origin));
            }
        }
        let unet: UnetSize = files.json(&Component::Unet.config())?;
        let vae: VaeBlocks = files.json(&Component::Vae.config())?;
        let inputs = inputs(unet.in_channels, vae.latent_channels, files)?;
        let latent_consistency = index.class.starts_with("LatentConsistencyModel");
        let unknown_keys = unknown_keys(&files.json(SCHEDULER)?);
        let mut scheduler: SchedulerFile = files.json(SCHEDULER)?;
        let overruled_scheduler = index
            .scheduler
            .and_then(|(_, class)| scheduler.read_as(class?));
        if family.repairs_scheduler && !latent_consistency {
            scheduler.apply_pipeline_overrides(inputs == Inputs::Inpainting);
        }
        let levels = vae
            .block_out_channels
            .len()
            .max(vae.decoder_block_out_channels.len());
        let levels = u32::try_from(levels).unwrap_or(u32::MAX);
        let vae_factor = 2u32
            .checked_pow(levels.saturating_sub(1))
            .unwrap_or(u32::MAX);
        Ok(Self {
            family,
            inputs,
            scheduler,
            overruled_scheduler,
            unknown_keys,
            latents: files.json(&Component::Vae.config())?,
            native_size: unet.sample_size.saturating_mul(vae_factor),
            vae_factor,
            zeros_for_absent_negative: index.force_zeros_for_empty_prompt,
            latent_consistency,
            aesthetic_score: index.requires_aesthetics_score,
            guesses_prediction: files.guesses_prediction(),
        })
    }
}

fn family(class: &str, files: &ModelFiles) -> Result<Family> {
    Family::of_pipeline(class).ok_or_else(|| {
        Error::new(
            Kind::ModelFile,
            format!(
                "`{}` is a `{class}`, which sdgen does not run",
                files.origin
            ),
        )
        .hint("expected Stable Diffusion 1.x, 2.x or XL, or a latent consistency model")
    })
}

fn inputs(channels: usize, latent: usize, files: &ModelFiles) -> Result<Inputs> {
    if channels == latent {
        return Ok(Inputs::Latents);
    }
    if channels == 2 * latent + 1 {
        return Ok(Inputs::Inpainting);
    }
    Err(Error::new(
        Kind::ModelFile,
        format!(
            "`{}`: the network takes {channels} channels",
            files.display(&Component::Unet.config())
        ),
    )
    .hint(format!(
        "expected {latent} (latents), or {} (latents, mask and masked latents)",
        2 * latent + 1
    )))
}
