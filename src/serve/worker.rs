//! The worker: one thread that owns planner and engine, runs one job after another and publishes
//! their events. The networks never leave this thread.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

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
use crate::serve::event_log::JobEvent;
use crate::serve::failure::{Failure, redact_paths};
use crate::serve::image_record::ImageRecord;
use crate::serve::job::{Job, Outcome, State};
use crate::serve::service::Service;
use crate::serve::uploads::{
    LATENTS_FILE, check_pixel_limit, encode_base64, image_file_name, insert_uploads,
};

/// Runs jobs until the queue is closed and the current job has ended.
pub(crate) fn run_jobs(service: &Service) {
    let mut runner = Runner::new(&service.hub);
    while let Some(job) = service.store.claim_next() {
        let mut jobs = vec![job];
        if catch_unwind(AssertUnwindSafe(|| runner.process(service, &mut jobs))).is_err() {
            runner = Runner::new(&service.hub);
            for job in &jobs {
                let failure = Failure::internal("the engine panicked while running this job");
                service.finish(job, Outcome::Failed(failure));
            }
        }
        service.loading.store(false, Ordering::Relaxed);
        // A failure is retried in the next round.
        let _ = service.store.delete_expired(SystemTime::now());
    }
}

/// A job that is ready to run.
struct PlannedJob {
    job: Arc<Job>,
    plan: Plan,
    /// The request as recorded in the images: without paths of this server.
    public_request: Request,
    no_metadata: bool,
    /// True if the current image ends before its last step.
    ends_early: Cell<bool>,
}

impl PlannedJob {
    fn image_writer(&self) -> ImageWriter<'_> {
        ImageWriter {
            provenance: Provenance {
                request: &self.public_request,
                ..self.plan.provenance()
            },
            no_metadata: self.no_metadata,
        }
    }

    /// Number of single-image jobs that fit in one batch.
    fn batch_capacity(&self) -> usize {
        let request = &self.plan.request;
        if request.count == 1 && self.plan.refiner.is_none() {
            request.batch_size
        } else {
            1
        }
    }

    /// Stores a finished image.
    fn store_image(&self, service: &Service, image: &Image) -> Result<()> {
        let writer = self.image_writer();
        let file = if self.ends_early.get() {
            writer.encode_unfinished(image, encode::DEFAULT)?
        } else {
            writer.encode(image, encode::DEFAULT)?
        };
        let name = image_file_name(image.index);
        service.store.write_result(&self.job, &name, &file)?;
        self.job.record_image(ImageRecord {
            index: image.index,
            seed: image.seed,
            width: image.size.width,
            height: image.size.height,
            bytes: file.len() as u64,
        });
        Ok(())
    }

    /// Outcome of the job after `error`; latents that could not be decoded are stored.
    fn outcome_of(&self, service: &Service, error: &Error, undecoded: Option<&Latents>) -> Outcome {
        let mut outcome = outcome_of(service, &self.job, error);
        if let (Outcome::Failed(failure), Some(latents)) = (&mut outcome, undecoded) {
            let hint = match self.store_latents(service, latents) {
                Ok(()) => format!(
                    "its latents are kept: `sdgen --from-latents FILE` decodes what `/v1/jobs/{}/latents` has",
                    self.job.id
                ),
                Err(_) => "its latents could not be kept".to_owned(),
            };
            failure.hints.push(hint);
        }
        outcome
    }

    fn store_latents(&self, service: &Service, latents: &Latents) -> Result<()> {
        let file = latents.file(&self.image_writer().provenance)?;
        service.store.write_result(&self.job, LATENTS_FILE, &file)
    }
}

/// Outcome of a job after `error`; the full error goes to the log.
fn outcome_of(service: &Service, job: &Job, error: &Error) -> Outcome {
    if ![Kind::Usage, Kind::Interrupted].contains(&error.kind()) {
        (service.log)(&format!("{}: {error}", job.id));
    }
    if error.kind() == Kind::Interrupted && (job.is_cancelled() || job.is_finishing()) {
        return Outcome::Cancelled;
    }
    let paths = service.all_private_paths(&job.id);
    Outcome::Failed(Failure::without_paths(error, &paths))
}

/// Planner and engine of the worker.
struct Runner {
    planner: Planner,
    engine: Engine,
}

impl Runner {
    fn new(hub: &Hub) -> Self {
        Self {
            planner: Planner::new(hub.clone()),
            engine: Engine::new(),
        }
    }

    /// Runs a job, and in the same batch the similar jobs queued behind it, as far as it has room.
    fn process(&mut self, service: &Service, jobs: &mut Vec<Arc<Job>>) {
        let mut planned = Vec::new();
        let mut capacity = 1;
        while let Some(job) = jobs.get(planned.len()).cloned() {
            service.log_job(&job, State::Running.name());
            match self.plan(service, &job) {
                Ok(plan) => planned.push(plan),
                Err(error) => {
                    service.finish(&job, outcome_of(service, &job, &error));
                    break;
                }
            }
            capacity = capacity.max(planned[0].batch_capacity());
            if planned.len() < capacity {
                jobs.extend(service.store.claim_batchable(&jobs[0].spec));
            }
        }
        self.run_planned(service, &planned);
    }

    fn plan(&mut self, service: &Service, job: &Arc<Job>) -> Result<PlannedJob> {
        let upload_dir = service.store.upload_dir(&job.id);
        let params = insert_uploads(&job.spec.params, &upload_dir)?;
        let params = params.combine(service.defaults.clone());
        let params = service.catalog.resolve_models(&params)?;
        let mut observer = |event: &Event| report_to_all(service, &[job], event);
        let plan = self.planner.plan(&params, &mut observer)?;
        let (width, height) = (plan.request.width, plan.request.height);
        check_pixel_limit("width", width, height, service.limits.pixels)?;
        let paths = service.private_paths(&job.id);
        let request = plan.request.clone();
        Ok(PlannedJob {
            job: Arc::clone(job),
            public_request: request.renamed(|path| redact_paths(path, &paths)),
            plan,
            no_metadata: params.no_metadata == Some(true),
            ends_early: Cell::new(false),
        })
    }

    /// Runs jobs in one batch; if that fails, the remaining ones one by one.
    fn run_planned(&mut self, service: &Service, planned: &[PlannedJob]) {
        let result = match planned {
            [] => return,
            [single] => self.run_single(service, single),
            several => self.run_batch(service, several),
        };
        let unfinished = || planned.iter().filter(|next| !next.job.state().is_final());
        match (result, planned) {
            (Ok(()), _) => {
                for next in unfinished() {
                    let outcome = if next.job.is_finishing() {
                        Outcome::Cancelled
                    } else {
                        Outcome::Completed
                    };
                    service.finish(&next.job, outcome);
                }
            }
            (Err(error), [single]) => {
                let outcome = single.outcome_of(service, &error, self.engine.undecoded());
                service.finish(&single.job, outcome);
            }
            (Err(_), _) => {
                for next in unfinished() {
                    self.run_planned(service, std::slice::from_ref(next));
                }
            }
        }
    }

    fn run_single(&mut self, service: &Service, planned: &PlannedJob) -> Result<()> {
        let job = &planned.job;
        let mut observer = |event: &Event| {
            let flow = report_to_all(service, &[job], event);
            if flow == Flow::Continue && matches!(event, Event::Step { .. }) {
                let flow = early_stop(job);
                planned.ends_early.set(flow != Flow::Continue);
                return flow;
            }
            // A request to finish early starts no other image.
            let starts_image = matches!(
                event,
                Event::Begin {
                    stage: Stage::Denoise,
                    ..
                }
            );
            if starts_image && early_stop(job) == Flow::Finish {
                return Flow::Cancel;
            }
            flow
        };
        let mut deliver = |image: Image| planned.store_image(service, &image);
        self.engine
            .generate(&planned.plan, &mut observer, &mut deliver)
    }

    /// Generates one image for each job. A job that is stopped ends at once, without its image; the
    /// others go on.
    fn run_batch(&mut self, service: &Service, planned: &[PlannedJob]) -> Result<()> {
        let plans: Vec<&Plan> = planned.iter().map(|planned| &planned.plan).collect();
        let jobs: Vec<&Arc<Job>> = planned.iter().map(|planned| &planned.job).collect();
        let mut observer = BatchObserver {
            service,
            jobs: &jobs,
            current: None,
        };
        let mut deliver = |i: usize, image: Image| {
            if !jobs[i].state().is_final() {
                planned[i].store_image(service, &image)?;
                service.finish(jobs[i], Outcome::Completed);
            }
            Ok(())
        };
        self.engine
            .generate_batch(&plans, &mut observer, &mut deliver)
    }
}

/// Observer of jobs that share a batch.
struct BatchObserver<'a> {
    service: &'a Service,
    jobs: &'a [&'a Arc<Job>],
    /// Index of the job that events are about, if it is a single one.
    current: Option<usize>,
}

impl Observer for BatchObserver<'_> {
    fn on(&mut self, event: &Event) -> Flow {
        let mut active: Vec<&Arc<Job>> = self.jobs.to_vec();
        active.retain(|job| !job.state().is_final());
        for job in &active {
            if job.is_cancelled() || early_stop(job) != Flow::Continue {
                self.service.finish(job, Outcome::Cancelled);
            }
        }
        // A warning is about one client's prompt and no other's.
        if let Some(job) = self.current.and_then(|index| self.jobs.get(index))
            && matches!(event, Event::Warning { .. })
        {
            report(self.service, job, event);
            return Flow::Continue;
        }
        report_to_all(self.service, &active, event)
    }

    fn about(&mut self, plan: Option<usize>) {
        self.current = plan;
    }
}

/// Reports an engine event to the jobs; cancels when none of them is to go on.
fn report_to_all(service: &Service, jobs: &[&Arc<Job>], event: &Event) -> Flow {
    for job in jobs {
        report(service, job, event);
    }
    if let Event::Step { batch, .. } = event {
        service.metrics.record_steps(*batch);
    }
    let is_over = || {
        jobs.iter()
            .all(|job| job.is_cancelled() || job.state().is_final())
    };
    service.hold.wait(event, || {
        is_over() || jobs.iter().any(|job| job.is_stopping())
    });
    if is_over() {
        return Flow::Cancel;
    }
    Flow::Continue
}

/// Response to a request to end the current images early.
fn early_stop(job: &Job) -> Flow {
    if job.is_finishing() {
        Flow::Finish
    } else if job.take_skip() {
        Flow::Skip
    } else {
        Flow::Continue
    }
}

/// Publishes an engine event to the subscribers of a job.
fn report(service: &Service, job: &Job, event: &Event) {
    let is_loading = matches!(
        event,
        Event::Fetch { .. }
            | Event::Begin {
                stage: Stage::Load,
                ..
            }
    );
    service.loading.store(is_loading, Ordering::Relaxed);
    match event {
        Event::Fetch { file, done, total } => job.publish(&JobEvent::Fetch {
            file: file.clone(),
            done: *done,
            total: *total,
        }),
        Event::Begin { stage, what } => job.publish(&JobEvent::Stage {
            stage: *stage,
            what: what.clone(),
        }),
        Event::Step {
            step, steps, image, ..
        } => job.record_step(*step, *steps, *image),
        Event::Preview {
            step,
            image,
            width,
            height,
            rgb,
        } => {
            let (format, size) = (encode::DEFAULT, Size::new(*width, *height));
            // A preview that cannot be encoded is left out.
            if let Ok(file) = format.encode(size, rgb, &[]) {
                job.publish(&JobEvent::Preview {
                    step: *step,
                    image: encode_base64(&file),
                    format: format.extension,
                    index: *image,
                });
            }
        }
        Event::Warning { message } => {
            let paths = service.private_paths(&job.id);
            job.add_warning(&redact_paths(message, &paths));
        }
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
