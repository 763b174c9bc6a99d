//! The command line: arguments, progress, errors and files. Each subcommand has its own file.

mod batch;
mod batch_run;
mod bench;
mod completions;
mod config;
mod convert;
mod doctor;
mod dry_run;
mod errors;
mod generate;
mod inspect;
mod local_models;
mod models;
mod progress;
mod replay;
mod save;
#[cfg(feature = "serve")]
mod serve;
mod signals;
mod terminal;
mod tokens;
#[cfg(feature = "serve")]
mod worker;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::error::KINDS;

/// Stable Diffusion images from the command line
#[derive(Parser)]
#[command(
    name = "sdgen",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    max_term_width = 110
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    generate: generate::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Generate the images of a job file: TOML, lines of prompts, CSV or JSONL
    Batch(Box<batch::Arguments>),
    /// Generate an image again from its metadata
    Replay(Box<replay::Arguments>),
    /// Show the metadata of an image: prompt, settings, model
    Inspect(inspect::Arguments),
    /// List, fetch, check and remove models
    Models(models::Arguments),
    /// Write a model in another layout, format or precision
    Convert(convert::Arguments),
    /// Show the config file with your defaults and profiles, and its values
    Config(config::Arguments),
    /// Check this machine and its settings, with advice on each problem
    Doctor(doctor::Arguments),
    /// Measure how fast a model runs on this machine, stage by stage
    Bench(bench::Arguments),
    /// Show the tokens, weights and chunks of a prompt for a model
    Tokens(tokens::Arguments),
    /// Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser
    #[cfg(feature = "serve")]
    Serve(serve::Arguments),
    /// Run jobs from the queue that servers share
    #[cfg(feature = "serve")]
    Worker(worker::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    completions::answer_shell(command);
    crate::nn::explain_lost_files();
    crate::nn::return_large_buffers();
    let colour = if crate::env::colours() {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    };
    let matches = match command().color(colour).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return refuse_arguments(&error),
    };
    match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => run(arguments),
        Err(error) => refuse_arguments(&error),
    }
}

fn refuse_arguments(error: &clap::Error) -> ExitCode {
    errors::report_clap_error(error, progress::requested_error_format(), &command())
}

fn run(arguments: Arguments) -> ExitCode {
    let display = match &arguments.command {
        Some(Command::Batch(batch)) => &batch.display,
        Some(Command::Replay(replay)) => &replay.display,
        _ => &arguments.generate.display,
    };
    let format = display.error_format();
    let result = match arguments.command {
        None => generate::run(&arguments.generate),
        Some(Command::Batch(batch)) => batch::run(&batch),
        Some(Command::Replay(replay)) => replay::run(&replay),
        Some(Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(Command::Models(models)) => models::run(&models),
        Some(Command::Convert(convert)) => convert::run(&convert),
        Some(Command::Config(config)) => config::run(&config),
        Some(Command::Doctor(doctor)) => doctor::run(&doctor),
        Some(Command::Bench(bench)) => bench::run(&bench),
        Some(Command::Tokens(tokens)) => tokens::run(&tokens),
        #[cfg(feature = "serve")]
        Some(Command::Serve(serve)) => serve::run(&serve),
        #[cfg(feature = "serve")]
        Some(Command::Worker(worker)) => worker::run(&worker),
        Some(Command::Completions { shell }) => completions::print_script(shell, command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report_error(error, format, &command()),
    }
}

/// The command line as data, for documents and tests.
pub fn command() -> clap::Command {
    Arguments::command().after_long_help(exit_codes())
}

fn exit_codes() -> String {
    let mut text = "Exit codes:\n    0  success".to_owned();
    for row in KINDS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {:>3}  {}", row.exit_code, row.meaning);
    }
    text
}
