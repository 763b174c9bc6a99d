//! `--show`: pictures in the terminal, by the best way that it knows: kitty's, iTerm's, sixels, or
//! half blocks.

use std::io::IsTerminal;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Checks that images can be shown.
///
/// # Errors
/// stdout is no terminal.
pub(super) fn check() -> Result<()> {
    if std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        Error::field("show", "stdout is no terminal that could show a picture")
            .hint("leave `--show` out; the pictures are in their files"),
    )
}

/// Shows the picture at `path`; one on stdout is on its way already.
///
/// # Errors
/// The file is gone, or the terminal.
pub(super) fn picture(path: &Path) -> Result<()> {
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
    viuer::print(&image, &config)
        .map(|_| ())
        .map_err(|e| failed(e.to_string()))
}
