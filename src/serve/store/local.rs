//! Jobs of this process: a bounded queue in memory, with a journal on disk that the next process
//! loads.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::journal::Journal;
use super::{EndedJob, JobCounts, QueueError, Retention, Store, SubmitError};
use crate::error::Result;
use crate::serve::job::{Api, Job, JobSpec, Outcome, State, Status, StopMode, new_id};
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

/// A place in the queue, reserved until the job is stored.
struct Reservation<'a> {
    queue: &'a JobQueue,
    /// Number for the job.
    number: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.queue.lock().reserved -= 1;
    }
}

#[derive(Default)]
struct QueueState {
    jobs: HashMap<String, Arc<Job>>,
    queued: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
    reserved: usize,
    last_number: u64,
    closed: bool,
}

/// Jobs in memory: the queue, the running jobs, and those that have ended and not yet expired.
struct JobQueue {
    retention: Retention,
    state: Mutex<QueueState>,
    /// Notified when a job is enqueued, and when the queue is closed.
    changed: Condvar,
}

impl JobQueue {
    fn new(retention: Retention) -> Self {
        Self {
            retention,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a place for one more job.
    fn reserve(&self) -> Result<Reservation<'_>, QueueError> {
        let mut state = self.lock();
        if state.closed {
            return Err(QueueError::Closed);
        }
        if state.queued.len() + state.reserved >= self.retention.queue {
            return Err(QueueError::Full);
        }
        state.reserved += 1;
        state.last_number += 1;
        Ok(Reservation {
            queue: self,
            number: state.last_number,
        })
    }

    /// Enqueues a job.
    fn enqueue(&self, reservation: Reservation<'_>, job: Arc<Job>) {
        let mut state = self.lock();
        state.queued.push_back(Arc::clone(&job));
        job.set_position(state.queued.len());
        if state.closed && job.spec.is_synchronous {
            state.queued.pop_back();
            job.finish(Outcome::Cancelled);
        }
        state.jobs.insert(job.id.clone(), job);
        drop(state);
        drop(reservation);
        self.changed.notify_one();
    }

    /// Adds a job of an earlier process; to be called in the order of their numbers.
    fn restore(&self, job: Arc<Job>) {
        let mut state = self.lock();
        state.last_number = state.last_number.max(job.number);
        if job.state() == State::Queued {
            state.queued.push_back(Arc::clone(&job));
            job.set_position(state.queued.len());
        }
        state.jobs.insert(job.id.clone(), job);
    }

    /// Waits for the next job and starts it; `None` once the queue is closed.
    fn claim_next(&self) -> Option<Arc<Job>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.start_next() {
                return Some(job);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts the next job if it can share a batch with `spec`; does not wait.
    fn claim_batchable(&self, spec: &JobSpec) -> Option<Arc<Job>> {
        let mut state = self.lock();
        let next = state.queued.front()?;
        if state.closed || !next.spec.can_share_batch(spec) {
            return None;
        }
        state.start_next()
    }

    /// Ends a running job; returns true if it had not ended before.
    fn finish(&self, job: &Job, outcome: Outcome) -> bool {
        let mut state = self.lock();
        state.running.retain(|running| running.id != job.id);
        job.finish(outcome)
    }

    /// Stops a job: a queued one at once, a running one at its next step. Returns true if this call
    /// ended it.
    fn stop(&self, job: &Job, mode: StopMode) -> bool {
        let mut state = self.lock();
        let Some(place) = state.queued.iter().position(|other| other.id == job.id) else {
            job.request_stop(mode);
            return false;
        };
        state.queued.remove(place);
        state.update_positions();
        job.finish(Outcome::Cancelled)
    }

    /// Removes a job if it has ended; returns true if so.
    fn remove_ended(&self, job: &Job) -> bool {
        let mut state = self.lock();
        let has_ended = job.state().is_final();
        if has_ended {
            state.jobs.remove(&job.id);
        }
        has_ended
    }

    fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.lock().jobs.get(id).cloned()
    }

    /// All jobs, the newest first.
    fn list(&self) -> Vec<Arc<Job>> {
        let mut jobs: Vec<Arc<Job>> = self.lock().jobs.values().cloned().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.number));
        jobs
    }

    /// A running job that was submitted through `api`.
    fn find_running(&self, api: Api) -> Option<Arc<Job>> {
        let state = self.lock();
        state
            .running
            .iter()
            .find(|job| job.spec.api == api)
            .cloned()
    }

    /// Accepts and starts no more jobs; cancels queued ones whose clients wait on the connection.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queued.retain(|job| {
            if job.spec.is_synchronous {
                job.finish(Outcome::Cancelled);
            }
            !job.spec.is_synchronous
        });
        self.changed.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Number of jobs by state.
    fn counts(&self) -> JobCounts {
        let state = self.lock();
        let (queued, running) = (state.queued.len(), state.running.len());
        JobCounts {
            queued,
            running,
            ended: state.jobs.len() - queued - running,
            bytes: state.jobs.values().map(|job| job.image_bytes()).sum(),
            unwritten: 0,
        }
    }

    /// Removes the jobs that exceed the retention limits; returns their ids.
    fn remove_expired(&self, now: SystemTime) -> Vec<String> {
        let mut state = self.lock();
        let ended = state.jobs.values().filter_map(|job| {
            Some(EndedJob {
                id: job.id.clone(),
                ended: job.status().ended?,
                number: job.number,
                bytes: job.image_bytes(),
            })
        });
        let expired = self.retention.select_expired(ended.collect(), now);
        for job in &expired {
            state.jobs.remove(&job.id);
        }
        expired.into_iter().map(|job| job.id).collect()
    }
}

impl QueueState {
    /// Starts the first job of the queue.
    fn start_next(&mut self) -> Option<Arc<Job>> {
        let job = self.queued.pop_front()?;
        job.start();
        self.running.push(Arc::clone(&job));
        self.update_positions();
        Some(job)
    }

    fn update_positions(&self) {
        for (place, job) in self.queued.iter().enumerate() {
            job.set_position(place + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::image_record::ImageRecord;

    const RETENTION: Retention = Retention {
        queue: 2,
        age: Duration::from_secs(60),
        bytes: 100,
        ended: 3,
    };

    fn submit(jobs: &JobQueue) -> Result<Arc<Job>, QueueError> {
        let reservation = jobs.reserve()?;
        let job = Job::new(
            new_id(),
            reservation.number,
            SystemTime::now(),
            JobSpec::unreadable(),
            Status::default(),
        );
        let job = Arc::new(job);
        jobs.enqueue(reservation, Arc::clone(&job));
        Ok(job)
    }

    fn run_job(jobs: &JobQueue, bytes: u64) -> Arc<Job> {
        submit(jobs).unwrap();
        let job = jobs.claim_next().unwrap();
        job.record_image(ImageRecord {
            index: 0,
            seed: 1,
            width: 8,
            height: 8,
            bytes,
        });
        assert!(jobs.finish(&job, Outcome::Completed));
        job
    }

    #[test]
    fn a_full_queue_refuses_and_a_started_job_makes_room() {
        let jobs = JobQueue::new(RETENTION);
        let [first, second] = [0; 2].map(|_| submit(&jobs).unwrap());
        assert_eq!(submit(&jobs).unwrap_err(), QueueError::Full);
        assert_eq!(
            (first.status().position, second.status().position),
            (Some(1), Some(2))
        );
        assert_eq!(jobs.claim_next().unwrap().id, first.id);
        assert_eq!(
            (first.state(), second.status().position),
            (State::Running, Some(1))
        );
        assert!(submit(&jobs).is_ok());
    }

    #[test]
    fn a_place_that_is_not_taken_is_free_again() {
        let jobs = JobQueue::new(RETENTION);
        let reservations = [0; 2].map(|_| jobs.reserve().unwrap());
        assert_eq!(jobs.reserve().err(), Some(QueueError::Full));
        drop(reservations);
        assert!(jobs.reserve().is_ok());
    }

    #[test]
    fn queued_jobs_are_cancelled_at_once_and_running_ones_are_asked() {
        let jobs = JobQueue::new(RETENTION);
        let [first, second] = [0; 2].map(|_| submit(&jobs).unwrap());
        jobs.claim_next();
        jobs.stop(&second, StopMode::Cancel);
        jobs.stop(&first, StopMode::Cancel);
        assert_eq!(
            (second.state(), first.state()),
            (State::Cancelled, State::Running)
        );
        assert!(first.is_cancelled() && jobs.finish(&first, Outcome::Cancelled));
        assert!(
            !jobs.finish(&first, Outcome::Completed),
            "a final state is final"
        );
        assert_eq!(first.state(), State::Cancelled);
    }

    #[test]
    fn a_closed_queue_gives_and_takes_nothing() {
        let jobs = JobQueue::new(RETENTION);
        let waiting = submit(&jobs).unwrap();
        jobs.close();
        assert!(jobs.claim_next().is_none());
        assert_eq!(submit(&jobs).unwrap_err(), QueueError::Closed);
        assert_eq!(waiting.state(), State::Queued);
    }

    #[test]
    fn ended_jobs_expire_by_age_size_and_number() {
        let jobs = JobQueue::new(RETENTION);
        let ended = |jobs: &JobQueue| jobs.counts().ended;
        (0..4).for_each(|_| {
            run_job(&jobs, 10);
        });
        assert_eq!(jobs.remove_expired(SystemTime::now()).len(), 1);
        let large = run_job(&jobs, 90);
        let gone = jobs.remove_expired(SystemTime::now());
        assert_eq!((gone.len(), ended(&jobs)), (2, 2));
        assert!(gone.iter().all(|id| *id != large.id));
        jobs.remove_expired(SystemTime::now() + Duration::from_secs(61));
        assert_eq!(ended(&jobs), 0);
    }

    /// A state that could not be written is written later: a job ends once, across restarts too.
    #[cfg(unix)]
    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let log: Log = Arc::new(|_: &str| {});
            let retention = Retention {
                queue: 9,
                age: Duration::from_secs(60),
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
        std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
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
