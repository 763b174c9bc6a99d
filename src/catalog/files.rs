//! Files of one model: in a folder on disk, in one file, or compiled into the program, read by path
//! relative to the model's root.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::single_file::version_of_tensors;
use super::{Checkpoint, Component, Version};
use crate::error::{Error, Kind, Result};
use crate::hash::{hex, sha256};
use crate::named_enum::Named;
use crate::schedulers::Prediction;
use crate::tensor_file::{ByteSource, TensorFile, Tensors};

/// Files of a model.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Short name for file names and titles.
    pub name: String,
    /// Model as the user would type it again (`org/name@rev`, a path, a known name).
    pub origin: String,
    root: Root,
    /// Contents of a single-file model.
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// Generated config files, which override those of the root.
    generated: BTreeMap<String, String>,
    /// Files on disk that override those of the root: path in the model → real path.
    overrides: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Debug)]
enum Root {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl ModelFiles {
    /// The files under `folder`.
    pub fn folder(name: &str, origin: &str, folder: PathBuf) -> Self {
        Self::new(name, origin, Root::Folder(folder))
    }

    /// Files compiled into the program: (path, content).
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::new(name, name, Root::Embedded(files))
    }

    fn new(name: &str, origin: &str, root: Root) -> Self {
        let (name, origin) = (name.to_owned(), origin.to_owned());
        Self {
            name,
            origin,
            root,
            checkpoint: None,
            generated: BTreeMap::new(),
            overrides: BTreeMap::new(),
        }
    }

    /// A single-file model, whose config files are generated from its tensors.
    ///
    /// # Errors
    /// A file that is malformed, or no Stable Diffusion model.
    pub fn file(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        let name = path.file_stem().map_or_else(
            || "model".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let generated = checkpoint.config_files(checkpoint.likely_prediction());
        let files = Self::new(&name, &path.display().to_string(), Root::Embedded(&[]));
        Ok(Self {
            checkpoint: Some(Arc::new(checkpoint)),
            generated,
            ..files
        })
    }

    /// The same model with the config files of `other` in place of the generated ones, and with the
    /// weights of `other` for parts that are not in the file.
    #[must_use]
    pub fn configured(&self, other: &Self) -> Self {
        Self {
            root: other.root.clone(),
            generated: other.generated.clone(),
            ..self.clone()
        }
    }

    /// The same model with a known prediction type.
    #[must_use]
    pub fn predicting(&self, prediction: Prediction) -> Self {
        let Some(checkpoint) = &self.checkpoint else {
            return self.clone();
        };
        let checkpoint = Checkpoint {
            prediction: Some(prediction),
            ..Checkpoint::clone(checkpoint)
        };
        let generated = if self.generated.is_empty() {
            BTreeMap::new()
        } else {
            checkpoint.config_files(prediction)
        };
        Self {
            checkpoint: Some(Arc::new(checkpoint)),
            generated,
            ..self.clone()
        }
    }

    /// The same model with the file at `path` overridden by another file on this machine.
    #[must_use]
    pub fn with_override(mut self, path: String, file: PathBuf) -> Self {
        self.overrides.insert(path, file);
        self
    }

    /// Contents of a single-file model.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_deref()
    }

    /// Returns true if the prediction type is a guess, since a single file does not state it.
    pub fn guesses_prediction(&self) -> bool {
        !self.generated.is_empty()
            && self
                .checkpoint()
                .is_some_and(|checkpoint| checkpoint.prediction.is_none())
    }

    /// Returns true if the model has this file.
    pub fn has(&self, path: &str) -> bool {
        if self.generated.contains_key(path) {
            return true;
        }
        match self.path(path) {
            Some(path) => path.is_file(),
            None => self.embedded_bytes(path).is_some(),
        }
    }

    /// Path of the file, for messages and for mapping into memory; `None` for compiled-in data.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        match (self.overrides.get(path), &self.root) {
            (Some(file), _) => Some(file.clone()),
            (None, Root::Folder(folder)) => Some(folder.join(path)),
            (None, Root::Embedded(_)) => None,
        }
    }

    /// The file's name in messages.
    pub fn display(&self, path: &str) -> String {
        match self
            .path(path)
            .filter(|_| !self.generated.contains_key(path))
        {
            Some(path) => path.display().to_string(),
            None => format!("{}:{path}", self.name),
        }
    }

    /// The compiled-in content, `None` for files on disk.
    pub fn embedded_bytes(&self, path: &str) -> Option<&'static [u8]> {
        match &self.root {
            Root::Folder(_) => None,
            Root::Embedded(files) => files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, bytes)| *bytes),
        }
    }

    /// Source of a file's bytes.
    pub fn content(&self, path: &str) -> ByteSource {
        match self.path(path) {
            Some(path) => ByteSource::Disk(path),
            None => ByteSource::Embedded(self.embedded_bytes(path).unwrap_or_default()),
        }
    }

    /// The file as text.
    ///
    /// # Errors
    /// The file is missing, unreadable or not UTF-8.
    pub fn text(&self, path: &str) -> Result<Cow<'static, str>> {
        if let Some(text) = self.generated.get(path) {
            return Ok(Cow::Owned(text.clone()));
        }
        let broken = |e: &dyn std::error::Error| {
            Error::new(
                Kind::ModelFile,
                format!("cannot read `{}`: {e}", self.display(path)),
            )
        };
        match self.path(path) {
            Some(path) => std::fs::read_to_string(path)
                .map(Cow::Owned)
                .map_err(|e| broken(&e)),
            None => {
                let bytes = self.embedded_bytes(path).unwrap_or_default();
                std::str::from_utf8(bytes)
                    .map(Cow::Borrowed)
                    .map_err(|e| broken(&e))
            }
        }
    }

    /// The file as JSON of the expected form.
    ///
    /// # Errors
    /// The file is missing, no JSON, or of another form; the message names file, line and field.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let text = without_infinities(&self.text(path)?);
        serde_json::from_str(&text)
            .map_err(|e| Error::new(Kind::ModelFile, format!("`{}`: {e}", self.display(path))))
    }

    /// The tensors of `component`, in whichever of its file layouts the model has.
    ///
    /// # Errors
    /// No weights file, or one that is truncated or malformed.
    pub fn tensors(&self, component: Component) -> Result<Arc<Tensors>> {
        if let Some(tensors) = self
            .checkpoint()
            .and_then(|file| file.parts.get(&component))
        {
            return Ok(tensors.clone());
        }
        let candidates = component.weights();
        if let Some(path) = candidates.iter().find(|path| self.has(path)) {
            return self.tensors_at(path).map(Arc::new);
        }
        if self.checkpoint.is_some() {
            return Err(component.missing_from(&self.origin));
        }
        let message = format!("`{}` has no weights for {component}", self.origin);
        Err(Error::new(Kind::ModelFile, message)
            .hint(format!("expected one of {}", candidates.join(", "))))
    }

    /// The tensors of the file at `path`, or of the shards that it lists.
    ///
    /// # Errors
    /// A file that is missing, truncated or malformed.
    pub fn tensors_at(&self, path: &str) -> Result<Tensors> {
        let files = self.weight_files(path)?.into_iter().map(|path| TensorFile {
            label: self.display(&path),
            content: self.content(&path),
        });
        Tensors::read(files.collect())
    }

    /// Paths of the files with the weights of `path`: the file itself, or the shards of an index.
    pub(super) fn weight_files(&self, path: &str) -> Result<Vec<String>> {
        if !path.ends_with(".json") {
            return Ok(vec![path.to_owned()]);
        }
        let index: ShardIndex = self.json(path)?;
        let folder = path.rfind('/').map_or("", |at| &path[..=at]);
        let names = index.files().map_err(|what| {
            let index = self.display(path);
            Error::new(Kind::ModelFile, format!("`{index}`: {what}"))
        })?;
        Ok(names.iter().map(|name| format!("{folder}{name}")).collect())
    }

    /// Stable Diffusion version of the model, whose components have these tensors.
    pub fn version(&self, components: &BTreeMap<Component, Arc<Tensors>>) -> Version {
        if let Some(checkpoint) = self.checkpoint() {
            return checkpoint.version;
        }
        let config = self
            .json::<serde_json::Value>(&Component::TextEncoder.config())
            .unwrap_or_default();
        version_of_tensors(components, config["hidden_act"] == "gelu")
    }

    /// Path → identity of each weight file: the hub's SHA-256 where the cache names its blob so,
    /// else the SHA-256 of the file's header and length, which is cheap and changes with names,
    /// shapes and types.
    pub fn fingerprints(&self) -> BTreeMap<String, String> {
        let inside = |component: &Component| {
            self.checkpoint()
                .is_some_and(|checkpoint| checkpoint.parts.contains_key(component))
        };
        let file = self
            .checkpoint
            .as_ref()
            .and_then(|_| Some((self.name.clone(), fingerprint(Path::new(&self.origin))?)));
        let components = Component::ALL
            .iter()
            .map(|row| row.0)
            .filter(|component| !inside(component));
        components
            .filter_map(|component| component.weights().into_iter().find(|path| self.has(path)))
            .filter_map(|path| self.fingerprint(&path).map(|hash| (path, hash)))
            .chain(file)
            .collect()
    }

    pub(super) fn fingerprint(&self, path: &str) -> Option<String> {
        match self.path(path) {
            Some(path) => fingerprint(&path),
            None => self.embedded_bytes(path).map(sha256),
        }
    }

    /// The folder on disk, if there is one.
    pub fn root(&self) -> Option<&Path> {
        match &self.root {
            Root::Folder(folder) => Some(folder),
            Root::Embedded(_) => None,
        }
    }
}

/// JSON with null for infinities and NaN, which JSON does not have and Python writes all the same.
fn without_infinities(text: &str) -> String {
    ["-Infinity", "Infinity", "NaN"]
        .iter()
        .fold(text.to_owned(), |text, word| {
            text.replace(&format!(": {word}"), ": null")
        })
}

/// Longest header of a safetensors file (its specification's own limit).
const MAX_HEADER: u64 = 100_000_000;
/// Bytes that are read of files that do not begin with their header's length.
const START: u64 = 1 << 20;

fn fingerprint(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let blob = real.file_name()?.to_str()?;
    if blob.len() == 64 && blob.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(blob.to_owned());
    }
    let mut file = std::fs::File::open(&real).ok()?;
    let length = file.metadata().ok()?.len();
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).ok()?;
    let mut header = Vec::new();
    let header_length = Some(u64::from_le_bytes(prefix)).filter(|length| *length <= MAX_HEADER);
    file.take(header_length.unwrap_or(START))
        .read_to_end(&mut header)
        .ok()?;
    let hash = Sha256::new()
        .chain_update(length.to_le_bytes())
        .chain_update(header)
        .finalize();
    Some(format!("header:{}", hex(&hash)))
}

/// The index of weights in several files (shards), as far as it is read.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Names of the shards, each once.
    fn files(self) -> std::result::Result<BTreeSet<String>, String> {
        let names: BTreeSet<String> = self.weight_map.into_values().collect();
        let is_plain = |name: &&String| {
            !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.')
        };
        match names.iter().find(|name| !is_plain(name)) {
            Some(name) => Err(format!("shard `{name}` is not a plain file name")),
            None => Ok(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("unet")).unwrap();
        std::fs::write(folder.path().join("unet/x.index.json"), text).unwrap();
        ModelFiles::folder("m", "m", folder.path().to_owned()).weight_files("unet/x.index.json")
    }

    #[test]
    fn an_index_names_each_of_its_files_once() {
        let index = r#"{"weight_map": {"a": "x-2.safetensors", "b": "x-1.safetensors", "c": "x-2.safetensors"}}"#;
        assert_eq!(
            shards(index).unwrap(),
            ["unet/x-1.safetensors", "unet/x-2.safetensors"]
        );
    }

    #[test]
    fn an_index_cannot_name_a_file_outside_its_folder() {
        for name in ["../x", "/etc/passwd", "a\\\\b", "", ".."] {
            let error = shards(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).unwrap_err();
            assert!(
                error.to_string().contains("is not a plain file name"),
                "{name}: {error}"
            );
        }
        assert!(shards("[").is_err());
    }
}
