//! Finds a model's files: a folder as it stands, or a repository through the Hugging Face cache and
//! hub.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use super::cache::{Source, Store};
use super::crew::pass;
use super::download::{Outcome, download, free, pick};
use super::remote::Remote;
use super::{Component, LockFile, ModelFiles, ModelRef, ModelSpec, demo, needs};
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};

/// Options of a download.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// Hub and cache to use.
    pub hub: Hub,
    /// Prefer 16-bit variants of the weights.
    pub half: bool,
    /// Lock file, whose revisions alone are allowed; [`LockFile::check`] checks the files.
    pub locked: Option<LockFile>,
    /// A part whose weights come from elsewhere.
    pub elsewhere: Option<Component>,
}

#[derive(Deserialize)]
struct Moves {
    moved: Vec<Move>,
}

/// A repository that was removed, and where its files are now.
#[derive(Deserialize)]
struct Move {
    from: String,
    to: String,
}

static MOVES: LazyLock<Vec<Move>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<Moves>(include_str!("moved.toml"))
        .map(|table| table.moved)
        .unwrap_or_default()
});

/// One source of a model.
#[derive(Clone, Debug)]
struct Offer {
    source: Source,
    /// Notice for the user if this source is used.
    notice: Option<String>,
    /// True if the hub is asked too, false for the cache alone.
    on_hub: bool,
    /// True if `main` may replace a revision that the hub has lost and that the user has not named.
    or_main: bool,
}

/// The files of `model`: from its folder, from the cache, or downloaded into the cache.
///
/// # Errors
/// The model is nowhere, access is refused, the network fails, or a lock file does not know the
/// model.
pub fn locate(model: &ModelRef, fetch: &Fetch, observer: &mut dyn Observer) -> Result<ModelFiles> {
    find(model, fetch, Wish::Any, observer)
}

/// The files of `model` as the hub has them now, as far as they are not in the cache yet.
///
/// # Errors
/// As [`locate`]; the run is offline.
pub fn pull(model: &ModelRef, fetch: &Fetch, observer: &mut dyn Observer) -> Result<ModelFiles> {
    find(model, fetch, Wish::Newest, observer)
}

/// The files of `model` if all that a render needs is on this machine.
pub fn cached(model: &ModelRef, hub: &Hub) -> Option<ModelFiles> {
    let fetch = Fetch {
        hub: Hub {
            offline: true,
            ..hub.clone()
        },
        ..Fetch::default()
    };
    find(model, &fetch, Wish::Any, &mut |_: &Event| {
        crate::event::Flow::Continue
    })
    .ok()
}

/// Asks whether the hub answers, and whether it accepts the token.
///
/// # Errors
/// No answer, or no hub.
pub fn reach(hub: &Hub) -> Result<Reach> {
    match Remote::new(hub).knock() {
        Ok(()) => Ok(Reach::Answers),
        Err(failure) if failure.is_refused_token() => Ok(Reach::RefusesToken),
        Err(failure) => Err(Error::new(
            Kind::Network,
            format!("{}: {}", hub.endpoint, failure.brief()),
        )),
    }
}

/// Answer of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The hub answers.
    Answers,
    /// The hub answers, and refuses the token.
    RefusesToken,
}

/// Bytes that are free where the cache is, or will be; nothing where the file system does not say.
pub fn free_space(hub: &Hub) -> Option<u64> {
    free(hub.cache.as_deref()?)
}

/// Every name under which the cache may have a known model's repository.
pub(super) fn names_of(model: &ModelRef) -> Vec<String> {
    let ModelRef::Known(spec) = model else {
        return Vec::new();
    };
    let mut names: Vec<String> = of_spec(spec)
        .into_iter()
        .map(|offer| offer.source.id)
        .collect();
    names.dedup();
    names
}

/// Returns true if all files that a render with a known version needs are on this machine.
pub fn is_cached(spec: &'static ModelSpec, hub: &Hub) -> bool {
    cached(&ModelRef::Known(spec), hub).is_some()
}

/// Required freshness of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Any complete copy in the cache.
    Any,
    /// The current state on the hub.
    Newest,
}

fn find(
    model: &ModelRef,
    fetch: &Fetch,
    wish: Wish,
    observer: &mut dyn Observer,
) -> Result<ModelFiles> {
    match model {
        ModelRef::Folder(folder) => {
            let name = folder
                .canonicalize()
                .ok()
                .and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
            let origin = folder.display().to_string();
            Ok(ModelFiles::folder(
                &name.unwrap_or_else(|| "model".to_owned()),
                &origin,
                folder.clone(),
            ))
        }
        ModelRef::File(path) => ModelFiles::file(path),
        ModelRef::Known(spec) if spec.repo.is_none() => {
            Ok(ModelFiles::embedded(demo::NAME, demo::FILES))
        }
        ModelRef::Known(ModelSpec {
            unet: Some(unet), ..
        }) if fetch.elsewhere.is_none() => {
            let fetch = Fetch {
                elsewhere: Some(Component::Unet),
                ..fetch.clone()
            };
            let files = find(model, &fetch, wish, observer)?;
            let fetch = Fetch {
                locked: None,
                ..fetch
            };
            let snapshot = chosen(
                &unet.repo,
                &unet.revision,
                &[vec![&unet.file]],
                &fetch,
                observer,
            )?;
            let [path, ..] = Component::Unet.weights();
            Ok(files.borrowing(path, snapshot.join(&unet.file)))
        }
        ModelRef::Known(spec) => {
            let offers = locked(&spec.name, fetch)?.unwrap_or_else(|| of_spec(spec));
            let hunt = Hunt {
                name: &spec.name,
                license: Some(&spec.license),
                offers,
                fetch,
                wish,
            };
            let (snapshot, _) = hunt.run(observer)?;
            Ok(ModelFiles::folder(&spec.name, &spec.name, snapshot))
        }
        ModelRef::Repo { id, revision } => {
            let named = origin(id, revision);
            let offers = locked(&named, fetch)?.unwrap_or_else(|| of_repository(id, revision));
            let hunt = Hunt {
                name: &named,
                license: None,
                offers,
                fetch,
                wish,
            };
            let (snapshot, id) = hunt.run(observer)?;
            let name = id.rsplit('/').next().unwrap_or(&id);
            Ok(ModelFiles::folder(name, &origin(&id, revision), snapshot))
        }
    }
}

/// A snapshot of a repository with one file of each list at least, out of the cache or off the hub.
///
/// # Errors
/// As [`locate`].
pub(super) fn chosen(
    id: &str,
    revision: &str,
    lists: &[Vec<&str>],
    fetch: &Fetch,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let source = match &fetch.locked {
        Some(lock) => lock.source(&origin(id, revision))?,
        None => Source {
            id: id.to_owned(),
            revision: revision.to_owned(),
        },
    };
    let cache = fetch.hub.cache()?;
    let there = |snapshot: &PathBuf| {
        lists
            .iter()
            .all(|list| list.iter().any(|path| snapshot.join(path).is_file()))
    };
    match Store::new(cache, id).find(&source.revision).filter(there) {
        Some(snapshot) => Ok(snapshot),
        None if fetch.hub.offline => {
            let file = lists
                .last()
                .and_then(|list| list.first())
                .unwrap_or(&"model");
            Err(absent(
                cache,
                format!("`{file}` of `{id}` is not in the cache"),
                id,
            ))
        }
        None => pick(&source, lists, fetch, cache, observer),
    }
}

/// Error about files that are not in the cache when the run is offline.
fn absent(cache: &Path, what: String, name: &str) -> Error {
    Error::new(
        Kind::ModelNotFound,
        format!("{what}, and this run is offline"),
    )
    .hint(format!(
        "`sdgen models pull {name}` downloads it (without `--offline` and HF_HUB_OFFLINE)"
    ))
    .hint(format!(
        "the cache is `{}`; HF_HOME or HF_HUB_CACHE chooses another",
        cache.display()
    ))
}

/// A repository as the user names it.
fn origin(id: &str, revision: &str) -> String {
    if revision == "main" {
        id.to_owned()
    } else {
        format!("{id}@{revision}")
    }
}

/// The only source that a lock file allows.
fn locked(name: &str, fetch: &Fetch) -> Result<Option<Vec<Offer>>> {
    let offer = |source| {
        vec![Offer {
            source,
            notice: None,
            on_hub: true,
            or_main: false,
        }]
    };
    fetch
        .locked
        .as_ref()
        .map(|lock| Ok(offer(lock.source(name)?)))
        .transpose()
}

/// Sources of a known model: its repository at the pinned revision, and its mirror; from the cache
/// also `main`, or the repository under its old name.
fn of_spec(spec: &ModelSpec) -> Vec<Offer> {
    let from_hub = |(id, revision): (&String, &str)| Offer {
        source: Source {
            id: id.clone(),
            revision: revision.to_owned(),
        },
        notice: None,
        on_hub: true,
        or_main: revision != "main",
    };
    let mirror = spec.mirror.iter().map(|id| (id, "main"));
    let hub = spec
        .repo
        .iter()
        .map(|id| (id, spec.revision.as_str()))
        .chain(mirror)
        .map(from_hub);
    let other = spec.repo.iter().filter(|_| spec.revision != "main").map(|id| Offer {
        source: Source { id: id.clone(), revision: "main".to_owned() },
        notice: Some(format!(
            "the cached `main` of `{id}` serves instead of the pinned {}; `sdgen models pull {}` fetches that",
            short(&spec.revision),
            spec.name
        )),
        on_hub: false,
        or_main: false,
    });
    let old = spec.repo.iter().flat_map(|id| old_names(id, "main"));
    hub.chain(other).chain(old).collect()
}

/// Sources of a repository.
fn of_repository(id: &str, revision: &str) -> Vec<Offer> {
    let source = |id: &str| Source {
        id: id.to_owned(),
        revision: revision.to_owned(),
    };
    let Some(to) = MOVES
        .iter()
        .find(|entry| entry.from.eq_ignore_ascii_case(id))
        .map(|entry| &entry.to)
    else {
        let itself = Offer {
            source: source(id),
            notice: None,
            on_hub: true,
            or_main: false,
        };
        return std::iter::once(itself)
            .chain(old_names(id, revision))
            .collect();
    };
    let notice =
        format!("`{id}` was removed from the hub; `{to}` has its files and is used instead");
    vec![
        Offer {
            source: source(id),
            notice: None,
            on_hub: false,
            or_main: false,
        },
        Offer {
            source: source(to),
            notice: Some(notice),
            on_hub: true,
            or_main: false,
        },
    ]
}

/// A repository in the cache under names that it had on the hub before.
fn old_names(id: &str, revision: &str) -> impl Iterator<Item = Offer> {
    MOVES
        .iter()
        .filter(move |entry| entry.to == id)
        .map(move |entry| Offer {
            source: Source {
                id: entry.from.clone(),
                revision: revision.to_owned(),
            },
            notice: Some(format!(
                "the cache has `{id}` under its old name `{}`, which is used",
                entry.from
            )),
            on_hub: false,
            or_main: false,
        })
}

fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// The search for one model.
struct Hunt<'a> {
    /// As the user says it.
    name: &'a str,
    license: Option<&'a str>,
    offers: Vec<Offer>,
    fetch: &'a Fetch,
    wish: Wish,
}

impl Hunt<'_> {
    /// The snapshot of the first offer that the cache or the hub has, and the repository it is of.
    fn run(&self, observer: &mut dyn Observer) -> Result<(PathBuf, String)> {
        let cache = self.fetch.hub.cache()?;
        if self.wish == Wish::Any
            && let Some((snapshot, offer)) = self.cached(cache)
        {
            notify(offer, observer)?;
            return Ok((snapshot, offer.source.id.clone()));
        }
        if self.fetch.hub.offline {
            return Err(self.offline(cache));
        }
        let mut first_failure = None;
        let on_hub: Vec<&Offer> = self.offers.iter().filter(|offer| offer.on_hub).collect();
        for offer in &on_hub {
            notify(offer, observer)?;
            match self.download(offer, cache, observer) {
                Err(error) if matches!(error.kind(), Kind::ModelNotFound | Kind::Network) => {
                    if on_hub.len() > 1 {
                        let message = format!("`{}`: {error}", offer.source.id);
                        pass(&Event::Warning { message }, observer)?;
                    }
                    first_failure.get_or_insert(error);
                }
                other => return other.map(|snapshot| (snapshot, offer.source.id.clone())),
            }
        }
        Err(first_failure.unwrap_or_else(|| Error::internal("a model without a source")))
    }

    /// The first offer that lies complete in the cache.
    fn cached(&self, cache: &Path) -> Option<(PathBuf, &Offer)> {
        self.offers
            .iter()
            .find_map(|offer| Some((complete(cache, &offer.source, self.fetch.elsewhere)?, offer)))
    }

    /// Downloads an offer; a pinned revision that the repository has lost is replaced by its
    /// `main`, with a notice.
    fn download(
        &self,
        offer: &Offer,
        cache: &Path,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        match download(&offer.source, self.license, self.fetch, cache, observer)? {
            Outcome::Done(snapshot) => return Ok(snapshot),
            Outcome::NoRevision(error) if !offer.or_main => return Err(error),
            Outcome::NoRevision(_) => {}
        }
        let Source { id, revision } = &offer.source;
        let message = format!(
            "`{id}` has no revision {} any more; its `main` is used",
            short(revision)
        );
        pass(&Event::Warning { message }, observer)?;
        let main = Source {
            id: id.clone(),
            revision: "main".to_owned(),
        };
        match download(&main, self.license, self.fetch, cache, observer)? {
            Outcome::Done(snapshot) => Ok(snapshot),
            Outcome::NoRevision(error) => Err(error),
        }
    }

    fn offline(&self, cache: &Path) -> Error {
        let Self { name, .. } = self;
        let lacks = self.offers.iter().find_map(|offer| {
            let snapshot = Store::new(cache, &offer.source.id).find(&offer.source.revision)?;
            needs::missing(&ModelFiles::folder("", "", snapshot), self.fetch.elsewhere)
        });
        let what = match lacks {
            Some(file) => format!("`{file}` of `{name}` is not in the cache"),
            None => format!("`{name}` is not in the cache"),
        };
        absent(cache, what, name)
    }
}

fn notify(offer: &Offer, observer: &mut dyn Observer) -> Result<()> {
    let event = offer
        .notice
        .clone()
        .map(|message| Event::Warning { message });
    event.map_or(Ok(()), |event| pass(&event, observer))
}

/// A snapshot in the cache that lacks nothing.
fn complete(cache: &Path, source: &Source, elsewhere: Option<Component>) -> Option<PathBuf> {
    let snapshot = Store::new(cache, &source.id).find(&source.revision)?;
    let files = ModelFiles::folder("", "", snapshot.clone());
    needs::missing(&files, elsewhere)
        .is_none()
        .then_some(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::models;

    #[test]
    fn no_known_model_is_looked_for_where_it_was_removed() {
        let table: Moves = toml::from_str(include_str!("moved.toml")).unwrap();
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
