//! State of the server: health, readiness, models, samplers, metrics, OpenAPI description.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::openapi::openapi_document;
use crate::schedulers::{SAMPLERS, Schedule, Spacing};
use crate::serve::compat::openai::model_object;
use crate::serve::http::responses::{HandlerResult, json_response, query_store, run_blocking};
use crate::serve::schema::names_of;
use crate::serve::service::Service;
use crate::serve::store::{JobCounts, Store};
use crate::serve::timestamp::rfc3339;

/// `GET /health`
pub(super) async fn health() -> Response {
    let body = json!({ "status": "healthy", "timestamp": rfc3339(SystemTime::now()) });
    json_response(StatusCode::OK, &body)
}

/// Timeout of a query of the queue for readiness and metrics.
const QUERY_TIMEOUT: Duration = Duration::from_millis(700);

/// Number of jobs; `None` if the queue does not answer in time. Only one request at a time queries
/// the queue, so that a query that hangs blocks a single thread.
async fn query_counts(service: &Arc<Service>) -> Option<JobCounts> {
    let query = async {
        let guard = Arc::clone(&service.counting).lock_owned().await;
        let count = move |store: &dyn Store| {
            let counts = store.counts();
            drop(guard);
            counts
        };
        query_store(service, count).await.ok()
    };
    tokio::time::timeout(QUERY_TIMEOUT, query).await.ok()?
}

/// `GET /ready`
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let counts = query_counts(&service).await;
    let reason = match &counts {
        _ if service.store.is_closed() => Some("draining"),
        None => Some("queue out of reach"),
        Some(counts) if counts.unwritten > 0 => Some("no room to keep jobs"),
        _ if service.loading.load(Ordering::Relaxed) => Some("model loading"),
        _ if !service.missing_models.is_empty() => Some("model not fetched yet"),
        Some(_) => None,
    };
    let timestamp = rfc3339(SystemTime::now());
    let mut body = json!({ "ready": reason.is_none(), "timestamp": timestamp });
    let mut status = StatusCode::OK;
    if let Some(reason) = reason {
        status = StatusCode::SERVICE_UNAVAILABLE;
        body["reason"] = json!(reason);
    }
    if let Some(counts) = counts {
        body["queued"] = json!(counts.queued);
    }
    json_response(status, &body)
}

/// `GET /metrics`
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> HandlerResult {
    let counts = query_counts(&service).await;
    let text = service.metrics.render(counts.as_ref())?;
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> Response {
    json_response(StatusCode::OK, &openapi_document())
}

/// `GET /v1/models`, in the format of OpenAI's list with additional facts about each model.
pub(super) async fn models(State(service): State<Arc<Service>>) -> HandlerResult {
    let models = run_blocking(&service, |service| {
        service.catalog.model_infos(&service.hub)
    })
    .await?;
    let models: Vec<Value> = models.iter().map(model_object).collect();
    let body = json!({ "object": "list", "data": models });
    Ok(json_response(StatusCode::OK, &body))
}

/// `GET /v1/samplers`
pub(super) async fn samplers() -> Response {
    let samplers: Vec<Value> = SAMPLERS
        .iter()
        .map(|row| json!({ "name": row.name, "about": row.about }))
        .collect();
    let body = json!({
        "samplers": samplers,
        "schedules": names_of::<Schedule>(),
        "timestep_spacings": names_of::<Spacing>(),
    });
    json_response(StatusCode::OK, &body)
}
