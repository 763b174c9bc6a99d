//! Previews as small PNG files: `{seed}-{step}.png` in a folder, each there as a whole or not at
//! all.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::image::Size;
use crate::output::atomic_file::{Existing, save};
use crate::output::encode;
use crate::params::{Params, Request};

/// A folder of previews.
pub(super) struct Previews {
    folder: PathBuf,
    seed: u64,
    /// Digits of the last step's number.
    digits: usize,
}

impl Previews {
    /// The folder that `params` name, if any.
    ///
    /// # Errors
    /// Previews without a folder; one that cannot be made.
    pub(super) fn of(params: &Params, request: &Request) -> Result<Option<Self>> {
        let Some(folder) = &params.preview_dir else {
            return match params.preview_every {
                None => Ok(None),
                Some(_) => Err(Error::field(
                    "preview_every",
                    "there is no folder for the previews",
                )
                .hint("give one with `--preview-dir DIR`")),
            };
        };
        std::fs::create_dir_all(folder).map_err(|e| {
            Error::field("preview_dir", format!("cannot make the folder `{folder}`")).source(e)
        })?;
        // Samplers of two calls a step count both.
        let digits = (2 * request.steps).to_string().len();
        Ok(Some(Self {
            folder: folder.into(),
            seed: request.seed,
            digits,
        }))
    }

    /// Writes the preview in `event`, if it is one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, event: &Event) -> Result<()> {
        let Event::Preview {
            step,
            image,
            width,
            height,
            rgb,
        } = event
        else {
            return Ok(());
        };
        let format = encode::DEFAULT;
        let name = format!(
            "{}-{step:0digits$}{}",
            self.seed.wrapping_add(*image),
            format.suffix(),
            digits = self.digits
        );
        let bytes = format.encode(Size::new(*width, *height), rgb, &[])?;
        save(&bytes, &self.folder.join(name), Existing::Replace)?;
        Ok(())
    }
}
