//! Progress as bars, for a terminal: one for the current stage; in a download one for each file and
//! one for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::view::{StepRate, View};
use crate::cli::terminal::{print_message, sanitize};
use crate::event::{Event, Stage};

const STEPS: &str = "{prefix:>8} {wide_bar} {pos}/{len}{msg}";
const SPINNER: &str = "{prefix:>8} {spinner} {msg} {elapsed}";
const FILE: &str = "{prefix:>8} {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
const TOTAL: &str = "{prefix:>8} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// The bar of the current stage, or the bars of a download.
pub(super) struct Bars {
    bar: ProgressBar,
    downloads: Option<Downloads>,
    shown: Option<Shown>,
    rate: StepRate,
}

/// Content of the current bar.
#[derive(PartialEq)]
enum Shown {
    Stage(Stage),
    /// Index of the first image of the batch.
    Steps(u64),
}

impl Bars {
    /// No bar yet.
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            downloads: None,
            shown: None,
            rate: StepRate::default(),
        }
    }

    /// Replaces the bar when `shown` is something new.
    fn start_bar(&mut self, shown: Shown, template: &str, prefix: &'static str) {
        if self.shown.as_ref() == Some(&shown) {
            return;
        }
        self.clear();
        self.bar = new_bar(template, prefix);
        self.rate = StepRate::default();
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
                self.start_bar(Shown::Stage(*stage), SPINNER, stage.name());
                self.bar.set_message(sanitize(what));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            Event::Step {
                step, steps, image, ..
            } => {
                self.start_bar(Shown::Steps(*image), STEPS, Stage::Denoise.name());
                let rate = self.rate.after_step(*step, *steps);
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

    fn print_line(&mut self, line: &str) {
        match &self.downloads {
            Some(downloads) => downloads.suspend(|| print_message(line)),
            None => self.bar.suspend(|| print_message(line)),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The bars of one model's files.
struct Downloads {
    bars: MultiProgress,
    total: ProgressBar,
    files: BTreeMap<String, FileBar>,
}

struct FileBar {
    bar: ProgressBar,
    /// Bytes that were there before the download.
    first: u64,
    done: u64,
}

impl Downloads {
    /// The bars of a download of `bytes` in all.
    fn new(bytes: u64) -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(new_bar(TOTAL, "total"));
        total.set_length(bytes);
        Self {
            bars,
            total,
            files: BTreeMap::new(),
        }
    }

    /// Shows the progress of a file; the bar of a complete file disappears.
    fn show(&mut self, file: &str, done: u64, total: u64) {
        let (bars, last) = (&self.bars, &self.total);
        let entry = self.files.entry(file.to_owned()).or_insert_with(|| {
            let bar = bars.insert_before(last, new_bar(FILE, "fetch"));
            bar.set_message(sanitize(file));
            FileBar {
                bar,
                first: done,
                done,
            }
        });
        entry.bar.set_length(total);
        entry.bar.set_position(done);
        entry.done = done;
        if done == total {
            entry.bar.finish_and_clear();
        }
        let arrived = self
            .files
            .values()
            .map(|file| file.done.saturating_sub(file.first))
            .sum();
        self.total.set_position(arrived);
        self.total
            .set_length(self.total.length().unwrap_or(0).max(arrived));
    }

    /// Prints a line above the bars.
    fn suspend(&self, print: impl FnOnce()) {
        self.bars.suspend(print);
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.files
            .values()
            .for_each(|file| file.bar.finish_and_clear());
        self.total.finish_and_clear();
    }
}

fn new_bar(template: &str, prefix: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(prefix);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
