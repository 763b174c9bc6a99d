//! Description of a model for people: family, precision, size, parts, metadata and license.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::required_files::CARD;
use super::{Component, Inputs, ModelFiles, RepoConfig, Version, models, single_file};
use crate::error::{Error, Kind, Result};
use crate::hash::sha256_of_file;
use crate::named_enum::Named;
use crate::schedulers::Prediction;
use crate::tensor_file::{ByteSource, StoredDtype, Tensors};

/// Description of a model, or of a file that is no model.
#[derive(Debug, Serialize)]
pub struct ModelInfo {
    /// As the user would type it.
    pub origin: String,
    /// `safetensors`, `pickle`, `gguf` or `folder`.
    pub format: &'static str,
    /// Kind of the model or file.
    pub kind: String,
    /// Version of Stable Diffusion, if it is one.
    pub version: Option<Version>,
    /// Takes a mask and a picture as inputs.
    pub inpainting: bool,
    /// Prediction type, if the files say it.
    pub prediction: Option<Prediction>,
    /// Types of its numbers, most of them first.
    pub precision: Vec<&'static str>,
    /// Bytes of its files of weights.
    pub bytes: u64,
    /// The parts that it has.
    pub parts: Vec<PartInfo>,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
    /// Its files of weights.
    pub files: Vec<HashedFile>,
}

/// A part of a model.
#[derive(Debug, Serialize)]
pub struct PartInfo {
    /// The component.
    pub part: Component,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values in the tensors.
    pub values: usize,
    /// Types of its numbers, most of them first.
    pub precision: Vec<&'static str>,
}

/// A file and its hashes.
#[derive(Debug, Serialize)]
pub struct HashedFile {
    /// The file.
    pub file: String,
    /// SHA-256 of its content.
    pub sha256: String,
    /// The first ten digits, by which A1111 identifies a model.
    pub short_hash: String,
}

impl ModelInfo {
    /// Describes a file, model or not.
    ///
    /// # Errors
    /// A file that is unreadable or of no known format.
    pub fn file(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let directory = ByteSource::Disk(path.to_owned()).directory(&label)?;
        let model = ModelFiles::file(path);
        let entries = directory
            .tensors
            .values()
            .map(|entry| (entry.storage, entry.values()));
        let precision = precision(entries);
        let info = Self {
            origin: label.clone(),
            format: directory.format,
            kind: single_file::other_kind(&directory)
                .map_or("tensors of no known make", |(kind, _)| kind)
                .to_owned(),
            version: None,
            inpainting: false,
            prediction: None,
            precision,
            bytes: std::fs::metadata(path).map_or(0, |data| data.len()),
            parts: Vec::new(),
            metadata: directory.metadata,
            files: vec![hash_file(path, label)?],
        };
        let Ok(model) = model else { return Ok(info) };
        let Some(checkpoint) = model.checkpoint() else {
            return Ok(info);
        };
        let inputs = checkpoint.inputs();
        Ok(Self {
            kind: "a Stable Diffusion model".to_owned(),
            version: Some(checkpoint.version),
            inpainting: inputs == 9,
            prediction: checkpoint.prediction,
            parts: parts(&checkpoint.parts),
            ..info
        })
    }

    /// Describes a model in diffusers' layout.
    ///
    /// # Errors
    /// A folder that is no model, or lacks weights.
    pub fn folder(files: &ModelFiles) -> Result<Self> {
        let repo = RepoConfig::read(files)?;
        let mut all = BTreeMap::new();
        let present = Component::ALL
            .iter()
            .map(|row| row.0)
            .filter(|part| files.has(&part.config()));
        for component in present {
            all.insert(component, files.tensors(component)?);
        }
        let entries = all.values().flat_map(|tensors| tensors.places.values());
        let precision = precision(entries.map(|place| (place.entry.storage, place.entry.values())));
        let named = all.values().flat_map(|tensors| &tensors.files);
        let mut hashes = Vec::new();
        let mut bytes = 0;
        for file in named {
            if let ByteSource::Disk(path) = &file.content {
                bytes += std::fs::metadata(path).map_or(0, |data| data.len());
                hashes.push(hash_file(path, file.label.clone())?);
            }
        }
        Ok(Self {
            origin: files.origin.clone(),
            format: "folder",
            kind: "a Stable Diffusion model".to_owned(),
            version: Some(files.version(&all)),
            inpainting: repo.inputs == Inputs::Inpainting,
            prediction: repo.scheduler.predicts(),
            precision,
            bytes,
            parts: parts(&all),
            metadata: BTreeMap::new(),
            files: hashes,
        })
    }
}

fn parts(all: &BTreeMap<Component, Arc<Tensors>>) -> Vec<PartInfo> {
    let part = |(part, tensors): (&Component, &Arc<Tensors>)| {
        let entries = || {
            tensors
                .places
                .values()
                .map(|place| (place.entry.storage, place.entry.values()))
        };
        PartInfo {
            part: *part,
            tensors: tensors.places.len(),
            values: entries().map(|(_, count)| count).sum(),
            precision: precision(entries()),
        }
    };
    all.iter().map(part).collect()
}

/// Types of floats by how many numbers they hold.
fn precision(entries: impl Iterator<Item = (StoredDtype, usize)>) -> Vec<&'static str> {
    let mut counts: BTreeMap<StoredDtype, usize> = BTreeMap::new();
    for (storage, count) in entries.filter(|(storage, _)| storage.is_float()) {
        *counts.entry(storage).or_default() += count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .into_iter()
        .map(|(storage, _)| storage.name())
        .collect()
}

fn hash_file(path: &Path, file: String) -> Result<HashedFile> {
    let sha256 = sha256_of_file(path)
        .map_err(|e| Error::new(Kind::ModelFile, format!("cannot read `{file}`")).source(e))?;
    let short_hash = sha256.chars().take(10).collect();
    Ok(HashedFile {
        file,
        sha256,
        short_hash,
    })
}

impl ModelFiles {
    /// The license of the weights, as far as it is known: from models.toml, or from the model card.
    pub fn license(&self) -> Option<String> {
        if let Some(spec) = models().iter().find(|spec| spec.name == self.origin) {
            return Some(spec.license.clone());
        }
        if !self.has(CARD) {
            return None;
        }
        license_of_card(&self.text(CARD).ok()?)
    }
}

/// License in the head of a model card; for `other`, its `license_name`.
fn license_of_card(card: &str) -> Option<String> {
    let head = card
        .trim_start_matches('\u{feff}')
        .strip_prefix("---")?
        .split("\n---")
        .next()?;
    let value = |key: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    match value("license")? {
        license if license == "other" => value("license_name").or(Some(license)),
        license => Some(license),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_its_license_in_its_head_alone() {
        assert_eq!(
            license_of_card("---\nlicense: creativeml-openrail-m\ntags: [a]\n---\n# A").unwrap(),
            "creativeml-openrail-m"
        );
        let own = "---\r\nlicense: other\r\nlicense_name: \"sai-nc-community\"\r\n---\r\n";
        assert_eq!(license_of_card(own).unwrap(), "sai-nc-community");
        assert_eq!(license_of_card("---\ntags: []\n---\nlicense: mit"), None);
        assert_eq!(license_of_card("# No head\nlicense: mit"), None);
    }
}
