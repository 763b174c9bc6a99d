//! Batches in TOML: `[defaults]`, `[[job]]`, `[template.NAME]`, `include`, `[output]`. Every error
//! has its line number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::draft::{Choices, Draft, Output, Source};
use super::super::fields::{Diagnostic, Fields, Place};
use super::super::matrix::{Axis, Point, display_label, parse_range};
use super::{folder_of, read_text};
use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;

/// A table of a file.
type Table<'a> = DeTable<'a>;

/// A job or a template as it stands in the file.
#[derive(Clone)]
struct Entry {
    name: Option<String>,
    extends: Vec<(String, Place)>,
    own: Fields,
    axes: Vec<Axis>,
    choices: Option<Choices>,
    folder: PathBuf,
    place: Place,
}

/// Contents of a file and of those that it includes.
#[derive(Default)]
struct FileContents {
    defaults: Fields,
    /// Templates and named jobs.
    named: BTreeMap<String, Entry>,
    /// Jobs, with the defaults of their file.
    jobs: Vec<(Entry, Fields)>,
    output: Output,
}

/// Reads the batch `path` into `source`.
pub(super) fn read(text: &str, path: &Path, source: &mut Source) {
    let mut diagnostics = Vec::new();
    let found = read_file(text, path, &mut vec![path.to_owned()], &mut diagnostics);
    let mut done = BTreeMap::new();
    for (entry, defaults) in &found.jobs {
        match merge_parents(entry, &found.named, &mut Vec::new(), &mut done) {
            Ok(flat) => source.drafts.push(Draft {
                name: entry.name.clone(),
                fields: defaults.clone().under(&flat.own),
                axes: flat.axes,
                choices: flat.choices.unwrap_or(Choices::Seed),
                folder: entry.folder.clone(),
                place: entry.place.clone(),
            }),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    source.output = found.output;
    source.diagnostics.extend(diagnostics);
}

/// Merges an entry with everything that it extends; `trail` holds the names on the way to it,
/// `done` the entries that were merged before.
fn merge_parents(
    entry: &Entry,
    named: &BTreeMap<String, Entry>,
    trail: &mut Vec<String>,
    done: &mut BTreeMap<String, Entry>,
) -> Result<Entry, Diagnostic> {
    let mut base = Entry {
        own: Fields::default(),
        axes: Vec::new(),
        choices: None,
        ..entry.clone()
    };
    for (name, place) in &entry.extends {
        let diagnostic = |error: Error| Diagnostic::new(place, error);
        if trail.contains(name) {
            return Err(diagnostic(Error::field(
                "extends",
                format!("`{name}` extends itself"),
            )));
        }
        let known = named.keys().map(String::as_str);
        let parent = named
            .get(name)
            .ok_or_else(|| diagnostic(Error::unknown("extends", "template or job", name, known)))?;
        if let Some(parent) = done.get(name) {
            base.override_with(parent);
            continue;
        }
        trail.push(name.clone());
        let parent = merge_parents(parent, named, trail, done)?;
        trail.pop();
        base.override_with(&parent);
        done.insert(name.clone(), parent);
    }
    base.override_with(entry);
    Ok(base)
}

impl Entry {
    /// Overrides this entry with `top`, which replaces a field or an axis of the same name.
    fn override_with(&mut self, top: &Self) {
        self.axes.retain(|axis| {
            !top.own.params().has(&axis.name)
                && top.axes.iter().all(|other| other.name != axis.name)
        });
        self.axes.extend(top.axes.iter().cloned());
        self.own = std::mem::take(&mut self.own).under(&top.own);
        self.choices = top.choices.or(self.choices);
    }
}

/// Reads one file; `trail` are the files that led to it.
fn read_file(
    text: &str,
    path: &Path,
    trail: &mut Vec<PathBuf>,
    diagnostics: &mut Vec<Diagnostic>,
) -> FileContents {
    let name: Arc<str> = path.display().to_string().into();
    let mut reader = Reader {
        file: name,
        text,
        folder: folder_of(path),
        diagnostics,
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = reader.place_of(error.span().unwrap_or(0..0));
        reader.diagnostics.push(Diagnostic::new(
            &place,
            Error::new(Kind::Usage, error.message().to_owned()),
        ));
    }
    reader.read_root(root.get_ref(), trail)
}

/// Reads the tables of one file.
struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    folder: PathBuf,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// A key with its place, and the value.
type Pair<'t, 'i> = (&'t str, Place, &'t Spanned<DeValue<'i>>);

impl Reader<'_> {
    fn place_of(&self, span: Range<usize>) -> Place {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        Place::new(
            &self.file,
            1 + before.iter().filter(|byte| **byte == b'\n').count(),
        )
    }

    fn report(&mut self, place: &Place, error: Error) {
        self.diagnostics.push(Diagnostic::new(place, error));
    }

    /// The pairs of a table in the order of the file.
    fn pairs_in_order<'t, 'i>(&self, table: &'t Table<'i>) -> Vec<Pair<'t, 'i>> {
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        pairs
            .into_iter()
            .map(|(key, value)| (key.get_ref().as_ref(), self.place_of(key.span()), value))
            .collect()
    }

    fn read_root(&mut self, root: &Table<'_>, trail: &mut Vec<PathBuf>) -> FileContents {
        let mut found = FileContents::default();
        let pairs = self.pairs_in_order(root);
        for (_, place, value) in pairs.iter().filter(|(key, _, _)| *key == "include") {
            for (name, _) in self.read_texts("include", place, value) {
                self.read_include(&name, place, trail, &mut found);
            }
        }
        for (_, _, value) in pairs.iter().filter(|(key, _, _)| *key == "defaults") {
            let entry = self.read_entry(value.get_ref().as_table(), self.place_of(value.span()));
            found.defaults = std::mem::take(&mut found.defaults).under(&entry.own);
        }
        for (key, place, value) in pairs {
            match (key, value.get_ref()) {
                ("include", _) | ("defaults", DeValue::Table(_)) => {}
                ("output", DeValue::Table(table)) => self.read_output(table, &mut found.output),
                ("template", DeValue::Table(table)) => {
                    for (name, place, value) in self.pairs_in_order(table) {
                        let entry = self.read_entry(value.get_ref().as_table(), place);
                        found.named.insert(name.to_owned(), entry);
                    }
                }
                ("job", DeValue::Array(jobs)) => self.read_jobs(jobs, &mut found),
                ("defaults" | "output" | "template" | "job", _) => {
                    let form = if key == "job" {
                        "tables `[[job]]`"
                    } else {
                        "a table"
                    };
                    self.report(&place, Error::field(key, format!("expected {form}")));
                }
                (unknown, _) => {
                    let known = ["defaults", "include", "job", "output", "template"];
                    self.report(&place, Error::unknown(unknown, "table", unknown, known));
                }
            }
        }
        found
    }

    fn read_include(
        &mut self,
        name: &str,
        place: &Place,
        trail: &mut Vec<PathBuf>,
        found: &mut FileContents,
    ) {
        let path = self.folder.join(name);
        if trail.contains(&path) {
            return self.report(
                place,
                Error::field("include", format!("`{name}` includes itself")),
            );
        }
        match read_text(&path) {
            Err(error) => self.report(place, Error::field("include", error.to_string())),
            Ok(text) => {
                trail.push(path.clone());
                let inner = read_file(&text, &path, trail, self.diagnostics);
                trail.pop();
                found.defaults = std::mem::take(&mut found.defaults).under(&inner.defaults);
                found.named.extend(inner.named);
                found.jobs.extend(inner.jobs);
                found.output.dir = inner.output.dir.or(found.output.dir.take());
                found.output.template = inner.output.template.or(found.output.template.take());
            }
        }
    }

    fn read_jobs(&mut self, jobs: &[Spanned<DeValue<'_>>], found: &mut FileContents) {
        for job in jobs {
            let entry = self.read_entry(job.get_ref().as_table(), self.place_of(job.span()));
            if let Some(name) = &entry.name {
                found
                    .named
                    .entry(name.clone())
                    .or_insert_with(|| entry.clone());
            }
            found.jobs.push((entry, found.defaults.clone()));
        }
    }

    fn read_output(&mut self, table: &Table<'_>, output: &mut Output) {
        for (key, place, value) in self.pairs_in_order(table) {
            match (key, value.get_ref().as_str()) {
                ("dir", Some(text)) => output.dir = Some(text.to_owned()),
                ("template", Some(text)) => output.template = Some(text.to_owned()),
                ("dir" | "template", None) => {
                    self.report(&place, Error::field(key, "expected a text"));
                }
                _ => self.report(
                    &place,
                    Error::unknown(key, "key of `[output]`", key, ["dir", "template"]),
                ),
            }
        }
    }

    /// Reads a table: fields, and the keys `name`, `extends`, `choices` and `matrix`.
    fn read_entry(&mut self, table: Option<&Table<'_>>, place: Place) -> Entry {
        let (own, axes, extends) = (Fields::default(), Vec::new(), Vec::new());
        let folder = self.folder.clone();
        let mut entry = Entry {
            name: None,
            extends,
            own,
            axes,
            choices: None,
            folder,
            place,
        };
        let Some(table) = table else {
            self.report(
                &entry.place.clone(),
                Error::new(Kind::Usage, "expected a table"),
            );
            return entry;
        };
        for (key, place, value) in self.pairs_in_order(table) {
            match key {
                "name" => match value.get_ref().as_str() {
                    Some(name) => entry.name = Some(name.to_owned()),
                    None => self.report(&place, Error::field("name", "expected a text")),
                },
                "extends" => entry.extends = self.read_texts("extends", &place, value),
                "choices" => {
                    match Choices::parse("choices", value.get_ref().as_str().unwrap_or_default()) {
                        Ok(choices) => entry.choices = Some(choices),
                        Err(error) => self.report(&place, error),
                    }
                }
                "matrix" => match value.get_ref().as_table() {
                    Some(matrix) => entry.axes = self.read_axes(matrix),
                    None => {
                        self.report(&place, Error::field("matrix", "expected a table of lists"));
                    }
                },
                _ => self.set_field(&mut entry.own, key, value, &place),
            }
        }
        entry
    }

    fn set_field(
        &mut self,
        fields: &mut Fields,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        place: &Place,
    ) {
        let result = match to_json(value.get_ref()) {
            Some(json) => fields.set(key, json, place),
            None => Err(Diagnostic::new(
                place,
                Error::field(key, "dates mean nothing here"),
            )),
        };
        self.diagnostics.extend(result.err());
    }

    fn read_axes(&mut self, matrix: &Table<'_>) -> Vec<Axis> {
        let pairs = self.pairs_in_order(matrix);
        pairs
            .into_iter()
            .map(|(key, place, value)| self.read_axis(key, &place, value))
            .collect()
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
    fn read_axis(&mut self, key: &str, place: &Place, value: &Spanned<DeValue<'_>>) -> Axis {
        let mut axis = Axis {
            name: key.to_owned(),
            points: Vec::new(),
        };
        match value.get_ref() {
            DeValue::Array(values) if !values.is_empty() => {
                for value in values.iter() {
                    let place = self.place_of(value.span());
                    axis.points.extend(self.read_point(key, value, &place));
                }
            }
            DeValue::String(text) => match parse_range(key, text) {
                Ok(Some(values)) => {
                    for value in values {
                        let mut fields = Fields::default();
                        match fields.set(key, value.clone(), place) {
                            Ok(()) => {
                                axis.points.push(Point {
                                    label: display_label(&value),
                                    assignments: fields.assignments(),
                                });
                            }
                            Err(diagnostic) => return self.refuse(diagnostic, axis),
                        }
                    }
                }
                Ok(None) => {
                    self.report(
                        place,
                        Error::expected(key, "a list, or a range such as 1..=16", text),
                    );
                }
                Err(error) => self.report(place, error),
            },
            _ => self.report(
                place,
                Error::field(
                    key,
                    "expected a list of values, or a range such as \"1..=16\"",
                ),
            ),
        }
        axis
    }

    fn refuse(&mut self, diagnostic: Diagnostic, axis: Axis) -> Axis {
        self.diagnostics.push(diagnostic);
        axis
    }

    /// Reads a value of a list; a table sets several fields at once, and its `name` is the
    /// displayed value.
    fn read_point(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        place: &Place,
    ) -> Option<Point> {
        let mut fields = Fields::default();
        let Some(table) = value.get_ref().as_table() else {
            self.set_field(&mut fields, key, value, place);
            let label = display_label(&to_json(value.get_ref())?);
            return Some(Point {
                label,
                assignments: fields.assignments(),
            });
        };
        let mut name = None;
        for (key, place, value) in self.pairs_in_order(table) {
            match (key, value.get_ref().as_str()) {
                ("name", Some(text)) => name = Some(text.to_owned()),
                _ => self.set_field(&mut fields, key, value, &place),
            }
        }
        let all = || {
            fields
                .values()
                .values()
                .map(display_label)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let label = name.unwrap_or_else(all);
        Some(Point {
            label,
            assignments: fields.assignments(),
        })
    }

    /// Reads a text or a list of texts.
    #[allow(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
    fn read_texts(
        &mut self,
        key: &str,
        place: &Place,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<(String, Place)> {
        let texts: Option<Vec<String>> = match value.get_ref() {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(list) => list
                .iter()
                .map(|v| v.get_ref().as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.report(
                place,
                Error::field(key, "expected a text or a list of texts"),
            );
        }
        texts
            .unwrap_or_default()
            .into_iter()
            .map(|text| (text, place.clone()))
            .collect()
    }
}

/// Converts a value to JSON; `None` for dates.
fn to_json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let read =
                |text: &str| u64::from_str_radix(text.trim_start_matches('+'), number.radix());
            match read(&digits) {
                Ok(number) => number.into(),
                Err(_) => digits.parse::<i64>().ok()?.into(),
            }
        }
        DeValue::Float(number) => Value::from(
            number
                .as_str()
                .replace('_', "")
                .replace("inf", "infinity")
                .parse::<f64>()
                .ok()?,
        ),
        DeValue::Boolean(switch) => (*switch).into(),
        DeValue::Datetime(_) => return None,
        DeValue::Array(list) => list
            .iter()
            .map(|value| to_json(value.get_ref()))
            .collect::<Option<Vec<_>>>()?
            .into(),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), to_json(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Form;
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse(text, Path::new("b.toml"), Form::Toml)
    }

    fn messages(source: &Source) -> Vec<String> {
        source
            .diagnostics
            .iter()
            .map(|diagnostic| format!("{}: {}", diagnostic.place, diagnostic.error))
            .collect()
    }

    #[test]
    fn defaults_templates_and_jobs_lie_over_each_other() {
        let source = parse(
            r#"
            [defaults]
            model = "demo"
            steps = 9
            [template.quick]
            steps = 2
            cfg_scale = 3
            [[job]]
            name = "a"
            extends = "quick"
            prompt = "x"
            cfg_scale = 4
            [[job]]
            extends = ["a"]
            seed = 18446744073709551615
            [output]
            dir = "out"
            "#,
        );
        assert_eq!(messages(&source), Vec::<String>::new());
        let params = source
            .drafts
            .iter()
            .map(|draft| draft.fields.params().clone())
            .collect::<Vec<_>>();
        assert_eq!(
            (
                params[0].steps,
                params[0].cfg_scale,
                params[0].model.as_deref()
            ),
            (Some(2), Some(4.0), Some("demo"))
        );
        assert_eq!(
            (params[1].steps, params[1].prompt.as_deref(), params[1].seed),
            (Some(2), Some("x"), Some(u64::MAX.into()))
        );
        assert_eq!(
            (source.drafts[1].name.clone(), source.output.dir.as_deref()),
            (None, Some("out"))
        );
        assert_eq!(source.drafts[0].fields.place("model").unwrap().line, 3);
    }

    #[test]
    fn templates_that_extend_one_another_twice_over_are_read_once() {
        let mut text = "[[job]]\nprompt = 'x'\nextends = 't0'\n".to_owned();
        for depth in 0..60 {
            text += &format!(
                "[template.t{depth}]\nextends = ['t{0}', 't{0}']\n",
                depth + 1
            );
        }
        let source = parse(&format!("{text}[template.t60]\nsteps = 3\n"));
        assert_eq!(messages(&source), Vec::<String>::new());
        assert_eq!(source.drafts[0].fields.params().steps, Some(3));
    }

    #[test]
    fn a_matrix_has_lists_ranges_and_tables_in_the_order_of_the_file() {
        let source = parse(
            r#"
            [[job]]
            prompt = "x"
            matrix.steps = [2, 4]
            matrix.seed = "1..=3"
            matrix.size = [{ width = 64, height = 32 }, { name = "tall", width = 32, height = 64 }]
            "#,
        );
        assert_eq!(messages(&source), Vec::<String>::new());
        let axes = &source.drafts[0].axes;
        let shown: Vec<(&str, Vec<&str>)> = axes
            .iter()
            .map(|axis| {
                (
                    axis.name.as_str(),
                    axis.points
                        .iter()
                        .map(|point| point.label.as_str())
                        .collect(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("steps", vec!["2", "4"]),
                ("seed", vec!["1", "2", "3"]),
                ("size", vec!["32 64", "tall"])
            ]
        );
    }

    #[test]
    fn every_error_has_its_line_and_key() {
        let source = parse(
            "jobs = 1\n[defaults]\nstepz = 3\n[[job]]\nprompt = 'x'\nsteps = 'many'\nextends = 'none'\n\
             [[job]]\nprompt = 4\nchoices = 'all'\n[job.matrix]\nseed = '5..5'\nsampler = ['euler',\n 7]\n[output]\nfile = 'x'\n",
        );
        let messages = messages(&source);
        for expected in [
            "b.toml:1: jobs: unknown table `jobs`",
            "b.toml:3: stepz: there is no such field",
            "b.toml:6: steps: invalid type",
            "b.toml:7: extends: unknown template or job `none`",
            "b.toml:9: prompt: invalid type",
            "b.toml:10: choices: unknown way to choose `all`",
            "b.toml:12: seed: the range `5..5` has no values",
            "b.toml:14: sampler: invalid type",
            "b.toml:16: file: unknown key of `[output]` `file`",
        ] {
            assert!(
                messages.iter().any(|line| line.starts_with(expected)),
                "{expected} is not in {messages:#?}"
            );
        }
        assert_eq!(messages.len(), 9, "{messages:#?}");
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let source = parse("[[job]]\nprompt = 'x\n[[job]]\nprompt = 'y'\nsteps 4\n");
        let messages = messages(&source);
        assert!(
            messages.iter().any(|line| line.starts_with("b.toml:2: ")),
            "{messages:?}"
        );
        assert!(
            messages.iter().any(|line| line.starts_with("b.toml:5: ")),
            "{messages:?}"
        );
    }

    #[test]
    fn included_files_bring_defaults_templates_and_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "common.toml",
            "[defaults]\nsteps = 3\nmodel = 'demo'\n[template.t]\nseed = 5\n[[job]]\nprompt = 'inner'\n",
        );
        write("again.toml", "include = 'again.toml'\nfoo = 1\n");
        let path = folder.path().join("b.toml");
        let text = "include = ['common.toml']\n[defaults]\nsteps = 4\n[[job]]\nextends = 't'\nprompt = 'outer'\n";
        let source = Source::parse(text, &path, Form::Toml);
        assert_eq!(messages(&source), Vec::<String>::new());
        let params = source
            .drafts
            .iter()
            .map(|draft| draft.fields.params().clone())
            .collect::<Vec<_>>();
        assert_eq!(
            (params[0].prompt.as_deref(), params[0].steps),
            (Some("inner"), Some(3))
        );
        assert_eq!(
            (params[1].steps, params[1].seed, params[1].model.as_deref()),
            (Some(4), Some(5.into()), Some("demo"))
        );
        let source = Source::parse("include = ['none.toml', 'again.toml']", &path, Form::Toml);
        let messages = messages(&source);
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(
            messages[1].contains("again.toml:1: include: `again.toml` includes itself"),
            "{messages:?}"
        );
    }

    #[test]
    fn an_entry_that_extends_itself_is_refused() {
        let source = parse(
            "[template.a]\nextends = 'b'\n[template.b]\nextends = 'a'\n[[job]]\nprompt = 'x'\nextends = 'a'\n",
        );
        assert!(
            messages(&source)[0].contains("extends: `a` extends itself"),
            "{:?}",
            messages(&source)
        );
    }
}
