//! Jobs as this process shows them to clients: read from Redis, and kept up to date while they are
//! watched. A thread subscribes to the channel on which changes are announced.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, RedisResult, pipe};

use super::node::{CHANNEL, Node, PREFIX};
use crate::error::Result;
use crate::serve::event_log::{JobEvent, Record};
use crate::serve::failure::Failure;
use crate::serve::job::{Api, Job, JobSpec, State, Status, StopMode};
use crate::serve::timestamp::from_unix_seconds;

/// Interval of refreshes of watched jobs without an announcement.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between refreshes of queue positions.
const POSITION_INTERVAL: Duration = Duration::from_millis(250);

/// Fixed fields of a job: number, creation time, request.
type StoredSpec = (Option<u64>, Option<f64>, Option<String>);
/// Changing fields of a job: status, and whether it is to be cancelled.
type StoredStatus = (Option<String>, Option<String>);
/// Entries of a stream: id and fields.
type Entries = Vec<(String, HashMap<String, String>)>;

fn query_spec(query: &mut Pipeline, id: &str) {
    let key = format!("{PREFIX}:job:{id}");
    query.cmd("HMGET").arg((key, "number", "created", "order"));
}

fn query_status(query: &mut Pipeline, id: &str) {
    let key = format!("{PREFIX}:job:{id}");
    query.cmd("HMGET").arg((key, "status", "cancel"));
}

/// The job with these fields, still without its status and events.
fn build_job(id: &str, (number, created, spec): StoredSpec) -> Option<Job> {
    // A request stored by another version is shown without its parameters.
    let spec = serde_json::from_str(&spec?).unwrap_or_else(|_| JobSpec::unreadable());
    Some(Job::new(
        id.to_owned(),
        number?,
        from_unix_seconds(created?),
        spec,
        Status::default(),
    ))
}

fn parse_status(stored: &StoredStatus) -> Option<Status> {
    serde_json::from_str(stored.0.as_ref()?).ok()
}

impl Node {
    /// Keeps a job up to date from now on.
    pub(super) fn watch_job(&self, job: Arc<Job>) -> Arc<Job> {
        let job = self.watched.find_or_insert(job);
        // A failure is retried in the next round.
        let _ = self.refresh(&job);
        job
    }

    pub(super) fn find(&self, id: &str) -> Result<Option<Arc<Job>>> {
        // One that has ended may have been deleted by another process.
        if let Some(job) = self.watched.find(id)
            && !job.state().is_final()
        {
            self.refresh(&job)?;
            return Ok(Some(job));
        }
        let mut query = pipe();
        query_spec(&mut query, id);
        let (stored,): (StoredSpec,) = self.query(|connection| query.query(connection))?;
        let Some(job) = build_job(id, stored) else {
            return Ok(None);
        };
        let job = self.watched.find_or_insert(Arc::new(job));
        self.refresh(&job)?;
        Ok(Some(job))
    }

    /// Refreshes a job from Redis.
    pub(super) fn refresh(&self, job: &Job) -> Result<()> {
        let _refreshing = self
            .watched
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if job.state().is_final() {
            return Ok(());
        }
        let mut query = pipe();
        query_status(query.atomic(), &job.id);
        let events_key = format!("{PREFIX}:job:{}:news", job.id);
        let after = format!("({}-0", job.last_event_id());
        query.cmd("XRANGE").arg((events_key, after, "+"));
        query.cmd("ZRANK").arg(("sdgen:waiting", &job.id));
        let (stored, entries, rank): (StoredStatus, Entries, Option<usize>) =
            self.query(|connection| query.query(connection))?;
        let events: Vec<Record> = entries
            .iter()
            .filter_map(|(_, fields)| serde_json::from_str(fields.get("record")?).ok())
            .collect();
        match parse_status(&stored) {
            Some(status) => job.apply_remote(status, events),
            None => mark_lost(job),
        }
        if let Some(rank) = rank {
            job.set_position(rank + 1);
        }
        if stored.1.is_some() {
            job.request_stop(StopMode::Cancel);
        }
        Ok(())
    }

    /// All jobs, without their events.
    pub(super) fn list(&self) -> Result<Vec<Arc<Job>>> {
        let mut query = pipe();
        query.atomic();
        query.cmd("ZRANGE").arg(("sdgen:waiting", 0, -1));
        query.cmd("SMEMBERS").arg("sdgen:running");
        query.cmd("ZRANGE").arg(("sdgen:ended", 0, -1));
        let (queued, running, ended): (Vec<String>, Vec<String>, Vec<String>) =
            self.query(|connection| query.query(connection))?;
        let ids: Vec<&String> = queued.iter().chain(&running).chain(&ended).collect();
        let mut query = pipe();
        for id in &ids {
            query_spec(&mut query, id);
            query_status(&mut query, id);
        }
        // An empty pipeline is an error.
        query.cmd("PING");
        let replies: Vec<redis::Value> = self.query(|connection| query.query(connection))?;
        let mut jobs = Vec::new();
        for (place, (id, reply)) in ids.iter().zip(replies.chunks_exact(2)).enumerate() {
            let spec = redis::from_redis_value(reply[0].clone()).ok();
            let status: Option<StoredStatus> = redis::from_redis_value(reply[1].clone()).ok();
            let Some(job) = spec.and_then(|spec| build_job(id, spec)) else {
                continue;
            };
            if let Some(status) = status.as_ref().and_then(parse_status) {
                job.apply_remote(status, Vec::new());
            }
            if place < queued.len() {
                job.set_position(place + 1);
            }
            jobs.push(Arc::new(job));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.number));
        Ok(jobs)
    }

    /// A running job that was submitted through `api`.
    pub(super) fn find_running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        let mut query = pipe();
        query.cmd("SMEMBERS").arg("sdgen:running");
        let (ids,): (Vec<String>,) = self.query(|connection| query.query(connection))?;
        for id in ids {
            if let Some(job) = self.find(&id)?
                && job.spec.api == api
                && job.state() == State::Running
            {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Processes announcements, and refreshes watched jobs at intervals.
    pub(super) fn subscribe_to_changes(&self) {
        loop {
            if let Ok(mut connection) = self.pool.connect() {
                // A connection that breaks is opened again.
                let _ = self.process_changes(&mut connection);
            }
            std::thread::sleep(self.retry_delay());
        }
    }

    fn process_changes(&self, connection: &mut Connection) -> RedisResult<()> {
        let mut changes = connection.as_pubsub();
        changes.subscribe(CHANNEL)?;
        changes.set_read_timeout(Some(POSITION_INTERVAL))?;
        self.cancel_abandoned();
        self.refresh_watched(|_| true);
        let mut queue_moved = false;
        let (mut positions_at, mut refreshed_at) = (Instant::now(), Instant::now());
        loop {
            let message = changes.get_message();
            match message.and_then(|message| message.get_payload::<String>()) {
                Ok(message) if message.is_empty() => queue_moved = true,
                Ok(message) => self.handle_change(&message),
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
            if refreshed_at.elapsed() >= REFRESH_INTERVAL {
                self.cancel_abandoned();
                self.refresh_watched(|_| true);
                queue_moved = false;
                (positions_at, refreshed_at) = (Instant::now(), Instant::now());
            } else if queue_moved && positions_at.elapsed() >= POSITION_INTERVAL {
                self.refresh_watched(|job| job.state() == State::Queued);
                (queue_moved, positions_at) = (false, Instant::now());
            }
        }
    }

    /// Handles an announcement: the id of a changed job, or `-` and the id of a job to stop.
    fn handle_change(&self, message: &str) {
        if let Some(id) = message.strip_prefix('-') {
            self.cancel_if_claimed(id);
        } else if let Some(job) = self.watched.find(message) {
            // A failure is retried in the next round.
            let _ = self.refresh(&job);
        }
    }

    /// Refreshes the watched jobs that match `filter`.
    fn refresh_watched(&self, filter: impl Fn(&Job) -> bool) {
        for job in self.watched.list().iter().filter(|job| filter(job)) {
            if self.refresh(job).is_err() {
                break;
            }
        }
    }
}

/// Marks a job as failed because Redis has lost it.
fn mark_lost(job: &Job) {
    let failure = Failure::internal("the queue has lost this job");
    job.publish(&JobEvent::Error(failure.clone()));
    let status = Status {
        state: State::Failed,
        failure: Some(failure),
        position: None,
        ..job.status()
    };
    job.apply_remote(status, Vec::new());
}
