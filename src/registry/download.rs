//! Fetches what a render needs of one repository into the shared cache, and says what a refusal means.

use std::path::{Path, PathBuf};

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Repo, RepoType};

use super::cache::{self, Source};
use super::hub::Fetch;
use super::transfer::Transfer;
use super::{Component, ModelFiles};
use crate::config::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;

/// Fetches a model's files, small ones first: a cache that has the weights has everything. Returns the snapshot.
pub(super) fn download(
    source: &Source,
    cache: &Path,
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let download = Download::begin(source, cache, &fetch.hub, observer)?;
    download.require("model_index.json", observer)?;
    let parts = cache::parts(&download.files());
    for name in cache::required(&parts) {
        download.require(&name, observer)?;
    }
    for name in cache::optional().iter().filter(|name| download.has(name)) {
        download.get(name, observer)?;
    }
    for part in parts {
        download.weights(part, fetch.half, observer)?;
    }
    download.finish(cache)
}

/// Fetches the first file that the repository has of each list. Returns the snapshot.
pub(super) fn pick(
    source: &Source,
    lists: &[Vec<&str>],
    cache: &Path,
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let download = Download::begin(source, cache, &fetch.hub, observer)?;
    for list in lists {
        // The variants in 16 bits stand behind the full ones.
        let mut names = list.iter().filter(|name| download.has(name));
        let name = if fetch.half { names.next_back() } else { names.next() };
        download.get(name.ok_or_else(|| incomplete(source, list[0]))?, observer)?;
    }
    download.finish(cache)
}

/// One repository at one commit, on its way into the cache.
struct Download<'a> {
    source: &'a Source,
    hub: &'a Hub,
    api: Api,
    info: RepoInfo,
    snapshot: PathBuf,
}

impl<'a> Download<'a> {
    /// Asks which commit the revision is, and which files it has.
    fn begin(source: &'a Source, cache: &Path, hub: &'a Hub, observer: &mut dyn Observer) -> Result<Self> {
        let api = client(hub, cache)?;
        let branch = Repo::with_revision(source.id.clone(), RepoType::Model, source.revision.clone());
        let repo = api.repo(branch);
        let info = Transfer::watch(observer, &source.id, move |_| repo.info())?;
        let info = info.map_err(|e| explained(hub, source, "", &e))?;
        if !cache::is_commit(&info.sha) {
            return Err(Error::new(Kind::Network, format!("{}: no hub answers there", hub.endpoint)));
        }
        let snapshot = cache::folder(cache, &source.id).join("snapshots").join(&info.sha);
        Ok(Self { source, hub, api, info, snapshot })
    }

    /// The snapshot, once everything is there. The ref comes last: a branch in the cache is a branch that was fetched.
    fn finish(self, cache: &Path) -> Result<PathBuf> {
        let branch =
            Repo::with_revision(self.source.id.clone(), RepoType::Model, self.source.revision.clone());
        hf_hub::Cache::new(cache.to_owned()).repo(branch).create_ref(&self.info.sha).map_err(|e| {
            Error::new(Kind::Output, format!("cannot write to the model cache `{}`", cache.display()))
                .source(e)
        })?;
        Ok(self.snapshot)
    }

    /// What has arrived.
    fn files(&self) -> ModelFiles {
        ModelFiles::folder("", &self.source.id, self.snapshot.clone())
    }

    /// Whether the repository has a file.
    fn has(&self, name: &str) -> bool {
        self.info.siblings.iter().any(|sibling| sibling.rfilename == name)
    }

    /// Fetches a file unless it is there.
    fn get(&self, name: &str, observer: &mut dyn Observer) -> Result<()> {
        if self.snapshot.join(name).is_file() {
            return Ok(());
        }
        let commit = Repo::with_revision(self.source.id.clone(), RepoType::Model, self.info.sha.clone());
        let (repo, file) = (self.api.repo(commit), name.to_owned());
        let fetched =
            Transfer::watch(observer, name, move |progress| repo.download_with_progress(&file, progress))?;
        fetched.map(|_| ()).map_err(|e| explained(self.hub, self.source, name, &e))
    }

    /// Fetches a file that a model cannot do without.
    fn require(&self, name: &str, observer: &mut dyn Observer) -> Result<()> {
        if self.has(name) { self.get(name, observer) } else { Err(incomplete(self.source, name)) }
    }

    /// Fetches the weights of a part, with the shards behind an index.
    fn weights(&self, part: Component, half: bool, observer: &mut dyn Observer) -> Result<()> {
        let name = cache::weights(part, half, |name| self.has(name))
            .ok_or_else(|| incomplete(self.source, &part.weights()[0]))?;
        self.get(&name, observer)?;
        if !name.ends_with(".json") {
            return Ok(());
        }
        let files = self.files();
        let shards = cache::shards(part, &files.text(&name)?).ok_or_else(|| {
            Error::new(Kind::ModelFile, format!("`{}` is no index of sharded weights", files.display(&name)))
        })?;
        shards.iter().try_for_each(|shard| self.require(shard, observer))
    }
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
        None => unanswered(error, format!("cannot fetch {what} from {}: {error}", hub.endpoint)),
    }
}

/// A failure that is no answer of the hub: the way to it, this machine's disk, or another process.
fn unanswered(error: &ApiError, message: String) -> Error {
    if matches!(last(error), ApiError::LockAcquisition(_)) {
        return Error::new(Kind::Network, message)
            .hint("another process is downloading the same file; run again when it is done");
    }
    if disk(error) {
        return Error::new(Kind::Output, message)
            .hint("is the disk full, or the model cache not writable? HF_HOME chooses another place");
    }
    Error::new(Kind::Network, message)
        .hint("check the connection; what arrived is kept and the download resumes")
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
