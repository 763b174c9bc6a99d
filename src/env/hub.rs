//! Hugging Face Hub settings from the environment, read as Python's `huggingface_hub` 2.4 reads
//! them (`constants.py`, `utils/_auth.py`). An empty variable counts as one that is not set, for
//! paths too, where Python takes the current folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Token;
use super::expand::{Variables, expanded, home};
use crate::error::{Error, Kind, Result};

/// Settings of the Hugging Face Hub and its cache, with the names and meaning that Python's
/// `huggingface_hub` gives them.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `$HF_HOME/hub`; `None` without a home
    /// folder.
    pub cache: Option<PathBuf>,
    /// `HF_ENDPOINT`, else the public hub.
    pub endpoint: String,
    /// `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else what the token file holds.
    pub token: Option<Token>,
    /// `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`: no connection is opened.
    pub offline: bool,
    /// `HF_HUB_ETAG_TIMEOUT`: timeout of requests for metadata.
    pub etag_timeout: Option<Duration>,
    /// `HF_HUB_DOWNLOAD_TIMEOUT`: timeout of each read of a download.
    pub download_timeout: Option<Duration>,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`: no token is used.
    pub no_token: bool,
    /// `HF_HUB_DISABLE_SYMLINKS`: the cache has no symbolic links.
    pub no_symlinks: bool,
}

/// Every variable that is read here.
pub const HUB_VARIABLES: &[&str] = &[
    "HF_HOME",
    "XDG_CACHE_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_ENDPOINT",
    "HUGGINGFACE_CO_STAGING",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_DISABLE_SYMLINKS",
];

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

    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A time that is no number.
    pub fn from_env() -> Result<Self> {
        Self::read(&super::raw)
    }

    fn read(variables: Variables<'_>) -> Result<Self> {
        let environment = Environment { variables };
        let folder = environment.folder();
        let cache = environment.first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]);
        let cache = cache.or_else(|| Some(folder.as_ref()?.join("hub").into_os_string()));
        let is_staging = environment.switch(&["HUGGINGFACE_CO_STAGING"]);
        let endpoint = match environment.text(&["HF_ENDPOINT"]) {
            _ if is_staging => "https://hub-ci.huggingface.co".to_owned(),
            endpoint => endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned()),
        };
        let no_token = environment.switch(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]);
        Ok(Self {
            cache: cache.map(|cache| expanded(&cache, variables)),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: if no_token {
                None
            } else {
                environment.token(folder, is_staging)
            },
            offline: environment.switch(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            etag_timeout: environment.seconds("HF_HUB_ETAG_TIMEOUT")?,
            download_timeout: environment.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
            no_token,
            no_symlinks: environment.switch(&["HF_HUB_DISABLE_SYMLINKS"]),
        })
    }
}

struct Environment<'a> {
    variables: Variables<'a>,
}

impl Environment<'_> {
    /// The first of some variables that is set and not empty.
    fn first(&self, names: &[&str]) -> Option<OsString> {
        names
            .iter()
            .find_map(|name| (self.variables)(name).filter(|value| !value.is_empty()))
    }

    fn text(&self, names: &[&str]) -> Option<String> {
        self.first(names)
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// Returns true if the first variable that is set is `1`, `on`, `yes` or `true`; later ones are
    /// not read.
    fn switch(&self, names: &[&str]) -> bool {
        let value = self.text(names).unwrap_or_default().to_uppercase();
        ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
    }

    /// A whole number of seconds; 0 counts as not set.
    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.text(&[name]) else {
            return Ok(None);
        };
        let seconds: u64 = text.trim().parse().map_err(|_| {
            Error::new(
                Kind::Usage,
                format!("{name}: expected a whole number of seconds, got `{text}`"),
            )
            .hint("unset it to wait as long as is usual")
        })?;
        Ok(Some(seconds)
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs))
    }

    /// The folder of the hub's clients: `HF_HOME`, else `huggingface` among the user's caches.
    fn folder(&self) -> Option<PathBuf> {
        let caches = || {
            let xdg = self.first(&["XDG_CACHE_HOME"]).map(PathBuf::from);
            xdg.or_else(|| Some(home(self.variables)?.join(".cache")))
        };
        let hf_home = self.first(&["HF_HOME"]);
        let folder = hf_home.or_else(|| Some(caches()?.join("huggingface").into_os_string()));
        folder.map(|folder| expanded(&folder, self.variables))
    }

    fn token(&self, folder: Option<PathBuf>, is_staging: bool) -> Option<Token> {
        let variable = self.text(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]);
        let variable = variable.as_deref().map(without_line_breaks);
        if let Some(token) = variable.filter(|token| !token.is_empty()) {
            return Token::new(&token);
        }
        let saved = std::fs::read_to_string(self.token_file(folder, is_staging)?).ok()?;
        Token::new(&without_line_breaks(&saved))
    }

    /// Path of the file to which `hf auth login` writes the token.
    fn token_file(&self, folder: Option<PathBuf>, is_staging: bool) -> Option<PathBuf> {
        if is_staging {
            return Some(home(self.variables)?.join(".cache/huggingface_staging/token"));
        }
        let path = self.first(&["HF_TOKEN_PATH"]);
        let file = path.or_else(|| Some(folder?.join("token").into_os_string()));
        file.map(|file| expanded(&file, self.variables))
    }
}

/// A token without the line breaks that editors add.
fn without_line_breaks(text: &str) -> String {
    text.replace(['\r', '\n'], "").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        environment: BTreeMap<String, String>,
        python: Option<Python>,
    }

    #[derive(Deserialize)]
    struct Python {
        cache: PathBuf,
        token_path: PathBuf,
        endpoint: String,
        token: Option<String>,
        offline: bool,
        etag_timeout: u64,
        download_timeout: u64,
        symlinks: bool,
    }

    /// Default timeout of `huggingface_hub` in seconds; the default of this program is longer and
    /// is not part of [`Hub`].
    const USUAL: u64 = 10;

    #[cfg(unix)]
    #[test]
    fn the_environment_means_what_it_means_to_python() {
        let golden = include_str!("../../tests/golden/hub_environment.json");
        let rows: Vec<Row> = serde_json::from_str(golden).unwrap();
        for Row {
            environment,
            python,
        } in rows
        {
            let variables = |name: &str| environment.get(name).map(OsString::from);
            let hub = Hub::read(&variables);
            let Some(python) = python else {
                let error = hub.unwrap_err();
                assert!(
                    error
                        .message()
                        .contains("_TIMEOUT: expected a whole number"),
                    "{error}"
                );
                continue;
            };
            let hub = hub.unwrap();
            let read = Environment {
                variables: &variables,
            };
            let file = read.token_file(read.folder(), read.switch(&["HUGGINGFACE_CO_STAGING"]));
            let seconds = |time: Option<Duration>| time.map_or(USUAL, |time| time.as_secs());
            assert_eq!(
                hub.cache.unwrap().as_os_str(),
                python.cache.as_os_str(),
                "{environment:?}"
            );
            assert_eq!(
                file.unwrap().as_os_str(),
                python.token_path.as_os_str(),
                "{environment:?}"
            );
            assert_eq!(hub.endpoint, python.endpoint, "{environment:?}");
            assert_eq!(
                hub.token,
                python.token.as_deref().and_then(Token::new),
                "{environment:?}"
            );
            assert_eq!(
                (hub.offline, hub.no_symlinks),
                (python.offline, !python.symlinks),
                "{environment:?}"
            );
            let times = [seconds(hub.etag_timeout), seconds(hub.download_timeout)];
            assert_eq!(
                times,
                [python.etag_timeout, python.download_timeout],
                "{environment:?}"
            );
        }
    }

    #[test]
    fn a_token_comes_from_its_file_without_line_breaks_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_kept\r\n").unwrap();
        let token = |more: &[(&str, &str)]| {
            let said = |name: &str| {
                more.iter()
                    .find(|row| row.0 == name)
                    .map(|row| OsString::from(row.1))
            };
            let home =
                |name: &str| (name == "HF_HOME").then(|| folder.path().as_os_str().to_owned());
            Hub::read(&|name| said(name).or_else(|| home(name)))
                .unwrap()
                .token
        };
        assert_eq!(token(&[]), Token::new("hf_kept"));
        assert_eq!(
            token(&[("HF_TOKEN", " \n"), ("HUGGING_FACE_HUB_TOKEN", "")]),
            Token::new("hf_kept")
        );
        assert_eq!(
            token(&[("HUGGING_FACE_HUB_TOKEN", "hf_said")]),
            Token::new("hf_said")
        );
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN_PATH", "/nowhere/token")]), None);
    }

    #[test]
    fn an_empty_variable_is_none() {
        let empty = |name: &str| HUB_VARIABLES.contains(&name).then(OsString::new);
        let none = |_: &str| None;
        let [empty, none] =
            [Hub::read(&empty), Hub::read(&none)].map(|hub| format!("{:?}", hub.unwrap()));
        assert_eq!(empty, none);
    }
}
