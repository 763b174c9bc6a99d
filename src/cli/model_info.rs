//! `sdgen models info MODEL`: facts about a file or a model, from its headers and hashes.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::terminal;
use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow};
use crate::registry::{self, About, Fetch, ModelRef};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// A file of tensors, a folder, or a model that is on this machine
    #[arg(value_name = "MODEL")]
    model: String,
}

/// Prints the facts about a model.
pub(super) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let about = about(&arguments.model)?;
    if json {
        return terminal::json(&about);
    }
    terminal::data(terminal::harmless(&lines(&about)).as_bytes())?;
    Ok(())
}

/// Reads the facts about a model that is on this machine; nothing is fetched.
fn about(model: &str) -> Result<About> {
    match ModelRef::parse(model)? {
        ModelRef::File(path) => About::file(&path),
        other @ (ModelRef::Known(_) | ModelRef::Folder(_) | ModelRef::Repo { .. }) => {
            let hub = Hub {
                offline: true,
                ..Hub::from_env()?
            };
            let mut silent = |_: &Event| Flow::Continue;
            About::folder(&registry::locate(
                &other,
                &Fetch {
                    hub,
                    ..Fetch::default()
                },
                &mut silent,
            )?)
        }
    }
}

/// One fact a line. Writing to a string cannot fail.
fn lines(about: &About) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let (_, file) = about
        .origin
        .rsplit_once(std::path::MAIN_SEPARATOR)
        .unwrap_or(("", &about.origin));
    fact("name", file);
    let version = about
        .version
        .map_or(String::new(), |version| format!(": {version}"));
    let inpainting = if about.inpainting { ", inpainting" } else { "" };
    fact("kind", &format!("{}{version}{inpainting}", about.kind));
    fact("format", about.format);
    if about.version.is_some() {
        fact(
            "predicts",
            &about
                .prediction
                .map_or("not said".to_owned(), |prediction| prediction.to_string()),
        );
    }
    fact("precision", &about.precision.join(", "));
    fact("size", &format!("{} bytes", about.bytes));
    for part in &about.parts {
        let line = format!(
            "{} ({} tensors, {} values, {})",
            part.part,
            part.tensors,
            part.values,
            part.precision.join(", ")
        );
        fact("part", &line);
    }
    for (key, value) in &about.metadata {
        let short: String = value.chars().take(LONGEST).collect();
        let more = if short.len() < value.len() { "..." } else { "" };
        fact("metadata", &format!("{key}: {short}{more}"));
    }
    for hashed in &about.files {
        let file = PathBuf::from(&hashed.file);
        let name = file.file_name().map_or(hashed.file.clone(), |name| {
            name.to_string_lossy().into_owned()
        });
        fact("sha256", &format!("{} {name}", hashed.sha256));
        fact("short hash", &hashed.short_hash);
    }
    text
}

/// Characters of a value of metadata that are shown; `--json` has them all.
const LONGEST: usize = 200;
