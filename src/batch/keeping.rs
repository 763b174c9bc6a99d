//! Where a batch keeps its manifest: one for each source, told by the file's path, or by the
//! content of what came from stdin.

use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use super::manifest::{Line, digest};
use super::shard::Shard;

/// The manifest of a batch, and those beside it.
#[derive(Debug)]
pub struct Keeping {
    /// The file.
    pub path: PathBuf,
    /// Whose it is: the batch file, as it is seen from the manifest's folder.
    pub source: String,
    /// The same batch's, of other shards or of the whole.
    pub shards: Vec<PathBuf>,
    /// Other batches'.
    pub others: Vec<PathBuf>,
}

/// A batch file, or what came from stdin.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The file.
    File(&'a Path),
    /// Its text.
    Stdin(&'a str),
}

/// How the names of manifests end.
const SUFFIX: &str = ".manifest.jsonl";
/// What stands for a batch that is no file.
const STDIN: &str = "stdin";
/// Digits of a content's hash in a manifest's name.
const DIGITS: usize = 8;

impl Keeping {
    /// The manifest of a batch whose pictures go to `folder`, at `asked` or where it belongs.
    pub fn of(origin: Origin<'_>, folder: &Path, shard: Shard, asked: Option<&Path>) -> Self {
        let (source, stem) = match origin {
            Origin::Stdin(text) => (
                STDIN.to_owned(),
                format!("{STDIN}-{}", &digest(text.as_bytes())[..DIGITS]),
            ),
            Origin::File(path) => {
                let stem = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                (seen_from(folder, path), stem)
            }
        };
        let path = asked.map_or_else(|| own(folder, &stem, shard, &source), Path::to_owned);
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
        let (shards, others) = manifests.into_iter().partition(|other| match owner(other) {
            Some(Some(owner)) => owner == source,
            // Written before manifests said whose they are.
            Some(None) => is_kin(other, &stem),
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

/// The manifest by its usual name, or the next one that is nobody else's.
fn own(folder: &Path, stem: &str, shard: Shard, source: &str) -> PathBuf {
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
    let is_own = |path: &PathBuf| owner(path).flatten().is_none_or(|owner| owner == source);
    // Invariant: names without end, and not so many files.
    paths.find(is_own).unwrap_or_default()
}

/// Whose a manifest is, if its first line says so; nothing of one that is not there or empty.
fn owner(path: &Path) -> Option<Option<String>> {
    let mut first = String::new();
    BufReader::new(std::fs::File::open(path).ok()?)
        .read_line(&mut first)
        .ok()?;
    serde_json::from_str::<Line>(&first)
        .ok()
        .map(|line| line.source)
}

/// Whether a manifest is of the batch called `stem`, by its name alone.
fn is_kin(path: &Path, stem: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    part.is_some_and(|part| part.is_empty() || (part.starts_with('.') && part.contains("-of-")))
}

/// A file as it is seen from a folder, so that both may move together.
fn seen_from(folder: &Path, file: &Path) -> String {
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
        assert_eq!(seen_from(&at("a/out"), &at("a/jobs.txt")), "../jobs.txt");
        assert_eq!(seen_from(&at("a"), &at("a/out/../jobs.txt")), "jobs.txt");
        assert_eq!(seen_from(folder.path(), &at("a/jobs.txt")), "a/jobs.txt");
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
        let keeping = |origin| Keeping::of(origin, folder.path(), Shard::WHOLE, None);
        let kept = keeping(Origin::File(&first));
        assert_eq!(kept.path, at("jobs.manifest.jsonl"));
        let line = format!(
            r#"{{"job":"a","key":"0","file":"a.png","state":"planned","source":"{}"}}"#,
            kept.source
        );
        std::fs::write(&kept.path, line + "\n").unwrap();
        assert_eq!(keeping(Origin::File(&first)).path, kept.path);
        let other = keeping(Origin::File(&second));
        assert_eq!(
            (other.path, other.others),
            (at("jobs-1.manifest.jsonl"), vec![kept.path])
        );
        let [a, b] = ["a", "b"].map(|text| keeping(Origin::Stdin(text)).path);
        assert_ne!(a, b);
    }
}
