//! The engine: owns the loaded model and turns a request into pictures. How they are shown or saved is the caller's.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::event::Observer;
use crate::nn::{Backend, Choice};
use crate::pipeline::{Batch, Pipeline};
use crate::registry::{ModelFiles, RepoConfig};
use crate::request::Request;

/// A finished picture: 8-bit RGB, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
    /// The seed that made it.
    pub seed: u64,
    /// Its place within the request, from 0.
    pub index: u64,
}

/// A loaded model, ready to draw.
pub struct Engine {
    pipeline: Pipeline,
    weights: BTreeMap<String, String>,
}

impl Engine {
    /// Loads the networks of a model for the device and precision that `request` names.
    ///
    /// # Errors
    /// A file that is missing or does not fit; a device that is not there.
    pub fn load(
        files: &ModelFiles,
        repo: &RepoConfig,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let isa = crate::config::instruction_set();
        let backend = Backend::choose(&Choice {
            device: request.device,
            dtype: request.dtype,
            threads: request.threads,
            isa: isa.as_deref(),
        })?;
        let pipeline = Pipeline::load(files, repo, request, &backend, observer)?;
        Ok(Self { pipeline, weights: files.fingerprints() })
    }

    /// Draws the pictures of `request` and hands each to `deliver` as soon as it is decoded.
    ///
    /// # Errors
    /// A failure of the networks, a picture that is none, `Kind::Interrupted` when the observer cancels,
    /// or what `deliver` reports.
    pub fn generate(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
        deliver: &mut dyn FnMut(Image) -> Result<()>,
    ) -> Result<()> {
        let start = request.start()?;
        let prompts = self.pipeline.encode(request, observer)?;
        for first in (0..request.count).step_by(request.batch_size) {
            let size = request.batch_size.min((request.count - first) as usize);
            let latents =
                self.pipeline.denoise(request, &prompts, start.as_ref(), Batch { first, size }, observer)?;
            for i in 0..size {
                let mut rgb = self.pipeline.decode(&latents, i, observer)?;
                if let Some(start) = start.as_ref().filter(|_| request.keeps_unmasked()) {
                    start.restored(&mut rgb);
                }
                let index = first + i as u64;
                let seed = request.seed.wrapping_add(index);
                deliver(Image { width: request.width, height: request.height, rgb, seed, index })?;
            }
        }
        Ok(())
    }

    /// How the processor computes (instruction set, threads); nothing on other devices.
    pub fn processor(&self) -> Option<String> {
        self.pipeline.backend().processor()
    }

    /// A counter of the arithmetic operations of convolutions, products and attention so far, to be read while the
    /// engine works; it stays at 0 where they are not counted.
    pub fn operations(&self) -> impl Fn() -> u64 + 'static {
        let backend = self.pipeline.backend().clone();
        move || backend.work()
    }

    /// Name → hash of each weight file in use.
    pub fn weights(&self) -> &BTreeMap<String, String> {
        &self.weights
    }
}
