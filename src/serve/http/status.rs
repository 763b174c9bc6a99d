//! State of the server: health, readiness, models, samplers, metrics, OpenAPI description.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Answer, blocking, json_response, stored};
use crate::named_enum::Named;
use crate::schedulers::{SAMPLERS, Schedule, Spacing};
use crate::serve::store::{Count, Store};
use crate::serve::{Service, clock, openai, openapi};

/// `GET /health`
pub(super) async fn health() -> Response {
    let now = clock::rfc3339(SystemTime::now());
    json_response(
        StatusCode::OK,
        &json!({ "status": "healthy", "timestamp": now }),
    )
}

/// Timeout of a query of the queue for readiness and metrics.
const PROMPT: Duration = Duration::from_millis(700);

/// Number of jobs; `None` if the queue does not answer in time. Only one request at a time queries
/// the queue, so that a query that hangs blocks a single thread.
async fn count(service: &Arc<Service>) -> Option<Count> {
    let ask = async {
        let turn = Arc::clone(&service.counting).lock_owned().await;
        let count = move |store: &dyn Store| {
            let count = store.count();
            drop(turn);
            count
        };
        stored(service, count).await.ok()
    };
    tokio::time::timeout(PROMPT, ask).await.ok().flatten()
}

/// `GET /ready`
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let count = count(&service).await;
    let reason = match &count {
        _ if service.store.is_closed() => Some("draining"),
        None => Some("queue out of reach"),
        Some(count) if count.unwritten > 0 => Some("no room to keep jobs"),
        _ if service.loading.load(Ordering::Relaxed) => Some("model loading"),
        Some(_) => (!service.missing().is_empty()).then_some("model not fetched yet"),
    };
    let status = if reason.is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut value =
        json!({ "ready": reason.is_none(), "timestamp": clock::rfc3339(SystemTime::now()) });
    if let Some(reason) = reason {
        value["reason"] = json!(reason);
    }
    if let Some(count) = count {
        value["queued"] = json!(count.queued);
    }
    json_response(status, &value)
}

/// `GET /metrics`
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let count = count(&service).await;
    let text = service.metrics.text(count.as_ref());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> Response {
    json_response(StatusCode::OK, &openapi::document())
}

/// `GET /v1/models`, in the form of OpenAI's list with additional facts about each model.
pub(super) async fn models(State(service): State<Arc<Service>>) -> Answer {
    let shown = blocking(&service, |service| service.catalog.shown(&service.hub)).await?;
    let models: Vec<Value> = shown.iter().map(openai::listed).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({ "object": "list", "data": models }),
    ))
}

/// `GET /v1/samplers`
pub(super) async fn samplers() -> Response {
    let samplers: Vec<Value> = SAMPLERS
        .iter()
        .map(|row| json!({ "name": row.name, "about": row.about }))
        .collect();
    let value = json!({
        "samplers": samplers,
        "schedules": names::<Schedule>(),
        "timestep_spacings": names::<Spacing>(),
    });
    json_response(StatusCode::OK, &value)
}

fn names<T: Named>() -> Vec<&'static str> {
    T::ALL.iter().map(|row| row.1).collect()
}
