//! A job: its order, its state and its results. No HTTP, no files.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::clock;
use super::failure::Failure;
use super::story::{Link, News, PREVIEW, Record, Story};
use crate::error::Error;
use crate::named_enum::named_enum;
use crate::params::Params;

named_enum! {
    /// State of a job.
    pub enum State("state") {
        /// Waiting.
        Queued = "queued",
        /// In the engine.
        Running = "running",
        /// Its pictures are there.
        Completed = "completed",
        /// It could not be drawn.
        Failed = "failed",
        /// Somebody stopped it.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Returns true for a final state.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Returns true if the state `next` may follow.
    fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled),
            Self::Running => next.is_final(),
            Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}

named_enum! {
    /// Kind of a job.
    pub enum Operation("operation") {
        /// From a prompt.
        Txt2img = "txt2img",
        /// From a prompt and a picture.
        Img2img = "img2img",
        /// From a prompt, a picture and a mask.
        Inpaint = "inpaint",
    }
}

named_enum! {
    /// Interface through which a job came in.
    pub enum Api("interface") {
        /// `/v1/jobs`.
        Jobs = "jobs",
        /// `/v1/images`.
        OpenAi = "openai",
        /// `/sdapi/v1`.
        A1111 = "a1111",
    }
}

/// The request of a job. Image fields hold [`super::uploads::PLACE`] if the image is stored with
/// the job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) params: Params,
    pub(super) operation: Operation,
    pub(super) api: Api,
    /// The client waits on the open connection; if it disconnects, nobody will ask for the result.
    pub(super) attended: bool,
    /// Key of links that open the images for a while without the server's token; empty in orders of
    /// earlier versions.
    #[serde(default)]
    pub(super) key: String,
}

/// Time for which image links with an order's key work after the end of the job, as in OpenAI's
/// interface.
const LINKS: Duration = Duration::from_secs(60 * 60);

/// A random key of 128 bits.
pub(super) fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Order {
    /// An order of nothing in particular.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self {
            params: Params::default(),
            operation: Operation::Txt2img,
            api: Api::Jobs,
            attended: false,
            key: String::new(),
        }
    }

    /// Returns true if `other` differs only in prompts and seed, so that both may share a batch.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let [ours, theirs] = [self, other].map(|order| Params {
            prompt: None,
            negative_prompt: None,
            prompt_2: None,
            negative_prompt_2: None,
            seed: None,
            ..order.params.clone()
        });
        // Pictures that came with an order are known by their place alone.
        self.operation == Operation::Txt2img && ours == theirs
    }

    /// Placeholder for an order that cannot be read because another version stored it.
    #[cfg(feature = "redis")]
    pub(super) fn unread() -> Self {
        let (params, operation) = (Params::default(), Operation::Txt2img);
        Self {
            params,
            operation,
            api: Api::Jobs,
            attended: false,
            key: String::new(),
        }
    }
}

/// A finished picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) index: u64,
    pub(super) seed: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Size of the file in bytes.
    pub(super) bytes: u64,
}

/// Status of a job, as the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) state: State,
    /// Number of attempts so far.
    pub(super) attempts: u32,
    #[serde(with = "clock::seconds")]
    pub(super) started: Option<SystemTime>,
    #[serde(with = "clock::seconds")]
    pub(super) ended: Option<SystemTime>,
    pub(super) images: Vec<Made>,
    pub(super) failure: Option<Failure>,
    /// Warnings about the images, without duplicates.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    /// Network calls done, and in total.
    #[serde(default)]
    pub(super) steps: (usize, usize),
    /// Place in the queue, from 1.
    #[serde(skip)]
    pub(super) position: Option<usize>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: State::Queued,
            attempts: 0,
            started: None,
            ended: None,
            images: Vec::new(),
            failure: None,
            warnings: Vec::new(),
            steps: (0, 0),
            position: None,
        }
    }
}

/// Ways to stop a running job, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Halt {
    /// End the current image early and go on with the images after it.
    Skip = 1,
    /// End the current image early and start no other.
    Finish,
    /// Drop every unfinished image.
    Cancel,
}

/// Outcome of a job.
pub(super) enum End {
    Completed,
    Failed(Failure),
    Cancelled,
}

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    /// Serial number among all jobs of this server.
    pub(super) number: u64,
    pub(super) created: SystemTime,
    pub(super) order: Order,
    /// The [`Halt`] that was asked for, or 0.
    stop: AtomicU8,
    inner: Mutex<(Status, Story)>,
    news: watch::Sender<u64>,
}

/// Most warnings of one job.
const WARNINGS: usize = 32;

/// A random job id, which cannot be guessed.
pub(super) fn new_id() -> String {
    format!("job-{:032x}", rand::random::<u128>())
}

impl Job {
    /// A job with a past: `status` is where it stands.
    pub(super) fn new(
        id: String,
        number: u64,
        created: SystemTime,
        order: Order,
        status: Status,
    ) -> Self {
        let news = watch::Sender::new(0);
        let inner = Mutex::new((status, Story::default()));
        let job = Self {
            id,
            number,
            created,
            order,
            stop: AtomicU8::new(0),
            inner,
            news,
        };
        let status = job.status();
        if status.state.is_final() {
            for message in &status.warnings {
                job.tell(&News::Warning {
                    message: message.clone(),
                });
            }
            job.tell(&job.news_of(&status));
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, (Status, Story)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Current status.
    pub(super) fn status(&self) -> Status {
        self.lock().0.clone()
    }

    /// Its state.
    pub(super) fn state(&self) -> State {
        self.lock().0.state
    }

    /// Bytes of its pictures.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().0.images.iter().map(|made| made.bytes).sum()
    }

    /// Address of an image of the job.
    pub(super) fn link(&self, made: &Made) -> Link {
        Link {
            url: format!("/v1/jobs/{}/images/{}", self.id, made.index),
            made: made.clone(),
        }
    }

    /// Key of the image links while they work without the server's token: from the end of the job
    /// on, for [`LINKS`].
    pub(super) fn key(&self, now: SystemTime) -> Option<&str> {
        let ended = self.lock().0.ended?;
        let open = now.duration_since(ended).unwrap_or_default() < LINKS;
        Some(self.order.key.as_str()).filter(|key| open && !key.is_empty())
    }

    /// Asks the engine to stop the job at its next step; a stronger request made earlier stays.
    pub(super) fn ask(&self, stop: Halt) {
        self.stop.fetch_max(stop as u8, Ordering::Relaxed);
    }

    /// Returns true if the job is to stop and drop its unfinished images.
    pub(super) fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == Halt::Cancel as u8
    }

    /// Returns true if the job is to end with its images as they are.
    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == Halt::Finish as u8
    }

    /// Returns true if any stop was requested.
    pub(super) fn is_halted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != 0
    }

    /// Returns true if the current image is to end early, and resets that request.
    pub(super) fn is_skipped(&self) -> bool {
        let (skip, none) = (Halt::Skip as u8, 0);
        self.stop
            .compare_exchange(skip, none, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Records the place in the queue.
    pub(super) fn waits(&self, position: usize) {
        let mut inner = self.lock();
        let (status, story) = &mut *inner;
        if status.state == State::Queued && status.position != Some(position) {
            status.position = Some(position);
            let id = story.tell(&News::Queued { position });
            drop(inner);
            self.news.send_replace(id);
        }
    }

    /// Queued → running.
    pub(super) fn begin(&self) -> bool {
        self.change(State::Running, |status| {
            status.started = Some(SystemTime::now());
            status.attempts += 1;
            status.position = None;
            status.images.clear();
            status.warnings.clear();
        })
    }

    /// Ends the job; returns true if it had not ended before.
    pub(super) fn end(&self, end: End) -> bool {
        let (state, failure) = match end {
            End::Completed => (State::Completed, None),
            End::Failed(failure) => (State::Failed, Some(failure)),
            End::Cancelled => (State::Cancelled, None),
        };
        self.change(state, |status| {
            status.ended = Some(SystemTime::now());
            status.position = None;
            status.failure = failure;
        })
    }

    /// Changes the state, if the transition is allowed. Listeners are notified in the same step, so
    /// that none sees the end of a job without its final event.
    fn change(&self, state: State, more: impl FnOnce(&mut Status)) -> bool {
        let mut inner = self.lock();
        let (status, story) = &mut *inner;
        if !status.state.leads_to(state) {
            return false;
        }
        status.state = state;
        more(status);
        if state.is_final() {
            story.close();
        } else {
            story.open(status.attempts);
        }
        let id = story.tell(&self.news_of(status));
        drop(inner);
        self.news.send_replace(id);
        true
    }

    /// Event for the current state.
    fn news_of(&self, status: &Status) -> News {
        match (&status.failure, status.state) {
            (Some(failure), _) => News::Error(failure.clone()),
            (None, State::Queued | State::Running) => News::Running,
            (None, State::Failed | State::Cancelled) => News::Cancelled,
            (None, State::Completed) => News::Complete {
                images: status.images.iter().map(|made| self.link(made)).collect(),
                seconds: clock::between(status.started, status.ended).unwrap_or(0.0),
            },
        }
    }

    /// Records the number of network calls done.
    pub(super) fn step(&self, done: usize, all: usize, image: u64) {
        self.lock().0.steps = (done, all);
        let percent = (1000.0 * done as f64 / all.max(1) as f64).round() / 10.0;
        self.tell(&News::Progress {
            step: done,
            total: all,
            percent,
            image,
        });
    }

    /// Records a finished image.
    pub(super) fn made(&self, made: Made) {
        let Link { url, made } = self.link(&made);
        self.lock().0.images.push(made.clone());
        self.tell(&News::Image { url, made });
    }

    /// Records a warning, each text once.
    pub(super) fn warn(&self, message: &str) {
        let mut inner = self.lock();
        let (status, story) = &mut *inner;
        if status.warnings.len() == WARNINGS || status.warnings.iter().any(|known| known == message)
        {
            return;
        }
        status.warnings.push(message.to_owned());
        let id = story.tell(&News::Warning {
            message: message.to_owned(),
        });
        drop(inner);
        self.news.send_replace(id);
    }

    /// Adds an event and notifies the listeners.
    pub(super) fn tell(&self, news: &News) {
        let id = self.lock().1.tell(news);
        self.news.send_replace(id);
    }

    /// Takes over the status and the new records that another process wrote.
    #[cfg(feature = "redis")]
    pub(super) fn hear(&self, status: Status, records: Vec<Record>) {
        let mut inner = self.lock();
        let position = inner.0.position.filter(|_| status.state == State::Queued);
        inner.0 = Status { position, ..status };
        let id = inner.1.hear(records);
        drop(inner);
        self.news.send_replace(id);
    }

    /// Status and final record of the job if it is cancelled while it waits. The record has a
    /// higher number than any record of its place in the queue, in whichever process it waited.
    ///
    /// # Errors
    /// None: a waiting job can be cancelled.
    #[cfg(feature = "redis")]
    pub(super) fn cancelled(&self) -> Result<(Status, Record), Error> {
        let job = Self::new(
            self.id.clone(),
            self.number,
            self.created,
            self.order.clone(),
            Status::default(),
        );
        job.lock().1.end_of_waiting();
        job.end(End::Cancelled);
        let record = job
            .lock()
            .1
            .after(0)
            .last()
            .map(|record| Record::clone(record));
        Ok((
            job.status(),
            record.ok_or_else(|| Error::internal("an end that nobody tells of"))?,
        ))
    }

    /// Number of the last record.
    #[cfg(feature = "redis")]
    pub(super) fn last(&self) -> u64 {
        self.lock().1.last_number()
    }

    /// The last preview of a running job, in base64.
    pub(super) fn preview(&self) -> Option<String> {
        let record = self.lock().1.last(PREVIEW)?;
        let data: serde_json::Value = serde_json::from_str(&record.data).ok()?;
        data["image"].as_str().map(str::to_owned)
    }

    /// Everything that was told after record `id`, and whether more may come.
    pub(super) fn heard_after(&self, id: u64) -> (Vec<Arc<Record>>, bool) {
        let inner = self.lock();
        (inner.1.after(id), !inner.0.state.is_final())
    }

    /// Receiver that is notified of each new record.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Waits for the end of the job.
    pub(super) async fn ended(&self) -> Status {
        let mut bell = self.listen();
        loop {
            let status = self.status();
            if status.state.is_final() || bell.changed().await.is_err() {
                return status;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let order = Order {
            api: Api::OpenAi,
            attended: true,
            key: new_key(),
            ..Order::plain()
        };
        Job::new(new_id(), 1, SystemTime::now(), order, Status::default())
    }

    fn heard(job: &Job) -> Vec<String> {
        job.heard_after(0)
            .0
            .iter()
            .map(|record| record.name.to_string())
            .collect()
    }

    #[test]
    fn a_warning_is_told_once_and_stays() {
        let job = job();
        assert!(job.begin());
        ["cut", "cut", "no such LoRA"]
            .iter()
            .for_each(|message| job.warn(message));
        (0..200).for_each(|step| job.step(step, 200, 0));
        assert!(job.end(End::Completed));
        assert_eq!(job.status().warnings, ["cut", "no such LoRA"]);
        let warned = |job: &Job| heard(job).iter().filter(|name| *name == "warning").count();
        assert_eq!(warned(&job), 2, "who comes late hears them too");
        let text = serde_json::to_string(&job.status()).unwrap();
        let later = Job::new(
            new_id(),
            1,
            job.created,
            job.order.clone(),
            serde_json::from_str(&text).unwrap(),
        );
        assert_eq!(
            heard(&later),
            ["warning", "warning", "complete"],
            "another process tells them"
        );
        assert!((0..100).all(|i| {
            later.warn(&i.to_string());
            later.status().warnings.len() <= WARNINGS
        }));
    }

    #[test]
    fn a_second_attempt_warns_anew() {
        let status = Status {
            warnings: vec!["old".to_owned()],
            attempts: 1,
            ..Status::default()
        };
        let first = job();
        let again = Job::new(new_id(), 1, first.created, first.order.clone(), status);
        assert!(again.begin() && again.status().warnings.is_empty());
    }

    #[test]
    fn a_key_opens_from_the_end_on_for_an_hour() {
        let job = job();
        let at = |seconds: u64| SystemTime::now() + Duration::from_secs(seconds);
        assert!(job.begin() && job.key(at(0)).is_none());
        assert!(job.end(End::Completed));
        assert_eq!(job.key(at(3500)), Some(job.order.key.as_str()));
        assert_eq!(job.key(at(3700)), None);
        assert_eq!(job.order.key.len(), 32);
        let text = serde_json::to_string(&job.order)
            .unwrap()
            .replace(&job.order.key, "");
        let keyless = Job::new(
            new_id(),
            2,
            job.created,
            serde_json::from_str(&text).unwrap(),
            job.status(),
        );
        assert_eq!(keyless.key(at(0)), None, "an empty key opens nothing");
    }
}
