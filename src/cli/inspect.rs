//! `sdgen inspect IMAGE`: the metadata of an image.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::terminal;
use crate::error::{Error, Kind};
use crate::image::Size;
use crate::output::a1111_text::Parameters;
use crate::output::contact_sheet::{Contents, Entry};
use crate::output::metadata::{self, Record};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// A PNG made by sdgen, or by another program that writes A1111's `parameters`
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the metadata of a picture.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let found = metadata::read(&arguments.image)?;
    if arguments.json {
        return terminal::write_json(&found);
    }
    let body = match (&found.sdgen, &found.parameters, &found.sheet) {
        (Some(record), ..) => record_lines(record),
        (None, Some(parameters), _) => parameter_lines(parameters),
        (None, None, Some(sheet)) => sheet_lines(sheet),
        (None, None, None) => {
            let message = format!(
                "`{}` says nothing about how it was made",
                arguments.image.display()
            );
            bail!(Error::new(Kind::Usage, message).hint(
                "expected a PNG with sdgen's or A1111's metadata; `--no-metadata` leaves it out",
            ));
        }
    };
    let Size { width, height } = found.size;
    let size = line("size", &format!("{width}x{height}"));
    terminal::write_data(terminal::sanitize(&(size + &body)).as_bytes())?;
    Ok(())
}

/// `name            value`, with further lines of the value set in.
fn line(name: &str, value: &str) -> String {
    format!(
        "{name:<18}{}\n",
        value.replace('\n', "\n                  ")
    )
}

/// Every value of the request by its own name, so that a new field needs no line here.
fn record_lines(record: &Record) -> String {
    let mut text = String::new();
    if let serde_json::Value::Object(request) = &record.request {
        let order = ["prompt", "negative_prompt"];
        let others = request
            .keys()
            .map(String::as_str)
            .filter(|name| !order.contains(name));
        for name in order.into_iter().chain(others) {
            if let Some(value) = request.get(name).filter(|value| !value.is_null()) {
                text.push_str(&line(
                    name,
                    &value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                ));
            }
        }
    }
    for (file, hash) in &record.weights {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", line("weights", &format!("{file} {hash}")));
    }
    if let Some(license) = &record.model_license {
        text.push_str(&line("model_license", license));
    }
    text + &line("made_by", &format!("sdgen {}", record.version))
}

fn sheet_lines(sheet: &Contents) -> String {
    let picture = |entry: &Entry| {
        let Entry {
            name,
            file,
            seed,
            prompt,
            ..
        } = entry;
        line(
            "picture",
            &format!("{name}: {}, seed {seed}, {prompt}", file.display()),
        )
    };
    let pictures: String = sheet.pictures.iter().map(picture).collect();
    pictures + &line("made_by", &format!("sdgen {}", sheet.version))
}

fn parameter_lines(parameters: &Parameters) -> String {
    let mut text = line("prompt", &parameters.prompt);
    if !parameters.negative_prompt.is_empty() {
        text.push_str(&line("negative_prompt", &parameters.negative_prompt));
    }
    for (name, value) in &parameters.fields {
        text.push_str(&line(name, value));
    }
    text
}
