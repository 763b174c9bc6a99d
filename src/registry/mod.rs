//! Model catalogue: known names, folders and hub repositories, the files behind them, and extra
//! networks (ControlNet, VAE, IP-Adapter). No tensor data is read here.

mod about;
mod cache;
mod crew;
mod demo;
mod digest;
mod download;
mod files;
mod hub;
mod license;
mod lockfile;
mod needs;
mod network;
mod one_file;
mod presets;
mod refusal;
mod remote;
mod repo_config;
mod shards;
mod single;
mod stock;
mod tensors;
mod transfer;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

pub use about::{About, Hashed, Part};
pub(crate) use digest::{hex, sha256};
pub use files::ModelFiles;
pub use hub::{Fetch, Reach, cached, free_space, is_cached, locate, pull, reach};
pub use lockfile::LockFile;
pub use network::{Layout, Network, Networks, autoencoder};
pub use one_file::file_of_repository;
pub use presets::{Preset, presets};
pub use repo_config::{Component, Inputs, RepoConfig};
pub use single::{
    Checkpoint, Sign, Version, autoencoder_sizes, export, original_module, signs, version_of,
};
pub use stock::{Stored, Verdict, remove, stock, verify};

pub use crate::tensor_file::{Place, Scale, TensorFile, Tensors};

use crate::error::{Error, Kind, Result};
use crate::schedulers::{Sampler, Schedule, Spacing};

/// One table of models.toml: a version that users call by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The name.
    pub name: String,
    /// Other names of the same version.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Repository on the hub; none for the model that is compiled in.
    pub repo: Option<String>,
    /// Commit or branch.
    #[serde(default = "main_branch")]
    pub revision: String,
    /// A second source of the same files.
    pub mirror: Option<String>,
    /// Source of the UNet, if the repository has another one.
    pub unet: Option<Borrowed>,
    /// Native side length in pixels.
    pub size: u32,
    /// Default number of steps.
    pub steps: usize,
    /// Default guidance.
    pub cfg_scale: f64,
    /// Default sampler, where it is not to be the one of the model's own files.
    pub sampler: Option<Sampler>,
    /// Default schedule, where it is not to be the one of the model's own files.
    pub schedule: Option<Schedule>,
    /// Default timestep spacing, where it is not to be the one of the model's own files.
    pub timestep_spacing: Option<Spacing>,
    /// Licence of the weights.
    pub license: String,
    /// One phrase for people.
    pub about: String,
}

/// A file of weights in another repository.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Borrowed {
    /// Repository on the hub.
    pub repo: String,
    /// Commit or branch.
    #[serde(default = "main_branch")]
    pub revision: String,
    /// Path in it.
    pub file: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

#[derive(Deserialize)]
struct Table {
    model: Vec<ModelSpec>,
}

static MODELS: LazyLock<Vec<ModelSpec>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<Table>(include_str!("models.toml"))
        .map(|table| table.model)
        .unwrap_or_default()
});

/// Every known version.
pub fn models() -> &'static [ModelSpec] {
    &MODELS
}

/// The model used when a request names none.
pub const DEFAULT_MODEL: &str = "sd15";

/// Meaning of a `--model` value.
#[derive(Clone, Debug)]
pub enum ModelRef {
    /// A row of models.toml.
    Known(&'static ModelSpec),
    /// A folder in diffusers' layout.
    Folder(PathBuf),
    /// A model in one file.
    File(PathBuf),
    /// A repository on the hub.
    Repo {
        /// `org/name`.
        id: String,
        /// Branch, tag or commit.
        revision: String,
    },
}

impl ModelRef {
    /// Reads `NAME`, `DIR`, `FILE` or `ORG/REPO[@REV]`. What exists wins over a repository of the
    /// same spelling.
    ///
    /// # Errors
    /// A name that is not known, with the closest one as a hint.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(spec) = models()
            .iter()
            .find(|m| m.name == text || m.aliases.iter().any(|a| a == text))
        {
            return Ok(Self::Known(spec));
        }
        let path = PathBuf::from(text);
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        if path.is_file() {
            return Ok(Self::File(path));
        }
        match repository(text) {
            Some((id, revision)) => Ok(Self::Repo { id, revision }),
            None => Err(unknown(text)),
        }
    }
}

/// `org/name[@rev]` in the hub's alphabet, or nothing.
fn repository(text: &str) -> Option<(String, String)> {
    let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
    let (org, name) = id.split_once('/')?;
    let legal = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    // A revision is a path below refs/ in the cache: none may lead out of it.
    let tame = revision.split('/').all(legal);
    (legal(org) && legal(name) && tame).then(|| (id.to_owned(), revision.to_owned()))
}

fn unknown(text: &str) -> Error {
    let known: Vec<&str> = models().iter().map(|m| m.name.as_str()).collect();
    let error = Error::new(
        Kind::ModelNotFound,
        format!("model `{text}` is no known name, no folder and no file"),
    );
    let error = match crate::error::closest(text, &known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    error.hint(format!(
        "known names: {}; or give a folder, a file, or ORG/REPO[@REV] on the hub",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_no_two_models_share_a_name() {
        let table: Table = toml::from_str(include_str!("models.toml")).unwrap();
        let mut names: Vec<&String> = table
            .model
            .iter()
            .flat_map(|m| std::iter::once(&m.name).chain(&m.aliases))
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(table.model.iter().any(|m| m.name == DEFAULT_MODEL));
    }

    #[test]
    fn every_version_has_defaults_that_its_model_can_run() {
        for spec in models() {
            let distilled = spec.steps <= 4;
            assert_eq!(distilled, spec.sampler.is_some(), "{}", spec.name);
            assert!(
                spec.size % 64 == 0 && (1..=50).contains(&spec.steps),
                "{}",
                spec.name
            );
            assert!(
                (0.0..=10.0).contains(&spec.cfg_scale) && !spec.license.is_empty(),
                "{}",
                spec.name
            );
        }
        let turbo = models()
            .iter()
            .find(|spec| spec.aliases.iter().any(|name| name == "turbo"))
            .unwrap();
        assert_eq!(
            (turbo.name.as_str(), turbo.size, turbo.cfg_scale),
            ("sdxl-turbo", 512, 0.0)
        );
        assert_eq!(turbo.timestep_spacing, Some(Spacing::Trailing));
    }

    #[test]
    fn a_model_is_a_name_a_repository_or_an_error_with_a_suggestion() {
        assert!(matches!(ModelRef::parse("sd15"), Ok(ModelRef::Known(_))));
        assert!(
            matches!(ModelRef::parse("org/name@v2"), Ok(ModelRef::Repo { id, revision }) if id == "org/name" && revision == "v2")
        );
        let error = ModelRef::parse("sd51").unwrap_err();
        assert_eq!(error.kind(), Kind::ModelNotFound);
        assert!(error.hints()[0].contains("sd15"), "{:?}", error.hints());
        assert!(ModelRef::parse("no/such/folder").is_err());
        assert!(matches!(
            ModelRef::parse("org/name@refs/pr/1"),
            Ok(ModelRef::Repo { .. })
        ));
        for wild in [
            "org/name@",
            "org/name@../../x",
            "org/name@/etc",
            "../name",
            "org/..",
        ] {
            assert!(ModelRef::parse(wild).is_err(), "{wild}");
        }
    }
}
