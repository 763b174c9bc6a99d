//! Extra networks of a model, in memory for as long as requests name them: ControlNets, and an
//! IP-Adapter for image prompts.

use std::sync::Arc;

use candle_core::Tensor;

use super::stage::staged;
use crate::catalog::{Network, Networks};
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, Stage};
use crate::imaging::Pixels;
use crate::models::clip_vision::{ClipVision, VisionConfig};
use crate::models::controlnet::{ControlConfig, ControlNet};
use crate::models::ip_adapter::IpAdapter;
use crate::models::unet_config::UnetConfig;
use crate::nn::{Backend, Weights};

/// Extra networks in memory.
#[derive(Default)]
pub(super) struct ExtraNetworks {
    controls: Vec<(Arc<Network>, ControlNet)>,
    image_prompt: Option<(Arc<Network>, ImagePromptEncoder)>,
}

/// An IP-Adapter and its image encoder.
pub(super) struct ImagePromptEncoder {
    encoder: ClipVision,
    side: usize,
    width: usize,
    pub(super) adapter: IpAdapter,
}

/// Arguments of loading an extra network.
pub(super) struct Loading<'a> {
    pub(super) unet: &'a UnetConfig,
    /// Backend with the precision of the denoising network.
    pub(super) backend: &'a Backend,
    /// Backend with a higher precision where 8-bit arithmetic is not enough.
    pub(super) no_int8: &'a Backend,
}

impl ExtraNetworks {
    /// Keeps the networks that `wanted` names, frees the rest, and loads those that are missing.
    pub(super) fn update(
        &mut self,
        wanted: &Networks,
        loading: &Loading<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.controls
            .retain(|(kept, _)| wanted.controls.iter().any(|network| network.is(kept)));
        for network in &wanted.controls {
            if !self.controls.iter().any(|(kept, _)| kept.is(network)) {
                let loaded = staged(observer, Stage::Load, &network.origin, |_| {
                    loading.control(network)
                })?;
                self.controls.push((network.clone(), loaded));
            }
        }
        let kept = self.image_prompt.take();
        if let Some([adapter, encoder]) = &wanted.picture_prompt {
            self.image_prompt = match kept.filter(|(kept, _)| kept.is(adapter)) {
                Some(kept) => Some(kept),
                None => {
                    let load = |_: &mut dyn Observer| loading.image_prompt(adapter, encoder);
                    Some((
                        adapter.clone(),
                        staged(observer, Stage::Load, &adapter.origin, load)?,
                    ))
                }
            };
        }
        Ok(())
    }

    /// The ControlNet that was loaded from the files of `network`.
    pub(super) fn control(&self, network: &Network) -> Result<&ControlNet> {
        let found = self
            .controls
            .iter()
            .find(|(kept, _)| kept.is(network))
            .map(|(_, loaded)| loaded);
        found.ok_or_else(|| Error::internal("a control network that was not loaded"))
    }

    /// The IP-Adapter with its image encoder, if one is loaded.
    pub(super) fn image_prompt(&self) -> Option<&ImagePromptEncoder> {
        self.image_prompt.as_ref().map(|(_, reader)| reader)
    }
}

impl Loading<'_> {
    fn control(&self, network: &Network) -> Result<ControlNet> {
        let Network {
            files,
            config,
            origin,
            ..
        } = network;
        let weights = Weights::open(network.tensors()?, self.backend)?;
        let config = match config {
            Some(config) => ControlConfig::parse(&files.display(config), files.json(config)?)?,
            None => ControlConfig::of_file(&weights, self.unet)?,
        };
        let (made_for, has) = (config.context(), self.unet.levels[0].context);
        if made_for != has {
            return Err(Error::field(
                "control",
                format!("`{origin}` was made for prompts of {made_for} channels, this model's have {has}"),
            )
            .hint("it is for another family of models: SD 1.x has 768, SD 2.x 1024, SDXL 2048"));
        }
        ControlNet::load(&weights, &config)
    }

    fn image_prompt(&self, adapter: &Network, encoder: &Network) -> Result<ImagePromptEncoder> {
        let open = |network: &Network| Weights::open(network.tensors()?, self.no_int8);
        let config = encoder
            .config
            .as_deref()
            .ok_or_else(|| Error::internal("an encoder without a config"))?;
        let config: VisionConfig = encoder.files.json(config)?;
        Ok(ImagePromptEncoder {
            encoder: ClipVision::load(&open(encoder)?, &config)?,
            side: config.image_size,
            width: config.projection_dim,
            adapter: IpAdapter::load(&open(adapter)?, self.unet, config.projection_dim)?,
        })
    }
}

impl ImagePromptEncoder {
    /// Tokens of an image prompt, and those of its unconditional counterpart, `[1, n, context]`
    /// each.
    pub(super) fn encode(&self, picture: &Pixels, backend: &Backend) -> Result<[Tensor; 2]> {
        let side = u32::try_from(self.side)
            .map_err(|_| Error::new(Kind::ModelFile, "an absurd `image_size`"))?;
        let pixels = self
            .encoder
            .normalised(&picture.center_square(side).rgb, self.side)?;
        let nothing = backend.upload(vec![0.0; self.width], (1, self.width))?;
        let seen = self.encoder.forward(&pixels)?;
        Ok([self.adapter.tokens(&seen)?, self.adapter.tokens(&nothing)?])
    }
}
