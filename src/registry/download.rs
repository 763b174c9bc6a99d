//! Download of the files that a render needs from one repository into the shared cache: their
//! selection, their order, and the check of disk space.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::{Source, Store};
use super::crew::{pass, work};
use super::hub::Fetch;
use super::license::CARD;
use super::remote::{Listed, Listing, Remote};
use super::transfer::{Halt, Route, disk, persist};
use super::{Component, ModelFiles, needs, shards};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};

/// Room that a download leaves on the disk, in bytes.
const SPARE: u64 = 64 << 20;

/// Result of a download.
pub(super) enum Outcome {
    /// The snapshot has all that a render needs.
    Done(PathBuf),
    /// The repository is there and the revision is not.
    NoRevision(Error),
}

/// Fetches a model's files, `license` being what is known of its terms.
pub(super) fn download(
    source: &Source,
    license: Option<&str>,
    fetch: &Fetch,
    cache: &Path,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let download = match Download::begin(source, fetch, cache, observer)? {
        Ok(download) => download,
        Err(error) => return Ok(Outcome::NoRevision(error)),
    };
    download.small(&["model_index.json".to_owned()], observer)?;
    let wanted = download.wanted(license.is_none(), fetch, observer)?;
    download.announce(&wanted, license, observer)?;
    download.finish(wanted, observer).map(Outcome::Done)
}

/// Fetches the first file that the repository has of each list. Returns the snapshot.
pub(super) fn pick(
    source: &Source,
    lists: &[Vec<&str>],
    fetch: &Fetch,
    cache: &Path,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let download = Download::begin(source, fetch, cache, observer)??;
    let mut wanted = Vec::new();
    for list in lists {
        // The variants in 16 bits stand behind the full ones.
        let mut found = list.iter().filter_map(|path| download.find(path));
        let listed = if fetch.half {
            found.next_back()
        } else {
            found.next()
        };
        wanted.push(
            listed
                .cloned()
                .map_or_else(|| download.require(list[0]), Ok)?,
        );
    }
    wanted.retain(|listed| !download.route.has(listed));
    download.announce(&wanted, None, observer)?;
    download.finish(wanted, observer)
}

/// A client, and what the repository holds; the inner error says that it has no such revision.
type Answer = Result<(Remote, Listing), Error>;

/// Asks what the repository holds.
fn list(source: &Source, fetch: &Fetch, observer: &mut dyn Observer) -> Result<Answer> {
    let idle = silence(source);
    let (hub, source) = (fetch.hub.clone(), source.clone());
    let mut answers = work(vec![source], idle, observer, move |source, teller| {
        let remote = Remote::new(&hub);
        match persist(&source.id, teller, || remote.list(&source)) {
            Ok(listing) => Ok(Ok((remote, listing))),
            Err(Halt::Final(error)) => Err(error),
            Err(Halt::Hub(failure)) => {
                let error = failure.explained(&remote, &source, "");
                if failure.is_unknown_revision() {
                    Ok(Err(error))
                } else {
                    Err(error)
                }
            }
        }
    })?;
    answers
        .pop()
        .ok_or_else(|| Error::internal("no answer and no failure"))
}

/// Event for the time while the hub does not answer.
fn silence(source: &Source) -> Event {
    Event::Fetch {
        file: source.id.clone(),
        done: 0,
        total: 0,
    }
}

/// One repository at one commit, on its way into the cache.
struct Download {
    route: Arc<Route>,
    listing: Listing,
    snapshot: PathBuf,
}

impl Download {
    /// Asks what the repository holds; the inner error says that it has no such revision.
    fn begin(
        source: &Source,
        fetch: &Fetch,
        cache: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Result<Self>> {
        let store = Store::new(cache, &source.id).without_symlinks(fetch.hub.no_symlinks);
        let (remote, listing) = match list(source, fetch, observer)? {
            Ok(listed) => listed,
            Err(error) => return Ok(Err(error)),
        };
        let snapshot = store.snapshot(&listing.commit);
        let route = Route {
            remote,
            source: source.clone(),
            commit: listing.commit.clone(),
            store,
        };
        Ok(Ok(Self {
            route: Arc::new(route),
            listing,
            snapshot,
        }))
    }

    /// Fetches the files and returns the snapshot. The ref comes last: a branch in the cache is a
    /// branch that was fetched.
    fn finish(self, wanted: Vec<Listed>, observer: &mut dyn Observer) -> Result<PathBuf> {
        self.all(wanted, observer)?;
        let route = &self.route;
        let written = route.store.set_ref(&route.source.revision, &route.commit);
        written.map_err(|e| disk(&route.store.root(), e))?;
        Ok(self.snapshot)
    }

    /// Files that have been downloaded so far.
    fn files(&self) -> ModelFiles {
        ModelFiles::folder("", &self.route.source.id, self.snapshot.clone())
    }

    /// A file of the repository.
    fn find(&self, path: &str) -> Option<&Listed> {
        self.listing.files.iter().find(|listed| listed.path == path)
    }

    /// A file that a model cannot do without.
    fn require(&self, path: &str) -> Result<Listed> {
        self.find(path).cloned().ok_or_else(|| {
            let id = &self.route.source.id;
            Error::new(
                Kind::ModelNotFound,
                format!("repository `{id}` has no `{path}`"),
            )
            .hint("expected a model in diffusers' layout with safetensors weights")
        })
    }

    /// Fetches files that say which others are needed.
    fn small(&self, paths: &[String], observer: &mut dyn Observer) -> Result<()> {
        let files = paths
            .iter()
            .map(|path| self.require(path))
            .collect::<Result<_>>()?;
        self.all(files, observer)
    }

    /// Every file that a render needs and the snapshot lacks, with the model card if the licence is
    /// not known otherwise.
    fn wanted(
        &self,
        with_card: bool,
        fetch: &Fetch,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Listed>> {
        let parts = needs::parts(&self.files());
        let required = needs::required(&parts)
            .into_iter()
            .map(|path| self.require(&path));
        let mut wanted: Vec<Listed> = required.collect::<Result<_>>()?;
        let card = with_card.then(|| CARD.to_owned());
        let optional = needs::optional().into_iter().chain(card);
        wanted.extend(optional.filter_map(|path| self.find(&path).cloned()));
        for part in parts
            .into_iter()
            .filter(|part| fetch.elsewhere != Some(*part))
        {
            wanted.extend(self.weights(part, fetch.half, observer)?);
        }
        wanted.retain(|listed| !self.route.has(listed));
        Ok(wanted)
    }

    /// The weights of a part, with the shards behind an index.
    fn weights(
        &self,
        part: Component,
        half: bool,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Listed>> {
        let Some(name) = needs::weights(part, half, |name| self.find(name).is_some()) else {
            return self.require(&part.weights()[0]).map(|listed| vec![listed]);
        };
        if name.ends_with(".json") {
            self.small(std::slice::from_ref(&name), observer)?;
        }
        shards::files(&self.files(), &name)?
            .iter()
            .map(|shard| self.require(shard))
            .collect()
    }

    /// Checks that the disk has room, then reports size and licence of the download.
    fn announce(
        &self,
        wanted: &[Listed],
        license: Option<&str>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let bytes = wanted.iter().map(|listed| self.route.lacks(listed)).sum();
        room(&self.snapshot, bytes)?;
        let event = Event::Download {
            model: format!("{}@{}", self.route.source.id, self.route.commit),
            files: wanted.len(),
            bytes,
            license: license.map(str::to_owned).or(self.listing.license.clone()),
        };
        pass(&event, observer)
    }

    /// Fetches files side by side, the largest first.
    fn all(&self, mut files: Vec<Listed>, observer: &mut dyn Observer) -> Result<()> {
        files.sort_by_key(|listed| std::cmp::Reverse(listed.size));
        let route = Arc::clone(&self.route);
        let idle = silence(&route.source);
        work(files, idle, observer, move |listed, teller| {
            route.fetch(listed, teller)
        })
        .map(|_| ())
    }
}

/// Bytes that are free where a folder is, or will be.
pub(super) fn free(folder: &Path) -> Option<u64> {
    let place = folder.ancestors().find(|folder| folder.is_dir())?;
    fs4::available_space(place).ok()
}

/// Checks that the disk has room for `bytes` more.
fn room(folder: &Path, bytes: u64) -> Result<()> {
    // A file system that does not report its free space is assumed to have room.
    let Some(free) = free(folder) else {
        return Ok(());
    };
    if bytes.saturating_add(SPARE) <= free {
        return Ok(());
    }
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let (needed, free) = (gigabytes(bytes), gigabytes(free));
    let message = format!(
        "{needed:.1} GB are to be fetched, and {free:.1} GB are free at `{}`",
        folder.display()
    );
    Err(Error::new(Kind::Output, message)
        .hint(
            "make room: `sdgen models du` shows what the cache holds, `sdgen models rm NAME` removes a model",
        )
        .hint("or set HF_HUB_CACHE to a folder on another disk"))
}
