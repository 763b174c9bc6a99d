//! The sizes of a request's networks and of the buffers that they work on, from configurations and
//! the headers of files.

use super::autoencoder;
use super::estimate::Estimate;
use super::tiles::Tiling;
use crate::error::{Error, Kind, Result};
use crate::models::unet_config::UnetConfig;
use crate::models::vae::VaeConfig;
use crate::nn::{Backend, Weights};
use crate::params::Request;
use crate::registry::{Component, ModelFiles, Network, Networks, RepoConfig, Tensors};

/// Inputs of the size estimate of a request.
pub(crate) struct Sizes<'a> {
    /// The model.
    pub(crate) files: &'a ModelFiles,
    /// Values from the configuration files of the model.
    pub(crate) repo: &'a RepoConfig,
    /// Extra networks of the request.
    pub(crate) networks: &'a Networks,
    /// The request.
    pub(crate) request: &'a Request,
    /// Stages of the request that are left to do.
    pub(crate) stages: Stages,
}

/// Stages of a request that are left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stages {
    /// All stages.
    All,
    /// Decoding alone: the latents exist already.
    Decoding,
}

/// Weights and buffers of a network.
#[derive(Clone, Copy, Default)]
struct Sized {
    weights: u64,
    buffers: u64,
}

impl Sizes<'_> {
    /// Returns true if latents are still to be drawn.
    pub(crate) fn draws(&self) -> bool {
        self.stages == Stages::All
    }

    /// The estimate of the request, with or without decoding in tiles.
    ///
    /// # Errors
    /// A file of the model that is missing or malformed.
    pub(crate) fn estimate(&self, backend: &Backend, tiled: bool) -> Result<Estimate> {
        let no_int8 = backend.no_int8();
        let source = autoencoder::Source {
            model: self.files.clone(),
            other: self.networks.autoencoder.clone(),
            backend: no_int8.clone(),
            family: self.repo.family,
        };
        let decoder = self.autoencoder(&source, Half::Decoder, tiled)?;
        let only_decoding = Estimate {
            text_encoders: 0,
            unet: 0,
            decoder: decoder.weights,
            encoder: 0,
            beside: 0,
            denoise: 0,
            decode: decoder.buffers,
            encode: 0,
            reading: READING,
            tiled,
            all_loaded: false,
        };
        if !self.draws() {
            return Ok(only_decoding);
        }
        let encoder = match &self.request.init {
            Some(_) => self.autoencoder(&source, Half::Encoder, false)?,
            None => Sized::default(),
        };
        let component = |component, backend: &Backend| {
            Weights::open(Tensors::of(self.files, component)?, backend)
        };
        let mut text_encoders = 0;
        let readers = [Component::TextEncoder, Component::TextEncoder2];
        for part in readers
            .into_iter()
            .filter(|part| self.files.has(&part.config()))
        {
            text_encoders += component(part, &no_int8)?.footprint("");
        }
        let config = UnetConfig::parse(self.files.json(&Component::Unet.config())?)?;
        Ok(Estimate {
            text_encoders,
            unet: component(Component::Unet, backend)?.footprint(""),
            encoder: encoder.weights,
            beside: self.beside(backend, &no_int8)?,
            denoise: self.denoise(&config),
            encode: encoder.buffers,
            ..only_decoding
        })
    }

    /// Weights of the extra networks, in bytes.
    fn beside(&self, backend: &Backend, no_int8: &Backend) -> Result<u64> {
        let bytes = |network: &Network, backend| -> Result<u64> {
            Ok(Weights::open(network.tensors()?, backend)?.footprint(""))
        };
        let mut all = 0;
        for network in &self.networks.controls {
            all += bytes(network, backend)?;
        }
        for network in self.networks.picture_prompt.iter().flatten() {
            all += bytes(network, no_int8)?;
        }
        Ok(all)
    }

    fn cells(&self) -> u64 {
        u64::from(self.request.width / self.repo.vae_factor)
            * u64::from(self.request.height / self.repo.vae_factor)
    }

    /// Buffers of the denoising network, in bytes: the skip connections of the network and the
    /// residuals of each ControlNet, and the working memory of a block.
    fn denoise(&self, config: &UnetConfig) -> u64 {
        let guided = if self.request.cfg_scale > 1.0 && config.guidance_width.is_none() {
            2
        } else {
            1
        };
        let images = self
            .request
            .batch_size
            .min(usize::try_from(self.request.count).unwrap_or(1)) as u64
            * guided;
        let channels: u64 = config
            .levels
            .iter()
            .enumerate()
            .map(|(i, level)| ((level.layers + 1) * level.channels) as u64 >> (2 * i))
            .sum();
        let ways = 1 + self.networks.controls.len() as u64;
        let first = config.levels[0].channels as u64;
        let numbers = images * self.cells();
        numbers * 4 * (ways * channels + BLOCK * first) + scratch(numbers * first)
    }

    /// Decoder or encoder of the autoencoder: its weights, and its buffers for the whole image or a
    /// tile.
    fn autoencoder(&self, source: &autoencoder::Source, half: Half, tiled: bool) -> Result<Sized> {
        let weights = source.weights()?.footprint(half.prefix());
        let area = u64::from(self.repo.vae_factor * self.repo.vae_factor);
        let sized = |cells: u64, width: usize, maps: u64| {
            let largest = cells * area * width as u64;
            Sized {
                weights,
                buffers: maps + scratch(largest) + self.cells() * area * PIXEL,
            }
        };
        if source.is_tiny()? {
            let maps = TINY_MAPS * TINY_WIDTH as u64 * area * self.cells() * 4;
            return Ok(sized(self.cells(), TINY_WIDTH, maps));
        }
        let (json, file) = source.config()?;
        let wrong = |e: serde_json::Error| Error::new(Kind::ModelFile, format!("{file}: {e}"));
        let vae: VaeConfig = serde_json::from_value(json).map_err(wrong)?;
        let tile = Tiling::of(&vae).cells as u64;
        let cells = if tiled {
            self.cells().min(tile * tile)
        } else {
            self.cells()
        };
        let at_once = usize::try_from(cells).unwrap_or(usize::MAX);
        let maps = match half {
            Half::Decoder => vae.decoding(at_once),
            Half::Encoder => vae.encoding(at_once),
        };
        // The second level's maps are enlarged to the first one's size.
        let width = vae
            .block_out_channels
            .iter()
            .take(2)
            .copied()
            .max()
            .unwrap_or_default();
        Ok(sized(cells, width, maps))
    }
}

/// Decoder or encoder of an autoencoder.
#[derive(Clone, Copy)]
enum Half {
    Decoder,
    Encoder,
}

impl Half {
    /// Prefix of the names of its tensors.
    fn prefix(self) -> &'static str {
        match self {
            Self::Decoder => "decoder.",
            Self::Encoder => "encoder.",
        }
    }
}

/// Channels of the tiny autoencoder at every level, and number of maps of that many channels that
/// are in memory at once at the last level.
const TINY_WIDTH: usize = 64;
const TINY_MAPS: u64 = 4;
/// Bytes per pixel of the image itself: three numbers, two copies more while they are transposed
/// and rounded, and the result.
const PIXEL: u64 = 3 * (3 * 4 + 1);
/// Maps of the first level that a block of the denoising network works on at once: the four of the
/// gated layer (GEGLU), queries, keys and values, input and output, and the rounding up to size
/// classes.
const BLOCK: u64 = 16;
/// Pages of mapped files that loading keeps, and a layer on its way into panels.
const READING: u64 = 120 << 20;

/// Scratch memory of the kernels themselves in bytes, for a largest map of `numbers` values: two
/// bands of a convolution, for its input and its transformed input.
fn scratch(numbers: u64) -> u64 {
    (2 * (28 << 20)).min(numbers * 4 * 3)
}
