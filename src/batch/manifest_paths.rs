//! Location of a batch's manifest: one for each source, identified by the path of the batch file,
//! or by the content of a batch from stdin.

use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use super::manifest_line::Line;
use super::shard::Shard;
use crate::hash::sha256;

/// The manifest of a batch, and the other manifests in its folder.
#[derive(Debug)]
pub struct ManifestPaths {
    /// Path of the manifest.
    pub path: PathBuf,
    /// Source of the batch: the path of the batch file relative to the output folder, or `stdin`.
    pub source: String,
    /// Manifests of the same batch, for other shards or for the whole.
    pub shards: Vec<PathBuf>,
    /// Manifests of other batches.
    pub others: Vec<PathBuf>,
}

/// Source of a batch: a file or stdin.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// Path of the batch file.
    File(&'a Path),
    /// Text that was read from stdin.
    Stdin(&'a str),
}

/// Suffix of manifest file names.
const SUFFIX: &str = ".manifest.jsonl";
/// Name of a batch that was read from stdin.
const STDIN: &str = "stdin";
/// Hexadecimal digits of the content's hash in a manifest's name.
const DIGITS: usize = 8;

impl ManifestPaths {
    /// Returns the manifest of a batch whose images go to `folder`: at `asked`, else at its usual
    /// path.
    pub fn locate(origin: Origin<'_>, folder: &Path, shard: Shard, asked: Option<&Path>) -> Self {
        let (source, stem) = match origin {
            Origin::Stdin(text) => (
                STDIN.to_owned(),
                format!("{STDIN}-{}", &sha256(text.as_bytes())[..DIGITS]),
            ),
            Origin::File(path) => {
                let stem = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                (relative_to(folder, path), stem)
            }
        };
        let path = asked.map_or_else(|| usual_path(folder, &stem, shard, &source), Path::to_owned);
        let beside = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let entries = std::fs::read_dir(beside).into_iter().flatten().flatten();
        let is_other = |path: &PathBuf, name: &str| {
            name.ends_with(SUFFIX) && path.file_name() != Some(name.as_ref())
        };
        let mut manifests: Vec<PathBuf> = entries
            .filter(|entry| is_other(&path, &entry.file_name().to_string_lossy()))
            .map(|entry| entry.path())
            .collect();
        manifests.sort();
        let (shards, others) =
            manifests
                .into_iter()
                .partition(|other| match recorded_source(other) {
                    Some(Some(owner)) => owner == source,
                    // Manifests of older versions do not name their source.
                    Some(None) => is_named_after(other, &stem),
                    None => false,
                });
        Self {
            path,
            source,
            shards,
            others,
        }
    }
}

/// Usual path of the manifest, or the next numbered one that no other batch owns.
fn usual_path(folder: &Path, stem: &str, shard: Shard, source: &str) -> PathBuf {
    let part = match shard {
        Shard::WHOLE => String::new(),
        Shard { index, count } => format!(".{index}-of-{count}"),
    };
    let names = (0..).map(|n| {
        if n == 0 {
            stem.to_owned()
        } else {
            format!("{stem}-{n}")
        }
    });
    let mut paths = names.map(|stem| folder.join(format!("{stem}{part}{SUFFIX}")));
    let is_own = |path: &PathBuf| {
        recorded_source(path)
            .flatten()
            .is_none_or(|owner| owner == source)
    };
    // Invariant: names without end, and not so many files.
    paths.find(is_own).unwrap_or_default()
}

/// Source that a manifest's first line names, if any; `None` if the file is missing or empty.
fn recorded_source(path: &Path) -> Option<Option<String>> {
    let mut first = String::new();
    BufReader::new(std::fs::File::open(path).ok()?)
        .read_line(&mut first)
        .ok()?;
    serde_json::from_str::<Line>(&first)
        .ok()
        .map(|line| line.source)
}

/// Returns true if a manifest belongs to the batch called `stem`, judging by its name alone.
fn is_named_after(path: &Path, stem: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    part.is_some_and(|part| part.is_empty() || (part.starts_with('.') && part.contains("-of-")))
}

/// Path of a file relative to a folder, so that both may be moved together.
fn relative_to(folder: &Path, file: &Path) -> String {
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let (folder, file) = (whole(folder), whole(file));
    let common = folder
        .components()
        .zip(file.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder
        .components()
        .skip(common)
        .map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(file.components().skip(common)).collect();
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_seen_from_the_folder_of_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/out")).unwrap();
        std::fs::write(at("a/jobs.txt"), "").unwrap();
        assert_eq!(relative_to(&at("a/out"), &at("a/jobs.txt")), "../jobs.txt");
        assert_eq!(relative_to(&at("a"), &at("a/out/../jobs.txt")), "jobs.txt");
        assert_eq!(relative_to(folder.path(), &at("a/jobs.txt")), "a/jobs.txt");
    }

    #[test]
    fn each_source_has_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("jobs.txt"), "").unwrap();
        }
        let (first, second) = (at("a/jobs.txt"), at("b/jobs.txt"));
        let manifest_paths =
            |origin| ManifestPaths::locate(origin, folder.path(), Shard::WHOLE, None);
        let kept = manifest_paths(Origin::File(&first));
        assert_eq!(kept.path, at("jobs.manifest.jsonl"));
        let line = format!(
            r#"{{"job":"a","key":"0","file":"a.png","state":"planned","source":"{}"}}"#,
            kept.source
        );
        std::fs::write(&kept.path, line + "\n").unwrap();
        assert_eq!(manifest_paths(Origin::File(&first)).path, kept.path);
        let other = manifest_paths(Origin::File(&second));
        assert_eq!(
            (other.path, other.others),
            (at("jobs-1.manifest.jsonl"), vec![kept.path])
        );
        let [a, b] = ["a", "b"].map(|text| manifest_paths(Origin::Stdin(text)).path);
        assert_ne!(a, b);
    }
}
