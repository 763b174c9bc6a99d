//! One file of a repository, such as a LoRA, from the Hugging Face cache or the hub.

use std::path::{Path, PathBuf};

use super::lookup::{Fetch, locate_files};
use crate::error::Result;
use crate::event::Observer;
use crate::hub::Repository;

/// File name if only the repository is named: the name under which diffusers saves LoRAs.
const DEFAULT_NAME: &str = "pytorch_lora_weights.safetensors";

/// The file that `ORG/REPO[/FILE][@REV]` names, from the cache or downloaded into it; `None` for any
/// other text.
///
/// # Errors
/// The repository or the file is nowhere, access is refused, or the network fails.
pub fn file_of_repository(
    text: &str,
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<Option<PathBuf>> {
    let Some((repository, file)) = repository_and_file(text) else {
        return Ok(None);
    };
    let snapshot = locate_files(&repository, &[vec![file]], fetch, observer)?;
    Ok(Some(snapshot.join(file)))
}

/// Repository and file. A path below an existing folder is a path on disk, and so is a single file
/// name.
fn repository_and_file(text: &str) -> Option<(Repository, &str)> {
    let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
    let mut parts = path.splitn(3, '/');
    let (org, name, file) = (
        parts.next()?,
        parts.next()?,
        parts.next().unwrap_or(DEFAULT_NAME),
    );
    let repository = Repository::parse(&format!("{org}/{name}@{revision}"))?;
    let is_valid = file
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.'));
    (is_valid && !name.ends_with(".safetensors") && !Path::new(org).is_dir())
        .then_some((repository, file))
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
        for file in ["styles/a.safetensors", DEFAULT_NAME] {
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
        assert_eq!(
            found("org/name@abc").unwrap(),
            Some(snapshot.join(DEFAULT_NAME))
        );
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
