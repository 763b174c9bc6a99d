//! `--show`: images in the terminal, by the best protocol that it supports: kitty's, iTerm's, sixels,
//! or half blocks.

use std::io::IsTerminal;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Checks that stdout is a terminal.
pub(super) fn check_terminal() -> Result<()> {
    if std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        Error::field("show", "stdout is no terminal that could show a picture")
            .hint("leave `--show` out; the pictures are in their files"),
    )
}

/// Shows the image at `path`; one that was written to stdout is not shown again.
pub(super) fn show(path: &Path) -> Result<()> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let failed = |why: String| {
        Error::new(
            Kind::Output,
            format!("cannot show `{}`: {why}", path.display()),
        )
    };
    let image = image::open(path).map_err(|e| failed(e.to_string()))?;
    let config = viuer::Config {
        absolute_offset: false,
        ..viuer::Config::default()
    };
    viuer::print(&image, &config).map_err(|e| failed(e.to_string()))?;
    Ok(())
}
