//! Jobs on disk, one directory each, so that they survive a restart: the request with its uploaded
//! images, the status and the results.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::output::atomic_file::{folder_of, sync_folder};
use crate::serve::failure::{Failure, MAX_ATTEMPTS};
use crate::serve::job::{Job, JobSpec, State, Status};
use crate::serve::timestamp::{from_unix_seconds, unix_seconds};
use crate::serve::uploads::UploadedImages;

/// Name of the file with the status of a job, within its directory.
const JOB_FILE: &str = "job.json";

/// Content of a job's file.
#[derive(Serialize, Deserialize)]
struct JobFile {
    id: String,
    number: u64,
    created: f64,
    #[serde(rename = "order")]
    spec: JobSpec,
    status: Status,
}

/// Directory of all jobs, locked by one process at a time.
pub(super) struct Journal {
    dir: PathBuf,
    _lock: File,
    written: Sender<PathBuf>,
}

impl Journal {
    /// Opens the directory; creates it for this user only if it is missing.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let jobs = dir.join("jobs");
        create_private_dir(&jobs).map_err(|e| write_error(dir, &e))?;
        let lock = File::create(dir.join("lock")).map_err(|e| write_error(dir, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another server keeps its jobs in `{}`", dir.display());
                return Err(Error::new(Kind::Output, message)
                    .hint("give each server a folder of its own: `--state DIR`"));
            }
            Err(fs::TryLockError::Error(e)) => return Err(write_error(dir, &e)),
        }
        set_temp_dir(dir).map_err(|e| write_error(dir, &e))?;
        Ok(Self {
            dir: jobs,
            _lock: lock,
            written: spawn_sync_thread()?,
        })
    }

    /// Directory of a job.
    pub(super) fn dir_of(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Reads a file of a job; `None` if there is none.
    pub(super) fn read_file(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let dir = self.dir_of(id);
        match fs::read(dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(write_error(&dir, &e)),
        }
    }

    /// Writes a new job with its uploaded images; leaves nothing behind if that fails.
    pub(super) fn create(&self, job: &Job, uploaded: &UploadedImages) -> Result<()> {
        let created = self.try_create(job, uploaded);
        if created.is_err() {
            self.remove(&job.id);
        }
        created
    }

    fn try_create(&self, job: &Job, uploaded: &UploadedImages) -> Result<()> {
        let dir = self.dir_of(&job.id);
        create_private_dir(&dir).map_err(|e| write_error(&dir, &e))?;
        for (name, bytes) in uploaded {
            self.write_file(&job.id, name, bytes)?;
        }
        self.write_status(job)
    }

    /// Writes the status of a job.
    pub(super) fn write_status(&self, job: &Job) -> Result<()> {
        let file = JobFile {
            id: job.id.clone(),
            number: job.number,
            created: unix_seconds(job.created),
            spec: job.spec.clone(),
            status: job.status(),
        };
        let text = serde_json::to_vec(&file)
            .map_err(|e| Error::internal("cannot serialise a job").source(e))?;
        self.write_file(&job.id, JOB_FILE, &text)
    }

    /// Writes a file of a job atomically. The file survives the end of the process at once, and a
    /// crash of the machine after a moment, since it is synced in the background.
    pub(super) fn write_file(&self, id: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let dir = self.dir_of(id);
        let temporary = dir.join(format!(".{name}"));
        let file = dir.join(name);
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &file));
        // The thread only ends with the process.
        let _ = self.written.send(file);
        written.map_err(|e| write_error(&dir, &e))
    }

    /// Removes a job with all its files.
    pub(super) fn remove(&self, id: &str) {
        // A directory that cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(self.dir_of(id));
    }

    /// Jobs of earlier processes in the order of their numbers. Unfinished ones are enqueued again,
    /// unless their clients waited on the connection, or fail after [`MAX_ATTEMPTS`] attempts.
    pub(super) fn load_jobs(&self) -> Result<Vec<Job>> {
        let entries = fs::read_dir(&self.dir).map_err(|e| write_error(&self.dir, &e))?;
        let mut jobs: Vec<Job> = entries
            .flatten()
            .filter_map(|entry| self.load_job(&entry.file_name().to_string_lossy()))
            .collect();
        jobs.sort_by_key(|job| job.number);
        Ok(jobs)
    }

    fn load_job(&self, name: &str) -> Option<Job> {
        let Some(file) = self.read_job_file(name) else {
            self.remove(name);
            return None;
        };
        let created = from_unix_seconds(file.created);
        let status = recovered_status(file.status);
        let job = Job::new(file.id, file.number, created, file.spec, status);
        // If this fails, the file on disk stays as it was.
        let _ = self.write_status(&job);
        Some(job)
    }

    fn read_job_file(&self, name: &str) -> Option<JobFile> {
        let text = fs::read(self.dir_of(name).join(JOB_FILE)).ok()?;
        let file: JobFile = serde_json::from_slice(&text).ok()?;
        let is_needed = file.status.state.is_final() || !file.spec.is_synchronous;
        Some(file).filter(|file| file.id == name && is_needed)
    }
}

/// Starts the thread that syncs written files to the disk, one after the other.
fn spawn_sync_thread() -> Result<Sender<PathBuf>> {
    let (written, files) = channel::<PathBuf>();
    let sync_files = move || {
        for file in files {
            // The job may have been deleted in the meantime; a failing disk shows at the next write.
            let _ = File::open(&file).and_then(|file| file.sync_all());
            let dir = folder_of(&file);
            sync_folder(dir);
            if let Some(parent) = dir.parent() {
                sync_folder(parent);
            }
        }
    };
    std::thread::Builder::new()
        .name("disk".to_owned())
        .spawn(sync_files)
        .map_err(|e| Error::internal("cannot start a thread").source(e))?;
    Ok(written)
}

fn recovered_status(status: Status) -> Status {
    if status.state.is_final() {
        return status;
    }
    let queued = Status {
        attempts: status.attempts,
        ..Status::default()
    };
    if status.attempts < MAX_ATTEMPTS {
        return queued;
    }
    Status {
        state: State::Failed,
        ended: Some(SystemTime::now()),
        failure: Some(Failure::too_many_attempts()),
        ..queued
    }
}

/// Uses a directory of the server for temporary files if the system has none that can be written,
/// as in a read-only container.
fn set_temp_dir(dir: &Path) -> io::Result<()> {
    let spool = dir.join("spool");
    // Left by a process that was killed.
    let _ = fs::remove_dir_all(&spool);
    if tempfile::tempfile().is_ok() {
        return Ok(());
    }
    create_private_dir(&spool)?;
    // An override that was set earlier stays.
    let _ = tempfile::env::override_temp_dir(&spool);
    Ok(())
}

/// Creates a directory that no other user can access.
fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn write_error(dir: &Path, error: &io::Error) -> Error {
    let is_full = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    let hint = if is_full {
        "free some space"
    } else {
        "name a folder that can be written: `--state DIR`"
    };
    let message = format!("cannot keep jobs in `{}`: {error}", dir.display());
    Error::new(Kind::Output, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::params::Params;
    use crate::serve::image_record::ImageRecord;
    use crate::serve::job::{Outcome, new_id};

    fn job(number: u64, is_synchronous: bool) -> Job {
        let params = Params {
            prompt: Some("a".into()),
            ..Params::default()
        };
        let spec = JobSpec {
            params,
            is_synchronous,
            ..JobSpec::unreadable()
        };
        Job::new(new_id(), number, SystemTime::now(), spec, Status::default())
    }

    fn reopened(folder: &Path) -> Vec<Job> {
        Journal::open(folder).unwrap().load_jobs().unwrap()
    }

    #[test]
    fn jobs_are_loaded_in_order_with_their_images_and_results() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let uploaded = BTreeMap::from([("init_image".to_owned(), vec![1, 2, 3])]);
        let [second, first, done] = [8, 3, 5].map(|number| job(number, false));
        [&second, &first, &done]
            .iter()
            .for_each(|job| journal.create(job, &uploaded).unwrap());
        done.start();
        done.record_image(ImageRecord {
            index: 0,
            seed: 4,
            width: 8,
            height: 8,
            bytes: 9,
        });
        done.finish(Outcome::Completed);
        journal.write_status(&done).unwrap();
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
        assert_eq!(jobs[1].image_bytes(), 9);
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
    fn a_job_that_was_running_is_enqueued_again_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let id = {
            let journal = Journal::open(folder.path()).unwrap();
            let job = job(1, false);
            journal.create(&job, &BTreeMap::new()).unwrap();
            job.id
        };
        for _ in 0..MAX_ATTEMPTS {
            let jobs = reopened(folder.path());
            assert_eq!(jobs[0].state(), State::Queued);
            jobs[0].start();
            Journal::open(folder.path())
                .unwrap()
                .write_status(&jobs[0])
                .unwrap();
        }
        let jobs = reopened(folder.path());
        assert_eq!(
            (jobs[0].id.as_str(), jobs[0].state()),
            (id.as_str(), State::Failed)
        );
    }

    #[test]
    fn jobs_without_a_client_and_broken_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        {
            let journal = Journal::open(folder.path()).unwrap();
            journal.create(&job(1, true), &BTreeMap::new()).unwrap();
            let broken = job(2, false);
            journal.create(&broken, &BTreeMap::new()).unwrap();
            journal.write_file(&broken.id, JOB_FILE, b"{").unwrap();
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
    fn a_state_directory_is_used_by_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("another server"), "{error}");
    }
}
