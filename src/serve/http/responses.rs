//! Responses: images, JSON, and errors as problem details (RFC 9457) with the facts that the
//! command line prints.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::{Error, KINDS, Kind, Result};
use crate::serve::failure::Failure;
use crate::serve::job::Status;
use crate::serve::service::Service;
use crate::serve::store::{QueueError, Store, SubmitError};

/// Result of a handler.
pub(crate) type HandlerResult = Result<Response, Problem>;

/// Renderer of errors in the format of the API that a path belongs to.
pub(crate) type ErrorFormat = fn(&Uri, Problem) -> Response;

/// Response with a finished image.
pub(crate) fn image_response(bytes: Vec<u8>) -> Response {
    let cached = (header::CACHE_CONTROL, "private, max-age=3600, immutable");
    let media_type = (header::CONTENT_TYPE, crate::output::encode::DEFAULT.mime);
    ([media_type, cached], bytes).into_response()
}

/// Response with a JSON body.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        // The status of a job may change at any time.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, value.to_string()).into_response()
}

/// Runs blocking work outside the threads that serve requests.
pub(crate) async fn run_blocking<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Arc<Service>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let service = Arc::clone(service);
    let done = tokio::task::spawn_blocking(move || work(&service)).await;
    done.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Internal,
            "the server panicked while handling this request",
        )
    })
}

/// Queries the job store; logs its errors.
pub(crate) async fn query_store<T: Send + 'static>(
    service: &Arc<Service>,
    query: impl FnOnce(&dyn Store) -> Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let result = run_blocking(service, move |service| {
        query(&*service.store).inspect_err(|error| (service.log)(&format!("the store: {error}")))
    });
    result.await?.map_err(|error| Problem::of_storage(&error))
}

/// An error with its HTTP status.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) failure: Box<Failure>,
    /// Further errors of the same request.
    others: Vec<Failure>,
    retry_after: Option<u32>,
}

/// Value of `Retry-After` in seconds, if the queue is full or unreachable.
const RETRY_AFTER: u32 = 5;

impl Problem {
    fn from_failure(status: StatusCode, failure: Failure) -> Self {
        Self {
            status,
            failure: Box::new(failure),
            others: Vec::new(),
            retry_after: None,
        }
    }

    /// An error with its own HTTP status, beyond those of the engine.
    pub(crate) fn new(status: StatusCode, kind: Kind, message: impl Into<String>) -> Self {
        Self::from_failure(status, Failure::new(kind, &message.into()))
    }

    /// An error of the client.
    pub(crate) fn client(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Kind::Usage, message)
    }

    /// Adds a hint for the client.
    #[must_use]
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.failure.hints.push(hint.to_owned());
        self
    }

    /// Replaces the status.
    #[must_use]
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Error 503 with `Retry-After`.
    pub(crate) fn unavailable(kind: Kind, message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, message);
        Self {
            retry_after: Some(RETRY_AFTER),
            ..problem
        }
    }

    /// Replaces our field names by those of another API.
    #[must_use]
    pub(crate) fn rename_fields(mut self, names: &[(&str, &str)]) -> Self {
        for failure in self.others.iter_mut().chain([&mut *self.failure]) {
            let field = failure.field.as_deref();
            if let Some((_, theirs)) = names.iter().find(|(ours, _)| field == Some(*ours)) {
                failure.field = Some((*theirs).to_owned());
            }
        }
        self
    }

    /// Error 404.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::client(StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    /// Error of the job store: 503 if it is unreachable, so that clients try again, else 500.
    pub(crate) fn of_storage(error: &Error) -> Self {
        // The error's message contains addresses and folders; it goes to the log only.
        if error.kind() == Kind::Network {
            return Self::unavailable(Kind::Network, "the queue is out of reach")
                .hint("try again in a moment");
        }
        let message = "the server cannot store jobs at present";
        if error.kind() == Kind::Output {
            return Self::unavailable(error.kind(), message);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.kind(), message)
    }

    /// Error of a job that failed or was cancelled.
    pub(crate) fn of_job(status: &Status) -> Self {
        let failure = status.failure.clone().unwrap_or_else(|| {
            Failure::new(
                Kind::Interrupted,
                "the job was cancelled before it was done",
            )
        });
        // 499 is not a registered status; a client that still listens gets 409 (conflict).
        let status = match failure.status() {
            499 => StatusCode::CONFLICT,
            code => status_code(code),
        };
        Self::from_failure(status, failure)
    }

    fn title(&self) -> &'static str {
        match KINDS.iter().find(|row| row.name == self.failure.kind) {
            Some(row) if row.kind != Kind::Usage && row.kind != Kind::Device => row.meaning,
            // For the others, the reason phrase of the status says more.
            _ => self.status.canonical_reason().unwrap_or("error"),
        }
    }

    /// Response with a body in the format of another API.
    pub(crate) fn with_body(&self, media_type: &'static str, body: &Value) -> Response {
        let mut response = json_response(self.status, body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"sdgen\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn status_code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let failure = &*self.failure;
        let mut body = json!({
            "type": "about:blank",
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": failure.message,
            "kind": failure.kind,
            "hints": failure.hints,
        });
        if let Some(field) = &failure.field {
            body["field"] = json!(field);
        }
        if !self.others.is_empty() {
            body["others"] = json!(self.others);
        }
        self.with_body("application/problem+json", &body)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status_code(error.kind().row().http_status);
        Self::from_failure(status, Failure::from(&error))
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid(errors) => {
                let mut failures = errors.iter().map(Failure::from);
                let first = failures
                    .next()
                    .unwrap_or_else(|| Failure::internal("refused without a reason"));
                Self {
                    others: failures.collect(),
                    ..Self::from_failure(StatusCode::UNPROCESSABLE_ENTITY, first)
                }
            }
            SubmitError::Queue(QueueError::Full) => {
                Self::unavailable(Kind::Device, "the queue is full")
            }
            SubmitError::Queue(QueueError::Closed) => {
                Self::unavailable(Kind::Device, "the server is shutting down")
            }
            SubmitError::Storage(error) => Self::of_storage(&error),
        }
    }
}
