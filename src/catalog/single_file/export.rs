//! Tensors of a model as they are named in a single file, or in a folder: what has to be written, and
//! from which tensors.

use std::collections::{BTreeMap, BTreeSet};

use super::configs::Version;
use super::names::{Names, UnetLayout, VaeLayout, open_clip};
use super::noise::{COSXL_DATA, MEAN, PLAYGROUND, SIGMA_MAX, SIGMA_MIN, STD};
use super::{VELOCITY, ZERO_SNR};
use crate::catalog::{Component, RepoConfig};
use crate::error::{Error, Kind, Result};
use crate::schedulers::{Edm, Prediction};
use crate::tensor_file::TensorSpan;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputTensor {
    /// Its name.
    pub name: String,
    /// The model's tensors, by their names in diffusers, that lie in it one below the other.
    pub sources: Vec<String>,
    /// Axes exchanged.
    pub transposed: bool,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The tensors of a component as diffusers keeps them in a folder.
pub fn folder_tensors(
    component: Component,
    places: &BTreeMap<String, TensorSpan>,
) -> Vec<OutputTensor> {
    needed(places)
        .map(|(name, place)| {
            let mut shape = place.entry.shape.clone();
            if component == Component::Vae && is_matrix(name) {
                shape.truncate(2);
            }
            OutputTensor {
                name: name.clone(),
                sources: vec![name.clone()],
                transposed: false,
                shape,
            }
        })
        .collect()
}

/// The tensors of a component as they are in a file of one piece.
pub fn single_file_tensors(
    component: Component,
    version: Version,
    places: &BTreeMap<String, TensorSpan>,
) -> Vec<OutputTensor> {
    let kept: BTreeMap<&str, &TensorSpan> = needed(places)
        .map(|(name, place)| (name.as_str(), place))
        .collect();
    let has = |name: &str| kept.contains_key(name);
    let prefix = prefix(component, version);
    let text = matches!(component, Component::TextEncoder | Component::TextEncoder2);
    if text && prefix.ends_with("model.") {
        return open_clip_pieces(prefix, version, &kept);
    }
    let names = match component {
        Component::Unet => UnetLayout::of_diffusers(&has).names(),
        Component::Vae => VaeLayout::of_diffusers(&has).names(),
        Component::TextEncoder | Component::TextEncoder2 => Names::default(),
    };
    let piece = |(name, place): (&&str, &&TensorSpan)| {
        let mut shape = place.entry.shape.clone();
        if component == Component::Vae && is_matrix(name) && shape.len() == 2 {
            shape.extend([1, 1]);
        }
        let original = names.original(name).unwrap_or_else(|| (*name).to_owned());
        // Encoders of transformers' names without a root of their own get it.
        let root = if text && !original.starts_with("text_") {
            "text_model."
        } else {
            ""
        };
        OutputTensor {
            name: format!("{prefix}{root}{original}"),
            sources: vec![(*name).to_owned()],
            transposed: false,
            shape,
        }
    };
    kept.iter().map(piece).collect()
}

/// The tensors that the network needs: no counters and nothing that is only carried along.
fn needed(places: &BTreeMap<String, TensorSpan>) -> impl Iterator<Item = (&String, &TensorSpan)> {
    places
        .iter()
        .filter(|(_, place)| !place.optional && place.entry.storage.is_float())
}

fn prefix(component: Component, version: Version) -> &'static str {
    match (component, version) {
        (Component::Unet, _) => "model.diffusion_model.",
        (Component::Vae, _) => "first_stage_model.",
        (Component::TextEncoder, Version::Sd1) => "cond_stage_model.transformer.",
        (Component::TextEncoder, Version::Sd2) => "cond_stage_model.model.",
        (Component::TextEncoder, Version::Xl | Version::Refiner) => {
            "conditioner.embedders.0.transformer."
        }
        (Component::TextEncoder2, Version::Refiner) => "conditioner.embedders.0.model.",
        (Component::TextEncoder2, Version::Sd1 | Version::Sd2 | Version::Xl) => {
            "conditioner.embedders.1.model."
        }
    }
}

/// Weights that are matrices in diffusers and 1×1 convolutions in the original.
fn is_matrix(name: &str) -> bool {
    name.contains(".attentions.") && name.ends_with(".weight") && !name.contains("norm")
}

fn open_clip_pieces(
    prefix: &str,
    version: Version,
    kept: &BTreeMap<&str, &TensorSpan>,
) -> Vec<OutputTensor> {
    let has = |name: &str| kept.contains_key(name);
    let layers = (0..)
        .take_while(|i| has(&format!("text_model.encoder.layers.{i}.layer_norm1.weight")))
        .count();
    let names = open_clip(layers);
    let mut pieces = Vec::new();
    let mut fused = BTreeSet::new();
    for (&name, place) in kept {
        let shape = place.entry.shape.clone();
        let one = |name: String, shape| OutputTensor {
            name: format!("{prefix}{name}"),
            sources: vec![],
            transposed: false,
            shape,
        };
        let own = vec![name.to_owned()];
        if let Some((module, tensor)) = third_of_in_proj(name) {
            if fused.insert((module, tensor)) {
                pieces.push(in_proj(prefix, module, tensor, &shape));
            }
        } else if name == "text_projection.weight" {
            let shape = shape.iter().rev().copied().collect();
            pieces.push(OutputTensor {
                sources: own,
                transposed: true,
                ..one("text_projection".to_owned(), shape)
            });
        } else if name == "text_model.embeddings.position_embedding.weight" {
            pieces.push(OutputTensor {
                sources: own,
                ..one("positional_embedding".to_owned(), shape)
            });
        } else {
            let original = names.original(name).unwrap_or_else(|| name.to_owned());
            pieces.push(OutputTensor {
                sources: own,
                ..one(original, shape)
            });
        }
    }
    if version == Version::Sd2 {
        pieces.extend(idle_layer(&pieces, layers));
    }
    pieces
}

/// The layer and the tensor whose query, key or value this is.
fn third_of_in_proj(name: &str) -> Option<(&str, &str)> {
    ["q_proj", "k_proj", "v_proj"]
        .iter()
        .find_map(|projection| {
            let (module, tensor) = name.split_once(projection)?;
            Some((
                module.strip_suffix(".self_attn.")?,
                tensor.strip_prefix('.')?,
            ))
        })
}

fn in_proj(prefix: &str, module: &str, tensor: &str, shape: &[usize]) -> OutputTensor {
    let layer = module.rsplit('.').next().unwrap_or(module);
    let mut whole = shape.to_vec();
    if let Some(rows) = whole.first_mut() {
        *rows *= 3;
    }
    OutputTensor {
        name: format!("{prefix}transformer.resblocks.{layer}.attn.in_proj_{tensor}"),
        sources: ["q_proj", "k_proj", "v_proj"]
            .map(|p| format!("{module}.self_attn.{p}.{tensor}"))
            .to_vec(),
        transposed: false,
        shape: whole,
    }
}

/// SD 2's encoder has one layer more in its original files, which nobody uses and every reader
/// drops: the last one once more.
fn idle_layer(pieces: &[OutputTensor], layers: usize) -> Vec<OutputTensor> {
    let last = format!("resblocks.{}.", layers.saturating_sub(1));
    let next = format!("resblocks.{layers}.");
    let of_last = pieces.iter().filter(|piece| piece.name.contains(&last));
    of_last
        .map(|piece| OutputTensor {
            name: piece.name.replace(&last, &next),
            ..piece.clone()
        })
        .collect()
}

/// A marker tensor about the model's noise in a single file.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkerTensor {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub values: Vec<f64>,
}

impl MarkerTensor {
    fn new(name: &'static str, shape: &[usize], values: &[f64]) -> Self {
        Self {
            name,
            shape: shape.to_vec(),
            values: values.to_vec(),
        }
    }
}

/// The marker tensors that a single file made from a model needs.
///
/// # Errors
/// A noise schedule that no marker stands for.
pub fn marker_tensors(repo: &RepoConfig) -> Result<Vec<MarkerTensor>> {
    let velocities = repo.scheduler.predicts() == Some(Prediction::V);
    let moments = repo.latents.both();
    match (Edm::of(&repo.scheduler)?, moments) {
        (None, None) if velocities && !repo.guesses_prediction => {
            let ends = repo
                .scheduler
                .rescales()
                .then(|| MarkerTensor::new(ZERO_SNR, &[1], &[0.0]));
            Ok(std::iter::once(MarkerTensor::new(VELOCITY, &[1], &[0.0]))
                .chain(ends)
                .collect())
        }
        (None, None) => Ok(Vec::new()),
        (Some(edm), Some([mean, std])) if edm == PLAYGROUND && !velocities => {
            let row =
                |name, values: &[f64]| MarkerTensor::new(name, &[1, values.len(), 1, 1], values);
            Ok(vec![row(MEAN, mean), row(STD, std)])
        }
        (Some(edm), None) if edm.sigma_data == COSXL_DATA && velocities => Ok(vec![
            MarkerTensor::new(SIGMA_MAX, &[1], &[edm.sigma_max]),
            MarkerTensor::new(SIGMA_MIN, &[1], &[edm.sigma_min]),
        ]),
        (edm, _) => {
            let what = if edm.is_some() {
                "its scheduler"
            } else {
                "`latents_mean` and `latents_std`"
            };
            let message = format!("a file of one piece cannot say {what} as this model has it");
            Err(Error::new(Kind::ModelFile, message)
                .hint("convert it to a folder: a name without an ending"))
        }
    }
}
