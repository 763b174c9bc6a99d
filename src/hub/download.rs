//! Downloads of a repository's files into the cache: several at a time, locked against other
//! processes, resumed where they broke off, retried after transient errors, and verified before they
//! get their names.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cache::{BlobHash, Hasher, RepoCache, Repository, create_parent, free_space_at};
use super::client::{Client, ListedFile, Listing};
use super::errors::HubError;
use super::workers::{INTERVAL, Progress, run_workers};
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, tell};

/// Room that a download leaves on the disk, in bytes.
const SPARE: u64 = 64 << 20;

/// A download from one repository at one commit into the cache.
pub(crate) struct Download {
    connection: Arc<Connection>,
    listing: Listing,
    snapshot: PathBuf,
}

/// Result of [`Download::begin`].
pub(crate) enum Begun {
    /// The hub has listed the files.
    Ready(Download),
    /// The repository exists and the revision does not.
    NoRevision(Error),
}

impl Download {
    /// Lists the files of a repository.
    pub(crate) fn begin(
        repository: &Repository,
        hub: &Hub,
        observer: &mut dyn Observer,
    ) -> Result<Begun> {
        let cache = RepoCache::new(hub.cache()?, &repository.id).without_symlinks(hub.no_symlinks);
        let (settings, job) = (hub.clone(), repository.clone());
        let idle = idle_event(repository);
        let list = move |repository: Repository, progress: &Progress| {
            let client = Client::new(&settings);
            match retry(&repository.id, progress, || client.list(&repository)) {
                Ok(listing) => Ok(Ok((client, listing))),
                Err(Abort::Final(error)) => Err(error),
                Err(Abort::Hub(error)) => {
                    let explained = client.explain(&error, &repository, "");
                    if error.is_unknown_revision() {
                        Ok(Err(explained))
                    } else {
                        Err(explained)
                    }
                }
            }
        };
        let answer = run_workers(vec![job], &idle, observer, list)?.pop();
        let (client, listing) = match answer {
            Some(Ok(listed)) => listed,
            Some(Err(error)) => return Ok(Begun::NoRevision(error)),
            None => return Err(Error::internal("no answer and no failure")),
        };
        let snapshot = cache.snapshot(&listing.commit);
        let connection = Arc::new(Connection {
            client,
            repository: repository.clone(),
            commit: listing.commit.clone(),
            cache,
        });
        Ok(Begun::Ready(Self {
            connection,
            listing,
            snapshot,
        }))
    }

    /// The folder into which the files go.
    pub(crate) fn snapshot(&self) -> &Path {
        &self.snapshot
    }

    /// A file of the repository.
    pub(crate) fn find(&self, path: &str) -> Option<&ListedFile> {
        self.listing.files.iter().find(|listed| listed.path == path)
    }

    /// Error about a file that the repository does not have.
    pub(crate) fn missing_error(&self, path: &str) -> Error {
        let id = &self.connection.repository.id;
        let message = format!("repository `{id}` has no `{path}`");
        Error::new(Kind::ModelNotFound, message)
    }

    /// Returns true if the snapshot has a file already, judging by its size.
    pub(crate) fn has(&self, listed: &ListedFile) -> bool {
        self.connection.has(listed)
    }

    /// Checks that the disk has room, then reports size and license of the download.
    pub(crate) fn announce(
        &self,
        files: &[ListedFile],
        license: Option<&str>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let connection = &self.connection;
        let bytes = files
            .iter()
            .map(|file| connection.missing_bytes(file))
            .sum();
        check_room(&self.snapshot, bytes)?;
        let event = Event::Download {
            model: format!("{}@{}", connection.repository.id, connection.commit),
            files: files.len(),
            bytes,
            license: license.map(str::to_owned).or(self.listing.license.clone()),
        };
        tell(observer, &event)
    }

    /// Downloads files, the largest first.
    pub(crate) fn fetch(
        &self,
        mut files: Vec<ListedFile>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        files.sort_by_key(|listed| std::cmp::Reverse(listed.size));
        let connection = Arc::clone(&self.connection);
        let idle = idle_event(&connection.repository);
        let fetch = move |file, progress: &Progress| connection.fetch(file, progress);
        run_workers(files, &idle, observer, fetch)?;
        Ok(())
    }

    /// Downloads the last files and returns the snapshot. The ref is written at the end: a branch
    /// in the cache is a branch that was fetched.
    pub(crate) fn finish(
        self,
        files: Vec<ListedFile>,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        self.fetch(files, observer)?;
        let Connection {
            repository,
            commit,
            cache,
            ..
        } = &*self.connection;
        cache
            .set_ref(&repository.revision, commit)
            .map_err(|e| disk_error(&cache.root(), e))?;
        Ok(self.snapshot)
    }
}

/// Event for the time while the hub does not answer.
fn idle_event(repository: &Repository) -> Event {
    Event::Fetch {
        file: repository.id.clone(),
        done: 0,
        total: 0,
    }
}

/// Checks that the disk has room for `bytes` more.
fn check_room(folder: &Path, bytes: u64) -> Result<()> {
    // A file system that does not report its free space is assumed to have room.
    let Some(free) = free_space_at(folder) else {
        return Ok(());
    };
    if bytes.saturating_add(SPARE) <= free {
        return Ok(());
    }
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let message = format!(
        "{:.1} GB are to be fetched, and {:.1} GB are free at `{}`",
        gigabytes(bytes),
        gigabytes(free),
        folder.display()
    );
    Err(Error::new(Kind::Output, message)
        .hint(
            "make room: `sdgen models du` shows what the cache holds, `sdgen models rm NAME` removes a model",
        )
        .hint("or set HF_HUB_CACHE to a folder on another disk"))
}

/// Source and destination of the files.
struct Connection {
    client: Client,
    repository: Repository,
    commit: String,
    cache: RepoCache,
}

/// A file whose hash is known.
struct RemoteFile {
    path: String,
    size: Option<u64>,
    hash: BlobHash,
}

/// Reason for an incomplete transfer.
enum Abort {
    /// The hub or the network; may be transient.
    Hub(HubError),
    /// The user, or this machine's disk.
    Final(Error),
}

impl From<HubError> for Abort {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Connection {
    /// Returns true if the snapshot has a file, judging by its size.
    fn has(&self, listed: &ListedFile) -> bool {
        let path = self.cache.snapshot(&self.commit).join(&listed.path);
        is_whole(&path, listed.size)
    }

    /// Bytes of a file that have to be fetched and are not here yet.
    fn missing_bytes(&self, listed: &ListedFile) -> u64 {
        let Some((hash, size)) = listed.hash.as_ref().zip(listed.size) else {
            return 0;
        };
        if is_whole(&self.cache.blob(hash), Some(size)) {
            return 0;
        }
        let partial = std::fs::metadata(self.cache.partial(hash)).map_or(0, |data| data.len());
        size.saturating_sub(partial)
    }

    /// Adds a file to the snapshot, downloading its blob if it is missing.
    fn fetch(&self, listed: ListedFile, progress: &Progress) -> Result<()> {
        if self.has(&listed) {
            return Ok(());
        }
        let file = self.identify(listed, progress)?;
        let _lock = self.lock(&file, progress)?;
        let blob = self.cache.blob(&file.hash);
        if !is_whole(&blob, file.size) {
            create_parent(&blob).map_err(|e| disk_error(&blob, e))?;
            self.receive(&file, progress)?;
        }
        self.cache
            .link(&file.hash, &self.commit, &file.path)
            .map_err(|e| disk_error(&blob, e))
    }

    /// Size and hash of a file: as listed, else from the response to the file's own URL.
    fn identify(&self, listed: ListedFile, progress: &Progress) -> Result<RemoteFile> {
        let ListedFile { path, size, hash } = listed;
        if let Some(hash) = hash {
            return Ok(RemoteFile { path, size, hash });
        }
        let ask = || {
            self.client
                .file(&self.repository.id, &self.commit, &path, 0)
        };
        let response = retry(&path, progress, ask).map_err(|abort| self.explain(&path, abort))?;
        let Some(hash) = response.hash else {
            let message = format!("the hub says no etag for `{path}`");
            return Err(Error::new(Kind::Network, message));
        };
        let size = response.size;
        Ok(RemoteFile { path, size, hash })
    }

    /// Downloads a blob, once more if its hash is wrong the first time.
    fn receive(&self, file: &RemoteFile, progress: &Progress) -> Result<()> {
        let mut partial = PartialFile::open(&self.cache.partial(&file.hash), file)?;
        for is_last in [false, true] {
            self.complete(&mut partial, file, progress)
                .map_err(|abort| self.explain(&file.path, abort))?;
            let Some(found) = partial.mismatch() else {
                return partial.rename(&self.cache.blob(&file.hash));
            };
            partial.restart()?;
            if is_last {
                partial.discard();
                return Err(self.damaged(file, &found));
            }
            let message = format!("`{}` arrived damaged and is fetched once more", file.path);
            progress.emit(Event::Warning { message });
        }
        Err(Error::internal("a download ended without an end"))
    }

    /// Downloads to the end of the file, with retries as long as bytes arrive.
    fn complete(
        &self,
        partial: &mut PartialFile,
        file: &RemoteFile,
        progress: &Progress,
    ) -> Result<(), Abort> {
        let mut tries = 0;
        loop {
            let before = partial.length;
            let error = match self.attempt(partial, file, progress) {
                Ok(()) => return Ok(()),
                Err(Abort::Hub(error)) => error,
                Err(abort) => return Err(abort),
            };
            if partial.length > before {
                tries = 0;
            }
            wait_before_retry(&file.path, error, tries, progress)?;
            tries += 1;
        }
    }

    /// Makes one request for the rest of the file.
    fn attempt(
        &self,
        partial: &mut PartialFile,
        file: &RemoteFile,
        progress: &Progress,
    ) -> Result<(), Abort> {
        if file.size.is_some_and(|size| partial.length == size) {
            return Ok(());
        }
        let from = partial.length;
        let id = &self.repository.id;
        let response = match self.client.file(id, &self.commit, &file.path, from) {
            // The partial file is longer than the whole, and so no part of it.
            Err(error @ HubError::Status { status: 416, .. }) => {
                partial.restart()?;
                return Err(error.into());
            }
            response => response?,
        };
        if response.start != from {
            partial.restart()?;
        }
        if response.start != partial.length {
            return Err(HubError::NotAHub.into());
        }
        let mut body = response.body.into_reader();
        let mut meter = ProgressMeter::new(file);
        let mut buffer = vec![0; 1 << 17];
        loop {
            meter.report_at_intervals(partial.length, progress);
            progress.check_stop()?;
            match body.read(&mut buffer).map_err(HubError::from)? {
                0 => break,
                n => partial.write(&buffer[..n])?,
            }
            if file.size.is_some_and(|size| partial.length > size) {
                break;
            }
        }
        meter.report(partial.length, progress);
        match file.size {
            Some(size) if partial.length < size => {
                Err(HubError::from(io::Error::from(io::ErrorKind::UnexpectedEof)).into())
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other process fetches the same content.
    fn lock(&self, file: &RemoteFile, progress: &Progress) -> Result<Option<File>> {
        let path = self.cache.lock(&file.hash);
        let open = || {
            create_parent(&path)?;
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let lock = open().map_err(|e| disk_error(&path, e))?;
        let mut has_warned = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) if has_warned => {}
                Err(TryLockError::WouldBlock) => {
                    has_warned = true;
                    let message = format!(
                        "another process is fetching `{}`; waiting for it",
                        file.path
                    );
                    progress.emit(Event::Warning { message });
                }
                // A file system without locks: the hash still guards the content.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
            progress.sleep(INTERVAL)?;
        }
    }

    /// Error for the user about the file at `path`.
    fn explain(&self, path: &str, abort: Abort) -> Error {
        match abort {
            Abort::Final(error) => error,
            Abort::Hub(error) => self.client.explain(&error, &self.repository, path),
        }
    }

    fn damaged(&self, file: &RemoteFile, found: &str) -> Error {
        let (path, expected) = (&file.path, file.hash.name());
        let what = format!("`{path}` of `{}` arrived damaged twice", self.repository.id);
        Error::new(
            Kind::Network,
            format!("{what}: expected hash {expected}, got {found}"),
        )
        .hint("a proxy or mirror may alter the files; nothing of it has been kept")
    }
}

/// Makes a request until it succeeds, fails for good, or has no retries left.
fn retry<T>(
    what: &str,
    progress: &Progress,
    request: impl Fn() -> Result<T, HubError>,
) -> Result<T, Abort> {
    let mut tries = 0;
    loop {
        match request() {
            Ok(response) => return Ok(response),
            Err(error) => wait_before_retry(what, error, tries, progress)?,
        }
        tries += 1;
    }
}

/// Waits after a transient error; any other error is returned.
fn wait_before_retry(
    what: &str,
    error: HubError,
    tries: usize,
    progress: &Progress,
) -> Result<(), Abort> {
    let Some(pause) = error.retry_pause(tries) else {
        return Err(error.into());
    };
    let seconds = pause.as_secs_f64();
    let message = format!("`{what}`: {}; trying again in {seconds} s", error.summary());
    progress.emit(Event::Warning { message });
    Ok(progress.sleep(pause)?)
}

/// Returns true if the file exists and has this size.
fn is_whole(path: &Path, size: Option<u64>) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|data| data.is_file() && size.is_none_or(|size| data.len() == size))
}

/// Progress events of one file.
struct ProgressMeter<'a> {
    file: &'a RemoteFile,
    reported: Option<Instant>,
}

impl<'a> ProgressMeter<'a> {
    fn new(file: &'a RemoteFile) -> Self {
        Self {
            file,
            reported: None,
        }
    }

    fn report_at_intervals(&mut self, done: u64, progress: &Progress) {
        if self.reported.is_none_or(|time| time.elapsed() >= INTERVAL) {
            self.reported = Some(Instant::now());
            self.report(done, progress);
        }
    }

    fn report(&self, done: u64, progress: &Progress) {
        let total = self.file.size.unwrap_or(0).max(done);
        progress.emit(Event::Fetch {
            file: self.file.path.clone(),
            done,
            total,
        });
    }
}

/// A partly downloaded blob, with its hash so far.
struct PartialFile {
    handle: File,
    path: PathBuf,
    length: u64,
    hasher: Hasher,
    hash: BlobHash,
    size: Option<u64>,
}

impl PartialFile {
    /// Opens the partial file, to continue where an earlier run stopped.
    fn open(path: &Path, file: &RemoteFile) -> Result<Self> {
        let open = || {
            let mut handle = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)?;
            let mut hasher = file.hash.hasher(file.size);
            let length = hasher.read(&mut handle)?;
            Ok(Self {
                handle,
                path: path.to_owned(),
                length,
                hasher,
                hash: file.hash.clone(),
                size: file.size,
            })
        };
        open().map_err(|e| disk_error(path, e))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.handle
            .write_all(bytes)
            .map_err(|e| disk_error(&self.path, e))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Drops the content so far.
    fn restart(&mut self) -> Result<()> {
        let clear = |handle: &mut File| {
            handle.set_len(0)?;
            io::Seek::rewind(handle)
        };
        clear(&mut self.handle).map_err(|e| disk_error(&self.path, e))?;
        self.hasher = self.hash.hasher(self.size);
        self.length = 0;
        Ok(())
    }

    /// The actual size or hash if it is not the expected one.
    fn mismatch(&self) -> Option<String> {
        if self.size.is_some_and(|size| size != self.length) {
            return Some(format!("{} bytes", self.length));
        }
        self.hasher
            .clone()
            .finish()
            .filter(|found| found != self.hash.name())
    }

    /// Moves the complete content to its blob.
    fn rename(self, blob: &Path) -> Result<()> {
        let rename = || {
            self.handle.sync_all()?;
            std::fs::rename(&self.path, blob)
        };
        rename().map_err(|e| disk_error(blob, e))
    }

    /// Removes the file.
    fn discard(self) {
        // The next run finds a file that cannot be removed empty.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Error about a write to the cache.
pub(crate) fn disk_error(path: &Path, error: io::Error) -> Error {
    Error::new(
        Kind::Output,
        format!("cannot write to the model cache: `{}`", path.display()),
    )
    .source(error)
    .hint(
        "is the disk full, or the folder not writable? HF_HOME chooses another place for the cache",
    )
}
