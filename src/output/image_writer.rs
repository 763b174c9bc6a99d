//! Images of one request on their way to files: encoded, with their metadata, under the names that
//! were asked for.

use std::path::PathBuf;

use super::atomic_file::{Existing, save};
use super::encode::Format;
use super::file_names::{Template, UNNAMED, Values};
use super::latents::{Latents, with_path_hint};
use super::metadata::Provenance;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::params::{Request, VaeTiling};

/// Settings for writing the images of one request.
#[derive(Clone, Copy)]
pub struct ImageWriter<'a> {
    /// Metadata of the images.
    pub provenance: Provenance<'a>,
    /// True if the images are written without metadata.
    pub no_metadata: bool,
}

impl ImageWriter<'_> {
    /// The file of an image.
    ///
    /// # Errors
    /// As [`Format::encode`].
    pub fn encode(&self, image: &Image, format: &Format) -> Result<Vec<u8>> {
        if self.no_metadata {
            return format.encode(image.size, &image.rgb, &[]);
        }
        // Tiles change the pixels, and another machine might not need them.
        let vae_tiling = if image.tiled {
            VaeTiling::On
        } else {
            self.provenance.request.vae_tiling
        };
        let request = &Request {
            vae_tiling,
            ..self.provenance.request.clone()
        };
        let provenance = Provenance {
            request,
            ..self.provenance
        };
        format.encode(image.size, &image.rgb, &provenance.texts(image.seed)?)
    }

    /// The file of an image that was stopped before its last step: without the record from which it
    /// could be reproduced.
    ///
    /// # Errors
    /// As [`Format::encode`].
    pub fn encode_unfinished(&self, image: &Image, format: &Format) -> Result<Vec<u8>> {
        let texts = if self.no_metadata {
            Vec::new()
        } else {
            vec![self.provenance.a1111(image.seed)]
        };
        format.encode(image.size, &image.rgb, &texts)
    }

    /// Writes an image under the name that `template` gives; returns the path.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(&self, image: &Image, template: &Template, existing: Existing) -> Result<PathBuf> {
        let bytes = self.encode(image, template.format())?;
        save(
            &bytes,
            &self.path(template, image.seed, image.index),
            existing,
        )
    }

    /// Saves the latents of an image that could not be decoded, next to the path the image would
    /// have had; returns `error`, the reason, with the path of the latents as a hint.
    pub fn save_latents(&self, latents: &Latents, template: &Template, error: Error) -> Error {
        let path = self.path(template, latents.seed, latents.index);
        match latents.save(&self.provenance, &path, Existing::Keep) {
            Ok(path) => with_path_hint(error, &path),
            Err(failure) => error.hint(format!("its latents could not be kept: {failure}")),
        }
    }

    fn path(&self, template: &Template, seed: u64, index: u64) -> PathBuf {
        let Provenance { request, model, .. } = self.provenance;
        template.path(&Values {
            request,
            model,
            seed,
            index,
            name: UNNAMED,
        })
    }
}
