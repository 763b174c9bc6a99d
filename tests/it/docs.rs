//! README.md says what the program does: its tables are made from the code, and its commands run.
//! To renew the tables: `cargo test --test it -- --ignored renew_readme`.

use std::fmt::Write;

use sdgen::error::KINDS;
use sdgen::output::file_names::FIELDS;

use crate::harness::{golden_model, root, sdgen, text_of};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "an example is a program, and its main is not called here"
)]
#[path = "../../examples/txt2img.rs"]
mod txt2img;

/// README.md with every generated part made anew.
fn renewed() -> String {
    let fields: Vec<String> = FIELDS
        .iter()
        .map(|(name, _)| format!("`{{{name}}}`"))
        .collect();
    let text = with_part(&text_of("README.md"), "flags", &format!("\n{}\n", flags()));
    let text = with_part(&text, "exit codes", &format!("\n{}\n", exit_codes()));
    with_part(&text, "fields", &format!("  {}.\n  ", fields.join(" ")))
}

/// The text with what stands between `<!-- name ... -->` and `<!-- /name -->` replaced.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let start = text.find(&format!("<!-- {name}")).unwrap();
    let start = start + text[start..].find('\n').unwrap() + 1;
    let end = text.find(&format!("<!-- /{name} -->")).unwrap();
    let part = if part.starts_with(' ') {
        part.to_owned()
    } else {
        part.trim_end().to_owned() + "\n\n"
    };
    format!("{}{part}{}", &text[..start], &text[end..])
}

fn flags() -> String {
    let mut table = "| flag | meaning |\n|---|---|\n".to_owned();
    for arg in sdgen::cli::command().get_arguments() {
        let short = arg
            .get_short()
            .map(|c| format!("`-{c}` "))
            .unwrap_or_default();
        let long = arg
            .get_long()
            .map_or_else(|| "`PROMPT`".to_owned(), |name| format!("`--{name}`"));
        let value = match arg.get_value_names() {
            Some([value, ..]) if arg.get_long().is_some() && arg.get_action().takes_values() => {
                format!(" {value}")
            }
            _ => String::new(),
        };
        let value = if arg.get_num_args().is_some_and(|n| n.max_values() == 0) {
            String::new()
        } else {
            value
        };
        let help = arg
            .get_help()
            .unwrap()
            .to_string()
            .replace('\n', " ")
            .replace('|', "\\|");
        writeln!(table, "| {short}{long}{value} | {help} |").unwrap();
    }
    table
}

fn exit_codes() -> String {
    let mut table = "| code | meaning |\n|---|---|\n| 0 | success |\n".to_owned();
    KINDS
        .iter()
        .for_each(|row| writeln!(table, "| {} | {} |", row.exit_code, row.meaning).unwrap());
    table
}

/// docs/models.md with its table made anew.
fn renewed_models() -> String {
    let mut table =
        "| name | also | size | steps | guidance | sampling | licence | source |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for spec in sdgen::catalog::models() {
        let also: Vec<String> = spec
            .aliases
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let own = [
            spec.sampler.map(|sampler| sampler.to_string()),
            spec.schedule.map(|schedule| schedule.to_string()),
            spec.timestep_spacing.map(|spacing| spacing.to_string()),
        ];
        let sampling: Vec<String> = own
            .into_iter()
            .flatten()
            .map(|name| format!("`{name}`"))
            .collect();
        let sampling = if sampling.is_empty() {
            "its own files".to_owned()
        } else {
            sampling.join(", ")
        };
        let revision = spec.revision.get(..8).unwrap_or(&spec.revision);
        let source = spec.repo.as_ref().map_or("compiled in".to_owned(), |repo| {
            format!("`{repo}` at {revision}")
        });
        let numbers = format!("{} | {} | {}", spec.size, spec.steps, spec.cfg_scale);
        let (name, license, also) = (&spec.name, &spec.license, also.join(" "));
        writeln!(
            table,
            "| `{name}` | {also} | {numbers} | {sampling} | {license} | {source} |"
        )
        .unwrap();
    }
    with_part(
        &text_of("docs/models.md"),
        "models",
        &format!("\n{table}\n"),
    )
}

/// The lines of README's shell blocks.
fn commands() -> Vec<String> {
    let text = text_of("README.md");
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// The words of a command, with double quotes understood.
fn words(command: &str) -> Vec<String> {
    let pieces = command.split('"').enumerate();
    pieces
        .flat_map(|(i, piece)| match i % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        })
        .collect()
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_code() {
    assert!(
        renewed() == text_of("README.md"),
        "README.md is stale; see the head of tests/it/docs.rs"
    );
}

#[test]
fn the_table_of_models_is_that_of_the_registry() {
    assert!(
        renewed_models() == text_of("docs/models.md"),
        "stale; see the head of tests/it/docs.rs"
    );
}

#[test]
#[ignore = "rewrites files of the repository"]
fn renew_readme() {
    std::fs::write(root().join("docs/models.md"), renewed_models()).unwrap();
    std::fs::write(root().join("README.md"), renewed()).unwrap();
}

#[test]
fn every_command_of_the_readme_is_one_that_the_program_takes() {
    let commands = commands();
    let ours: Vec<Vec<String>> = commands
        .iter()
        .filter_map(|line| {
            line.split("sdgen ")
                .nth(1)
                .or(line.split("cargo run --release -- ").nth(1))
        })
        .map(|arguments| words(arguments.split(" > ").next().unwrap()))
        .collect();
    assert!(ours.len() >= 8, "{commands:?}");
    for arguments in ours {
        let all = std::iter::once("sdgen".to_owned()).chain(arguments.clone());
        assert!(
            sdgen::cli::command().try_get_matches_from(all).is_ok(),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_main_command_of_the_readme_draws_a_picture() {
    let line = commands()
        .into_iter()
        .find(|line| line.starts_with("cargo run --release -- "))
        .unwrap();
    let arguments = words(line.split(" -- ").nth(1).unwrap());
    if sdgen::catalog::ModelRef::parse("demo").is_err() {
        eprintln!("skipped: the demo model is not compiled in");
        return;
    }
    assert_eq!(sdgen().args(&arguments).succeeds().files(), ["out.png"]);
}

#[test]
fn the_example_draws_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.png");
    txt2img::draw(&golden_model("sd15"), &out, "a cat").unwrap();
    let record = sdgen::output::metadata::read(&out).unwrap().sdgen.unwrap();
    let request = record.request().unwrap();
    assert_eq!((request.steps, request.seed), (4, 7));
}

#[test]
fn every_flag_has_a_help_text_and_a_heading() {
    for arg in sdgen::cli::command()
        .get_arguments()
        .filter(|arg| arg.get_long().is_some())
    {
        let id = arg.get_id();
        assert!(
            arg.get_help().is_some() && arg.get_help_heading().is_some(),
            "{id}"
        );
    }
}
