//! The autoencoder of a pipeline: the model's own or another, AutoencoderKL or tiny. Converts
//! between the latents of the sampler and pixels.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use super::latent_scale::LatentScale;
use super::on_demand::OnDemand;
use super::tiles::Tiling;
use crate::catalog::{Component, ModelFiles, Network, autoencoder_sizes};
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, Stage};
use crate::family::{Family, LatentStatistics};
use crate::models::taesd::{TinyConfig, TinyDecoder, TinyEncoder};
use crate::models::vae::{Decoder, Encoder, VaeConfig};
use crate::nn::{Backend, Weights};

/// An autoencoder; decoder and encoder are loaded on first use.
pub(super) struct Autoencoder {
    source: AutoencoderFiles,
    halves: Halves,
    scale: LatentScale,
    /// True if it computes in single precision, whatever the request asks for.
    exact: Cell<bool>,
    /// True if it decodes in tiles.
    tiled: Cell<bool>,
}

/// Files and settings of an autoencoder.
#[derive(Clone)]
pub(super) struct AutoencoderFiles {
    /// Files of the model.
    pub(super) model: ModelFiles,
    /// Another autoencoder in place of the one of the model.
    pub(super) other: Option<Arc<Network>>,
    pub(super) backend: Backend,
    pub(super) family: Family,
}

enum Halves {
    Kl(Box<Pair<VaeConfig, Decoder, Encoder>>),
    Tiny(Box<Pair<TinyConfig, TinyDecoder, TinyEncoder>>),
}

struct Pair<Config, Decoder, Encoder> {
    config: Config,
    decoder: OnDemand<Decoder>,
    encoder: OnDemand<Encoder>,
}

impl<Config, Decoder, Encoder> Pair<Config, Decoder, Encoder> {
    fn new(config: Config) -> Box<Self> {
        Box::new(Self {
            config,
            decoder: OnDemand::default(),
            encoder: OnDemand::default(),
        })
    }
}

/// Posterior of an image in latents: a normal distribution, or a point.
pub(super) struct Distribution {
    /// `[1, c, h, w]`.
    pub(super) mean: Tensor,
    /// Absent where the encoder returns a single latent (tiny autoencoders).
    pub(super) deviation: Option<Tensor>,
}

impl AutoencoderFiles {
    /// Returns true if it is a tiny autoencoder.
    pub(super) fn is_tiny(&self) -> Result<bool> {
        Ok(self.config()?.0["_class_name"] == TINY)
    }

    /// Weights of the autoencoder.
    pub(super) fn weights(&self) -> Result<Weights> {
        self.weights_on(&self.backend)
    }

    fn weights_on(&self, backend: &Backend) -> Result<Weights> {
        match &self.other {
            None => Weights::open(self.model.tensors(Component::Vae)?, backend),
            Some(other) => Weights::open(other.tensors()?, backend),
        }
    }

    /// Its configuration, and the name of that in messages. For a single file the shapes of the
    /// tensors give the sizes, and the autoencoder of the model the rest.
    pub(super) fn config(&self) -> Result<(Value, String)> {
        let own = Component::Vae.config();
        match self.other.as_deref() {
            Some(Network {
                files,
                config: Some(config),
                ..
            }) => Ok((files.json(config)?, files.display(config))),
            Some(_) if self.weights()?.has("decoder.layers.0.weight") => Ok((
                serde_json::json!({"_class_name": TINY}),
                "a tiny autoencoder".to_owned(),
            )),
            other => {
                let mut json: Value = self.model.json(&own)?;
                if let (Some(other), Some(config)) = (other, json.as_object_mut()) {
                    let sizes = autoencoder_sizes(&*other.tensors()?);
                    config.extend(sizes.as_object().cloned().unwrap_or_default());
                }
                Ok((json, self.model.display(&own)))
            }
        }
    }

    /// Returns true if both are the same autoencoder of the same model.
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
    /// Reads the configuration; decoder and encoder are loaded later.
    pub(super) fn open(source: AutoencoderFiles) -> Result<Self> {
        let (json, file) = source.config()?;
        let wrong = |e: serde_json::Error| Error::new(Kind::ModelFile, format!("{file}: {e}"));
        let statistics: LatentStatistics = serde_json::from_value(json.clone()).map_err(wrong)?;
        let halves = if json["_class_name"] == TINY {
            let config: TinyConfig = serde_json::from_value(json).map_err(wrong)?;
            config.check(&file)?;
            Halves::Tiny(Pair::new(config))
        } else {
            let config: VaeConfig = serde_json::from_value(json).map_err(wrong)?;
            config.check()?;
            Halves::Kl(Pair::new(config))
        };
        let (factor, channels) = match &halves {
            Halves::Kl(pair) => (pair.config.scaling_factor, pair.config.latent_channels),
            Halves::Tiny(pair) => (pair.config.scaling_factor, pair.config.latent_channels),
        };
        let format = &source.family.latents;
        let moments = statistics.moments(format, channels, &file)?;
        let scale = LatentScale::new(factor, moments, format, &source.backend.device)?;
        let exact = match &halves {
            Halves::Kl(pair) => pair.config.force_upcast && format.reads_force_upcast,
            Halves::Tiny(_) => false,
        };
        let exact = Cell::new(exact && source.backend.overflows());
        Ok(Self {
            source,
            halves,
            scale,
            exact,
            tiled: Cell::default(),
        })
    }

    /// Loads the decoder if it is not in memory; `observer` receives the events.
    pub(super) fn load(&self, observer: &mut dyn Observer) -> Result<()> {
        let there = match &self.halves {
            Halves::Kl(pair) => pair.decoder.is_loaded(),
            Halves::Tiny(pair) => pair.decoder.is_loaded(),
        };
        if there {
            return Ok(());
        }
        let name = self
            .source
            .other
            .as_ref()
            .map_or(Component::Vae.name(), |other| &other.origin)
            .to_owned();
        super::stage::staged(observer, Stage::Load, &name, |_| match &self.halves {
            Halves::Kl(pair) => self.decoder(pair).map(drop),
            Halves::Tiny(pair) => self.tiny_decoder(pair).map(drop),
        })
    }

    fn decoder(&self, pair: &Pair<VaeConfig, Decoder, Encoder>) -> Result<Rc<Decoder>> {
        pair.decoder.get(|| {
            let weights = self.weights()?;
            let decoder = Decoder::load(&weights, &pair.config)?;
            weights.finish(&["encoder.", "quant_conv."])?;
            Ok(decoder)
        })
    }

    fn tiny_decoder(
        &self,
        pair: &Pair<TinyConfig, TinyDecoder, TinyEncoder>,
    ) -> Result<Rc<TinyDecoder>> {
        pair.decoder.get(|| {
            let weights = self.weights()?;
            let decoder = TinyDecoder::load(&weights, &pair.config)?;
            weights.finish(&["encoder."])?;
            Ok(decoder)
        })
    }

    fn weights(&self) -> Result<Weights> {
        let exact = self
            .source
            .backend
            .full_precision()
            .filter(|_| self.exact.get());
        self.source
            .weights_on(exact.as_ref().unwrap_or(&self.source.backend))
    }

    /// Frees decoder and encoder.
    pub(super) fn free(&self) {
        match &self.halves {
            Halves::Kl(pair) => (pair.decoder.free(), pair.encoder.free()),
            Halves::Tiny(pair) => (pair.decoder.free(), pair.encoder.free()),
        };
    }

    /// Switches decoding in tiles on or off; returns the earlier setting.
    pub(super) fn set_tiling(&self, tiled: bool) -> bool {
        self.tiled.replace(tiled)
    }

    /// Switches to single precision; returns true if that is a change.
    pub(super) fn upcast(&self) -> bool {
        let change = self.source.backend.full_precision().is_some() && !self.exact.replace(true);
        if change {
            self.free();
        }
        change
    }

    /// Rejects an autoencoder that is not made for a network of `channels` latent channels whose
    /// cells cover `factor` pixels.
    pub(super) fn check_latents(&self, channels: usize, factor: u32) -> Result<()> {
        let own = match &self.halves {
            Halves::Kl(pair) => (pair.config.latent_channels, pair.config.factor()),
            Halves::Tiny(pair) => (pair.config.latent_channels, pair.config.factor()),
        };
        if own == (channels, factor as usize) {
            return Ok(());
        }
        let name = self
            .source
            .other
            .as_ref()
            .map_or("vae", |other| other.origin.as_str());
        Err(Error::field(
            "vae",
            format!(
                "`{name}` gives {} channels for {} pixels a side, expected {channels} for {factor}",
                own.0, own.1
            ),
        )
        .hint("take an autoencoder of the model's family"))
    }

    /// Returns true if it decodes in tiles, which a tiny autoencoder never does.
    pub(super) fn is_tiled(&self) -> bool {
        self.tiled.get() && !self.is_tiny()
    }

    /// Conversion between its latents and those of the sampler.
    pub(super) fn scale(&self) -> &LatentScale {
        &self.scale
    }

    /// Files and settings of this autoencoder.
    pub(super) fn source(&self) -> &AutoencoderFiles {
        &self.source
    }

    /// Channels of its latents.
    pub(super) fn channels(&self) -> usize {
        match &self.halves {
            Halves::Kl(pair) => pair.config.latent_channels,
            Halves::Tiny(pair) => pair.config.latent_channels,
        }
    }

    /// Returns true for a tiny autoencoder, whose decoding costs next to nothing.
    pub(super) fn is_tiny(&self) -> bool {
        matches!(self.halves, Halves::Tiny(_))
    }

    /// The sampler's latents `[b, c, h, w]` to pixels `[b, 3, f·h, f·w]` around −1..1.
    pub(super) fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = self.scale.decoded(latents)?;
        match &self.halves {
            Halves::Kl(pair) => {
                let decoder = self.decoder(pair)?;
                if self.tiled.get() {
                    Tiling::of(&pair.config).decode(&latents, |part| decoder.forward(part))
                } else {
                    decoder.forward(&latents)
                }
            }
            Halves::Tiny(pair) => self.tiny_decoder(pair)?.forward(&latents),
        }
    }

    /// Pixels `[1, 3, h, w]` in −1..1 to the posterior of the latents.
    pub(super) fn encode(&self, pixels: &Tensor) -> Result<Distribution> {
        match &self.halves {
            Halves::Kl(pair) => {
                let Pair {
                    config, encoder, ..
                } = &**pair;
                let encoder = encoder.get(|| Encoder::load(&self.weights()?, config))?;
                let (mean, log_variance) = encoder.forward(pixels)?;
                let deviation = Some((log_variance * 0.5)?.exp()?);
                Ok(Distribution { mean, deviation })
            }
            Halves::Tiny(pair) => {
                let Pair {
                    config, encoder, ..
                } = &**pair;
                let encoder = encoder.get(|| TinyEncoder::load(&self.weights()?, config))?;
                let mean = encoder.forward(pixels)?;
                Ok(Distribution {
                    mean,
                    deviation: None,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn half_precision_is_left_where_xl_leaves_its_range() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/sd15");
        let exact = |family, dtype, upcast: Option<bool>| {
            let copy = tempfile::tempdir().unwrap();
            std::fs::create_dir(copy.path().join("vae")).unwrap();
            let text = std::fs::read_to_string(folder.join("vae/config.json")).unwrap();
            let mut config: Value = serde_json::from_str(&text).unwrap();
            config.as_object_mut().unwrap().remove("force_upcast");
            if let Some(upcast) = upcast {
                config["force_upcast"] = upcast.into();
            }
            std::fs::write(copy.path().join("vae/config.json"), config.to_string()).unwrap();
            let mut backend = Backend::tensors();
            backend.dtype = dtype;
            let model = ModelFiles::folder("m", "m", copy.path().to_owned());
            Autoencoder::open(AutoencoderFiles {
                model,
                other: None,
                backend,
                family,
            })
            .unwrap()
            .exact
            .get()
        };
        let (half, brain) = (candle_core::DType::F16, candle_core::DType::BF16);
        assert!(exact(Family::SDXL, half, None));
        assert!(exact(Family::SDXL, half, Some(true)));
        assert!(!exact(Family::SDXL, half, Some(false)));
        assert!(!exact(Family::SDXL, brain, None));
        assert!(!exact(Family::SD, half, Some(true)));
    }
}
