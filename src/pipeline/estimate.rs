//! Estimate of the memory of a request, and the choice of keeping networks loaded and of decoding
//! in tiles that follows from it.

use super::Stay;
use super::sizes::Sizes;
use crate::error::Result;
use crate::nn::{Backend, available_memory};
use crate::params::{Memory, VaeTiling};

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
    pub beside: u64,
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
pub(super) const PROGRAM: u64 = 24 << 20;

impl Estimate {
    /// The largest amount at any time.
    pub fn peak(&self) -> u64 {
        let stage = |weights: u64, buffers: u64| weights + buffers.max(self.reading.min(weights));
        let most = match self.all_loaded {
            true => stage(
                self.networks(),
                self.denoise.max(self.decode).max(self.encode),
            ),
            false => {
                let stages = [
                    stage(self.text_encoders, 0),
                    stage(self.encoder, self.encode),
                    self.denoising(),
                    self.decoding(),
                ];
                stages.into_iter().fold(0, u64::max)
            }
        };
        PROGRAM + self.beside + most
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
    pub(crate) fn stay(&self) -> Stay {
        if self.all_loaded {
            Stay::Loaded
        } else {
            Stay::WhileNeeded
        }
    }

    /// Estimates the memory of a request on `backend`, with the options that its `memory` and
    /// `vae_tiling` ask for; `held` bytes are in use by the loaded networks already.
    ///
    /// # Errors
    /// A file of the model that is missing or malformed.
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
            all_loaded: sizes.draws(),
            ..sized
        };
        if comfortable.peak() <= limit {
            return Ok(comfortable);
        }
        let unavoidable = limit.max(PROGRAM + sized.beside + sized.denoising());
        let large = PROGRAM + sized.beside + sized.decoding() > unavoidable;
        if request.vae_tiling == VaeTiling::Auto && large {
            sizes.estimate(backend, true)
        } else {
            Ok(sized)
        }
    }
}
