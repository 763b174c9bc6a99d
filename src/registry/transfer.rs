//! One request to the hub on a thread of its own, so that the observer is asked about cancelling even while the
//! network is silent.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hf_hub::api::Progress;

use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer};

/// How often the observer hears of a download.
const PULSE: Duration = Duration::from_millis(100);

/// Bytes so far and in all.
type Bytes = (u64, u64);

/// Counts the bytes of one file for the thread that watches.
pub(super) struct Transfer {
    bytes: Bytes,
    told: Instant,
    tell: Sender<Bytes>,
}

impl Transfer {
    /// Runs `work` in the background while `observer` watches the bytes of `file` arrive.
    ///
    /// # Errors
    /// The observer cancels; the transfer is then left to end with the process, and its partial file resumes later.
    pub(super) fn watch<T: Send + 'static>(
        observer: &mut dyn Observer,
        file: &str,
        work: impl FnOnce(Self) -> T + Send + 'static,
    ) -> Result<T> {
        let (tell, heard) = channel();
        let worker = thread::spawn(move || work(Self { bytes: (0, 0), told: Instant::now(), tell }));
        follow(observer, file, &heard, || worker.is_finished())?;
        worker.join().map_err(|_| Error::internal("the download thread panicked"))
    }

    fn report(&mut self) {
        self.told = Instant::now();
        // Nobody listens any more after a cancel.
        let _ = self.tell.send(self.bytes);
    }
}

impl Progress for Transfer {
    fn init(&mut self, size: usize, _filename: &str) {
        self.bytes = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.bytes.0 += size as u64;
        if self.told.elapsed() >= PULSE {
            self.report();
        }
    }

    fn finish(&mut self) {
        self.report();
    }
}

/// Passes the byte counts on until the worker is done.
fn follow(
    observer: &mut dyn Observer,
    file: &str,
    heard: &Receiver<Bytes>,
    is_finished: impl Fn() -> bool,
) -> Result<()> {
    let (mut done, mut total) = (0, 0);
    loop {
        match heard.recv_timeout(PULSE) {
            Ok(bytes) => (done, total) = bytes,
            Err(RecvTimeoutError::Timeout) if is_finished() => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let event = Event::Fetch { file: file.to_owned(), done, total };
        if observer.on(&event) == Flow::Cancel {
            return Err(interrupted());
        }
    }
}

/// The user stopped the run.
pub(super) fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}
