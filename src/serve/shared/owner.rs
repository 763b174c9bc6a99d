//! The job that this process draws: taken from the queue or from a process that fell silent,
//! reported on while it is drawn, and ended. One thread draws; another, the courier, reports on the
//! job and so renews its lease.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use redis::{Connection, RedisResult, Value, cmd};
use tempfile::TempDir;

use super::{GROUP, Node, QUEUE, group, json, script};
use crate::error::{Error, Kind, Result};
use crate::serve::clock;
use crate::serve::failure::{ATTEMPTS, Failure};
use crate::serve::job::{End, Halt, Job, Order, State, Status};

/// Minimum interval between reports on a running job.
const BEAT: Duration = Duration::from_millis(50);
/// Time for which one read waits on the empty queue.
const LOOK: Duration = Duration::from_millis(500);
/// Time for a closing node to report the end of its job.
const GRACE: Duration = Duration::from_secs(5);

/// A job that this process draws.
pub(super) struct Taken {
    pub(super) job: Arc<Job>,
    /// Folder of the uploaded images, if there are any.
    folder: Option<TempDir>,
    /// Numbers of the records that Redis has.
    told: Vec<u64>,
    /// Time of the last report.
    at: Instant,
}

/// Result of a report on a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Told,
    /// Another process owns the job by now.
    Lost,
}

/// An entry of the queue: its own name, and the job's.
type Entry = (String, HashMap<String, String>);

impl Node {
    /// Waits for the next job; `None` once the node is closed.
    pub(super) fn next(&self) -> Option<Arc<Job>> {
        while !self.is_closed() {
            match self.look() {
                Ok(None) => {}
                Ok(job) => return job,
                Err(_) => std::thread::sleep(self.pause()),
            }
        }
        let mut leave = cmd("XGROUP");
        leave
            .arg("DELCONSUMER")
            .arg(QUEUE)
            .arg(GROUP)
            .arg(&self.name);
        // A name that stays is in nobody's way.
        let _ = self.ask(|connection| leave.exec(connection));
        None
    }

    fn look(&self) -> Result<Option<Arc<Job>>> {
        // During an outage every process is silent.
        let orphan = if self.is_steady() {
            self.ask(|connection| self.orphan(connection))?
        } else {
            None
        };
        let entry = match orphan {
            None => self.ask(|connection| self.fresh(connection))?,
            orphan => orphan,
        };
        match entry
            .as_ref()
            .and_then(|(entry, fields)| Some((entry, fields.get("job")?)))
        {
            Some((entry, id)) => self.take(entry, id),
            None => Ok(None),
        }
    }

    /// Claims a job whose owner has been silent for longer than the lease.
    fn orphan(&self, connection: &mut Connection) -> RedisResult<Option<Entry>> {
        let lease = self.lease.as_millis() as u64;
        let mut pending = cmd("XPENDING");
        pending
            .arg(QUEUE)
            .arg(GROUP)
            .arg("IDLE")
            .arg(lease)
            .arg("-")
            .arg("+")
            .arg(1);
        let silent: Vec<(String, String, u64, u64)> =
            or_group(pending.query(connection), connection)?;
        let Some((entry, ..)) = silent.first() else {
            return Ok(None);
        };
        let mut claim = cmd("XCLAIM");
        claim
            .arg(QUEUE)
            .arg(GROUP)
            .arg(&self.name)
            .arg(lease)
            .arg(entry);
        let claimed: Vec<Option<Entry>> = claim.query(connection)?;
        Ok(claimed.into_iter().flatten().next())
    }

    /// The next job that was never delivered.
    fn fresh(&self, connection: &mut Connection) -> RedisResult<Option<Entry>> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(GROUP)
            .arg(&self.name)
            .arg("COUNT")
            .arg(1);
        read.arg("BLOCK")
            .arg(LOOK.as_millis() as u64)
            .arg("STREAMS")
            .arg(QUEUE)
            .arg(">");
        let read: Option<Vec<(String, Vec<Entry>)>> = or_group(read.query(connection), connection)?;
        Ok(read
            .into_iter()
            .flatten()
            .flat_map(|(_, entries)| entries)
            .next())
    }

    /// Makes a delivered job this node's own.
    fn take(&self, entry: &str, id: &str) -> Result<Option<Arc<Job>>> {
        type Reply = (
            u64,
            f64,
            String,
            String,
            u32,
            Option<String>,
            HashMap<String, Vec<u8>>,
        );
        let mut take = script(include_str!("take.lua"), id);
        take.arg(entry).arg(&self.name);
        let reply: Option<Reply> = self.ask(|connection| take.query(connection))?;
        let Some((number, created, order, _, attempts, cancel, pictures)) = reply else {
            return Ok(None);
        };
        let created = UNIX_EPOCH + Duration::try_from_secs_f64(created).unwrap_or_default();
        let order: Option<Order> = serde_json::from_str(&order).ok();
        let is_read = order.is_some();
        let status = Status {
            attempts: attempts.saturating_sub(1),
            ..Status::default()
        };
        let job = Job::new(
            id.to_owned(),
            number,
            created,
            order.unwrap_or_else(Order::unread),
            status,
        );
        job.begin();
        let job = Arc::new(job);
        let placed = placed(&pictures);
        let end = match &placed {
            _ if cancel.is_some() => Some(End::Cancelled),
            _ if attempts > ATTEMPTS => Some(End::Failed(Failure::worn_out())),
            _ if !is_read => Some(End::Failed(Failure::internal(
                "another version took this order in",
            ))),
            Err(error) => {
                (self.log)(&format!("{id}: {error}"));
                let message = "the server has no place for the pictures of a job while it is drawn";
                Some(End::Failed(Failure::new(error.kind(), message)))
            }
            Ok(_) => None,
        };
        let folder = placed.unwrap_or_default();
        let taken = Taken {
            job: Arc::clone(&job),
            folder,
            told: Vec::new(),
            at: Instant::now(),
        };
        *self.taken() = Some(taken);
        self.work.notify_all();
        match end {
            None => Ok(Some(job)),
            Some(end) => {
                self.finish(&job, end);
                (self.log)(&format!("{id} {}: it is not drawn", job.state()));
                Ok(None)
            }
        }
    }

    /// Folder of the uploaded images of the taken job.
    pub(super) fn folder(&self, id: &str) -> PathBuf {
        let taken = self.taken();
        let folder = taken
            .as_ref()
            .and_then(|taken| Some(taken.folder.as_ref()?.path().to_owned()));
        folder.unwrap_or_else(|| std::env::temp_dir().join(id))
    }

    /// Stores a result; waits while Redis is unreachable.
    pub(super) fn keep(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        let mut keep = script(include_str!("keep.lua"), &job.id);
        keep.arg(job.status().attempts).arg(name).arg(bytes);
        let kept = self.insist(|node| node.ask(|connection| keep.query(connection)));
        let kept: bool = kept.map_err(|error| {
            (self.log)(&format!("{}: {error}", job.id));
            Error::new(error.kind(), "the queue is out of reach")
        })?;
        if kept {
            return Ok(());
        }
        job.ask(Halt::Cancel);
        Err(Error::new(Kind::Interrupted, "the job is another's by now"))
    }

    /// Reports the end of the taken job; returns true if the job was still this node's.
    pub(super) fn finish(&self, job: &Job, end: End) -> bool {
        job.end(end);
        let Some(mut taken) = self.taken().take() else {
            return false;
        };
        match self.insist(|node| node.tell(&mut taken)) {
            Ok(Heard::Told) => true,
            Ok(Heard::Lost) => {
                (self.log)(&format!(
                    "{} is another's by now: this node was silent for too long",
                    job.id
                ));
                false
            }
            Err(_) => false,
        }
    }

    /// Repeats `work` while Redis is unreachable; gives up after [`GRACE`] if the node is closing.
    fn insist<T>(&self, mut work: impl FnMut(&Self) -> Result<T>) -> Result<T> {
        let mut closed = None;
        loop {
            match work(self) {
                Err(error) if error.kind() == Kind::Network => {
                    let closed = *closed.get_or_insert_with(Instant::now);
                    if self.is_closed() && closed.elapsed() > GRACE {
                        return Err(error);
                    }
                    std::thread::sleep(self.pause());
                }
                result => return result,
            }
        }
    }

    /// Reports the status and the new records of the taken job, which renews its lease.
    fn tell(&self, taken: &mut Taken) -> Result<Heard> {
        let job = &taken.job;
        // What comes between the two is told the next time.
        let (status, (records, _)) = (job.status(), job.heard_after(0));
        let numbers: Vec<u64> = records.iter().map(|record| record.id).collect();
        let gone: Vec<u64> = taken
            .told
            .iter()
            .filter(|id| !numbers.contains(id))
            .copied()
            .collect();
        let mut tell = script(include_str!("tell.lua"), &job.id);
        tell.arg(status.attempts)
            .arg(status.state.name())
            .arg(json(&status)?);
        tell.arg(status.ended.map_or(0.0, clock::unix))
            .arg(job.bytes())
            .arg(gone.len())
            .arg(&gone);
        for record in records
            .iter()
            .filter(|record| !taken.told.contains(&record.id))
        {
            tell.arg(record.id).arg(json(&**record)?);
        }
        let heard: String = self.ask(|connection| tell.query(connection))?;
        (taken.told, taken.at) = (numbers, Instant::now());
        if heard != "told" && status.state == State::Running {
            taken.job.ask(Halt::Cancel);
        }
        Ok(if heard == "lost" {
            Heard::Lost
        } else {
            Heard::Told
        })
    }

    /// Reports on the taken job while it is drawn, and renews its lease.
    pub(super) fn courier(&self) {
        let mut taken = self.taken();
        loop {
            let Some(job) = taken.as_mut() else {
                taken = self
                    .work
                    .wait(taken)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let pause = match () {
                () if !job.is_due(self.lease / 3) => BEAT,
                () if self.tell(job).is_ok() => BEAT,
                () => self.pause(),
            };
            drop(taken);
            std::thread::sleep(pause);
            taken = self.taken();
        }
    }

    /// Cancels the job with this id if it is the one drawn here.
    pub(super) fn stop(&self, id: &str) {
        if let Some(taken) = self.taken().as_ref().filter(|taken| taken.job.id == id) {
            taken.job.ask(Halt::Cancel);
        }
    }
}

impl Taken {
    /// Returns true if there are new records, or if the lease has to be renewed.
    fn is_due(&self, renewal: Duration) -> bool {
        let last = self.told.last().copied().unwrap_or(0);
        !self.job.heard_after(last).0.is_empty() || self.at.elapsed() > renewal
    }
}

/// The answer; an empty one, after creating the group, if Redis has lost its data.
fn or_group<T: redis::FromRedisValue>(
    answer: RedisResult<T>,
    connection: &mut Connection,
) -> RedisResult<T> {
    match answer {
        Err(error) if error.code() == Some("NOGROUP") => {
            group(connection)?;
            Ok(redis::from_redis_value(Value::Array(Vec::new()))?)
        }
        answer => answer,
    }
}

/// A folder with the pictures in it, for this user alone; none where there are no pictures.
fn placed(pictures: &HashMap<String, Vec<u8>>) -> Result<Option<TempDir>> {
    if pictures.is_empty() {
        return Ok(None);
    }
    let failed = |e: std::io::Error| {
        Error::new(
            Kind::Output,
            "cannot keep the pictures of a job while it is drawn",
        )
        .source(e)
        .hint("set TMPDIR to a folder that can be written")
    };
    let folder = tempfile::Builder::new()
        .prefix("sdgen-")
        .tempdir()
        .map_err(failed)?;
    for (name, bytes) in pictures {
        std::fs::write(folder.path().join(name), bytes).map_err(failed)?;
    }
    Ok(Some(folder))
}
