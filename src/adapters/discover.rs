//! Adapter files on disk: their search by path, by name in a folder, or all of a folder, and the
//! hashes that identify them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result, closest};
use crate::hash::{sha256_of_file, sha256_with_and_without_header};

/// File extensions of adapters, in order of preference.
const ENDINGS: [&str; 4] = ["safetensors", "pt", "bin", "ckpt"];
/// Maximum depth of sub-folders that are searched.
const DEPTH: usize = 4;

/// Returns the LoRA file called `name` in `folder` or its sub-folders.
///
/// # Errors
/// None is, or several are; the folder cannot be read.
pub fn find_lora(folder: &Path, name: &str) -> Result<PathBuf> {
    let files = files_below(folder, DEPTH).map_err(|error| with_field(error, "lora_dir"))?;
    let mut found = files.iter().filter(|path| file_stem(path) == name);
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
            let names: Vec<String> = files.iter().map(|path| file_stem(path)).collect();
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
pub fn find_embeddings(text: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(text);
    if path.is_dir() {
        return files_below(path, DEPTH).map_err(|error| with_field(error, "embedding"));
    }
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let message = format!("`{text}` is neither a file nor a folder");
    Err(Error::field("embedding", message))
}

fn with_field(error: std::io::Error, field: &str) -> Error {
    Error::field(field, error.to_string())
}

/// Adapter files in a folder and its sub-folders, by name. If a name has several extensions, the
/// first of [`ENDINGS`] wins.
fn files_below(folder: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
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
    entries.sort_by_key(|path| (file_stem(path), rank(path)));
    let mut files: Vec<PathBuf> = Vec::new();
    for path in entries {
        if path.is_dir() && depth > 0 {
            files.extend(files_below(&path, depth - 1)?);
        } else if rank(&path).is_some() && path.is_file() {
            let twin = files
                .last()
                .is_some_and(|last| last.with_extension("") == path.with_extension(""));
            files.extend((!twin).then_some(path));
        }
    }
    Ok(files)
}

/// Hashes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256 of the file.
    pub file: String,
    /// First twelve digits of the hash by which A1111 identifies a LoRA or an embedding.
    pub short: String,
}

/// Metadata key under which kohya's programs store the hash of the tensors.
const KOHYA: &str = "sshs_model_hash";

impl Hashes {
    /// Hashes of a LoRA file, which A1111 identifies by kohya's hash of its tensors.
    pub(super) fn of_lora(path: &Path, metadata: &BTreeMap<String, String>) -> Result<Self> {
        let hashes = sha256_with_and_without_header(path).map_err(|e| unreadable(path, e));
        let [file, tensors] = hashes?;
        let stored = metadata.get(KOHYA);
        let stored = stored.filter(|hash| hash.len() == 64 && hash.is_ascii());
        let short = first_digits(stored.unwrap_or(&tensors));
        Ok(Self { file, short })
    }

    /// Hashes of an embedding file, which A1111 identifies by the hash of the whole file.
    pub(super) fn of_embedding(path: &Path) -> Result<Self> {
        let file = sha256_of_file(path).map_err(|e| unreadable(path, e))?;
        let short = first_digits(&file);
        Ok(Self { file, short })
    }
}

fn first_digits(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Error about an adapter file that cannot be read.
pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::ModelFile, format!("cannot read `{}`", path.display())).source(error)
}

/// The name of a file without folders and extension.
pub(super) fn file_stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kohya_s_hash_of_the_tensors_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            [&2u64.to_le_bytes(), b"{}ab".as_slice()].concat(),
        )
        .unwrap();
        let own = Hashes::of_lora(file.path(), &BTreeMap::new()).unwrap();
        assert_eq!(own.short, crate::hash::sha256(b"ab")[..12]);
        let kohya = BTreeMap::from([(KOHYA.to_owned(), "ab".repeat(32))]);
        let stored = Hashes::of_lora(file.path(), &kohya).unwrap();
        assert_eq!((&*stored.short, stored.file), ("abababababab", own.file));
    }

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
        assert_eq!(find_lora(folder.path(), "a").unwrap(), a);
        assert_eq!(find_lora(folder.path(), "big b").unwrap(), b);
        let error = find_lora(folder.path(), "big-b").unwrap_err();
        assert_eq!(
            (error.field_name(), &*error.hints()[0]),
            (Some("prompt"), "did you mean `big b`?")
        );
        file("styles/a.safetensors");
        assert!(
            find_lora(folder.path(), "a")
                .unwrap_err()
                .message()
                .contains("is both")
        );
        assert_eq!(
            find_embeddings(folder.path().to_str().unwrap())
                .unwrap()
                .len(),
            3
        );
        assert_eq!(
            find_embeddings("no/such").unwrap_err().field_name(),
            Some("embedding")
        );
    }
}
