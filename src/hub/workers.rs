//! Worker threads for downloads, whose events are passed to the observer, which can cancel even while
//! the network is silent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, tell};

/// Interval between events to the observer.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of concurrent jobs.
const WORKERS: usize = 4;

enum Message<T> {
    Event(Event),
    Done(Result<T>),
}

/// Channel from a job to the observer.
pub(super) struct Progress {
    send: Box<dyn Fn(Event) + Send>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// Sends an event to the observer.
    pub(super) fn emit(&self, event: Event) {
        (self.send)(event);
    }

    /// Returns an error if the user has stopped the run, or another job has failed.
    pub(super) fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Error::new(Kind::Interrupted, "interrupted"))
        } else {
            Ok(())
        }
    }

    /// Sleeps, unless the run is stopped.
    pub(super) fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.check_stop()?;
            thread::sleep(left.min(INTERVAL));
        }
        self.check_stop()
    }
}

/// Runs `work` on each job, several at a time, and passes its events to `observer`; `idle` is
/// passed while there are none. The first error stops the other jobs, as does the observer: threads
/// that wait for the network are then left behind and end with their next byte.
pub(super) fn run_workers<J: Send + 'static, T: Send + 'static>(
    jobs: Vec<J>,
    idle: &Event,
    observer: &mut dyn Observer,
    work: impl Fn(J, &Progress) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let (count, stop, work) = (jobs.len(), Arc::new(AtomicBool::new(false)), Arc::new(work));
    let queue = Arc::new(Mutex::new(jobs.into_iter()));
    let (sender, receiver) = channel();
    for _ in 0..WORKERS.min(count) {
        let (queue, work, sender) = (Arc::clone(&queue), Arc::clone(&work), sender.clone());
        let events = sender.clone();
        let progress = Progress {
            // There is no receiver any more after a cancel.
            send: Box::new(move |event| drop(events.send(Message::Event(event)))),
            stop: Arc::clone(&stop),
        };
        thread::spawn(move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(job) = next().filter(|_| progress.check_stop().is_ok()) {
                drop(sender.send(Message::Done(work(job, &progress))));
            }
        });
    }
    drop(sender);
    let results = collect_results(&receiver, count, idle, observer);
    stop.store(results.is_err(), Ordering::Relaxed);
    results
}

/// Passes events on until all jobs are done.
fn collect_results<T>(
    receiver: &Receiver<Message<T>>,
    count: usize,
    idle: &Event,
    observer: &mut dyn Observer,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(count);
    while done.len() < count {
        match receiver.recv_timeout(INTERVAL) {
            Ok(Message::Done(result)) => {
                done.push(result?);
                continue;
            }
            Ok(Message::Event(event)) => tell(observer, &event)?,
            Err(RecvTimeoutError::Timeout) => tell(observer, idle)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("a download thread panicked"));
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Flow;

    fn idle() -> Event {
        Event::Fetch {
            file: "x".into(),
            done: 0,
            total: 0,
        }
    }

    #[test]
    fn all_jobs_are_done_by_several_workers() {
        let mut warnings = 0;
        let mut observer = |event: &Event| {
            warnings += usize::from(matches!(event, Event::Warning { .. }));
            Flow::Continue
        };
        let jobs = (0..20u64).collect();
        let mut squares = run_workers(jobs, &idle(), &mut observer, |n, progress| {
            progress.emit(Event::Warning {
                message: n.to_string(),
            });
            Ok(n * n)
        })
        .unwrap();
        squares.sort_unstable();
        assert_eq!((squares.len(), squares[19], warnings), (20, 361, 20));
    }

    #[test]
    fn a_cancel_does_not_wait_for_a_silent_job_and_a_failure_stops_the_others() {
        let begun = Instant::now();
        let slow = |_: u32, progress: &Progress| progress.sleep(Duration::from_secs(60));
        let error =
            run_workers(vec![1, 2], &idle(), &mut |_: &Event| Flow::Cancel, slow).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        let failing = |n: u32, progress: &Progress| {
            if n == 1 {
                Err(Error::internal("x"))
            } else {
                progress.sleep(Duration::from_secs(60))
            }
        };
        let error = run_workers(
            vec![1, 2],
            &idle(),
            &mut |_: &Event| Flow::Continue,
            failing,
        )
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
