//! Progress as JSON for programs: one object for each event (docs/events.md).

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::view::View;
use crate::cli::terminal;
use crate::event::{Event, SCHEMA};

/// Objects on stderr, one a line.
pub(super) struct Json {
    begun: Instant,
    jobs: Vec<String>,
    stages: BTreeMap<&'static str, f64>,
}

impl Json {
    /// A run that begins now.
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            jobs: Vec::new(),
            stages: BTreeMap::new(),
        }
    }

    /// The event, with the fields that every object has and those that only the end of a run has.
    fn object(&mut self, event: &Event) -> Map<String, Value> {
        let mut object = match serde_json::to_value(event) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        object.insert("schema".into(), SCHEMA.into());
        object.insert("time".into(), self.begun.elapsed().as_secs_f64().into());
        // A contact sheet belongs to all jobs.
        let is_of_jobs = !matches!(event, Event::Saved { seed: None, .. });
        if is_of_jobs && !self.jobs.is_empty() && !object.contains_key("job") {
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
        // An announcement without a size only shows that the run is alive.
        if matches!(event, Event::Fetch { total: 0, .. }) {
            return;
        }
        terminal::print_message(&Value::Object(self.object(event)).to_string());
    }

    fn announce_jobs(&mut self, jobs: &[&str], _number: usize, _total: usize) {
        self.jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
    }

    /// Lines for people have no place among objects.
    fn print_line(&mut self, _line: &str) {}
}
