//! Errors as responses: problem details (RFC 9457) with the facts that the command line shows.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::json_response;
use crate::error::{Error, KINDS, Kind};
use crate::serve::failure::Failure;
use crate::serve::job::Status;
use crate::serve::store::{Refusal, Refused};

/// An error with its HTTP status.
#[derive(Debug)]
pub(in crate::serve) struct Problem {
    pub(in crate::serve) status: StatusCode,
    pub(in crate::serve) failure: Box<Failure>,
    /// Further errors of the same request.
    others: Vec<Failure>,
    retry_after: Option<u32>,
}

/// Value of `Retry-After` in seconds, if the queue is full or unreachable.
const RETRY_AFTER: u32 = 5;

impl Problem {
    /// An error with its own HTTP status, beyond those of the engine.
    pub(in crate::serve) fn new(
        status: StatusCode,
        kind: Kind,
        message: impl Into<String>,
    ) -> Self {
        let failure = Box::new(Failure::new(kind, &message.into()));
        Self {
            status,
            failure,
            others: Vec::new(),
            retry_after: None,
        }
    }

    /// An error of the client.
    pub(in crate::serve) fn client(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Kind::Usage, message)
    }

    /// Adds a hint for the client.
    #[must_use]
    pub(in crate::serve) fn hint(mut self, hint: &str) -> Self {
        self.failure.hints.push(hint.to_owned());
        self
    }

    /// Replaces the status.
    #[must_use]
    pub(in crate::serve) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The server cannot do it now, and another try is worth while.
    pub(in crate::serve) fn unavailable(kind: Kind, message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, message);
        Self {
            retry_after: Some(RETRY_AFTER),
            ..problem
        }
    }

    /// The same with another interface's names in place of our own fields'.
    #[must_use]
    pub(in crate::serve) fn with_names(mut self, names: &[(&str, &str)]) -> Self {
        for failure in self.others.iter_mut().chain([&mut *self.failure]) {
            let own = failure.field.as_deref();
            let named = names.iter().find(|(ours, _)| own == Some(*ours));
            if let Some((_, theirs)) = named {
                failure.field = Some((*theirs).to_owned());
            }
        }
        self
    }

    /// Error 404: nothing at this path.
    pub(in crate::serve) fn not_found(what: &str) -> Self {
        Self::client(StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    /// Error of the job store: 503 if it is unreachable, so that clients try again, else 500.
    pub(in crate::serve) fn of_store(error: &Error) -> Self {
        // The error's message contains addresses and folders; it goes to the log only.
        if error.kind() == Kind::Network {
            return Self::unavailable(Kind::Network, "the queue is out of reach")
                .hint("try again in a moment");
        }
        let what = "the server cannot keep its jobs at present";
        if error.kind() == Kind::Output {
            return Self::unavailable(error.kind(), what);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.kind(), what)
    }

    /// Error of a job that failed or was cancelled.
    pub(in crate::serve) fn of_failed(status: &Status) -> Self {
        let failure = status.failure.clone().unwrap_or_else(|| {
            Failure::new(
                Kind::Interrupted,
                "the job was cancelled before it was done",
            )
        });
        // 499 is not a registered status; a client that still listens gets 409 (conflict).
        let code = if failure.status() == 499 {
            409
        } else {
            failure.status()
        };
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            failure: Box::new(failure),
            others: Vec::new(),
            retry_after: None,
        }
    }

    fn title(&self) -> &'static str {
        match KINDS.iter().find(|row| row.name == self.failure.kind) {
            // These say more than the table of exit codes does.
            Some(row) if row.kind != Kind::Usage && row.kind != Kind::Device => row.meaning,
            _ => self.status.canonical_reason().unwrap_or("error"),
        }
    }

    /// The error as a JSON object.
    pub(in crate::serve) fn object(&self) -> Map<String, Value> {
        let Failure {
            kind,
            field,
            message,
            hints,
        } = &*self.failure;
        let mut object = Map::new();
        object.insert("type".to_owned(), json!("about:blank"));
        object.insert("title".to_owned(), json!(self.title()));
        object.insert("status".to_owned(), json!(self.status.as_u16()));
        object.insert("detail".to_owned(), json!(message));
        object.insert("kind".to_owned(), json!(kind));
        object.insert("hints".to_owned(), json!(hints));
        if let Some(field) = field {
            object.insert("field".to_owned(), json!(field));
        }
        if !self.others.is_empty() {
            object.insert("others".to_owned(), json!(self.others));
        }
        object
    }

    /// Response with a body in another format.
    pub(in crate::serve) fn with_body(&self, media_type: &'static str, body: &Value) -> Response {
        let mut response = json_response(self.status, body);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"sdgen\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.with_body("application/problem+json", &Value::Object(self.object()))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.kind().row().http_status);
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            failure: Box::new(Failure::from(&error)),
            others: Vec::new(),
            retry_after: None,
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Wrong(errors) => {
                let mut failures = errors.iter().map(Failure::from);
                let failure = failures
                    .next()
                    .unwrap_or_else(|| Failure::internal("refused without a reason"));
                let (failure, others) = (Box::new(failure), failures.collect());
                Self {
                    status: StatusCode::UNPROCESSABLE_ENTITY,
                    failure,
                    others,
                    retry_after: None,
                }
            }
            Refused::Busy(refusal) => {
                let message = match refusal {
                    Refusal::Full => "every place in the queue is taken",
                    Refusal::Closed => "the server is about to end",
                };
                Self::unavailable(Kind::Device, message)
            }
            Refused::Failed(error) => Self::of_store(&error),
        }
    }
}
