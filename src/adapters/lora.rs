//! A LoRA file: what its header says, which weights of a model it changes, and what tells it from others. Its
//! numbers are read when the weights are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fit::{Size, size};
use super::hash::{Hashes, hashes};
use super::names::{Index, Target};
use super::parts::{Form, Module, Part, part};
use crate::checkpoint::{Content, Directory};
use crate::error::{Error, Kind, Result};
use crate::registry::{Component, Family, Place, TensorFile, Tensors};

/// A LoRA file that was looked at.
#[derive(Clone, Debug)]
pub struct LoraFile {
    /// Its tensors by their own names.
    pub tensors: Arc<Tensors>,
    /// What tells it from others.
    pub hashes: Hashes,
    label: String,
    metadata: BTreeMap<String, String>,
    modules: BTreeMap<String, Module>,
    /// Tensors that are no part of any change.
    strangers: Vec<String>,
}

/// A change of one weight or bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The network.
    pub component: Component,
    /// The tensor's name in diffusers.
    pub tensor: String,
    /// How it is stored.
    pub form: Form,
    /// What the strength is multiplied by.
    pub scale: Scale,
}

/// alpha / rank, or what stands for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// A number.
    Number(f64),
    /// A tensor of one number, divided by a rank.
    Stored {
        /// The tensor.
        alpha: String,
        /// The divisor.
        rank: usize,
    },
}

/// What a LoRA changes of a model.
#[derive(Clone, Debug, Default)]
pub struct Fitted {
    /// The changes.
    pub changes: Vec<Change>,
    /// Modules of the file that the model has.
    pub matched: usize,
    /// Modules and tensors of the file that the model has no place for.
    pub unmatched: Vec<String>,
}

/// diffusers' own record of how the file was trained, as far as it matters here.
#[derive(Deserialize, Serialize, Default)]
struct Training(BTreeMap<String, serde_json::Value>);

impl LoraFile {
    /// Reads the header of the file at `path`, and all of it once for its hash.
    ///
    /// # Errors
    /// A file that is unreadable, damaged, or no LoRA.
    pub fn read(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let content = Content::Disk(path.to_owned());
        let Directory { tensors, metadata, .. } = content.directory(&label)?;
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut strangers = Vec::new();
        for name in tensors.keys() {
            match part(name) {
                Some((module, part)) => {
                    let before = modules.entry(module.to_owned()).or_default().insert(part, name);
                    if let Some(before) = before {
                        let what = format!("`{label}` has both `{before}` and `{name}`");
                        return Err(Error::new(Kind::ModelFile, what));
                    }
                }
                None => strangers.push(name.clone()),
            }
        }
        if modules.is_empty() {
            return Err(Error::new(Kind::ModelFile, format!("`{label}` is no LoRA")).hint(
                "expected tensors such as `lora_unet_....lora_down.weight` or `unet.....lora_A.weight`",
            ));
        }
        let hashes = hashes(path, &metadata)?;
        let place = |entry| Place { file: 0, entry, spare: false };
        let places = tensors.into_iter().map(|(name, entry)| (name, place(entry))).collect();
        let files = vec![TensorFile { label: label.clone(), content }];
        let tensors = Arc::new(Tensors { files, places });
        Ok(Self { tensors, hashes, label, metadata, modules, strangers })
    }

    /// What it changes of the model that `index` describes, called `model` in messages.
    ///
    /// # Errors
    /// Nothing of it fits; a change has another size than its weight; an arithmetic that is not known here.
    pub fn fit(&self, index: &Index, family: Family, model: &str) -> Result<Fitted> {
        let mut fitted = Fitted { unmatched: self.strangers.clone(), ..Fitted::default() };
        for (name, module) in &self.modules {
            match index.find(name) {
                None => fitted.unmatched.push(name.clone()),
                Some(target) => {
                    fitted.matched += 1;
                    self.changes(name, module, target, &mut fitted.changes).map_err(|error| {
                        let error = error.context(format!("`{}`: module `{name}`", self.label));
                        self.hinted(error, family, model)
                    })?;
                }
            }
        }
        let misled = !fitted.unmatched.is_empty() && self.family().is_some_and(|known| known != family);
        if fitted.matched == 0 || misled {
            let count = fitted.unmatched.len();
            let what = format!(
                "`{}` is no LoRA for `{model}`: {count} of its {} modules are not in that model, such as `{}`",
                self.label,
                count + fitted.matched,
                fitted.unmatched.first().map_or("", String::as_str)
            );
            return Err(self.hinted(Error::new(Kind::ModelFile, what), family, model));
        }
        Ok(fitted)
    }

    /// The changes of one module.
    fn changes(&self, name: &str, module: &Module, target: &Target, into: &mut Vec<Change>) -> Result<()> {
        let Target { component, module: ours, shape } = target;
        let mut keep = |kind: &str, form, scale| {
            into.push(Change { component: *component, tensor: format!("{ours}.{kind}"), form, scale });
        };
        if let Some(form) = module.form()? {
            let size = self.sized(&form)?;
            let expected = [shape.first().copied().unwrap_or(1), shape.iter().skip(1).product()];
            if [size.rows, size.columns] != expected {
                let got = format!("{}×{}", size.rows, size.columns);
                return Err(Error::new(
                    Kind::ModelFile,
                    format!("changes a weight of {got}, expected {}×{}", expected[0], expected[1]),
                ));
            }
            keep("weight", form, self.scale(name, module, *component, size));
        }
        if let Some(bias) = module.get(Part::WholeBias) {
            let form = Form::Whole(bias.clone());
            let (size, outputs) = (self.sized(&form)?, shape.first().copied().unwrap_or(1));
            if size.rows * size.columns != outputs {
                let message = format!("changes a bias of {}, expected {outputs}", size.rows * size.columns);
                return Err(Error::new(Kind::ModelFile, message));
            }
            keep("bias", form, Scale::Number(1.0));
        }
        Ok(())
    }

    fn sized(&self, form: &Form) -> Result<Size> {
        let shape = |name: &str| self.tensors.places.get(name).map(|place| place.entry.shape.as_slice());
        size(form, &shape)
    }

    /// A module without an alpha has that of the file's own record of its training, or its rank.
    fn scale(&self, name: &str, module: &Module, component: Component, size: Size) -> Scale {
        match (module.get(Part::Alpha), size.rank) {
            (_, None) => Scale::Number(1.0),
            (Some(alpha), Some(rank)) => Scale::Stored { alpha: alpha.clone(), rank },
            (None, Some(rank)) => Scale::Number(self.trained(name, component, rank)),
        }
    }

    /// peft's alpha / rank out of the header, where diffusers has left it.
    fn trained(&self, name: &str, component: Component, rank: usize) -> f64 {
        let text = self.metadata.get("lora_adapter_metadata");
        let training: Training = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let value = |key: &str| training.0.get(&format!("{component}.{key}"));
        let own = value("alpha_pattern").and_then(serde_json::Value::as_object).and_then(|pattern| {
            let mut rows = pattern.iter().filter(|(module, _)| name.ends_with(module.as_str()));
            rows.next()?.1.as_f64()
        });
        let alpha = own.or(value("lora_alpha").and_then(serde_json::Value::as_f64));
        let root = value("use_rslora").and_then(serde_json::Value::as_bool) == Some(true);
        let rank = rank as f64;
        alpha.map_or(1.0, |alpha| alpha / if root { rank.sqrt() } else { rank })
    }

    /// What it was made for, where it says so.
    fn family(&self) -> Option<Family> {
        let second = self.modules.keys().any(|name| {
            ["lora_te2_", "text_encoder_2.", "text_encoders.clip_g."].iter().any(|te2| name.starts_with(te2))
        });
        let said = self.made_for().map(str::to_lowercase);
        match said {
            _ if second => Some(Family::Xl),
            Some(said) if said.contains("xl") => Some(Family::Xl),
            Some(said) if said.starts_with("sd_") || said.starts_with("stable-diffusion-v") => {
                Some(Family::Sd)
            }
            _ => None,
        }
    }

    /// The base model that the header names.
    fn made_for(&self) -> Option<&str> {
        let keys = ["modelspec.architecture", "ss_base_model_version"];
        keys.iter().find_map(|key| self.metadata.get(*key)).map(String::as_str)
    }

    fn hinted(&self, error: Error, family: Family, model: &str) -> Error {
        let kind = |family| match family {
            Family::Xl => "SDXL",
            Family::Sd => "Stable Diffusion 1 or 2",
        };
        let error = match self.made_for() {
            Some(said) => error.hint(format!("its header says that it was made for `{said}`")),
            None => error,
        };
        match self.family() {
            Some(known) if known != family => error.hint(format!(
                "it looks like a LoRA for {}, and `{model}` is {}",
                kind(known),
                kind(family)
            )),
            _ => error.hint(format!("look for a LoRA that was trained on the family of `{model}`")),
        }
    }
}
