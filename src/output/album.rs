//! Pictures of one request on their way to files: encoded, with what they say about themselves, under the names that
//! were asked for.

use std::path::PathBuf;

use super::Picture;
use super::metadata::Origin;
use super::path::{Template, UNNAMED, Values};
use super::png::{Existing, encode, save};
use crate::error::Result;

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
}

impl Album<'_> {
    /// The PNG of a picture.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn png(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>> {
        let texts = if self.silent { Vec::new() } else { self.origin.texts(leaf.seed)? };
        encode(&leaf.picture, &texts)
    }

    /// Writes a picture where `template` says; returns where it is now.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(&self, leaf: &Leaf<'_>, template: &Template, existing: Existing) -> Result<PathBuf> {
        let Origin { request, model, .. } = self.origin;
        let values = Values { request, model, seed: leaf.seed, index: leaf.index, name: UNNAMED };
        save(&self.png(leaf)?, &template.path(&values), existing)
    }
}
