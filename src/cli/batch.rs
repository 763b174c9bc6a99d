//! `sdgen batch FILE`: reads, plans and checks every job before the first picture; then draws what is not there yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::config::Profile;
use super::dry_run::{self, DryRun};
use super::progress::{Display, Progress};
use super::report::{self, Format};
use super::work::{Work, count_of};
use super::{show, signals};
use crate::batch::{self, Fault, Fields, Form, Job, Manifest, Output, Place, Planned, Shard, Source};
use crate::config::{self, Hub};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::named::Named;
use crate::output::png::part_of;
use crate::output::sheet::{self, Tile};
use crate::plan::Planner;
use crate::request::Params;

#[derive(Args)]
#[group(skip)]
#[command(mut_arg("prompt", |arg| arg.long("prompt").value_name("TEXT").help("What every job draws")))]
pub(super) struct Arguments {
    /// The jobs: a .toml, .csv or .jsonl file, or lines of prompts; `-` reads them from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How the file is written: toml, txt, csv or jsonl [default: as its name says]
    #[arg(long, value_name = "FORM", help_heading = "Batch")]
    form: Option<String>,

    /// Draw this part of the jobs only; `auto/N` asks the scheduler for I [default: as Slurm says, else all]
    #[arg(long, value_name = "I/N", help_heading = "Batch")]
    shard: Option<String>,

    /// Where it is kept what is done [default: FILE's name with .manifest.jsonl, beside the pictures]
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
    let task = config::array_task();
    let shard = Shard::choose(arguments.shard.as_deref(), task.as_ref())?;
    if arguments.show {
        show::check()?;
    }
    signals::listen(arguments.display.announces())?;
    let progress = RefCell::new(Progress::new(&arguments.display));
    let Found { planned, absent, output } = arguments.planned(&progress)?;
    let all = planned.len();
    let planned: Vec<Planned> = planned.into_iter().filter(|planned| shard.has(&planned.key)).collect();
    if shard != Shard::WHOLE {
        let jobs = count_of(all, "job");
        progress.borrow_mut().say(&format!("shard {shard}: {} of {jobs}", planned.len()));
    }
    if arguments.dry.wanted() {
        return dry_run::batch(&planned, &absent, arguments.dry);
    }
    let manifest = arguments.manifest(&planned, &output, shard)?;
    let mut work = Work::new(&planned, manifest, &progress);
    work.fail_fast = arguments.fail_fast;
    work.show = arguments.show;
    let drawn = work.all();
    let sheet = arguments.sheet.as_deref().map_or(Ok(()), |path| draw_sheet(path, &planned));
    let done = Event::Done { images: work.drawn as u64, seconds: begun.elapsed().as_secs_f64() };
    let _ = progress.borrow_mut().on(&done);
    progress.borrow_mut().say(&work.summary());
    drawn.and(sheet)
}

/// What a batch file holds.
struct Found {
    planned: Vec<Planned>,
    /// Jobs whose model would have to be fetched, of a run that fetches nothing.
    absent: Vec<Job>,
    output: Output,
}

impl Arguments {
    /// Every job of the file, planned; or every error, shown.
    fn planned(&self, progress: &RefCell<Progress>) -> Result<Found> {
        let source = self.source()?;
        let over = Fields::of(&self.params, &Place::new(&"command line".into(), 0));
        let mut observer = |event: &Event| progress.borrow_mut().on(event);
        let defaults = self.profile.defaults()?.told(&mut observer)?;
        let (jobs, wrong) = batch::jobs(&source.drafts, &defaults.fields(), &over);
        let (jobs, absent) = if self.dry.wanted() { here(jobs) } else { (jobs, Vec::new()) };
        let mut planner =
            Planner::new(if self.dry.wanted() { dry_run::offline()? } else { Hub::from_env()? });
        let (planned, worse) = batch::plan(jobs, &source.output, &mut planner, &mut observer)?;
        let mut faults: Vec<Fault> = source.faults.into_iter().chain(wrong).chain(worse).collect();
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        if !faults.is_empty() {
            return Err(refused(&faults, &self.file, self.display.error_format()));
        }
        if planned.is_empty() && absent.is_empty() {
            return Err(Error::new(Kind::Usage, format!("`{}` has no jobs", self.file.display())));
        }
        Ok(Found { planned, absent, output: source.output })
    }

    fn source(&self) -> Result<Source> {
        let form = self.form.as_deref().map(|name| Form::parse("form", name)).transpose()?;
        let form = form.unwrap_or_else(|| Form::of(&self.file));
        if self.file.as_os_str() != "-" {
            return Source::read(&self.file, form);
        }
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|e| Error::new(Kind::Usage, "cannot read the batch from stdin").source(e))?;
        Ok(Source::parse(&text, Path::new("stdin"), form))
    }

    /// The manifest, held by this process, once the jobs' folders are there and their files are ours to write.
    fn manifest(&self, planned: &[Planned], output: &Output, shard: Shard) -> Result<Manifest> {
        let folder = PathBuf::from(output.dir.as_deref().unwrap_or("."));
        create(&folder)?;
        for planned in planned {
            create(planned.path.parent().unwrap_or(Path::new("")))?;
        }
        let stem = self.file.file_stem().filter(|_| self.file.as_os_str() != "-");
        let stem = stem.map_or("stdin".into(), |stem| stem.to_string_lossy().into_owned());
        let part = if shard == Shard::WHOLE {
            String::new()
        } else {
            format!(".{}-of-{}", shard.index, shard.count)
        };
        let path = self.manifest.clone().unwrap_or_else(|| folder.join(format!("{stem}{part}{SUFFIX}")));
        let manifest = Manifest::open(&path, &siblings(&path, &stem), self.restart)?;
        for Planned { path, plan: _, job, .. } in planned {
            if manifest.claims(path) {
                // What a killed run left half written.
                let _ = std::fs::remove_file(part_of(path));
            } else if path.exists() && job.params.overwrite != Some(true) {
                let message = format!("`{}` is there already, and not of this batch", path.display());
                return Err(Error::new(Kind::Output, message).hint(
                    "move it away, choose another `dir` in `[output]`, or replace it with `--overwrite`",
                ));
            }
        }
        Ok(manifest)
    }
}

/// The jobs whose models are on this machine, and those whose models are not; names that are none count as here,
/// where they are told.
fn here(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut known: HashMap<Option<String>, bool> = HashMap::new();
    jobs.into_iter().partition(|job| {
        let model = job.params.model.clone();
        *known.entry(model.clone()).or_insert_with(|| !dry_run::is_absent(model.as_deref()).unwrap_or(false))
    })
}

const SUFFIX: &str = ".manifest.jsonl";

/// The manifests of the same batch beside `path`, of other shards or of the whole.
fn siblings(path: &Path, stem: &str) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let kin = |name: &str| {
        let part = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(SUFFIX));
        part.is_some_and(|part| part.is_empty() || (part.starts_with('.') && part.contains("-of-")))
    };
    let others = entries.filter(|entry| Some(entry.file_name().as_os_str()) != path.file_name());
    others.filter(|entry| kin(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

fn create(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| {
        Error::new(Kind::Output, format!("cannot create the folder `{}`", folder.display())).source(e)
    })
}

/// Shows every fault; what is left to say is how many there are.
fn refused(faults: &[Fault], file: &Path, format: Format) -> Error {
    faults.iter().for_each(|fault| report::fault(fault, format));
    let kinds: Vec<Kind> = faults.iter().map(|fault| fault.error.kind()).collect();
    let kind = if kinds.iter().all(|kind| *kind == kinds[0]) { kinds[0] } else { Kind::Usage };
    Error::new(
        kind,
        format!("{} in `{}`; nothing was drawn", count_of(faults.len(), "error"), file.display()),
    )
}

fn draw_sheet(path: &Path, planned: &[Planned]) -> Result<()> {
    let several = planned.iter().any(|planned| planned.job.index > 0);
    let tiles: Vec<Tile> = planned
        .iter()
        .map(|Planned { job, path, .. }| {
            let mut at: Vec<_> = job.at.iter().map(|c| (c.axis.clone(), c.value.clone())).collect();
            if several && !at.is_empty() {
                at.push(("picture".to_owned(), job.index.to_string()));
            }
            Tile { path: path.clone(), name: job.name.clone(), at, group: job.draft }
        })
        .collect();
    crate::output::png::save(&sheet::png(&tiles)?, path, crate::output::png::Existing::Replace).map(|_| ())
}
