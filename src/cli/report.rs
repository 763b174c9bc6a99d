//! Display of errors: lines for people, an object for programs. The wording comes from the error
//! itself.

use std::process::ExitCode;

use serde_json::json;

use super::progress::SCHEMA;
use super::terminal::{coloured, harmless, say};
use crate::batch::Diagnostic;
use crate::error::{Error, Kind};

/// Format of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// People.
    Text,
    /// Programs: one JSON object a line.
    Json,
}

/// Shows an error and gives its exit code.
pub(super) fn failed(error: &Error, format: Format) -> ExitCode {
    match format {
        Format::Text => say(&text(error)),
        Format::Json => say(&object(error).to_string()),
    }
    ExitCode::from(error.kind().row().exit_code)
}

/// Shows something wrong with a batch.
pub(super) fn fault(fault: &Diagnostic, format: Format) {
    let Diagnostic { place, error } = fault;
    match format {
        Format::Text => say(&lines(&format!("{place}: {error}"), error.hints())),
        Format::Json => {
            let mut object = object(error);
            object["file"] = place.file.as_ref().into();
            object["line"] = place.line.into();
            say(&object.to_string());
        }
    }
}

/// Shows clap's own message, which may be the help that was asked for.
pub(super) fn refused_arguments(error: &clap::Error, format: Format) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe leaves nobody to tell.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    match format {
        Format::Text => {
            let _ = error.print();
            ExitCode::from(Kind::Usage.row().exit_code)
        }
        Format::Json => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            failed(
                &Error::new(Kind::Usage, line.trim_start_matches("error: ")),
                format,
            )
        }
    }
}

fn text(error: &Error) -> String {
    lines(&message(error), error.hints())
}

fn lines(message: &str, hints: &[String]) -> String {
    let (red, bold, plain) = if coloured() {
        ("\x1b[1;31m", "\x1b[1m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    let mut lines = format!("{red}error:{plain} {}", harmless(message));
    for hint in hints {
        lines.push_str(&format!("\n{bold}hint:{plain} {}", harmless(hint)));
    }
    lines
}

/// The message with the field as the flag that sets it.
fn message(error: &Error) -> String {
    let whole = error.to_string();
    match error.field_name() {
        None => whole,
        Some(field) => {
            let rest = whole.strip_prefix(&format!("{field}: ")).unwrap_or(&whole);
            format!("{}: {rest}", flag(field))
        }
    }
}

fn flag(field: &str) -> String {
    let flag = field.replace('_', "-");
    let is_positional = super::command()
        .get_positionals()
        .any(|arg| arg.get_id() == field);
    if is_positional {
        flag
    } else {
        format!("--{flag}")
    }
}

fn object(error: &Error) -> serde_json::Value {
    let row = error.kind().row();
    let whole = error.to_string();
    let prefix = error
        .field_name()
        .map(|field| format!("{field}: "))
        .unwrap_or_default();
    json!({
        "event": "error",
        "schema": SCHEMA,
        "kind": row.name,
        "exit_code": row.exit_code,
        "field": error.field_name(),
        "message": whole.strip_prefix(&prefix).unwrap_or(&whole),
        "hints": error.hints(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_flag_and_programs_the_field() {
        let error = Error::expected("cfg_scale", "a number", "NaN").hint("try 7");
        assert_eq!(
            text(&error),
            "error: --cfg-scale: expected a number, got `NaN`\nhint: try 7"
        );
        let expected = json!({
            "event": "error", "schema": 1, "kind": "usage", "exit_code": 2, "field": "cfg_scale",
            "message": "expected a number, got `NaN`", "hints": ["try 7"],
        });
        assert_eq!(object(&error), expected);
        assert!(text(&Error::field("prompt", "is not UTF-8")).starts_with("error: prompt: "));
    }
}
