//! Errors of requests to the hub: which of them are retried, and their explanation for the user.

use std::time::Duration;

use ureq::http::HeaderMap;

use super::cache::Repository;
use crate::error::{Error, Kind};

/// Pauses before the attempts after the first.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// Longest pause that a hub may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// An error of a request to the hub.
#[derive(Debug)]
pub(super) enum HubError {
    /// A status code that is an error.
    Status {
        status: u16,
        /// The hub's name for the error, such as `GatedRepo` (`X-Error-Code`).
        code: String,
        /// Pause that the hub asks for (`Retry-After`).
        wait: Option<Duration>,
        /// True if the hub itself answered, and not the host that stores the files.
        by_hub: bool,
    },
    /// No answer, or one that broke off.
    Transport(ureq::Error),
    /// The answer is not that of a hub.
    NotAHub,
}

impl From<ureq::Error> for HubError {
    fn from(error: ureq::Error) -> Self {
        Self::Transport(error)
    }
}

impl From<std::io::Error> for HubError {
    fn from(error: std::io::Error) -> Self {
        Self::Transport(ureq::Error::Io(error))
    }
}

impl HubError {
    /// The error of an answer with this status.
    pub(super) fn from_status(status: u16, headers: &HeaderMap, by_hub: bool) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let code = text("x-error-code").unwrap_or_default().to_owned();
        let wait = text("retry-after")
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        Self::Status {
            status,
            code,
            wait,
            by_hub,
        }
    }

    /// Pause before retry `tries` + 1; `None` if the error is permanent or no retries are left.
    pub(super) fn retry_pause(&self, tries: usize) -> Option<Duration> {
        let is_transient = match self {
            Self::Status { status, .. } => matches!(status, 408 | 416 | 425 | 429 | 500..=599),
            Self::Transport(error) => !matches!(
                error,
                ureq::Error::BadUri(_)
                    | ureq::Error::Http(_)
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::TooManyRedirects
            ),
            Self::NotAHub => false,
        };
        let pause = *PAUSES.get(tries).filter(|_| is_transient)?;
        match self {
            Self::Status {
                wait: Some(wait), ..
            } => Some((*wait).clamp(pause, MAX_PAUSE)),
            Self::Status { .. } | Self::Transport(_) | Self::NotAHub => Some(pause),
        }
    }

    /// Returns true if the repository exists and the revision does not.
    pub(super) fn is_unknown_revision(&self) -> bool {
        matches!(self, Self::Status { status: 404, code, .. } if code == "RevisionNotFound")
    }

    /// Returns true if the hub refuses the token.
    pub(super) fn is_refused_token(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 401,
                by_hub: true,
                ..
            }
        )
    }

    /// The error in a few words.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Status { status: 429, .. } => "the hub asks for patience (status 429)".to_owned(),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Transport(error) => error.to_string(),
            Self::NotAHub => "no hub answers there".to_owned(),
        }
    }

    /// Error for the user about `file` of a repository, or about the repository if `file` is empty.
    /// A client without a token gets 401 for a mistyped, a removed and a private repository alike,
    /// so all three are named unless the hub is clearer.
    pub(super) fn explain(
        &self,
        endpoint: &str,
        has_token: bool,
        repository: &Repository,
        file: &str,
    ) -> Error {
        let Repository { id, revision } = repository;
        let of = if file.is_empty() {
            String::new()
        } else {
            format!("`{file}` of ")
        };
        let what = format!("{of}`{id}@{revision}`");
        let page = format!("{endpoint}/{id}");
        let error =
            |kind: Kind, words: &str| Error::new(kind, format!("{endpoint}: {words} {what}"));
        let Self::Status {
            status,
            code,
            by_hub,
            ..
        } = self
        else {
            return Error::new(Kind::Network, format!("cannot fetch {what} from {endpoint}: {}", self.summary()))
                .hint(
                    "check the connection (`sdgen doctor`); what arrived is kept and the download resumes",
                );
        };
        match (*status, code.as_str()) {
            (401 | 403, _) if !by_hub => {
                error(Kind::Network, &format!("the host behind it says {status} for"))
                    .hint("the link to the file has run out or a proxy stands between; run again")
            }
            (401 | 403, "GatedRepo") => error(Kind::Network, "access is gated to").hint(access_hint(has_token, &page)),
            (404, "RevisionNotFound") => error(Kind::ModelNotFound, "there is no such revision as")
                .hint(format!("its branches, tags and commits: {page}/commits")),
            (404, "EntryNotFound") => error(Kind::ModelNotFound, "there is no"),
            (401, _) if !has_token => error(Kind::ModelNotFound, "no anonymous access to")
                .hint("the repository is mistyped, was removed, is private, or is gated")
                .hint(format!("if it is private or gated: open {page}, accept its terms, and set HF_TOKEN")),
            (401, _) => error(Kind::Network, "the token was refused for").hint(
                "is HF_TOKEN (or the token file) still valid? the repository may also be mistyped or removed",
            ),
            (403, _) => error(Kind::Network, "access refused to")
                .hint(format!("the repository is private or gated: {}", access_hint(has_token, &page))),
            (404, _) => error(Kind::ModelNotFound, "there is no")
                .hint("the repository or its revision is mistyped, or it was removed")
                .hint(if has_token {
                    "if it is private: does the token belong to somebody who may read it?"
                } else {
                    "if it is private: set HF_TOKEN"
                }),
            (status, _) => error(Kind::Network, &format!("status {status} for"))
                .hint("the hub may be busy or down; try again later, or set HF_ENDPOINT to a mirror"),
        }
    }
}

/// Hint about access to a gated repository.
fn access_hint(has_token: bool, page: &str) -> String {
    let token = if has_token {
        "with the account of your token"
    } else {
        "and set HF_TOKEN"
    };
    format!("open {page}, accept its terms {token}, and run again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, wait: Option<u64>) -> HubError {
        HubError::Status {
            status,
            code: String::new(),
            wait: wait.map(Duration::from_secs),
            by_hub: true,
        }
    }

    #[test]
    fn only_what_can_pass_is_tried_again_and_the_hub_says_when() {
        for status in [401, 403, 404] {
            assert_eq!(refused(status, None).retry_pause(0), None, "{status}");
        }
        assert_eq!(refused(500, None).retry_pause(0), Some(PAUSES[0]));
        assert_eq!(refused(500, None).retry_pause(PAUSES.len()), None);
        assert_eq!(
            refused(429, Some(7)).retry_pause(0),
            Some(Duration::from_secs(7))
        );
        assert_eq!(refused(429, Some(0)).retry_pause(1), Some(PAUSES[1]));
        assert_eq!(
            refused(429, Some(1_000_000)).retry_pause(0),
            Some(MAX_PAUSE)
        );
        assert_eq!(
            HubError::Transport(ureq::Error::HostNotFound).retry_pause(0),
            Some(PAUSES[0])
        );
        assert_eq!(HubError::NotAHub.retry_pause(0), None);
    }
}
