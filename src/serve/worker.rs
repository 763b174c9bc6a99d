//! The worker: one thread that owns planner and engine, takes one job after another and tells what happens. Nothing
//! of the networks leaves this thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde_json::Value;

use super::Service;
use super::job::{End, Failure, Job, Made};
use super::story::News;
use super::uploads::{self, picture_of, placed, within};
use crate::config::Hub;
use crate::engine::{Engine, Image};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Flow, Stage};
use crate::output::Picture;
use crate::output::album::Album;
use crate::output::png::encode;
use crate::plan::{Plan, Planner};
use crate::request::{Request, overlay};

/// What the worker works with.
struct Tools {
    planner: Planner,
    engine: Engine,
}

impl Tools {
    fn new(hub: &Hub) -> Self {
        Self { planner: Planner::new(hub.clone()), engine: Engine::new() }
    }
}

/// Works until the queue is closed; the job at hand is finished.
pub(super) fn run(service: &Service, hub: &Hub) {
    let mut tools = Tools::new(hub);
    while let Some(job) = service.store.next() {
        service.note(&job, job.state().name());
        let drawn = catch_unwind(AssertUnwindSafe(|| tools.draw(service, &job)));
        let end = match drawn {
            Ok(Ok(())) => End::Completed,
            Ok(Err(error)) if error.kind() == Kind::Interrupted && job.is_cancelled() => End::Cancelled,
            Ok(Err(error)) => End::Failed(public(&error, &service.secrets(&job.id))),
            Err(_) => {
                tools = Tools::new(hub);
                End::Failed(Failure::internal("the engine broke down over this job"))
            }
        };
        service.loading.store(false, Ordering::Relaxed);
        service.finish(&job, end);
        // What does not go now goes at the next sweep.
        let _ = service.store.expire(SystemTime::now());
    }
}

impl Tools {
    fn draw(&mut self, service: &Service, job: &Job) -> Result<()> {
        let folder = service.store.folder(&job.id);
        let params = overlay(&service.defaults, &placed(&job.order.params, &folder));
        let params = service.catalog.opened(&params)?;
        let mut observer = |event: &Event| {
            tell(service, job, event);
            if job.is_cancelled() { Flow::Cancel } else { Flow::Continue }
        };
        let plan = self.planner.plan(&params, &mut observer)?;
        within("width", plan.request.width, plan.request.height, service.limits.pixels)?;
        let told = told(&plan.request, &service.secrets(&job.id));
        let album = Album {
            origin: crate::output::metadata::Origin { request: &told, ..plan.origin() },
            silent: params.no_metadata == Some(true),
        };
        self.generate(service, job, &plan, &album)
    }

    fn generate(&mut self, service: &Service, job: &Job, plan: &Plan, album: &Album<'_>) -> Result<()> {
        let mut observer = |event: &Event| {
            tell(service, job, event);
            if job.is_cancelled() { Flow::Cancel } else { Flow::Continue }
        };
        let mut deliver = |image: Image| {
            let png = album.png(&image.leaf())?;
            service.store.keep(job, &picture_of(image.index), &png)?;
            let Image { width, height, seed, index, .. } = image;
            job.made(Made { index, seed, width, height, bytes: png.len() as u64 });
            Ok(())
        };
        self.engine.generate(plan, &mut observer, &mut deliver)
    }
}

/// Passes on what the engine reports.
fn tell(service: &Service, job: &Job, event: &Event) {
    let is_load = matches!(event, Event::Fetch { .. } | Event::Begin { stage: Stage::Load, .. });
    service.loading.store(is_load, Ordering::Relaxed);
    match event {
        Event::Fetch { file, done, total } => {
            job.tell(&News::Fetch { file: file.clone(), done: *done, total: *total });
        }
        Event::Begin { stage, what } => job.tell(&News::Stage { stage: *stage, what: what.clone() }),
        Event::Step { step, steps, image, batch } => {
            service.metrics.steps(*batch);
            job.step(*step, *steps, *image);
        }
        Event::Preview { step, image, width, height, rgb } => {
            let picture = Picture { width: *width, height: *height, rgb };
            // A preview that cannot be encoded is missed by nobody.
            let Ok(png) = encode(&picture, &[]) else { return };
            let (image, index) = (uploads::encode(&png), *image);
            job.tell(&News::Preview { step: *step, image, format: "png", index });
        }
        Event::Warning { message } => job.tell(&News::Warning { message: message.clone() }),
        Event::Queued { .. }
        | Event::Failed { .. }
        | Event::Download { .. }
        | Event::Note { .. }
        | Event::End { .. }
        | Event::Saved { .. }
        | Event::Done { .. } => {}
    }
}

/// Paths of this server, and what clients hear instead.
type Secrets = [(String, String)];

/// The request as its pictures tell it: without the paths of this server.
fn told(request: &Request, secrets: &Secrets) -> Request {
    let bared = serde_json::to_value(request).map(|value| bared(value, secrets));
    // Invariant: what a request serialises to is a request; texts took the place of texts.
    bared.and_then(serde_json::from_value).unwrap_or_else(|_| request.clone())
}

fn bared(value: Value, secrets: &Secrets) -> Value {
    match value {
        Value::String(text) => Value::String(bare(&text, secrets)),
        Value::Array(values) => values.into_iter().map(|value| bared(value, secrets)).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, bared(value, secrets))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

fn bare(text: &str, secrets: &Secrets) -> String {
    secrets.iter().fold(text.to_owned(), |text, (path, name)| text.replace(path, name))
}

/// A failure as clients hear of it.
fn public(error: &Error, secrets: &Secrets) -> Failure {
    let failure = Failure::from(error);
    Failure {
        message: bare(&failure.message, secrets),
        hints: failure.hints.iter().map(|hint| bare(hint, secrets)).collect(),
        ..failure
    }
}
