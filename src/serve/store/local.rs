//! Jobs of this process: in memory, with a journal on disk that the next process loads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::journal::Journal;
use super::queue::JobQueue;
use super::{JobCounts, Retention, Store, SubmitError};
use crate::error::Result;
use crate::serve::job::{Api, Job, JobSpec, Outcome, Status, StopMode, new_id};
use crate::serve::options::Log;
use crate::serve::uploads::UploadedImages;

/// Jobs in memory and on disk.
pub(crate) struct LocalStore {
    queue: JobQueue,
    journal: Journal,
    log: Log,
    /// Jobs whose last state could not be written, as on a full disk.
    unwritten: Mutex<Vec<Arc<Job>>>,
}

impl LocalStore {
    /// Opens the directory and loads the jobs that an earlier process left.
    pub(crate) fn open(dir: &Path, retention: Retention, log: Log) -> Result<Self> {
        let journal = Journal::open(dir)?;
        let queue = JobQueue::new(retention);
        for job in journal.load_jobs()? {
            queue.restore(Arc::new(job));
        }
        Ok(Self {
            queue,
            journal,
            log,
            unwritten: Mutex::default(),
        })
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the status of a job, now or, if that fails, when there is space again.
    fn write_status(&self, job: &Job) {
        if let Err(error) = self.journal.write_status(job) {
            (self.log)(&format!("{}: {error}", job.id));
            let mut unwritten = self.unwritten();
            if unwritten.iter().all(|other| other.id != job.id) {
                unwritten.extend(self.queue.find(&job.id));
            }
        }
    }

    /// Retries the writes that have failed.
    fn retry_unwritten(&self) {
        self.unwritten().retain(|job| {
            self.queue.find(&job.id).is_some() && self.journal.write_status(job).is_err()
        });
    }

    /// Writes that a job has started. If that fails, only its number of attempts is too low.
    fn write_started(&self, job: Arc<Job>) -> Arc<Job> {
        self.write_status(&job);
        job
    }
}

impl Store for LocalStore {
    fn submit(&self, spec: JobSpec, uploaded: &UploadedImages) -> Result<Arc<Job>, SubmitError> {
        let reservation = self.queue.reserve().map_err(SubmitError::Queue)?;
        let job = Arc::new(Job::new(
            new_id(),
            reservation.number,
            SystemTime::now(),
            spec,
            Status::default(),
        ));
        self.journal
            .create(&job, uploaded)
            .map_err(SubmitError::Storage)?;
        self.queue.enqueue(reservation, Arc::clone(&job));
        Ok(job)
    }

    fn claim_next(&self) -> Option<Arc<Job>> {
        self.queue.claim_next().map(|job| self.write_started(job))
    }

    fn claim_batchable(&self, spec: &JobSpec) -> Option<Arc<Job>> {
        let job = self.queue.claim_batchable(spec)?;
        Some(self.write_started(job))
    }

    fn upload_dir(&self, id: &str) -> PathBuf {
        self.journal.dir_of(id)
    }

    fn write_result(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        self.journal.write_file(&job.id, name, bytes)
    }

    fn read_result(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        self.journal.read_file(id, name)
    }

    fn finish(&self, job: &Job, outcome: Outcome) -> bool {
        let is_ended = self.queue.finish(job, outcome);
        if is_ended {
            self.write_status(job);
        }
        is_ended
    }

    fn stop(&self, job: &Job, mode: StopMode) -> Result<bool> {
        let is_ended = self.queue.stop(job, mode);
        if is_ended {
            self.write_status(job);
        }
        Ok(is_ended)
    }

    fn abandon(&self, job: &Arc<Job>) -> bool {
        self.stop(job, StopMode::Cancel).unwrap_or(false)
    }

    fn delete(&self, job: &Job) -> Result<bool> {
        let is_deleted = self.queue.remove_ended(job);
        if is_deleted {
            self.journal.remove(&job.id);
        }
        Ok(is_deleted)
    }

    fn find(&self, id: &str) -> Result<Option<Arc<Job>>> {
        Ok(self.queue.find(id))
    }

    fn list(&self) -> Result<Vec<Arc<Job>>> {
        Ok(self.queue.list())
    }

    fn find_running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        Ok(self.queue.find_running(api))
    }

    fn counts(&self) -> Result<JobCounts> {
        self.retry_unwritten();
        Ok(JobCounts {
            unwritten: self.unwritten().len(),
            ..self.queue.counts()
        })
    }

    fn delete_expired(&self, now: SystemTime) -> Result<()> {
        self.retry_unwritten();
        for id in self.queue.remove_expired(now) {
            self.journal.remove(&id);
        }
        Ok(())
    }

    fn close(&self) {
        self.retry_unwritten();
        self.queue.close();
    }

    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::serve::job::State;

    /// A state that could not be written is written later: a job ends once, across restarts too.
    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let log: Log = Arc::new(|_: &str| {});
            let retention = Retention {
                queue: 9,
                age: std::time::Duration::from_secs(60),
                bytes: 1 << 20,
                ended: 9,
            };
            LocalStore::open(dir.path(), retention, log).unwrap()
        };
        let local = open();
        let job = local
            .submit(JobSpec::unreadable(), &UploadedImages::new())
            .ok()
            .unwrap();
        let job = local.claim_next().filter(|next| next.id == job.id).unwrap();
        // The record's temporary file cannot be written.
        let temporary = local.upload_dir(&job.id).join(".job.json");
        symlink("/dev/full", &temporary).unwrap();
        assert!(local.finish(&job, Outcome::Completed));
        assert_eq!(local.counts().unwrap().unwritten, 1);
        std::fs::remove_file(&temporary).unwrap();
        assert_eq!(local.counts().unwrap().unwritten, 0);
        drop(local);
        assert_eq!(
            open().find(&job.id).unwrap().unwrap().state(),
            State::Completed
        );
    }
}
