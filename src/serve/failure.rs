//! Failures as stored and reported: the error messages of the command line, adapted for clients of
//! the server. Flags become fields; hints for the operator and paths of the server are left out.

use serde::{Deserialize, Serialize};

use crate::error::{Error, KINDS, Kind};
use crate::serve::fields::{Access, field_access};

/// Maximum number of attempts at a job that terminates the process each time.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// Reason of a failed job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) field: Option<String>,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    /// Failure of a job that terminated the process at each attempt.
    pub(crate) fn too_many_attempts() -> Self {
        let message = format!("the server crashed {MAX_ATTEMPTS} times while running this job");
        Self::new(Kind::Internal, &message)
    }

    /// An internal error of this program.
    pub(crate) fn internal(message: &str) -> Self {
        Self::from(&Error::internal(message))
    }

    /// A failure of a kind, with a short message.
    pub(crate) fn new(kind: Kind, message: &str) -> Self {
        Self::from(&Error::new(kind, message))
    }

    /// Failure from an error whose text may contain paths of this server, without those paths.
    pub(crate) fn without_paths(error: &Error, paths: &PathReplacements) -> Self {
        let mut failure = Self::from(error);
        failure.message = redact_paths(&failure.message, paths);
        failure.hints.retain(|hint| {
            let mut hidden = paths.iter().filter(|(_, name)| name.is_empty());
            !hidden.any(|(path, _)| hint.contains(path))
        });
        for hint in &mut failure.hints {
            *hint = redact_paths(hint, paths);
        }
        failure
    }

    /// HTTP status of the failure.
    pub(crate) fn status(&self) -> u16 {
        let row = KINDS.iter().find(|row| row.name == self.kind);
        row.map_or(500, |row| row.http_status)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let field = error.field_name();
        let text = error.to_string();
        let prefix = field.map(|field| format!("{field}: ")).unwrap_or_default();
        Self {
            kind: error.kind().row().name.to_owned(),
            field: field.map(str::to_owned),
            message: flags_to_fields(text.strip_prefix(&prefix).unwrap_or(&text)),
            hints: error
                .hints()
                .iter()
                .filter_map(|hint| client_hint(hint))
                .collect(),
        }
    }
}

/// Paths of this server with their replacements; empty for paths that clients need not know.
pub(crate) type PathReplacements = [(String, String)];

/// Replaces the paths of this server in a text.
pub(crate) fn redact_paths(text: &str, secrets: &PathReplacements) -> String {
    secrets.iter().fold(text.to_owned(), |text, (path, name)| {
        text.replace(path, name)
    })
}

/// Replaces flags by fields: `--batch-size 1` is `batch_size: 1`.
pub(crate) fn flags_to_fields(text: &str) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, flag, after)) = next_flag(rest) {
        whole.push_str(before);
        whole.push_str(&flag.replace('-', "_"));
        // A value follows within the same quotes.
        let is_quoted = before.ends_with('`');
        rest = match after.strip_prefix(' ') {
            Some(value) if is_quoted => {
                whole.push_str(": ");
                value
            }
            _ => after,
        };
    }
    whole + rest
}

/// The part of a hint that a client can follow, if any: alternatives that name the server's own
/// flags, its environment or its commands are left out.
pub(crate) fn client_hint(hint: &str) -> Option<String> {
    let is_clients = |text: &str| {
        let mut rest = text;
        while let Some((_, flag, after)) = next_flag(rest) {
            if field_access(&flag.replace('-', "_")) == Access::Server {
                return false;
            }
            rest = after;
        }
        !["`sdgen ", "`cargo ", "HF_", "SDGEN_"]
            .iter()
            .any(|word| text.contains(word))
    };
    if is_clients(hint) {
        return Some(flags_to_fields(hint));
    }
    let (verb, alternatives) = hint
        .split_once(' ')
        .filter(|(verb, _)| ["try", "use"].contains(verb))?;
    let alternatives = alternatives
        .split(';')
        .next()
        .unwrap_or_default()
        .replace(" or ", ", ")
        .replace(",,", ",");
    let open: Vec<&str> = alternatives
        .split(", ")
        .filter(|text| !text.is_empty() && is_clients(text))
        .collect();
    let (last, others) = open.split_last()?;
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("{} or ", others.join(", "))
    };
    Some(flags_to_fields(&format!("{verb} {others}{last}")))
}

/// The next flag of a text: (what is before it, its name, what is after it).
fn next_flag(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("--")?;
        let name = &text[at + 2..];
        let end = name
            .find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
            .unwrap_or(name.len());
        let is_begun = text[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '-');
        if is_begun && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Some((&text[..at], &name[..end], &name[end..]));
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_fields() {
        for (flags, fields) in [
            ("leave out `--steps`", "leave out `steps`"),
            (
                "override it with `--prediction epsilon|v|sample`",
                "override it with `prediction: epsilon|v|sample`",
            ),
            (
                "white is repainted; `--invert-mask` swaps black and white",
                "white is repainted; `invert_mask` swaps black and white",
            ),
            (
                "--width: expected a multiple of 8",
                "width: expected a multiple of 8",
            ),
            ("a -- b, a--b and --9 stay", "a -- b, a--b and --9 stay"),
        ] {
            assert_eq!(flags_to_fields(flags), fields);
        }
    }

    #[test]
    fn hints_are_what_a_client_can_do() {
        let hint = "try `--memory low`, `--vae-tiling on`, a smaller size or `--batch-size 1`";
        assert_eq!(
            client_hint(hint).unwrap(),
            "try a smaller size or `batch_size: 1`"
        );
        let hint = "try another seed or `--dtype f32`; if it stays, the weights are damaged";
        assert_eq!(client_hint(hint).unwrap(), "try another seed");
        assert_eq!(
            client_hint("did you mean `steps`? known: a, b").unwrap(),
            "did you mean `steps`? known: a, b"
        );
        for hint in [
            "name a folder that can be written: `--state DIR`",
            "`sdgen models pull x` downloads it",
            "the cache is `/x`; HF_HOME chooses another",
            "use `--device cpu`",
            "int8 is for `--device cpu`",
        ] {
            assert_eq!(client_hint(hint), None, "{hint}");
        }
    }

    #[test]
    fn paths_are_replaced_by_names() {
        let secrets = [
            ("/srv/models/mine".to_owned(), "mine".to_owned()),
            ("/srv/cache/".to_owned(), String::new()),
        ];
        assert_eq!(
            redact_paths("`/srv/models/mine/unet` and `/srv/cache/x`", &secrets),
            "`mine/unet` and `x`"
        );
    }
}
