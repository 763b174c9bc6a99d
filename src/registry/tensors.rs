//! The tensors of one component by their names in diffusers, wherever they lie. Reading them is
//! others' work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Component, ModelFiles, shards};
use crate::checkpoint::{Content, Entry};
use crate::error::{Error, Kind, Result};

/// Where a component's tensors are.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// The files that hold them.
    pub files: Vec<TensorFile>,
    /// Name in diffusers → place.
    pub places: BTreeMap<String, Place>,
}

/// A file of tensors.
#[derive(Clone, Debug)]
pub struct TensorFile {
    /// Its name in messages.
    pub label: String,
    /// Its bytes.
    pub content: Content,
}

/// Where one tensor is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which of the files.
    pub file: usize,
    /// Where in it.
    pub entry: Entry,
    /// The network may do without it.
    pub spare: bool,
    /// What its numbers are multiplied by.
    pub scale: Option<Arc<Scale>>,
}

/// Factors that stand beside a weight of eight bits: one for all of it, or one for each row.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Their tensor.
    pub name: String,
    /// Which of the files it is in.
    pub file: usize,
    /// Where in it.
    pub entry: Entry,
}

/// A weight, and endings of what may stand beside it: its factors as ComfyUI and as diffusers call
/// them, and what is only for products of eight bits.
const WEIGHT: &str = "weight";
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];
const BESIDE: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];
/// ComfyUI's sign of a network with such weights.
const SCALED: &str = "scaled_fp8";

impl Place {
    /// A tensor that the network needs as it is.
    pub fn new(file: usize, entry: Entry) -> Self {
        Self {
            file,
            entry,
            spare: false,
            scale: None,
        }
    }
}

/// Puts the factors of weights to the weights.
pub(super) fn scaled(places: &mut BTreeMap<String, Place>) {
    let beside: Vec<(String, String)> = places
        .keys()
        .filter_map(|name| {
            let (module, end) = name.rsplit_once('.')?;
            let weight = format!("{module}.{WEIGHT}");
            let known = SCALES.contains(&end) || BESIDE.contains(&end);
            (known && places.contains_key(&weight)).then(|| (name.clone(), weight))
        })
        .collect();
    for (name, weight) in beside {
        let scale = SCALES.iter().any(|end| name.ends_with(end));
        if let (Some(place), Some(weight)) = (places.remove(&name), places.get_mut(&weight))
            && scale
        {
            weight.scale = Some(Arc::new(Scale {
                name,
                file: place.file,
                entry: place.entry,
            }));
        }
    }
    places.retain(|name, _| name.rsplit('.').next() != Some(SCALED));
}

impl Tensors {
    /// The tensors of `component`, in whichever of its file layouts the model has.
    ///
    /// # Errors
    /// No weights file, or one that is truncated or malformed.
    pub fn of(files: &ModelFiles, component: Component) -> Result<Arc<Self>> {
        if let Some(tensors) = files
            .checkpoint()
            .and_then(|checkpoint| checkpoint.parts.get(&component))
        {
            return Ok(tensors.clone());
        }
        let candidates = component.weights();
        let path = candidates
            .iter()
            .find(|path| files.has(path))
            .ok_or_else(|| match files.checkpoint() {
                Some(_) => component.lacking(&files.origin),
                None => Error::new(
                    Kind::ModelFile,
                    format!("`{}` has no weights for {component}", files.origin),
                )
                .hint(format!("expected one of {}", candidates.join(", "))),
            })?;
        Self::at(files, path).map(Arc::new)
    }

    /// Those of the file at `path`, or of the shards that it lists.
    ///
    /// # Errors
    /// A file that is missing, truncated or malformed.
    pub fn at(files: &ModelFiles, path: &str) -> Result<Self> {
        let mut tensors = Self {
            files: Vec::new(),
            places: BTreeMap::new(),
        };
        for path in shards::files(files, path)? {
            let file = TensorFile {
                label: files.display(&path),
                content: files.content(&path),
            };
            let directory = file.content.directory(&file.label)?;
            let number = tensors.files.len();
            let named = directory.tensors.into_iter();
            tensors
                .places
                .extend(named.map(|(name, entry)| (name, Place::new(number, entry))));
            tensors.files.push(file);
        }
        scaled(&mut tensors.places);
        Ok(tensors)
    }

    /// Bytes of all of them.
    pub fn size(&self) -> usize {
        self.places
            .values()
            .map(|place| place.entry.bytes.len())
            .sum()
    }
}
