//! Errors on stderr: lines for people, an object for programs.

use std::process::ExitCode;

use serde_json::json;

use super::terminal::{has_colours, print_message, sanitize};
use crate::batch::Diagnostic;
use crate::error::{Error, Kind};
use crate::event::SCHEMA;

/// Format of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// People.
    Text,
    /// Programs: one JSON object a line.
    Json,
}

/// Prints an error; returns its exit code. `command` tells flags from positional arguments.
pub(super) fn report_error(
    error: anyhow::Error,
    format: Format,
    command: &clap::Command,
) -> ExitCode {
    let error = into_crate_error(error);
    match format {
        Format::Text => print_message(&text(&error, command)),
        Format::Json => print_message(&object(&error).to_string()),
    }
    ExitCode::from(error.kind().row().exit_code)
}

/// The error with its kind, field and hints; one of another type is a bug.
fn into_crate_error(error: anyhow::Error) -> Error {
    let is_context = |cause: &&(dyn std::error::Error + 'static)| !cause.is::<Error>();
    let contexts: Vec<String> = error
        .chain()
        .take_while(is_context)
        .map(ToString::to_string)
        .collect();
    let context = contexts.join(": ");
    match error.downcast::<Error>() {
        Ok(error) if context.is_empty() => error,
        Ok(error) => error.context(context),
        Err(_) => Error::internal(context),
    }
}

/// Prints an error in a batch file.
pub(super) fn report_diagnostic(diagnostic: &Diagnostic, format: Format) {
    let Diagnostic { place, error } = diagnostic;
    match format {
        Format::Text => print_message(&lines(&format!("{place}: {error}"), error.hints())),
        Format::Json => {
            let mut object = object(error);
            object["file"] = place.file.as_ref().into();
            object["line"] = place.line.into();
            print_message(&object.to_string());
        }
    }
}

/// Prints clap's own message, which may be the help that was asked for.
pub(super) fn report_clap_error(
    error: &clap::Error,
    format: Format,
    command: &clap::Command,
) -> ExitCode {
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
            let error = Error::new(Kind::Usage, line.trim_start_matches("error: "));
            report_error(error.into(), format, command)
        }
    }
}

fn text(error: &Error, command: &clap::Command) -> String {
    lines(&message(error, command), error.hints())
}

fn lines(message: &str, hints: &[String]) -> String {
    let (red, bold, plain) = if has_colours() {
        ("\x1b[1;31m", "\x1b[1m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    let mut lines = format!("{red}error:{plain} {}", sanitize(message));
    for hint in hints {
        lines.push_str(&format!("\n{bold}hint:{plain} {}", sanitize(hint)));
    }
    lines
}

/// The message with the field as the flag that sets it.
fn message(error: &Error, command: &clap::Command) -> String {
    let whole = error.to_string();
    match error.field_name() {
        None => whole,
        Some(field) => {
            let rest = whole.strip_prefix(&format!("{field}: ")).unwrap_or(&whole);
            format!("{}: {rest}", flag(field, command))
        }
    }
}

fn flag(field: &str, command: &clap::Command) -> String {
    let flag = field.replace('_', "-");
    let is_positional = command.get_positionals().any(|arg| arg.get_id() == field);
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
            text(&error, &crate::cli::command()),
            "error: --cfg-scale: expected a number, got `NaN`\nhint: try 7"
        );
        let expected = json!({
            "event": "error", "schema": 1, "kind": "usage", "exit_code": 2, "field": "cfg_scale",
            "message": "expected a number, got `NaN`", "hints": ["try 7"],
        });
        assert_eq!(object(&error), expected);
        let error = Error::field("prompt", "is not UTF-8");
        assert!(text(&error, &crate::cli::command()).starts_with("error: prompt: "));
    }

    #[test]
    fn an_error_keeps_its_kind_behind_a_context_and_any_other_is_a_bug() {
        use anyhow::Context;
        let known = Err::<(), _>(Error::field("width", "is odd").hint("try 8"));
        let error = into_crate_error(known.context("a.toml").unwrap_err());
        assert_eq!(error.to_string(), "width: a.toml: is odd");
        assert_eq!(
            (error.kind(), error.hints()),
            (Kind::Usage, &["try 8".to_owned()][..])
        );
        let other = Err::<(), _>(std::io::Error::other("it broke")).context("cannot do it");
        let error = into_crate_error(other.unwrap_err());
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Internal, "cannot do it: it broke")
        );
        assert_eq!(error.hints().len(), 1);
    }
}
