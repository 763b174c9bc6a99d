//! Lookup of a model's files: a folder as it is, or a repository in the Hugging Face cache or on the
//! hub, of which the files that a run needs are downloaded.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use super::models::{DEMO_FILES, DEMO_NAME};
use super::required_files::{
    CARD, config_files, missing_file, optional_files, parts_of, weights_file,
};
use super::{Component, LockFile, ModelFiles, ModelRef, ModelSpec};
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer, tell};
use crate::hub::{Begun, Download, ListedFile, RepoCache, Repository};

/// Options of a lookup.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// Hub and cache to use.
    pub hub: Hub,
    /// Prefer 16-bit variants of the weights.
    pub half: bool,
    /// Lock file, whose revisions alone are allowed; [`LockFile::check`] checks the files.
    pub locked: Option<LockFile>,
    /// A component whose weights are not needed.
    pub without_weights_of: Option<Component>,
}

#[derive(Deserialize)]
struct MoveTable {
    moved: Vec<Move>,
}

/// A repository that was removed, and the one that has its files now.
#[derive(Deserialize)]
struct Move {
    from: String,
    to: String,
}

static MOVES: LazyLock<Vec<Move>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<MoveTable>(include_str!("moved.toml"))
        .map(|table| table.moved)
        .unwrap_or_default()
});

/// Required freshness of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// Any complete copy in the cache.
    Cached,
    /// The current state on the hub.
    Newest,
}

/// The files of `model`: from its folder, from the cache, or downloaded into the cache.
///
/// # Errors
/// The model is nowhere, access is refused, the network fails, or a lock file does not know the
/// model.
pub fn locate(model: &ModelRef, fetch: &Fetch, observer: &mut dyn Observer) -> Result<ModelFiles> {
    find(model, fetch, Freshness::Cached, observer)
}

/// The files of `model` as the hub has them now; those that are not in the cache are downloaded.
///
/// # Errors
/// As [`locate`]; the run is offline.
pub fn pull(model: &ModelRef, fetch: &Fetch, observer: &mut dyn Observer) -> Result<ModelFiles> {
    find(model, fetch, Freshness::Newest, observer)
}

/// The files of `model` if all that a run needs is on this machine.
pub fn cached(model: &ModelRef, hub: &Hub) -> Option<ModelFiles> {
    let hub = Hub {
        offline: true,
        ..hub.clone()
    };
    let fetch = Fetch {
        hub,
        ..Fetch::default()
    };
    locate(model, &fetch, &mut |_: &Event| Flow::Continue).ok()
}

/// Returns true if all files that a run with a known version needs are on this machine.
pub fn is_cached(spec: &'static ModelSpec, hub: &Hub) -> bool {
    cached(&ModelRef::Known(spec), hub).is_some()
}

/// Ids of the repositories that the cache may have for a known model.
pub(super) fn repository_ids(model: &ModelRef) -> Vec<String> {
    let ModelRef::Known(spec) = model else {
        return Vec::new();
    };
    let candidates = candidates_of_spec(spec).into_iter();
    let mut ids: Vec<String> = candidates
        .map(|candidate| candidate.repository.id)
        .collect();
    ids.dedup();
    ids
}

/// A snapshot of a repository with at least one file of each list, from the cache or the hub. Of
/// each list, 16-bit variants come last.
pub(super) fn locate_files(
    repository: &Repository,
    lists: &[Vec<&str>],
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let locked = match &fetch.locked {
        Some(lock) => lock.repository(&repository.display_name())?,
        None => repository.clone(),
    };
    let cache = fetch.hub.cache()?;
    let is_complete = |snapshot: &PathBuf| {
        let has_one = |list: &Vec<&str>| list.iter().any(|path| snapshot.join(path).is_file());
        lists.iter().all(has_one)
    };
    let snapshot = RepoCache::new(cache, &repository.id).find_snapshot(&locked.revision);
    if let Some(snapshot) = snapshot.filter(is_complete) {
        return Ok(snapshot);
    }
    if fetch.hub.offline {
        let wanted = lists.last().and_then(|list| list.first());
        let (file, id) = (wanted.unwrap_or(&"model"), &repository.id);
        return Err(offline_error(cache, &format!("`{file}` of `{id}`"), id));
    }
    let download = match Download::begin(&locked, &fetch.hub, observer)? {
        Begun::Ready(download) => download,
        Begun::NoRevision(error) => return Err(error),
    };
    let mut files = Vec::new();
    for list in lists {
        let mut found = list.iter().filter_map(|path| download.find(path));
        let chosen = if fetch.half {
            found.next_back()
        } else {
            found.next()
        };
        files.push(match chosen {
            Some(listed) => listed.clone(),
            None => require(&download, list[0])?,
        });
    }
    files.retain(|listed| !download.has(listed));
    download.announce(&files, None, observer)?;
    download.finish(files, observer)
}

fn find(
    model: &ModelRef,
    fetch: &Fetch,
    freshness: Freshness,
    observer: &mut dyn Observer,
) -> Result<ModelFiles> {
    match model {
        ModelRef::Folder(folder) => {
            let name = folder
                .canonicalize()
                .ok()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            let name = name.unwrap_or_else(|| "model".to_owned());
            let origin = folder.display().to_string();
            Ok(ModelFiles::folder(&name, &origin, folder.clone()))
        }
        ModelRef::File(path) => ModelFiles::file(path),
        ModelRef::Known(spec) if spec.repo.is_none() => {
            Ok(ModelFiles::embedded(DEMO_NAME, DEMO_FILES))
        }
        ModelRef::Known(spec) => find_known(spec, fetch, freshness, observer),
        ModelRef::Repo { id, revision } => {
            let repository = Repository::new(id, revision);
            let name = repository.display_name();
            let lookup = Lookup {
                name: &name,
                license: None,
                candidates: match locked_candidate(&name, fetch)? {
                    Some(locked) => vec![locked],
                    None => candidates_of_repository(&repository),
                },
                fetch,
                freshness,
            };
            let (snapshot, id) = lookup.find_snapshot(observer)?;
            let name = id.rsplit('/').next().unwrap_or(&id);
            let origin = Repository::new(&id, revision).display_name();
            Ok(ModelFiles::folder(name, &origin, snapshot))
        }
    }
}

fn find_known(
    spec: &ModelSpec,
    fetch: &Fetch,
    freshness: Freshness,
    observer: &mut dyn Observer,
) -> Result<ModelFiles> {
    let unet = spec
        .unet
        .as_ref()
        .filter(|_| fetch.without_weights_of.is_none());
    let mut fetch = fetch.clone();
    if unet.is_some() {
        fetch.without_weights_of = Some(Component::Unet);
    }
    let lookup = Lookup {
        name: &spec.name,
        license: Some(&spec.license),
        candidates: match locked_candidate(&spec.name, &fetch)? {
            Some(locked) => vec![locked],
            None => candidates_of_spec(spec),
        },
        fetch: &fetch,
        freshness,
    };
    let (snapshot, _) = lookup.find_snapshot(observer)?;
    let files = ModelFiles::folder(&spec.name, &spec.name, snapshot);
    let Some(unet) = unet else {
        return Ok(files);
    };
    fetch.locked = None;
    let repository = Repository::new(&unet.repo, &unet.revision);
    let snapshot = locate_files(&repository, &[vec![&unet.file]], &fetch, observer)?;
    let [path, ..] = Component::Unet.weights();
    Ok(files.with_override(path, snapshot.join(&unet.file)))
}

/// One possible source of a model.
#[derive(Clone, Debug)]
struct Candidate {
    repository: Repository,
    /// Warning for the user if this source is used.
    notice: Option<String>,
    /// True if the hub is asked too, false for the cache alone.
    on_hub: bool,
    /// True if `main` may replace a revision that the hub has lost and that the user has not named.
    or_main: bool,
}

impl Candidate {
    /// A source in the cache or on the hub.
    fn on_hub(id: &str, revision: &str) -> Self {
        Self {
            repository: Repository::new(id, revision),
            notice: None,
            on_hub: true,
            or_main: false,
        }
    }

    /// A source in the cache alone.
    fn in_cache(id: &str, revision: &str, notice: Option<String>) -> Self {
        Self {
            notice,
            on_hub: false,
            ..Self::on_hub(id, revision)
        }
    }
}

/// The only source that a lock file allows.
fn locked_candidate(name: &str, fetch: &Fetch) -> Result<Option<Candidate>> {
    let Some(lock) = &fetch.locked else {
        return Ok(None);
    };
    let Repository { id, revision } = lock.repository(name)?;
    Ok(Some(Candidate::on_hub(&id, &revision)))
}

/// Sources of a known model: its repository at the pinned revision, and its mirror; from the cache
/// also `main`, or the repository under its old name.
fn candidates_of_spec(spec: &ModelSpec) -> Vec<Candidate> {
    let pinned = spec.repo.iter().map(|id| Candidate {
        or_main: spec.revision != "main",
        ..Candidate::on_hub(id, &spec.revision)
    });
    let mirror = spec.mirror.iter().map(|id| Candidate::on_hub(id, "main"));
    let mut candidates: Vec<Candidate> = pinned.chain(mirror).collect();
    if let Some(id) = &spec.repo {
        if spec.revision != "main" {
            let notice = format!(
                "the cached `main` of `{id}` serves instead of the pinned {}; `sdgen models pull {}` fetches that",
                short(&spec.revision),
                spec.name
            );
            candidates.push(Candidate::in_cache(id, "main", Some(notice)));
        }
        candidates.extend(old_names(id, "main"));
    }
    candidates
}

/// Sources of a repository.
fn candidates_of_repository(repository: &Repository) -> Vec<Candidate> {
    let Repository { id, revision } = repository;
    let moved = MOVES
        .iter()
        .find(|entry| entry.from.eq_ignore_ascii_case(id));
    let Some(Move { to, .. }) = moved else {
        let own = Candidate::on_hub(id, revision);
        return std::iter::once(own)
            .chain(old_names(id, revision))
            .collect();
    };
    let notice =
        format!("`{id}` was removed from the hub; `{to}` has its files and is used instead");
    vec![
        Candidate::in_cache(id, revision, None),
        Candidate {
            notice: Some(notice),
            ..Candidate::on_hub(to, revision)
        },
    ]
}

/// A repository in the cache under names that it had on the hub before.
fn old_names(id: &str, revision: &str) -> impl Iterator<Item = Candidate> {
    let moved = MOVES.iter().filter(move |entry| entry.to == id);
    moved.map(move |Move { from, .. }| {
        let notice = format!("the cache has `{id}` under its old name `{from}`, which is used");
        Candidate::in_cache(from, revision, Some(notice))
    })
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// The lookup of one model in repositories.
struct Lookup<'a> {
    /// Name that the user gave.
    name: &'a str,
    license: Option<&'a str>,
    candidates: Vec<Candidate>,
    fetch: &'a Fetch,
    freshness: Freshness,
}

impl Lookup<'_> {
    /// The snapshot of the first candidate that the cache or the hub has, and its repository's id.
    fn find_snapshot(&self, observer: &mut dyn Observer) -> Result<(PathBuf, String)> {
        let cache = self.fetch.hub.cache()?;
        if self.freshness == Freshness::Cached
            && let Some((snapshot, candidate)) = self.find_cached(cache)
        {
            warn(candidate.notice.clone(), observer)?;
            return Ok((snapshot, candidate.repository.id.clone()));
        }
        if self.fetch.hub.offline {
            return Err(self.offline_error(cache));
        }
        let mut first_error = None;
        let on_hub: Vec<&Candidate> = self.candidates.iter().filter(|one| one.on_hub).collect();
        for candidate in &on_hub {
            warn(candidate.notice.clone(), observer)?;
            match self.download(candidate, observer) {
                Err(error) if matches!(error.kind(), Kind::ModelNotFound | Kind::Network) => {
                    if on_hub.len() > 1 {
                        let message = format!("`{}`: {error}", candidate.repository.id);
                        warn(Some(message), observer)?;
                    }
                    first_error.get_or_insert(error);
                }
                result => return Ok((result?, candidate.repository.id.clone())),
            }
        }
        Err(first_error.unwrap_or_else(|| Error::internal("a model without a source")))
    }

    /// The first candidate that is complete in the cache.
    fn find_cached(&self, cache: &Path) -> Option<(PathBuf, &Candidate)> {
        self.candidates.iter().find_map(|candidate| {
            let Repository { id, revision } = &candidate.repository;
            let snapshot = RepoCache::new(cache, id).find_snapshot(revision)?;
            let files = ModelFiles::folder("", "", snapshot.clone());
            let missing = missing_file(&files, self.fetch.without_weights_of);
            missing.is_none().then_some((snapshot, candidate))
        })
    }

    /// Downloads a candidate; `main` replaces a pinned revision that the repository has lost, with a
    /// warning.
    fn download(&self, candidate: &Candidate, observer: &mut dyn Observer) -> Result<PathBuf> {
        let hub = &self.fetch.hub;
        let Repository { id, revision } = &candidate.repository;
        match Download::begin(&candidate.repository, hub, observer)? {
            Begun::Ready(download) => return self.fetch_files(download, id, observer),
            Begun::NoRevision(error) if !candidate.or_main => return Err(error),
            Begun::NoRevision(_) => {}
        }
        let revision = short(revision);
        let message = format!("`{id}` has no revision {revision} any more; its `main` is used");
        warn(Some(message), observer)?;
        match Download::begin(&Repository::new(id, "main"), hub, observer)? {
            Begun::Ready(download) => self.fetch_files(download, id, observer),
            Begun::NoRevision(error) => Err(error),
        }
    }

    /// Downloads the files that a run needs: the index, which names the parts, then the others.
    fn fetch_files(
        &self,
        download: Download,
        id: &str,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        download.fetch(vec![require(&download, "model_index.json")?], observer)?;
        let snapshot = ModelFiles::folder("", id, download.snapshot().to_owned());
        let parts = parts_of(&snapshot);
        let mut files: Vec<ListedFile> = config_files(&parts)
            .iter()
            .map(|path| require(&download, path))
            .collect::<Result<_>>()?;
        // The model card names a license that is not known otherwise.
        let card = self.license.is_none().then(|| CARD.to_owned());
        let optional = optional_files().into_iter().chain(card);
        files.extend(optional.filter_map(|path| download.find(&path).cloned()));
        for part in parts {
            if self.fetch.without_weights_of != Some(part) {
                files.extend(self.weights_files(&download, &snapshot, part, observer)?);
            }
        }
        files.retain(|listed| !download.has(listed));
        download.announce(&files, self.license, observer)?;
        download.finish(files, observer)
    }

    /// The weights of a part; of weights in shards, the index is downloaded first.
    fn weights_files(
        &self,
        download: &Download,
        snapshot: &ModelFiles,
        part: Component,
        observer: &mut dyn Observer,
    ) -> Result<Vec<ListedFile>> {
        let on_hub = |name: &str| download.find(name).is_some();
        let Some(name) = weights_file(part, self.fetch.half, on_hub) else {
            return Ok(vec![require(download, &part.weights()[0])?]);
        };
        if name.ends_with(".json") {
            download.fetch(vec![require(download, &name)?], observer)?;
        }
        let names = snapshot.weight_files(&name)?;
        names.iter().map(|name| require(download, name)).collect()
    }

    fn offline_error(&self, cache: &Path) -> Error {
        let missing = self.candidates.iter().find_map(|candidate| {
            let Repository { id, revision } = &candidate.repository;
            let snapshot = RepoCache::new(cache, id).find_snapshot(revision)?;
            let files = ModelFiles::folder("", "", snapshot);
            missing_file(&files, self.fetch.without_weights_of)
        });
        let what = match missing {
            Some(file) => format!("`{file}` of `{}`", self.name),
            None => format!("`{}`", self.name),
        };
        offline_error(cache, &what, self.name)
    }
}

/// A file that the repository must have.
fn require(download: &Download, path: &str) -> Result<ListedFile> {
    match download.find(path) {
        Some(listed) => Ok(listed.clone()),
        None => Err(download
            .missing_error(path)
            .hint("expected a model in diffusers' layout with safetensors weights")),
    }
}

/// Error about files that are not in the cache when the run is offline.
fn offline_error(cache: &Path, what: &str, name: &str) -> Error {
    let message = format!("{what} is not in the cache, and this run is offline");
    Error::new(Kind::ModelNotFound, message)
        .hint(format!(
            "`sdgen models pull {name}` downloads it (without `--offline` and HF_HUB_OFFLINE)"
        ))
        .hint(format!(
            "the cache is `{}`; HF_HOME or HF_HUB_CACHE chooses another",
            cache.display()
        ))
}

fn warn(message: Option<String>, observer: &mut dyn Observer) -> Result<()> {
    match message {
        Some(message) => tell(observer, &Event::Warning { message }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::models;

    #[test]
    fn no_known_model_is_looked_for_where_it_was_removed() {
        let table: MoveTable = toml::from_str(include_str!("moved.toml")).unwrap();
        assert!(table.moved.len() >= 7);
        for entry in &table.moved {
            assert!(ModelRef::parse(&entry.from).is_ok() && ModelRef::parse(&entry.to).is_ok());
            assert!(
                !table.moved.iter().any(|other| other.from == entry.to),
                "{}",
                entry.to
            );
            assert!(
                !models()
                    .iter()
                    .any(|spec| spec.repo.as_ref() == Some(&entry.from)),
                "{}",
                entry.from
            );
        }
    }
}
