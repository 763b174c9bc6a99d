//! Network threads whose events are passed to the observer, which can cancel even while the network
//! is silent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, tell};

/// Interval between events to the observer.
pub(super) const PULSE: Duration = Duration::from_millis(100);
/// Maximum number of concurrent jobs.
const HANDS: usize = 4;

enum Note<T> {
    Event(Event),
    Done(Result<T>),
}

/// Channel from a job to the thread that watches it.
pub(super) struct Teller {
    tell: Box<dyn Fn(Event) + Send>,
    stop: Arc<AtomicBool>,
}

impl Teller {
    /// Passes an event on.
    pub(super) fn say(&self, event: Event) {
        (self.tell)(event);
    }

    /// Returns an error if the user has stopped the run, or another job has failed.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(interrupted())
        } else {
            Ok(())
        }
    }

    /// Waits, unless the run is stopped.
    pub(super) fn pause(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.go_on()?;
            thread::sleep(left.min(PULSE));
        }
        self.go_on()
    }
}

/// Runs `work` on each job, several at a time, and passes its events to `observer`; `idle` is
/// passed while there are none.
///
/// # Errors
/// The first failure of a job, which stops the others; the observer cancels. Threads that wait for
/// the network are then left behind and end with their next byte; what arrived stays.
pub(super) fn work<J: Send + 'static, T: Send + 'static>(
    jobs: Vec<J>,
    idle: Event,
    observer: &mut dyn Observer,
    work: impl Fn(J, &Teller) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let (count, stop, work) = (jobs.len(), Arc::new(AtomicBool::new(false)), Arc::new(work));
    let queue = Arc::new(Mutex::new(jobs.into_iter()));
    let (notes, heard) = channel();
    for _ in 0..HANDS.min(count) {
        let (queue, work, notes) = (Arc::clone(&queue), Arc::clone(&work), notes.clone());
        let teller = teller(&notes, &stop);
        thread::spawn(move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(job) = next().filter(|_| teller.go_on().is_ok()) {
                // There is no receiver any more after a cancel.
                let _ = notes.send(Note::Done(work(job, &teller)));
            }
        });
    }
    drop(notes);
    let result = follow(&heard, count, &idle, observer);
    stop.store(result.is_err(), Ordering::Relaxed);
    result
}

fn teller<T: Send + 'static>(notes: &Sender<Note<T>>, stop: &Arc<AtomicBool>) -> Teller {
    let notes = notes.clone();
    let tell = Box::new(move |event| {
        let _ = notes.send(Note::Event(event));
    });
    Teller {
        tell,
        stop: Arc::clone(stop),
    }
}

/// Passes events on until all jobs are done.
fn follow<T>(
    heard: &Receiver<Note<T>>,
    count: usize,
    idle: &Event,
    observer: &mut dyn Observer,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(count);
    while done.len() < count {
        match heard.recv_timeout(PULSE) {
            Ok(Note::Done(result)) => {
                done.push(result?);
                continue;
            }
            Ok(Note::Event(event)) => pass(&event, observer)?,
            Err(RecvTimeoutError::Timeout) => pass(idle, observer)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("a download thread panicked"));
            }
        }
    }
    Ok(done)
}

/// Passes one event on.
pub(super) fn pass(event: &Event, observer: &mut dyn Observer) -> Result<()> {
    tell(observer, event)
}

/// The user stopped the run.
fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
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
    fn all_jobs_are_done_by_several_hands() {
        let mut warnings = 0;
        let mut observer = |event: &Event| {
            warnings += usize::from(matches!(event, Event::Warning { .. }));
            Flow::Continue
        };
        let jobs = (0..20u64).collect();
        let mut squares = work(jobs, idle(), &mut observer, |n, teller| {
            teller.say(Event::Warning {
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
        let slow = |_: u32, teller: &Teller| teller.pause(Duration::from_secs(60));
        let error = work(vec![1, 2], idle(), &mut |_: &Event| Flow::Cancel, slow).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        let failing = |n: u32, teller: &Teller| {
            if n == 1 {
                Err(Error::internal("x"))
            } else {
                teller.pause(Duration::from_secs(60))
            }
        };
        let error = work(vec![1, 2], idle(), &mut |_: &Event| Flow::Continue, failing).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
