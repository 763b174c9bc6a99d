//! Jobs in Redis, shared between processes: one may accept a job, another draw it, and a third
//! answer requests about it. A job is a hash with its events (a stream) and its results; the queue
//! is a stream with a consumer group, whose pending entries are the running jobs. Atomic operations
//! are Lua scripts (`*.lua`).
//!
//! Each delivery of a job is a numbered attempt. Only the owner of the current attempt can write to
//! the job, so that it has one end, however many processes believed that they owned it.

mod link;
mod owner;
mod readers;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{Cmd, Connection, RedisResult, cmd, pipe};

use self::link::Link;
use self::owner::Taken;
use self::readers::Held;
use super::job::{Api, End, Halt, Job, Order, Status, new_id};
use super::store::{Bounds, Count, Ended, Refusal, Refused, Store};
use super::uploads::Pictures;
use super::{Log, clock};
use crate::error::{Error, Result};

/// Prefix of all keys.
const PREFIX: &str = "sdgen";
/// The stream of jobs that wait or run.
const QUEUE: &str = "sdgen:queue";
/// Its consumer group; the scripts name it as well.
const GROUP: &str = "engines";
/// Pub/sub channel on which processes announce changes.
const BELL: &str = "sdgen:bell";

/// Jobs in Redis.
pub(super) struct Shared(Arc<Node>);

/// This process, as one consumer of the queue.
struct Node {
    link: Link,
    name: String,
    bounds: Bounds,
    lease: Duration,
    log: Log,
    closed: AtomicBool,
    reach: Mutex<Reach>,
    taken: Mutex<Option<Taken>>,
    /// Notified when a job is taken.
    work: Condvar,
    held: Held,
    /// Abandoned jobs that could not be cancelled so far.
    forsaken: Mutex<VecDeque<Arc<Job>>>,
}

/// Reachability of Redis, and the time of its last change.
struct Reach {
    there: bool,
    /// Nothing if it was never otherwise.
    since: Option<Instant>,
}

/// A script on a job.
fn script(source: &str, id: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(source).arg(1).arg(PREFIX).arg(id);
    command
}

/// Creates the consumer group if it is missing.
fn group(connection: &mut Connection) -> RedisResult<()> {
    let mut create = cmd("XGROUP");
    create
        .arg("CREATE")
        .arg(QUEUE)
        .arg(GROUP)
        .arg(0)
        .arg("MKSTREAM");
    match create.query(connection) {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        result => result,
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal("cannot serialise a job").source(e))
}

impl Shared {
    /// Opens the queue, and starts the threads that listen and report.
    ///
    /// # Errors
    /// No address of Redis; Redis is out of reach or too old.
    pub(super) fn open(url: &str, lease: Duration, bounds: Bounds, log: Log) -> Result<Self> {
        let link = Link::new(url)?;
        link.ask(|connection| {
            group(connection)?;
            // What older versions do not know.
            let mut pending = cmd("XPENDING");
            pending
                .arg(QUEUE)
                .arg(GROUP)
                .arg("IDLE")
                .arg(1)
                .arg("-")
                .arg("+")
                .arg(1);
            pending.exec(connection)
        })?;
        let node = Arc::new(Node {
            link,
            name: format!("node-{:016x}", rand::random::<u64>()),
            bounds,
            lease,
            log,
            closed: AtomicBool::new(false),
            reach: Mutex::new(Reach {
                there: true,
                since: None,
            }),
            taken: Mutex::default(),
            work: Condvar::new(),
            held: Held::default(),
            forsaken: Mutex::default(),
        });
        for (name, work) in [("courier", Node::courier as fn(&Node)), ("ear", Node::ear)] {
            let node = Arc::clone(&node);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread
                .spawn(move || work(&node))
                .map_err(|e| Error::internal("cannot start a thread").source(e))?;
        }
        Ok(Self(node))
    }
}

impl Node {
    /// Runs a query that may be repeated; logs when Redis is lost and when it is back.
    fn ask<T>(&self, work: impl FnMut(&mut Connection) -> RedisResult<T>) -> Result<T> {
        let result = self.link.ask(work);
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        if reach.there != result.is_ok() {
            *reach = Reach {
                there: result.is_ok(),
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
    fn is_steady(&self) -> bool {
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach
            .since
            .is_none_or(|since| since.elapsed() > self.lease / 2)
    }

    /// Delay before Redis is asked again after a failure.
    fn pause(&self) -> Duration {
        (self.lease / 8).min(Duration::from_secs(1))
    }

    fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn submit(&self, order: &Order, pictures: &Pictures) -> Result<Option<Arc<Job>>> {
        let (id, now) = (new_id(), SystemTime::now());
        let (order_json, status) = (json(order)?, json(&Status::default())?);
        let mut submit = script(include_str!("submit.lua"), &id);
        submit
            .arg(self.bounds.queue)
            .arg(clock::unix(now))
            .arg(order_json)
            .arg(status);
        pictures.iter().for_each(|(name, bytes)| {
            submit.arg(name).arg(bytes);
        });
        let job =
            |number: u64| Arc::new(Job::new(id, number, now, order.clone(), Status::default()));
        let taken: Result<Option<(u64, Option<usize>)>> =
            self.ask(|connection| submit.query(connection));
        match taken {
            Ok(Some((number, _))) => Ok(Some(self.hold(job(number)))),
            Ok(None) => Ok(None),
            Err(error) => {
                // Redis may have taken what it did not answer, and the client is told that it was
                // not taken.
                self.stop_later(job(0));
                Err(error)
            }
        }
    }

    fn forsaken(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.forsaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forsake(&self, job: &Arc<Job>) -> bool {
        self.cancel(job).unwrap_or_else(|_| {
            self.stop_later(Arc::clone(job));
            false
        })
    }

    fn stop_later(&self, job: Arc<Job>) {
        let mut forsaken = self.forsaken();
        forsaken.push_back(job);
        // No more of them can wait in Redis.
        let surplus = forsaken.len().saturating_sub(self.bounds.queue);
        forsaken.drain(..surplus);
    }

    /// Cancels the jobs that could not be cancelled so far.
    fn let_go(&self) {
        let forsaken = std::mem::take(&mut *self.forsaken());
        for job in &forsaken {
            self.forsake(job);
        }
    }

    fn cancel(&self, job: &Job) -> Result<bool> {
        let (status, record) = job.cancelled()?;
        let mut cancel = script(include_str!("cancel.lua"), &job.id);
        cancel
            .arg(json(&status)?)
            .arg(clock::unix(SystemTime::now()))
            .arg(record.id)
            .arg(json(&record)?);
        let ended: bool = self.ask(|connection| cancel.query(connection))?;
        self.refresh(job)?;
        Ok(ended)
    }

    fn count(&self) -> Result<Count> {
        let mut questions = pipe();
        questions
            .atomic()
            .cmd("ZCARD")
            .arg("sdgen:waiting")
            .cmd("SCARD")
            .arg("sdgen:running");
        questions
            .cmd("ZCARD")
            .arg("sdgen:ended")
            .cmd("HVALS")
            .arg("sdgen:bytes");
        let (queued, running, ended, bytes): (usize, usize, usize, Vec<u64>) =
            self.ask(|connection| questions.query(connection))?;
        Ok(Count {
            queued,
            running,
            ended,
            bytes: bytes.iter().sum(),
            unwritten: 0,
        })
    }

    fn expire(&self, now: SystemTime) -> Result<()> {
        let mut questions = pipe();
        questions
            .atomic()
            .cmd("ZRANGE")
            .arg("sdgen:ended")
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
        questions.cmd("HGETALL").arg("sdgen:bytes");
        let (ended, bytes): (Vec<(String, f64)>, std::collections::HashMap<String, u64>) =
            self.ask(|connection| questions.query(connection))?;
        let past = ended.into_iter().zip(0..).map(|((id, at), number)| {
            let at = UNIX_EPOCH + Duration::try_from_secs_f64(at).unwrap_or_default();
            Past {
                at,
                number,
                bytes: bytes.get(&id).copied().unwrap_or(0),
                id,
            }
        });
        let stale = self.bounds.stale(past.collect(), now);
        stale
            .iter()
            .try_for_each(|past| self.forget(&past.id).map(|_| ()))
    }

    /// Forgets an ended job; returns true if it existed.
    fn forget(&self, id: &str) -> Result<bool> {
        let forget = script(include_str!("forget.lua"), id);
        self.ask(|connection| forget.query(connection))
    }
}

/// A job that has ended.
struct Past {
    at: SystemTime,
    number: u64,
    bytes: u64,
    id: String,
}

impl Ended for Past {
    fn at(&self) -> SystemTime {
        self.at
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Store for Shared {
    fn submit(&self, order: Order, pictures: &Pictures) -> Result<Arc<Job>, Refused> {
        if self.0.is_closed() {
            return Err(Refused::Busy(Refusal::Closed));
        }
        let taken = self.0.submit(&order, pictures).map_err(Refused::Failed)?;
        taken.ok_or(Refused::Busy(Refusal::Full))
    }

    fn next(&self) -> Option<Arc<Job>> {
        self.0.next()
    }

    /// Always `None`: a waiting job is left to any free process.
    fn next_like(&self, _order: &Order) -> Option<Arc<Job>> {
        None
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.0.folder(id)
    }

    fn keep(&self, job: &Job, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.keep(job, name, bytes)
    }

    fn file(&self, id: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let mut get = cmd("HGET");
        get.arg(format!("{PREFIX}:job:{id}:results")).arg(name);
        self.0.ask(|connection| get.query(connection))
    }

    fn finish(&self, job: &Job, end: End) -> bool {
        self.0.finish(job, end)
    }

    fn stop(&self, job: &Job, stop: Halt) -> Result<bool> {
        let taken = self.0.taken();
        if let Some(taken) = taken
            .as_ref()
            .filter(|taken| stop != Halt::Cancel && taken.job.id == job.id)
        {
            taken.job.ask(stop);
            return Ok(false);
        }
        drop(taken);
        self.0.cancel(job)
    }

    fn forsake(&self, job: &Arc<Job>) -> bool {
        self.0.forsake(job)
    }

    fn forget(&self, job: &Job) -> Result<bool> {
        // One that another process has forgotten is gone as well.
        Ok(job.state().is_final() && (self.0.forget(&job.id)? || self.0.get(&job.id)?.is_none()))
    }

    fn get(&self, id: &str) -> Result<Option<Arc<Job>>> {
        self.0.get(id)
    }

    fn all(&self) -> Result<Vec<Arc<Job>>> {
        self.0.all()
    }

    fn running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        self.0.running(api)
    }

    fn count(&self) -> Result<Count> {
        self.0.count()
    }

    fn expire(&self, now: SystemTime) -> Result<()> {
        self.0.expire(now)
    }

    fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
