//! Storage of jobs: the trait that the server uses. `local` keeps jobs in the memory of this process
//! with a journal on disk; `redis` shares them with other processes.

mod journal;
pub(crate) mod local;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::serve::job::{Api, Job, JobSpec, Outcome, StopMode};
use crate::serve::uploads::UploadedImages;

/// Limits of the storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Maximum number of queued jobs.
    pub(crate) queue: usize,
    /// Lifetime of an ended job.
    pub(crate) age: Duration,
    /// Maximum total size of the images of ended jobs.
    pub(crate) bytes: u64,
    /// Maximum number of ended jobs.
    pub(crate) ended: usize,
}

/// An ended job, as far as its expiry depends on it.
pub(crate) struct EndedJob {
    pub(crate) id: String,
    pub(crate) ended: SystemTime,
    /// Serial number of the job.
    pub(crate) number: u64,
    /// Total size of its images.
    pub(crate) bytes: u64,
}

impl Retention {
    /// Jobs that are too old, or that exceed the limits when counted from the newest.
    pub(crate) fn select_expired(&self, mut jobs: Vec<EndedJob>, now: SystemTime) -> Vec<EndedJob> {
        jobs.sort_by_key(|job| std::cmp::Reverse((job.ended, job.number)));
        let mut bytes = 0;
        let mut number = 0;
        jobs.retain(|job| {
            bytes += job.bytes;
            number += 1;
            let is_old = now.duration_since(job.ended).unwrap_or_default() > self.age;
            is_old || bytes > self.bytes || number > self.ended
        });
        jobs
    }
}

/// Reason why the queue accepts no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueError {
    Full,
    /// The server is shutting down.
    Closed,
}

/// Reason why a submission is rejected.
pub(crate) enum SubmitError {
    /// Its fields are invalid.
    Invalid(Vec<Error>),
    /// The queue accepts no job.
    Queue(QueueError),
    /// It could not be stored.
    Storage(Error),
}

impl From<Error> for SubmitError {
    fn from(error: Error) -> Self {
        Self::Invalid(vec![error])
    }
}

/// Number of jobs by state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JobCounts {
    pub(crate) queued: usize,
    pub(crate) running: usize,
    pub(crate) ended: usize,
    /// Total size of stored images.
    pub(crate) bytes: u64,
    /// Jobs whose state could not be written to disk and still cannot be.
    pub(crate) unwritten: usize,
}

/// Storage of jobs.
pub(crate) trait Store: Send + Sync {
    /// Stores a job with its uploaded images and enqueues it.
    fn submit(&self, spec: JobSpec, uploaded: &UploadedImages) -> Result<Arc<Job>, SubmitError>;

    /// Waits for the next job and starts it; `None` once the store is closed.
    fn claim_next(&self) -> Option<Arc<Job>>;

    /// Starts the next job if it can share a batch with `spec`; does not wait.
    fn claim_batchable(&self, spec: &JobSpec) -> Option<Arc<Job>>;

    /// Directory of the uploaded images of a running job.
    fn upload_dir(&self, id: &str) -> PathBuf;

    /// Stores a result file of a running job.
    fn write_result(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()>;

    /// Reads a result file.
    fn read_result(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>>;

    /// Ends a running job; returns true if it had not ended before and still belongs to this
    /// process.
    fn finish(&self, job: &Job, outcome: Outcome) -> bool;

    /// Stops a job: a queued one at once, a running one at its next step. Returns true if this call
    /// ended it. A job that runs in another process is cancelled, whatever the mode.
    fn stop(&self, job: &Job, mode: StopMode) -> Result<bool>;

    /// Cancels a job after its client has disconnected, later if the store is unreachable now.
    /// Returns true if this call ended it.
    fn abandon(&self, job: &Arc<Job>) -> bool;

    /// Deletes an ended job with all its files; returns true if it had ended.
    fn delete(&self, job: &Job) -> Result<bool>;

    /// The job with this id; its later changes are visible in the returned job.
    fn find(&self, id: &str) -> Result<Option<Arc<Job>>>;

    /// All jobs, the newest first.
    fn list(&self) -> Result<Vec<Arc<Job>>>;

    /// A running job that was submitted through `api`.
    fn find_running(&self, api: Api) -> Result<Option<Arc<Job>>>;

    /// Number of jobs by state.
    fn counts(&self) -> Result<JobCounts>;

    /// Deletes the jobs that exceed the retention limits.
    fn delete_expired(&self, now: SystemTime) -> Result<()>;

    /// Accepts and starts no more jobs; cancels queued ones whose clients wait on the connection.
    fn close(&self);

    /// Returns true if the store is closed.
    fn is_closed(&self) -> bool;
}
