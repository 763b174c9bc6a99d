//! Images of one request on their way to files: encoded, with their metadata, under the names that
//! were asked for.

use std::path::PathBuf;

use super::Picture;
use super::latents::{Latents, kept_as};
use super::metadata::Origin;
use super::path::{Template, UNNAMED, Values};
use super::png::{Existing, encode, save};
use crate::error::{Error, Result};
use crate::params::{Request, VaeTiling};

/// Settings for writing the images of one request.
#[derive(Clone, Copy)]
pub struct ImageWriter<'a> {
    /// Metadata of the images.
    pub origin: Origin<'a>,
    /// True if the images are written without metadata.
    pub silent: bool,
}

/// An image, with its seed and its index in the request.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// The pixels.
    pub picture: Picture<'a>,
    /// The seed that made it.
    pub seed: u64,
    /// Index of the image within the request, from 0.
    pub index: u64,
    /// True if the image was decoded in tiles, by request or for lack of memory.
    pub tiled: bool,
}

impl ImageWriter<'_> {
    /// The PNG of a picture.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn png(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>> {
        if self.silent {
            return encode(&leaf.picture, &[]);
        }
        // Tiles change the pixels, and another machine might not need them.
        let vae_tiling = if leaf.tiled {
            VaeTiling::On
        } else {
            self.origin.request.vae_tiling
        };
        let request = &Request {
            vae_tiling,
            ..self.origin.request.clone()
        };
        encode(
            &leaf.picture,
            &Origin {
                request,
                ..self.origin
            }
            .texts(leaf.seed)?,
        )
    }

    /// The PNG of an image that was stopped before its last step: without the record from which it
    /// could be reproduced.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn unfinished(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>> {
        let texts = if self.silent {
            Vec::new()
        } else {
            vec![self.origin.a1111(leaf.seed)]
        };
        encode(&leaf.picture, &texts)
    }

    /// Writes an image under the name that `template` gives; returns the path.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(
        &self,
        leaf: &Leaf<'_>,
        template: &Template,
        existing: Existing,
    ) -> Result<PathBuf> {
        let Origin { request, model, .. } = self.origin;
        let values = Values {
            request,
            model,
            seed: leaf.seed,
            index: leaf.index,
            name: UNNAMED,
        };
        save(&self.png(leaf)?, &template.path(&values), existing)
    }

    /// Saves the latents of an image that could not be decoded, next to the path the image would
    /// have had; returns `error`, the reason, with the path of the latents as a hint.
    pub fn rescue(&self, latents: &Latents, template: &Template, error: Error) -> Error {
        let Origin { request, model, .. } = self.origin;
        let values = Values {
            request,
            model,
            seed: latents.seed,
            index: latents.index,
            name: UNNAMED,
        };
        match latents.save(&self.origin, &template.path(&values), Existing::Keep) {
            Ok(path) => kept_as(error, &path),
            Err(failure) => error.hint(format!("its latents could not be kept: {failure}")),
        }
    }
}
