//! What a job's listeners hear: numbered records, kept so that somebody who comes late or comes back hears the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use super::job::{Failure, Made};
use crate::event::Stage;

/// One thing to tell. Serialises to an object with the tag `type`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum News {
    /// Where in the queue it stands; 1 is next.
    Queued { position: usize },
    /// It is being worked on.
    Running,
    /// Bytes of a model's file arrive from the hub.
    Fetch { file: String, done: u64, total: u64 },
    /// A stage began.
    Stage { stage: Stage, what: String },
    /// A call of the network is done.
    Progress { step: usize, total: usize, percent: f64, image: u64 },
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

/// How a kind of news is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Until the next of its kind.
    Latest,
    /// Until there are too many.
    Recent,
    /// Always.
    Always,
}

impl News {
    /// The event's name in a stream.
    fn name(&self) -> &'static str {
        self.traits().0
    }

    fn traits(&self) -> (&'static str, Keep) {
        match self {
            Self::Queued { .. } => ("queued", Keep::Latest),
            Self::Running => ("running", Keep::Always),
            Self::Fetch { .. } => ("fetch", Keep::Latest),
            Self::Stage { .. } => ("stage", Keep::Recent),
            Self::Progress { .. } => ("progress", Keep::Recent),
            Self::Image { .. } => ("image", Keep::Always),
            Self::Warning { .. } => ("warning", Keep::Recent),
            Self::Complete { .. } => ("complete", Keep::Always),
            Self::Error(_) => ("error", Keep::Always),
            Self::Cancelled => ("cancelled", Keep::Always),
        }
    }
}

/// A record as it goes over the wire, serialised once for all listeners.
#[derive(Debug)]
pub(super) struct Record {
    /// Its number, from 1.
    pub(super) id: u64,
    /// The event's name.
    pub(super) name: &'static str,
    /// JSON of one line.
    pub(super) data: String,
    keep: Keep,
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keep")
    }
}

/// Most records of passing interest that are kept.
const RECENT: usize = 64;

/// The records of one job, oldest first.
#[derive(Debug, Default)]
pub(super) struct Story {
    records: VecDeque<Arc<Record>>,
    last: u64,
}

impl Story {
    /// Adds a record and forgets what it makes stale; returns its number.
    pub(super) fn tell(&mut self, news: &News) -> u64 {
        let (name, keep) = news.traits();
        if keep == Keep::Latest {
            self.records.retain(|record| record.name != name);
        }
        self.last += 1;
        // Invariant: plain data with string keys always serialises.
        let data = serde_json::to_string(news).unwrap_or_default();
        self.records.push_back(Arc::new(Record { id: self.last, name: news.name(), data, keep }));
        self.trim(RECENT);
        self.last
    }

    /// Forgets what only mattered while the job ran.
    pub(super) fn close(&mut self) {
        self.records.retain(|record| record.keep != Keep::Latest);
        self.trim(1);
    }

    fn trim(&mut self, limit: usize) {
        let recent = self.records.iter().filter(|record| record.keep == Keep::Recent).count();
        let mut surplus = recent.saturating_sub(limit);
        self.records.retain(|record| {
            let stale = record.keep == Keep::Recent && surplus > 0;
            surplus -= usize::from(stale);
            !stale
        });
    }

    /// Everything after record `id`; all of it when `id` is of another story (an earlier process's, say).
    pub(super) fn after(&self, id: u64) -> Vec<Arc<Record>> {
        let from = if id > self.last { 0 } else { id };
        self.records.iter().filter(|record| record.id > from).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: usize) -> News {
        News::Progress { step, total: 1000, percent: 0.0, image: 0 }
    }

    fn names(story: &Story, after: u64) -> Vec<&'static str> {
        story.after(after).iter().map(|record| record.name).collect()
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
}
