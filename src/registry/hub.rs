//! Finds a model's files: a folder as it stands, or a repository through the Hugging Face cache and hub.

use std::path::{Path, PathBuf};

use super::cache::{self, Source};
use super::demo;
use super::download::download;
use super::transfer::interrupted;
use super::{ModelFiles, ModelRef, ModelSpec};
use crate::config::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer};

/// How to fetch.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// Where from and where to.
    pub hub: Hub,
    /// Prefer 16-bit variants of the weights.
    pub half: bool,
}

/// The files of `model`: from its folder, from the cache, or downloaded into the cache.
///
/// # Errors
/// The model is nowhere, access is refused, or the network fails.
pub fn locate(model: &ModelRef, fetch: &Fetch, observer: &mut dyn Observer) -> Result<ModelFiles> {
    match model {
        ModelRef::Folder(folder) => {
            let name =
                folder.canonicalize().ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
            let origin = folder.display().to_string();
            Ok(ModelFiles::folder(&name.unwrap_or_else(|| "model".to_owned()), &origin, folder.clone()))
        }
        ModelRef::File(path) => ModelFiles::file(path),
        ModelRef::Known(spec) if spec.repo.is_none() => Ok(ModelFiles::embedded(demo::NAME, demo::FILES)),
        ModelRef::Known(spec) => {
            let files = repository(&sources(spec), fetch, observer)?;
            Ok(ModelFiles::folder(&spec.name, &spec.name, files))
        }
        ModelRef::Repo { id, revision } => {
            let source = Source { id: id.clone(), revision: revision.clone() };
            let files = repository(std::slice::from_ref(&source), fetch, observer)?;
            let name = id.rsplit('/').next().unwrap_or(id);
            let origin = if revision == "main" { id.clone() } else { format!("{id}@{revision}") };
            Ok(ModelFiles::folder(name, &origin, files))
        }
    }
}

/// Whether everything that a render with this model needs is on this machine.
pub fn is_cached(spec: &ModelSpec, hub: &Hub) -> bool {
    spec.repo.is_none()
        || hub
            .cache
            .as_deref()
            .is_some_and(|cache| sources(spec).iter().any(|s| complete(cache, s).is_some()))
}

/// The repository of a known model, then its mirror.
fn sources(spec: &ModelSpec) -> Vec<Source> {
    let main = spec.repo.iter().map(|id| Source { id: id.clone(), revision: spec.revision.clone() });
    let mirror = spec.mirror.iter().map(|id| Source { id: id.clone(), revision: "main".to_owned() });
    main.chain(mirror).collect()
}

/// A snapshot in the cache that lacks nothing.
fn complete(cache: &Path, source: &Source) -> Option<PathBuf> {
    let snapshot = cache::snapshot(cache, source)?;
    let files = ModelFiles::folder("", "", snapshot.clone());
    cache::missing(&files).is_none().then_some(snapshot)
}

/// The snapshot of the first source that the cache or the hub has.
fn repository(sources: &[Source], fetch: &Fetch, observer: &mut dyn Observer) -> Result<PathBuf> {
    let cache = fetch.hub.cache.as_deref().ok_or_else(|| {
        Error::new(Kind::Output, "there is no home folder to keep models in")
            .hint("set HF_HOME to a folder, or give the model as a folder")
    })?;
    if let Some(snapshot) = sources.iter().find_map(|source| complete(cache, source)) {
        return Ok(snapshot);
    }
    if fetch.hub.offline {
        return Err(offline(cache, &sources[0]));
    }
    let mut first_failure = None;
    for source in sources {
        match download(source, cache, fetch, observer) {
            Err(error) if matches!(error.kind(), Kind::ModelNotFound | Kind::Network) => {
                let message = format!("`{}`: {error}", source.id);
                if sources.len() > 1 && observer.on(&Event::Warning { message }) == Flow::Cancel {
                    return Err(interrupted());
                }
                first_failure.get_or_insert(error);
            }
            other => return other,
        }
    }
    Err(first_failure.unwrap_or_else(|| Error::internal("a model without a source")))
}

fn offline(cache: &Path, source: &Source) -> Error {
    let lacks = match cache::snapshot(cache, source) {
        Some(snapshot) => cache::missing(&ModelFiles::folder("", "", snapshot)),
        None => None,
    };
    let what = match lacks {
        Some(file) => format!("`{file}` of `{}` is not in the cache", source.id),
        None => format!("`{}` is not in the cache", source.id),
    };
    Error::new(Kind::ModelNotFound, format!("{what}, and this run is offline"))
        .hint("run once without `--offline` (and without HF_HUB_OFFLINE) to download it")
        .hint(format!("the cache is `{}`; HF_HOME or HF_HUB_CACHE chooses another", cache.display()))
}
