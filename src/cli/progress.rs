//! Shows events on stderr: bars on a terminal, lines elsewhere, JSON for programs, or nothing; and
//! passes on the user's wish to stop.

use std::collections::BTreeMap;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::report::Format;
use super::{bars::Bars, plain::Lines, signals, terminal};
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
    /// Nothing but the seed and where the pictures are
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
    pub(super) fn announces(&self) -> bool {
        !self.quiet && self.progress != Style::Json
    }
}

/// Format of errors if the arguments as a whole are wrong.
pub(super) fn asked_format() -> Format {
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

/// One way to show events.
pub(super) trait View {
    /// Shows an event.
    fn show(&mut self, event: &Event);

    /// The jobs that what follows belongs to; the first of them is number `number` of `of`.
    fn turn_to(&mut self, jobs: &[&str], number: usize, of: usize) {
        let line = format!("job {number} of {of}: {}", jobs.join(", "));
        self.say(&terminal::harmless(&line));
    }

    /// Prints a line without disturbing what moves.
    fn say(&mut self, line: &str) {
        terminal::say(line);
    }
}

/// Version in the `schema` field of each object: it changes when a field is removed or changes its
/// meaning.
pub(super) const SCHEMA: u32 = 1;

/// One object for each event (docs/events.md).
struct Json {
    begun: Instant,
    jobs: Vec<String>,
    stages: BTreeMap<&'static str, f64>,
}

impl Json {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            jobs: Vec::new(),
            stages: BTreeMap::new(),
        }
    }

    /// The event with what every object has, and what the end of a run has.
    fn object(&mut self, event: &Event) -> Map<String, Value> {
        let mut object = match serde_json::to_value(event) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        object.insert("schema".into(), SCHEMA.into());
        object.insert("time".into(), self.begun.elapsed().as_secs_f64().into());
        // A sheet is of all jobs.
        let of_some = !matches!(event, Event::Saved { seed: None, .. });
        if of_some && !self.jobs.is_empty() && !object.contains_key("job") {
            object.insert("jobs".into(), self.jobs.clone().into());
        }
        if let Event::End { stage, seconds } = event {
            *self.stages.entry(stage.name()).or_default() += seconds;
        }
        if matches!(event, Event::Done { .. }) {
            object.remove("jobs");
            object.insert("stages".into(), json!(self.stages));
            object.insert(
                "peak_bytes".into(),
                crate::nn::peak_resident_memory().into(),
            );
        }
        object
    }
}

impl View for Json {
    fn show(&mut self, event: &Event) {
        // Nothing is known of the file yet: a word that the run is alive.
        if matches!(event, Event::Fetch { total: 0, .. }) {
            return;
        }
        terminal::say(&Value::Object(self.object(event)).to_string());
    }

    fn turn_to(&mut self, jobs: &[&str], _number: usize, _of: usize) {
        self.jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
    }

    /// Lines for people have no place among objects.
    fn say(&mut self, _line: &str) {}
}

/// View that prints warnings only.
struct Silence;

impl View for Silence {
    fn show(&mut self, event: &Event) {
        if let Event::Warning { message } = event {
            terminal::say(&terminal::harmless(&warning(message)));
        }
    }
    fn say(&mut self, _line: &str) {}
}

/// View that prints only the lines passed to `say`.
struct Still;

impl View for Still {
    fn show(&mut self, _event: &Event) {}
    fn turn_to(&mut self, _jobs: &[&str], _number: usize, _of: usize) {}
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
            _ if display.quiet => Box::new(Silence),
            Style::Json => Box::new(Json::new()),
            Style::None => Box::new(Still),
            Style::Bar => Box::new(Bars::new()),
            Style::Auto if terminal::redraws() => Box::new(Bars::new()),
            Style::Auto | Style::Plain => Box::new(Lines::default()),
        };
        Self {
            view,
            verbose: display.verbose,
            hold: Hold::from_env(),
        }
    }

    /// Says which seed is used, so that a picture can be drawn again even if the run does not end.
    pub(super) fn seed(&mut self, request: &Request) {
        match request.count {
            1 => self.view.say(&format!("seed {}", request.seed)),
            n => self.view.say(&format!(
                "seeds {} to {}",
                request.seed,
                request.seed + (n - 1)
            )),
        }
    }

    /// Says which jobs come now: `number` is the first one's, of `of`.
    pub(super) fn turn_to(&mut self, jobs: &[&str], number: usize, of: usize) {
        self.view.turn_to(jobs, number, of);
    }

    /// Says a line to people.
    pub(super) fn say(&mut self, line: &str) {
        self.view.say(&terminal::harmless(line));
    }

    /// The line of an event that every view for people prints in the same words.
    fn line(&self, event: &Event) -> Option<String> {
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
            } => Some(download(model, *files, *bytes, license.as_deref())),
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

fn warning(message: &str) -> String {
    format!("warning: {message}")
}

/// Announcement of a download: model, number of files, size and licence.
fn download(model: &str, files: usize, bytes: u64, license: Option<&str>) -> String {
    let license = license.unwrap_or("not stated");
    let size = terminal::size(bytes);
    format!("fetching {model}: {files} files, {size}; licence of the weights: {license}")
}

impl Observer for Progress {
    fn on(&mut self, event: &Event) -> Flow {
        self.view.show(event);
        if let Some(line) = self.line(event) {
            self.view.say(&terminal::harmless(&line));
        }
        self.hold.wait(event, signals::stop_requested);
        if signals::stop_requested() {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    }
}
