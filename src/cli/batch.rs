//! `sdgen batch FILE`: reads, plans and checks every job before the first picture; then draws what
//! is not there yet.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::config::Profile;
use super::dry_run::{self, DryRun};
use super::generate::saving;
use super::progress::{Display, Progress};
use super::report::{self, Format};
use super::work::{Work, count_of};
use super::{show, signals};
use crate::batch::{
    self, Diagnostic, Fields, Form, Job, Keeping, Manifest, Moved, Origin, Output, Place, Planned,
    Shard, Source,
};
use crate::env::{self, Hub};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer};
use crate::named_enum::Named;
use crate::output::atomic_file::{Existing, part_of, save};
use crate::output::contact_sheet::{self, Entry, Tile};
use crate::output::encode;
use crate::output::file_names::check_file;
use crate::params::Params;
use crate::planner::Planner;

#[derive(Args)]
#[group(skip)]
#[command(mut_arg("prompt", |arg| arg.long("prompt").value_name("TEXT").help("What every job draws")))]
pub(super) struct Arguments {
    /// The jobs: a .toml, .csv or .jsonl file, or lines of prompts; `-` reads them from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Format of the file: toml, txt, csv or jsonl [default: as its name says]
    #[arg(long, value_name = "FORM", help_heading = "Batch")]
    form: Option<String>,

    /// Draw this part of the jobs only; `auto/N` asks the scheduler for I [default: as Slurm says,
    /// else all]
    #[arg(long, value_name = "I/N", help_heading = "Batch")]
    shard: Option<String>,

    /// Manifest of what is done [default: FILE's name with .manifest.jsonl, in the pictures'
    /// folder]
    #[arg(long, value_name = "PATH", help_heading = "Batch")]
    manifest: Option<PathBuf>,

    /// Draw everything anew
    #[arg(long, help_heading = "Batch")]
    restart: bool,

    /// Go on when a job fails; the default
    #[arg(long, help_heading = "Batch", overrides_with = "fail_fast")]
    keep_going: bool,

    /// Stop at the first job that fails
    #[arg(long, help_heading = "Batch", overrides_with = "keep_going")]
    fail_fast: bool,

    /// Put the pictures on one sheet too, a matrix with its axes labelled
    #[arg(long, value_name = "PNG", help_heading = "Batch")]
    sheet: Option<PathBuf>,

    /// Draw the finished pictures in the terminal
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

/// Draws the jobs of a file.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let task = env::array_task();
    let shard = Shard::choose(arguments.shard.as_deref(), task.as_ref())?;
    if arguments.show {
        show::check()?;
    }
    if let Some(path) = &arguments.sheet {
        check_file("sheet", path)?;
    }
    signals::listen(arguments.display.announces())?;
    let progress = RefCell::new(Progress::new(&arguments.display));
    let Found {
        planned,
        absent,
        output,
        stdin,
    } = arguments.planned(&progress)?;
    let all = planned.len();
    let mut planned: Vec<Planned> = planned
        .into_iter()
        .filter(|planned| shard.has(&planned.key))
        .collect();
    if shard != Shard::WHOLE {
        let jobs = count_of(all, "job");
        progress
            .borrow_mut()
            .say(&format!("shard {shard}: {} of {jobs}", planned.len()));
    }
    if arguments.dry.wanted() {
        return dry_run::batch(&planned, &absent, arguments.dry);
    }
    let folder = PathBuf::from(output.dir.as_deref().unwrap_or("."));
    create(&folder)?;
    let origin = stdin
        .as_deref()
        .map_or(Origin::File(&arguments.file), Origin::Stdin);
    let keeping = Keeping::of(origin, &folder, shard, arguments.manifest.as_deref());
    let manifest = settled(&keeping, &mut planned, arguments.restart, &progress)?;
    let mut work = Work::new(&planned, manifest, &progress);
    work.fail_fast = arguments.fail_fast;
    work.show = arguments.show;
    let drawn = work.all();
    let sheet = match &arguments.sheet {
        Some(path) if drawn.as_ref().err().map(Error::kind) != Some(Kind::Interrupted) => {
            saving(&progress, None, || arguments.draw_sheet(path, &planned)).map(|_| ())
        }
        _ => Ok(()),
    };
    let done = Event::Done {
        images: work.drawn as u64,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let _ = progress.borrow_mut().on(&done);
    progress.borrow_mut().say(&work.summary());
    drawn.and(sheet)
}

/// Content of a batch file.
struct Found {
    planned: Vec<Planned>,
    /// Jobs whose model would have to be fetched, of a run that fetches nothing.
    absent: Vec<Job>,
    output: Output,
    /// Text read from stdin, if the batch came from there.
    stdin: Option<String>,
}

impl Arguments {
    /// Every job of the file, planned; or every error, shown.
    fn planned(&self, progress: &RefCell<Progress>) -> Result<Found> {
        let (source, stdin) = self.source()?;
        let over = Fields::of(&self.params, &Place::new(&"command line".into(), 0));
        // What is to be said of many jobs is said once.
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
        let defaults = self.profile.defaults()?.told(&mut observer)?;
        let (jobs, wrong) = batch::jobs(&source.drafts, &defaults.fields(), &over);
        let (jobs, absent) = if self.dry.wanted() {
            here(jobs)
        } else {
            (jobs, Vec::new())
        };
        let mut planner = Planner::new(if self.dry.wanted() {
            dry_run::offline()?
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
            return Err(refused(
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
        Ok(Found {
            planned,
            absent,
            output: source.output,
            stdin,
        })
    }

    /// The batch, and its text where that came from stdin.
    fn source(&self) -> Result<(Source, Option<String>)> {
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

    /// Draws the sheet; returns where it is.
    fn draw_sheet(&self, path: &Path, planned: &[Planned]) -> Result<PathBuf> {
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
        let told = planned
            .iter()
            .all(|planned| planned.job.params.no_metadata != Some(true));
        let entries = told.then(|| planned.iter().zip(&tiles).map(entry).collect());
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

/// A job's picture as a sheet shows it; of `several` pictures of a job their number is an axis.
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

/// The manifest, held by this process, once the jobs' folders are there and each picture has its
/// place.
fn settled(
    keeping: &Keeping,
    planned: &mut [Planned],
    restart: bool,
    progress: &RefCell<Progress>,
) -> Result<Manifest> {
    for planned in planned.iter() {
        create(planned.path.parent().unwrap_or(Path::new("")))?;
    }
    let manifest = Manifest::open(keeping, restart)?;
    for Moved { wanted, taken } in manifest.settle(planned)? {
        let (wanted, taken) = (wanted.display(), taken.display());
        let message =
            format!("`{wanted}` is another job's picture and stays; this one goes to `{taken}`");
        let _ = progress.borrow_mut().on(&Event::Warning { message });
    }
    for planned in planned.iter().filter(|planned| planned.replaces) {
        // What a killed run left half written.
        let _ = std::fs::remove_file(part_of(&planned.path));
    }
    Ok(manifest)
}

/// The jobs whose models are on this machine, and those whose models are not; names that are none
/// count as here, where they are told.
fn here(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut known: HashMap<(Option<String>, Option<bool>), bool> = HashMap::new();
    jobs.into_iter().partition(|job| {
        let asked = (job.params.model.clone(), job.params.offline);
        *known
            .entry(asked)
            .or_insert_with(|| !dry_run::is_absent(&job.params).unwrap_or(false))
    })
}

fn create(folder: &Path) -> Result<()> {
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

/// Shows every diagnostic; what is left to say is how many there are.
fn refused(diagnostics: &[Diagnostic], file: &Path, format: Format) -> Error {
    diagnostics
        .iter()
        .for_each(|diagnostic| report::fault(diagnostic, format));
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
