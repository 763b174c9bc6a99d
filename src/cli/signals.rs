//! Ctrl-C, SIGTERM and SIGHUP: the first asks the run to stop at its next step, the second ends the
//! process.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::terminal::print_message;
use crate::error::Kind;

static STOP: AtomicBool = AtomicBool::new(false);

/// Returns true if the user asked to stop.
pub(super) fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Listens for signals from now on; with `announce`, the first one is answered with a line.
pub(super) fn listen(announce: bool) -> anyhow::Result<()> {
    let line = if announce {
        "stopping after this step; Ctrl-C again stops at once"
    } else {
        ""
    };
    on_stop(line, || {})
}

/// Listens for signals from now on; the first one prints `line` and calls `stop`.
pub(super) fn on_stop(line: &'static str, stop: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    ctrlc::set_handler(move || on_signal(line, &stop)).context("cannot listen for Ctrl-C")
}

#[expect(
    clippy::exit,
    reason = "the second Ctrl-C must not wait for a step to end"
)]
fn on_signal(line: &str, stop: &dyn Fn()) {
    if STOP.swap(true, Ordering::Relaxed) {
        std::process::exit(i32::from(Kind::Interrupted.row().exit_code));
    }
    if !line.is_empty() {
        print_message(line);
    }
    stop();
}
