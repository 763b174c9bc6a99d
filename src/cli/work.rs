//! The drawing of a batch: forward after forward, each picture saved and noted before the next.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use super::generate::saving;
use super::progress::Progress;
use super::{show, signals};
use crate::batch::{Manifest, Planned, State, digest, forwards};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::image::Image;
use crate::output::atomic_file::{Existing, save};
use crate::output::encode::Format;
use crate::output::image_writer::ImageWriter;
use crate::planner::Plan;

/// A batch that is being drawn.
pub(super) struct Work<'a> {
    planned: &'a [Planned],
    manifest: Manifest,
    progress: &'a RefCell<Progress>,
    engine: Engine,
    /// The first failure ends it.
    pub(super) fail_fast: bool,
    /// Pictures are shown in the terminal.
    pub(super) show: bool,
    /// Pictures drawn.
    pub(super) drawn: usize,
    /// Jobs that were done before.
    skipped: usize,
    failed: usize,
}

impl<'a> Work<'a> {
    /// The drawing of `planned`, noted in `manifest`.
    pub(super) fn new(
        planned: &'a [Planned],
        manifest: Manifest,
        progress: &'a RefCell<Progress>,
    ) -> Self {
        let (fail_fast, show) = (false, false);
        let engine = Engine::new();
        Self {
            planned,
            manifest,
            progress,
            engine,
            fail_fast,
            show,
            drawn: 0,
            skipped: 0,
            failed: 0,
        }
    }

    /// Draws every job that is not done.
    ///
    /// # Errors
    /// `Kind::Batch` when some failed; `Kind::Interrupted`; a manifest that cannot be kept.
    pub(super) fn all(&mut self) -> Result<()> {
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
                .turn_to(&names, number, left.len());
            number += jobs.len();
            self.forward(&jobs)?;
            if self.failed > 0 && self.fail_fast {
                break;
            }
        }
        match self.failed {
            0 => Ok(()),
            failed => {
                let all = count_of(self.planned.len(), "job");
                Err(Error::new(Kind::Batch, format!("{failed} of {all} failed"))
                    .hint("the same command tries these again and draws nothing else anew"))
            }
        }
    }

    /// Draws jobs in one forward; if that fails, those that are left one by one.
    fn forward(&mut self, jobs: &[&Planned]) -> Result<()> {
        if signals::stop_requested() {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        let mut left: Vec<&Planned> = jobs.to_vec();
        match (self.draw(jobs, &mut left), left.as_slice()) {
            (Ok(()), _) => Ok(()),
            (Err(error), _) if error.kind() == Kind::Interrupted => Err(error),
            (Err(error), []) => Err(error),
            (Err(error), [job]) if jobs.len() == 1 => self.fail(job, &error),
            (Err(_), left) => left.iter().try_for_each(|job| self.forward(&[job])),
        }
    }

    /// Draws `jobs` and takes each from `left` when its picture is noted.
    fn draw(&mut self, jobs: &[&Planned], left: &mut Vec<&Planned>) -> Result<()> {
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
            let bytes = picture(planned, &image)?;
            saving(progress, image.seed, || write(&bytes, planned))?;
            let state = State::Done {
                sha256: digest(&bytes),
                seconds: begun.elapsed().as_secs_f64(),
            };
            manifest.note(planned, state)?;
            left.retain(|other| other.path != planned.path);
            *drawn += 1;
            begun = Instant::now();
            if *show {
                show::picture(&planned.path)
            } else {
                Ok(())
            }
        };
        match jobs {
            [alone] => engine.generate(&alone.plan, &mut observer, &mut |image| deliver(0, image)),
            several => {
                let plans: Vec<&Plan> = several.iter().map(|planned| &planned.plan).collect();
                engine.together(&plans, &mut observer, &mut deliver)
            }
        }
    }

    /// Notes a failure, once what was drawn is safe.
    fn fail(&mut self, planned: &Planned, error: &Error) -> Result<()> {
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

fn picture(planned: &Planned, image: &Image) -> Result<Vec<u8>> {
    let no_metadata = planned.job.params.no_metadata == Some(true);
    ImageWriter {
        provenance: planned.plan.provenance(),
        no_metadata,
    }
    .encode(image, Format::of_path(&planned.path))
}

fn write(bytes: &[u8], planned: &Planned) -> Result<PathBuf> {
    let existing = if planned.replaces {
        Existing::Own
    } else {
        Existing::Free
    };
    save(bytes, &planned.path, existing)
}

/// `1 job`, `2 jobs`.
pub(super) fn count_of(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}
