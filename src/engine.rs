//! The engine: owns the loaded model and turns a request into pictures. How they are shown or saved is the caller's.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::event::Observer;
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
    weights: BTreeMap<String, String>,
}

impl Engine {
    /// Loads the networks of a model for the device and precision that `request` names.
    ///
    /// # Errors
    /// A file that is missing or does not fit; a device that is not there.
    pub fn load(
        _files: &ModelFiles,
        _repo: &RepoConfig,
        _request: &Request,
        _observer: &mut dyn Observer,
    ) -> Result<Self> {
        Err(Error::internal("the engine is not built yet"))
    }

    /// Draws the pictures of `request` and hands each to `deliver` as soon as it is decoded.
    ///
    /// # Errors
    /// A failure of the networks, a picture that is none, `Kind::Interrupted` when the observer cancels,
    /// or what `deliver` reports.
    pub fn generate(
        &mut self,
        _request: &Request,
        _observer: &mut dyn Observer,
        _deliver: &mut dyn FnMut(Image) -> Result<()>,
    ) -> Result<()> {
        Err(Error::internal("the engine is not built yet"))
    }

    /// Name → hash of each weight file in use.
    pub fn weights(&self) -> &BTreeMap<String, String> {
        &self.weights
    }
}
