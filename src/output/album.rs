//! Pictures of one request on their way to files: encoded, with what they say about themselves,
//! under the names that were asked for.

use std::path::PathBuf;

use super::Picture;
use super::latents::{Latents, kept_as};
use super::metadata::Origin;
use super::path::{Template, UNNAMED, Values};
use super::png::{Existing, encode, save};
use crate::error::{Error, Result};
use crate::request::{Request, VaeTiling};

/// What the pictures of one request have in common when they are written.
#[derive(Clone, Copy)]
pub struct Album<'a> {
    /// What they say about themselves.
    pub origin: Origin<'a>,
    /// They keep it to themselves.
    pub silent: bool,
}

/// A picture and its place in the request.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// The pixels.
    pub picture: Picture<'a>,
    /// The seed that made it.
    pub seed: u64,
    /// Its place within the request, from 0.
    pub index: u64,
    /// It was decoded in tiles, for want of memory if for nothing else.
    pub tiled: bool,
}

impl Album<'_> {
    /// The PNG of a picture.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn png(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>> {
        if self.silent {
            return encode(&leaf.picture, &[]);
        }
        // Tiles leave their trace, and another machine would have no need of them.
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

    /// The PNG of a picture that was ended before its last step: without the record that it could
    /// be drawn again from.
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

    /// Writes a picture where `template` says; returns where it is now.
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

    /// Keeps the latents of a picture that could not be decoded beside where it would be; `error`
    /// is why, and says afterwards where they are.
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
