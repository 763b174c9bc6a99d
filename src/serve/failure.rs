//! Failure of a job, as it is stored and reported.

use serde::{Deserialize, Serialize};

use super::words::{self, Secrets};
use crate::error::{Error, KINDS, Kind};

/// Maximum number of attempts at a job that takes the process down each time.
pub(super) const ATTEMPTS: u32 = 3;

/// Reason of a failed job, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) field: Option<String>,
    pub(super) message: String,
    pub(super) hints: Vec<String>,
}

impl Failure {
    /// Failure of a job that took the process down at each attempt.
    pub(super) fn worn_out() -> Self {
        let message = format!("the server ended {ATTEMPTS} times while it drew this");
        Self::new(Kind::Internal, &message)
    }

    /// An internal error of this program.
    pub(super) fn internal(message: &str) -> Self {
        Self::from(&Error::internal(message))
    }

    /// A failure of a kind, with a short message.
    pub(super) fn new(kind: Kind, message: &str) -> Self {
        Self::from(&Error::new(kind, message))
    }

    /// Failure from an error whose text may contain paths of this server, without those paths.
    pub(super) fn public(error: &Error, secrets: &Secrets) -> Self {
        let failure = Self::from(error);
        let is_open = |hint: &String| {
            !secrets
                .iter()
                .any(|(path, name)| name.is_empty() && hint.contains(path))
        };
        Self {
            message: words::bare(&failure.message, secrets),
            hints: failure
                .hints
                .iter()
                .filter(|hint| is_open(hint))
                .map(|hint| words::bare(hint, secrets))
                .collect(),
            ..failure
        }
    }

    /// HTTP status of the failure.
    pub(super) fn status(&self) -> u16 {
        KINDS
            .iter()
            .find(|row| row.name == self.kind)
            .map_or(500, |row| row.http_status)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let field = error.field_name();
        let whole = error.to_string();
        let prefix = field.map(|field| format!("{field}: ")).unwrap_or_default();
        Self {
            kind: error.kind().row().name.to_owned(),
            field: field.map(str::to_owned),
            message: words::in_fields(whole.strip_prefix(&prefix).unwrap_or(&whole)),
            hints: error
                .hints()
                .iter()
                .filter_map(|hint| words::advice(hint))
                .collect(),
        }
    }
}
