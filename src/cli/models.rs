//! `sdgen models`: the versions with a name, and the models in the cache.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::local_models::find_local_model;
use super::progress::{Display, Progress};
use super::{signals, terminal};
use crate::catalog::{self, Fetch, ModelFiles, ModelInfo, ModelRef, ModelSpec, Verdict, models};
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};

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
    /// Show facts about a file or a model: family, precision, parts, metadata, hashes
    Info(Info),
    /// Fetch a model into the cache, or update it from the hub
    Pull(Pull),
    /// Print the folder of a model that is on this machine
    Path {
        #[command(flatten)]
        model: Name,
    },
    /// Compare the files of a model in the cache with the hub's hashes
    Verify {
        /// A known name, or ORG/REPO[@REV]
        #[arg(value_name = "MODEL", required_unless_present = "all")]
        model: Option<String>,

        /// Every model in the cache
        #[arg(long, conflicts_with = "model")]
        all: bool,
    },
    /// Remove a model from the cache
    Rm {
        #[command(flatten)]
        model: Name,
    },
    /// Show the disk usage of each model in the cache
    Du,
}

#[derive(Args)]
#[group(skip)]
struct Name {
    /// A known name, or ORG/REPO[@REV]
    #[arg(value_name = "MODEL")]
    model: String,
}

#[derive(Args)]
#[group(skip)]
struct Pull {
    #[command(flatten)]
    name: Name,

    /// Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)
    #[arg(long)]
    half: bool,

    #[command(flatten)]
    display: Display,
}

/// Runs the action; lists the models without one.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (hub, json) = (Hub::from_env()?, arguments.json);
    match arguments.action.as_ref().unwrap_or(&Action::List) {
        Action::List => list(&hub, json),
        Action::Info(info) => print_info(info, json),
        Action::Pull(asked) => pull(asked, hub, json),
        Action::Path { model } => path(&model.model, json),
        Action::Verify {
            model: Some(model), ..
        } => verify(&[find_local_model(model)?], json),
        Action::Verify { model: None, .. } => verify(&all_snapshots(&hub)?, json),
        Action::Rm { model } => remove(&model.model, &hub, json),
        Action::Du => print_usage(&hub, json),
    }
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
    /// On the disk, of all revisions.
    bytes: Option<u64>,
}

fn list(hub: &Hub, json: bool) -> anyhow::Result<()> {
    let stored = catalog::list_installed(hub).unwrap_or_default();
    let bytes = |files: &ModelFiles| {
        let root = files.root()?;
        stored
            .iter()
            .find(|entry| root.starts_with(&entry.path))
            .map(|entry| entry.bytes)
    };
    let rows: Vec<Row> = models().iter().map(|spec| row(spec, hub, bytes)).collect();
    if json {
        return terminal::write_json(&rows);
    }
    let mut text = format!(
        "{:<13} {:<10} {:>6}  {:<24} {}\n",
        "NAME", "CACHED", "PIXELS", "LICENSE", "ABOUT"
    );
    for row in &rows {
        let cached = match (row.cached, row.bytes) {
            (true, Some(bytes)) => terminal::format_bytes(bytes),
            (true, None) => "built in".to_owned(),
            (false, _) => "no".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<13} {cached:<10} {:>6}  {:<24} {}",
            row.name, row.size, row.license, row.about
        );
    }
    terminal::write_data(text.as_bytes())?;
    Ok(())
}

fn row(spec: &'static ModelSpec, hub: &Hub, bytes: impl Fn(&ModelFiles) -> Option<u64>) -> Row {
    let files = catalog::cached(&ModelRef::Known(spec), hub);
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
        cached: files.is_some(),
        bytes: files.as_ref().and_then(bytes),
    }
}

fn pull(asked: &Pull, hub: Hub, json: bool) -> anyhow::Result<()> {
    let model = ModelRef::parse(&asked.name.model)?;
    signals::listen(asked.display.announces_stop())?;
    let progress = RefCell::new(Progress::new(&asked.display));
    let mut observer = |event: &Event| progress.borrow_mut().on(event);
    let fetch = Fetch {
        hub,
        half: asked.half,
        ..Fetch::default()
    };
    let files = catalog::pull(&model, &fetch, &mut observer)?;
    drop(progress);
    print_folder(&files, json)
}

fn path(name: &str, json: bool) -> anyhow::Result<()> {
    print_folder(&find_local_model(name)?, json)
}

fn print_folder(files: &ModelFiles, json: bool) -> anyhow::Result<()> {
    let root = files.root().ok_or_else(|| {
        Error::field(
            "model",
            format!(
                "`{}` is compiled into the program and has no folder",
                files.origin
            ),
        )
    })?;
    if json {
        let license = files.license();
        return terminal::write_json(
            &json!({ "model": files.origin, "path": root, "license": license }),
        );
    }
    terminal::write_data(format!("{}\n", root.display()).as_bytes())?;
    Ok(())
}

/// Every snapshot in the cache.
fn all_snapshots(hub: &Hub) -> Result<Vec<ModelFiles>> {
    let of = |entry: catalog::InstalledRepo| {
        let name = entry.repo.clone();
        let folder = move |commit: &String| {
            let path = entry.path.join("snapshots").join(commit);
            ModelFiles::folder(&name, &format!("{name}@{commit}"), path)
        };
        entry.revisions.iter().map(folder).collect::<Vec<_>>()
    };
    Ok(catalog::list_installed(hub)?
        .into_iter()
        .flat_map(of)
        .collect())
}

#[derive(Serialize)]
struct Checked {
    model: String,
    file: String,
    #[serde(flatten)]
    verdict: Verdict,
}

fn verify(models: &[ModelFiles], json: bool) -> anyhow::Result<()> {
    let (mut checked, mut bad) = (Vec::new(), 0);
    for files in models {
        for (file, verdict) in catalog::verify(files)? {
            bad += usize::from(matches!(
                verdict,
                Verdict::Damaged { .. } | Verdict::Missing
            ));
            let entry = Checked {
                model: files.origin.clone(),
                file,
                verdict,
            };
            if !json {
                terminal::write_data(terminal::sanitize(&verdict_line(&entry)).as_bytes())?;
            }
            checked.push(entry);
        }
    }
    if json {
        terminal::write_json(&checked)?;
    }
    if bad > 0 {
        let message = format!("{bad} of {} files are damaged", checked.len());
        bail!(Error::new(Kind::ModelFile, message).hint(
            "`sdgen models rm MODEL` and `sdgen models pull MODEL` download the model again"
        ));
    }
    Ok(())
}

fn verdict_line(entry: &Checked) -> String {
    let Checked {
        model,
        file,
        verdict,
    } = entry;
    let (state, more) = match verdict {
        Verdict::Intact => ("ok", String::new()),
        Verdict::Unknown => (
            "unknown",
            ": nothing says what its hash should be".to_owned(),
        ),
        Verdict::Missing => ("missing", String::new()),
        Verdict::Damaged { expected, found } => {
            ("damaged", format!(": expected {expected}, got {found}"))
        }
    };
    format!("{state:<8} {model} {file}{more}\n")
}

fn remove(name: &str, hub: &Hub, json: bool) -> anyhow::Result<()> {
    let freed = catalog::remove(&ModelRef::parse(name)?, hub)?;
    if json {
        return terminal::write_json(&json!({ "model": name, "freed": freed }));
    }
    terminal::write_data(
        format!(
            "removed {name}, {} free again\n",
            terminal::format_bytes(freed)
        )
        .as_bytes(),
    )?;
    Ok(())
}

fn print_usage(hub: &Hub, json: bool) -> anyhow::Result<()> {
    let stored = catalog::list_installed(hub)?;
    if json {
        return terminal::write_json(&stored);
    }
    let mut text = String::new();
    for entry in &stored {
        let more = match entry.unfinished {
            0 => String::new(),
            bytes => format!(", {} of it unfinished", terminal::format_bytes(bytes)),
        };
        let (size, revisions) = (terminal::format_bytes(entry.bytes), entry.revisions.len());
        let plural = if revisions == 1 { "" } else { "s" };
        let _ = writeln!(
            text,
            "{size:>10}  {} ({revisions} revision{plural}{more})",
            entry.repo
        );
    }
    let total = terminal::format_bytes(stored.iter().map(|entry| entry.bytes).sum());
    let place = hub.cache()?.display();
    let _ = writeln!(text, "{total:>10}  in {place}");
    terminal::write_data(text.as_bytes())?;
    Ok(())
}

#[derive(Args)]
#[group(skip)]
struct Info {
    /// A file of tensors, a folder, or a model that is on this machine
    #[arg(value_name = "MODEL")]
    model: String,
}

/// Prints the facts about a model.
fn print_info(arguments: &Info, json: bool) -> anyhow::Result<()> {
    let about = read_info(&arguments.model)?;
    if json {
        return terminal::write_json(&about);
    }
    terminal::write_data(terminal::sanitize(&info_lines(&about)).as_bytes())?;
    Ok(())
}

/// Reads the facts about a model that is on this machine; nothing is fetched.
fn read_info(model: &str) -> Result<ModelInfo> {
    match ModelRef::parse(model)? {
        ModelRef::File(path) => ModelInfo::file(&path),
        ModelRef::Known(_) | ModelRef::Folder(_) | ModelRef::Repo { .. } => {
            ModelInfo::folder(&find_local_model(model)?)
        }
    }
}

/// One fact a line. Writing to a string cannot fail.
fn info_lines(about: &ModelInfo) -> String {
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
        let short: String = value.chars().take(MAX_METADATA).collect();
        let more = if short.len() < value.len() { "..." } else { "" };
        fact("metadata", &format!("{key}: {short}{more}"));
    }
    for hashed in &about.files {
        let name = Path::new(&hashed.file).file_name();
        let name = name.map_or(hashed.file.as_str().into(), |name| name.to_string_lossy());
        fact("sha256", &format!("{} {name}", hashed.sha256));
        fact("short hash", &hashed.short_hash);
    }
    text
}

/// Characters of a value of metadata that are shown; `--json` has them all.
const MAX_METADATA: usize = 200;
