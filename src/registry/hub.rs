//! Finds a model's files: a folder as it stands, or a repository through the Hugging Face cache and hub.

use std::path::{Path, PathBuf};

use hf_hub::Repo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};

use super::cache::{self, Source};
use super::transfer::{Transfer, interrupted};
use super::{Component, ModelFiles, ModelRef, ModelSpec};
use crate::config::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer};
use crate::named::Named;

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

/// Whether everything that a render with this model needs is in the cache.
pub fn is_cached(spec: &ModelSpec, hub: &Hub) -> bool {
    hub.cache.as_deref().is_some_and(|cache| sources(spec).iter().any(|s| complete(cache, s).is_some()))
}

/// The repository of a known model, then its mirror.
fn sources(spec: &ModelSpec) -> Vec<Source> {
    let main = Source { id: spec.repo.clone(), revision: spec.revision.clone() };
    let mirror = spec.mirror.iter().map(|id| Source { id: id.clone(), revision: "main".to_owned() });
    std::iter::once(main).chain(mirror).collect()
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

/// Fetches what a render needs, small files first: a cache that has the weights has everything.
fn download(source: &Source, cache: &Path, fetch: &Fetch, observer: &mut dyn Observer) -> Result<PathBuf> {
    let api = client(&fetch.hub, cache)?;
    let explain = |file: &str, e: &ApiError| explained(&fetch.hub, source, file, e);
    let branch = Repo::with_revision(source.id.clone(), hf_hub::RepoType::Model, source.revision.clone());
    let info = {
        let repo = api.repo(branch.clone());
        Transfer::watch(observer, &source.id, move |_| repo.info())?.map_err(|e| explain("", &e))?
    };
    let has = |name: &str| info.siblings.iter().any(|sibling| sibling.rfilename == name);
    let snapshot = cache::folder(cache, &source.id).join("snapshots").join(&info.sha);
    let mut get = |name: &str| -> Result<()> {
        if snapshot.join(name).is_file() {
            return Ok(());
        }
        let commit = Repo::with_revision(source.id.clone(), hf_hub::RepoType::Model, info.sha.clone());
        let (repo, file) = (api.repo(commit), name.to_owned());
        let fetched =
            Transfer::watch(observer, name, move |progress| repo.download_with_progress(&file, progress))?;
        fetched.map(|_| ()).map_err(|e| explain(name, &e))
    };
    for name in cache::required() {
        if !has(&name) {
            return Err(incomplete(source, &name));
        }
        get(&name)?;
    }
    cache::OPTIONAL.into_iter().filter(|name| has(name)).try_for_each(&mut get)?;
    for (component, _) in Component::ALL {
        let name = cache::weights(*component, fetch.half, has)
            .ok_or_else(|| incomplete(source, &component.weights()[0]))?;
        get(&name)?;
        for shard in shards_of(*component, &snapshot, &name)? {
            get(&shard)?;
        }
    }
    // The ref comes last: a branch in the cache is a branch that was fetched.
    let refs = hf_hub::Cache::new(cache.to_owned()).repo(branch);
    refs.create_ref(&info.sha).map_err(|e| {
        Error::new(Kind::Output, format!("cannot write to the model cache `{}`", cache.display())).source(e)
    })?;
    Ok(snapshot)
}

/// The shards behind an index; none for whole weights.
fn shards_of(component: Component, snapshot: &Path, name: &str) -> Result<Vec<String>> {
    if !name.ends_with(".json") {
        return Ok(Vec::new());
    }
    let files = ModelFiles::folder("", "", snapshot.to_owned());
    cache::shards(component, &files.text(name)?).ok_or_else(|| {
        Error::new(Kind::ModelFile, format!("`{}` is no index of sharded weights", files.display(name)))
    })
}

fn client(hub: &Hub, cache: &Path) -> Result<Api> {
    // Everything is passed in: the crate's own defaults would read the environment.
    ApiBuilder::from_cache(hf_hub::Cache::new(cache.to_owned()))
        .with_endpoint(hub.endpoint.clone())
        .with_token(hub.token.as_ref().map(|token| token.reveal().to_owned()))
        .with_user_agent("sdgen", env!("CARGO_PKG_VERSION"))
        .with_progress(false)
        .with_retries(3)
        .build()
        .map_err(|e| Error::internal("cannot make a client for the hub").source(e))
}

fn incomplete(source: &Source, file: &str) -> Error {
    Error::new(Kind::ModelNotFound, format!("repository `{}` has no `{file}`", source.id))
        .hint("expected a model in diffusers' layout with safetensors weights")
}

/// What a failure of the hub means for the user. An anonymous client gets 401 for a mistyped, a removed and a
/// private repository alike, so all three are named.
fn explained(hub: &Hub, source: &Source, file: &str, error: &ApiError) -> Error {
    let Source { id, revision } = source;
    let what =
        if file.is_empty() { format!("`{id}@{revision}`") } else { format!("`{file}` of `{id}@{revision}`") };
    let page = format!("{}/{id}", hub.endpoint);
    let answered = |kind: Kind, said: &str| Error::new(kind, format!("{}: {said} {what}", hub.endpoint));
    match status(error) {
        Some(404) => answered(Kind::ModelNotFound, "there is no")
            .hint("the repository or its revision is mistyped, or it was removed"),
        Some(401) if hub.token.is_none() => answered(Kind::ModelNotFound, "no anonymous access to")
            .hint("the repository is mistyped, was removed, is private, or is gated")
            .hint(format!("if it is private or gated: open {page}, accept its terms, and set HF_TOKEN")),
        Some(401) => answered(Kind::Network, "the token was refused for").hint(
            "is HF_TOKEN (or the token file) still valid? the repository may also be mistyped or removed",
        ),
        Some(403) => answered(Kind::Network, "access refused to").hint(format!(
            "the repository is gated or private: open {page}, accept its terms, and set HF_TOKEN"
        )),
        Some(status) => answered(Kind::Network, &format!("status {status} for"))
            .hint("the hub may be busy or down; try again later, or set HF_ENDPOINT to a mirror"),
        None => {
            let message = format!("cannot fetch {what} from {}: {error}", hub.endpoint);
            match disk(error) {
                true => Error::new(Kind::Output, message)
                    .hint("is the disk full, or the model cache not writable? HF_HOME chooses another place"),
                false => Error::new(Kind::Network, message)
                    .hint("check the connection; what arrived is kept and the download resumes"),
            }
        }
    }
}

/// What went wrong in the end, whatever was tried before.
fn last(error: &ApiError) -> &ApiError {
    if let ApiError::TooManyRetries(error) = error { last(error) } else { error }
}

fn status(error: &ApiError) -> Option<u16> {
    if let ApiError::RequestError(request) = last(error)
        && let ureq::Error::StatusCode(status) = request.as_ref()
    {
        return Some(*status);
    }
    None
}

/// Whether the fault is this machine's disk and not the network.
fn disk(error: &ApiError) -> bool {
    use std::io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let here = [NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull];
    matches!(last(error), ApiError::IoError(e) if here.contains(&e.kind()))
}
