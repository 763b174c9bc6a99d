//! The run of a batch: images that share a forward pass together, each saved and entered in the
//! manifest before the next.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use super::progress::Progress;
use super::save::with_save_events;
use super::signals;
use super::terminal::{self, count_of};
use crate::batch::{Manifest, Planned, State, forwards};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::hash::sha256;
use crate::image::Image;
use crate::output::atomic_file::{Existing, save};
use crate::output::encode::Format;
use crate::output::image_writer::ImageWriter;
use crate::planner::Plan;

/// A batch that is being run.
pub(super) struct BatchRun<'a> {
    planned: &'a [Planned],
    manifest: Manifest,
    progress: &'a RefCell<Progress>,
    engine: Engine,
    /// True if the first failure ends the run.
    pub(super) fail_fast: bool,
    /// True if finished images are also shown in the terminal.
    pub(super) show: bool,
    /// Number of images generated.
    pub(super) drawn: usize,
    /// Jobs that were done before.
    skipped: usize,
    failed: usize,
}

impl<'a> BatchRun<'a> {
    /// A run of the jobs in `planned`, recorded in `manifest`.
    pub(super) fn new(
        planned: &'a [Planned],
        manifest: Manifest,
        progress: &'a RefCell<Progress>,
    ) -> Self {
        Self {
            planned,
            manifest,
            progress,
            engine: Engine::new(),
            fail_fast: false,
            show: false,
            drawn: 0,
            skipped: 0,
            failed: 0,
        }
    }

    /// Runs every job that is not done. Fails with `Kind::Batch` if some of them failed.
    pub(super) fn run_all(&mut self) -> Result<()> {
        let left: Vec<&Planned> = self
            .planned
            .iter()
            .filter(|planned| !planned.finished)
            .collect();
        self.skipped = self.planned.len() - left.len();
        self.manifest.plan(left.iter().copied())?;
        let left: Vec<Planned> = left.into_iter().cloned().collect();
        for planned in &left {
            let _ = self.progress.borrow_mut().on(&Event::Queued {
                job: planned.job.name.clone(),
            });
        }
        let mut number = 1;
        for forward in forwards(&left) {
            let jobs: Vec<&Planned> = forward.into_iter().map(|i| &left[i]).collect();
            let names: Vec<&str> = jobs
                .iter()
                .map(|planned| planned.job.name.as_str())
                .collect();
            self.progress
                .borrow_mut()
                .announce_jobs(&names, number, left.len());
            number += jobs.len();
            self.run_together(&jobs)?;
            if self.failed > 0 && self.fail_fast {
                break;
            }
        }
        if self.failed == 0 {
            return Ok(());
        }
        let all = count_of(self.planned.len(), "job");
        let message = format!("{} of {all} failed", self.failed);
        Err(Error::new(Kind::Batch, message)
            .hint("the same command tries these again and skips the rest"))
    }

    /// Runs jobs in shared forward passes; if that fails, those that are left one by one.
    fn run_together(&mut self, jobs: &[&Planned]) -> Result<()> {
        if signals::stop_requested() {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        let mut left: Vec<&Planned> = jobs.to_vec();
        match (self.generate(jobs, &mut left), left.as_slice()) {
            (Ok(()), _) => Ok(()),
            (Err(error), _) if error.kind() == Kind::Interrupted => Err(error),
            (Err(error), []) => Err(error),
            (Err(error), [job]) if jobs.len() == 1 => self.record_failure(job, &error),
            (Err(_), left) => left.iter().try_for_each(|job| self.run_together(&[job])),
        }
    }

    /// Generates the images of `jobs`; removes each from `left` when it is in the manifest.
    fn generate(&mut self, jobs: &[&Planned], left: &mut Vec<&Planned>) -> Result<()> {
        let Self {
            manifest,
            progress,
            engine,
            show,
            drawn,
            ..
        } = self;
        let mut begun = Instant::now();
        let mut observer = |event: &Event| progress.borrow_mut().on(event);
        let mut deliver = |i: usize, image: Image| {
            let planned = jobs[i];
            let bytes = encode_image(planned, &image)?;
            with_save_events(progress, image.seed, || write_image(&bytes, planned))?;
            let state = State::Done {
                sha256: sha256(&bytes),
                seconds: begun.elapsed().as_secs_f64(),
            };
            manifest.note(planned, state)?;
            left.retain(|other| other.path != planned.path);
            *drawn += 1;
            begun = Instant::now();
            if *show {
                terminal::show_image(&planned.path)?;
            }
            Ok(())
        };
        match jobs {
            [alone] => engine.generate(&alone.plan, &mut observer, &mut |image| deliver(0, image)),
            several => {
                let plans: Vec<&Plan> = several.iter().map(|planned| &planned.plan).collect();
                engine.generate_batch(&plans, &mut observer, &mut deliver)
            }
        }
    }

    /// Records a failed job, after its latents are saved.
    fn record_failure(&mut self, planned: &Planned, error: &Error) -> Result<()> {
        self.failed += 1;
        let latents = self.engine.undecoded().and_then(|latents| {
            latents
                .save(&planned.plan.provenance(), &planned.path, Existing::Own)
                .ok()
        });
        self.manifest.note(
            planned,
            State::Failed {
                error: error.to_string(),
                latents: latents.clone(),
            },
        )?;
        let failed = Event::Failed {
            job: planned.job.name.clone(),
            message: error.to_string(),
            latents,
        };
        let _ = self.progress.borrow_mut().on(&failed);
        Ok(())
    }

    /// Summary of the jobs, in one line.
    pub(super) fn summary(&self) -> String {
        let Self {
            drawn,
            skipped,
            failed,
            ..
        } = self;
        let left = self.planned.len() - drawn - skipped - failed;
        let mut text = format!(
            "{}: {drawn} drawn, {skipped} done before",
            count_of(self.planned.len(), "job")
        );
        for (count, what) in [(*failed, "failed"), (left, "left")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

fn encode_image(planned: &Planned, image: &Image) -> Result<Vec<u8>> {
    let no_metadata = planned.job.params.no_metadata == Some(true);
    ImageWriter {
        provenance: planned.plan.provenance(),
        no_metadata,
    }
    .encode(image, Format::of_path(&planned.path))
}

fn write_image(bytes: &[u8], planned: &Planned) -> Result<PathBuf> {
    let existing = if planned.replaces {
        Existing::Own
    } else {
        Existing::Free
    };
    save(bytes, &planned.path, existing)
}
