//! The worker: one thread that owns planner and engine, takes one job after another and reports
//! events. The networks never leave this thread.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::Service;
use super::failure::Failure;
use super::job::{End, Job, Made, State};
use super::story::News;
use super::uploads::{self, LATENTS, picture_of, placed, within};
use super::words::bare;
use crate::engine::Engine;
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Observer, Stage};
use crate::image::{Image, Size};
use crate::output::encode;
use crate::output::image_writer::ImageWriter;
use crate::output::latents::Latents;
use crate::output::metadata::Provenance;
use crate::params::{Combine, Request};
use crate::planner::{Plan, Planner};

/// Planner and engine of the worker.
struct Tools {
    planner: Planner,
    engine: Engine,
}

impl Tools {
    fn new(hub: &Hub) -> Self {
        Self {
            planner: Planner::new(hub.clone()),
            engine: Engine::new(),
        }
    }
}

/// Works until the queue is closed; the job at hand is finished.
pub(super) fn run(service: &Service, hub: &Hub) {
    let mut tools = Tools::new(hub);
    while let Some(job) = service.store.next() {
        let mut jobs = vec![job];
        if catch_unwind(AssertUnwindSafe(|| tools.serve(service, &mut jobs))).is_err() {
            tools = Tools::new(hub);
            let failure = || End::Failed(Failure::internal("the engine broke down over this job"));
            jobs.iter().for_each(|job| service.finish(job, failure()));
        }
        service.loading.store(false, Ordering::Relaxed);
        // What does not go now goes at the next sweep.
        let _ = service.store.expire(SystemTime::now());
    }
}

/// A job that can be drawn.
struct Planned {
    job: Arc<Job>,
    plan: Plan,
    /// The request as recorded in its images: without paths of this server.
    told: Request,
    silent: bool,
    /// True if the current image ends before its last step.
    is_early: Cell<bool>,
}

impl Planned {
    fn album(&self) -> ImageWriter<'_> {
        ImageWriter {
            provenance: Provenance {
                request: &self.told,
                ..self.plan.provenance()
            },
            no_metadata: self.silent,
        }
    }

    /// Number of single-image jobs that fit in one batch.
    fn room(&self) -> usize {
        let request = &self.plan.request;
        if request.count == 1 && self.plan.refiner.is_none() {
            request.batch_size
        } else {
            1
        }
    }

    /// Keeps a finished picture.
    fn keep(&self, service: &Service, image: &Image) -> Result<()> {
        let png = if self.is_early.get() {
            self.album().encode_unfinished(image, encode::DEFAULT)?
        } else {
            self.album().encode(image, encode::DEFAULT)?
        };
        service
            .store
            .keep(&self.job, &picture_of(image.index), &png)?;
        let &Image {
            size: Size { width, height },
            seed,
            index,
            ..
        } = image;
        self.job.made(Made {
            index,
            seed,
            width,
            height,
            bytes: png.len() as u64,
        });
        Ok(())
    }

    /// Outcome of the job after `error`; latents that could not be decoded are stored.
    fn failed(&self, service: &Service, undecoded: Option<&Latents>, error: &Error) -> End {
        let end = failed(service, &self.job, error);
        match (end, undecoded) {
            (End::Failed(mut failure), Some(latents)) => {
                let file = latents.file(&self.album().provenance);
                let kept = file.and_then(|file| service.store.keep(&self.job, LATENTS, &file));
                failure.hints.push(match kept {
                    Ok(()) => format!(
                        "its latents are kept: `sdgen --from-latents FILE` decodes what `/v1/jobs/{}/latents` has",
                        self.job.id
                    ),
                    Err(_) => "its latents could not be kept".to_owned(),
                });
                End::Failed(failure)
            }
            (end, _) => end,
        }
    }
}

/// Outcome of a job after `error`; the full error goes to the log.
fn failed(service: &Service, job: &Job, error: &Error) -> End {
    if ![Kind::Usage, Kind::Interrupted].contains(&error.kind()) {
        (service.log)(&format!("{}: {error}", job.id));
    }
    match error.kind() == Kind::Interrupted && (job.is_cancelled() || job.is_interrupted()) {
        true => End::Cancelled,
        false => End::Failed(Failure::public(error, &service.places(&job.id))),
    }
}

impl Tools {
    /// Draws a job, and with it those that wait behind it and are like it, as far as one forward
    /// has room for them.
    fn serve(&mut self, service: &Service, jobs: &mut Vec<Arc<Job>>) {
        let mut planned = Vec::new();
        let mut room = 1;
        while let Some(job) = jobs.get(planned.len()).cloned() {
            service.note(&job, State::Running.name());
            match self.plan(service, &job) {
                Ok(plan) => planned.push(plan),
                Err(error) => {
                    service.finish(&job, failed(service, &job, &error));
                    break;
                }
            }
            room = room.max(planned[0].room());
            if planned.len() < room {
                jobs.extend(service.store.next_like(&jobs[0].order));
            }
        }
        self.draw(service, &planned);
    }

    fn plan(&mut self, service: &Service, job: &Arc<Job>) -> Result<Planned> {
        let folder = service.store.folder(&job.id);
        let params = placed(&job.order.params, &folder).combine(service.defaults.clone());
        let params = service.catalog.opened(&params)?;
        let mut observer = |event: &Event| watch(service, &[job], event);
        let plan = self.planner.plan(&params, &mut observer)?;
        within(
            "width",
            plan.request.width,
            plan.request.height,
            service.limits.pixels,
        )?;
        let secrets = service.secrets(&job.id);
        let told = plan.request.clone().renamed(|path| bare(path, &secrets));
        let silent = params.no_metadata == Some(true);
        Ok(Planned {
            job: Arc::clone(job),
            plan,
            told,
            silent,
            is_early: Cell::new(false),
        })
    }

    /// Draws jobs in one batch; if that fails, the remaining ones one by one.
    fn draw(&mut self, service: &Service, planned: &[Planned]) {
        let drawn = match planned {
            [] => return,
            [alone] => self.alone(service, alone),
            several => self.together(service, several),
        };
        let left: Vec<&Planned> = planned
            .iter()
            .filter(|planned| !planned.job.state().is_final())
            .collect();
        match (drawn, planned) {
            (Ok(()), _) => left.iter().for_each(|planned| {
                let end = if planned.job.is_interrupted() {
                    End::Cancelled
                } else {
                    End::Completed
                };
                service.finish(&planned.job, end);
            }),
            (Err(error), [alone]) => {
                let end = alone.failed(service, self.engine.undecoded(), &error);
                service.finish(&alone.job, end);
            }
            (Err(_), _) => left
                .iter()
                .for_each(|planned| self.draw(service, std::slice::from_ref(planned))),
        }
    }

    fn alone(&mut self, service: &Service, planned: &Planned) -> Result<()> {
        let mut observer = |event: &Event| {
            let flow = watch(service, &[&planned.job], event);
            if flow == Flow::Continue && matches!(event, Event::Step { .. }) {
                let flow = eased(&planned.job);
                planned.is_early.set(flow != Flow::Continue);
                return flow;
            }
            // What was asked of the pictures before holds for none that is not begun.
            let is_next = matches!(
                event,
                Event::Begin {
                    stage: Stage::Denoise,
                    ..
                }
            );
            if is_next && eased(&planned.job) == Flow::Finish {
                Flow::Cancel
            } else {
                flow
            }
        };
        let mut deliver = |image: Image| planned.keep(service, &image);
        self.engine
            .generate(&planned.plan, &mut observer, &mut deliver)
    }

    /// One picture for each job. One that is stopped ends at once, without its picture; the others
    /// go on.
    fn together(&mut self, service: &Service, several: &[Planned]) -> Result<()> {
        let plans: Vec<&Plan> = several.iter().map(|planned| &planned.plan).collect();
        let jobs: Vec<&Arc<Job>> = several.iter().map(|planned| &planned.job).collect();
        let mut observer = Company {
            service,
            jobs: &jobs,
            about: None,
        };
        let mut deliver = |i: usize, image: Image| {
            if !jobs[i].state().is_final() {
                several[i].keep(service, &image)?;
                service.finish(jobs[i], End::Completed);
            }
            Ok(())
        };
        self.engine
            .generate_batch(&plans, &mut observer, &mut deliver)
    }
}

/// The jobs of one forward.
struct Company<'a> {
    service: &'a Service,
    jobs: &'a [&'a Arc<Job>],
    /// The one that is being worked on alone.
    about: Option<usize>,
}

impl Observer for Company<'_> {
    fn on(&mut self, event: &Event) -> Flow {
        let wanted: Vec<&Arc<Job>> = self
            .jobs
            .iter()
            .filter(|job| !job.state().is_final())
            .copied()
            .collect();
        let stopped = wanted
            .iter()
            .filter(|job| job.is_cancelled() || eased(job) != Flow::Continue);
        stopped.for_each(|job| self.service.finish(job, End::Cancelled));
        match self.about.and_then(|at| self.jobs.get(at)) {
            // A warning is about one client's prompt and no other's.
            Some(job) if matches!(event, Event::Warning { .. }) => tell(self.service, job, event),
            _ => return watch(self.service, &wanted, event),
        }
        Flow::Continue
    }

    fn about(&mut self, plan: Option<usize>) {
        self.about = plan;
    }
}

/// Reports an engine event to the jobs; cancels when none of them is to go on.
fn watch(service: &Service, jobs: &[&Arc<Job>], event: &Event) -> Flow {
    jobs.iter().for_each(|job| tell(service, job, event));
    if let Event::Step { batch, .. } = event {
        service.metrics.steps(*batch);
    }
    let is_over = || {
        jobs.iter()
            .all(|job| job.is_cancelled() || job.state().is_final())
    };
    service.hold.wait(event, || {
        is_over() || jobs.iter().any(|job| job.is_halted())
    });
    if is_over() {
        Flow::Cancel
    } else {
        Flow::Continue
    }
}

/// Response to a request to end the current images early.
fn eased(job: &Job) -> Flow {
    match () {
        () if job.is_interrupted() => Flow::Finish,
        () if job.is_skipped() => Flow::Skip,
        () => Flow::Continue,
    }
}

/// Reports an engine event to a job.
fn tell(service: &Service, job: &Job, event: &Event) {
    let is_load = matches!(
        event,
        Event::Fetch { .. }
            | Event::Begin {
                stage: Stage::Load,
                ..
            }
    );
    service.loading.store(is_load, Ordering::Relaxed);
    match event {
        Event::Fetch { file, done, total } => {
            job.tell(&News::Fetch {
                file: file.clone(),
                done: *done,
                total: *total,
            });
        }
        Event::Begin { stage, what } => job.tell(&News::Stage {
            stage: *stage,
            what: what.clone(),
        }),
        Event::Step {
            step, steps, image, ..
        } => job.step(*step, *steps, *image),
        Event::Preview {
            step,
            image,
            width,
            height,
            rgb,
        } => {
            let (format, size) = (encode::DEFAULT, Size::new(*width, *height));
            // A preview that cannot be encoded is missed by nobody.
            let Ok(png) = format.encode(size, rgb, &[]) else {
                return;
            };
            let (image, index) = (uploads::encode(&png), *image);
            job.tell(&News::Preview {
                step: *step,
                image,
                format: format.extension,
                index,
            });
        }
        Event::Warning { message } => job.warn(&bare(message, &service.secrets(&job.id))),
        Event::Queued { .. }
        | Event::Chunk { .. }
        | Event::Failed { .. }
        | Event::Download { .. }
        | Event::Note { .. }
        | Event::End { .. }
        | Event::Saved { .. }
        | Event::Done { .. } => {}
    }
}
