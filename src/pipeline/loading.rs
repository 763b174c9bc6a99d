//! Loading of the networks of a pipeline: they are loaded on first use, with the LoRAs of the
//! request merged in, and freed when others replace them or memory is short.

use std::rc::Rc;

use super::autoencoder::{self, Autoencoder};
use super::extra_networks::{ExtraNetworks, Loading};
use super::lora_merge::with_loras;
use super::on_demand::OnDemand;
use super::prompt_cache::PromptCache;
use super::stage::{Residency, staged};
use super::text::TextEncoder;
use super::{Pass, Pipeline, prediction_probe};
use crate::adapters::Adapters;
use crate::catalog::{Component, Networks};
use crate::error::Result;
use crate::event::{Event, Observer, Stage, tell};
use crate::models::denoiser::Denoiser;
use crate::models::unet::Unet;
use crate::models::unet_config::UnetConfig;
use crate::nn::{Backend, Weights};
use crate::planner::Model;

impl Pipeline {
    /// Prepares a model; nothing is loaded before [`Self::load`] or a stage asks for it.
    pub(crate) fn open(pass: &Pass<'_>, backend: &Backend, residency: Residency) -> Result<Self> {
        let Model { files, repo, .. } = &**pass.model;
        let source = autoencoder::AutoencoderFiles {
            model: files.clone(),
            other: pass.networks.autoencoder.clone(),
            backend: backend.no_int8(),
            family: repo.family,
        };
        let pipeline = Self {
            text: OnDemand::default(),
            prompt_cache: PromptCache::default(),
            denoiser: OnDemand::default(),
            adapters: pass.adapters.clone(),
            autoencoder: Autoencoder::open(source)?,
            extra_networks: ExtraNetworks::default(),
            config: UnetConfig::parse(files.json(&Component::Unet.config())?)?,
            files: files.clone(),
            prediction: pass.request.prediction,
            residency,
            repo: repo.clone(),
            backend: backend.clone(),
        };
        pipeline
            .autoencoder
            .check_latents(pipeline.config.out_channels, repo.vae_factor)?;
        Ok(pipeline)
    }

    /// Loads the networks that are not in memory, unless networks stay only while they are needed.
    pub(crate) fn load(&self, observer: &mut dyn Observer) -> Result<()> {
        if self.residency == Residency::WhileNeeded
            || (self.text.is_loaded() && self.denoiser.is_loaded())
        {
            return Ok(());
        }
        self.text(observer)?;
        self.denoiser(observer)?;
        self.autoencoder.load(observer)?;
        self.backend.trim();
        Ok(())
    }

    /// Sets the adapters to merge into the networks; networks with other adapters leave memory.
    pub(crate) fn set_adapters(&mut self, adapters: &Adapters) {
        let other =
            |components: &[Component]| adapters.key(components) != self.adapters.key(components);
        if other(&[Component::TextEncoder, Component::TextEncoder2]) {
            self.text.free();
        }
        if other(&[Component::Unet]) {
            self.denoiser.free();
        }
        self.adapters = adapters.clone();
    }

    /// Switches decoding in tiles on or off.
    pub(crate) fn set_tiling(&self, tiled: bool) {
        self.autoencoder.set_tiling(tiled);
    }

    /// Returns true if the autoencoder decodes in tiles, as it did for the last image.
    pub(crate) fn is_tiled(&self) -> bool {
        self.autoencoder.is_tiled()
    }

    /// Weights of a component with the LoRAs of the request.
    fn weights(&self, component: Component, backend: &Backend) -> Result<Weights> {
        let weights = Weights::open(self.files.tensors(component)?, backend)?;
        with_loras(weights, &self.adapters, component)
    }

    pub(super) fn text(&self, observer: &mut dyn Observer) -> Result<Rc<TextEncoder>> {
        self.text.get(|| {
            staged(
                observer,
                Stage::Load,
                Component::TextEncoder.name(),
                |observer| {
                    let no_int8 = self.backend.no_int8();
                    let open = |component| self.weights(component, &no_int8);
                    let text = TextEncoder::load(&self.files, &self.repo, &open)?;
                    for notice in text.notices() {
                        tell(
                            observer,
                            &Event::Warning {
                                message: notice.to_owned(),
                            },
                        )?;
                    }
                    Ok(text)
                },
            )
        })
    }

    pub(super) fn denoiser(&self, observer: &mut dyn Observer) -> Result<Rc<Box<dyn Denoiser>>> {
        self.denoiser.get(|| {
            staged(observer, Stage::Load, Component::Unet.name(), |_| {
                let weights = self.weights(Component::Unet, &self.backend)?;
                let denoiser: Box<dyn Denoiser> = Box::new(Unet::load(weights, &self.config)?);
                if self.repo.guesses_prediction {
                    let name = &self.files.origin;
                    prediction_probe::confirm(&*denoiser, self.prediction, name, &self.backend)?;
                }
                Ok(denoiser)
            })
        })
    }

    /// Calls `free`, which frees a network that the next stage does not need, if networks stay only
    /// while they are needed.
    pub(super) fn free_if_short(&self, free: impl FnOnce()) {
        if self.residency == Residency::WhileNeeded {
            free();
            self.backend.trim();
        }
    }

    /// Sets the extra networks: loads those that `networks` names and frees all others.
    pub(crate) fn set_extra_networks(
        &mut self,
        networks: &Networks,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if !self.autoencoder.source().is(networks.autoencoder.as_ref()) {
            let other = networks.autoencoder.clone();
            let source = autoencoder::AutoencoderFiles {
                other,
                ..self.autoencoder.source().clone()
            };
            let changed = Autoencoder::open(source)?;
            if self.residency == Residency::Loaded {
                changed.load(observer)?;
            }
            changed.check_latents(self.config.out_channels, self.repo.vae_factor)?;
            self.autoencoder = changed;
        }
        let source = self.autoencoder.source();
        let loading = Loading {
            unet: &self.config,
            backend: &self.backend,
            no_int8: &source.backend,
        };
        self.extra_networks.update(networks, &loading, observer)
    }
}
