//! The environment, read here and nowhere else, and handed on as plain data.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// A secret that never shows itself in a message or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret in a text, without the white space around it; nothing of an empty one.
    pub fn new(text: &str) -> Option<Self> {
        Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }

    /// The secret itself, for the one header that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Where models come from and where they are kept. The names are those of Python's `huggingface_hub`, and so is
/// their meaning.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`; `None` without a home folder.
    pub cache: Option<PathBuf>,
    /// `HF_ENDPOINT`, else the public hub.
    pub endpoint: String,
    /// `HF_TOKEN`, else what the token file holds.
    pub token: Option<Token>,
    /// `HF_HUB_OFFLINE`: open no connection.
    pub offline: bool,
}

impl Hub {
    /// The cache's folder.
    ///
    /// # Errors
    /// There is no home folder, and no other is named.
    pub fn cache(&self) -> Result<&Path> {
        self.cache.as_deref().ok_or_else(|| {
            Error::new(Kind::Output, "there is no home folder to keep models in")
                .hint("set HF_HOME to a folder, or give the model as a folder")
        })
    }

    /// The hub as the environment describes it.
    pub fn from_env() -> Self {
        let home = path("HF_HOME").or_else(|| Some(cache_home()?.join("huggingface")));
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let token = text("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file?).ok());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            cache: path("HF_HUB_CACHE").or_else(|| Some(home?.join("hub"))),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.as_deref().and_then(Token::new),
            offline: switch("HF_HUB_OFFLINE"),
        }
    }
}

/// One task of many that a scheduler started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayTask {
    /// From 0.
    pub index: u64,
    /// How many there are, where the scheduler tells.
    pub count: Option<u64>,
    /// The variable that told.
    pub name: &'static str,
}

/// The task that this process is: of a Slurm array (`SLURM_ARRAY_TASK_ID`, `_COUNT`, `_MIN`, `_STEP`), or of an
/// indexed job of Kubernetes (`JOB_COMPLETION_INDEX`).
pub fn array_task() -> Option<ArrayTask> {
    const SLURM: &str = "SLURM_ARRAY_TASK_ID";
    const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
    let slurm = number(SLURM).map(|id| {
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP").unwrap_or(1).max(1);
        let index = id.saturating_sub(first) / step;
        ArrayTask { index, count: number("SLURM_ARRAY_TASK_COUNT"), name: SLURM }
    });
    slurm.or_else(|| Some(ArrayTask { index: number(KUBERNETES)?, count: None, name: KUBERNETES }))
}

/// Whether colours are wanted on a terminal (<https://no-color.org>).
pub fn colours() -> bool {
    text("NO_COLOR").is_none() && !dumb_terminal()
}

/// Whether the terminal cannot redraw a line.
pub fn dumb_terminal() -> bool {
    text("TERM").as_deref() == Some("dumb")
}

/// The user's defaults: `SDGEN_CONFIG`, else `sdgen/config.toml` in the folder for such files; `None` without a home.
///
/// # Errors
/// `SDGEN_CONFIG` names a file that is not there.
pub fn defaults_file() -> Result<Option<PathBuf>> {
    match path("SDGEN_CONFIG") {
        Some(path) if path.is_file() => Ok(Some(path)),
        Some(path) => Err(Error::new(Kind::Usage, format!("SDGEN_CONFIG: `{}` is no file", path.display()))
            .hint("unset it to use the file in your config folder: `sdgen config path`")),
        None => {
            let dirs = directories::ProjectDirs::from("", "", "sdgen");
            Ok(dirs.map(|dirs| dirs.config_dir().join("config.toml")))
        }
    }
}

/// `SDGEN_PROFILE`: the profile to use where none is named.
pub fn profile() -> Option<String> {
    text("SDGEN_PROFILE")
}

/// `SDGEN_QUEUE`: what `--queue` says where it is not given; other users of the machine do not see it.
pub fn queue() -> Option<String> {
    text("SDGEN_QUEUE")
}

/// `SDGEN_HOLD`: a file at which the server's jobs stand still while it is there ([`crate::serve::Options::hold`]).
pub fn hold() -> Option<PathBuf> {
    path("SDGEN_HOLD")
}

/// `SDGEN_CPU`: the instruction set to use instead of the best that the processor has.
pub fn instruction_set() -> Option<String> {
    text("SDGEN_CPU")
}

/// Where this program keeps what has to outlive a process: `$XDG_STATE_HOME/sdgen`, or the system's own place.
pub fn state_folder() -> Option<PathBuf> {
    let home = directories::ProjectDirs::from("", "", "sdgen")?;
    Some(home.state_dir().unwrap_or_else(|| home.data_local_dir()).to_owned())
}

fn cache_home() -> Option<PathBuf> {
    path("XDG_CACHE_HOME").or_else(|| Some(directories::BaseDirs::new()?.home_dir().join(".cache")))
}

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
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

/// `1`, `on`, `yes` or `true`, as in Python's `huggingface_hub`.
fn switch(name: &str) -> bool {
    let value = text(name).unwrap_or_default().to_lowercase();
    ["1", "on", "yes", "true"].contains(&value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself() {
        let hub = Hub { token: Some(Token("hf_secret".into())), ..Hub::default() };
        assert!(!format!("{hub:?}").contains("secret"));
    }
}
