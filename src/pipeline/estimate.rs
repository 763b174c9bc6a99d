//! How much memory a request takes, by estimate, and the way of keeping and decoding that follows from it.

use super::tiles::Tiling;
use super::{Stay, autoencoder};
use crate::error::{Error, Kind, Result};
use crate::models::unet_config::UnetConfig;
use crate::models::vae::VaeConfig;
use crate::nn::{Backend, Weights, available_memory};
use crate::registry::{Component, ModelFiles, Networks, RepoConfig};
use crate::request::{Memory, Request, VaeTiling};

/// Bytes that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Weights of the text encoders.
    pub text_encoders: u64,
    /// Weights of the denoising network.
    pub unet: u64,
    /// Weights of the autoencoder's decoder.
    pub decoder: u64,
    /// Buffers of a call of the denoising network.
    pub denoise: u64,
    /// Buffers of the decoder, for the whole picture or a tile.
    pub decode: u64,
    /// Whether pictures are decoded in tiles.
    pub tiled: bool,
    /// Whether all networks stay in memory.
    pub all_loaded: bool,
}

/// The program itself, its threads and what passes through while weights are read.
const PROGRAM: u64 = 60 << 20;

impl Estimate {
    /// The largest amount at any time.
    pub fn peak(&self) -> u64 {
        let stages = [self.text_encoders, self.unet + self.denoise, self.decoder + self.decode];
        let most = match self.all_loaded {
            true => self.networks() + self.denoise.max(self.decode),
            false => stages.into_iter().fold(0, u64::max),
        };
        PROGRAM + most
    }

    /// Weights of all networks.
    pub(crate) fn networks(&self) -> u64 {
        self.text_encoders + self.unet + self.decoder
    }

    /// How long networks stay.
    pub(crate) fn stay(&self) -> Stay {
        if self.all_loaded { Stay::Loaded } else { Stay::WhileNeeded }
    }

    /// What `request` takes on `backend`, in the way that its `memory` and `vae_tiling` ask for; `held` bytes are in
    /// memory already.
    ///
    /// # Errors
    /// A file of the model that is missing or malformed.
    pub(crate) fn of(
        (files, repo): (&ModelFiles, &RepoConfig),
        networks: &Networks,
        request: &Request,
        backend: &Backend,
        held: u64,
    ) -> Result<Self> {
        let limit = match request.memory {
            // What a card has is known to its driver alone.
            Memory::Auto if !backend.is_host() => u64::MAX,
            Memory::Auto => available_memory().map_or(u64::MAX, |bytes| bytes.saturating_add(held)),
            Memory::Limit(bytes) => bytes,
            Memory::Low => 0,
        };
        let forced = request.vae_tiling == VaeTiling::On;
        let sizes = Sizes { files, repo, networks, request };
        let sized = sizes.estimate(backend, forced)?;
        let comfortable = Self { all_loaded: true, ..sized };
        if comfortable.peak() <= limit {
            return Ok(comfortable);
        }
        let unavoidable = limit.max(PROGRAM + sized.unet + sized.denoise);
        let large = PROGRAM + sized.decoder + sized.decode > unavoidable;
        if request.vae_tiling == VaeTiling::Auto && large { sizes.estimate(backend, true) } else { Ok(sized) }
    }
}

/// What the sizes of a request follow from.
struct Sizes<'a> {
    files: &'a ModelFiles,
    repo: &'a RepoConfig,
    networks: &'a Networks,
    request: &'a Request,
}

impl Sizes<'_> {
    fn estimate(&self, backend: &Backend, tiled: bool) -> Result<Estimate> {
        let config = UnetConfig::parse(self.files.json(&Component::Unet.config())?)?;
        let careful = backend.careful();
        let component = |component, backend: &Backend| Weights::open(self.files, component, backend);
        let unet = component(Component::Unet, backend)?.footprint("");
        let mut text_encoders = 0;
        let readers = [Component::TextEncoder, Component::TextEncoder2];
        for part in readers.into_iter().filter(|part| self.files.has(&part.config())) {
            text_encoders += component(part, &careful)?.footprint("");
        }
        let source = autoencoder::Source {
            model: self.files.clone(),
            other: self.networks.autoencoder.clone(),
            backend: careful,
        };
        let (decoder, decode) = self.decoder(&source, tiled)?;
        let denoise = self.denoise(&config);
        Ok(Estimate { text_encoders, unet, decoder, denoise, decode, tiled, all_loaded: false })
    }

    fn cells(&self) -> u64 {
        u64::from(self.request.width / self.repo.vae_factor)
            * u64::from(self.request.height / self.repo.vae_factor)
    }

    /// Buffers of the denoising network: what the way up still needs, and what a block works on.
    fn denoise(&self, config: &UnetConfig) -> u64 {
        let guided = if self.request.cfg_scale > 1.0 && config.guidance_width.is_none() { 2 } else { 1 };
        let images =
            self.request.batch_size.min(usize::try_from(self.request.count).unwrap_or(1)) as u64 * guided;
        let channels: u64 = config
            .levels
            .iter()
            .enumerate()
            .map(|(i, level)| ((level.layers + 1) * level.channels) as u64 >> (2 * i))
            .sum();
        images * self.cells() * 4 * (channels + BLOCK * config.levels[0].channels as u64) + SCRATCH
    }

    /// Weights of the decoder, and its buffers.
    fn decoder(&self, source: &autoencoder::Source, tiled: bool) -> Result<(u64, u64)> {
        let weights = source.weights()?;
        if source.is_tiny()? {
            return Ok((weights.footprint("decoder."), self.decode(&[TINY_WIDTH], self.cells())));
        }
        let (json, file) = source.config()?;
        let wrong = |e: serde_json::Error| Error::new(Kind::ModelFile, format!("{file}: {e}"));
        let vae: VaeConfig = serde_json::from_value(json).map_err(wrong)?;
        let bytes = weights.footprint("decoder.");
        let tile = Tiling::of(&vae).cells as u64;
        let cells = if tiled { self.cells().min(tile * tile) } else { self.cells() };
        Ok((bytes, self.decode(&vae.block_out_channels, cells)))
    }

    /// Buffers of the decoder's last level, which are the largest, for so many cells at a time.
    fn decode(&self, widths: &[usize], cells: u64) -> u64 {
        let area = u64::from(self.repo.vae_factor * self.repo.vae_factor);
        let first = widths.first().copied().unwrap_or_default();
        let channels = (widths.get(1).unwrap_or(&first) + 3 * first) as u64;
        // The picture itself: as numbers, once more while it is blended or rounded, and as bytes.
        let picture = self.cells() * area * (3 * 4 * 2 + 3);
        cells * area * 4 * channels + picture + SCRATCH
    }
}

/// Channels of the tiny autoencoder at every level.
const TINY_WIDTH: usize = 64;
/// Maps of the first level that a block of the denoising network works on at once: the gated layer's four, queries,
/// keys and values, input and output, and what size classes round up.
const BLOCK: u64 = 14;
/// Buffers of the kernels themselves, whatever the size.
const SCRATCH: u64 = 48 << 20;
