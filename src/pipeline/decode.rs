//! Latents to pixels, and the ways out when that fails: single precision where a lower one gives no picture, tiles
//! where memory runs out. What was drawn is never lost to a decoder that fails.

use std::cell::Cell;
use std::rc::Rc;

use candle_core::Tensor;

use super::part::Part;
use super::sound::sound;
use super::tiles::Tiling;
use super::{Drawn, Pipeline, pixels, staged, tell};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, Stage};
use crate::models::vae::Decoder;
use crate::registry::Component;

/// The decoder half of the autoencoder, and how it is used from now on.
#[derive(Default)]
pub(super) struct Decoding {
    decoder: Part<Decoder>,
    /// In single precision, whatever was asked for.
    exact: Cell<bool>,
    /// In tiles.
    tiled: Cell<bool>,
}

impl Decoding {
    /// A decoder that works in tiles from the start, if `tiled`.
    pub(super) fn new(tiled: bool) -> Self {
        Self { tiled: Cell::new(tiled), ..Self::default() }
    }

    /// Frees the decoder's memory.
    pub(super) fn free(&self) {
        self.decoder.free();
    }

    pub(super) fn tile(&self, tiled: bool) {
        self.tiled.set(tiled);
    }

    /// Whether there is still another way to decode, now that this one has failed with `error`; takes it.
    fn way_out(&self, error: &Error, lower_precision: bool) -> Option<&'static str> {
        if error.kind() == Kind::InvalidImage && lower_precision && !self.exact.replace(true) {
            self.decoder.free();
            return Some("decoding again in single precision");
        }
        (error.kind() == Kind::Device && !self.tiled.replace(true)).then_some("decoding again in tiles")
    }
}

impl Pipeline {
    /// Picture `i` of a batch to 8-bit RGB, one after the other: each is decoded alone, since that needs the most
    /// memory of all.
    ///
    /// # Errors
    /// `Kind::InvalidImage` when a picture is not a number or of one colour, in single precision too; tensor
    /// arithmetic.
    pub(crate) fn decode(&self, drawn: &Drawn, i: usize, observer: &mut dyn Observer) -> Result<Vec<u8>> {
        let latents = (drawn.latents.narrow(0, i, 1)? / self.vae.scaling_factor)?;
        loop {
            let decoder = self.decoder(observer)?;
            let decoded = staged(observer, Stage::Decode, "pixels", |_| self.pixels(&decoder, &latents));
            let Err(error) = decoded else { return decoded };
            let lower_precision = self.careful().exact().is_some();
            let Some(way_out) = self.decoding.way_out(&error, lower_precision) else { return Err(error) };
            self.backend.trim();
            tell(observer, &Event::Warning { message: format!("{error}; {way_out}") })?;
        }
    }

    fn pixels(&self, decoder: &Decoder, latents: &Tensor) -> Result<Vec<u8>> {
        let what = || "the autoencoder's decoder".to_owned();
        let decode = |part: &Tensor| sound(what, || decoder.forward(part), |pixels| pixels);
        let pixels = if self.decoding.tiled.get() {
            Tiling::of(&self.vae).decode(latents, decode)?
        } else {
            decode(latents)?
        };
        pixels::to_rgb(&pixels)
    }

    pub(super) fn decoder(&self, observer: &mut dyn Observer) -> Result<Rc<Decoder>> {
        self.decoding.decoder.get(|| {
            staged(observer, Stage::Load, Component::Vae.name(), |_| {
                let careful = self.careful();
                let backend = careful.exact().filter(|_| self.decoding.exact.get()).unwrap_or(careful);
                let weights = self.weights(Component::Vae, &backend)?;
                let decoder = Decoder::load(&weights, &self.vae)?;
                weights.finish(&["encoder.", "quant_conv."])?;
                Ok(decoder)
            })
        })
    }
}
