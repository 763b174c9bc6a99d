//! Shell completion: scripts, and answers to a shell that asks this program with
//! `source <(COMPLETE=bash sdgen)` and so completes the names of models too.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::{CompleteEnv, Shell};

use super::terminal;
use crate::catalog::models;
use crate::env::Hub;

/// Prints the completion script for `shell`.
pub(super) fn print_script(shell: Shell, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "sdgen", &mut script);
    terminal::write_data(&script)?;
    Ok(())
}

/// Answers a shell that asks for completions, and ends the process then.
pub(super) fn answer_shell(command: fn() -> clap::Command) {
    CompleteEnv::with_factory(move || with_model_names(command())).complete();
}

/// The command with the names of models as candidates for each argument that takes one.
fn with_model_names(command: clap::Command) -> clap::Command {
    let names = |arg: clap::Arg| match arg.get_id().as_str() {
        "model" | "refiner" => arg.add(ArgValueCandidates::new(model_candidates)),
        _ => arg,
    };
    command.mut_args(names).mut_subcommands(with_model_names)
}

fn model_candidates() -> Vec<CompletionCandidate> {
    let known = models().iter().flat_map(|spec| {
        let names = std::iter::once(&spec.name).chain(&spec.aliases);
        names.map(|name| CompletionCandidate::new(name).help(Some(spec.about.clone().into())))
    });
    known
        .chain(
            cached_repositories()
                .into_iter()
                .map(CompletionCandidate::new),
        )
        .collect()
}

/// The repositories in the cache.
fn cached_repositories() -> Vec<String> {
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
