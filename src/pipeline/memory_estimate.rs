//! Estimate of the memory of a request from configurations and the headers of files, and the choice
//! of keeping networks loaded and of decoding in tiles that follows from it.

use super::autoencoder;
use super::stage::Residency;
use super::tiles::Tiling;
use crate::catalog::{Component, ModelFiles, Network, Networks, RepoConfig};
use crate::error::{Error, Kind, Result};
use crate::guidance::is_guided;
use crate::models::unet_config::UnetConfig;
use crate::models::vae::VaeConfig;
use crate::nn::{Backend, Weights, available_memory};
use crate::params::{Memory, Request, VaeTiling};

/// Memory of a request, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Weights of the text encoders.
    pub text_encoders: u64,
    /// Weights of the denoising network.
    pub unet: u64,
    /// Weights of the autoencoder's decoder.
    pub decoder: u64,
    /// Weights of the autoencoder's encoder, if there is a start image.
    pub encoder: u64,
    /// Weights of the extra networks, which stay as long as requests name them.
    pub extras: u64,
    /// Buffers of a call of the denoising network.
    pub denoise: u64,
    /// Buffers of the decoder, for the whole image or a tile.
    pub decode: u64,
    /// Buffers of the encoder.
    pub encode: u64,
    /// Mapped pages and temporary copies while the largest network is loaded.
    pub reading: u64,
    /// True if images are decoded in tiles.
    pub tiled: bool,
    /// True if all networks stay in memory.
    pub all_loaded: bool,
}

/// The program itself and its threads.
const PROGRAM: u64 = 24 << 20;

impl Estimate {
    /// The largest amount at any time.
    pub fn peak(&self) -> u64 {
        let stage = |weights: u64, buffers: u64| weights + buffers.max(self.reading.min(weights));
        let most = if self.all_loaded {
            stage(
                self.networks(),
                self.denoise.max(self.decode).max(self.encode),
            )
        } else {
            let stages = [
                stage(self.text_encoders, 0),
                stage(self.encoder, self.encode),
                self.denoising(),
                self.decoding(),
            ];
            stages.into_iter().fold(0, u64::max)
        };
        PROGRAM + self.extras + most
    }

    /// Memory of the denoising stage.
    fn denoising(&self) -> u64 {
        self.unet + self.denoise.max(self.reading.min(self.unet))
    }

    /// Memory of the decoding stage.
    fn decoding(&self) -> u64 {
        self.decoder + self.decode.max(self.reading.min(self.decoder))
    }

    /// Weights of all networks of the model.
    pub(crate) fn networks(&self) -> u64 {
        self.text_encoders + self.unet + self.decoder + self.encoder
    }

    /// Lifetime of networks in memory.
    pub(crate) fn residency(&self) -> Residency {
        if self.all_loaded {
            Residency::Loaded
        } else {
            Residency::WhileNeeded
        }
    }

    /// Estimates the memory of a request on `backend`, with the options that its `memory` and
    /// `vae_tiling` ask for; `held` bytes are in use by the loaded networks already.
    pub(crate) fn of(sizes: &Sizes<'_>, backend: &Backend, held: u64) -> Result<Self> {
        let request = sizes.request;
        let limit = match request.memory {
            // The memory of a GPU is known to its driver alone.
            Memory::Auto if !backend.is_host() => u64::MAX,
            Memory::Auto => available_memory().map_or(u64::MAX, |bytes| bytes.saturating_add(held)),
            Memory::Limit(bytes) => bytes,
            Memory::Low => 0,
        };
        let forced = request.vae_tiling == VaeTiling::On;
        let sized = sizes.estimate(backend, forced)?;
        let comfortable = Self {
            all_loaded: sizes.denoises,
            ..sized
        };
        if comfortable.peak() <= limit {
            return Ok(comfortable);
        }
        let unavoidable = limit.max(PROGRAM + sized.extras + sized.denoising());
        let large = PROGRAM + sized.extras + sized.decoding() > unavoidable;
        if request.vae_tiling == VaeTiling::Auto && large {
            sizes.estimate(backend, true)
        } else {
            Ok(sized)
        }
    }
}

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
    /// False if the latents exist already and are only decoded.
    pub(crate) denoises: bool,
}

/// Weights and buffers of a network.
#[derive(Clone, Copy, Default)]
struct Sized {
    weights: u64,
    buffers: u64,
}

impl Sizes<'_> {
    /// The estimate of the request, with or without decoding in tiles.
    pub(crate) fn estimate(&self, backend: &Backend, tiled: bool) -> Result<Estimate> {
        let no_int8 = backend.no_int8();
        let source = autoencoder::AutoencoderFiles {
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
            extras: 0,
            denoise: 0,
            decode: decoder.buffers,
            encode: 0,
            reading: READING,
            tiled,
            all_loaded: false,
        };
        if !self.denoises {
            return Ok(only_decoding);
        }
        let encoder = match &self.request.init {
            Some(_) => self.autoencoder(&source, Half::Encoder, false)?,
            None => Sized::default(),
        };
        let component =
            |component, backend: &Backend| Weights::open(self.files.tensors(component)?, backend);
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
            extras: self.extra_networks(backend, &no_int8)?,
            denoise: self.denoise(&config),
            encode: encoder.buffers,
            ..only_decoding
        })
    }

    /// Weights of the extra networks, in bytes.
    fn extra_networks(&self, backend: &Backend, no_int8: &Backend) -> Result<u64> {
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
        let guided = if is_guided(self.request.cfg_scale, config.guidance_width.is_some()) {
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
    fn autoencoder(
        &self,
        source: &autoencoder::AutoencoderFiles,
        half: Half,
        tiled: bool,
    ) -> Result<Sized> {
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
