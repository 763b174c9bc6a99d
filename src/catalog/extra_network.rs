//! Extra networks next to a model, each a file, a folder or a repository of its own: ControlNets,
//! VAEs, IP-Adapters. They are only located here.

use std::path::Path;
use std::sync::Arc;

use super::ModelFiles;
use super::lookup::{Fetch, locate_files};
use super::single_file::{autoencoder_places, control_places};
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::family::Family;
use crate::hub::Repository;
use crate::tensor_file::Tensors;

/// A network's files.
#[derive(Clone, Debug)]
pub struct Network {
    /// Network as the user would type it again.
    pub origin: String,
    /// Folder of the network.
    pub files: ModelFiles,
    /// Its configuration below that folder; a single file has none.
    pub config: Option<String>,
    /// Its weights below that folder.
    pub weights: String,
    /// Fingerprint of the weights.
    pub hash: String,
    layout: NetworkLayout,
}

/// Extra networks of a request.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// VAE that replaces the model's own.
    pub autoencoder: Option<Arc<Network>>,
    /// One ControlNet for each control of the request.
    pub controls: Vec<Arc<Network>>,
    /// IP-Adapter and its image encoder.
    pub picture_prompt: Option<[Arc<Network>; 2]>,
}

impl Networks {
    /// Every one of them.
    pub fn all(&self) -> impl Iterator<Item = &Network> {
        let others = self.autoencoder.iter().chain(&self.controls);
        others
            .chain(self.picture_prompt.iter().flatten())
            .map(AsRef::as_ref)
    }
}

/// File layout of a kind of network in its folder or repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkLayout {
    /// The field of a request that names it.
    pub field: &'static str,
    /// Its configuration, if it has one.
    config: Option<&'static str>,
    /// Paths of the weights, in order of preference.
    weights: &'static [&'static str],
}

const WHOLE_OR_HALF: &[&str] = &[
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
];

impl NetworkLayout {
    /// A ControlNet.
    pub const CONTROL: Self = Self {
        field: "control",
        config: Some("config.json"),
        weights: WHOLE_OR_HALF,
    };
    /// An autoencoder.
    pub const AUTOENCODER: Self = Self {
        field: "vae",
        ..Self::CONTROL
    };
    /// The image encoder of an IP-Adapter, in the folder of the adapter.
    pub const IMAGE_ENCODER: Self = Self {
        field: "ip_adapter",
        config: Some("image_encoder/config.json"),
        weights: &[
            "image_encoder/model.safetensors",
            "image_encoder/model.fp16.safetensors",
        ],
    };

    /// An IP-Adapter for a family, in the folders of its makers' repository.
    pub fn ip_adapter(family: Family) -> Self {
        Self {
            field: "ip_adapter",
            config: None,
            weights: family.ip_adapters,
        }
    }

    /// Lists of alternative files; a folder must have one file of each.
    fn alternatives(self) -> Vec<Vec<&'static str>> {
        self.config
            .iter()
            .map(|config| vec![*config])
            .chain([self.weights.to_vec()])
            .collect()
    }
}

/// The repository of the autoencoder `name` for a family: `taesd` is its tiny one, unless a file or
/// folder has that name; other names stand for themselves.
pub fn autoencoder(name: &str, family: Family) -> &str {
    if name == "taesd" && !Path::new(name).exists() {
        family.tiny_autoencoder
    } else {
        name
    }
}

impl Network {
    /// The network `name`: a file, a folder or a repository.
    ///
    /// # Errors
    /// No such file, folder or repository, or one that lacks what the layout has; a file of another
    /// format.
    pub fn locate(
        name: &str,
        layout: NetworkLayout,
        fetch: &Fetch,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let path = Path::new(name);
        if path.is_file() {
            return Self::single_file(path, name, layout);
        }
        if path.is_dir() {
            let files = ModelFiles::folder(name, name, path.to_owned());
            return Self::in_folder(name, files, layout);
        }
        let is_file_name = [".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"]
            .iter()
            .any(|end| name.ends_with(end));
        let Some(repository) = Repository::parse(name).filter(|_| !is_file_name) else {
            return Err(Error::field(
                layout.field,
                format!("`{name}` is no file, no folder and no repository"),
            )
            .hint(
                "give a file (.safetensors, .pth, .gguf), a folder in diffusers' layout, or ORG/REPO[@REV]",
            ));
        };
        let snapshot = locate_files(&repository, &layout.alternatives(), fetch, observer)?;
        let files = ModelFiles::folder(&repository.id, name, snapshot);
        Self::in_folder(name, files, layout)
    }

    /// The image encoder in the folder of this IP-Adapter.
    ///
    /// # Errors
    /// There is none.
    pub fn image_encoder(&self, fetch: &Fetch, observer: &mut dyn Observer) -> Result<Self> {
        let layout = NetworkLayout::IMAGE_ENCODER;
        let folder = self
            .weights
            .rfind('/')
            .map_or("", |at| &self.weights[..=at]);
        let below = |paths: &[&str]| -> Vec<String> {
            paths.iter().map(|path| format!("{folder}{path}")).collect()
        };
        let (configs, weights) = (below(layout.config.as_slice()), below(layout.weights));
        let on_hub = Repository::parse(&self.origin);
        if let Some(repository) = on_hub.filter(|_| !Path::new(&self.origin).exists()) {
            let lists = [&configs, &weights].map(|list| list.iter().map(String::as_str).collect());
            locate_files(&repository, &lists, fetch, observer)?;
        }
        let found = (self.first(&configs), self.first(&weights));
        let (Some(config), Some(weights_path)) = found else {
            let message = format!("there is no image encoder next to `{}`", self.origin);
            return Err(Error::field(layout.field, message).hint(format!(
                "put `{}` and `{}` into the adapter's folder",
                configs[0], weights[0]
            )));
        };
        Self::new(
            &self.origin,
            self.files.clone(),
            Some(config),
            weights_path,
            layout,
        )
    }

    /// The first of some files that the network's folder has.
    fn first(&self, paths: &[String]) -> Option<String> {
        paths.iter().find(|path| self.files.has(path)).cloned()
    }

    fn single_file(path: &Path, name: &str, layout: NetworkLayout) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let file = path
            .file_name()
            .map_or_else(String::new, |file| file.to_string_lossy().into_owned());
        Self::new(
            name,
            ModelFiles::folder(&file, name, folder),
            None,
            file.clone(),
            layout,
        )
    }

    fn in_folder(name: &str, files: ModelFiles, layout: NetworkLayout) -> Result<Self> {
        let lacks = |what: &str| {
            Error::new(Kind::ModelFile, format!("`{name}` has no `{what}`")).hint(format!(
                "it is what `--{}` names",
                layout.field.replace('_', "-")
            ))
        };
        if let Some(config) = layout.config.filter(|config| !files.has(config)) {
            return Err(lacks(config));
        }
        let Some(weights) = layout.weights.iter().find(|path| files.has(path)) else {
            return Err(lacks(layout.weights[0]));
        };
        let (config, weights) = (layout.config.map(str::to_owned), (*weights).to_owned());
        Self::new(name, files, config, weights, layout)
    }

    fn new(
        origin: &str,
        files: ModelFiles,
        config: Option<String>,
        weights: String,
        layout: NetworkLayout,
    ) -> Result<Self> {
        let hash = files.fingerprint(&weights).ok_or_else(|| {
            Error::new(
                Kind::ModelFile,
                format!("cannot read `{}`", files.display(&weights)),
            )
        })?;
        Ok(Self {
            origin: origin.to_owned(),
            files,
            config,
            weights,
            hash,
            layout,
        })
    }

    /// Paths of its files.
    pub fn paths(&self) -> Vec<&str> {
        let config = self.config.as_deref();
        config.into_iter().chain([self.weights.as_str()]).collect()
    }

    /// The tensors by their names in diffusers, whatever names the file has. Of a file with more
    /// than an autoencoder, only that part.
    ///
    /// # Errors
    /// A file that is truncated, malformed or of no known format.
    pub fn tensors(&self) -> Result<Arc<Tensors>> {
        let mut tensors = self.files.tensors_at(&self.weights)?;
        if self.layout == NetworkLayout::CONTROL {
            tensors.places = control_places(tensors.places);
        } else if self.layout == NetworkLayout::AUTOENCODER
            && let [file] = tensors.files.as_slice()
        {
            let directory = file.content.directory(&file.label)?;
            if let Some(places) = autoencoder_places(&directory) {
                tensors.places = places;
            }
        }
        Ok(Arc::new(tensors))
    }

    /// Returns true if both are the same network.
    pub fn is(&self, other: &Self) -> bool {
        (&self.origin, &self.weights, &self.hash) == (&other.origin, &other.weights, &other.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Hub;
    use crate::event::{Event, Flow};

    fn locate(name: &Path) -> Result<Network> {
        let fetch = Fetch {
            hub: Hub {
                offline: true,
                ..Hub::default()
            },
            ..Fetch::default()
        };
        let mut silent = |_: &Event| Flow::Continue;
        Network::locate(
            name.to_str().unwrap(),
            NetworkLayout::CONTROL,
            &fetch,
            &mut silent,
        )
    }

    #[test]
    fn a_network_is_a_folder_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder
            .path()
            .join("diffusion_pytorch_model.fp16.safetensors");
        std::fs::write(&weights, [0; 16]).unwrap();
        let error = locate(folder.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("has no `config.json`"),
            "{error}"
        );
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let (whole, single) = (locate(folder.path()).unwrap(), locate(&weights).unwrap());
        assert_eq!(whole.weights, single.weights);
        assert_eq!(
            (whole.config.as_deref(), single.config),
            (Some("config.json"), None)
        );
        assert!(whole.is(&whole.clone()) && whole.hash == single.hash);
    }

    #[test]
    fn what_is_neither_is_named_by_its_field() {
        for name in ["nowhere", "a/b/c", "org/net.safetensors"] {
            let error = locate(Path::new(name)).unwrap_err();
            assert_eq!(error.field_name(), Some("control"), "{name}");
        }
        let text = locate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
        assert!(text.tensors().is_err());
    }

    #[test]
    fn the_tiny_autoencoder_is_that_of_the_family() {
        assert_eq!(autoencoder("taesd", Family::SDXL), "madebyollin/taesdxl");
        assert_eq!(autoencoder("org/vae", Family::SDXL), "org/vae");
    }
}
