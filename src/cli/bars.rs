//! Progress as bars that move, for a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::plain::Pace;
use super::progress::View;
use super::terminal::{harmless, say};
use crate::event::{Event, Stage};

const STEPS: &str = "{prefix:>8} {wide_bar} {pos}/{len}{msg}";
const BYTES: &str = "{prefix:>8} {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const SPINNER: &str = "{prefix:>8} {spinner} {msg} {elapsed}";

/// One bar at a time: what the run is busy with.
pub(super) struct Bars {
    bar: ProgressBar,
    shown: Option<Shown>,
    pace: Pace,
}

/// What the bar shows now.
#[derive(PartialEq)]
enum Shown {
    File(String),
    Stage(Stage),
    /// The first image of the forward that is under way.
    Steps(u64),
}

impl Bars {
    /// No bar yet.
    pub(super) fn new() -> Self {
        Self { bar: ProgressBar::hidden(), shown: None, pace: Pace::default() }
    }

    /// Replaces the bar when `shown` is something new.
    fn turn_to(&mut self, shown: Shown, template: &str, prefix: &'static str) {
        if self.shown.as_ref() == Some(&shown) {
            return;
        }
        self.bar.finish_and_clear();
        self.bar = ProgressBar::new(0).with_prefix(prefix);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.pace = Pace::default();
        self.shown = Some(shown);
    }

    fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.shown = None;
    }
}

impl View for Bars {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Fetch { file, done, total } => {
                self.turn_to(Shown::File(file.clone()), BYTES, "fetch");
                self.bar.set_message(harmless(file));
                self.bar.set_length(*total);
                self.bar.set_position(*done);
            }
            // The steps have their own bar, which begins with the first of them.
            Event::Begin { stage: Stage::Denoise, .. } => self.clear(),
            Event::Begin { stage, what } => {
                self.turn_to(Shown::Stage(*stage), SPINNER, stage.name());
                self.bar.set_message(harmless(what));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            Event::Step { step, steps, image, .. } => {
                self.turn_to(Shown::Steps(*image), STEPS, Stage::Denoise.name());
                let rate = self.pace.step(*step, *steps);
                self.bar.set_length(*steps as u64);
                self.bar.set_position(*step as u64);
                self.bar.set_message(rate);
            }
            Event::End { .. } | Event::Done { .. } | Event::Failed { .. } => self.clear(),
            Event::Queued { .. } => {}
            Event::Saved { .. } | Event::Warning { .. } => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.bar.suspend(|| say(line));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
