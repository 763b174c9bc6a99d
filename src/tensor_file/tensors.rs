//! Tensors of one network by name, in one file or several.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ByteSource, Entry};
use crate::error::Result;

/// Locations of a network's tensors.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// The files that hold them.
    pub files: Vec<TensorFile>,
    /// Tensor name → place. A component's tensors have the names of diffusers.
    pub places: BTreeMap<String, TensorSpan>,
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
pub struct TensorSpan {
    /// Index of the file in `Tensors::files`.
    pub file: usize,
    /// Entry in that file.
    pub entry: Entry,
    /// True if the network does not need the tensor.
    pub optional: bool,
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
const INPUT_SCALES: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];
/// ComfyUI's marker tensor of a network with such weights.
const SCALED: &str = "scaled_fp8";

impl TensorSpan {
    /// A tensor that the network needs as it is.
    pub fn new(file: usize, entry: Entry) -> Self {
        Self {
            file,
            entry,
            optional: false,
            scale: None,
        }
    }
}

impl Tensors {
    /// Reads the directories of `files`.
    ///
    /// # Errors
    /// A file that is missing, truncated or malformed.
    pub fn read(files: Vec<TensorFile>) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            let directory = file.content.directory(&file.label)?;
            let named = directory.tensors.into_iter();
            places.extend(named.map(|(name, entry)| (name, TensorSpan::new(number, entry))));
        }
        attach_scales(&mut places);
        Ok(Self { files, places })
    }

    /// The tensors of one file with this directory, by their names in the file.
    pub(crate) fn of_file(file: TensorFile, entries: BTreeMap<String, Entry>) -> Self {
        let places = entries
            .into_iter()
            .map(|(name, entry)| (name, TensorSpan::new(0, entry)))
            .collect();
        Self {
            files: vec![file],
            places,
        }
    }

    /// Size of all tensors in bytes.
    pub fn size(&self) -> usize {
        self.places
            .values()
            .map(|place| place.entry.bytes.len())
            .sum()
    }
}

/// Moves scale factors to the places of their weights.
pub(crate) fn attach_scales(places: &mut BTreeMap<String, TensorSpan>) {
    let suffixed: Vec<(String, String)> = places
        .keys()
        .filter_map(|name| {
            let (module, end) = name.rsplit_once('.')?;
            let weight = format!("{module}.{WEIGHT}");
            let known = SCALES.contains(&end) || INPUT_SCALES.contains(&end);
            (known && places.contains_key(&weight)).then(|| (name.clone(), weight))
        })
        .collect();
    for (name, weight) in suffixed {
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
