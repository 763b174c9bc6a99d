//! Jobs as this process shows them to clients: read from Redis, and kept up to date while they are
//! held. A thread (`Node::ear`) subscribes to the channel on which changes are announced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

use redis::{Connection, Pipeline, pipe};

use super::{BELL, Node, PREFIX};
use crate::error::Result;
use crate::serve::failure::Failure;
use crate::serve::job::{Api, Halt, Job, Order, State, Status};
use crate::serve::story::{News, Record};

/// Interval of refreshes of held jobs without an announcement.
const ROUND: Duration = Duration::from_secs(1);
/// Minimum interval between refreshes of queue positions.
const GLANCE: Duration = Duration::from_millis(250);

/// Jobs that somebody here holds.
#[derive(Default)]
pub(super) struct Held {
    jobs: Mutex<HashMap<String, Weak<Job>>>,
    /// Held during a refresh, so that older data does not overwrite newer data.
    hearing: Mutex<()>,
}

impl Held {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Weak<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.jobs().get(id)?.upgrade()
    }

    /// The job, or the one of the same name that is held already.
    fn or_held(&self, job: Arc<Job>) -> Arc<Job> {
        let mut jobs = self.jobs();
        if let Some(held) = jobs.get(&job.id).and_then(Weak::upgrade) {
            return held;
        }
        jobs.retain(|_, held| held.strong_count() > 0);
        jobs.insert(job.id.clone(), Arc::downgrade(&job));
        job
    }

    fn all(&self) -> Vec<Arc<Job>> {
        self.jobs().values().filter_map(Weak::upgrade).collect()
    }
}

/// Fixed fields of a job: number, creation time, order.
type Fixed = (Option<u64>, Option<f64>, Option<String>);
/// Changing fields of a job: status, and a request to cancel it.
type Moving = (Option<String>, Option<String>);
/// Records of a stream: their names there, and what is in them.
type Entries = Vec<(String, HashMap<String, String>)>;

fn fixed(questions: &mut Pipeline, id: &str) {
    questions
        .cmd("HMGET")
        .arg(format!("{PREFIX}:job:{id}"))
        .arg(&["number", "created", "order"]);
}

fn moving(questions: &mut Pipeline, id: &str) {
    questions
        .cmd("HMGET")
        .arg(format!("{PREFIX}:job:{id}"))
        .arg(&["status", "cancel"]);
}

/// The job that the fields make, as it is before anything is heard of it.
fn made(id: &str, (number, created, order): Fixed) -> Option<Job> {
    let created = UNIX_EPOCH + Duration::try_from_secs_f64(created?).unwrap_or_default();
    // An order of another version is shown without what it asks for.
    let order = serde_json::from_str(&order?).unwrap_or_else(|_| Order::unread());
    Some(Job::new(
        id.to_owned(),
        number?,
        created,
        order,
        Status::default(),
    ))
}

fn status((status, _): &Moving) -> Option<Status> {
    serde_json::from_str(status.as_ref()?).ok()
}

impl Node {
    /// Keeps a job up to date from now on.
    pub(super) fn hold(&self, job: Arc<Job>) -> Arc<Job> {
        let job = self.held.or_held(job);
        // What cannot be read now is read in the next round.
        let _ = self.refresh(&job);
        job
    }

    pub(super) fn get(&self, id: &str) -> Result<Option<Arc<Job>>> {
        // One that has ended may be forgotten by now.
        if let Some(job) = self.held.get(id).filter(|job| !job.state().is_final()) {
            self.refresh(&job)?;
            return Ok(Some(job));
        }
        let mut questions = pipe();
        fixed(&mut questions, id);
        let (found,): (Fixed,) = self.ask(|connection| questions.query(connection))?;
        let Some(job) = made(id, found) else {
            return Ok(None);
        };
        let job = self.held.or_held(Arc::new(job));
        self.refresh(&job)?;
        Ok(Some(job))
    }

    /// Refreshes a job from Redis.
    pub(super) fn refresh(&self, job: &Job) -> Result<()> {
        let _hearing = self
            .held
            .hearing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if job.state().is_final() {
            return Ok(());
        }
        let mut questions = pipe();
        moving(questions.atomic(), &job.id);
        let after = format!("({}-0", job.last());
        questions
            .cmd("XRANGE")
            .arg(format!("{PREFIX}:job:{}:news", job.id))
            .arg(after)
            .arg("+");
        questions.cmd("ZRANK").arg("sdgen:waiting").arg(&job.id);
        let (found, news, rank): (Moving, Entries, Option<usize>) =
            self.ask(|connection| questions.query(connection))?;
        let records: Vec<Record> = news
            .iter()
            .filter_map(|(_, fields)| serde_json::from_str(fields.get("record")?).ok())
            .collect();
        match status(&found) {
            Some(status) => job.hear(status, records),
            None => lose(job),
        }
        rank.iter().for_each(|rank| job.waits(rank + 1));
        if found.1.is_some() {
            job.ask(Halt::Cancel);
        }
        Ok(())
    }

    /// All jobs, without their records.
    pub(super) fn all(&self) -> Result<Vec<Arc<Job>>> {
        let mut questions = pipe();
        questions
            .atomic()
            .cmd("ZRANGE")
            .arg("sdgen:waiting")
            .arg(0)
            .arg(-1);
        questions
            .cmd("SMEMBERS")
            .arg("sdgen:running")
            .cmd("ZRANGE")
            .arg("sdgen:ended")
            .arg(0)
            .arg(-1);
        let (waiting, running, ended): (Vec<String>, Vec<String>, Vec<String>) =
            self.ask(|connection| questions.query(connection))?;
        let ids: Vec<&String> = waiting.iter().chain(&running).chain(&ended).collect();
        let mut questions = pipe();
        for id in &ids {
            fixed(&mut questions, id);
            moving(&mut questions, id);
        }
        // An empty pipe is no question.
        questions.cmd("PING");
        let answers: Vec<redis::Value> = self.ask(|connection| questions.query(connection))?;
        let mut jobs = Vec::new();
        for (place, (id, answer)) in ids.iter().zip(answers.chunks_exact(2)).enumerate() {
            let found = redis::from_redis_value(answer[0].clone()).ok();
            let moving: Option<Moving> = redis::from_redis_value(answer[1].clone()).ok();
            let Some(job) = found.and_then(|found| made(id, found)) else {
                continue;
            };
            moving
                .as_ref()
                .and_then(status)
                .iter()
                .for_each(|status| job.hear(status.clone(), Vec::new()));
            if place < waiting.len() {
                job.waits(place + 1);
            }
            jobs.push(Arc::new(job));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.number));
        Ok(jobs)
    }

    /// A running job that came in through `api`.
    pub(super) fn running(&self, api: Api) -> Result<Option<Arc<Job>>> {
        let mut questions = pipe();
        questions.cmd("SMEMBERS").arg("sdgen:running");
        let (ids,): (Vec<String>,) = self.ask(|connection| questions.query(connection))?;
        for id in ids {
            let job = self
                .get(&id)?
                .filter(|job| job.order.api == api && job.state() == State::Running);
            if job.is_some() {
                return Ok(job);
            }
        }
        Ok(None)
    }

    /// Listens to announcements, and refreshes held jobs at intervals.
    pub(super) fn ear(&self) {
        loop {
            if let Ok(mut connection) = self.link.connect() {
                // When it breaks, it is opened anew.
                let _ = self.listen(&mut connection);
            }
            std::thread::sleep(self.pause());
        }
    }

    fn listen(&self, connection: &mut Connection) -> redis::RedisResult<()> {
        let mut bell = connection.as_pubsub();
        bell.subscribe(BELL)?;
        bell.set_read_timeout(Some(GLANCE))?;
        self.let_go();
        self.round(|_| true);
        let (mut moved, mut glance, mut round) = (false, Instant::now(), Instant::now());
        loop {
            match bell
                .get_message()
                .and_then(|message| message.get_payload::<String>())
            {
                Ok(word) if word.is_empty() => moved = true,
                Ok(word) => self.rung(&word),
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
            if round.elapsed() >= ROUND {
                self.let_go();
                self.round(|_| true);
                (moved, glance, round) = (false, Instant::now(), Instant::now());
            } else if moved && glance.elapsed() >= GLANCE {
                self.round(|job| job.state() == State::Queued);
                (moved, glance) = (false, Instant::now());
            }
        }
    }

    /// Handles an announcement: the id of a changed job, or `-` and the id of a job to stop.
    fn rung(&self, word: &str) {
        match word.strip_prefix('-') {
            Some(id) => self.stop(id),
            None => {
                let held = self.held.get(word);
                // What cannot be read now is read in the next round.
                held.iter().for_each(|job| drop(self.refresh(job)));
            }
        }
    }

    /// Refreshes the held jobs that match `which`.
    fn round(&self, which: impl Fn(&Job) -> bool) {
        for job in self.held.all().iter().filter(|job| which(job)) {
            if self.refresh(job).is_err() {
                break;
            }
        }
    }
}

/// Marks a job as failed because Redis has lost it.
fn lose(job: &Job) {
    let failure = Failure::internal("the queue has lost this job");
    job.tell(&News::Error(failure.clone()));
    let status = job.status();
    job.hear(
        Status {
            state: State::Failed,
            failure: Some(failure),
            position: None,
            ..status
        },
        Vec::new(),
    );
}
