//! Batches as tables: CSV with names of fields in its first line, and JSON objects line by line.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::draft::{Draft, Source};
use super::super::fields::{Diagnostic, Fields, Place};
use crate::error::{Error, Kind};

/// Reads the rows of a CSV text; empty cells are skipped.
pub(super) fn read_csv(text: &str, file: &Arc<str>, source: &mut Source) {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            return source
                .diagnostics
                .push(Diagnostic::new(&Place::new(file, 1), csv_error(&error)));
        }
    };
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record
                    .position()
                    .map_or(0, |position| position.line() as usize);
                let cells = header
                    .iter()
                    .zip(&record)
                    .filter(|(_, cell)| !cell.is_empty());
                let cells = cells.map(|(key, cell)| (key.to_owned(), Value::from(cell)));
                add_job(cells, &Place::new(file, line), source);
            }
            Err(error) => {
                let line = error
                    .position()
                    .map_or(0, |position| position.line() as usize);
                source
                    .diagnostics
                    .push(Diagnostic::new(&Place::new(file, line), csv_error(&error)));
            }
        }
    }
}

fn csv_error(error: &csv::Error) -> Error {
    let error = Error::new(Kind::Usage, format!("no row of a table: {error}"));
    error.hint("a cell with a comma stands in double quotes")
}

/// Reads the objects of a text, one a line.
pub(super) fn read_jsonl(text: &str, file: &Arc<str>, source: &mut Source) {
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let place = Place::new(file, number + 1);
        match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(map) => add_job(
                map.into_iter().filter(|(_, value)| !value.is_null()),
                &place,
                source,
            ),
            Err(error) => {
                let error = Error::new(Kind::Usage, format!("no JSON object: {error}"));
                source.diagnostics.push(Diagnostic::new(&place, error));
            }
        }
    }
}

/// Adds a job made of names and values; the cell `name` is the job's name.
#[allow(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn add_job(cells: impl Iterator<Item = (String, Value)>, place: &Place, source: &mut Source) {
    let mut fields = Fields::default();
    let mut name = None;
    for (key, value) in cells {
        match value {
            Value::String(text) if key == "name" => name = Some(text),
            value => source
                .diagnostics
                .extend(set_field(&mut fields, &key, value, place).err()),
        }
    }
    source
        .drafts
        .push(Draft::plain(name, fields, place.clone()));
}

/// Sets a field; text of the wrong type is parsed as JSON: a number, a boolean or a list.
fn set_field(
    fields: &mut Fields,
    key: &str,
    value: Value,
    place: &Place,
) -> Result<(), Diagnostic> {
    let read = value
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let diagnostic = match fields.set(key, value, place) {
        Ok(()) => return Ok(()),
        Err(diagnostic) => diagnostic,
    };
    match read {
        Some(read) => fields.set(key, read, place),
        None => Err(diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_its_rows_typed() {
        let text = "name,prompt,steps,cfg_scale,overwrite\none,\"a cat, 3\",4,7.5,true\n,12,,,\n";
        let mut source = Source::default();
        read_csv(text, &"a.csv".into(), &mut source);
        assert!(source.diagnostics.is_empty(), "{:?}", source.diagnostics);
        let params: Vec<_> = source
            .drafts
            .iter()
            .map(|draft| draft.fields.params().clone())
            .collect();
        assert_eq!(
            (params[0].steps, params[0].cfg_scale, params[0].overwrite),
            (Some(4), Some(7.5), Some(true))
        );
        assert_eq!(
            (params[1].prompt.as_deref(), params[1].steps),
            (Some("12"), None)
        );
        assert_eq!(
            (
                source.drafts[0].name.as_deref(),
                source.drafts[1].place.line
            ),
            (Some("one"), 3)
        );
    }

    #[test]
    fn every_wrong_row_is_told() {
        let mut source = Source::default();
        read_csv(
            "prompt,stepz\na,1\nb\nc,2,3\n",
            &"a.csv".into(),
            &mut source,
        );
        read_jsonl(
            "{\"prompt\": \"a\", \"steps\": \"x\"}\n[1]\n\n{",
            &"a.jsonl".into(),
            &mut source,
        );
        let messages: Vec<String> = source
            .diagnostics
            .iter()
            .map(|f| f.place.to_string())
            .collect();
        assert_eq!(
            messages,
            [
                "a.csv:2",
                "a.csv:3",
                "a.csv:4",
                "a.jsonl:1",
                "a.jsonl:2",
                "a.jsonl:4"
            ]
        );
    }
}
