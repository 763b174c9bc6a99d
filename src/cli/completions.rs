//! Completion that asks: `source <(COMPLETE=bash sdgen)` lets the shell call this program, which
//! knows the names of models and what is in the cache.

use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::env::Hub;
use crate::registry::models;

/// Answers a shell that asks, and ends the process then.
pub(super) fn answer(command: fn() -> clap::Command) {
    CompleteEnv::with_factory(move || named(command())).complete();
}

/// Each argument that takes a model knows their names.
fn named(command: clap::Command) -> clap::Command {
    let names = |arg: clap::Arg| match arg.get_id().as_str() {
        "model" | "refiner" => arg.add(ArgValueCandidates::new(candidates)),
        _ => arg,
    };
    command.mut_args(names).mut_subcommands(named)
}

fn candidates() -> Vec<CompletionCandidate> {
    let known = models().iter().flat_map(|spec| {
        let names = std::iter::once(&spec.name).chain(&spec.aliases);
        names.map(|name| CompletionCandidate::new(name).help(Some(spec.about.clone().into())))
    });
    known
        .chain(cached().into_iter().map(CompletionCandidate::new))
        .collect()
}

/// The repositories in the cache.
fn cached() -> Vec<String> {
    let entries = Hub::from_env()
        .ok()
        .and_then(|hub| hub.cache)
        .and_then(|cache| std::fs::read_dir(cache).ok());
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names
        .filter_map(|name| Some(name.to_str()?.strip_prefix("models--")?.replace("--", "/")))
        .collect()
}
