//! The autoencoder at work: the model's own or another, whole or tiny. Between the sampler's latents and pixels.

use std::cell::OnceCell;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::event::{Observer, Stage};
use crate::models::taesd::{TinyConfig, TinyDecoder, TinyEncoder};
use crate::models::vae::{Decoder, Encoder, VaeConfig};
use crate::nn::{Backend, Weights};
use crate::registry::{Component, ModelFiles, Network};

/// An autoencoder in memory; the encoder half once it was asked for.
pub(super) struct Autoencoder {
    source: Source,
    halves: Halves,
}

/// Where its files are.
#[derive(Clone)]
pub(super) struct Source {
    /// Those of the model.
    pub(super) model: ModelFiles,
    /// Others instead.
    pub(super) other: Option<Arc<Network>>,
    pub(super) backend: Backend,
    /// Side of the latents, in cells.
    pub(super) side: usize,
}

enum Halves {
    Whole(Box<Pair<VaeConfig, Decoder, Encoder>>),
    Tiny(Box<Pair<TinyConfig, TinyDecoder, TinyEncoder>>),
}

struct Pair<Config, Decoder, Encoder> {
    config: Config,
    decoder: Decoder,
    encoder: OnceCell<Encoder>,
}

/// What a picture may be in latents: a normal distribution, or a point.
pub(super) struct Distribution {
    /// `[1, c, h, w]`.
    pub(super) mean: Tensor,
    /// Absent where the encoder gives but one answer.
    pub(super) deviation: Option<Tensor>,
    /// The sampler's latents are this times these.
    pub(super) scale: f64,
}

impl Source {
    fn weights(&self) -> Result<Weights> {
        let weights = match &self.other {
            None => Weights::open(&self.model, Component::Vae, &self.backend),
            Some(other) => Weights::of(other.tensors()?, &self.backend),
        };
        Ok(weights?.at(self.side))
    }

    /// Its configuration, and the name of that in messages. A single file is made like the model's own.
    fn config(&self) -> Result<(Value, String)> {
        let own = Component::Vae.config();
        match self.other.as_deref() {
            Some(Network { files, config: Some(config), .. }) => {
                Ok((files.json(config)?, files.display(config)))
            }
            Some(_) if self.weights()?.has("decoder.layers.0.weight") => {
                Ok((serde_json::json!({"_class_name": TINY}), "a tiny autoencoder".to_owned()))
            }
            Some(_) | None => Ok((self.model.json(&own)?, self.model.display(&own))),
        }
    }

    /// Whether both are the same autoencoder of the same model.
    pub(super) fn is(&self, other: Option<&Arc<Network>>) -> bool {
        match (&self.other, other) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is(b),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// The class of tiny autoencoders in diffusers.
const TINY: &str = "AutoencoderTiny";

impl Autoencoder {
    /// As [`Self::load`], while `observer` watches.
    pub(super) fn told(source: Source, observer: &mut dyn Observer) -> Result<Self> {
        let name = source.other.as_ref().map_or(Component::Vae.name(), |other| &other.origin).to_owned();
        super::staged(observer, Stage::Load, &name, |_| Self::load(source))
    }

    /// Loads the decoder half.
    ///
    /// # Errors
    /// A file that is missing, malformed or of another network.
    fn load(source: Source) -> Result<Self> {
        let (json, file) = source.config()?;
        let wrong = |e: serde_json::Error| Error::new(Kind::ModelFile, format!("{file}: {e}"));
        let weights = source.weights()?;
        let halves = if json["_class_name"] == TINY {
            let config: TinyConfig = serde_json::from_value(json).map_err(wrong)?;
            config.check(&file)?;
            let decoder = TinyDecoder::load(&weights, &config)?;
            weights.finish(&["encoder."])?;
            Halves::Tiny(Box::new(Pair { config, decoder, encoder: OnceCell::new() }))
        } else {
            let config: VaeConfig = serde_json::from_value(json).map_err(wrong)?;
            config.check()?;
            let decoder = Decoder::load(&weights, &config)?;
            weights.finish(&["encoder.", "quant_conv."])?;
            Halves::Whole(Box::new(Pair { config, decoder, encoder: OnceCell::new() }))
        };
        Ok(Self { source, halves })
    }

    /// Refuses one that is not made for a network of `channels` latent channels whose cells cover `factor` pixels.
    ///
    /// # Errors
    /// It is made for other latents.
    pub(super) fn suits(&self, channels: usize, factor: u32) -> Result<()> {
        let own = match &self.halves {
            Halves::Whole(pair) => (pair.config.latent_channels, pair.config.factor()),
            Halves::Tiny(pair) => (pair.config.latent_channels, pair.config.factor()),
        };
        if own == (channels, factor as usize) {
            return Ok(());
        }
        let name = self.source.other.as_ref().map_or("vae", |other| other.origin.as_str());
        Err(Error::field(
            "vae",
            format!(
                "`{name}` gives {} channels for {} pixels a side, expected {channels} for {factor}",
                own.0, own.1
            ),
        )
        .hint("take an autoencoder of the model's family"))
    }

    /// Which one it is.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Channels of its latents.
    pub(super) fn channels(&self) -> usize {
        match &self.halves {
            Halves::Whole(pair) => pair.config.latent_channels,
            Halves::Tiny(pair) => pair.config.latent_channels,
        }
    }

    /// Whether decoding costs next to nothing.
    pub(super) fn is_tiny(&self) -> bool {
        matches!(self.halves, Halves::Tiny(_))
    }

    /// The sampler's latents `[b, c, h, w]` to pixels `[b, 3, f·h, f·w]` around −1..1.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub(super) fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        match &self.halves {
            Halves::Whole(pair) => pair.decoder.forward(&(latents / pair.config.scaling_factor)?),
            Halves::Tiny(pair) => pair.decoder.forward(&(latents / pair.config.scaling_factor)?),
        }
    }

    /// Pixels `[1, 3, h, w]` in −1..1 to what they may be in latents.
    ///
    /// # Errors
    /// The encoder's tensors are missing or of another shape; tensor arithmetic.
    pub(super) fn encode(&self, pixels: &Tensor) -> Result<Distribution> {
        match &self.halves {
            Halves::Whole(pair) => {
                let Pair { config, encoder, .. } = &**pair;
                let encoder = filled(encoder, || Encoder::load(&self.source.weights()?, config))?;
                let (mean, log_variance) = encoder.forward(pixels)?;
                let deviation = Some((log_variance * 0.5)?.exp()?);
                Ok(Distribution { mean, deviation, scale: config.scaling_factor })
            }
            Halves::Tiny(pair) => {
                let Pair { config, encoder, .. } = &**pair;
                let encoder = filled(encoder, || TinyEncoder::load(&self.source.weights()?, config))?;
                let mean = encoder.forward(pixels)?;
                Ok(Distribution { mean, deviation: None, scale: config.scaling_factor })
            }
        }
    }
}

/// What a cell holds, made when first asked for.
fn filled<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = make()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}
