//! The job that this process runs: claimed from the queue, or from a process that has stopped
//! reporting; reported on while it runs; and ended. One thread runs it; another, the forwarder,
//! writes its events to Redis and so renews the lease.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, Value, cmd};
use tempfile::TempDir;

use super::node::{ClaimedJob, GROUP, Node, QUEUE, create_group, script, to_json};
use crate::error::{Error, Kind, Result};
use crate::serve::failure::{Failure, MAX_ATTEMPTS};
use crate::serve::job::{Job, JobSpec, Outcome, State, Status, StopMode};
use crate::serve::timestamp::{from_unix_seconds, unix_seconds};

/// Minimum interval between reports on a running job.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);
/// Time for which one read blocks on the empty queue.
const BLOCK_TIME: Duration = Duration::from_millis(500);
/// Time for a closing node to report the end of its job.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// An entry of the queue: its id, and its fields.
type QueueEntry = (String, HashMap<String, String>);

/// Reply to a report on a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReportReply {
    Accepted,
    /// Another process owns the job by now.
    LeaseLost,
}

impl Node {
    /// Waits for the next job; `None` once the node is closed.
    pub(super) fn claim_next(&self) -> Option<Arc<Job>> {
        while !self.is_closed() {
            match self.poll_queue() {
                Ok(None) => {}
                Ok(job) => return job,
                Err(_) => std::thread::sleep(self.retry_delay()),
            }
        }
        let mut leave = cmd("XGROUP");
        leave.arg(("DELCONSUMER", QUEUE, GROUP, &self.name));
        // A consumer that remains in the group does no harm.
        let _ = self.query(|connection| leave.exec(connection));
        None
    }

    fn poll_queue(&self) -> Result<Option<Arc<Job>>> {
        let mut entry = None;
        // During an outage no process can report.
        if self.is_connection_stable() {
            entry = self.query(|connection| self.claim_orphan(connection))?;
        }
        if entry.is_none() {
            entry = self.query(|connection| self.read_undelivered(connection))?;
        }
        let Some((entry, fields)) = entry else {
            return Ok(None);
        };
        match fields.get("job") {
            Some(id) => self.start_attempt(&entry, id),
            None => Ok(None),
        }
    }

    /// Claims a job whose owner has not reported for longer than the lease.
    fn claim_orphan(&self, connection: &mut Connection) -> RedisResult<Option<QueueEntry>> {
        let lease = self.lease.as_millis() as u64;
        let mut pending = cmd("XPENDING");
        pending.arg((QUEUE, GROUP, "IDLE", lease, "-", "+", 1));
        let orphans: Vec<(String, String, u64, u64)> =
            or_create_group(pending.query(connection), connection)?;
        let Some((entry, ..)) = orphans.first() else {
            return Ok(None);
        };
        let mut claim = cmd("XCLAIM");
        claim.arg((QUEUE, GROUP, &self.name, lease, entry));
        let claimed: Vec<Option<QueueEntry>> = claim.query(connection)?;
        Ok(claimed.into_iter().flatten().next())
    }

    /// The next job that was never delivered.
    fn read_undelivered(&self, connection: &mut Connection) -> RedisResult<Option<QueueEntry>> {
        let block = BLOCK_TIME.as_millis() as u64;
        let mut read = cmd("XREADGROUP");
        read.arg(("GROUP", GROUP, &self.name, "COUNT", 1))
            .arg(("BLOCK", block, "STREAMS", QUEUE, ">"));
        let streams: Option<Vec<(String, Vec<QueueEntry>)>> =
            or_create_group(read.query(connection), connection)?;
        let mut entries = streams
            .into_iter()
            .flatten()
            .flat_map(|(_, entries)| entries);
        Ok(entries.next())
    }

    /// Starts the next attempt at a delivered job; `None` if the job has ended, or ends at once.
    fn start_attempt(&self, entry: &str, id: &str) -> Result<Option<Arc<Job>>> {
        type Reply = (
            u64,
            f64,
            String,
            String,
            u32,
            Option<String>,
            HashMap<String, Vec<u8>>,
        );
        let mut claim = script(include_str!("claim.lua"), id);
        claim.arg((entry, &self.name));
        let reply: Option<Reply> = self.query(|connection| claim.query(connection))?;
        let Some((number, created, spec, _, attempts, cancel, uploaded)) = reply else {
            return Ok(None);
        };
        let spec: Option<JobSpec> = serde_json::from_str(&spec).ok();
        let is_readable = spec.is_some();
        let status = Status {
            attempts: attempts.saturating_sub(1),
            ..Status::default()
        };
        let job = Arc::new(Job::new(
            id.to_owned(),
            number,
            from_unix_seconds(created),
            spec.unwrap_or_else(JobSpec::unreadable),
            status,
        ));
        job.start();
        let upload_dir = write_uploads(&uploaded);
        let outcome = match &upload_dir {
            _ if cancel.is_some() => Some(Outcome::Cancelled),
            _ if attempts > MAX_ATTEMPTS => Some(Outcome::Failed(Failure::too_many_attempts())),
            _ if !is_readable => Some(Outcome::Failed(Failure::internal(
                "the job was submitted to another version of the server",
            ))),
            Err(error) => {
                (self.log)(&format!("{id}: {error}"));
                let message = "the server cannot write the uploaded images to its disk";
                Some(Outcome::Failed(Failure::new(error.kind(), message)))
            }
            Ok(_) => None,
        };
        *self.claimed() = Some(ClaimedJob {
            job: Arc::clone(&job),
            upload_dir: upload_dir.unwrap_or_default(),
            reported_ids: Vec::new(),
            reported_at: Instant::now(),
        });
        self.job_claimed.notify_all();
        let Some(outcome) = outcome else {
            return Ok(Some(job));
        };
        self.finish(&job, outcome);
        (self.log)(&format!("{id} {} before it ran", job.state()));
        Ok(None)
    }

    /// Directory of the uploaded images of the claimed job.
    pub(super) fn upload_dir(&self, id: &str) -> PathBuf {
        if let Some(claimed) = self.claimed().as_ref()
            && let Some(dir) = &claimed.upload_dir
        {
            return dir.path().to_owned();
        }
        std::env::temp_dir().join(id)
    }

    /// Stores a result; waits while Redis is unreachable.
    pub(super) fn write_result(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        let mut store = script(include_str!("store_result.lua"), &job.id);
        store.arg((job.status().attempts, name, bytes));
        let stored =
            self.retry_while_unreachable(|node| node.query(|connection| store.query(connection)));
        let is_stored: bool = stored.map_err(|error| {
            (self.log)(&format!("{}: {error}", job.id));
            Error::new(error.kind(), "the queue is out of reach")
        })?;
        if is_stored {
            return Ok(());
        }
        job.request_stop(StopMode::Cancel);
        Err(Error::new(
            Kind::Interrupted,
            "another process has taken over the job",
        ))
    }

    /// Reports the end of the claimed job; returns true if the job still belonged to this node.
    pub(super) fn finish(&self, job: &Job, outcome: Outcome) -> bool {
        job.finish(outcome);
        let Some(mut claimed) = self.claimed().take() else {
            return false;
        };
        match self.retry_while_unreachable(|node| node.report(&mut claimed)) {
            Ok(ReportReply::Accepted) => true,
            Ok(ReportReply::LeaseLost) => {
                (self.log)(&format!(
                    "{}: another process has taken over the job, since the lease expired",
                    job.id
                ));
                false
            }
            Err(_) => false,
        }
    }

    /// Repeats `work` while Redis is unreachable; a closing node gives up after [`GRACE_PERIOD`].
    fn retry_while_unreachable<T>(&self, mut work: impl FnMut(&Self) -> Result<T>) -> Result<T> {
        let mut first_failure = None;
        loop {
            match work(self) {
                Err(error) if error.kind() == Kind::Network => {
                    let since = *first_failure.get_or_insert_with(Instant::now);
                    if self.is_closed() && since.elapsed() > GRACE_PERIOD {
                        return Err(error);
                    }
                    std::thread::sleep(self.retry_delay());
                }
                result => return result,
            }
        }
    }

    /// Writes the status and the new events of the claimed job, which renews its lease.
    fn report(&self, claimed: &mut ClaimedJob) -> Result<ReportReply> {
        let job = &claimed.job;
        // Events between these two calls are part of the next report.
        let (status, (events, _)) = (job.status(), job.events_after(0));
        let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
        let mut dropped = claimed.reported_ids.clone();
        dropped.retain(|id| !ids.contains(id));
        let mut report = script(include_str!("report.lua"), &job.id);
        report
            .arg((status.attempts, status.state.name(), to_json(&status)?))
            .arg((status.ended.map_or(0.0, unix_seconds), job.image_bytes()))
            .arg(dropped.len())
            .arg(&dropped);
        for event in &events {
            if !claimed.reported_ids.contains(&event.id) {
                report.arg((event.id, to_json(&**event)?));
            }
        }
        let reply: String = self.query(|connection| report.query(connection))?;
        (claimed.reported_ids, claimed.reported_at) = (ids, Instant::now());
        if reply != "accepted" && status.state == State::Running {
            claimed.job.request_stop(StopMode::Cancel);
        }
        if reply == "lost" {
            return Ok(ReportReply::LeaseLost);
        }
        Ok(ReportReply::Accepted)
    }

    /// Reports on the claimed job while it runs, and renews its lease.
    pub(super) fn forward_events(&self) {
        let mut claimed = self.claimed();
        loop {
            let Some(job) = claimed.as_mut() else {
                claimed = self
                    .job_claimed
                    .wait(claimed)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let mut pause = REPORT_INTERVAL;
            if job.is_report_due(self.lease / 3) && self.report(job).is_err() {
                pause = self.retry_delay();
            }
            drop(claimed);
            std::thread::sleep(pause);
            claimed = self.claimed();
        }
    }

    /// Cancels the job with this id if it runs here.
    pub(super) fn cancel_if_claimed(&self, id: &str) {
        if let Some(claimed) = self.claimed().as_ref()
            && claimed.job.id == id
        {
            claimed.job.request_stop(StopMode::Cancel);
        }
    }
}

impl ClaimedJob {
    /// Returns true if there are new events, or if the lease has to be renewed.
    fn is_report_due(&self, renewal: Duration) -> bool {
        let last = self.reported_ids.last().copied().unwrap_or(0);
        !self.job.events_after(last).0.is_empty() || self.reported_at.elapsed() > renewal
    }
}

/// The reply; an empty one, after creating the group, if Redis has lost its data.
fn or_create_group<T: redis::FromRedisValue>(
    reply: RedisResult<T>,
    connection: &mut Connection,
) -> RedisResult<T> {
    match reply {
        Err(error) if error.code() == Some("NOGROUP") => {
            create_group(connection)?;
            Ok(redis::from_redis_value(Value::Array(Vec::new()))?)
        }
        reply => reply,
    }
}

/// A temporary directory with the uploaded images, for this user only; `None` without images.
fn write_uploads(uploaded: &HashMap<String, Vec<u8>>) -> Result<Option<TempDir>> {
    if uploaded.is_empty() {
        return Ok(None);
    }
    let write_error = |e: std::io::Error| {
        Error::new(Kind::Output, "cannot write the uploaded images of a job")
            .source(e)
            .hint("set TMPDIR to a folder that can be written")
    };
    let dir = tempfile::Builder::new()
        .prefix("sdgen-")
        .tempdir()
        .map_err(write_error)?;
    for (name, bytes) in uploaded {
        std::fs::write(dir.path().join(name), bytes).map_err(write_error)?;
    }
    Ok(Some(dir))
}
