//! One file on its way from the hub into the cache: locked against other processes, resumed where
//! it broke off, tried again after failures that pass, and verified before it gets its name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::cache::{Source, Store, create_parent};
use super::crew::{PULSE, Teller};
use super::digest::{Hash, Hasher};
use super::refusal::Failure;
use super::remote::{Listed, Remote};
use crate::error::{Error, Kind, Result};
use crate::event::Event;

/// Source and destination of downloads.
pub(super) struct Route {
    pub(super) remote: Remote,
    pub(super) source: Source,
    pub(super) commit: String,
    pub(super) store: Store,
}

/// A file with all that has to be known before its first byte.
struct Wanted {
    path: String,
    size: Option<u64>,
    hash: Hash,
}

/// Reason for an incomplete transfer.
pub(super) enum Halt {
    /// The hub or the way to it; may pass.
    Hub(Failure),
    /// The user, or this machine's disk; does not pass.
    Final(Error),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Hub(failure)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Route {
    /// Returns true if the snapshot has a file, judging by its size.
    pub(super) fn has(&self, listed: &Listed) -> bool {
        is_whole(
            &self.store.snapshot(&self.commit).join(&listed.path),
            listed.size,
        )
    }

    /// Bytes of a file that have to be fetched and are not here yet.
    pub(super) fn lacks(&self, listed: &Listed) -> u64 {
        let Some((hash, size)) = listed.hash.as_ref().zip(listed.size) else {
            return 0;
        };
        if is_whole(&self.store.blob(hash), Some(size)) {
            return 0;
        }
        let partial = std::fs::metadata(self.store.partial(hash)).map_or(0, |data| data.len());
        size.saturating_sub(partial)
    }

    /// Brings a file into the snapshot.
    pub(super) fn fetch(&self, listed: Listed, teller: &Teller) -> Result<()> {
        if self.has(&listed) {
            return Ok(());
        }
        let wanted = self.identify(listed, teller)?;
        let _lock = self.lock(&wanted, teller)?;
        let blob = self.store.blob(&wanted.hash);
        if !is_whole(&blob, wanted.size) {
            create_parent(&blob).map_err(|e| disk(&blob, e))?;
            self.receive(&wanted, teller)?;
        }
        self.store
            .link(&wanted.hash, &self.commit, &wanted.path)
            .map_err(|e| disk(&blob, e))
    }

    /// Size and hash of a file: as listed, else as the hub answers for the file itself.
    fn identify(&self, listed: Listed, teller: &Teller) -> Result<Wanted> {
        let Listed { path, size, hash } = listed;
        if let Some(hash) = hash {
            return Ok(Wanted { path, size, hash });
        }
        let ask = || self.remote.file(&self.source.id, &self.commit, &path, 0);
        let answer = persist(&path, teller, ask).map_err(|halt| self.explained(&path, halt))?;
        let no_name = || Error::new(Kind::Network, format!("the hub says no etag for `{path}`"));
        let hash = answer.hash.ok_or_else(no_name)?;
        Ok(Wanted {
            size: answer.size,
            hash,
            path,
        })
    }

    /// Downloads the missing bytes of a blob, once more after a wrong hash; fails after the second.
    fn receive(&self, wanted: &Wanted, teller: &Teller) -> Result<()> {
        let mut partial = Partial::open(&self.store.partial(&wanted.hash), wanted)?;
        for is_last in [false, true] {
            self.complete(&mut partial, wanted, teller)
                .map_err(|halt| self.explained(&wanted.path, halt))?;
            let Some(found) = partial.differs() else {
                return partial.rename(&self.store.blob(&wanted.hash));
            };
            partial.restart()?;
            if is_last {
                partial.discard();
                return Err(self.damaged(wanted, &found));
            }
            let message = format!("`{}` arrived damaged and is fetched once more", wanted.path);
            teller.say(Event::Warning { message });
        }
        Err(Error::internal("a download ended without an end"))
    }

    /// Fetches to the end of the file, as long as bytes arrive.
    fn complete(
        &self,
        partial: &mut Partial,
        wanted: &Wanted,
        teller: &Teller,
    ) -> Result<(), Halt> {
        let mut tries = 0;
        loop {
            let before = partial.length;
            let failure = match self.attempt(partial, wanted, teller) {
                Ok(()) => return Ok(()),
                Err(Halt::Hub(failure)) => failure,
                Err(halt) => return Err(halt),
            };
            tries = if partial.length > before { 0 } else { tries };
            wait(&wanted.path, failure, tries, teller)?;
            tries += 1;
        }
    }

    /// One request, from where the file ends so far.
    fn attempt(&self, partial: &mut Partial, wanted: &Wanted, teller: &Teller) -> Result<(), Halt> {
        if wanted.size.is_some_and(|size| partial.length == size) {
            return Ok(());
        }
        let from = partial.length;
        let answer = match self
            .remote
            .file(&self.source.id, &self.commit, &wanted.path, from)
        {
            // What is here is longer than the file, and so no part of it.
            Err(failure @ Failure::Status { status: 416, .. }) => {
                partial.restart()?;
                return Err(failure.into());
            }
            answer => answer?,
        };
        if answer.start != from {
            partial.restart()?;
        }
        if answer.start != partial.length {
            return Err(Failure::NoHub.into());
        }
        let mut body = answer.body.into_reader();
        let mut pulse = Pulse::new(wanted);
        let mut buffer = vec![0; 1 << 17];
        loop {
            pulse.tell(partial.length, teller);
            teller.go_on()?;
            match body.read(&mut buffer).map_err(Failure::from)? {
                0 => break,
                n => partial.write(&buffer[..n])?,
            }
            if wanted.size.is_some_and(|size| partial.length > size) {
                break;
            }
        }
        pulse.last(partial.length, teller);
        match wanted.size {
            Some(size) if partial.length < size => {
                Err(Failure::from(io::Error::from(io::ErrorKind::UnexpectedEof)).into())
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other process fetches the same content.
    fn lock(&self, wanted: &Wanted, teller: &Teller) -> Result<Option<File>> {
        let path = self.store.lock(&wanted.hash);
        let open = || {
            create_parent(&path)?;
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let file = open().map_err(|e| disk(&path, e))?;
        let mut is_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if is_told => {}
                Err(TryLockError::WouldBlock) => {
                    is_told = true;
                    let message = format!(
                        "another process is fetching `{}`; waiting for it",
                        wanted.path
                    );
                    teller.say(Event::Warning { message });
                }
                // A file system without locks: the hash still guards the content.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
            teller.pause(PULSE)?;
        }
    }

    /// Explains a halt at a file to the user; at the whole repository if `path` is empty.
    pub(super) fn explained(&self, path: &str, halt: Halt) -> Error {
        match halt {
            Halt::Final(error) => error,
            Halt::Hub(failure) => failure.explained(&self.remote, &self.source, path),
        }
    }

    fn damaged(&self, wanted: &Wanted, found: &str) -> Error {
        let (path, expected) = (&wanted.path, wanted.hash.name());
        let what = format!("`{path}` of `{}` arrived damaged twice", self.source.id);
        Error::new(
            Kind::Network,
            format!("{what}: expected hash {expected}, got {found}"),
        )
        .hint("a proxy or mirror may alter the files; nothing of it has been kept")
    }
}

/// Asks until there is an answer, or no hope of one.
pub(super) fn persist<T>(
    what: &str,
    teller: &Teller,
    ask: impl Fn() -> Result<T, Failure>,
) -> Result<T, Halt> {
    let mut tries = 0;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(failure) => wait(what, failure, tries, teller)?,
        }
        tries += 1;
    }
}

/// Waits for another attempt after a failure that may pass; any other is handed back.
fn wait(what: &str, failure: Failure, tries: usize, teller: &Teller) -> Result<(), Halt> {
    let Some(pause) = failure.pause(tries) else {
        return Err(failure.into());
    };
    let seconds = pause.as_secs_f64();
    let message = format!("`{what}`: {}; trying again in {seconds} s", failure.brief());
    teller.say(Event::Warning { message });
    Ok(teller.pause(pause)?)
}

/// Returns true if the file exists and has this size.
fn is_whole(path: &Path, size: Option<u64>) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|data| data.is_file() && size.is_none_or(|size| data.len() == size))
}

/// Reports the progress of a file at intervals.
struct Pulse<'a> {
    wanted: &'a Wanted,
    told: Option<Instant>,
}

impl<'a> Pulse<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        Self { wanted, told: None }
    }

    fn tell(&mut self, done: u64, teller: &Teller) {
        if self.told.is_none_or(|told| told.elapsed() >= PULSE) {
            self.told = Some(Instant::now());
            self.last(done, teller);
        }
    }

    fn last(&self, done: u64, teller: &Teller) {
        let total = self.wanted.size.unwrap_or(0).max(done);
        teller.say(Event::Fetch {
            file: self.wanted.path.clone(),
            done,
            total,
        });
    }
}

/// A partly downloaded content, with its hash so far.
struct Partial {
    file: File,
    path: PathBuf,
    length: u64,
    hasher: Hasher,
    hash: Hash,
    size: Option<u64>,
}

impl Partial {
    /// Opens the partial file, to continue where an earlier run stopped.
    fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let size = wanted.size;
        let open = || {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)?;
            let mut hasher = wanted.hash.hasher(size);
            let length = hasher.read(&mut file)?;
            Ok(Self {
                file,
                path: path.to_owned(),
                length,
                hasher,
                hash: wanted.hash.clone(),
                size,
            })
        };
        open().map_err(|e| disk(path, e))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|e| disk(&self.path, e))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// From the first byte again.
    fn restart(&mut self) -> Result<()> {
        let empty = |file: &mut File| file.set_len(0).and_then(|()| io::Seek::rewind(file));
        empty(&mut self.file).map_err(|e| disk(&self.path, e))?;
        self.hasher = self.hash.hasher(self.size);
        self.length = 0;
        Ok(())
    }

    /// The hash, or the size, that the content has in place of its own.
    fn differs(&self) -> Option<String> {
        if self.size.is_some_and(|size| size != self.length) {
            return Some(format!("{} bytes", self.length));
        }
        self.hasher
            .clone()
            .finish()
            .filter(|found| found != self.hash.name())
    }

    /// Gives the content its name.
    fn rename(self, blob: &Path) -> Result<()> {
        let done = self
            .file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.path, blob));
        done.map_err(|e| disk(blob, e))
    }

    /// Leaves nothing behind.
    fn discard(self) {
        // An empty file that stays is found empty by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A failure of this machine's disk.
pub(super) fn disk(path: &Path, error: io::Error) -> Error {
    Error::new(
        Kind::Output,
        format!("cannot write to the model cache: `{}`", path.display()),
    )
    .source(error)
    .hint(
        "is the disk full, or the folder not writable? HF_HOME chooses another place for the cache",
    )
}
