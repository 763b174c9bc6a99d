//! Jobs in Redis, shared between processes: one may accept a job, another run it, and a third
//! answer requests about it. A job is a hash with a stream of its events and a hash of its results;
//! the queue is a stream with a consumer group, whose pending entries are the running jobs. Atomic
//! operations are Lua scripts (`*.lua`).
//!
//! Each delivery of a job is a numbered attempt. Only the owner of the current attempt can write to
//! the job, so that it ends once, however many processes believed that they owned it.
//!
//! Written by hand, since job crates over Redis (apalis) have no bounded queue, no event stream that
//! clients can replay, and no cancellation of a running job.

mod connection;
mod consumer;
mod node;
mod subscriber;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use redis::{cmd, pipe};

use self::connection::ConnectionPool;
use self::node::{GROUP, Node, PREFIX, QUEUE, create_group, script, to_json};
use super::{EndedJob, JobCounts, QueueError, Retention, Store, SubmitError};
use crate::error::{Error, Result};
use crate::serve::job::{Api, Job, JobSpec, Outcome, Status, StopMode, new_id};
use crate::serve::options::Log;
use crate::serve::timestamp::{from_unix_seconds, unix_seconds};
use crate::serve::uploads::UploadedImages;

/// Jobs in Redis.
pub(crate) struct RedisStore(Arc<Node>);

impl RedisStore {
    /// Connects to the queue, and starts the threads that subscribe to changes and forward events.
    pub(crate) fn open(url: &str, lease: Duration, retention: Retention, log: Log) -> Result<Self> {
        let pool = ConnectionPool::new(url)?;
        pool.query(|connection| {
            create_group(connection)?;
            // Fails on versions of Redis that are too old.
            let mut pending = cmd("XPENDING");
            pending.arg((QUEUE, GROUP, "IDLE", 1, "-", "+", 1));
            pending.exec(connection)
        })?;
        let node = Arc::new(Node::new(pool, lease, retention, log));
        for (name, work) in [
            ("forwarder", Node::forward_events as fn(&Node)),
            ("subscriber", Node::subscribe_to_changes),
        ] {
            let node = Arc::clone(&node);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread
                .spawn(move || work(&node))
                .map_err(|e| Error::internal("cannot start a thread").source(e))?;
        }
        Ok(Self(node))
    }

    /// Enqueues a job; `None` if the queue is full.
    fn enqueue(&self, spec: JobSpec, uploaded: &UploadedImages) -> Result<Option<Arc<Job>>> {
        let (id, now) = (new_id(), SystemTime::now());
        let mut submit = script(include_str!("submit.lua"), &id);
        submit
            .arg((self.0.retention.queue, unix_seconds(now)))
            .arg((to_json(&spec)?, to_json(&Status::default())?));
        for (name, bytes) in uploaded {
            submit.arg(name).arg(bytes);
        }
        let job = |number: u64| Arc::new(Job::new(id, number, now, spec, Status::default()));
        let enqueued: Result<Option<(u64, Option<usize>)>> =
            self.0.query(|connection| submit.query(connection));
        match enqueued {
            Ok(Some((number, _))) => Ok(Some(self.0.watch_job(job(number)))),
            Ok(None) => Ok(None),
            Err(error) => {
                // Redis may have stored the job without answering; the client gets an error.
                self.0.cancel_later(job(0));
                Err(error)
            }
        }
    }

    /// Deletes an ended job; returns true if it existed.
    fn delete_by_id(&self, id: &str) -> Result<bool> {
        let delete = script(include_str!("delete.lua"), id);
        self.0.query(|connection| delete.query(connection))
    }
}

impl Store for RedisStore {
    fn submit(&self, spec: JobSpec, uploaded: &UploadedImages) -> Result<Arc<Job>, SubmitError> {
        if self.0.is_closed() {
            return Err(SubmitError::Queue(QueueError::Closed));
        }
        let job = self.enqueue(spec, uploaded).map_err(SubmitError::Storage)?;
        job.ok_or(SubmitError::Queue(QueueError::Full))
    }

    fn claim_next(&self) -> Option<Arc<Job>> {
        self.0.claim_next()
    }

    /// Always `None`: a queued job is left to any free process.
    fn claim_batchable(&self, _spec: &JobSpec) -> Option<Arc<Job>> {
        None
    }

    fn upload_dir(&self, id: &str) -> PathBuf {
        self.0.upload_dir(id)
    }

    fn write_result(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.write_result(job, name, bytes)
    }

    fn read_result(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let mut get = cmd("HGET");
        get.arg((format!("{PREFIX}:job:{id}:results"), name));
        self.0.query(|connection| get.query(connection))
    }

    fn finish(&self, job: &Job, outcome: Outcome) -> bool {
        self.0.finish(job, outcome)
    }

    fn stop(&self, job: &Job, mode: StopMode) -> Result<bool> {
        if mode != StopMode::Cancel
            && let Some(claimed) = self.0.claimed().as_ref()
            && claimed.job.id == job.id
        {
            claimed.job.request_stop(mode);
            return Ok(false);
        }
        self.0.cancel(job)
    }

    fn abandon(&self, job: &Arc<Job>) -> bool {
        self.0.abandon(job)
    }

    fn delete(&self, job: &Job) -> Result<bool> {
        // A job that another process has deleted counts as deleted.
        let is_deleted = job.state().is_final()
            && (self.delete_by_id(&job.id)? || self.0.find(&job.id)?.is_none());
        Ok(is_deleted)
    }

    fn find(&self, id: &str) -> Result<Option<Arc<Job>>> {
        self.0.find(id)
    }

    fn list(&self) -> Result<Vec<Arc<Job>>> {
        self.0.list()
    }

    fn find_running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        self.0.find_running(api)
    }

    fn counts(&self) -> Result<JobCounts> {
        let mut query = pipe();
        query.atomic();
        query.cmd("ZCARD").arg("sdgen:waiting");
        query.cmd("SCARD").arg("sdgen:running");
        query.cmd("ZCARD").arg("sdgen:ended");
        query.cmd("HVALS").arg("sdgen:bytes");
        let (queued, running, ended, bytes): (usize, usize, usize, Vec<u64>) =
            self.0.query(|connection| query.query(connection))?;
        Ok(JobCounts {
            queued,
            running,
            ended,
            bytes: bytes.iter().sum(),
            unwritten: 0,
        })
    }

    fn delete_expired(&self, now: SystemTime) -> Result<()> {
        let mut query = pipe();
        query.atomic();
        query
            .cmd("ZRANGE")
            .arg(("sdgen:ended", 0, -1, "WITHSCORES"));
        query.cmd("HGETALL").arg("sdgen:bytes");
        let (ended, bytes): (Vec<(String, f64)>, HashMap<String, u64>) =
            self.0.query(|connection| query.query(connection))?;
        let ended = ended
            .into_iter()
            .zip(0..)
            .map(|((id, at), number)| EndedJob {
                ended: from_unix_seconds(at),
                number,
                bytes: bytes.get(&id).copied().unwrap_or(0),
                id,
            });
        for job in self.0.retention.select_expired(ended.collect(), now) {
            self.delete_by_id(&job.id)?;
        }
        Ok(())
    }

    fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
