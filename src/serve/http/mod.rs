//! HTTP: routes and middleware. The handlers are in the modules next to this one.

pub(super) mod attend;
pub(super) mod body;
mod guard;
mod jobs;
mod listen;
pub(super) mod problem;
mod status;
mod stream;
mod ui;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use self::problem::Problem;
use super::store::Store;
use super::{Service, a1111, openai};
use crate::error::{Kind, Result};

/// Result of a handler.
pub(super) type Answer = Result<Response, Problem>;

/// Serves requests until the server shuts down.
pub(super) async fn serve(
    service: Arc<Service>,
    listener: std::net::TcpListener,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let over = service.over.subscribe();
    listen::answer(listener, router(service), over).await;
    Ok(())
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(ui::page))
        .route("/assets/{file}", get(ui::asset))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/openapi.json", get(status::openapi))
        .route("/v1/models", get(status::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route("/v1/samplers", get(status::samplers))
        .route("/v1/jobs", get(jobs::list).post(jobs::create))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::remove))
        .route("/v1/jobs/{id}/stream", get(jobs::follow))
        .route("/v1/jobs/{id}/image", get(jobs::first_image))
        .route("/v1/jobs/{id}/images", get(jobs::images))
        .route("/v1/jobs/{id}/latents", get(jobs::latents))
        .route("/v1/jobs/{id}/images/{index}", get(jobs::image))
        .route("/v1/images/generations", post(openai::generations))
        .route("/v1/images/edits", post(openai::edits))
        .route(
            &format!("{}/{{id}}/{{key}}/{{file}}", openai::LINKS),
            get(openai::file),
        )
        .nest("/sdapi/v1", a1111::routes())
        .fallback(async |uri: Uri| told(&uri, Problem::not_found("page")))
        .method_not_allowed_fallback(async |uri: Uri| {
            let message = "this path does not take that method";
            told(
                &uri,
                Problem::client(StatusCode::METHOD_NOT_ALLOWED, message),
            )
        })
        // Bodies are read by `body`, which has its own limits.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&service), guard::admit))
        .layer(from_fn_with_state(Arc::clone(&service), guard::watch))
        .with_state(service)
}

/// An error in the form that the clients of its path read.
fn told(uri: &Uri, problem: Problem) -> Response {
    match openai::is_path(uri.path()) {
        true => openai::Failed(problem).into_response(),
        false => problem.into_response(),
    }
}

/// Response with a finished image.
pub(super) fn png(bytes: Vec<u8>) -> Response {
    let fresh = (header::CACHE_CONTROL, "private, max-age=3600, immutable");
    let kind = (header::CONTENT_TYPE, crate::output::encode::DEFAULT.mime);
    ([kind, fresh], bytes).into_response()
}

/// Response with a JSON body.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let kind = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    // The status of a job is stale at once.
    let fresh = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (status, [kind, fresh], value.to_string()).into_response()
}

/// Runs file-bound work outside the threads that serve requests.
pub(super) async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Arc<Service>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let service = Arc::clone(service);
    let done = tokio::task::spawn_blocking(move || work(&service)).await;
    done.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Internal,
            "the server broke down over this request",
        )
    })
}

/// Queries the job store; logs its errors.
pub(super) async fn stored<T: Send + 'static>(
    service: &Arc<Service>,
    ask: impl FnOnce(&dyn Store) -> Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let asked = blocking(service, move |service| {
        ask(&*service.store).inspect_err(|error| (service.log)(&format!("the store: {error}")))
    });
    asked.await?.map_err(|error| Problem::of_store(&error))
}
