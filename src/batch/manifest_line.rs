//! Lines of a manifest: the states of jobs, as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// One line of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The job's name.
    pub job: String,
    /// Hash of the request, its input images and the weights ([`super::Planned::key`]).
    pub key: String,
    /// Path of the image.
    pub file: PathBuf,
    /// Source of the batch ([`super::ManifestPaths::source`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// State of the job.
    #[serde(flatten)]
    pub state: State,
}

/// State of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Still to be generated; its file name is reserved.
    Planned,
    /// The image is on disk.
    Done {
        /// SHA-256 of the file.
        sha256: String,
        /// Wall-clock seconds that the job took; its share of the time if it ran in one batch with
        /// others.
        seconds: f64,
    },
    /// The image could not be generated.
    Failed {
        /// Error message.
        error: String,
        /// Path of the latents that could not be decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latents: Option<PathBuf>,
    },
}

/// Parses the complete lines of a manifest; also returns their length in bytes.
pub(super) fn parse_lines(text: &str, path: &Path) -> Result<(Vec<Line>, u64)> {
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let mut lines = Vec::new();
    for (number, line) in text[..whole].lines().enumerate() {
        lines.push(serde_json::from_str(line).map_err(|e| {
            let message = format!("{}:{}: no line of a manifest", path.display(), number + 1);
            Error::new(Kind::Usage, message).source(e).hint(
                "`--restart` generates everything again; or name another file with `--manifest`",
            )
        })?);
    }
    Ok((lines, whole as u64))
}
