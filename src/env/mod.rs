//! Environment variables, read here and nowhere else, and passed on as plain data.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

mod expand;
mod hold;
mod hub;

pub use self::hold::Hold;
pub use self::hub::{HUB_VARIABLES, Hub};
use crate::error::{Error, Kind, Result};

/// A secret that never appears in a message or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret in a text, without the white space around it; `None` for an empty text.
    pub fn new(text: &str) -> Option<Self> {
        Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(|text| Self(text.to_owned()))
    }

    /// Returns the secret itself, for the one HTTP header that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// One task of many that a scheduler started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayTask {
    /// Index of the task, from 0.
    pub index: u64,
    /// Number of tasks, if the scheduler gives it.
    pub count: Option<u64>,
    /// Environment variable that gave the index.
    pub name: &'static str,
}

/// The task that this process is: of a Slurm array (`SLURM_ARRAY_TASK_ID`, `_COUNT`, `_MIN`,
/// `_STEP`), or of an indexed job of Kubernetes (`JOB_COMPLETION_INDEX`).
pub fn array_task() -> Option<ArrayTask> {
    const SLURM: &str = "SLURM_ARRAY_TASK_ID";
    const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
    let slurm = number(SLURM).map(|id| {
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP").unwrap_or(1).max(1);
        let index = id.saturating_sub(first) / step;
        ArrayTask {
            index,
            count: number("SLURM_ARRAY_TASK_COUNT"),
            name: SLURM,
        }
    });
    slurm.or_else(|| {
        Some(ArrayTask {
            index: number(KUBERNETES)?,
            count: None,
            name: KUBERNETES,
        })
    })
}

/// Returns true if colours are wanted on a terminal (<https://no-color.org>).
pub fn colours() -> bool {
    text("NO_COLOR").is_none() && !dumb_terminal()
}

/// Returns true if the terminal cannot redraw a line (`TERM=dumb`).
pub fn dumb_terminal() -> bool {
    text("TERM").as_deref() == Some("dumb")
}

/// The user's file of defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultsFile {
    /// Path of the file, whether it exists or not.
    pub path: PathBuf,
    /// True if this user may not read the folder of the file (the home of another user, as in a
    /// container that runs as another user): then there are no defaults.
    pub is_out_of_reach: bool,
}

/// The user's defaults: `SDGEN_CONFIG`, else `sdgen/config.toml` in the folder for such files;
/// `None` without a home.
///
/// # Errors
/// `SDGEN_CONFIG` names a file that is not there, or may not be looked at.
pub fn defaults_file() -> Result<Option<DefaultsFile>> {
    let named = path("SDGEN_CONFIG");
    let own = || {
        let folders = directories::ProjectDirs::from("", "", "sdgen")?;
        Some(folders.config_dir().join("config.toml"))
    };
    let is_named = named.is_some();
    let Some(path) = named.or_else(own) else {
        return Ok(None);
    };
    match path.metadata() {
        // A device or a pipe counts as a file: `/dev/null` means no defaults.
        Ok(metadata) if !is_named || !metadata.is_dir() => Ok(Some(DefaultsFile {
            path,
            is_out_of_reach: false,
        })),
        Err(error) if !is_named => {
            use std::io::ErrorKind::{NotADirectory, PermissionDenied};
            let is_out_of_reach = matches!(error.kind(), NotADirectory | PermissionDenied);
            Ok(Some(DefaultsFile {
                path,
                is_out_of_reach,
            }))
        }
        found => {
            let what = format!("SDGEN_CONFIG: `{}` is no file", path.display());
            let error = Error::new(Kind::Usage, what)
                .hint("unset it to use the file in your config folder: `sdgen config path`")
                .hint("`SDGEN_CONFIG=/dev/null` is no defaults at all");
            Err(match found {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => error.source(cause),
                _ => error,
            })
        }
    }
}

/// `SDGEN_PROFILE`: the profile to use if none is named.
pub fn profile() -> Option<String> {
    text("SDGEN_PROFILE")
}

/// `SDGEN_QUEUE`: value of `--queue` if the flag is not given; other users of the machine do not
/// see it.
pub fn queue() -> Option<String> {
    text("SDGEN_QUEUE")
}

/// `SDGEN_CPU`: the instruction set to use instead of the best that the processor has.
pub fn instruction_set() -> Option<String> {
    text("SDGEN_CPU")
}

/// Folder for data that outlives a process: `$XDG_STATE_HOME/sdgen`, or the system's own folder for
/// it.
pub fn state_folder() -> Option<PathBuf> {
    let home = directories::ProjectDirs::from("", "", "sdgen")?;
    Some(
        home.state_dir()
            .unwrap_or_else(|| home.data_local_dir())
            .to_owned(),
    )
}

/// Names in [`HUB_VARIABLES`] that are set.
pub fn hub_variables() -> Vec<&'static str> {
    HUB_VARIABLES
        .iter()
        .copied()
        .filter(|name| variable(name).is_some())
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    raw(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

fn number(name: &str) -> Option<u64> {
    text(name)?.trim().parse().ok()
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself() {
        let hub = Hub {
            token: Some(Token("hf_secret".into())),
            ..Hub::default()
        };
        assert!(!format!("{hub:?}").contains("secret"));
    }
}
