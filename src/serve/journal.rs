//! Jobs on disk, one folder each, so that they survive a restart: the order with its uploaded
//! images, the status and the results.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::clock;
use super::failure::{ATTEMPTS, Failure};
use super::job::{Job, Order, State, Status};
use super::uploads::Pictures;
use crate::error::{Error, Kind, Result};
use crate::output::atomic_file::{folder_of, sync_folder};

/// Name of a job's own file within its folder.
const RECORD: &str = "job.json";

/// Record of a job on disk.
#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    number: u64,
    created: f64,
    order: Order,
    status: Status,
}

/// Folder of all jobs, locked by one process at a time.
pub(super) struct Journal {
    folder: PathBuf,
    _lock: File,
    written: Sender<PathBuf>,
}

impl Journal {
    /// Opens the folder; creates it for this user only if it is missing.
    ///
    /// # Errors
    /// The folder cannot be written, or another server has it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let jobs = folder.join("jobs");
        private_folder(&jobs).map_err(|e| refused(folder, &e))?;
        let lock = File::create(folder.join("lock")).map_err(|e| refused(folder, &e))?;
        match lock.try_lock() {
            Ok(()) => {
                spool(folder).map_err(|e| refused(folder, &e))?;
                Ok(Self {
                    folder: jobs,
                    _lock: lock,
                    written: syncing()?,
                })
            }
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another server keeps its jobs in `{}`", folder.display());
                Err(Error::new(Kind::Output, message)
                    .hint("give each server a folder of its own: `--state DIR`"))
            }
            Err(fs::TryLockError::Error(e)) => Err(refused(folder, &e)),
        }
    }

    /// The folder of a job.
    pub(super) fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Reads a file of a job; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn get(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let folder = self.folder(id);
        match fs::read(folder.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(refused(&folder, &e)),
        }
    }

    /// Writes a new job with the pictures that came with it.
    ///
    /// # Errors
    /// The disk refuses; nothing is left behind.
    pub(super) fn begin(&self, job: &Job, pictures: &Pictures) -> Result<()> {
        let folder = self.folder(&job.id);
        let made = private_folder(&folder).map_err(|e| refused(&folder, &e));
        let mut pictures = pictures.iter();
        let written = made
            .and_then(|()| pictures.try_for_each(|(name, bytes)| self.put(&job.id, name, bytes)));
        let kept = written.and_then(|()| self.update(job));
        kept.inspect_err(|_| self.remove(&job.id))
    }

    /// Writes the status of a job.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn update(&self, job: &Job) -> Result<()> {
        let entry = Entry {
            id: job.id.clone(),
            number: job.number,
            created: clock::unix(job.created),
            order: job.order.clone(),
            status: job.status(),
        };
        let text = serde_json::to_vec(&entry)
            .map_err(|e| Error::internal("cannot serialise a job").source(e))?;
        self.put(&job.id, RECORD, &text)
    }

    /// Writes a file of a job atomically. The file survives the process at once, and a crash of the
    /// machine a moment later: nobody waits for the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn put(&self, id: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let folder = self.folder(id);
        let temporary = folder.join(format!(".{name}"));
        let file = folder.join(name);
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &file));
        // A thread that is gone ended with the process.
        let _ = self.written.send(file);
        written.map_err(|e| refused(&folder, &e))
    }

    /// Removes a job with all its files.
    pub(super) fn remove(&self, id: &str) {
        // A folder that cannot be removed now is found and removed at the next start.
        let _ = fs::remove_dir_all(self.folder(id));
    }

    /// Jobs of earlier processes in the order of their numbers. Unfinished ones are queued again,
    /// unless their clients waited on the connection, or they fail after [`ATTEMPTS`] attempts.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn jobs(&self) -> Result<Vec<Job>> {
        let names = fs::read_dir(&self.folder).map_err(|e| refused(&self.folder, &e))?;
        let names = names
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut jobs: Vec<Job> = names.filter_map(|name| self.recover(&name)).collect();
        jobs.sort_by_key(|job| job.number);
        Ok(jobs)
    }

    fn recover(&self, name: &str) -> Option<Job> {
        let text = fs::read(self.folder(name).join(RECORD)).ok();
        let entry: Option<Entry> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let entry = entry.filter(|entry| entry.id == name);
        let Some(entry) = entry.filter(|e| e.status.state.is_final() || !e.order.attended) else {
            self.remove(name);
            return None;
        };
        let created = UNIX_EPOCH + Duration::try_from_secs_f64(entry.created).unwrap_or_default();
        let status = recovered(entry.status);
        let job = Job::new(entry.id, entry.number, created, entry.order, status);
        // If this fails, the record on disk stays as it was.
        let _ = self.update(&job);
        Some(job)
    }
}

/// Starts the thread that syncs written files to the disk, one after the other.
fn syncing() -> Result<Sender<PathBuf>> {
    let (written, files) = channel::<PathBuf>();
    let work = move || {
        for file in files {
            // A job may have expired in the meantime; a disk that fails is met by the next write.
            let _ = File::open(&file).and_then(|file| file.sync_all());
            let folder = folder_of(&file);
            [Some(folder), folder.parent()]
                .into_iter()
                .flatten()
                .for_each(sync_folder);
        }
    };
    let thread = std::thread::Builder::new()
        .name("disk".to_owned())
        .spawn(work);
    thread
        .map(|_| written)
        .map_err(|e| Error::internal("cannot start a thread").source(e))
}

fn recovered(status: Status) -> Status {
    if status.state.is_final() {
        return status;
    }
    let fresh = Status {
        attempts: status.attempts,
        ..Status::default()
    };
    if status.attempts < ATTEMPTS {
        return fresh;
    }
    let failure = Some(Failure::worn_out());
    Status {
        state: State::Failed,
        ended: Some(SystemTime::now()),
        failure,
        ..fresh
    }
}

/// Moves temporary files to the server's own folder if the system has no place for them, as in a
/// container that can write nowhere else.
fn spool(folder: &Path) -> io::Result<()> {
    let spool = folder.join("spool");
    // What a process that was killed has left there.
    let _ = fs::remove_dir_all(&spool);
    if tempfile::tempfile().is_ok() {
        return Ok(());
    }
    private_folder(&spool)?;
    // Whoever named another place before knows better.
    let _ = tempfile::env::override_temp_dir(&spool);
    Ok(())
}

/// Creates a folder that no other user can access.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn refused(folder: &Path, error: &io::Error) -> Error {
    let full = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    let hint = if full {
        "free some space"
    } else {
        "name a folder that can be written: `--state DIR`"
    };
    Error::new(
        Kind::Output,
        format!("cannot keep jobs in `{}`: {error}", folder.display()),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::params::Params;
    use crate::serve::job::{End, Made, new_id};

    fn job(number: u64, attended: bool) -> Job {
        let params = Params {
            prompt: Some("a".into()),
            ..Params::default()
        };
        let order = Order {
            params,
            attended,
            ..Order::plain()
        };
        Job::new(
            new_id(),
            number,
            SystemTime::now(),
            order,
            Status::default(),
        )
    }

    fn reopened(folder: &Path) -> Vec<Job> {
        Journal::open(folder).unwrap().jobs().unwrap()
    }

    #[test]
    fn jobs_come_back_in_order_with_their_pictures_and_results() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let pictures = BTreeMap::from([("init_image".to_owned(), vec![1, 2, 3])]);
        let [second, first, done] = [8, 3, 5].map(|number| job(number, false));
        [&second, &first, &done]
            .iter()
            .for_each(|job| journal.begin(job, &pictures).unwrap());
        done.begin();
        done.made(Made {
            index: 0,
            seed: 4,
            width: 8,
            height: 8,
            bytes: 9,
        });
        done.end(End::Completed);
        journal.update(&done).unwrap();
        drop(journal);
        let jobs = reopened(folder.path());
        let found: Vec<_> = jobs
            .iter()
            .map(|job| (job.id.as_str(), job.state()))
            .collect();
        let expected = [
            (&first, State::Queued),
            (&done, State::Completed),
            (&second, State::Queued),
        ];
        assert_eq!(found, expected.map(|(job, state)| (job.id.as_str(), state)));
        assert_eq!(jobs[1].bytes(), 9);
        assert_eq!(
            std::fs::read(
                folder
                    .path()
                    .join("jobs")
                    .join(&first.id)
                    .join("init_image")
            )
            .unwrap(),
            [1, 2, 3]
        );
    }

    #[test]
    fn a_job_that_was_running_is_begun_again_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let id = {
            let journal = Journal::open(folder.path()).unwrap();
            let job = job(1, false);
            journal.begin(&job, &BTreeMap::new()).unwrap();
            job.id
        };
        for _ in 0..ATTEMPTS {
            let jobs = reopened(folder.path());
            assert_eq!(jobs[0].state(), State::Queued);
            jobs[0].begin();
            Journal::open(folder.path())
                .unwrap()
                .update(&jobs[0])
                .unwrap();
        }
        let jobs = reopened(folder.path());
        assert_eq!(
            (jobs[0].id.as_str(), jobs[0].state()),
            (id.as_str(), State::Failed)
        );
    }

    #[test]
    fn what_nobody_waits_for_and_what_is_broken_goes() {
        let folder = tempfile::tempdir().unwrap();
        {
            let journal = Journal::open(folder.path()).unwrap();
            journal.begin(&job(1, true), &BTreeMap::new()).unwrap();
            let broken = job(2, false);
            journal.begin(&broken, &BTreeMap::new()).unwrap();
            journal.put(&broken.id, RECORD, b"{").unwrap();
        }
        assert!(reopened(folder.path()).is_empty());
        assert_eq!(
            std::fs::read_dir(folder.path().join("jobs"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn a_folder_serves_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("another server"), "{error}");
    }
}
