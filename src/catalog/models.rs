//! Models that are known by name (`models.toml`), presets of distilled models (`presets.toml`), the
//! compiled-in demo model, and the meaning of `--model`.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::error::{Error, Kind, Result, closest};
use crate::hub::Repository;
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
    pub unet: Option<UnetFile>,
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

/// A UNet in another repository.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetFile {
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
struct ModelTable {
    model: Vec<ModelSpec>,
}

static MODELS: LazyLock<Vec<ModelSpec>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<ModelTable>(include_str!("models.toml"))
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
        let is_called =
            |spec: &&ModelSpec| spec.name == text || spec.aliases.iter().any(|alias| alias == text);
        if let Some(spec) = models().iter().find(is_called) {
            return Ok(Self::Known(spec));
        }
        let path = PathBuf::from(text);
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        if path.is_file() {
            return Ok(Self::File(path));
        }
        match Repository::parse(text) {
            Some(Repository { id, revision }) => Ok(Self::Repo { id, revision }),
            None => Err(unknown_model(text)),
        }
    }
}

fn unknown_model(text: &str) -> Error {
    let known: Vec<&str> = models().iter().map(|m| m.name.as_str()).collect();
    let error = Error::new(
        Kind::ModelNotFound,
        format!("model `{text}` is no known name, no folder and no file"),
    );
    let error = match closest(text, &known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    error.hint(format!(
        "known names: {}; or give a folder, a file, or ORG/REPO[@REV] on the hub",
        known.join(", ")
    ))
}

/// One table of presets.toml.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The name.
    pub name: String,
    /// One phrase for people.
    pub about: String,
    /// Native side length in pixels, where it is not that of the model it was distilled from.
    pub size: Option<u32>,
    /// Number of steps.
    pub steps: usize,
    /// Guidance.
    pub cfg_scale: f64,
    /// Sampler.
    pub sampler: Sampler,
    /// Schedule, where it is not the model's.
    pub schedule: Option<Schedule>,
    /// Timestep spacing, where it is not the model's.
    pub timestep_spacing: Option<Spacing>,
}

#[derive(Deserialize)]
struct PresetTable {
    preset: Vec<Preset>,
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<PresetTable>(include_str!("presets.toml"))
        .map(|table| table.preset)
        .unwrap_or_default()
});

/// Every preset.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

impl Preset {
    /// The preset of this name.
    ///
    /// # Errors
    /// An unknown name, with the closest known one as a hint.
    pub fn parse(name: &str) -> Result<&'static Self> {
        let found = presets().iter().find(|preset| preset.name == name);
        found.ok_or_else(|| {
            let names = presets().iter().map(|preset| preset.name.as_str());
            Error::unknown("preset", "preset", name, names)
        })
    }
}

/// Name of the demo model in models.toml. It is small enough to be compiled in, so that the program
/// can generate an image at once.
pub(super) const DEMO_NAME: &str = "demo";

macro_rules! demo_files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../assets/demo/", $path)))),+]
    };
}

/// Files of the demo model: (path, content).
pub(super) static DEMO_FILES: &[(&str, &[u8])] = demo_files![
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::required_files::missing_file;
    use crate::catalog::{ModelFiles, RepoConfig};

    #[test]
    fn the_table_parses_and_no_two_models_share_a_name() {
        let table: ModelTable = toml::from_str(include_str!("models.toml")).unwrap();
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

    #[test]
    fn presets_parse_and_unknown_ones_are_refused() {
        let table: PresetTable = toml::from_str(include_str!("presets.toml")).unwrap();
        assert_eq!(table.preset.len(), presets().len());
        assert_eq!(Preset::parse("lightning").unwrap().steps, 4);
        let error = Preset::parse("lightening").unwrap_err();
        assert!(error.hints()[0].contains("`lightning`"), "{error:?}");
    }

    #[test]
    fn the_demo_model_is_complete_and_has_its_row() {
        let files = ModelFiles::embedded(DEMO_NAME, DEMO_FILES);
        assert_eq!(missing_file(&files, None), None);
        let spec = models().iter().find(|spec| spec.name == DEMO_NAME).unwrap();
        assert_eq!(RepoConfig::read(&files).unwrap().native_size, spec.size);
    }
}
