//! Progress as plain lines, for logs: each stage as it begins, and some of the steps and of the parts
//! of a download.

use std::time::{Duration, Instant};

use super::view::{StepRate, View};
use crate::cli::terminal::{format_bytes, print_message, sanitize};
use crate::event::{Event, Stage};

/// Longest interval between two lines of a stage that makes progress.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// Lines for a log.
#[derive(Default)]
pub(super) struct Lines {
    last: Option<Instant>,
    rate: StepRate,
}

impl Lines {
    /// Returns true if a line is due: the first, the last, each tenth, or after a long silence.
    fn is_due(&mut self, done: u64, all: u64) -> bool {
        let tenth = all.div_ceil(10).max(1);
        let silent = self
            .last
            .is_none_or(|last| last.elapsed() >= LONGEST_SILENCE);
        let due = silent || done == all || (all <= 10_000 && done.is_multiple_of(tenth));
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

impl View for Lines {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Fetch { file, done, total } => {
                // Bytes do not come in even tenths: only the silence and the end count.
                if *done > 0 && *total > 0 && self.is_due(*done, (*total).max(10_001)) {
                    print_message(&sanitize(&format!(
                        "fetch {file}: {} of {}",
                        format_bytes(*done),
                        format_bytes(*total)
                    )));
                }
            }
            // The line with the image's path follows at once.
            Event::Begin {
                stage: Stage::Save, ..
            } => {}
            Event::Begin { stage, what } => {
                self.rate = StepRate::default();
                self.last = None;
                print_message(&sanitize(format!("{} {what}", stage.name()).trim_end()));
            }
            Event::Step { step, steps, .. } => {
                let rate = self.rate.after_step(*step, *steps);
                if self.is_due(*step as u64, *steps as u64) {
                    print_message(&format!("{} {step}/{steps}{rate}", Stage::Denoise.name()));
                }
            }
            Event::Queued { .. }
            | Event::Failed { .. }
            | Event::Download { .. }
            | Event::End { .. }
            | Event::Chunk { .. }
            | Event::Preview { .. }
            | Event::Saved { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::Done { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_about_ten_lines_of_steps() {
        let mut lines = Lines::default();
        let due = (1..=25).filter(|&step| lines.is_due(step, 25)).count();
        assert!((8..=11).contains(&due), "{due}");
    }
}
