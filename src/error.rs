//! The error type of the crate: what went wrong, in which field or file, and what to do about it.
//! Rendering (colours, JSON, HTTP bodies) is left to the front ends; exit codes are defined only
//! here.

use std::fmt;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kind of a failure. Decides the exit code and the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bug in this program.
    Internal,
    /// The caller asked for something impossible.
    Usage,
    /// The model is neither on disk nor on the hub.
    ModelNotFound,
    /// The network failed, or access was refused.
    Network,
    /// A file of the model cannot be read or does not fit.
    ModelFile,
    /// The device is missing, or memory ran out.
    Device,
    /// The image is invalid: NaN or flat.
    InvalidImage,
    /// The output cannot be written.
    Output,
    /// Some jobs of a batch failed.
    Batch,
    /// A replayed image differs from the original.
    Different,
    /// The user stopped the run.
    Interrupted,
}

/// One row of the table that the README and `--help` print.
pub struct KindRow {
    /// The kind that the row describes.
    pub kind: Kind,
    /// Stable name, used in JSON events.
    pub name: &'static str,
    /// Process exit code.
    pub exit_code: u8,
    /// HTTP status of the same failure in the server.
    pub http_status: u16,
    /// One phrase for people.
    pub meaning: &'static str,
}

const fn row(
    kind: Kind,
    name: &'static str,
    exit_code: u8,
    http_status: u16,
    meaning: &'static str,
) -> KindRow {
    KindRow {
        kind,
        name,
        exit_code,
        http_status,
        meaning,
    }
}

/// Every kind with its exit code; code 0 (success) has no row.
pub const KINDS: &[KindRow] = &[
    row(Kind::Internal, "internal", 1, 500, "internal error"),
    row(Kind::Usage, "usage", 2, 422, "wrong flag, field or value"),
    row(
        Kind::ModelNotFound,
        "model-not-found",
        3,
        404,
        "model not found",
    ),
    row(
        Kind::Network,
        "network",
        4,
        502,
        "network failure or access refused",
    ),
    row(Kind::ModelFile, "model-file", 5, 500, "bad model file"),
    row(
        Kind::Device,
        "device",
        6,
        503,
        "device missing or out of memory",
    ),
    row(
        Kind::InvalidImage,
        "invalid-image",
        7,
        500,
        "invalid image (NaN or flat)",
    ),
    row(Kind::Output, "output", 8, 500, "output cannot be written"),
    row(Kind::Batch, "batch", 9, 500, "part of a batch failed"),
    row(
        Kind::Different,
        "different",
        10,
        500,
        "a replayed picture differs",
    ),
    row(Kind::Interrupted, "interrupted", 130, 499, "interrupted"),
];

impl Kind {
    /// The kind's row in [`KINDS`].
    pub fn row(self) -> &'static KindRow {
        KINDS
            .iter()
            .find(|row| row.kind == self)
            .unwrap_or(&KINDS[0])
    }
}

/// A failure with its facts.
///
/// `Display` prints one line in lower case without hints; [`Error::hints`] and
/// [`Error::field`] are for the front end to render in its own way.
pub struct Error(Box<Facts>);

struct Facts {
    kind: Kind,
    field: Option<String>,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message in lower case, values in backticks, no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            field: None,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }))
    }

    /// A bug: an invariant of this program does not hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message).hint("this is a bug in sdgen; please report it")
    }

    /// A wrong value in a request; `field` is the snake_case name of the [`crate::params::Params`]
    /// field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::Usage, message);
        error.0.field = Some(field.to_owned());
        error
    }

    /// A wrong value with what was expected and what was found.
    pub fn expected(field: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::field(field, format!("expected {expected}, got `{got}`"))
    }

    /// An unknown name, with the closest known one as a hint.
    pub fn unknown<'a>(
        field: &str,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let error = Self::field(field, format!("unknown {what} `{name}`"));
        match closest(name, &known) {
            Some(near) => error.hint(format!(
                "did you mean `{near}`? known: {}",
                known.join(", ")
            )),
            None => error.hint(format!("known: {}", known.join(", "))),
        }
    }

    /// The same error with one more hint: what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The same error with the lower-level error that caused it.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with `context: ` before its message (a file and line of a batch, say).
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The kind, and through it the exit code.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The snake_case request field that is wrong, if it is one field's fault.
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The message without field and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Hints for the user, most useful first.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.0.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        self.0
            .hints
            .iter()
            .try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// The known name most similar to `name`, if it is similar enough to be a typing error.
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name, &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_exit_code_and_name() {
        let mut codes: Vec<u8> = KINDS.iter().map(|row| row.exit_code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]);
        assert!(KINDS.iter().all(|row| row.kind.row().name == row.name));
    }

    #[test]
    fn a_typo_finds_the_nearest_name_and_nonsense_finds_none() {
        let known = ["euler", "euler_a", "dpmpp_2m"];
        assert_eq!(closest("eulr", &known), Some("euler"));
        assert_eq!(closest("DPMpp_2", &known), Some("dpmpp_2m"));
        assert_eq!(closest("xyzzy", &known), None);
    }

    #[test]
    fn the_message_names_field_expectation_and_value() {
        let error = Error::expected("width", "a multiple of 8", 513).hint("nearest: 512");
        assert_eq!(
            error.to_string(),
            "width: expected a multiple of 8, got `513`"
        );
        assert_eq!(error.hints(), ["nearest: 512"]);
        assert_eq!(error.kind().row().exit_code, 2);
    }
}
