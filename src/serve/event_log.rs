//! Event log of a job: numbered events, kept for subscribers that connect late or reconnect.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Stage;
use crate::serve::failure::Failure;
use crate::serve::image_record::ImageLink;

/// An event of a job, serialised as an object with the tag `type`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum JobEvent {
    /// Position in the queue; 1 is next.
    Queued { position: usize },
    /// The job runs.
    Running,
    /// Download of a model's file from the hub.
    Fetch { file: String, done: u64, total: u64 },
    /// Start of a stage.
    Stage { stage: Stage, what: String },
    /// End of a network evaluation.
    Progress {
        step: usize,
        total: usize,
        percent: f64,
        image: u64,
    },
    /// A preview: a small image in base64.
    Preview {
        step: usize,
        image: String,
        format: &'static str,
        index: u64,
    },
    /// A finished image with its URL.
    Image(ImageLink),
    /// A warning.
    Warning { message: String },
    /// The job succeeded; all its images.
    Complete {
        images: Vec<ImageLink>,
        seconds: f64,
    },
    /// The job failed.
    Error(Failure),
    /// The job was cancelled.
    Cancelled,
}

/// Retention of a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeepPolicy {
    /// Until the next of its kind.
    Latest,
    /// Until there are too many.
    Recent,
    /// Always.
    Always,
}

impl JobEvent {
    /// The event's name in a stream, and its retention.
    fn name_and_policy(&self) -> (&'static str, KeepPolicy) {
        match self {
            Self::Queued { .. } => ("queued", KeepPolicy::Latest),
            Self::Running => ("running", KeepPolicy::Always),
            Self::Fetch { .. } => ("fetch", KeepPolicy::Latest),
            Self::Stage { .. } => ("stage", KeepPolicy::Recent),
            Self::Progress { .. } => ("progress", KeepPolicy::Recent),
            Self::Preview { .. } => (PREVIEW_EVENT, KeepPolicy::Latest),
            Self::Image(_) => ("image", KeepPolicy::Always),
            Self::Warning { .. } => ("warning", KeepPolicy::Always),
            Self::Complete { .. } => ("complete", KeepPolicy::Always),
            Self::Error(_) => ("error", KeepPolicy::Always),
            Self::Cancelled => ("cancelled", KeepPolicy::Always),
        }
    }
}

/// Name of preview events.
pub(crate) const PREVIEW_EVENT: &str = "preview";

/// An event as sent to clients, serialised once for all subscribers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Serial number, from 1.
    pub(crate) id: u64,
    /// The event's name.
    pub(crate) name: Cow<'static, str>,
    /// JSON of one line.
    pub(crate) data: String,
    keep: KeepPolicy,
}

/// Maximum number of stages and steps that are kept.
const MAX_TRANSIENT: usize = 64;
/// Number of low bits of an id that count the events of one attempt.
const ATTEMPT_SHIFT: u32 = 20;

/// The events of one job, oldest first.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    records: VecDeque<Arc<Record>>,
    last: u64,
}

impl EventLog {
    /// Adds an event and drops those that it supersedes; returns its id.
    pub(crate) fn append(&mut self, event: &JobEvent) -> u64 {
        let (name, keep) = event.name_and_policy();
        self.push(Record {
            id: self.last + 1,
            name: name.into(),
            // Invariant: plain data with string keys always serialises.
            data: serde_json::to_string(event).unwrap_or_default(),
            keep,
        })
    }

    fn push(&mut self, record: Record) -> u64 {
        if record.keep == KeepPolicy::Latest {
            self.records.retain(|other| other.name != record.name);
        }
        self.last = record.id;
        self.records.push_back(Arc::new(record));
        self.trim_transient(MAX_TRANSIENT);
        self.last
    }

    /// Starts this attempt: its events have higher ids than those of all earlier attempts,
    /// whichever process wrote them.
    pub(crate) fn start_attempt(&mut self, attempt: u32) {
        self.last = self.last.max(u64::from(attempt) << ATTEMPT_SHIFT);
    }

    /// Gives the next event the last id before those of the first attempt.
    #[cfg(feature = "redis")]
    pub(crate) fn skip_to_last_queued_id(&mut self) {
        self.last = (1 << ATTEMPT_SHIFT) - 2;
    }

    /// Id of the last event.
    #[cfg(feature = "redis")]
    pub(crate) fn last_id(&self) -> u64 {
        self.last
    }

    /// Adds the new events; those of a later attempt replace all others. Returns the last id.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn merge(&mut self, records: Vec<Record>) -> u64 {
        let known = self.last;
        for record in records.into_iter().skip_while(|record| record.id <= known) {
            if record.id >> ATTEMPT_SHIFT > self.last >> ATTEMPT_SHIFT {
                self.records.clear();
            }
            self.push(record);
        }
        self.last
    }

    /// The last event with this name.
    pub(crate) fn latest(&self, name: &str) -> Option<Arc<Record>> {
        let mut newest_first = self.records.iter().rev();
        newest_first.find(|record| record.name == name).cloned()
    }

    /// Drops events that only matter while the job runs.
    pub(crate) fn drop_transient(&mut self) {
        self.records
            .retain(|record| record.keep != KeepPolicy::Latest);
        self.trim_transient(1);
    }

    fn trim_transient(&mut self, limit: usize) {
        let is_transient = |record: &Arc<Record>| record.keep == KeepPolicy::Recent;
        let count = self.records.iter().filter(|r| is_transient(r)).count();
        let mut surplus = count.saturating_sub(limit);
        self.records.retain(|record| {
            let is_dropped = is_transient(record) && surplus > 0;
            surplus -= usize::from(is_dropped);
            !is_dropped
        });
    }

    /// Events after this id; all events if the id comes from another log, such as that of an
    /// earlier process.
    pub(crate) fn records_after(&self, id: u64) -> Vec<Arc<Record>> {
        let from = if id > self.last { 0 } else { id };
        let records = self.records.iter();
        records.filter(|record| record.id > from).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: usize) -> JobEvent {
        JobEvent::Progress {
            step,
            total: 1000,
            percent: 0.0,
            image: 0,
        }
    }

    fn names(events: &EventLog, after: u64) -> Vec<String> {
        events
            .records_after(after)
            .iter()
            .map(|record| record.name.to_string())
            .collect()
    }

    #[test]
    fn a_subscriber_that_reconnects_gets_what_it_missed() {
        let mut events = EventLog::default();
        events.append(&JobEvent::Queued { position: 2 });
        events.append(&JobEvent::Queued { position: 1 });
        let at = events.append(&JobEvent::Running);
        events.append(&progress(1));
        assert_eq!(names(&events, 0), ["queued", "running", "progress"]);
        assert_eq!(names(&events, at), ["progress"]);
        assert_eq!(names(&events, 99), ["queued", "running", "progress"]);
    }

    #[test]
    fn a_long_run_takes_no_more_memory_than_a_short_one() {
        let mut events = EventLog::default();
        (0..1000).for_each(|step| {
            events.append(&progress(step));
        });
        events.append(&JobEvent::Cancelled);
        assert_eq!(events.records.len(), MAX_TRANSIENT + 1);
        events.drop_transient();
        assert_eq!(names(&events, 0), ["progress", "cancelled"]);
        assert!(events.records_after(0)[0].data.contains("\"step\":999"));
    }

    #[test]
    fn events_of_a_second_attempt_replace_those_of_the_first() {
        let (mut first, mut second, mut merged) = (
            EventLog::default(),
            EventLog::default(),
            EventLog::default(),
        );
        merged.append(&JobEvent::Queued { position: 1 });
        for (attempt, events) in [(1, &mut first), (2, &mut second)] {
            events.start_attempt(attempt);
            events.append(&JobEvent::Running);
            events.append(&progress(1));
        }
        let records = |events: &EventLog| {
            events
                .records_after(0)
                .iter()
                .map(|record| Record::clone(record))
                .collect()
        };
        let at = merged.merge(records(&first));
        assert_eq!(names(&merged, 0), ["running", "progress"]);
        merged.merge(records(&second));
        merged.merge(records(&first));
        assert_eq!(names(&merged, 0), ["running", "progress"]);
        assert_eq!(
            names(&merged, at),
            ["running", "progress"],
            "they are new to subscribers of the first"
        );
    }
}
