//! Tensors of one component by their names in diffusers, wherever they are stored. Reading their
//! values is not part of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Component, ModelFiles, shards};
use crate::error::{Error, Kind, Result};
use crate::tensor_file::{ByteSource, Entry};

/// Locations of a component's tensors.
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
    pub content: ByteSource,
}

/// Location of one tensor.
#[derive(Clone, Debug)]
pub struct Place {
    /// Index of the file in `Tensors::files`.
    pub file: usize,
    /// Entry in that file.
    pub entry: Entry,
    /// True if the network does not need the tensor.
    pub spare: bool,
    /// Factors of the values, if any.
    pub scale: Option<Arc<Scale>>,
}

/// Scale factors of an 8-bit weight: one for the whole tensor, or one for each row.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Their tensor.
    pub name: String,
    /// Index of the file in `Tensors::files`.
    pub file: usize,
    /// Entry in that file.
    pub entry: Entry,
}

/// Suffix of a weight, and of tensors next to it: scale factors as ComfyUI and as diffusers call
/// them, and data that only 8-bit matrix products need.
const WEIGHT: &str = "weight";
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];
const BESIDE: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];
/// ComfyUI's marker tensor of a network with such weights.
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

/// Moves scale factors to the places of their weights.
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

    /// The tensors of the file at `path`, or of the shards that it lists.
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

    /// Size of all tensors in bytes.
    pub fn size(&self) -> usize {
        self.places
            .values()
            .map(|place| place.entry.bytes.len())
            .sum()
    }
}
