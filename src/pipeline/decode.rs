//! Latents to pixels, with fallbacks: single precision where a lower one yields no valid image,
//! tiles where memory runs out. Latents are never lost to a decoder that fails.

use super::autoencoder::Autoencoder;
use super::finite_check::check_finite;
use super::stage::staged;
use super::{PassOutput, Pipeline, pixels};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, Stage, tell};

impl Pipeline {
    /// Decodes image `i` of a batch to 8-bit RGB. Each image is decoded alone, since decoding needs
    /// the most memory of all stages.
    pub(crate) fn decode(
        &self,
        output: &PassOutput,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<u8>> {
        let latents = output.latents.narrow(0, i, 1)?;
        loop {
            self.autoencoder.load(observer)?;
            let decoded = staged(observer, Stage::Decode, "pixels", |_| {
                let what = || "the autoencoder's decoder".to_owned();
                pixels::to_rgb(&check_finite(
                    what,
                    || self.autoencoder.decode(&latents),
                    |pixels| pixels,
                )?)
            });
            let Err(error) = decoded else { return decoded };
            let Some(fallback) = fallback(&self.autoencoder, &error) else {
                return Err(error);
            };
            self.backend.trim();
            tell(
                observer,
                &Event::Warning {
                    message: format!("{error}; {fallback}"),
                },
            )?;
        }
    }
}

/// Fallback for a decoding that failed with `error`, which stays in force; `None` if there is none.
fn fallback(autoencoder: &Autoencoder, error: &Error) -> Option<&'static str> {
    if error.kind() == Kind::InvalidImage && autoencoder.upcast() {
        return Some("decoding again in single precision");
    }
    (error.kind() == Kind::Device && !autoencoder.set_tiling(true))
        .then_some("decoding again in tiles")
}
