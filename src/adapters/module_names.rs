//! Names that training programs give to a model's modules, generated from the model's own tensor
//! names, not guessed from those of the LoRA file.

use std::collections::HashMap;

use crate::catalog::{Component, ModelFiles, original_module};
use crate::error::Result;
use crate::tensor_file::Tensors;

/// Modules of a model that a LoRA may change, by every name that training programs give them.
#[derive(Clone, Debug)]
pub struct ModuleNames {
    modules: Vec<TargetModule>,
    names: HashMap<String, usize>,
}

/// A module: a weight and perhaps a bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetModule {
    pub(super) component: Component,
    /// The module's name in diffusers.
    pub(super) module: String,
    /// Shape of its weight.
    pub(super) shape: Vec<usize>,
}

impl ModuleNames {
    /// Reads the names of the tensors of `files`.
    ///
    /// # Errors
    /// As [`ModelFiles::tensors`].
    pub fn of(files: &ModelFiles) -> Result<Self> {
        let mut names = Self {
            modules: Vec::new(),
            names: HashMap::new(),
        };
        let encoders = [Component::TextEncoder, Component::TextEncoder2];
        let encoders = encoders
            .into_iter()
            .filter(|part| files.has(&part.config()));
        let several = encoders.clone().count() > 1;
        for encoder in encoders {
            let tensors = files.tensors(encoder)?;
            names.add(encoder, &tensors, |module| {
                text_names(encoder, several, module)
            });
        }
        let tensors = files.tensors(Component::Unet)?;
        let original = original_module(&tensors);
        names.add(Component::Unet, &tensors, |module| {
            unet_names(module, original(module).as_deref())
        });
        Ok(names)
    }

    fn add(
        &mut self,
        component: Component,
        tensors: &Tensors,
        names: impl Fn(&str) -> Vec<String>,
    ) {
        for (name, place) in &tensors.places {
            // Rows of embeddings are looked up one by one; no LoRA that is known to us changes
            // them.
            let Some(module) = name
                .strip_suffix(".weight")
                .filter(|name| !name.ends_with("_embedding"))
            else {
                continue;
            };
            let shape = place.entry.shape.clone();
            self.names.extend(
                names(module)
                    .into_iter()
                    .map(|name| (name, self.modules.len())),
            );
            self.modules.push(TargetModule {
                component,
                module: module.to_owned(),
                shape,
            });
        }
    }

    /// The module that a file calls `name`.
    pub(super) fn find(&self, name: &str) -> Option<&TargetModule> {
        self.modules.get(*self.names.get(name)?)
    }
}

/// Names of a module of the UNet: kohya's (with diffusers' or the original block names), LyCORIS'
/// own, diffusers' (current, and with attention processors), and the original ones as they are.
fn unet_names(module: &str, original: Option<&str>) -> Vec<String> {
    let flat = underscored(module);
    let mut names = vec![format!("lora_unet_{flat}"), format!("lycoris_{flat}")];
    names.extend([format!("unet.{module}"), module.to_owned()]);
    if let Some((block, projection)) = module.rsplit_once(".to_") {
        let projection = projection.strip_suffix(".0").unwrap_or(projection);
        let old = format!("{block}.processor.to_{projection}");
        names.extend([format!("unet.{old}"), old]);
    }
    if let Some(original) = original {
        names.extend(
            ["lora_unet_", "lycoris_"].map(|prefix| format!("{prefix}{}", underscored(original))),
        );
        names.push(format!("diffusion_model.{original}"));
    }
    names
}

/// Names of a module of a text encoder. Programs differ in whether they number the first encoder,
/// so both spellings are known. Names without a network prefix are those of a model's only encoder.
fn text_names(encoder: Component, several: bool, module: &str) -> Vec<String> {
    let (kohya, clip): (&[&str], &str) = match (encoder, several) {
        (Component::TextEncoder2, _) => (&["lora_te2_"], "clip_g"),
        (_, true) => (&["lora_te1_", "lora_te_"], "clip_l"),
        (_, false) => (&["lora_te_", "lora_te1_", "lycoris_"], "clip_l"),
    };
    let mut names = Vec::new();
    // Most files have the whole encoder below this prefix; LoRAs may have or lack it, whatever the
    // model's file has.
    let bare = module.strip_prefix("text_model.").unwrap_or(module);
    for module in [bare.to_owned(), format!("text_model.{bare}")] {
        names.extend(
            kohya
                .iter()
                .map(|prefix| format!("{prefix}{}", underscored(&module))),
        );
        names.extend((!several).then(|| module.clone()));
        names.push(format!("text_encoders.{clip}.transformer.{module}"));
        names.push(format!("{encoder}.{module}"));
        if let Some((block, projection)) = module.rsplit_once(".self_attn.") {
            let projection = projection.trim_end_matches("_proj");
            names.push(format!("{encoder}.{block}.self_attn.to_{projection}"));
        }
    }
    names
}

fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_encoder_has_a_number_or_none_and_the_second_always_one() {
        let module = "text_model.encoder.layers.0.self_attn.q_proj";
        let flat = "text_model_encoder_layers_0_self_attn_q_proj";
        for (encoder, several, known, unknown) in [
            (
                Component::TextEncoder,
                false,
                &["lora_te_", "lora_te1_", "lycoris_"][..],
                "lora_te2_",
            ),
            (
                Component::TextEncoder,
                true,
                &["lora_te_", "lora_te1_"],
                "lycoris_",
            ),
            (Component::TextEncoder2, true, &["lora_te2_"], "lora_te_"),
        ] {
            let names = text_names(encoder, several, module);
            let has = |prefix: &str| names.contains(&format!("{prefix}{flat}"));
            assert!(
                known.iter().all(|prefix| has(prefix)) && !has(unknown),
                "{names:?}"
            );
            assert!(names.contains(&format!("{encoder}.{module}")));
            assert_eq!(names.contains(&module.to_owned()), !several);
        }
    }

    #[test]
    fn the_network_goes_by_either_numbering() {
        let names = unet_names(
            "down_blocks.1.attentions.0.proj_in",
            Some("input_blocks.4.1.proj_in"),
        );
        for name in [
            "lora_unet_down_blocks_1_attentions_0_proj_in",
            "lora_unet_input_blocks_4_1_proj_in",
            "lycoris_down_blocks_1_attentions_0_proj_in",
            "lycoris_input_blocks_4_1_proj_in",
            "diffusion_model.input_blocks.4.1.proj_in",
            "unet.down_blocks.1.attentions.0.proj_in",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}
