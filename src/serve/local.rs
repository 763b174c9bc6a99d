//! Jobs of this process alone: in memory, with a journal on disk that the next process finds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Log;
use super::job::{Api, End, Halt, Job, Order, Status, new_id};
use super::jobs::Jobs;
use super::journal::Journal;
use super::store::{Bounds, Count, Refused, Store};
use super::uploads::Pictures;
use crate::error::Result;

/// Jobs in memory and on disk.
pub(super) struct Local {
    jobs: Jobs,
    journal: Journal,
    log: Log,
    /// Jobs whose last state could not be written, as on a full disk.
    unwritten: Mutex<Vec<Arc<Job>>>,
}

impl Local {
    /// Takes the folder, and finds the jobs that an earlier process left.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(super) fn open(folder: &Path, bounds: Bounds, log: Log) -> Result<Self> {
        let journal = Journal::open(folder)?;
        let jobs = Jobs::new(bounds);
        for job in journal.jobs()? {
            jobs.adopt(Arc::new(job));
        }
        Ok(Self {
            jobs,
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

    /// Writes the state of a job down, now or, should that fail, when there is room again.
    fn note(&self, job: &Job) {
        if let Err(error) = self.journal.update(job) {
            (self.log)(&format!("{}: {error}", job.id));
            let mut unwritten = self.unwritten();
            if unwritten.iter().all(|other| other.id != job.id) {
                unwritten.extend(self.jobs.get(&job.id));
            }
        }
    }

    /// Tries once more to write down what could not be written.
    fn catch_up(&self) {
        self.unwritten()
            .retain(|job| self.jobs.get(&job.id).is_some() && self.journal.update(job).is_err());
    }

    /// A begun job, written down: should that fail, it is only begun once more than it should be.
    fn begun(&self, job: Arc<Job>) -> Arc<Job> {
        self.note(&job);
        job
    }
}

impl Store for Local {
    fn submit(&self, order: Order, pictures: &Pictures) -> Result<Arc<Job>, Refused> {
        let place = self.jobs.reserve().map_err(Refused::Busy)?;
        let job = Job::new(
            new_id(),
            place.number,
            SystemTime::now(),
            order,
            Status::default(),
        );
        self.journal
            .begin(&job, pictures)
            .map_err(Refused::Failed)?;
        let job = Arc::new(job);
        self.jobs.enqueue(place, Arc::clone(&job));
        Ok(job)
    }

    fn next(&self) -> Option<Arc<Job>> {
        self.jobs.next().map(|job| self.begun(job))
    }

    fn next_like(&self, order: &Order) -> Option<Arc<Job>> {
        self.jobs.next_like(order).map(|job| self.begun(job))
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.journal.folder(id)
    }

    fn keep(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        self.journal.put(&job.id, name, bytes)
    }

    fn file(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        self.journal.get(id, name)
    }

    fn finish(&self, job: &Job, end: End) -> bool {
        let ended = self.jobs.finish(job, end);
        if ended {
            self.note(job);
        }
        ended
    }

    fn stop(&self, job: &Job, stop: Halt) -> Result<bool> {
        let ended = self.jobs.stop(job, stop);
        if ended {
            self.note(job);
        }
        Ok(ended)
    }

    fn forsake(&self, job: &Arc<Job>) -> bool {
        self.stop(job, Halt::Cancel).unwrap_or(false)
    }

    fn forget(&self, job: &Job) -> Result<bool> {
        let is_forgotten = self.jobs.forget(job);
        if is_forgotten {
            self.journal.remove(&job.id);
        }
        Ok(is_forgotten)
    }

    fn get(&self, id: &str) -> Result<Option<Arc<Job>>> {
        Ok(self.jobs.get(id))
    }

    fn all(&self) -> Result<Vec<Arc<Job>>> {
        Ok(self.jobs.all())
    }

    fn running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        Ok(self.jobs.running(api))
    }

    fn count(&self) -> Result<Count> {
        self.catch_up();
        Ok(Count {
            unwritten: self.unwritten().len(),
            ..self.jobs.count()
        })
    }

    fn expire(&self, now: SystemTime) -> Result<()> {
        self.catch_up();
        self.jobs
            .expire(now)
            .iter()
            .for_each(|job| self.journal.remove(&job.id));
        Ok(())
    }

    fn close(&self) {
        self.catch_up();
        self.jobs.close();
    }

    fn is_closed(&self) -> bool {
        self.jobs.is_closed()
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
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let log: Log = Arc::new(|_: &str| {});
            let bounds = Bounds {
                queue: 9,
                age: std::time::Duration::from_secs(60),
                bytes: 1 << 20,
                ended: 9,
            };
            Local::open(folder.path(), bounds, log).unwrap()
        };
        let local = open();
        let job = local.submit(Order::plain(), &Pictures::new()).ok().unwrap();
        let job = local.next().filter(|next| next.id == job.id).unwrap();
        // The record's temporary file cannot be written.
        let temporary = local.folder(&job.id).join(".job.json");
        symlink("/dev/full", &temporary).unwrap();
        assert!(local.finish(&job, End::Completed));
        assert_eq!(local.count().unwrap().unwritten, 1);
        std::fs::remove_file(&temporary).unwrap();
        assert_eq!(local.count().unwrap().unwritten, 0);
        drop(local);
        assert_eq!(
            open().get(&job.id).unwrap().unwrap().state(),
            State::Completed
        );
    }
}
