//! Why a job failed, as it is told and kept.

use serde::{Deserialize, Serialize};

use super::words::{self, Secrets};
use crate::error::{Error, KINDS, Kind};

/// A job is begun this often; one that took the process down each time is not begun again.
pub(super) const ATTEMPTS: u32 = 3;

/// Why a job failed, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) field: Option<String>,
    pub(super) message: String,
    pub(super) hints: Vec<String>,
}

impl Failure {
    /// Of a job that took the process down each time.
    pub(super) fn worn_out() -> Self {
        let message = format!("the server ended {ATTEMPTS} times while it drew this");
        Self::new(Kind::Internal, &message)
    }

    /// A failure that is this program's own fault.
    pub(super) fn internal(message: &str) -> Self {
        Self::from(&Error::internal(message))
    }

    /// Of a kind, in a few words.
    pub(super) fn new(kind: Kind, message: &str) -> Self {
        Self::from(&Error::new(kind, message))
    }

    /// As clients hear of an error that may tell of this server: without its paths.
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

    /// The HTTP status of the same failure.
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
