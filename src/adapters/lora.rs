//! A LoRA file: its header, its hashes, and the weights of a model that it changes. The tensors are
//! read later, together with the weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::discover::Hashes;
use super::lora_layers::{Form, Module, PEFT, Size, Suffix, size_of_change, split_suffix, wrong};
use super::module_names::{ModuleNames, TargetModule};
use super::peft_config::{HEADER, PeftConfig};
use crate::catalog::Component;
use crate::error::{Error, Kind, Result};
use crate::family::Family;
use crate::tensor_file::{ByteSource, Directory, TensorFile, Tensors};

/// A LoRA file whose header was read.
#[derive(Clone, Debug)]
pub struct LoraFile {
    /// The file's tensors, by their names in the file.
    pub tensors: Arc<Tensors>,
    /// Hashes that identify the file.
    pub hashes: Hashes,
    label: String,
    metadata: BTreeMap<String, String>,
    modules: BTreeMap<String, Module>,
    /// Tensors that belong to no module.
    unknown_tensors: Vec<String>,
    /// peft's training record, if there is one.
    training: Option<PeftConfig>,
    /// True if peft saved the file; its alpha is then stored in another file.
    of_peft: bool,
}

/// A change of one weight or bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The component that has the weight.
    pub component: Component,
    /// The tensor's name in diffusers.
    pub tensor: String,
    /// Factorised form of the change.
    pub form: Form,
    /// Factor by which the LoRA weight is multiplied.
    pub scale: Scale,
}

/// alpha / rank, or a constant in its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// A number.
    Number(f64),
    /// A tensor of one number, divided by a rank.
    Stored {
        /// Name of the tensor.
        alpha: String,
        /// The divisor.
        rank: usize,
    },
}

/// Changes that a LoRA makes to a model.
#[derive(Clone, Debug, Default)]
pub struct Fitted {
    /// The changes.
    pub changes: Vec<Change>,
    /// Number of modules of the file that the model has.
    pub matched: usize,
    /// Names of modules and tensors of the file that the model does not have.
    pub unmatched: Vec<String>,
    /// True if the alpha that the modules were trained with is unknown.
    pub strength_unknown: bool,
}

impl LoraFile {
    /// Reads the header of the file at `path`, and all of it once for its hash.
    ///
    /// # Errors
    /// A file that is unreadable, damaged, or no LoRA.
    pub fn read(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let content = ByteSource::Disk(path.to_owned());
        let Directory {
            tensors, metadata, ..
        } = content.directory(&label)?;
        let (modules, unknown_tensors) = group_by_module(tensors.keys(), &label)?;
        let hashes = Hashes::of_lora(path, &metadata)?;
        let of_peft = tensors.keys().any(|name| name.starts_with(PEFT));
        let training = match metadata.get(HEADER) {
            Some(text) => PeftConfig::of_header(text).map(Some),
            None if of_peft => PeftConfig::next_to(path),
            None => Ok(None),
        };
        let training = training.map_err(|error| error.context(format!("`{label}`")))?;
        let file = TensorFile {
            label: label.clone(),
            content,
        };
        let tensors = Arc::new(Tensors::of_file(file, tensors));
        Ok(Self {
            tensors,
            hashes,
            label,
            metadata,
            modules,
            unknown_tensors,
            training,
            of_peft,
        })
    }

    /// Returns the changes to the model that `names` describes, called `model` in messages.
    ///
    /// # Errors
    /// Nothing of it fits; a change has another size than its weight; an arithmetic that is not
    /// known here.
    pub fn match_layers(&self, names: &ModuleNames, family: Family, model: &str) -> Result<Fitted> {
        let strength_unknown = self.of_peft && self.training.is_none();
        let mut fitted = Fitted {
            unmatched: self.unknown_tensors.clone(),
            strength_unknown,
            ..Fitted::default()
        };
        for (name, module) in &self.modules {
            match names.find(name) {
                None => fitted.unmatched.push(name.clone()),
                Some(target) => {
                    fitted.matched += 1;
                    self.changes(module, target, &mut fitted.changes)
                        .map_err(|error| {
                            let error = error.context(format!("`{}`: module `{name}`", self.label));
                            self.hinted(error, family, model)
                        })?;
                }
            }
        }
        let misled =
            !fitted.unmatched.is_empty() && self.family().is_some_and(|known| known != family);
        if fitted.matched == 0 || misled {
            let count = fitted.unmatched.len();
            let what = format!(
                "`{}` is no LoRA for `{model}`: {count} of its {} modules are not in that model, such as `{}`",
                self.label,
                count + fitted.matched,
                fitted.unmatched.first().map_or("", String::as_str)
            );
            let error = self.hinted(Error::new(Kind::ModelFile, what), family, model);
            let is_explained = misled || self.made_for().is_some();
            let hint = format!("look for a LoRA that was trained on the family of `{model}`");
            return Err(if is_explained {
                error
            } else {
                error.hint(hint)
            });
        }
        Ok(fitted)
    }

    /// The changes of one module.
    fn changes(
        &self,
        module: &Module,
        target: &TargetModule,
        into: &mut Vec<Change>,
    ) -> Result<()> {
        let TargetModule {
            component,
            module: ours,
            shape,
        } = target;
        let mut keep = |kind: &str, form, scale| {
            into.push(Change {
                component: *component,
                tensor: format!("{ours}.{kind}"),
                form,
                scale,
            });
        };
        if let Some(form) = module.form()? {
            let size = self.sized(&form)?;
            let expected = [
                shape.first().copied().unwrap_or(1),
                shape.iter().skip(1).product(),
            ];
            if [size.rows, size.columns] != expected {
                let got = format!("{}×{}", size.rows, size.columns);
                return Err(Error::new(
                    Kind::ModelFile,
                    format!(
                        "changes a weight of {got}, expected {}×{}",
                        expected[0], expected[1]
                    ),
                )
                .hint("it was trained on a model whose layers have other sizes"));
            }
            let scale = self.scale(module, target, &form, size)?;
            keep("weight", form, scale);
        }
        if let Some(bias) = module.get(Suffix::WholeBias) {
            let form = Form::Whole(bias.clone());
            let (size, outputs) = (self.sized(&form)?, shape.first().copied().unwrap_or(1));
            if size.rows * size.columns != outputs {
                let message = format!(
                    "changes a bias of {}, expected {outputs}",
                    size.rows * size.columns
                );
                return Err(Error::new(Kind::ModelFile, message));
            }
            keep("bias", form, Scale::Number(1.0));
        }
        Ok(())
    }

    fn sized(&self, form: &Form) -> Result<Size> {
        let shape = |name: &str| {
            self.tensors
                .places
                .get(name)
                .map(|place| place.entry.shape.as_slice())
        };
        size_of_change(form, &shape)
    }

    /// Returns alpha / rank of a module. Without an alpha of its own, the module has that of the
    /// training record, or its rank (a scale of 1).
    fn scale(
        &self,
        module: &Module,
        target: &TargetModule,
        form: &Form,
        size: Size,
    ) -> Result<Scale> {
        let whole = matches!(form, Form::Whole(_));
        Ok(
            match (module.get(Suffix::Alpha), size.rank, &self.training) {
                (Some(alpha), Some(rank), _) => {
                    let shape = &self.tensors.places[alpha].entry.shape;
                    if shape.iter().product::<usize>() != 1 {
                        return Err(wrong(format!(
                            "has `{alpha}` of shape {shape:?}, expected one number"
                        )));
                    }
                    Scale::Stored {
                        alpha: alpha.clone(),
                        rank,
                    }
                }
                (None, rank, Some(training)) if !whole => Scale::Number(training.scale(
                    &target.component.to_string(),
                    &target.module,
                    rank,
                )),
                _ => Scale::Number(1.0),
            },
        )
    }

    /// Model family that the LoRA was made for, if its tensor names or its header say.
    fn family(&self) -> Option<Family> {
        Family::of_lora(self.modules.keys().map(String::as_str), self.made_for())
    }

    /// Base model named by the header.
    fn made_for(&self) -> Option<&str> {
        let keys = ["modelspec.architecture", "ss_base_model_version"];
        keys.iter()
            .find_map(|key| self.metadata.get(*key))
            .map(String::as_str)
    }

    fn hinted(&self, error: Error, family: Family, model: &str) -> Error {
        let error = match self.made_for() {
            Some(said) => error.hint(format!("its header says that it was made for `{said}`")),
            None => error,
        };
        match self.family() {
            Some(known) if known != family => error.hint(format!(
                "it looks like a LoRA for {}, and `{model}` is {}",
                known.title, family.title
            )),
            _ => error,
        }
    }
}

/// Groups tensor names into modules; returns the modules and the names that belong to none.
fn group_by_module<'a>(
    names: impl Iterator<Item = &'a String>,
    label: &str,
) -> Result<(BTreeMap<String, Module>, Vec<String>)> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in names {
        match split_suffix(name) {
            Some((module, suffix)) => {
                let before = modules
                    .entry(module.to_owned())
                    .or_default()
                    .insert(suffix, name);
                if let Some(before) = before {
                    let what = format!("`{label}` has both `{before}` and `{name}`");
                    return Err(Error::new(Kind::ModelFile, what));
                }
            }
            None => unknown.push(name.clone()),
        }
    }
    if modules.is_empty() {
        return Err(Error::new(Kind::ModelFile, format!("`{label}` is no LoRA"))
            .hint("expected tensors such as `lora_unet_....lora_down.weight` or `unet.....lora_A.weight`"));
    }
    let foreign = modules
        .iter()
        .find_map(|(name, module)| Some((name, module.foreign()?)));
    match foreign {
        None => Ok((modules, unknown)),
        Some((name, what)) => {
            let what = format!("`{label}`: module `{name}` is {what}, which sdgen does not merge");
            Err(Error::new(Kind::ModelFile, what).hint(
                "merge it into a model's file with the program that made it, or look for the same as a LoRA, LoHa or LoKr",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ModelFiles;

    /// tests/golden/patterns.py says how diffusers loaded it.
    #[test]
    fn modules_have_the_strengths_that_diffusers_gives_them() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read(golden.join("adapters/patterns.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let bytes = std::fs::read(golden.join("adapters/lora/sd15_peft.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensors();
        let record = expected["record"].as_str().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        safetensors::serialize_to_file(tensors, Some([(HEADER.to_owned(), record)].into()), &path)
            .unwrap();
        let names =
            ModuleNames::of(&ModelFiles::folder("m", "m", golden.join("models/sd15"))).unwrap();
        let fitted = LoraFile::read(&path)
            .unwrap()
            .match_layers(&names, Family::SD, "m")
            .unwrap();
        let scales = expected["scales"].as_object().unwrap();
        assert_eq!(
            (fitted.changes.len(), fitted.unmatched.len()),
            (scales.len(), 0)
        );
        for change in fitted.changes {
            let module = change.tensor.trim_end_matches(".weight");
            let golden = scales[&format!("{}.{module}", change.component)]
                .as_f64()
                .unwrap();
            assert_eq!(change.scale, Scale::Number(golden), "{module}");
        }
    }
}
