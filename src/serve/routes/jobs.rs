//! `/v1/jobs`: submission, status, events and images of jobs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::error::Error;
use crate::named_enum::Named;
use crate::params::Params;
use crate::serve::event_log::Record;
use crate::serve::failure::Failure;
use crate::serve::http::body;
use crate::serve::http::responses::{
    HandlerResult, Problem, image_response, json_response, query_store, run_blocking,
};
use crate::serve::image_record::ImageLink;
use crate::serve::job::{Api, Job, Operation, State as JobState, StopMode};
use crate::serve::service::{Service, shutdown_requested};
use crate::serve::submit::Submission;
use crate::serve::timestamp::rfc3339;
use crate::serve::uploads::{LATENTS_FILE, UPLOADED, image_file_name};

/// A job as clients see it.
#[derive(Serialize)]
struct JobView {
    job_id: String,
    state: JobState,
    operation: Operation,
    created: String,
    started: Option<String>,
    ended: Option<String>,
    /// Position in the queue, from 1.
    position: Option<usize>,
    progress: Progress,
    params: Value,
    images: Vec<ImageLink>,
    error: Option<Failure>,
    warnings: Vec<String>,
    stream_url: String,
}

#[derive(Serialize)]
struct Progress {
    step: usize,
    total: usize,
}

impl JobView {
    fn new(job: &Job) -> Self {
        let status = job.status();
        let (step, total) = status.steps;
        Self {
            job_id: job.id.clone(),
            state: status.state,
            operation: job.spec.operation,
            created: rfc3339(job.created),
            started: status.started.map(rfc3339),
            ended: status.ended.map(rfc3339),
            position: status.position,
            progress: Progress { step, total },
            params: without_uploads(&job.spec.params),
            images: job.image_links(&status),
            error: status.failure,
            warnings: status.warnings,
            stream_url: stream_url(job),
        }
    }
}

fn stream_url(job: &Job) -> String {
    format!("/v1/jobs/{}/stream", job.id)
}

/// The client's own fields, with a placeholder for each uploaded image.
fn without_uploads(params: &Params) -> Value {
    let mut value = json!(params);
    for value in value
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        if *value == UPLOADED {
            *value = json!("(picture)");
        }
    }
    value
}

/// `POST /v1/jobs`
pub(super) async fn submit(State(service): State<Arc<Service>>, request: Request) -> HandlerResult {
    let (mut fields, uploaded) = body::read_submission(&service, request).await?;
    let operation = match fields.remove("operation") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(Operation::parse("operation", &name)?),
        Some(_) => return Err(Error::field("operation", "expected text").into()),
    };
    let submission = Submission {
        fields,
        uploaded,
        operation,
        api: Api::Jobs,
        is_synchronous: false,
    };
    let job = run_blocking(&service, move |service| service.submit(submission)).await??;
    let body = json!({ "job_id": job.id, "stream_url": stream_url(&job) });
    let mut response = json_response(StatusCode::ACCEPTED, &body);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Query parameters of the job list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    limit: Option<usize>,
    /// Cursor from the previous page of the list.
    cursor: Option<String>,
}

impl ListQuery {
    /// URL of the next page, after the job with this number.
    fn next_url(&self, number: u64) -> String {
        let mut url = "/v1/jobs?".to_owned();
        if let Some(state) = &self.state {
            url += &format!("state={state}&");
        }
        if let Some(limit) = self.limit {
            url += &format!("limit={limit}&");
        }
        format!("{url}cursor={number}")
    }
}

/// Jobs per page, by default and at most.
const PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;

/// `GET /v1/jobs`
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> HandlerResult {
    let Query(query) =
        query.map_err(|e| Problem::client(StatusCode::UNPROCESSABLE_ENTITY, e.body_text()))?;
    let state = match &query.state {
        Some(name) => Some(JobState::parse("state", name)?),
        None => None,
    };
    let limit = query.limit.unwrap_or(PAGE_SIZE);
    if !(1..=MAX_PAGE_SIZE).contains(&limit) {
        let expected = format!("a number from 1 to {MAX_PAGE_SIZE}");
        return Err(Error::expected("limit", expected, limit).into());
    }
    let cursor = match &query.cursor {
        Some(text) => {
            let number: Option<u64> = text.parse().ok();
            let expected = "the cursor in `next` of the previous page";
            Some(number.ok_or_else(|| Error::expected("cursor", expected, text))?)
        }
        None => None,
    };
    let jobs = query_store(&service, |store| store.list()).await?;
    let mut matching = jobs.iter().filter(|job| {
        state.is_none_or(|state| job.state() == state)
            && cursor.is_none_or(|cursor| job.number < cursor)
    });
    let page: Vec<&Arc<Job>> = matching.by_ref().take(limit).collect();
    // Job numbers are unique, so jobs that come or go in between do not shift the others.
    let next = match page.last() {
        Some(last) if matching.next().is_some() => Some(query.next_url(last.number)),
        _ => None,
    };
    let jobs: Vec<JobView> = page.into_iter().map(|job| JobView::new(job)).collect();
    let body = json!({ "jobs": jobs, "next": next });
    Ok(json_response(StatusCode::OK, &body))
}

async fn find_job(service: &Arc<Service>, id: &str) -> Result<Arc<Job>, Problem> {
    let id = id.to_owned();
    let job = query_store(service, move |store| store.find(&id)).await?;
    job.ok_or_else(|| {
        Problem::not_found("job")
            .hint("ended jobs are kept for a while only; GET /v1/jobs lists what is there")
    })
}

/// `GET /v1/jobs/{id}`
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> HandlerResult {
    let job = find_job(&service, &id).await?;
    Ok(json_response(StatusCode::OK, &json!(JobView::new(&job))))
}

/// `DELETE /v1/jobs/{id}`: stops a job, or deletes an ended one with its images.
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> HandlerResult {
    let job = find_job(&service, &id).await?;
    if job.state().is_final() {
        query_store(&service, move |store| store.delete(&job)).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    run_blocking(&service, move |service| {
        service.stop(&job, StopMode::Cancel)
    })
    .await?
    .map_err(|e| Problem::of_storage(&e))?;
    status(State(service), Path(id)).await
}

/// Interval of keep-alive messages in an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /v1/jobs/{id}/stream`: the job's events as server-sent events, past ones first. A client
/// that sends the id of its last event receives the events after it.
pub(super) async fn subscribe(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> HandlerResult {
    let job = find_job(&service, &id).await?;
    let last_id = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    if let (events, false) = job.events_after(last_id)
        && events.is_empty()
    {
        // The client reconnects after the end; only this status stops an EventSource from retrying.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let subscriber = EventSubscriber {
        changes: job.subscribe(),
        job,
        shutdown: service.shutdown.subscribe(),
        last_id,
        pending: VecDeque::new(),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let stream = Sse::new(subscriber.into_stream()).keep_alive(keep_alive);
    // Proxies that buffer whole responses would delay the events.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

struct EventSubscriber {
    job: Arc<Job>,
    changes: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    /// Id of the last event that was sent.
    last_id: u64,
    pending: VecDeque<Arc<Record>>,
}

impl EventSubscriber {
    /// Events until the job ends or the server shuts down.
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut subscriber| async move {
            let record = subscriber.next_event().await?;
            let event = Event::default()
                .id(record.id.to_string())
                .event(&*record.name)
                .data(&record.data);
            Some((Ok(event), subscriber))
        })
    }

    async fn next_event(&mut self) -> Option<Arc<Record>> {
        loop {
            if let Some(record) = self.pending.pop_front() {
                self.last_id = record.id;
                return Some(record);
            }
            // Mark the channel as seen before reading: an event added in between notifies again.
            self.changes.borrow_and_update();
            let (events, is_open) = self.job.events_after(self.last_id);
            if !events.is_empty() {
                self.pending = events.into();
                continue;
            }
            if !is_open {
                return None;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = shutdown_requested(&mut self.shutdown) => return None,
            }
        }
    }
}

/// `GET /v1/jobs/{id}/images`
pub(super) async fn list_images(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> HandlerResult {
    let job = find_job(&service, &id).await?;
    let images = job.image_links(&job.status());
    Ok(json_response(StatusCode::OK, &json!({ "images": images })))
}

/// `GET /v1/jobs/{id}/image`
pub(super) async fn first_image(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> HandlerResult {
    stored_image(service, &id, 0).await
}

/// `GET /v1/jobs/{id}/images/{index}`
pub(super) async fn image(
    State(service): State<Arc<Service>>,
    Path((id, index)): Path<(String, String)>,
) -> HandlerResult {
    let index = index.parse().map_err(|_| Problem::not_found("picture"))?;
    stored_image(service, &id, index).await
}

async fn stored_image(service: Arc<Service>, id: &str, index: u64) -> HandlerResult {
    let job = find_job(&service, id).await?;
    if !job.status().images.iter().any(|image| image.index == index) {
        return Err(Problem::not_found("picture"));
    }
    let name = image_file_name(index);
    let bytes = query_store(&service, move |store| store.read_result(&job.id, &name)).await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("picture"))?;
    Ok(image_response(bytes))
}

/// `GET /v1/jobs/{id}/latents`
pub(super) async fn latents(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> HandlerResult {
    let job = find_job(&service, &id).await?;
    let bytes = query_store(&service, move |store| {
        store.read_result(&job.id, LATENTS_FILE)
    })
    .await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("file of latents"))?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, bytes).into_response())
}
