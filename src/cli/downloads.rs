//! Bars of a download: one for each file under way and one for all of them.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::harmless;

const FILE: &str = "{prefix:>8} {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
const TOTAL: &str = "{prefix:>8} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// The bars of one model's files.
pub(super) struct Downloads {
    bars: MultiProgress,
    total: ProgressBar,
    files: BTreeMap<String, File>,
}

struct File {
    bar: ProgressBar,
    /// Bytes that were here before.
    first: u64,
    done: u64,
}

impl Downloads {
    /// No file yet; `bytes` are to come.
    pub(super) fn new(bytes: u64) -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(bar(TOTAL, "total"));
        total.set_length(bytes);
        Self {
            bars,
            total,
            files: BTreeMap::new(),
        }
    }

    /// Shows how far a file is; its bar goes when it is whole.
    pub(super) fn show(&mut self, file: &str, done: u64, total: u64) {
        let (bars, last) = (&self.bars, &self.total);
        let entry = self.files.entry(file.to_owned()).or_insert_with(|| {
            let bar = bars.insert_before(last, bar(FILE, "fetch"));
            bar.set_message(harmless(file));
            File {
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
    pub(super) fn suspend(&self, print: impl FnOnce()) {
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

fn bar(template: &str, prefix: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(prefix);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
