//! A single file of a repository, such as a LoRA, out of the Hugging Face cache or off the hub.

use std::path::{Path, PathBuf};

use super::hub::{Fetch, chosen};
use super::repository;
use crate::error::Result;
use crate::event::Observer;

/// Name of the file where only the repository is named: what diffusers saves LoRAs as.
const USUAL: &str = "pytorch_lora_weights.safetensors";

/// The file that `ORG/REPO[/FILE][@REV]` names, out of the cache or downloaded into it; nothing
/// where the text names none.
///
/// # Errors
/// The repository or the file is nowhere, access is refused, or the network fails.
pub fn file_of_repository(
    text: &str,
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<Option<PathBuf>> {
    let Some((id, revision, file)) = parts(text) else {
        return Ok(None);
    };
    let snapshot = chosen(&id, &revision, &[vec![file]], fetch, observer)?;
    Ok(Some(snapshot.join(file)))
}

/// Repository, revision and file. A path below a folder that is there is a path, and so is a file's
/// name alone.
fn parts(text: &str) -> Option<(String, String, &str)> {
    let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
    let mut parts = path.splitn(3, '/');
    let (org, name, file) = (parts.next()?, parts.next()?, parts.next().unwrap_or(USUAL));
    let (id, revision) = repository(&format!("{org}/{name}@{revision}"))?;
    let tame = file
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.'));
    (tame && !name.ends_with(".safetensors") && !Path::new(org).is_dir())
        .then_some((id, revision, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Hub;
    use crate::event::{Event, Flow};

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
        let hub = Hub {
            cache: Some(folder.path().to_owned()),
            offline: true,
            ..Hub::default()
        };
        let fetch = Fetch {
            hub,
            ..Fetch::default()
        };
        let found = |text: &str| file_of_repository(text, &fetch, &mut |_: &Event| Flow::Continue);
        assert_eq!(
            found("org/name/styles/a.safetensors").unwrap(),
            Some(snapshot.join("styles/a.safetensors"))
        );
        assert_eq!(found("org/name@abc").unwrap(), Some(snapshot.join(USUAL)));
        let error = found("org/name/b.safetensors").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`b.safetensors` of `org/name` is not in the cache"),
            "{error}"
        );
        for wild in [
            "org/name/../../x",
            "org",
            "org/name@../x",
            "org//a",
            "org/x.safetensors",
            "src/a/b",
        ] {
            assert_eq!(found(wild).unwrap(), None, "{wild}");
        }
    }
}
