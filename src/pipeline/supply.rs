//! Where the networks of a pipeline come from: a model's files, with the LoRAs of a request merged into them.

use super::autoencoder::{self, Autoencoder};
use super::staged;
use super::text::TextEncoder;
use crate::adapters::Adapters;
use crate::error::Result;
use crate::event::{Observer, Stage};
use crate::models::unet::Unet;
use crate::models::unet_config::UnetConfig;
use crate::nn::{Backend, Merge, Weights};
use crate::plan::Plan;
use crate::registry::{Component, ModelFiles, Networks, RepoConfig};
use crate::request::Request;

/// What a request has beside its model.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// Networks of their own.
    pub(crate) networks: &'a Networks,
    /// LoRAs and embeddings.
    pub(crate) adapters: &'a Adapters,
}

impl<'a> Beside<'a> {
    /// What `plan` found.
    pub(crate) fn of(plan: &'a Plan) -> Self {
        Self { networks: &plan.networks, adapters: &plan.adapters }
    }
}

/// What a pipeline is loaded from, and for.
#[derive(Clone, Copy)]
pub(crate) struct Supply<'a> {
    /// The model's files.
    pub(crate) files: &'a ModelFiles,
    /// What its small files say.
    pub(crate) repo: &'a RepoConfig,
    /// What works with the model.
    pub(crate) beside: Beside<'a>,
    /// The first request that it is to serve.
    pub(crate) request: &'a Request,
    /// What computes.
    pub(crate) backend: &'a Backend,
}

/// Which LoRAs are in the weights of which networks.
#[derive(PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) text: Vec<(String, u64)>,
    pub(super) unet: Vec<(String, u64)>,
}

impl Supply<'_> {
    /// The weights of a component as the request's LoRAs leave them.
    pub(super) fn open(&self, component: Component) -> Result<Weights> {
        let careful = self.backend.careful();
        let backend = if component == Component::Unet { self.backend } else { &careful };
        let weights = Weights::open(self.files, component, backend)?.at(self.side());
        Ok(match Merge::of(self.beside.adapters, component, backend)? {
            None => weights,
            Some(merge) => weights.patched(merge),
        })
    }

    /// The text encoders.
    pub(super) fn text(&self, observer: &mut dyn Observer) -> Result<TextEncoder> {
        staged(observer, Stage::Load, Component::TextEncoder.name(), |_| {
            TextEncoder::load(self.files, self.repo, &|component| self.open(component))
        })
    }

    /// The denoising network.
    pub(super) fn unet(&self, observer: &mut dyn Observer) -> Result<Unet> {
        let config = UnetConfig::parse(self.files.json(&Component::Unet.config())?)?;
        staged(observer, Stage::Load, Component::Unet.name(), |_| {
            Unet::load(self.open(Component::Unet)?, &config)
        })
    }

    /// The autoencoder, for numbers of any size.
    pub(super) fn autoencoder(&self, observer: &mut dyn Observer) -> Result<Autoencoder> {
        let (model, other) = (self.files.clone(), self.beside.networks.autoencoder.clone());
        let source = autoencoder::Source { model, other, backend: self.backend.careful(), side: self.side() };
        Autoencoder::told(source, observer)
    }

    /// Side of the latents in cells: kernels are chosen for maps of the request's size; another size is right too,
    /// only not as fast.
    fn side(&self) -> usize {
        (self.request.width.max(self.request.height) / self.repo.vae_factor) as usize
    }

    /// Which LoRAs the networks will hold.
    pub(super) fn merged(&self) -> Merged {
        let text = self.beside.adapters.key(&[Component::TextEncoder, Component::TextEncoder2]);
        Merged { text, unet: self.beside.adapters.key(&[Component::Unet]) }
    }
}
