//! `sdgen batch FILE`: every job is read, planned and checked before the first image; then those that
//! are not done are run.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::batch_run::BatchRun;
use super::config::Profile;
use super::dry_run::{self, DryRun};
use super::errors::{self, Format};
use super::local_models::offline_hub;
use super::progress::{Display, Progress};
use super::save::with_save_events;
use super::signals;
use super::terminal::{self, count_of};
use crate::batch::{
    self, Diagnostic, Fields, Form, Job, Manifest, ManifestPaths, Moved, Origin, Output, Place,
    Planned, Shard, Source,
};
use crate::env::{self, Hub};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer};
use crate::named_enum::Named;
use crate::output::atomic_file::{Existing, partial_path, save};
use crate::output::contact_sheet::{self, Entry, Tile};
use crate::output::encode;
use crate::output::file_names::check_file;
use crate::params::Params;
use crate::planner::Planner;

#[derive(Args)]
#[group(skip)]
#[command(mut_arg("prompt", |arg| arg.long("prompt").value_name("TEXT").help("Prompt of every job")))]
pub(super) struct Arguments {
    /// The jobs: a .toml, .csv or .jsonl file, or lines of prompts; `-` reads them from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Format of the file: toml, txt, csv or jsonl [default: by its extension]
    #[arg(long, value_name = "FORM", help_heading = "Batch")]
    form: Option<String>,

    /// Run this part of the jobs only; `auto/N` takes I from the cluster's scheduler [default: Slurm's
    /// array task, else all]
    #[arg(long, value_name = "I/N", help_heading = "Batch")]
    shard: Option<String>,

    /// Manifest of finished jobs [default: FILE's name with .manifest.jsonl, in the images' folder]
    #[arg(long, value_name = "PATH", help_heading = "Batch")]
    manifest: Option<PathBuf>,

    /// Run all jobs again
    #[arg(long, help_heading = "Batch")]
    restart: bool,

    /// Go on when a job fails; the default
    #[arg(long, help_heading = "Batch", overrides_with = "fail_fast")]
    keep_going: bool,

    /// Stop at the first job that fails
    #[arg(long, help_heading = "Batch", overrides_with = "keep_going")]
    fail_fast: bool,

    /// Also save a contact sheet of the images; a matrix has labelled axes
    #[arg(long, value_name = "PNG", help_heading = "Batch")]
    sheet: Option<PathBuf>,

    /// Show the finished images in the terminal
    #[arg(long, help_heading = "Display")]
    show: bool,

    #[command(flatten)]
    dry: DryRun,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    profile: Profile,
    #[command(flatten)]
    pub(super) display: Display,
}

/// Runs the jobs of a file.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    let task = env::array_task();
    let shard = Shard::choose(arguments.shard.as_deref(), task.as_ref())?;
    if arguments.show {
        terminal::check_image_support()?;
    }
    if let Some(path) = &arguments.sheet {
        check_file("sheet", path)?;
    }
    signals::listen(arguments.display.announces_stop())?;
    let progress = RefCell::new(Progress::new(&arguments.display));
    let PlannedBatch {
        planned,
        absent,
        output,
        stdin,
    } = arguments.plan_jobs(&progress)?;
    let all = planned.len();
    let mut planned: Vec<Planned> = planned
        .into_iter()
        .filter(|planned| shard.has(&planned.key))
        .collect();
    if shard != Shard::WHOLE {
        let jobs = count_of(all, "job");
        progress
            .borrow_mut()
            .print_line(&format!("shard {shard}: {} of {jobs}", planned.len()));
    }
    if arguments.dry.is_requested() {
        return dry_run::report_batch(&planned, &absent, arguments.dry);
    }
    let folder = PathBuf::from(output.dir.as_deref().unwrap_or("."));
    create_folder(&folder)?;
    let origin = stdin
        .as_deref()
        .map_or(Origin::File(&arguments.file), Origin::Stdin);
    let manifest_paths =
        ManifestPaths::locate(origin, &folder, shard, arguments.manifest.as_deref());
    let manifest = open_manifest(&manifest_paths, &mut planned, arguments.restart, &progress)?;
    let mut run = BatchRun::new(&planned, manifest, &progress);
    run.fail_fast = arguments.fail_fast;
    run.show = arguments.show;
    let result = run.run_all();
    let is_interrupted = matches!(&result, Err(error) if error.kind() == Kind::Interrupted);
    let sheet = arguments.sheet.as_ref().filter(|_| !is_interrupted);
    let saved = sheet
        .map(|path| with_save_events(&progress, None, || arguments.save_sheet(path, &planned)));
    let done = Event::Done {
        images: run.drawn as u64,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let _ = progress.borrow_mut().on(&done);
    progress.borrow_mut().print_line(&run.summary());
    result?;
    saved.transpose()?;
    Ok(())
}

/// Content of a batch file.
struct PlannedBatch {
    planned: Vec<Planned>,
    /// Jobs whose model would have to be fetched, of a run that fetches nothing.
    absent: Vec<Job>,
    output: Output,
    /// Text read from stdin, if the batch came from there.
    stdin: Option<String>,
}

impl Arguments {
    /// Plans every job of the file. All errors are printed, not only the first.
    fn plan_jobs(&self, progress: &RefCell<Progress>) -> Result<PlannedBatch> {
        let (source, stdin) = self.read_source()?;
        let over = Fields::of(&self.params, &Place::new(&"command line".into(), 0));
        // A warning about many jobs is printed once.
        let mut said = HashSet::new();
        let mut observer = |event: &Event| {
            let again =
                matches!(event, Event::Warning { message } if !said.insert(message.clone()));
            if again {
                Flow::Continue
            } else {
                progress.borrow_mut().on(event)
            }
        };
        let defaults = self.profile.defaults()?.announce(&mut observer)?;
        let (jobs, wrong) = batch::jobs(&source.drafts, &defaults.fields(), &over);
        let (jobs, absent) = if self.dry.is_requested() {
            split_by_presence(jobs)
        } else {
            (jobs, Vec::new())
        };
        let mut planner = Planner::new(if self.dry.is_requested() {
            offline_hub()?
        } else {
            Hub::from_env()?
        });
        let (planned, worse) = batch::plan(jobs, &source.output, &mut planner, &mut observer)?;
        let mut diagnostics: Vec<Diagnostic> = source
            .diagnostics
            .into_iter()
            .chain(wrong)
            .chain(worse)
            .collect();
        diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
        if !diagnostics.is_empty() {
            return Err(report_diagnostics(
                &diagnostics,
                &self.file,
                self.display.error_format(),
            ));
        }
        if planned.is_empty() && absent.is_empty() {
            return Err(Error::new(
                Kind::Usage,
                format!("`{}` has no jobs", self.file.display()),
            ));
        }
        Ok(PlannedBatch {
            planned,
            absent,
            output: source.output,
            stdin,
        })
    }

    /// Reads the batch; returns its text too if that came from stdin.
    fn read_source(&self) -> Result<(Source, Option<String>)> {
        let form = self
            .form
            .as_deref()
            .map(|name| Form::parse("form", name))
            .transpose()?;
        let form = form.unwrap_or_else(|| Form::of(&self.file));
        if self.file.as_os_str() != "-" {
            return Ok((Source::read(&self.file, form)?, None));
        }
        let read = crate::text::of(std::io::stdin().lock());
        let text = read
            .map_err(|e| Error::new(Kind::Usage, "cannot read the batch from stdin").source(e))?;
        Ok((Source::parse(&text, Path::new("stdin"), form), Some(text)))
    }

    /// Saves the contact sheet; returns its path.
    fn save_sheet(&self, path: &Path, planned: &[Planned]) -> Result<PathBuf> {
        let several = planned.iter().any(|planned| planned.job.index > 0);
        let tiles: Vec<Tile> = planned
            .iter()
            .map(|planned| tile(planned, several))
            .collect();
        let entry = |(planned, tile): (&Planned, &Tile)| Entry {
            name: tile.name.clone(),
            file: tile.path.clone(),
            seed: planned.plan.request.seed,
            prompt: planned.plan.request.prompt.clone(),
            at: tile.at.iter().cloned().collect(),
        };
        let has_metadata = planned
            .iter()
            .all(|planned| planned.job.params.no_metadata != Some(true));
        let entries = has_metadata.then(|| planned.iter().zip(&tiles).map(entry).collect());
        let replaces = self.params.overwrite == Some(true);
        let existing = if replaces {
            Existing::Replace
        } else {
            Existing::Keep
        };
        save(
            &contact_sheet::encode_sheet(&tiles, entries, encode::Format::of_path(path))?,
            path,
            existing,
        )
    }
}

/// The image of a job as a tile of a sheet; if jobs have `several` images, the index is an axis.
fn tile(Planned { job, path, .. }: &Planned, several: bool) -> Tile {
    let mut at: Vec<_> = job
        .at
        .iter()
        .map(|c| (c.axis.clone(), c.value.clone()))
        .collect();
    if several && !at.is_empty() {
        at.push(("picture".to_owned(), job.index.to_string()));
    }
    Tile {
        path: path.clone(),
        name: job.name.clone(),
        at,
        group: job.draft,
    }
}

/// Creates the jobs' folders, opens the manifest for this process alone, and settles the path of each
/// image.
fn open_manifest(
    manifest_paths: &ManifestPaths,
    planned: &mut [Planned],
    restart: bool,
    progress: &RefCell<Progress>,
) -> Result<Manifest> {
    for planned in planned.iter() {
        create_folder(planned.path.parent().unwrap_or(Path::new("")))?;
    }
    let manifest = Manifest::open(manifest_paths, restart)?;
    for Moved { wanted, taken } in manifest.settle(planned)? {
        let (wanted, taken) = (wanted.display(), taken.display());
        let message =
            format!("`{wanted}` is another job's picture and stays; this one goes to `{taken}`");
        let _ = progress.borrow_mut().on(&Event::Warning { message });
    }
    for planned in planned.iter().filter(|planned| planned.replaces) {
        // A partial file of a killed run.
        let _ = std::fs::remove_file(partial_path(&planned.path));
    }
    Ok(manifest)
}

/// The jobs whose models are on this machine, and those whose models are not. Unknown names count as
/// the former, whose planning reports them.
fn split_by_presence(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut known: HashMap<(Option<String>, Option<bool>), bool> = HashMap::new();
    jobs.into_iter().partition(|job| {
        let asked = (job.params.model.clone(), job.params.offline);
        *known
            .entry(asked)
            .or_insert_with(|| !dry_run::is_model_absent(&job.params).unwrap_or(false))
    })
}

fn create_folder(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| {
        Error::new(
            Kind::Output,
            format!("cannot create the folder `{}`", folder.display()),
        )
        .source(e)
    })
}

/// Prints every diagnostic; returns an error with their number.
fn report_diagnostics(diagnostics: &[Diagnostic], file: &Path, format: Format) -> Error {
    for diagnostic in diagnostics {
        errors::report_diagnostic(diagnostic, format);
    }
    let kinds: Vec<Kind> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.error.kind())
        .collect();
    let kind = if kinds.iter().all(|kind| *kind == kinds[0]) {
        kinds[0]
    } else {
        Kind::Usage
    };
    Error::new(
        kind,
        format!(
            "{} in `{}`; nothing was drawn",
            count_of(diagnostics.len(), "error"),
            file.display()
        ),
    )
}
