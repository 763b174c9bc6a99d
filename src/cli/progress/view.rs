//! Ways to show the events of a run: the trait, what the views share, and the views that are nearly
//! silent.

use std::time::Instant;

use crate::cli::terminal::{self, sanitize};
use crate::event::Event;

/// One way to show events.
pub(super) trait View {
    /// Shows an event.
    fn show(&mut self, event: &Event);

    /// Announces the jobs that the next events belong to; the first of them has `number` of
    /// `total`.
    fn announce_jobs(&mut self, jobs: &[&str], number: usize, total: usize) {
        let line = format!("job {number} of {total}: {}", jobs.join(", "));
        self.print_line(&sanitize(&line));
    }

    /// Prints a line without disturbing what moves.
    fn print_line(&mut self, line: &str) {
        terminal::print_message(line);
    }
}

/// View that prints warnings only.
pub(super) struct WarningsOnly;

impl View for WarningsOnly {
    fn show(&mut self, event: &Event) {
        if let Event::Warning { message } = event {
            terminal::print_message(&sanitize(&warning(message)));
        }
    }
    fn print_line(&mut self, _line: &str) {}
}

/// View that prints only the lines passed to `print_line`.
pub(super) struct LinesOnly;

impl View for LinesOnly {
    fn show(&mut self, _event: &Event) {}
    fn announce_jobs(&mut self, _jobs: &[&str], _number: usize, _total: usize) {}
}

pub(super) fn warning(message: &str) -> String {
    format!("warning: {message}")
}

/// Speed of the steps.
#[derive(Default)]
pub(super) struct StepRate {
    first: Option<(Instant, usize)>,
}

impl StepRate {
    /// Rate and time left after a step; empty until two steps have been seen.
    pub(super) fn after_step(&mut self, step: usize, steps: usize) -> String {
        match self.first {
            Some((begun, from)) if step > from => {
                let each = begun.elapsed().as_secs_f64() / (step - from) as f64;
                let left = each * steps.saturating_sub(step) as f64;
                format!(", {}, {left:.0} s left", format_rate(each))
            }
            _ => {
                self.first = Some((Instant::now(), step));
                String::new()
            }
        }
    }
}

/// Seconds per step as `s/it`, or as `it/s` for fast steps.
fn format_rate(seconds: f64) -> String {
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
    fn rates_are_shown_the_way_round_that_reads_well() {
        assert_eq!(format_rate(2.5), "2.50 s/it");
        assert_eq!(format_rate(0.25), "4.00 it/s");
    }
}
