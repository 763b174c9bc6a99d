//! Progress as plain lines, for logs: a stage as it begins, and now and then a step or a part of a
//! download.

use std::time::{Duration, Instant};

use super::progress::View;
use super::terminal::{harmless, say, size};
use crate::event::{Event, Stage};

/// Longest interval between two lines of a stage that makes progress.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines for a log.
#[derive(Default)]
pub(super) struct Lines {
    last: Option<Instant>,
    pace: Pace,
}

impl Lines {
    /// Returns true if a line is due: the first, the last, each tenth, or after a long silence.
    fn is_due(&mut self, done: u64, all: u64) -> bool {
        let tenth = all.div_ceil(10).max(1);
        let silent = self.last.is_none_or(|last| last.elapsed() >= PATIENCE);
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
                // Bytes come in no even tenths: silence alone decides, and the end.
                if *done > 0 && *total > 0 && self.is_due(*done, (*total).max(10_001)) {
                    say(&harmless(&format!(
                        "fetch {file}: {} of {}",
                        size(*done),
                        size(*total)
                    )));
                }
            }
            // The line that says where the picture is follows at once.
            Event::Begin {
                stage: Stage::Save, ..
            } => {}
            Event::Begin { stage, what } => {
                self.pace = Pace::default();
                self.last = None;
                say(&harmless(format!("{} {what}", stage.name()).trim_end()));
            }
            Event::Step { step, steps, .. } => {
                let rate = self.pace.step(*step, *steps);
                if self.is_due(*step as u64, *steps as u64) {
                    say(&format!("{} {step}/{steps}{rate}", Stage::Denoise.name()));
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

/// Speed of the steps.
#[derive(Default)]
pub(super) struct Pace {
    first: Option<(Instant, usize)>,
}

impl Pace {
    /// Rate and time left after a step, once two steps have shown them.
    pub(super) fn step(&mut self, step: usize, steps: usize) -> String {
        match self.first {
            Some((begun, from)) if step > from => {
                let each = begun.elapsed().as_secs_f64() / (step - from) as f64;
                format!(
                    ", {}, {:.0} s left",
                    rate(each),
                    each * steps.saturating_sub(step) as f64
                )
            }
            _ => {
                self.first = Some((Instant::now(), step));
                String::new()
            }
        }
    }
}

/// Seconds for each step as people read them.
fn rate(seconds: f64) -> String {
    if seconds > 1.0 {
        format!("{seconds:.2} s/it")
    } else {
        format!("{:.2} it/s", 1.0 / seconds.max(1e-9))
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

    #[test]
    fn rates_are_shown_the_way_round_that_reads_well() {
        assert_eq!(rate(2.5), "2.50 s/it");
        assert_eq!(rate(0.25), "4.00 it/s");
    }
}
