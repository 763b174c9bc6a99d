//! Files of a model that a run needs, and those of them that a folder lacks.

use super::{Component, ModelFiles};
use crate::named_enum::Named;

/// Model card, whose head names the license.
pub(super) const CARD: &str = "README.md";

/// Tokenizer files, which are used if a repository has them; the compiled-in vocabulary replaces
/// them.
pub(super) fn optional_files() -> Vec<String> {
    let files = [
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ];
    let of = |folder: &str| files.map(|file| format!("{folder}/{file}"));
    ["tokenizer", "tokenizer_2"]
        .into_iter()
        .flat_map(of)
        .collect()
}

/// Config files of a model with these parts.
pub(super) fn config_files(parts: &[Component]) -> Vec<String> {
    let configs = parts.iter().map(|part| part.config());
    ["model_index.json", "scheduler/scheduler_config.json"]
        .map(str::to_owned)
        .into_iter()
        .chain(configs)
        .collect()
}

/// The config and tokenizer files that a model has.
pub(crate) fn small_files(files: &ModelFiles) -> Vec<String> {
    let parts: Vec<Component> = Component::ALL.iter().map(|row| row.0).collect();
    let all = config_files(&parts).into_iter().chain(optional_files());
    all.filter(|path| files.has(path)).collect()
}

/// The parts that a model's index names; a part without a class is absent.
pub(super) fn parts_of(files: &ModelFiles) -> Vec<Component> {
    let index: serde_json::Value = files.json("model_index.json").unwrap_or_default();
    let named = |part: Component| {
        index[part.name()]
            .get(0)
            .is_some_and(serde_json::Value::is_string)
    };
    let always = |part: Component| matches!(part, Component::Unet | Component::Vae);
    Component::ALL
        .iter()
        .map(|row| row.0)
        .filter(|part| always(*part) || named(*part))
        .collect()
}

/// The weights file of a component to use, out of those for which `has` returns true.
pub(super) fn weights_file(
    component: Component,
    half: bool,
    has: impl Fn(&str) -> bool,
) -> Option<String> {
    let mut names = component.weights();
    if half {
        names.rotate_left(2);
    }
    names.into_iter().find(|name| has(name))
}

/// Every file of a model that a run reads.
pub(super) fn used_files(files: &ModelFiles) -> Vec<String> {
    let parts = parts_of(files);
    let small = config_files(&parts)
        .into_iter()
        .chain(optional_files())
        .filter(|name| files.has(name));
    let weights = parts.iter().flat_map(|component| {
        let name = weights_file(*component, false, |name| files.has(name));
        let shards = name
            .as_ref()
            .and_then(|name| files.weight_files(name).ok())
            .unwrap_or_default();
        name.into_iter().chain(shards)
    });
    small.chain(weights).collect()
}

/// The first file that a run needs and `files` lacks; the weights of the part `except` do not count.
pub(super) fn missing_file(files: &ModelFiles, except: Option<Component>) -> Option<String> {
    let parts = parts_of(files);
    if let Some(name) = config_files(&parts)
        .into_iter()
        .find(|name| !files.has(name))
    {
        return Some(name);
    }
    parts
        .iter()
        .filter(|part| except != Some(**part))
        .find_map(|component| {
            let Some(name) = weights_file(*component, false, |name| files.has(name)) else {
                let [whole, ..] = component.weights();
                return Some(whole);
            };
            match files.weight_files(&name) {
                Ok(shards) => shards.into_iter().find(|shard| !files.has(shard)),
                Err(_) => Some(name),
            }
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn touch(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn model(names: &[(&str, &str)]) -> (tempfile::TempDir, ModelFiles) {
        let folder = tempfile::tempdir().unwrap();
        let parts = [Component::TextEncoder, Component::Unet, Component::Vae];
        for name in config_files(&parts) {
            touch(folder.path(), &name, "{}");
        }
        let index = r#"{"text_encoder": ["transformers", "X"], "text_encoder_2": [null, null]}"#;
        touch(folder.path(), "model_index.json", index);
        for (name, text) in names {
            touch(folder.path(), name, text);
        }
        let files = ModelFiles::folder("m", "m", folder.path().to_owned());
        (folder, files)
    }

    const INDEX: &str = r#"{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-1.safetensors"}}"#;

    #[test]
    fn a_model_is_complete_with_whole_sharded_or_half_weights() {
        let whole = ("vae/diffusion_pytorch_model.safetensors", "");
        let half = ("text_encoder/model.fp16.safetensors", "");
        let index = ("unet/diffusion_pytorch_model.safetensors.index.json", INDEX);
        let (_folder, files) = model(&[whole, half, index, ("unet/x-1.safetensors", "")]);
        assert_eq!(
            missing_file(&files, None).as_deref(),
            Some("unet/x-2.safetensors")
        );
        let (_folder, files) = model(&[
            whole,
            half,
            index,
            ("unet/x-1.safetensors", ""),
            ("unet/x-2.safetensors", ""),
        ]);
        assert_eq!(missing_file(&files, None), None);
        let (folder, files) = model(&[whole, half]);
        assert_eq!(
            missing_file(&files, None).as_deref(),
            Some("unet/diffusion_pytorch_model.safetensors")
        );
        std::fs::remove_file(folder.path().join("vae/config.json")).unwrap();
        assert_eq!(
            missing_file(&files, None).as_deref(),
            Some("vae/config.json")
        );
    }

    #[test]
    fn a_run_reads_every_file_of_a_tokenizer() {
        let names = [
            "tokenizer/tokenizer.json",
            "tokenizer_2/added_tokens.json",
            "tokenizer/merges.txt",
        ];
        let (_folder, files) = model(&names.map(|name| (name, "")));
        let (used, small) = (used_files(&files), small_files(&files));
        assert!(
            names
                .iter()
                .all(|name| used.iter().any(|path| path == name)),
            "{used:?}"
        );
        assert!(
            names
                .iter()
                .all(|name| small.iter().any(|path| path == name)),
            "{small:?}"
        );
    }

    #[test]
    fn half_weights_come_first_when_they_are_wanted() {
        let all = |_: &str| true;
        assert_eq!(
            weights_file(Component::Unet, false, all).unwrap(),
            "unet/diffusion_pytorch_model.safetensors"
        );
        assert_eq!(
            weights_file(Component::Unet, true, all).unwrap(),
            "unet/diffusion_pytorch_model.fp16.safetensors"
        );
    }
}
