//! Events of a job over one connection (server-sent events): all past events, then new ones as they
//! occur. A client that sends the id of its last event receives the events after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;

use crate::serve::job::Job;
use crate::serve::rung;
use crate::serve::story::Record;

/// Interval of keep-alive messages in an idle stream.
const PULSE: Duration = Duration::from_secs(15);

struct Listener {
    job: Arc<Job>,
    bell: watch::Receiver<u64>,
    over: watch::Receiver<bool>,
    heard: u64,
    pending: VecDeque<Arc<Record>>,
}

/// Events of `job` after number `heard`, until the job ends or the server shuts down.
pub(super) fn events(
    job: Arc<Job>,
    over: watch::Receiver<bool>,
    heard: u64,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listener = Listener {
        bell: job.listen(),
        job,
        over,
        heard,
        pending: VecDeque::new(),
    };
    let stream = unfold(listener, |mut listener| async move {
        let record = listener.next().await?;
        Some((Ok(event(&record)), listener))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(PULSE))
}

fn event(record: &Record) -> Event {
    Event::default()
        .id(record.id.to_string())
        .event(&*record.name)
        .data(&record.data)
}

impl Listener {
    async fn next(&mut self) -> Option<Arc<Record>> {
        loop {
            if let Some(record) = self.pending.pop_front() {
                self.heard = record.id;
                return Some(record);
            }
            // Mark the channel as seen before reading: a record added in between notifies again.
            self.bell.borrow_and_update();
            let (records, more) = self.job.heard_after(self.heard);
            if !records.is_empty() {
                self.pending = records.into();
                continue;
            }
            if !more {
                return None;
            }
            tokio::select! {
                rung = self.bell.changed() => rung.ok()?,
                () = rung(&mut self.over) => return None,
            }
        }
    }
}
