//! `sdgen models`: the versions that can be called by name.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{model_info, terminal};
use crate::config::Hub;
use crate::error::Result;
use crate::registry::{ModelSpec, is_cached, models};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Known versions, and whether they are on this machine
    List,
    /// Show what a file or a model is: family, precision, parts, metadata, hashes
    Info(model_info::Arguments),
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [String],
    repo: Option<&'static str>,
    revision: &'static str,
    size: u32,
    steps: usize,
    cfg_scale: f64,
    license: &'static str,
    about: &'static str,
    cached: bool,
}

/// Prints the table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        None | Some(Action::List) => list(arguments.json),
        Some(Action::Info(info)) => model_info::run(info, arguments.json),
    }
}

fn list(json: bool) -> Result<()> {
    let hub = Hub::from_env();
    let rows: Vec<Row> = models().iter().map(|spec| row(spec, &hub)).collect();
    if json {
        return terminal::json(&rows);
    }
    let mut text = format!("{:<13} {:<7} {:>5}  {:<24} {}\n", "NAME", "CACHED", "SIZE", "LICENSE", "ABOUT");
    for row in &rows {
        let cached = if row.cached { "yes" } else { "no" };
        text.push_str(&format!(
            "{:<13} {cached:<7} {:>5}  {:<24} {}\n",
            row.name, row.size, row.license, row.about
        ));
    }
    terminal::data(text.as_bytes())
}

fn row(spec: &'static ModelSpec, hub: &Hub) -> Row {
    Row {
        name: &spec.name,
        aliases: &spec.aliases,
        repo: spec.repo.as_deref(),
        revision: &spec.revision,
        size: spec.size,
        steps: spec.steps,
        cfg_scale: spec.cfg_scale,
        license: &spec.license,
        about: &spec.about,
        cached: is_cached(spec, hub),
    }
}
