//! A single file of a repository, such as a LoRA, out of the Hugging Face cache.

use std::path::PathBuf;

use super::cache::Store;
use super::repository;
use crate::config::Hub;

/// Name of the file where only the repository is named: what diffusers saves LoRAs as.
const USUAL: &str = "pytorch_lora_weights.safetensors";

/// The file that `ORG/REPO[/FILE][@REV]` names, if the cache has it. Nothing is fetched.
pub fn cached_file(text: &str, hub: &Hub) -> Option<PathBuf> {
    let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
    let mut parts = path.splitn(3, '/');
    let (org, name, file) = (parts.next()?, parts.next()?, parts.next().unwrap_or(USUAL));
    let (id, revision) = repository(&format!("{org}/{name}@{revision}"))?;
    let tame = file.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    let snapshot = Store::new(hub.cache.as_deref()?, &id).find(&revision)?;
    let path = snapshot.join(file);
    (tame && path.is_file()).then_some(path)
}

/// Whether a text can name a file of a repository.
pub fn names_repository(text: &str) -> bool {
    let path = text.split_once('@').map_or(text, |(path, _)| path);
    let mut parts = path.splitn(3, '/');
    let id = parts.next().zip(parts.next()).map(|(org, name)| format!("{org}/{name}"));
    id.is_some_and(|id| repository(&id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_repository_is_found_in_the_cache_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder.path().join("models--org--name/snapshots/abc");
        std::fs::create_dir_all(snapshot.join("styles")).unwrap();
        for file in ["styles/a.safetensors", USUAL] {
            std::fs::write(snapshot.join(file), "").unwrap();
        }
        let refs = folder.path().join("models--org--name/refs");
        std::fs::create_dir_all(&refs).unwrap();
        std::fs::write(refs.join("main"), "abc").unwrap();
        let hub = Hub { cache: Some(folder.path().to_owned()), ..Hub::default() };
        let found = |text: &str| cached_file(text, &hub);
        assert_eq!(found("org/name/styles/a.safetensors"), Some(snapshot.join("styles/a.safetensors")));
        assert_eq!(found("org/name@abc"), Some(snapshot.join(USUAL)));
        for wild in ["org/name/b", "org/name/../../x", "org", "org/name@../x", "org//a"] {
            assert_eq!(found(wild), None, "{wild}");
        }
        assert!(names_repository("org/name/x.safetensors") && !names_repository("x.safetensors"));
    }
}
