//! Routes of the server, and the middleware around them.

mod jobs;
mod openapi;
mod status;
mod ui;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::serve::compat::openai::{OpenAiError, is_openai_path};
use crate::serve::compat::{a1111, openai};
use crate::serve::http::responses::Problem;
use crate::serve::http::{listen, middleware};
use crate::serve::service::Service;

/// Serves requests until the server shuts down.
pub(crate) async fn serve(
    service: Arc<Service>,
    listener: std::net::TcpListener,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let shutdown = service.shutdown.subscribe();
    listen::serve_connections(listener, router(service), shutdown).await;
    Ok(())
}

fn router(service: Arc<Service>) -> Router {
    let access = middleware::AccessCheck {
        service: Arc::clone(&service),
        error_response,
        is_public_path,
    };
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
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/{id}", get(jobs::status).delete(jobs::delete))
        .route("/v1/jobs/{id}/stream", get(jobs::subscribe))
        .route("/v1/jobs/{id}/image", get(jobs::first_image))
        .route("/v1/jobs/{id}/images", get(jobs::list_images))
        .route("/v1/jobs/{id}/latents", get(jobs::latents))
        .route("/v1/jobs/{id}/images/{index}", get(jobs::image))
        .route("/v1/images/generations", post(openai::generations))
        .route("/v1/images/edits", post(openai::edits))
        .route(
            &format!("{}/{{id}}/{{key}}/{{file}}", openai::IMAGE_LINKS),
            get(openai::file),
        )
        .nest("/sdapi/v1", a1111::routes())
        .fallback(async |uri: Uri| error_response(&uri, Problem::not_found("page")))
        .method_not_allowed_fallback(async |uri: Uri| {
            let message = "this path does not take that method";
            let problem = Problem::client(StatusCode::METHOD_NOT_ALLOWED, message);
            error_response(&uri, problem)
        })
        // Bodies are read by `http::body`, which has its own limits.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(access, middleware::check_access))
        .layer(from_fn_with_state(
            Arc::clone(&service),
            middleware::log_request,
        ))
        .with_state(service)
}

/// Error in the format of the API that the path belongs to.
fn error_response(uri: &Uri, problem: Problem) -> Response {
    if is_openai_path(uri.path()) {
        return OpenAiError(problem).into_response();
    }
    problem.into_response()
}

/// Returns true for paths that need no token: the page, the state of the server, its OpenAPI
/// description, and image links, which contain a key.
fn is_public_path(path: &str) -> bool {
    let is_below = |dir: &str| {
        let rest = path.strip_prefix(dir);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    ["/", "/health", "/ready", "/openapi.json"].contains(&path)
        || is_below("/assets")
        || is_below(openai::IMAGE_LINKS)
}
