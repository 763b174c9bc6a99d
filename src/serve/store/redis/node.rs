//! This process as a consumer of the queue: its connections, the job that it runs, the jobs that it
//! watches for clients, and the commands that the other modules share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use redis::{Cmd, Connection, RedisResult, cmd};
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::serve::job::Job;
use crate::serve::options::Log;
use crate::serve::store::Retention;
use crate::serve::store::redis::connection::ConnectionPool;
use crate::serve::timestamp::unix_seconds;

/// Prefix of all keys.
pub(super) const PREFIX: &str = "sdgen";
/// Stream of queued and running jobs.
pub(super) const QUEUE: &str = "sdgen:queue";
/// Consumer group of the stream; the scripts contain its name as well.
pub(super) const GROUP: &str = "engines";
/// Pub/sub channel on which processes announce changes.
pub(super) const CHANNEL: &str = "sdgen:bell";

/// This process as a consumer of the queue.
pub(super) struct Node {
    pub(super) pool: ConnectionPool,
    pub(super) name: String,
    pub(super) retention: Retention,
    pub(super) lease: Duration,
    pub(super) log: Log,
    pub(super) closed: AtomicBool,
    connectivity: Mutex<Connectivity>,
    claimed: Mutex<Option<ClaimedJob>>,
    /// Notified when a job is claimed.
    pub(super) job_claimed: Condvar,
    pub(super) watched: WatchedJobs,
    /// Abandoned jobs that are yet to be cancelled, because Redis was unreachable.
    abandoned: Mutex<VecDeque<Arc<Job>>>,
}

/// The job that this process runs.
pub(super) struct ClaimedJob {
    pub(super) job: Arc<Job>,
    /// Directory of the uploaded images, if there are any.
    pub(super) upload_dir: Option<TempDir>,
    /// Ids of the events that Redis has.
    pub(super) reported_ids: Vec<u64>,
    pub(super) reported_at: Instant,
}

/// Jobs that clients of this process read or subscribe to.
#[derive(Default)]
pub(super) struct WatchedJobs {
    jobs: Mutex<HashMap<String, Weak<Job>>>,
    /// Held during a refresh, so that older data does not overwrite newer data.
    pub(super) refreshing: Mutex<()>,
}

struct Connectivity {
    is_up: bool,
    /// Time of the last change; `None` if there was none.
    since: Option<Instant>,
}

/// Command that runs a script on a job.
pub(super) fn script(source: &str, id: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg((source, 1, PREFIX, id));
    command
}

/// Creates the consumer group if it is missing.
pub(super) fn create_group(connection: &mut Connection) -> RedisResult<()> {
    let mut create = cmd("XGROUP");
    create.arg(("CREATE", QUEUE, GROUP, 0, "MKSTREAM"));
    match create.query(connection) {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        result => result,
    }
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal("cannot serialise a job").source(e))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WatchedJobs {
    pub(super) fn find(&self, id: &str) -> Option<Arc<Job>> {
        lock(&self.jobs).get(id)?.upgrade()
    }

    /// Adds a job, or returns the one with the same id that is watched already.
    pub(super) fn find_or_insert(&self, job: Arc<Job>) -> Arc<Job> {
        let mut jobs = lock(&self.jobs);
        if let Some(watched) = jobs.get(&job.id).and_then(Weak::upgrade) {
            return watched;
        }
        jobs.retain(|_, watched| watched.strong_count() > 0);
        jobs.insert(job.id.clone(), Arc::downgrade(&job));
        job
    }

    pub(super) fn list(&self) -> Vec<Arc<Job>> {
        lock(&self.jobs)
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl Node {
    pub(super) fn new(
        pool: ConnectionPool,
        lease: Duration,
        retention: Retention,
        log: Log,
    ) -> Self {
        Self {
            pool,
            name: format!("node-{:016x}", rand::random::<u64>()),
            retention,
            lease,
            log,
            closed: AtomicBool::new(false),
            connectivity: Mutex::new(Connectivity {
                is_up: true,
                since: None,
            }),
            claimed: Mutex::default(),
            job_claimed: Condvar::new(),
            watched: WatchedJobs::default(),
            abandoned: Mutex::default(),
        }
    }

    /// Runs an idempotent query; logs when Redis becomes unreachable and when it is back.
    pub(super) fn query<T>(
        &self,
        work: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T> {
        let result = self.pool.query(work);
        let mut connectivity = lock(&self.connectivity);
        if connectivity.is_up != result.is_ok() {
            *connectivity = Connectivity {
                is_up: result.is_ok(),
                since: Some(Instant::now()),
            };
            match &result {
                Ok(_) => (self.log)("the queue is back"),
                Err(error) => (self.log)(&format!("{error}; trying again")),
            }
        }
        result
    }

    /// Returns true if the last outage is long enough ago that every process has had the time to
    /// renew its lease.
    pub(super) fn is_connection_stable(&self) -> bool {
        let connectivity = lock(&self.connectivity);
        let min_uptime = self.lease / 2;
        connectivity
            .since
            .is_none_or(|since| since.elapsed() > min_uptime)
    }

    /// Delay before Redis is queried again after a failure.
    pub(super) fn retry_delay(&self) -> Duration {
        (self.lease / 8).min(Duration::from_secs(1))
    }

    pub(super) fn claimed(&self) -> MutexGuard<'_, Option<ClaimedJob>> {
        lock(&self.claimed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Cancels a queued job, or asks the owner of a running one to do so. Returns true if this call
    /// ended it.
    pub(super) fn cancel(&self, job: &Job) -> Result<bool> {
        let (status, event) = job.cancelled_record()?;
        let mut cancel = script(include_str!("cancel.lua"), &job.id);
        cancel
            .arg((to_json(&status)?, unix_seconds(SystemTime::now())))
            .arg((event.id, to_json(&event)?));
        let ended: bool = self.query(|connection| cancel.query(connection))?;
        self.refresh(job)?;
        Ok(ended)
    }

    /// Cancels a job, later if Redis is unreachable now.
    pub(super) fn abandon(&self, job: &Arc<Job>) -> bool {
        self.cancel(job).unwrap_or_else(|_| {
            self.cancel_later(Arc::clone(job));
            false
        })
    }

    pub(super) fn cancel_later(&self, job: Arc<Job>) {
        let mut abandoned = lock(&self.abandoned);
        abandoned.push_back(job);
        // No more jobs than this can be queued in Redis.
        let surplus = abandoned.len().saturating_sub(self.retention.queue);
        abandoned.drain(..surplus);
    }

    /// Cancels the abandoned jobs that could not be cancelled so far.
    pub(super) fn cancel_abandoned(&self) {
        let abandoned = std::mem::take(&mut *lock(&self.abandoned));
        for job in &abandoned {
            self.abandon(job);
        }
    }
}
