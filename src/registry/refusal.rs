//! Failures of requests to the hub: those that pass by waiting, and explanations of the others.

use std::time::Duration;

use ureq::http::HeaderMap;

use super::cache::Source;
use super::remote::Remote;
use crate::error::{Error, Kind};

/// Pauses before the attempts after the first.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// Longest pause that a hub may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// A failure on the way to the hub or at it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The answer is a refusal.
    Status {
        status: u16,
        /// The hub's own word for it, such as `GatedRepo`.
        code: String,
        /// Pause that the hub asks for (`Retry-After`).
        wait: Option<Duration>,
        /// True if the hub itself answered, and not the host that stores the files.
        by_hub: bool,
    },
    /// No answer, or one that broke off.
    Wire(ureq::Error),
    /// The answer is not that of a hub.
    NoHub,
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Wire(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(ureq::Error::Io(error))
    }
}

impl Failure {
    /// The refusal that an answer is.
    pub(super) fn status(status: u16, headers: &HeaderMap, by_hub: bool) -> Self {
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

    /// Pause before retry `tries` + 1; `None` if waiting does not help or all retries are used up.
    pub(super) fn pause(&self, tries: usize) -> Option<Duration> {
        let passes = match self {
            Self::Status { status, .. } => matches!(status, 408 | 416 | 425 | 429 | 500..=599),
            Self::Wire(error) => !matches!(
                error,
                ureq::Error::BadUri(_)
                    | ureq::Error::Http(_)
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::TooManyRedirects
            ),
            Self::NoHub => false,
        };
        let pause = *PAUSES.get(tries).filter(|_| passes)?;
        match self {
            Self::Status {
                wait: Some(wait), ..
            } => Some((*wait).clamp(pause, MAX_PAUSE)),
            Self::Status { .. } | Self::Wire(_) | Self::NoHub => Some(pause),
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

    /// In a few words.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Status { status: 429, .. } => "the hub asks for patience (status 429)".to_owned(),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Wire(error) => error.to_string(),
            Self::NoHub => "no hub answers there".to_owned(),
        }
    }

    /// The failure to get `file` of `source` (all of it when empty) for the user. A client without
    /// a token gets 401 for a mistyped, a removed and a private repository alike, so all three are
    /// named unless the hub is clearer.
    pub(super) fn explained(&self, remote: &Remote, source: &Source, file: &str) -> Error {
        let Source { id, revision } = source;
        let of = if file.is_empty() {
            String::new()
        } else {
            format!("`{file}` of ")
        };
        let what = format!("{of}`{id}@{revision}`");
        let hub = remote.endpoint();
        let page = format!("{hub}/{id}");
        let said = |kind: Kind, words: &str| Error::new(kind, format!("{hub}: {words} {what}"));
        let Self::Status {
            status,
            code,
            by_hub,
            ..
        } = self
        else {
            return Error::new(Kind::Network, format!("cannot fetch {what} from {hub}: {}", self.brief()))
                .hint(
                    "check the connection (`sdgen doctor`); what arrived is kept and the download resumes",
                );
        };
        match (*status, code.as_str()) {
            (401 | 403, _) if !by_hub => {
                said(Kind::Network, &format!("the host behind it says {status} for"))
                    .hint("the link to the file has run out or a proxy stands between; run again")
            }
            (401 | 403, "GatedRepo") => said(Kind::Network, "access is gated to").hint(gate(remote, &page)),
            (404, "RevisionNotFound") => said(Kind::ModelNotFound, "there is no such revision as")
                .hint(format!("its branches, tags and commits: {page}/commits")),
            (404, "EntryNotFound") => said(Kind::ModelNotFound, "there is no"),
            (401, _) if !remote.has_token() => said(Kind::ModelNotFound, "no anonymous access to")
                .hint("the repository is mistyped, was removed, is private, or is gated")
                .hint(format!("if it is private or gated: open {page}, accept its terms, and set HF_TOKEN")),
            (401, _) => said(Kind::Network, "the token was refused for").hint(
                "is HF_TOKEN (or the token file) still valid? the repository may also be mistyped or removed",
            ),
            (403, _) => said(Kind::Network, "access refused to")
                .hint(format!("the repository is private or gated: {}", gate(remote, &page))),
            (404, _) => said(Kind::ModelNotFound, "there is no")
                .hint("the repository or its revision is mistyped, or it was removed")
                .hint(if remote.has_token() {
                    "if it is private: does the token belong to somebody who may read it?"
                } else {
                    "if it is private: set HF_TOKEN"
                }),
            (status, _) => said(Kind::Network, &format!("status {status} for"))
                .hint("the hub may be busy or down; try again later, or set HF_ENDPOINT to a mirror"),
        }
    }
}

/// Hint about access to a gated repository.
fn gate(remote: &Remote, page: &str) -> String {
    let token = if remote.has_token() {
        "with the account of your token"
    } else {
        "and set HF_TOKEN"
    };
    format!("open {page}, accept its terms {token}, and run again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, wait: Option<u64>) -> Failure {
        Failure::Status {
            status,
            code: String::new(),
            wait: wait.map(Duration::from_secs),
            by_hub: true,
        }
    }

    #[test]
    fn only_what_can_pass_is_tried_again_and_the_hub_says_when() {
        for status in [401, 403, 404] {
            assert_eq!(refused(status, None).pause(0), None, "{status}");
        }
        assert_eq!(refused(500, None).pause(0), Some(PAUSES[0]));
        assert_eq!(refused(500, None).pause(PAUSES.len()), None);
        assert_eq!(refused(429, Some(7)).pause(0), Some(Duration::from_secs(7)));
        assert_eq!(refused(429, Some(0)).pause(1), Some(PAUSES[1]));
        assert_eq!(refused(429, Some(1_000_000)).pause(0), Some(MAX_PAUSE));
        assert_eq!(
            Failure::Wire(ureq::Error::HostNotFound).pause(0),
            Some(PAUSES[0])
        );
        assert_eq!(Failure::NoHub.pause(0), None);
    }
}
