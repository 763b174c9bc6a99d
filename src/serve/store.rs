//! Storage of jobs: the interface that the server uses. One implementation keeps them in this
//! process and on its disk (`local`), the other in Redis, shared with other processes (`shared`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::job::{Api, End, Halt, Job, Order};
use super::uploads::Pictures;
use crate::error::{Error, Result};

/// Limits of the storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most jobs that wait.
    pub(super) queue: usize,
    /// Lifetime of an ended job.
    pub(super) age: Duration,
    /// Most bytes of pictures of ended jobs.
    pub(super) bytes: u64,
    /// Most ended jobs.
    pub(super) ended: usize,
}

impl Bounds {
    /// The ended jobs that are too old, or that exceed the limits when counted from the newest.
    pub(super) fn stale<T: Ended>(&self, mut ended: Vec<T>, now: SystemTime) -> Vec<T> {
        ended.sort_by_key(|job| std::cmp::Reverse((job.at(), job.number())));
        let mut bytes = 0;
        let mut number = 0;
        ended.retain(|job| {
            bytes += job.bytes();
            number += 1;
            let old = now.duration_since(job.at()).unwrap_or_default() > self.age;
            old || bytes > self.bytes || number > self.ended
        });
        ended
    }
}

/// Properties of an ended job that decide its expiry.
pub(super) trait Ended {
    /// End time of the job.
    fn at(&self) -> SystemTime;
    /// Serial number of the job.
    fn number(&self) -> u64;
    /// Bytes of its pictures.
    fn bytes(&self) -> u64;
}

/// Reason why no job is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Every place in the queue is taken.
    Full,
    /// The server is shutting down.
    Closed,
}

/// Reason why an order is refused.
pub(super) enum Refused {
    /// Its fields are wrong.
    Wrong(Vec<Error>),
    /// There is no room for it.
    Busy(Refusal),
    /// It could not be stored.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Wrong(vec![error])
    }
}

/// Number of jobs by state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) queued: usize,
    pub(super) running: usize,
    pub(super) ended: usize,
    /// Bytes of pictures.
    pub(super) bytes: u64,
    /// Jobs whose state could not be written down and still cannot be.
    pub(super) unwritten: usize,
}

/// Storage of jobs.
pub(super) trait Store: Send + Sync {
    /// Stores an order with its images at the end of the queue.
    fn submit(&self, order: Order, pictures: &Pictures) -> Result<Arc<Job>, Refused>;

    /// Waits for the next job and begins it; `None` once the store is closed.
    fn next(&self) -> Option<Arc<Job>>;

    /// Begins the next job if it is like `order`, to be drawn in the same batch; does not wait.
    fn next_like(&self, order: &Order) -> Option<Arc<Job>>;

    /// Folder of the uploaded images of a job while it is drawn.
    fn folder(&self, id: &str) -> PathBuf;

    /// Keeps a file of a job that is being drawn.
    fn keep(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()>;

    /// A file that was kept.
    fn file(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>>;

    /// Ends the job that is drawn; returns true if it had not ended before and is still this
    /// process's.
    fn finish(&self, job: &Job, end: End) -> bool;

    /// Stops a job: a waiting one at once, a running one at its next step. Returns true if this
    /// call ended it. A job that another process draws is cancelled, whatever `stop` says.
    fn stop(&self, job: &Job, stop: Halt) -> Result<bool>;

    /// Cancels a job whose client is gone, later if the store is unreachable now. Returns true if
    /// this call ended it.
    fn forsake(&self, job: &Arc<Job>) -> bool;

    /// Forgets an ended job with all its files; returns true if it had ended.
    fn forget(&self, job: &Job) -> Result<bool>;

    /// The job with this id; holders of the returned job see its later changes.
    fn get(&self, id: &str) -> Result<Option<Arc<Job>>>;

    /// Every job, the newest first.
    fn all(&self) -> Result<Vec<Arc<Job>>>;

    /// A running job that came in through `api`.
    fn running(&self, api: Api) -> Result<Option<Arc<Job>>>;

    /// Number of jobs by state.
    fn count(&self) -> Result<Count>;

    /// Forgets jobs that are too old or too many.
    fn expire(&self, now: SystemTime) -> Result<()>;

    /// Accepts and begins no more jobs; cancels waiting ones whose clients wait on the connection.
    fn close(&self);

    /// Returns true if the store is closed.
    fn is_closed(&self) -> bool;
}
