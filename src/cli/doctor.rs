//! `sdgen doctor`: checks of this machine and its settings, with advice on each problem.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::terminal::{self, format_bytes};
use crate::env::{self, Hub};
use crate::error::Error;
use crate::hub::{Reach, free_space, reach};
use crate::nn::{Hardware, detect_hardware};

/// Room for a model of the XL family, in bytes.
const ROOM: u64 = 15_000_000_000;

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Open no connection
    #[arg(long)]
    offline: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// It works, and could be better.
    Note,
    Wrong,
}

/// One finding.
#[derive(Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    value: String,
    /// Advice on the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn good(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Good,
            value: value.into(),
            fix: None,
        }
    }

    fn note(name: &'static str, value: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Note,
            value: value.into(),
            fix: Some(fix.into()),
        }
    }

    fn wrong(name: &'static str, value: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Wrong,
            value: value.into(),
            fix: Some(fix.into()),
        }
    }

    /// An error, with its first hint as the fix.
    fn failed(name: &'static str, error: &Error) -> Self {
        let fix = error
            .hints()
            .first()
            .cloned()
            .unwrap_or_else(|| "run with `--json` and report it".to_owned());
        Self::wrong(name, error.to_string(), fix)
    }
}

/// Collects and prints the findings.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut findings = machine();
    findings.push(defaults());
    match Hub::from_env() {
        Ok(hub) => {
            let hub = Hub {
                offline: hub.offline || arguments.offline,
                ..hub
            };
            findings.extend([
                environment(&hub),
                cache(&hub),
                disk(&hub),
                token(&hub),
                network(&hub),
            ]);
        }
        Err(error) => findings.push(Finding::failed("environment", &error)),
    }
    if arguments.json {
        return terminal::write_json(&findings);
    }
    let mut text = String::new();
    for Finding {
        name,
        state,
        value,
        fix,
    } in &findings
    {
        let mark = match state {
            State::Good => "ok",
            State::Note => "note",
            State::Wrong => "WRONG",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark:<6} {name:<17} {value}");
        if let Some(fix) = fix {
            let _ = writeln!(text, "{:<24} -> {fix}", "");
        }
    }
    terminal::write_data(terminal::sanitize(&text).as_bytes())?;
    Ok(())
}

/// Device, build, instruction sets, threads and data type.
fn machine() -> Vec<Finding> {
    let asked = env::instruction_set();
    let Hardware {
        features,
        instruction_sets,
        cores,
        choice,
    } = detect_hardware(asked.as_deref());
    let built = match features.as_slice() {
        [] => Finding::note(
            "build",
            "for the processor alone",
            "with an NVIDIA card: `cargo install --path . --features cuda`; on a Mac: `--features metal`",
        ),
        features => Finding::good("build", format!("with {}", features.join(", "))),
    };
    let found = instruction_sets.join(", ");
    let choice = match choice {
        Ok(choice) => choice,
        Err(error) => {
            let processor = format!("found {found}; {error}");
            let fix = error
                .hints()
                .first()
                .map_or("unset SDGEN_CPU", String::as_str)
                .to_owned();
            return vec![built, Finding::wrong("processor", processor, fix)];
        }
    };
    let device = match (choice.device, features.is_empty()) {
        ("cpu", false) => Finding::note(
            "device",
            format!(
                "cpu, though this build could use a graphics card: {}",
                choice.passed_over.join("; ")
            ),
            "is its driver there? `sdgen x -m demo --device cuda` (or metal) says what is wrong",
        ),
        (device, _) => Finding::good("device", device),
    };
    let used = choice.processor.unwrap_or_else(|| "not used".to_owned());
    let processor = match &asked {
        Some(name) => Finding::note(
            "processor",
            format!("found {found}; uses {used}, as SDGEN_CPU={name} says"),
            "unset SDGEN_CPU to use the best",
        ),
        None => Finding::good("processor", format!("found {found}; uses {used}")),
    };
    let threads = Finding::good(
        "threads",
        format!("{cores} (physical cores; `--threads` changes it)"),
    );
    let dtype = Finding::good("dtype", format!("{} (`--dtype` changes it)", choice.dtype));
    vec![built, device, processor, threads, dtype]
}

/// The user's config file.
fn defaults() -> Finding {
    match super::config::read() {
        Ok((_, Some(note))) => Finding::note(
            "config",
            note,
            "set HOME to a folder of this user, or SDGEN_CONFIG",
        ),
        Ok((file, None)) if file.path().exists() => {
            let names: Vec<&str> = file.names().collect();
            let value = format!("{}, {} profiles", file.path().display(), names.len());
            match file.params(env::profile().as_deref()) {
                Ok(_) => Finding::good("config", value),
                Err(error) => Finding::failed("config", &error),
            }
        }
        Ok(_) => Finding::good("config", "none"),
        Err(error) => Finding::failed("config", &error),
    }
}

/// The variables of the hub that are set, and their effects beyond the lines that follow.
fn environment(hub: &Hub) -> Finding {
    let set = env::hub_variables();
    let seconds =
        |what: &str, time: Option<Duration>| Some(format!("{what} {} s", time?.as_secs()));
    let times = [
        seconds("lists within", hub.etag_timeout),
        seconds("downloads within", hub.download_timeout),
    ];
    let links = hub.no_symlinks.then(|| "no symbolic links".to_owned());
    let more: Vec<String> = times.into_iter().flatten().chain(links).collect();
    let set = if set.is_empty() {
        "no variable of the hub is set".to_owned()
    } else {
        set.join(", ")
    };
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" ({})", more.join(", "))
    };
    Finding::good("environment", format!("{set}{more}"))
}

/// Folder of the model cache, and a test that it can be written to.
fn cache(hub: &Hub) -> Finding {
    let Ok(place) = hub.cache() else {
        return Finding::wrong(
            "cache",
            "no home folder to keep models in",
            "set HF_HOME to a folder",
        );
    };
    let value = place.display().to_string();
    let there = place
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    match tempfile::tempfile_in(there) {
        Ok(_) => Finding::good("cache", value),
        Err(error) => Finding::wrong(
            "cache",
            format!("{value} cannot be written to: {error}"),
            "set HF_HOME or HF_HUB_CACHE to a folder that is yours",
        ),
    }
}

fn disk(hub: &Hub) -> Finding {
    match free_space(hub) {
        Some(bytes) if bytes < ROOM => Finding::note(
            "disk",
            format!("{} free for models", format_bytes(bytes)),
            "a model takes 2 to 14 GB: `sdgen models du` and `sdgen models rm`, or HF_HUB_CACHE on another disk",
        ),
        Some(bytes) => Finding::good("disk", format!("{} free for models", format_bytes(bytes))),
        None => Finding::good("disk", "how much is free is not to be found out"),
    }
}

/// Presence of a hub token; never the token itself.
fn token(hub: &Hub) -> Finding {
    match hub.token {
        Some(_) => Finding::good("token", "there is one"),
        None if hub.no_token => Finding::note(
            "token",
            "none: HF_HUB_DISABLE_IMPLICIT_TOKEN is set",
            "private and gated models need one: unset it",
        ),
        None => Finding {
            fix: Some(
                "only private and gated models need one: set HF_TOKEN, or `hf auth login`"
                    .to_owned(),
            ),
            ..Finding::good("token", "none")
        },
    }
}

fn network(hub: &Hub) -> Finding {
    if hub.offline {
        return Finding::note(
            "hub",
            "offline: only models in the cache can be used",
            "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE and leave `--offline` away to fetch models",
        );
    }
    match reach(hub) {
        Ok(Reach::Answers) => Finding::good("hub", format!("{} answers", hub.endpoint)),
        Ok(Reach::RefusesToken) => Finding::wrong(
            "hub",
            format!("{} answers and refuses the token", hub.endpoint),
            "make a new token on the hub's settings page, or unset HF_TOKEN and remove the token file",
        ),
        Err(error) => Finding::wrong(
            "hub",
            error.to_string(),
            "check the connection, HTTPS_PROXY and HF_ENDPOINT; models in the cache work without",
        ),
    }
}
