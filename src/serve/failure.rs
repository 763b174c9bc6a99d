//! Why a job failed, as it is told and kept.

use serde::{Deserialize, Serialize};

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

    /// The HTTP status of the same failure.
    pub(super) fn status(&self) -> u16 {
        KINDS.iter().find(|row| row.name == self.kind).map_or(500, |row| row.http_status)
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
            message: whole.strip_prefix(&prefix).unwrap_or(&whole).to_owned(),
            hints: error.hints().to_vec(),
        }
    }
}
