//! Single-file models: their parts, recognised by the names and shapes of tensors, and the
//! configuration files that a folder would have.

mod configs;
pub mod export;
mod names;
mod noise;
mod parts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use configs::Version;
use noise::Noise;
pub(super) use parts::{autoencoder_places, control_places};

use super::Component;
use crate::error::{Error, Kind, Result};
use crate::schedulers::Prediction;
use crate::tensor_file::{ByteSource, Directory, TensorFile, Tensors};
use configs::{Facts, Part, context};
use parts::Parts;

/// A model in one file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Stable Diffusion version of the model.
    pub version: Version,
    /// Tensors of each part.
    pub parts: BTreeMap<Component, Arc<Tensors>>,
    /// Prediction type, if the file says it.
    pub prediction: Option<Prediction>,
    /// The kind of its noise, where that is no list of β.
    pub(super) noise: Option<Noise>,
    /// True if the model was trained with zero terminal SNR.
    pub zero_terminal_snr: bool,
    /// Names of data of training programs in the file, which is not read.
    pub unused: Vec<String>,
    pub(super) open_clip: bool,
}

/// Keys that say what a model predicts; the second also how its noise ends.
const VELOCITY: &str = "v_pred";
const ZERO_SNR: &str = "ztsnr";
/// Training steps of SD 2's base model, the only one of its kind that predicts noise (diffusers).
const BASE_STEPS: &str = "875000";

const GIVE_LORA: &str = "give it with `--lora`, and a model with `--model`";
const GIVE_EMBEDDING: &str = "give it with `--embedding`, and a model with `--model`";
const SUPPORTED: &str = "sdgen runs Stable Diffusion 1.x, 2.x and XL";
const GIVE_MODEL: &str = "give a model with `--model`";

/// Files that are no model: a part of a tensor name, what the file is, and a hint.
const OTHER_KINDS: &[(&str, &str, &str)] = &[
    ("lora_", "a LoRA", GIVE_LORA),
    ("lora.", "a LoRA", GIVE_LORA),
    ("lycoris_", "a LoRA", GIVE_LORA),
    (".lokr_", "a LoRA", GIVE_LORA),
    (".hada_", "a LoRA", GIVE_LORA),
    ("string_to_param", "an embedding", GIVE_EMBEDDING),
    ("emb_params", "an embedding", GIVE_EMBEDDING),
    ("control_model.", "a ControlNet", GIVE_MODEL),
    ("controlnet_cond_embedding.", "a ControlNet", GIVE_MODEL),
    ("double_blocks.", "a Flux model", SUPPORTED),
    ("joint_blocks.", "a Stable Diffusion 3 model", SUPPORTED),
    (
        "decoder.",
        "an autoencoder",
        "give it with `--vae`, and a model with `--model`",
    ),
    (
        "down_blocks.",
        "the network of a diffusers folder",
        "give the whole folder",
    ),
    ("text_model.", "a text encoder", GIVE_MODEL),
];

impl Checkpoint {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// A file that is malformed, or no Stable Diffusion model.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile {
            label: path.display().to_string(),
            content: ByteSource::Disk(path.to_owned()),
        };
        let directory = file.content.directory(&file.label)?;
        Self::of(&directory, file)
    }

    fn of(directory: &Directory, file: TensorFile) -> Result<Self> {
        let found = parts::find_parts(directory);
        let Some(unet) = found.tensors.get(&Component::Unet) else {
            return Err(no_model(directory, &file.label));
        };
        let version = version(&Part(unet), &found);
        let has = |key: &str| directory.tensors.contains_key(key);
        let zero_terminal_snr = has(ZERO_SNR);
        let steps = directory.metadata.get("global_step").map(String::as_str);
        let inputs = Part(unet).size("conv_in.weight", 1);
        let noise = Noise::read(directory, &file)?;
        let prediction = match version {
            _ if noise.is_some() => noise.as_ref().map(Noise::prediction),
            _ if has(VELOCITY) || zero_terminal_snr => Some(Prediction::V),
            Version::Sd2 if steps == Some(BASE_STEPS) || inputs != 4 => Some(Prediction::Epsilon),
            Version::Sd2 => None,
            Version::Sd1 | Version::Xl | Version::Refiner => Some(Prediction::Epsilon),
        };
        let tensors = |places| {
            Arc::new(Tensors {
                files: vec![file.clone()],
                places,
            })
        };
        let Parts {
            tensors: all,
            open_clip,
            unused,
        } = found;
        let parts = all
            .into_iter()
            .map(|(component, places)| (component, tensors(places)))
            .collect();
        Ok(Self {
            version,
            parts,
            prediction,
            noise,
            zero_terminal_snr,
            unused,
            open_clip,
        })
    }

    /// Notices about tensors that are ignored, and about results that differ from other programs.
    pub fn notes(&self, file: &str) -> Vec<String> {
        let unused = self.unused.first().map(|first| {
            let others = match self.unused.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            format!(
                "`{file}`: no network needs `{first}`{others}, which training has left; passed over"
            )
        });
        let places = self
            .parts
            .values()
            .flat_map(|tensors| tensors.places.values());
        let scaled = match places.filter(|place| place.scale.is_some()).count() {
            0 => None,
            count => Some(format!(
                "`{file}`: {count} scaled fp8 weights are multiplied out as they are read: they take more memory than \
                 the file, and programs that multiply in fp8 draw slightly another picture"
            )),
        };
        unused.into_iter().chain(scaled).collect()
    }

    /// Prediction type, or the likely one if it is unknown: most SD 2 models with four channels use
    /// v-prediction.
    pub(super) fn likely_prediction(&self) -> Prediction {
        self.prediction.unwrap_or(Prediction::V)
    }

    /// Channels that the network takes.
    pub fn inputs(&self) -> usize {
        self.parts
            .get(&Component::Unet)
            .map_or(0, |unet| Part(&unet.places).size("conv_in.weight", 1))
    }

    /// Config files of the model if it predicts `prediction`: path → content.
    pub(super) fn config_files(&self, prediction: Prediction) -> BTreeMap<String, String> {
        let tensors = self
            .parts
            .iter()
            .map(|(part, tensors)| (*part, tensors.places.clone()))
            .collect();
        let facts = Facts {
            version: self.version,
            tensors: &tensors,
            open_clip: self.open_clip,
            prediction,
            noise: self.noise.as_ref(),
            zero_terminal_snr: self.zero_terminal_snr,
        };
        facts.files()
    }
}

/// Returns a function from a module's name in diffusers to its original name, for a UNet with these
/// tensors.
pub fn original_module(tensors: &Tensors) -> impl Fn(&str) -> Option<String> + use<> {
    let names = names::UnetLayout::of_diffusers(&|name| tensors.places.contains_key(name)).names();
    move |module| {
        let original = names.original(&format!("{module}.weight"))?;
        original.strip_suffix(".weight").map(str::to_owned)
    }
}

/// The version of a model whose components have these tensors; `open_clip` if its first text encoder
/// is OpenCLIP's.
pub(super) fn version_of_tensors(
    components: &BTreeMap<Component, Arc<Tensors>>,
    open_clip: bool,
) -> Version {
    let tensors = components
        .iter()
        .map(|(part, tensors)| (*part, tensors.places.clone()))
        .collect();
    let parts = Parts {
        tensors,
        open_clip,
        unused: Vec::new(),
    };
    match parts.tensors.get(&Component::Unet) {
        Some(unet) => version(&Part(unet), &parts),
        None => Version::Sd1,
    }
}

fn version(unet: &Part<'_>, parts: &Parts) -> Version {
    let text = |component| parts.tensors.contains_key(&component);
    let context = context(unet);
    if unet.has("add_embedding.linear_1.weight") {
        let second_alone = text(Component::TextEncoder2) && !text(Component::TextEncoder);
        let textless = !text(Component::TextEncoder2) && !text(Component::TextEncoder);
        return if second_alone || (textless && context == 1280) {
            Version::Refiner
        } else {
            Version::Xl
        };
    }
    if parts.open_clip || context == 1024 {
        Version::Sd2
    } else {
        Version::Sd1
    }
}

/// Likely kind of a file without a UNet and a hint, by its tensor names.
pub(super) fn other_kind(directory: &Directory) -> Option<(&'static str, &'static str)> {
    let names = directory.tensors.keys();
    let (_, kind, hint) = OTHER_KINDS
        .iter()
        .find(|(part, ..)| names.clone().any(|name| name.contains(part)))?;
    Some((kind, hint))
}

/// Error about a file without a UNet.
fn no_model(directory: &Directory, label: &str) -> Error {
    let none = format!("`{label}` holds no Stable Diffusion model");
    match other_kind(directory) {
        Some((kind, hint)) => {
            Error::new(Kind::ModelFile, format!("{none}; it looks like {kind}")).hint(hint)
        }
        None => Error::new(Kind::ModelFile, none).hint(
            "expected a checkpoint with `model.diffusion_model.*` or `input_blocks.*` among its tensors",
        ),
    }
}

/// Entries of a VAE's config.json that follow from the shapes of its tensors.
pub fn autoencoder_sizes(tensors: &Tensors) -> serde_json::Value {
    configs::sizes_of_vae(&configs::Part(&tensors.places))
}
