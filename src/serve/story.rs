//! Event log of a job: numbered records, kept for listeners that connect late or reconnect.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::job::Made;
use crate::event::Stage;

/// An event of a job, serialised as an object with the tag `type`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum News {
    /// Place in the queue; 1 is next.
    Queued { position: usize },
    /// It is being worked on.
    Running,
    /// Bytes of a model's file arrive from the hub.
    Fetch { file: String, done: u64, total: u64 },
    /// A stage began.
    Stage { stage: Stage, what: String },
    /// A call of the network is done.
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
    /// A picture is done; `url` is where to get it.
    Image {
        url: String,
        #[serde(flatten)]
        made: Made,
    },
    /// Something that is no failure.
    Warning { message: String },
    /// The end, with every picture.
    Complete { images: Vec<Link>, seconds: f64 },
    /// The end: it failed.
    Error(Failure),
    /// The end: somebody stopped it.
    Cancelled,
}

/// A finished picture and where it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Link {
    /// Path on this server.
    pub(super) url: String,
    #[serde(flatten)]
    pub(super) made: Made,
}

/// Retention of a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Keep {
    /// Until the next of its kind.
    Latest,
    /// Until there are too many.
    Recent,
    /// Always.
    Always,
}

impl News {
    /// The event's name in a stream, and how it is kept.
    fn traits(&self) -> (&'static str, Keep) {
        match self {
            Self::Queued { .. } => ("queued", Keep::Latest),
            Self::Running => ("running", Keep::Always),
            Self::Fetch { .. } => ("fetch", Keep::Latest),
            Self::Stage { .. } => ("stage", Keep::Recent),
            Self::Progress { .. } => ("progress", Keep::Recent),
            Self::Preview { .. } => (PREVIEW, Keep::Latest),
            Self::Image { .. } => ("image", Keep::Always),
            Self::Warning { .. } => ("warning", Keep::Always),
            Self::Complete { .. } => ("complete", Keep::Always),
            Self::Error(_) => ("error", Keep::Always),
            Self::Cancelled => ("cancelled", Keep::Always),
        }
    }
}

/// The name of previews.
pub(super) const PREVIEW: &str = "preview";

/// A record as sent to clients, serialised once for all listeners.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its number, from 1.
    pub(super) id: u64,
    /// The event's name.
    pub(super) name: Cow<'static, str>,
    /// JSON of one line.
    pub(super) data: String,
    keep: Keep,
}

/// Most records of passing interest that are kept.
const RECENT: usize = 64;
/// Bits that an attempt's records are numbered with.
const ATTEMPT: u32 = 20;

/// The records of one job, oldest first.
#[derive(Debug, Default)]
pub(super) struct Story {
    records: VecDeque<Arc<Record>>,
    last: u64,
}

impl Story {
    /// Adds a record and drops those that it supersedes; returns its number.
    pub(super) fn tell(&mut self, news: &News) -> u64 {
        let (name, keep) = news.traits();
        // Invariant: plain data with string keys always serialises.
        let data = serde_json::to_string(news).unwrap_or_default();
        self.add(Record {
            id: self.last + 1,
            name: name.into(),
            data,
            keep,
        })
    }

    fn add(&mut self, record: Record) -> u64 {
        if record.keep == Keep::Latest {
            self.records.retain(|other| other.name != record.name);
        }
        self.last = record.id;
        self.records.push_back(Arc::new(record));
        self.trim(RECENT);
        self.last
    }

    /// Starts attempt number `attempt`: its records have higher numbers than those of any attempt
    /// before it, whichever process wrote them.
    pub(super) fn open(&mut self, attempt: u32) {
        self.last = self.last.max(u64::from(attempt) << ATTEMPT);
    }

    /// Numbers the next record as the last one before the first attempt.
    #[cfg(feature = "redis")]
    pub(super) fn end_of_waiting(&mut self) {
        self.last = (1 << ATTEMPT) - 2;
    }

    /// Number of the last record.
    #[cfg(feature = "redis")]
    pub(super) fn last_number(&self) -> u64 {
        self.last
    }

    /// Adds the new records; those of a later attempt replace all others. Returns the last number.
    #[cfg(any(feature = "redis", test))]
    pub(super) fn hear(&mut self, records: Vec<Record>) -> u64 {
        for record in records
            .into_iter()
            .skip_while(|record| record.id <= self.last)
            .collect::<Vec<_>>()
        {
            if record.id >> ATTEMPT > self.last >> ATTEMPT {
                self.records.clear();
            }
            self.add(record);
        }
        self.last
    }

    /// The last record of a name.
    pub(super) fn last(&self, name: &str) -> Option<Arc<Record>> {
        self.records
            .iter()
            .rev()
            .find(|record| record.name == name)
            .cloned()
    }

    /// Drops records that only matter while the job runs.
    pub(super) fn close(&mut self) {
        self.records.retain(|record| record.keep != Keep::Latest);
        self.trim(1);
    }

    fn trim(&mut self, limit: usize) {
        let recent = self
            .records
            .iter()
            .filter(|record| record.keep == Keep::Recent)
            .count();
        let mut surplus = recent.saturating_sub(limit);
        self.records.retain(|record| {
            let stale = record.keep == Keep::Recent && surplus > 0;
            surplus -= usize::from(stale);
            !stale
        });
    }

    /// Records after number `id`; all records if `id` comes from another log (an earlier process's,
    /// say).
    pub(super) fn after(&self, id: u64) -> Vec<Arc<Record>> {
        let from = if id > self.last { 0 } else { id };
        self.records
            .iter()
            .filter(|record| record.id > from)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: usize) -> News {
        News::Progress {
            step,
            total: 1000,
            percent: 0.0,
            image: 0,
        }
    }

    fn names(story: &Story, after: u64) -> Vec<String> {
        story
            .after(after)
            .iter()
            .map(|record| record.name.to_string())
            .collect()
    }

    #[test]
    fn a_listener_who_comes_back_hears_what_it_missed() {
        let mut story = Story::default();
        story.tell(&News::Queued { position: 2 });
        story.tell(&News::Queued { position: 1 });
        let at = story.tell(&News::Running);
        story.tell(&progress(1));
        assert_eq!(names(&story, 0), ["queued", "running", "progress"]);
        assert_eq!(names(&story, at), ["progress"]);
        assert_eq!(names(&story, 99), ["queued", "running", "progress"]);
    }

    #[test]
    fn a_long_run_takes_no_more_memory_than_a_short_one() {
        let mut story = Story::default();
        (0..1000).for_each(|step| {
            story.tell(&progress(step));
        });
        story.tell(&News::Cancelled);
        assert_eq!(story.records.len(), RECENT + 1);
        story.close();
        assert_eq!(names(&story, 0), ["progress", "cancelled"]);
        assert!(story.after(0)[0].data.contains("\"step\":999"));
    }

    #[test]
    fn who_hears_of_a_second_attempt_forgets_the_first() {
        let (mut first, mut second, mut heard) =
            (Story::default(), Story::default(), Story::default());
        heard.tell(&News::Queued { position: 1 });
        for (attempt, story) in [(1, &mut first), (2, &mut second)] {
            story.open(attempt);
            story.tell(&News::Running);
            story.tell(&progress(1));
        }
        let records = |story: &Story| {
            story
                .after(0)
                .iter()
                .map(|record| Record::clone(record))
                .collect()
        };
        let at = heard.hear(records(&first));
        assert_eq!(names(&heard, 0), ["running", "progress"]);
        heard.hear(records(&second));
        heard.hear(records(&first));
        assert_eq!(names(&heard, 0), ["running", "progress"]);
        assert_eq!(
            names(&heard, at),
            ["running", "progress"],
            "they are new to who heard the first"
        );
    }
}
