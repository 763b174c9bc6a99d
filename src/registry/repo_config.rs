//! What a model's own JSON files say about defaults: pipeline class, scheduler, native size. The networks' own
//! configurations are read by the networks.

use serde::Deserialize;

use super::ModelFiles;
use crate::error::{Error, Kind, Result};
use crate::named::named_enum;
use crate::sampler::SchedulerFile;

named_enum! {
    /// A part of a diffusers folder; the name is the sub-folder.
    pub enum Component("component") {
        /// Text encoder.
        TextEncoder = "text_encoder",
        /// Denoising network.
        Unet = "unet",
        /// Autoencoder.
        Vae = "vae",
    }
}

impl Component {
    /// Path of its configuration.
    pub fn config(self) -> String {
        format!("{self}/config.json")
    }

    /// File stem of its weights.
    fn stem(self) -> &'static str {
        match self {
            Self::TextEncoder => "model",
            Self::Unet | Self::Vae => "diffusion_pytorch_model",
        }
    }

    /// Where its weights may lie, most wanted first: whole or in shards (`.index.json`), full or in a 16-bit variant.
    pub fn weights(self) -> [String; 4] {
        let stem = self.stem();
        [
            format!("{self}/{stem}.safetensors"),
            format!("{self}/{stem}.safetensors.index.json"),
            format!("{self}/{stem}.fp16.safetensors"),
            format!("{self}/{stem}.safetensors.index.fp16.json"),
        ]
    }
}

/// The defaults of a model folder.
#[derive(Clone, Debug)]
pub struct RepoConfig {
    /// diffusers' pipeline class.
    pub pipeline: String,
    /// scheduler/scheduler_config.json.
    pub scheduler: SchedulerFile,
    /// Side of the native picture in pixels.
    pub native_size: u32,
    /// Pixels a latent cell covers on each side.
    pub vae_factor: u32,
}

#[derive(Deserialize)]
struct Index {
    #[serde(rename = "_class_name")]
    class: String,
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
    block_out_channels: Vec<usize>,
    #[serde(default = "default_in_channels")]
    latent_channels: usize,
}

impl RepoConfig {
    /// Reads the small files of a model folder.
    ///
    /// # Errors
    /// No `model_index.json`; a file that does not parse; a pipeline that this program does not run.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        if !files.has("model_index.json") {
            return Err(Error::new(
                Kind::ModelNotFound,
                format!("`{}` holds no model: `model_index.json` is missing", files.origin),
            )
            .hint("expected a folder in diffusers' layout, with unet/, vae/, text_encoder/, tokenizer/ and scheduler/"));
        }
        let index: Index = files.json("model_index.json")?;
        if index.class != "StableDiffusionPipeline" {
            return Err(Error::new(
                Kind::ModelFile,
                format!("`{}` is a `{}`, which sdgen cannot run yet", files.origin, index.class),
            )
            .hint("expected a `StableDiffusionPipeline` (Stable Diffusion 1.x or 2.x)"));
        }
        let unet: UnetSize = files.json(&Component::Unet.config())?;
        let vae: VaeBlocks = files.json(&Component::Vae.config())?;
        if unet.in_channels != vae.latent_channels {
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "`{}`: the network takes {} channels, expected the {} of the autoencoder's latents",
                    files.display(&Component::Unet.config()),
                    unet.in_channels,
                    vae.latent_channels
                ),
            )
            .hint("is it an inpainting or pix2pix model? those are not run yet"));
        }
        let levels = u32::try_from(vae.block_out_channels.len()).unwrap_or(u32::MAX);
        let vae_factor = 2u32.checked_pow(levels.saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(Self {
            pipeline: index.class,
            scheduler: files.json("scheduler/scheduler_config.json")?,
            native_size: unet.sample_size.saturating_mul(vae_factor),
            vae_factor,
        })
    }
}
