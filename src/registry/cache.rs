//! The Hugging Face cache as Python and sdgen share it (`models--org--name/{blobs,refs,snapshots}`): which snapshot
//! a revision is, which files a render needs, and which of them are there.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Component, ModelFiles};
use crate::named::Named;

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `org/name`.
    pub(super) id: String,
    /// Branch, tag or commit.
    pub(super) revision: String,
}

/// Files that are used when a repository has them; without them the compiled-in vocabulary serves.
pub(super) fn optional() -> Vec<String> {
    let files = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    let of = |folder: &str| files.map(|file| format!("{folder}/{file}"));
    ["tokenizer", "tokenizer_2"].into_iter().flat_map(of).collect()
}

/// Small files that a model of these parts has.
pub(super) fn required(parts: &[Component]) -> Vec<String> {
    let configs = parts.iter().map(|part| part.config());
    ["model_index.json", "scheduler/scheduler_config.json"]
        .map(str::to_owned)
        .into_iter()
        .chain(configs)
        .collect()
}

/// The parts that a model's index names; a part without a class is one that this model has not.
pub(super) fn parts(files: &ModelFiles) -> Vec<Component> {
    let index: serde_json::Value = files.json("model_index.json").unwrap_or_default();
    let named = |part: Component| index[part.name()].get(0).is_some_and(serde_json::Value::is_string);
    let always = |part: Component| matches!(part, Component::Unet | Component::Vae);
    Component::ALL.iter().map(|row| row.0).filter(|part| always(*part) || named(*part)).collect()
}

/// The weights of a component to use, out of those that `has` finds.
pub(super) fn weights(component: Component, half: bool, has: impl Fn(&str) -> bool) -> Option<String> {
    let mut names = component.weights();
    if half {
        names.rotate_left(2);
    }
    names.into_iter().find(|name| has(name))
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The files that a sharded weights index names, as paths in the model; `None` when it is no index or names a
/// file outside its folder.
pub(super) fn shards(component: Component, index: &str) -> Option<Vec<String>> {
    let index: ShardIndex = serde_json::from_str(index).ok()?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let plain = |name: &String| !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
    names.iter().all(plain).then(|| names.iter().map(|name| format!("{component}/{name}")).collect())
}

/// The first file that a render needs and `files` lacks.
pub(super) fn missing(files: &ModelFiles) -> Option<String> {
    let parts = parts(files);
    if let Some(name) = required(&parts).into_iter().find(|name| !files.has(name)) {
        return Some(name);
    }
    parts.iter().find_map(|component| {
        let Some(name) = weights(*component, false, |name| files.has(name)) else {
            let [whole, ..] = component.weights();
            return Some(whole);
        };
        if !name.ends_with(".json") {
            return None;
        }
        let index = files.text(&name).ok().and_then(|text| shards(*component, &text));
        match index {
            Some(shards) => shards.into_iter().find(|shard| !files.has(shard)),
            None => Some(name),
        }
    })
}

/// The folder of a repository in the cache.
pub(super) fn folder(cache: &Path, id: &str) -> PathBuf {
    cache.join(format!("models--{}", id.replace('/', "--")))
}

/// The snapshot that a revision stands for: through its ref, or the commit itself.
pub(super) fn snapshot(cache: &Path, source: &Source) -> Option<PathBuf> {
    let folder = folder(cache, &source.id);
    let commit = std::fs::read_to_string(folder.join("refs").join(&source.revision));
    let commit = commit.map_or_else(|_| source.revision.clone(), |text| text.trim().to_owned());
    let snapshot = folder.join("snapshots").join(&commit);
    (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
}

/// Whether a text can be a commit, and so a folder's name.
pub(super) fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn model(names: &[(&str, &str)]) -> (tempfile::TempDir, ModelFiles) {
        let folder = tempfile::tempdir().unwrap();
        let parts = [Component::TextEncoder, Component::Unet, Component::Vae];
        for name in required(&parts) {
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

    const INDEX: &str =
        r#"{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-1.safetensors"}}"#;

    #[test]
    fn a_model_is_complete_with_whole_sharded_or_half_weights() {
        let whole = ("vae/diffusion_pytorch_model.safetensors", "");
        let half = ("text_encoder/model.fp16.safetensors", "");
        let index = ("unet/diffusion_pytorch_model.safetensors.index.json", INDEX);
        let (_folder, files) = model(&[whole, half, index, ("unet/x-1.safetensors", "")]);
        assert_eq!(missing(&files).as_deref(), Some("unet/x-2.safetensors"));
        let (_folder, files) =
            model(&[whole, half, index, ("unet/x-1.safetensors", ""), ("unet/x-2.safetensors", "")]);
        assert_eq!(missing(&files), None);
        let (folder, files) = model(&[whole, half]);
        assert_eq!(missing(&files).as_deref(), Some("unet/diffusion_pytorch_model.safetensors"));
        std::fs::remove_file(folder.path().join("vae/config.json")).unwrap();
        assert_eq!(missing(&files).as_deref(), Some("vae/config.json"));
    }

    #[test]
    fn half_weights_come_first_when_they_are_wanted() {
        let all = |_: &str| true;
        assert_eq!(weights(Component::Unet, false, all).unwrap(), "unet/diffusion_pytorch_model.safetensors");
        assert_eq!(
            weights(Component::Unet, true, all).unwrap(),
            "unet/diffusion_pytorch_model.fp16.safetensors"
        );
    }

    #[test]
    fn an_index_cannot_name_a_file_outside_its_folder() {
        assert_eq!(shards(Component::Unet, INDEX).unwrap(), ["unet/x-1.safetensors", "unet/x-2.safetensors"]);
        for name in ["../x", "/etc/passwd", "a\\\\b", "", ".."] {
            assert!(
                shards(Component::Unet, &format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).is_none(),
                "{name}"
            );
        }
        assert!(shards(Component::Unet, "[").is_none());
    }

    #[test]
    fn a_revision_is_a_ref_or_a_commit() {
        let cache = tempfile::tempdir().unwrap();
        touch(cache.path(), "models--o--n/refs/main", "abc\n");
        touch(cache.path(), "models--o--n/refs/evil", "../../..");
        touch(cache.path(), "models--o--n/snapshots/abc/model_index.json", "{}");
        let at =
            |revision: &str| snapshot(cache.path(), &Source { id: "o/n".into(), revision: revision.into() });
        let expected = cache.path().join("models--o--n/snapshots/abc");
        assert_eq!((at("main"), at("abc")), (Some(expected.clone()), Some(expected)));
        assert_eq!((at("v2"), at("evil")), (None, None));
    }
}
