//! The events of a run on stderr: bars on a terminal, lines elsewhere, JSON for programs, or nothing.
//! The observer also passes on the user's request to stop.

mod bars;
mod json;
mod lines;
mod view;

use clap::{Args, ValueEnum};

use self::bars::Bars;
use self::json::Json;
use self::lines::Lines;
use self::view::{LinesOnly, View, WarningsOnly, warning};
use super::errors::Format;
use super::{signals, terminal};
use crate::env::Hold;
use crate::event::{Event, Flow, Observer};
use crate::params::Request;

/// Display of a run. Only the command line has these flags.
#[derive(Args)]
#[group(skip)]
pub(super) struct Display {
    /// Form of the progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Style::Auto, help_heading = "Display")]
    progress: Style,

    /// Print nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Display")]
    quiet: bool,

    /// Print how long each stage took
    #[arg(short, long, help_heading = "Display")]
    verbose: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// Bars
    Bar,
    /// Lines
    Plain,
    /// One JSON object a line
    Json,
    /// Only the seed and the paths of the images
    None,
}

impl Display {
    /// Format of errors.
    pub(super) fn error_format(&self) -> Format {
        if self.progress == Style::Json {
            Format::Json
        } else {
            Format::Text
        }
    }

    /// Returns true if a signal is answered with a line for people.
    pub(super) fn announces_stop(&self) -> bool {
        !self.quiet && self.progress != Style::Json
    }
}

/// Format of errors if the arguments cannot be parsed.
pub(super) fn requested_error_format() -> Format {
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let asked = arguments
        .windows(2)
        .any(|pair| pair == ["--progress", "json"])
        || arguments
            .iter()
            .any(|argument| argument == "--progress=json");
    if asked { Format::Json } else { Format::Text }
}

/// The observer of a run on the command line.
pub(super) struct Progress {
    view: Box<dyn View>,
    verbose: bool,
    hold: Hold,
}

impl Progress {
    /// The view that the flags and the terminal call for.
    pub(super) fn new(display: &Display) -> Self {
        let view: Box<dyn View> = match display.progress {
            _ if display.quiet => Box::new(WarningsOnly),
            Style::Json => Box::new(Json::new()),
            Style::None => Box::new(LinesOnly),
            Style::Bar => Box::new(Bars::new()),
            Style::Auto if terminal::can_redraw() => Box::new(Bars::new()),
            Style::Auto | Style::Plain => Box::new(Lines::default()),
        };
        Self {
            view,
            verbose: display.verbose,
            hold: Hold::from_env(),
        }
    }

    /// Prints the seed, so that an image can be reproduced even if the run does not end.
    pub(super) fn print_seed(&mut self, request: &Request) {
        let seed = request.seed;
        let line = match request.count {
            1 => format!("seed {seed}"),
            count => format!("seeds {seed} to {}", seed + (count - 1)),
        };
        self.view.print_line(&line);
    }

    /// Announces the jobs that come now: the first of them has `number` of `total`.
    pub(super) fn announce_jobs(&mut self, jobs: &[&str], number: usize, total: usize) {
        self.view.announce_jobs(jobs, number, total);
    }

    /// Prints a line for people.
    pub(super) fn print_line(&mut self, line: &str) {
        self.view.print_line(&terminal::sanitize(line));
    }

    /// The line of an event that every view for people prints in the same words.
    fn common_line(&self, event: &Event) -> Option<String> {
        match event {
            Event::Saved { path, .. } if path.as_os_str() == "-" => None,
            Event::Saved { path, .. } => Some(format!("saved {}", path.display())),
            Event::Warning { message } => Some(warning(message)),
            Event::Note { message } if self.verbose => Some(message.clone()),
            Event::End { stage, seconds } if self.verbose => {
                Some(format!("{}: {seconds:.2} s", stage.name()))
            }
            Event::Done { seconds, .. } if self.verbose => Some(format!("total: {seconds:.2} s")),
            Event::Failed {
                job,
                message,
                latents: None,
            } => Some(format!("failed {job}: {message}")),
            Event::Failed {
                job,
                message,
                latents: Some(path),
            } => Some(format!(
                "failed {job}: {message}; its latents are kept in {}",
                path.display()
            )),
            Event::Download {
                model,
                files,
                bytes,
                license,
            } => Some(download_line(model, *files, *bytes, license.as_deref())),
            Event::Fetch { .. }
            | Event::Queued { .. }
            | Event::Begin { .. }
            | Event::End { .. }
            | Event::Chunk { .. }
            | Event::Step { .. }
            | Event::Note { .. }
            | Event::Preview { .. }
            | Event::Done { .. } => None,
        }
    }
}

/// Announcement of a download: model, number of files, size and licence.
fn download_line(model: &str, files: usize, bytes: u64, license: Option<&str>) -> String {
    let license = license.unwrap_or("not stated");
    let size = terminal::format_bytes(bytes);
    format!("fetching {model}: {files} files, {size}; licence of the weights: {license}")
}

impl Observer for Progress {
    fn on(&mut self, event: &Event) -> Flow {
        self.view.show(event);
        if let Some(line) = self.common_line(event) {
            self.view.print_line(&terminal::sanitize(&line));
        }
        self.hold.wait(event, signals::stop_requested);
        if signals::stop_requested() {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    }
}
