//! Latents to pixels, with fallbacks: single precision where a lower one yields no valid image,
//! tiles where memory runs out. Latents are never lost to a decoder that fails.

use super::autoencoder::Autoencoder;
use super::finite_check::sound;
use super::stage::staged;
use super::{PassOutput, Pipeline, pixels};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, Stage, tell};

impl Pipeline {
    /// Decodes image `i` of a batch to 8-bit RGB. Each image is decoded alone, since decoding needs
    /// the most memory of all stages.
    ///
    /// # Errors
    /// `Kind::InvalidImage` when an image is not finite or of one colour, in single precision too;
    /// tensor arithmetic.
    pub(crate) fn decode(
        &self,
        output: &PassOutput,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<u8>> {
        let latents = output.latents.narrow(0, i, 1)?;
        loop {
            self.autoencoder.ready(observer)?;
            let decoded = staged(observer, Stage::Decode, "pixels", |_| {
                let what = || "the autoencoder's decoder".to_owned();
                pixels::to_rgb(&sound(
                    what,
                    || self.autoencoder.decode(&latents),
                    |pixels| pixels,
                )?)
            });
            let Err(error) = decoded else { return decoded };
            let Some(way_out) = way_out(&self.autoencoder, &error) else {
                return Err(error);
            };
            self.backend.trim();
            tell(
                observer,
                &Event::Warning {
                    message: format!("{error}; {way_out}"),
                },
            )?;
        }
    }
}

/// Fallback for a decoding that failed with `error`, which stays in force; `None` if there is none.
fn way_out(autoencoder: &Autoencoder, error: &Error) -> Option<&'static str> {
    if error.kind() == Kind::InvalidImage && autoencoder.exactly() {
        return Some("decoding again in single precision");
    }
    (error.kind() == Kind::Device && !autoencoder.tile(true)).then_some("decoding again in tiles")
}
