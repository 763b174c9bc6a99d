//! From prompt to pixels: the loaded networks of one model and the stages between them. No files
//! are written and nothing is printed here; progress goes to an `Observer`, which may cancel.

mod autoencoder;
mod decode;
mod denoise;
mod extra_networks;
mod finite_check;
mod latent_scale;
mod loading;
mod lora_merge;
mod memory_estimate;
mod on_demand;
mod pass;
mod prediction_probe;
mod preview;
mod prompt_cache;
mod stage;
mod start_latents;
mod text;
mod tiles;
mod workload;

use crate::adapters::Adapters;
use crate::catalog::{ModelFiles, RepoConfig};
use crate::error::Result;
use crate::event::{Observer, Stage};
use crate::guidance::is_guided;
use crate::imaging::Pixels;
use crate::models::denoiser::Denoiser;
use crate::models::unet_config::UnetConfig;
use crate::nn::Backend;
use crate::schedulers::Prediction;
use autoencoder::Autoencoder;
use extra_networks::ExtraNetworks;
pub use memory_estimate::Estimate;
pub(crate) use memory_estimate::Sizes;
use on_demand::OnDemand;
pub(crate) use pass::{Pass, PassInput, PassOutput};
use stage::staged;
pub(crate) use stage::{Batch, Residency};
pub(crate) use text::EncodedPrompts;
use text::TextEncoder;
pub(crate) use workload::Workload;

/// A model in memory.
pub(crate) struct Pipeline {
    text: OnDemand<TextEncoder>,
    prompt_cache: prompt_cache::PromptCache,
    denoiser: OnDemand<Box<dyn Denoiser>>,
    /// LoRAs merged into the weights of the loaded networks, and embeddings.
    adapters: Adapters,
    autoencoder: Autoencoder,
    extra_networks: ExtraNetworks,
    config: UnetConfig,
    files: ModelFiles,
    /// Prediction type of the network.
    prediction: Prediction,
    residency: Residency,
    repo: RepoConfig,
    backend: Backend,
}

/// Images that the networks of a request are conditioned on, except the start image.
pub(crate) struct ConditionImages {
    /// Control image of each ControlNet.
    pub(crate) controls: Vec<Pixels>,
    /// Image prompt (IP-Adapter).
    pub(crate) prompt: Option<Pixels>,
}

impl Pipeline {
    /// Encodes the prompts of a pass, and the images that its networks are conditioned on.
    pub(crate) fn encode(
        &self,
        pass: &Pass<'_>,
        images: &ConditionImages,
        observer: &mut dyn Observer,
    ) -> Result<EncodedPrompts> {
        let request = &pass.request;
        let guided = is_guided(request.cfg_scale, self.takes_guidance_scale());
        let mut encoded = self.prompt_cache.get(request, observer, |observer| {
            let text = self.text(observer)?;
            staged(observer, Stage::Encode, "prompt", |observer| {
                text.encode(request, &pass.adapters.embeddings, guided, observer)
            })
        })?;
        self.free_if_short(|| self.text.free());
        if images.prompt.is_none() && images.controls.is_empty() {
            return Ok(encoded);
        }
        staged(observer, Stage::Encode, "pictures", |_| {
            if let (Some(encoder), Some(image)) =
                (self.extra_networks.image_prompt(), &images.prompt)
            {
                let [tokens, zeros] = encoder.encode(image, &self.backend)?;
                encoded.positive.picture = Some(tokens);
                if let Some(negative) = &mut encoded.negative {
                    negative.picture = Some(zeros);
                }
            }
            for (network, image) in pass.networks.controls.iter().zip(&images.controls) {
                let pixels = start_latents::pixels(image, None, &self.backend)?;
                let hint = self
                    .extra_networks
                    .control(network)?
                    .hint(&pixels.affine(0.5, 0.5)?)?;
                encoded.hints.push(hint);
            }
            Ok(encoded)
        })
    }

    /// Returns true if the network takes the guidance scale as an input.
    fn takes_guidance_scale(&self) -> bool {
        self.config.guidance_width.is_some()
    }
}
