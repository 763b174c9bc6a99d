//! Search for adapter files: by path, by name in a folder, or all files of a folder.

use std::path::{Path, PathBuf};

use super::embedding::stem;
use crate::error::{Error, Result, closest};

/// File extensions of adapters, in order of preference.
const ENDINGS: [&str; 4] = ["safetensors", "pt", "bin", "ckpt"];
/// Maximum depth of sub-folders that are searched.
const DEPTH: usize = 4;

/// Returns the LoRA file called `name` in `folder` or its sub-folders.
///
/// # Errors
/// None is, or several are; the folder cannot be read.
pub fn named(folder: &Path, name: &str) -> Result<PathBuf> {
    let files = below(folder, DEPTH).map_err(|error| with_field(error, "lora_dir"))?;
    let mut found = files.iter().filter(|path| stem(path) == name);
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path.clone()),
        (Some(a), Some(b)) => Err(Error::field(
            "prompt",
            format!(
                "LoRA `{name}` is both `{}` and `{}`",
                a.display(),
                b.display()
            ),
        )
        .hint("rename one of them, or give the file with `--lora`")),
        (None, _) => {
            let names: Vec<String> = files.iter().map(|path| stem(path)).collect();
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let error = Error::field(
                "prompt",
                format!("no LoRA `{name}` in `{}`", folder.display()),
            );
            Err(match closest(name, &known) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("a LoRA is called by its file's name without the ending"),
            })
        }
    }
}

/// Returns the files that one `--embedding` value names: the file itself, or every file in the
/// folder.
///
/// # Errors
/// Neither a file nor a folder; a folder that cannot be read.
pub fn embeddings(text: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(text);
    if path.is_dir() {
        return below(path, DEPTH).map_err(|error| with_field(error, "embedding"));
    }
    match path.is_file() {
        true => Ok(vec![path.to_owned()]),
        false => Err(Error::field(
            "embedding",
            format!("`{text}` is neither a file nor a folder"),
        )),
    }
}

fn with_field(error: std::io::Error, field: &str) -> Error {
    Error::field(field, error.to_string())
}

/// Adapter files in a folder and its sub-folders, by name. If a name has several extensions, the
/// first of [`ENDINGS`] wins.
fn below(folder: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
    let context =
        |e: std::io::Error| std::io::Error::new(e.kind(), format!("`{}`: {e}", folder.display()));
    let mut entries = std::fs::read_dir(folder)
        .map_err(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(context)?;
    let rank = |path: &PathBuf| {
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        ENDINGS
            .iter()
            .position(|known| Some(*known) == ending.as_deref())
    };
    entries.sort_by_key(|path| (stem(path), rank(path)));
    let mut files: Vec<PathBuf> = Vec::new();
    for path in entries {
        if path.is_dir() && depth > 0 {
            files.extend(below(&path, depth - 1)?);
        } else if rank(&path).is_some() && path.is_file() {
            let twin = files
                .last()
                .is_some_and(|last| last.with_extension("") == path.with_extension(""));
            files.extend((!twin).then_some(path));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_the_folder_and_below() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let (a, b) = (file("a.safetensors"), file("styles/big b.PT"));
        file("a.pt");
        file("notes.txt");
        assert_eq!(named(folder.path(), "a").unwrap(), a);
        assert_eq!(named(folder.path(), "big b").unwrap(), b);
        let error = named(folder.path(), "big-b").unwrap_err();
        assert_eq!(
            (error.field_name(), &*error.hints()[0]),
            (Some("prompt"), "did you mean `big b`?")
        );
        file("styles/a.safetensors");
        assert!(
            named(folder.path(), "a")
                .unwrap_err()
                .message()
                .contains("is both")
        );
        assert_eq!(
            embeddings(folder.path().to_str().unwrap()).unwrap().len(),
            3
        );
        assert_eq!(
            embeddings("no/such").unwrap_err().field_name(),
            Some("embedding")
        );
    }
}
