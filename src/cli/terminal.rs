//! stdout for data, stderr for people. A closed pipe at either end is no reason to panic.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;

use crate::error::{Error, Kind, Result};

/// Writes data to stdout. A reader that closes the pipe (`| head`) ends the output without an
/// error.
pub(super) fn write_data(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Output, "cannot write to stdout").source(error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON to stdout.
pub(super) fn write_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("cannot serialise the answer")?;
    text.push('\n');
    write_data(text.as_bytes())?;
    Ok(())
}

/// Prints a line for people. A closed stderr is no error.
pub(super) fn print_message(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Returns true if stderr is a terminal that can redraw a line.
pub(super) fn can_redraw() -> bool {
    io::stderr().is_terminal() && !crate::env::dumb_terminal()
}

/// Returns true if stderr shows colours.
pub(super) fn has_colours() -> bool {
    io::stderr().is_terminal() && crate::env::colours()
}

/// A number of bytes in kB, MB or GB.
pub(super) fn format_bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        0.0..1e5 => format!("{:.1} kB", bytes / 1e3),
        1e5..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

/// Text without control characters but newline and tab, so that no prompt or file can control the
/// terminal.
pub(super) fn sanitize(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// `1 job`, `2 jobs`.
pub(super) fn count_of(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// Checks that `--show` has a terminal on stdout.
pub(super) fn check_image_support() -> Result<()> {
    if io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        Error::field("show", "stdout is no terminal that could show a picture")
            .hint("leave `--show` out; the pictures are in their files"),
    )
}

/// Shows the image at `path` by the best protocol that the terminal supports (kitty's, iTerm's,
/// sixels, or half blocks); one that was written to stdout is not shown again.
pub(super) fn show_image(path: &Path) -> Result<()> {
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
