//! Where jobs live: what the server asks of the place, whatever it is. One implementation keeps
//! them in this process and on its disk (`local`), the other in Redis, with other processes
//! (`shared`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::job::{Api, End, Halt, Job, Order};
use super::uploads::Pictures;
use crate::error::{Error, Result};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most jobs that wait.
    pub(super) queue: usize,
    /// How long an ended job is kept.
    pub(super) age: Duration,
    /// Most bytes of pictures of ended jobs.
    pub(super) bytes: u64,
    /// Most ended jobs.
    pub(super) ended: usize,
}

impl Bounds {
    /// Which of the ended jobs are too old, or too many, the oldest first: each is told by its end,
    /// its number and the bytes of its pictures.
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

/// An ended job, as far as its expiry asks.
pub(super) trait Ended {
    /// When it ended.
    fn at(&self) -> SystemTime;
    /// In which order it came.
    fn number(&self) -> u64;
    /// Bytes of its pictures.
    fn bytes(&self) -> u64;
}

/// Why no job is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Every place in the queue is taken.
    Full,
    /// The server is about to end.
    Closed,
}

/// Why an order is not granted.
pub(super) enum Refused {
    /// It is wrong in these ways.
    Wrong(Vec<Error>),
    /// There is no room for it.
    Busy(Refusal),
    /// It could not be kept.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Wrong(vec![error])
    }
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) queued: usize,
    pub(super) running: usize,
    pub(super) ended: usize,
    /// Bytes of pictures.
    pub(super) bytes: u64,
}

/// The place where jobs live.
pub(super) trait Store: Send + Sync {
    /// Keeps an order with its pictures at the end of the queue.
    fn submit(&self, order: Order, pictures: &Pictures) -> Result<Arc<Job>, Refused>;

    /// The next job, begun, for the one who draws; waits for one. Nothing once the place is closed.
    fn next(&self) -> Option<Arc<Job>>;

    /// The next job, begun, if there is one now that is like `order`, to be drawn together with
    /// that.
    fn next_like(&self, order: &Order) -> Option<Arc<Job>>;

    /// Where the pictures that came with a job lie while it is drawn.
    fn folder(&self, id: &str) -> PathBuf;

    /// Keeps a file of a job that is being drawn.
    fn keep(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()>;

    /// A file that was kept.
    fn file(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>>;

    /// The job that is drawn came to its end; whether it had none before and is still this
    /// process's.
    fn finish(&self, job: &Job, end: End) -> bool;

    /// Stops a job: one that waits at once, one that runs at its next step, one that has ended not
    /// at all. Whether this ended it. A job that another process draws is cancelled, however it is
    /// stopped.
    fn stop(&self, job: &Job, stop: Halt) -> Result<bool>;

    /// Stops a job that nobody waits for any more: where that cannot be told now, as soon as it
    /// can. Whether this ended it.
    fn forsake(&self, job: &Arc<Job>) -> bool;

    /// Forgets an ended job with all that is its own; whether it had ended.
    fn forget(&self, job: &Job) -> Result<bool>;

    /// The job of this name; what happens to it from now on is heard by those who hold it.
    fn get(&self, id: &str) -> Result<Option<Arc<Job>>>;

    /// Every job, the newest first.
    fn all(&self) -> Result<Vec<Arc<Job>>>;

    /// A running job that came in through `api`.
    fn running(&self, api: Api) -> Result<Option<Arc<Job>>>;

    /// How many there are.
    fn count(&self) -> Result<Count>;

    /// Forgets jobs that are too old or too many.
    fn expire(&self, now: SystemTime) -> Result<()>;

    /// Takes no more jobs and begins none; ends those whose clients will not come back for them.
    fn close(&self);

    /// Whether it is closed.
    fn is_closed(&self) -> bool;
}
