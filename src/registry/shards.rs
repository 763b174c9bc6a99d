//! Weights in several files: the index that names them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::ModelFiles;
use crate::error::{Error, Kind, Result};

/// An index as far as it is read.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that hold the weights of the file at `path`: that file itself, or those that it names
/// where it is an index.
///
/// # Errors
/// No index; a name that leads out of the index's folder.
pub(super) fn files(model: &ModelFiles, path: &str) -> Result<Vec<String>> {
    if !path.ends_with(".json") {
        return Ok(vec![path.to_owned()]);
    }
    let index: Index = model.json(path)?;
    let folder = path
        .rsplit_once('/')
        .map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(Error::new(
            Kind::ModelFile,
            format!(
                "`{}`: shard `{name}` is not a plain file name",
                model.display(path)
            ),
        )),
        None => Ok(names.iter().map(|name| format!("{folder}{name}")).collect()),
    }
}

/// Returns true if this is the name of a file next to the index.
fn plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("unet")).unwrap();
        std::fs::write(folder.path().join("unet/x.index.json"), text).unwrap();
        files(
            &ModelFiles::folder("m", "m", folder.path().to_owned()),
            "unet/x.index.json",
        )
    }

    #[test]
    fn an_index_names_each_of_its_files_once() {
        let index = r#"{"weight_map": {"a": "x-2.safetensors", "b": "x-1.safetensors", "c": "x-2.safetensors"}}"#;
        assert_eq!(
            named(index).unwrap(),
            ["unet/x-1.safetensors", "unet/x-2.safetensors"]
        );
    }

    #[test]
    fn an_index_cannot_name_a_file_outside_its_folder() {
        for name in ["../x", "/etc/passwd", "a\\\\b", "", ".."] {
            let error = named(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).unwrap_err();
            assert!(
                error.to_string().contains("is not a plain file name"),
                "{name}: {error}"
            );
        }
        assert!(named("[").is_err());
    }
}
