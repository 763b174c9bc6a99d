//! Previews of a run, from the estimates of the clean latents.

use candle_core::{Device, Tensor};

use super::autoencoder::Autoencoder;
use super::decode;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::family::LatentRgb;
use crate::imaging::{Fit, Pixels};

/// Previews of a run.
#[derive(Clone, Copy)]
pub(super) struct Previews<'a> {
    /// Number of calls from one preview to the next.
    pub(super) every: usize,
    /// Calls already made by the base model.
    pub(super) before: usize,
    pub(super) autoencoder: &'a Autoencoder,
    /// Colours of the latents of the model's family.
    pub(super) rgb: &'a LatentRgb,
}

/// Longest side of a preview, in pixels.
const MAX_SIDE: u32 = 256;

impl Previews<'_> {
    /// Rejects latents of a number of channels whose colours are not known.
    pub(super) fn check(&self) -> Result<()> {
        let (channels, known) = (self.autoencoder.channels(), self.rgb.factors.len());
        if self.autoencoder.is_tiny() || channels == known {
            return Ok(());
        }
        let message =
            format!("the colours of {known} latent channels are known, not of {channels}");
        Err(Error::field("preview_every", message)
            .hint("leave previews out, or give a tiny autoencoder of the model's family: `--vae`"))
    }

    /// The previews after call `i` (from 0): one for each image of the estimates `x0`
    /// `[b, c, h, w]`, the first of which is image `first` of the request. Empty if no preview is
    /// due.
    pub(super) fn at_call(&self, i: usize, x0: &Tensor, first: u64) -> Result<Vec<Event>> {
        if !(i + 1).is_multiple_of(self.every) {
            return Ok(Vec::new());
        }
        let step = self.before + i + 1;
        let event = |k: usize| {
            let Pixels {
                width, height, rgb, ..
            } = self.picture(&x0.narrow(0, k, 1)?)?;
            Ok(Event::Preview {
                step,
                image: first + k as u64,
                width,
                height,
                rgb,
            })
        };
        (0..x0.dim(0)?).map(event).collect()
    }

    fn picture(&self, x0: &Tensor) -> Result<Pixels> {
        let (_, channels, rows, columns) = x0.dims4()?;
        let picture = if self.autoencoder.is_tiny() {
            decode::picture(&self.autoencoder.decode(x0)?)?
        } else {
            let x0 = self.autoencoder.scale().usual(x0)?;
            let cells = x0
                .to_device(&Device::Cpu)?
                .permute((0, 2, 3, 1))?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let rgb = cells
                .chunks_exact(channels)
                .flat_map(|cell| self.rgb.colour(cell))
                .collect();
            Pixels {
                width: columns as u32,
                height: rows as u32,
                rgb,
                alpha: None,
            }
        };
        let longest = picture.width.max(picture.height);
        if longest <= MAX_SIDE {
            return Ok(picture);
        }
        let scaled = |side: u32| (side * MAX_SIDE / longest).max(1);
        Ok(picture.fitted(scaled(picture.width), scaled(picture.height), Fit::Stretch))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::autoencoder::AutoencoderFiles;
    use super::*;
    use crate::catalog::ModelFiles;
    use crate::family::Family;
    use crate::nn::Backend;

    #[test]
    fn latents_of_other_channels_than_the_colours_are_refused_by_name() {
        let family = Family::SD;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/sd15");
        let text = std::fs::read_to_string(folder.join("vae/config.json")).unwrap();
        let check = |channels: u32| {
            let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
            config["latent_channels"] = channels.into();
            let copy = tempfile::tempdir().unwrap();
            std::fs::create_dir(copy.path().join("vae")).unwrap();
            std::fs::write(copy.path().join("vae/config.json"), config.to_string()).unwrap();
            let autoencoder = Autoencoder::open(AutoencoderFiles {
                model: ModelFiles::folder("m", "m", copy.path().to_owned()),
                other: None,
                backend: Backend::reference(),
                family,
            });
            Previews {
                every: 1,
                before: 0,
                autoencoder: &autoencoder.unwrap(),
                rgb: &family.latents.rgb,
            }
            .check()
        };
        assert!(check(4).is_ok());
        let error = check(16).unwrap_err();
        assert_eq!(error.field_name(), Some("preview_every"));
        assert!(error.to_string().contains("not of 16"), "{error}");
    }
}
