//! Progress as bars that move, for a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::downloads::Downloads;
use super::plain::Pace;
use super::progress::View;
use super::terminal::{harmless, say};
use crate::event::{Event, Stage};

const STEPS: &str = "{prefix:>8} {wide_bar} {pos}/{len}{msg}";
const SPINNER: &str = "{prefix:>8} {spinner} {msg} {elapsed}";

/// The bar of the current stage, or the bars of a download.
pub(super) struct Bars {
    bar: ProgressBar,
    downloads: Option<Downloads>,
    shown: Option<Shown>,
    pace: Pace,
}

/// Content of the current bar.
#[derive(PartialEq)]
enum Shown {
    Stage(Stage),
    /// The first image of the forward that is under way.
    Steps(u64),
}

impl Bars {
    /// No bar yet.
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            downloads: None,
            shown: None,
            pace: Pace::default(),
        }
    }

    /// Replaces the bar when `shown` is something new.
    fn turn_to(&mut self, shown: Shown, template: &str, prefix: &'static str) {
        if self.shown.as_ref() == Some(&shown) {
            return;
        }
        self.clear();
        self.bar = ProgressBar::new(0).with_prefix(prefix);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.pace = Pace::default();
        self.shown = Some(shown);
    }

    fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.downloads = None;
        self.shown = None;
    }
}

impl View for Bars {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Download { bytes, .. } => {
                self.clear();
                self.downloads = Some(Downloads::new(*bytes));
            }
            Event::Fetch { total: 0, .. } => {}
            Event::Fetch { file, done, total } => {
                self.downloads
                    .get_or_insert_with(|| Downloads::new(0))
                    .show(file, *done, *total);
            }
            // The steps have their own bar, which begins with the first of them.
            Event::Begin {
                stage: Stage::Denoise,
                ..
            } => self.clear(),
            Event::Begin { stage, what } => {
                self.turn_to(Shown::Stage(*stage), SPINNER, stage.name());
                self.bar.set_message(harmless(what));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            Event::Step {
                step, steps, image, ..
            } => {
                self.turn_to(Shown::Steps(*image), STEPS, Stage::Denoise.name());
                let rate = self.pace.step(*step, *steps);
                self.bar.set_length(*steps as u64);
                self.bar.set_position(*step as u64);
                self.bar.set_message(rate);
            }
            Event::End { .. } | Event::Done { .. } | Event::Failed { .. } => self.clear(),
            Event::Queued { .. }
            | Event::Chunk { .. }
            | Event::Preview { .. }
            | Event::Saved { .. }
            | Event::Warning { .. }
            | Event::Note { .. } => {}
        }
    }

    fn say(&mut self, line: &str) {
        match &self.downloads {
            Some(downloads) => downloads.suspend(|| say(line)),
            None => self.bar.suspend(|| say(line)),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
