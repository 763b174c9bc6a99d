//! A job: its specification, status and events. No HTTP, no files.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::named_enum::named_enum;
use crate::params::Params;
use crate::serve::event_log::{EventLog, JobEvent, PREVIEW_EVENT, Record};
use crate::serve::failure::Failure;
use crate::serve::image_record::{ImageLink, ImageRecord};
use crate::serve::timestamp;

named_enum! {
    /// State of a job.
    pub enum State("state") {
        /// Waiting in the queue.
        Queued = "queued",
        /// Being processed by the engine.
        Running = "running",
        /// Succeeded: its images are available.
        Completed = "completed",
        /// Ended with an error.
        Failed = "failed",
        /// Stopped by a client or by the server.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Returns true for a final state.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Returns true if the transition to `next` is allowed.
    fn may_become(self, next: Self) -> bool {
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
        /// From a prompt and an image.
        Img2img = "img2img",
        /// From a prompt, an image and a mask.
        Inpaint = "inpaint",
    }
}

named_enum! {
    /// API through which a job was submitted.
    pub enum Api("interface") {
        /// `/v1/jobs`.
        Jobs = "jobs",
        /// `/v1/images`.
        OpenAi = "openai",
        /// `/sdapi/v1`.
        A1111 = "a1111",
    }
}

/// The request of a job. Image fields hold [`crate::serve::uploads::UPLOADED`] if the image is
/// stored with the job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    pub(crate) params: Params,
    pub(crate) operation: Operation,
    pub(crate) api: Api,
    /// True if the client waits on the open connection; nobody else will ask for the result.
    #[serde(rename = "attended")]
    pub(crate) is_synchronous: bool,
    /// Key of links that open the images for a while without the server's token; empty in jobs of
    /// earlier versions.
    #[serde(default, rename = "key")]
    pub(crate) link_key: String,
}

/// Time for which image links with a key work after the end of the job, as in OpenAI's API.
const LINK_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A random key of 128 bits.
pub(crate) fn new_link_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl JobSpec {
    /// Placeholder for a specification that cannot be read because another version stored it.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn unreadable() -> Self {
        Self {
            params: Params::default(),
            operation: Operation::Txt2img,
            api: Api::Jobs,
            is_synchronous: false,
            link_key: String::new(),
        }
    }

    /// Returns true if `other` differs only in prompts and seed, so that both may share a batch.
    pub(crate) fn can_share_batch(&self, other: &Self) -> bool {
        let [ours, theirs] = [self, other].map(|spec| Params {
            prompt: None,
            negative_prompt: None,
            prompt_2: None,
            negative_prompt_2: None,
            seed: None,
            ..spec.params.clone()
        });
        // Uploaded images cannot be compared, since the parameters hold a placeholder.
        self.operation == Operation::Txt2img && ours == theirs
    }
}

/// Status of a job, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Number of attempts so far.
    pub(crate) attempts: u32,
    #[serde(with = "timestamp::seconds")]
    pub(crate) started: Option<SystemTime>,
    #[serde(with = "timestamp::seconds")]
    pub(crate) ended: Option<SystemTime>,
    pub(crate) images: Vec<ImageRecord>,
    pub(crate) failure: Option<Failure>,
    /// Warnings about the images, without duplicates.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// Network evaluations done, and in total.
    #[serde(default)]
    pub(crate) steps: (usize, usize),
    /// Position in the queue, from 1.
    #[serde(skip)]
    pub(crate) position: Option<usize>,
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
pub(crate) enum StopMode {
    /// End the current image early and go on with the next.
    Skip = 1,
    /// End the current image early and start no other.
    Finish,
    /// Drop all unfinished images.
    Cancel,
}

/// Outcome of a job.
pub(crate) enum Outcome {
    Completed,
    Failed(Failure),
    Cancelled,
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// Serial number among all jobs of this server.
    pub(crate) number: u64,
    pub(crate) created: SystemTime,
    pub(crate) spec: JobSpec,
    /// The requested [`StopMode`], or 0.
    stop: AtomicU8,
    progress: Mutex<Progress>,
    /// Id of the last event.
    last_event: watch::Sender<u64>,
}

#[derive(Debug)]
struct Progress {
    status: Status,
    events: EventLog,
}

/// Maximum number of warnings of one job.
const MAX_WARNINGS: usize = 32;

/// A random job id, which cannot be guessed.
pub(crate) fn new_id() -> String {
    format!("job-{:032x}", rand::random::<u128>())
}

impl Job {
    /// A job with this status, new or restored.
    pub(crate) fn new(
        id: String,
        number: u64,
        created: SystemTime,
        spec: JobSpec,
        status: Status,
    ) -> Self {
        let job = Self {
            id,
            number,
            created,
            spec,
            stop: AtomicU8::new(0),
            progress: Mutex::new(Progress {
                status: status.clone(),
                events: EventLog::default(),
            }),
            last_event: watch::Sender::new(0),
        };
        if status.state.is_final() {
            for message in &status.warnings {
                job.publish(&JobEvent::Warning {
                    message: message.clone(),
                });
            }
            job.publish(&job.state_event(&status));
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Current status.
    pub(crate) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// Current state.
    pub(crate) fn state(&self) -> State {
        self.lock().status.state
    }

    /// Total size of the images in bytes.
    pub(crate) fn image_bytes(&self) -> u64 {
        self.lock()
            .status
            .images
            .iter()
            .map(|image| image.bytes)
            .sum()
    }

    /// Link of an image of the job.
    pub(crate) fn image_link(&self, image: &ImageRecord) -> ImageLink {
        ImageLink {
            url: format!("/v1/jobs/{}/images/{}", self.id, image.index),
            image: image.clone(),
        }
    }

    /// Links of all images of this status.
    pub(crate) fn image_links(&self, status: &Status) -> Vec<ImageLink> {
        let images = status.images.iter();
        images.map(|image| self.image_link(image)).collect()
    }

    /// Key of the image links while they work without the server's token: from the end of the job,
    /// for [`LINK_LIFETIME`].
    pub(crate) fn link_key(&self, now: SystemTime) -> Option<&str> {
        let ended = self.lock().status.ended?;
        let is_open = now.duration_since(ended).unwrap_or_default() < LINK_LIFETIME;
        Some(self.spec.link_key.as_str()).filter(|key| is_open && !key.is_empty())
    }

    /// Asks the engine to stop the job at its next step; a stronger request made earlier stays.
    pub(crate) fn request_stop(&self, mode: StopMode) {
        self.stop.fetch_max(mode as u8, Ordering::Relaxed);
    }

    /// Returns true if the job is to drop its unfinished images.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == StopMode::Cancel as u8
    }

    /// Returns true if the job is to end with its images as they are.
    pub(crate) fn is_finishing(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == StopMode::Finish as u8
    }

    /// Returns true if any stop was requested.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != 0
    }

    /// Returns true if the current image is to end early, and resets that request.
    pub(crate) fn take_skip(&self) -> bool {
        let (skip, none) = (StopMode::Skip as u8, 0);
        self.stop
            .compare_exchange(skip, none, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Records the position in the queue.
    pub(crate) fn set_position(&self, position: usize) {
        let mut progress = self.lock();
        let status = &mut progress.status;
        if status.state == State::Queued && status.position != Some(position) {
            status.position = Some(position);
            let id = progress.events.append(&JobEvent::Queued { position });
            drop(progress);
            self.last_event.send_replace(id);
        }
    }

    /// Queued → running.
    pub(crate) fn start(&self) -> bool {
        self.transition(State::Running, |status| {
            status.started = Some(SystemTime::now());
            status.attempts += 1;
            status.position = None;
            status.images.clear();
            status.warnings.clear();
        })
    }

    /// Ends the job; returns true if it had not ended before.
    pub(crate) fn finish(&self, outcome: Outcome) -> bool {
        let (state, failure) = match outcome {
            Outcome::Completed => (State::Completed, None),
            Outcome::Failed(failure) => (State::Failed, Some(failure)),
            Outcome::Cancelled => (State::Cancelled, None),
        };
        self.transition(state, |status| {
            status.ended = Some(SystemTime::now());
            status.position = None;
            status.failure = failure;
        })
    }

    /// Changes the state, if the transition is allowed. Subscribers are notified in the same step,
    /// so that none sees the end of a job without its final event.
    fn transition(&self, state: State, update: impl FnOnce(&mut Status)) -> bool {
        let mut progress = self.lock();
        let Progress { status, events } = &mut *progress;
        if !status.state.may_become(state) {
            return false;
        }
        status.state = state;
        update(status);
        if state.is_final() {
            events.drop_transient();
        } else {
            events.start_attempt(status.attempts);
        }
        let id = events.append(&self.state_event(status));
        drop(progress);
        self.last_event.send_replace(id);
        true
    }

    /// Event for the current state.
    fn state_event(&self, status: &Status) -> JobEvent {
        match (&status.failure, status.state) {
            (Some(failure), _) => JobEvent::Error(failure.clone()),
            (None, State::Queued | State::Running) => JobEvent::Running,
            (None, State::Failed | State::Cancelled) => JobEvent::Cancelled,
            (None, State::Completed) => JobEvent::Complete {
                images: self.image_links(status),
                seconds: timestamp::seconds_between(status.started, status.ended).unwrap_or(0.0),
            },
        }
    }

    /// Records the number of network evaluations done.
    pub(crate) fn record_step(&self, done: usize, total: usize, image: u64) {
        self.lock().status.steps = (done, total);
        let percent = (1000.0 * done as f64 / total.max(1) as f64).round() / 10.0;
        self.publish(&JobEvent::Progress {
            step: done,
            total,
            percent,
            image,
        });
    }

    /// Records a finished image.
    pub(crate) fn record_image(&self, image: ImageRecord) {
        let link = self.image_link(&image);
        self.lock().status.images.push(image);
        self.publish(&JobEvent::Image(link));
    }

    /// Records a warning, each text once.
    pub(crate) fn add_warning(&self, message: &str) {
        let mut progress = self.lock();
        let warnings = &mut progress.status.warnings;
        if warnings.len() == MAX_WARNINGS || warnings.iter().any(|known| known == message) {
            return;
        }
        warnings.push(message.to_owned());
        let id = progress.events.append(&JobEvent::Warning {
            message: message.to_owned(),
        });
        drop(progress);
        self.last_event.send_replace(id);
    }

    /// Adds an event and notifies the subscribers.
    pub(crate) fn publish(&self, event: &JobEvent) {
        let id = self.lock().events.append(event);
        self.last_event.send_replace(id);
    }

    /// Takes over the status and the new events that another process wrote.
    #[cfg(feature = "redis")]
    pub(crate) fn apply_remote(&self, status: Status, events: Vec<Record>) {
        let mut progress = self.lock();
        let position = progress.status.position;
        let position = position.filter(|_| status.state == State::Queued);
        progress.status = Status { position, ..status };
        let id = progress.events.merge(events);
        drop(progress);
        self.last_event.send_replace(id);
    }

    /// Status and final event of the job if it is cancelled while it is queued. The event has a
    /// higher id than any event about its position, whichever process wrote that.
    #[cfg(feature = "redis")]
    pub(crate) fn cancelled_record(&self) -> crate::error::Result<(Status, Record)> {
        let job = Self::new(
            self.id.clone(),
            self.number,
            self.created,
            self.spec.clone(),
            Status::default(),
        );
        job.lock().events.skip_to_last_queued_id();
        job.finish(Outcome::Cancelled);
        let (events, _) = job.events_after(0);
        match events.last() {
            Some(event) => Ok((job.status(), Record::clone(event))),
            None => Err(crate::error::Error::internal(
                "a job ended without an event",
            )),
        }
    }

    /// Id of the last event.
    #[cfg(feature = "redis")]
    pub(crate) fn last_event_id(&self) -> u64 {
        self.lock().events.last_id()
    }

    /// The last preview of a running job, in base64.
    pub(crate) fn latest_preview(&self) -> Option<String> {
        let record = self.lock().events.latest(PREVIEW_EVENT)?;
        let data: serde_json::Value = serde_json::from_str(&record.data).ok()?;
        data["image"].as_str().map(str::to_owned)
    }

    /// Events after the one with this id, and whether more may come.
    pub(crate) fn events_after(&self, id: u64) -> (Vec<Arc<Record>>, bool) {
        let progress = self.lock();
        let is_open = !progress.status.state.is_final();
        (progress.events.records_after(id), is_open)
    }

    /// Receiver that is notified of each new event.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.last_event.subscribe()
    }

    /// Waits for the end of the job.
    pub(crate) async fn wait_until_ended(&self) -> Status {
        let mut changes = self.subscribe();
        loop {
            let status = self.status();
            if status.state.is_final() || changes.changed().await.is_err() {
                return status;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let spec = JobSpec {
            api: Api::OpenAi,
            is_synchronous: true,
            link_key: new_link_key(),
            ..JobSpec::unreadable()
        };
        Job::new(new_id(), 1, SystemTime::now(), spec, Status::default())
    }

    fn event_names(job: &Job) -> Vec<String> {
        job.events_after(0)
            .0
            .iter()
            .map(|record| record.name.to_string())
            .collect()
    }

    #[test]
    fn a_warning_is_published_once_and_stays() {
        let job = job();
        assert!(job.start());
        ["cut", "cut", "no such LoRA"]
            .iter()
            .for_each(|message| job.add_warning(message));
        (0..200).for_each(|step| job.record_step(step, 200, 0));
        assert!(job.finish(Outcome::Completed));
        assert_eq!(job.status().warnings, ["cut", "no such LoRA"]);
        let warned = |job: &Job| {
            event_names(job)
                .iter()
                .filter(|name| *name == "warning")
                .count()
        };
        assert_eq!(warned(&job), 2, "a late subscriber gets them too");
        let text = serde_json::to_string(&job.status()).unwrap();
        let later = Job::new(
            new_id(),
            1,
            job.created,
            job.spec.clone(),
            serde_json::from_str(&text).unwrap(),
        );
        assert_eq!(
            event_names(&later),
            ["warning", "warning", "complete"],
            "another process replays them"
        );
        assert!((0..100).all(|i| {
            later.add_warning(&i.to_string());
            later.status().warnings.len() <= MAX_WARNINGS
        }));
    }

    #[test]
    fn a_second_attempt_starts_without_warnings() {
        let status = Status {
            warnings: vec!["old".to_owned()],
            attempts: 1,
            ..Status::default()
        };
        let first = job();
        let again = Job::new(new_id(), 1, first.created, first.spec.clone(), status);
        assert!(again.start() && again.status().warnings.is_empty());
    }

    #[test]
    fn a_link_key_works_for_an_hour_from_the_end() {
        let job = job();
        let at = |seconds: u64| SystemTime::now() + Duration::from_secs(seconds);
        assert!(job.start() && job.link_key(at(0)).is_none());
        assert!(job.finish(Outcome::Completed));
        assert_eq!(job.link_key(at(3500)), Some(job.spec.link_key.as_str()));
        assert_eq!(job.link_key(at(3700)), None);
        assert_eq!(job.spec.link_key.len(), 32);
        let text = serde_json::to_string(&job.spec)
            .unwrap()
            .replace(&job.spec.link_key, "");
        let keyless = Job::new(
            new_id(),
            2,
            job.created,
            serde_json::from_str(&text).unwrap(),
            job.status(),
        );
        assert_eq!(keyless.link_key(at(0)), None, "an empty key opens nothing");
    }
}
