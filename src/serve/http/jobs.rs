//! `/v1/jobs`: submission, status and images of jobs.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Answer, blocking, body, json_response, png, stored, stream};
use crate::error::Error;
use crate::named_enum::Named;
use crate::params::Params;
use crate::serve::Service;
use crate::serve::clock;
use crate::serve::desk::Wish;
use crate::serve::failure::Failure;
use crate::serve::job::{Api, Halt, Job, Operation, State as JobState};
use crate::serve::story::Link;
use crate::serve::uploads::{LATENTS, PLACE, picture_of};

/// A job as clients see it.
#[derive(Serialize)]
struct Shown {
    job_id: String,
    state: JobState,
    operation: Operation,
    created: String,
    started: Option<String>,
    ended: Option<String>,
    /// Place in the queue, from 1.
    position: Option<usize>,
    progress: Progress,
    params: Value,
    images: Vec<Link>,
    error: Option<Failure>,
    warnings: Vec<String>,
    stream_url: String,
}

#[derive(Serialize)]
struct Progress {
    step: usize,
    total: usize,
}

fn shown(job: &Job) -> Shown {
    let status = job.status();
    Shown {
        job_id: job.id.clone(),
        state: status.state,
        operation: job.order.operation,
        created: clock::rfc3339(job.created),
        started: status.started.map(clock::rfc3339),
        ended: status.ended.map(clock::rfc3339),
        position: status.position,
        progress: Progress {
            step: status.steps.0,
            total: status.steps.1,
        },
        params: without_pictures(&job.order.params),
        images: status.images.iter().map(|made| job.link(made)).collect(),
        error: status.failure,
        warnings: status.warnings,
        stream_url: format!("/v1/jobs/{}/stream", job.id),
    }
}

/// The client's own fields, with a placeholder for each uploaded image.
fn without_pictures(params: &Params) -> Value {
    let mut value = json!(params);
    if let Value::Object(fields) = &mut value {
        fields
            .values_mut()
            .filter(|value| **value == PLACE)
            .for_each(|value| *value = json!("(picture)"));
    }
    value
}

/// `POST /v1/jobs`
pub(super) async fn create(State(service): State<Arc<Service>>, request: Request) -> Answer {
    let (mut fields, pictures) = body::order(&service, request).await?;
    let operation = match fields.remove("operation") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(Operation::parse("operation", &name)?),
        Some(_) => return Err(Error::field("operation", "expected text").into()),
    };
    let wish = Wish {
        fields,
        pictures,
        operation,
        api: Api::Jobs,
        attended: false,
    };
    let job = blocking(&service, move |service| service.submit(wish)).await??;
    let stream_url = format!("/v1/jobs/{}/stream", job.id);
    let mut response = json_response(
        StatusCode::ACCEPTED,
        &json!({ "job_id": job.id, "stream_url": stream_url }),
    );
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Query parameters of the job list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    state: Option<String>,
    limit: Option<usize>,
    /// Cursor from the previous page of the list.
    cursor: Option<String>,
}

impl Choice {
    /// URL of the next page, after the job with this number.
    fn next(&self, number: u64) -> String {
        let state = self
            .state
            .as_ref()
            .map(|state| format!("state={state}&"))
            .unwrap_or_default();
        let limit = self
            .limit
            .map(|limit| format!("limit={limit}&"))
            .unwrap_or_default();
        format!("/v1/jobs?{state}{limit}cursor={number}")
    }
}

/// Jobs per page, by default and at most.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1000;

/// `GET /v1/jobs`
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Answer {
    let Query(choice) =
        choice.map_err(|e| Problem::client(StatusCode::UNPROCESSABLE_ENTITY, e.body_text()))?;
    let state = choice
        .state
        .as_deref()
        .map(|name| JobState::parse("state", name))
        .transpose()?;
    let limit = choice.limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(
            Error::expected("limit", format!("a number from 1 to {MOST_LISTED}"), limit).into(),
        );
    }
    let cursor = choice.cursor.as_ref().map(|text| {
        let number: Option<u64> = text.parse().ok();
        number.ok_or_else(|| Error::expected("cursor", "what `next` of a list says", text))
    });
    let cursor = cursor.transpose()?;
    let all = stored(&service, |store| store.all()).await?;
    let is_chosen = |job: &&Arc<Job>| {
        state.is_none_or(|state| job.state() == state)
            && cursor.is_none_or(|cursor| job.number < cursor)
    };
    let mut chosen = all.iter().filter(is_chosen);
    let page: Vec<&Arc<Job>> = chosen.by_ref().take(limit).collect();
    // Job numbers are unique, so jobs that come or go in between do not shift the others.
    let next = page
        .last()
        .filter(|_| chosen.next().is_some())
        .map(|job| choice.next(job.number));
    let jobs: Vec<Shown> = page.into_iter().map(|job| shown(job)).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({ "jobs": jobs, "next": next }),
    ))
}

async fn find(service: &Arc<Service>, id: &str) -> Result<Arc<Job>, Problem> {
    let id = id.to_owned();
    stored(service, move |store| store.get(&id))
        .await?
        .ok_or_else(|| {
            Problem::not_found("job")
                .hint("ended jobs are kept for a while only; GET /v1/jobs lists what is there")
        })
}

/// `GET /v1/jobs/{id}`
pub(super) async fn show(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let job = find(&service, &id).await?;
    Ok(json_response(StatusCode::OK, &json!(shown(&job))))
}

/// `DELETE /v1/jobs/{id}`: stops a job, or deletes an ended one with its images.
pub(super) async fn remove(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let job = find(&service, &id).await?;
    if job.state().is_final() {
        stored(&service, move |store| store.forget(&job)).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    blocking(&service, move |service| service.stop(&job, Halt::Cancel))
        .await?
        .map_err(|e| Problem::of_store(&e))?;
    show(State(service), Path(id)).await
}

/// `GET /v1/jobs/{id}/stream`
pub(super) async fn follow(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let job = find(&service, &id).await?;
    let heard = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    if let (records, false) = job.heard_after(heard)
        && records.is_empty()
    {
        // The client reconnects after the end; only this status stops an EventSource from retrying.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = stream::events(job, service.over.subscribe(), heard).into_response();
    // Proxies that buffer whole responses would delay the events.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// `GET /v1/jobs/{id}/images`
pub(super) async fn images(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let job = find(&service, &id).await?;
    let images: Vec<Link> = job
        .status()
        .images
        .iter()
        .map(|made| job.link(made))
        .collect();
    Ok(json_response(StatusCode::OK, &json!({ "images": images })))
}

/// `GET /v1/jobs/{id}/image`
pub(super) async fn first_image(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Answer {
    picture(service, &id, 0).await
}

/// `GET /v1/jobs/{id}/images/{index}`
pub(super) async fn image(
    State(service): State<Arc<Service>>,
    Path((id, index)): Path<(String, String)>,
) -> Answer {
    let index = index.parse().map_err(|_| Problem::not_found("picture"))?;
    picture(service, &id, index).await
}

async fn picture(service: Arc<Service>, id: &str, index: u64) -> Answer {
    let job = find(&service, id).await?;
    let made = job.status().images.iter().any(|made| made.index == index);
    if !made {
        return Err(Problem::not_found("picture"));
    }
    let bytes = stored(&service, move |store| {
        store.file(&job.id, &picture_of(index))
    })
    .await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("picture"))?;
    Ok(png(bytes))
}

/// `GET /v1/jobs/{id}/latents`
pub(super) async fn latents(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let job = find(&service, &id).await?;
    let bytes = stored(&service, move |store| store.file(&job.id, LATENTS)).await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("file of latents"))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}
