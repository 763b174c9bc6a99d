//! Expansion of drafts into jobs: one per image, each with a unique name and every alternative
//! chosen.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::draft::{Choices, Draft};
use super::fields::{Assignment, Diagnostic, Fields, Place, Places};
use super::matrix::{Axis, Coordinate, Element, Point, cross_product};
use super::wildcards::{Pattern, Wildcards};
use crate::error::{Error, Kind, Result};
use crate::params::{Params, Seed, check};
use crate::prompt::Prompt;

/// One image to be generated.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name, unique in the batch.
    pub name: String,
    /// Index among the images of one `count`, from 0.
    pub index: u64,
    /// True if the name is only the job's number in the file.
    pub numbered: bool,
    /// Parameters of one image, with its own seed.
    pub params: Params,
    /// Coordinates in the matrix.
    pub at: Vec<Coordinate>,
    /// Index of the draft that the job comes from.
    pub draft: usize,
    /// Position in the batch file.
    pub place: Place,
    /// Positions of its fields.
    places: Arc<Places>,
}

/// Maximum number of jobs in a batch.
const MAX_JOBS: usize = 100_000;

/// Fields that may contain alternatives.
const PROMPTS: [&str; 4] = ["prompt", "prompt_2", "negative_prompt", "negative_prompt_2"];

impl Job {
    /// Adds a position to `error`: that of the field that it names or is about, else that of the
    /// job.
    pub fn diagnostic(&self, error: Error) -> Diagnostic {
        let of_model = matches!(
            error.kind(),
            Kind::ModelNotFound | Kind::ModelFile | Kind::Network
        );
        let error = match error.field_name() {
            None if of_model => error.context("model"),
            _ => error,
        };
        let place = error
            .field_name()
            .or(of_model.then_some("model"))
            .and_then(|field| self.places.get(field));
        Diagnostic::new(place.unwrap_or(&self.place), error)
    }
}

/// Returns every job of `drafts`, and every error in them. `under` has defaults for the fields of
/// each draft, `over` overrides them.
pub fn jobs(drafts: &[Draft], under: &Fields, over: &Fields) -> (Vec<Job>, Vec<Diagnostic>) {
    let mut expansion = Expansion::default();
    for (number, draft) in drafts.iter().enumerate() {
        let draft = &Draft {
            fields: under.clone().under(&draft.fields),
            ..draft.clone()
        };
        if let Err(diagnostic) = expansion.expand_draft(number, draft, over) {
            expansion.diagnostics.push(diagnostic);
        }
    }
    (expansion.jobs, deduplicated(expansion.diagnostics))
}

/// Removes duplicate diagnostics: a wrong value of a matrix is wrong in every job.
pub(super) fn deduplicated(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    diagnostics
        .into_iter()
        .filter(|diagnostic| seen.insert((diagnostic.place.clone(), diagnostic.error.to_string())))
        .collect()
}

#[derive(Default)]
struct Expansion {
    jobs: Vec<Job>,
    diagnostics: Vec<Diagnostic>,
    names: HashMap<String, Place>,
    /// Number of times that each draft without a name occurred, by its fields and axes.
    unnamed: HashMap<Vec<String>, usize>,
    wildcards: Wildcards,
    patterns: HashMap<(String, PathBuf), Pattern>,
}

impl Expansion {
    fn expand_draft(
        &mut self,
        number: usize,
        draft: &Draft,
        over: &Fields,
    ) -> Result<(), Diagnostic> {
        let base = draft
            .name
            .clone()
            .unwrap_or_else(|| format!("{:04}", number + 1));
        let seed = self.default_seed(draft);
        let mut axes = draft.axes.clone();
        axes.retain(|axis| !over.params().has(&axis.name));
        self.check_job_limit(
            "matrix",
            axes.iter().map(|axis| axis.points.len()),
            &draft.place,
        )?;
        for element in cross_product(&axes) {
            let fields = draft.fields.clone().assigned(&element.assignments);
            let fields = fields.under(over);
            self.expand_element(
                &DraftContext {
                    base: &base,
                    seed,
                    number,
                    draft,
                },
                fields,
                &element,
            )?;
        }
        Ok(())
    }

    /// Default seed of a draft, the same each time. It is derived from the name, else from the
    /// prompt, so that it does not change when other drafts are inserted before; drafts that are
    /// equal in every field get different seeds. All elements of a matrix share the seed, so that
    /// they can be compared.
    fn default_seed(&mut self, draft: &Draft) -> u64 {
        if let Some(name) = &draft.name {
            return seed_from_text(name);
        }
        let values = draft.fields.values().into_iter();
        let values = values.map(|(key, value)| format!("{key}={value}"));
        let axes = draft
            .axes
            .iter()
            .flat_map(|axis| axis.points.iter().map(|point| point.label.clone()));
        let before = self
            .unnamed
            .entry(values.chain(axes).collect())
            .or_default();
        *before += 1;
        seed_from_text(&format!(
            "{}\n{before}",
            draft.fields.params().prompt.as_deref().unwrap_or_default()
        ))
    }

    /// Fails if the product of `counts` would exceed the maximum number of jobs.
    fn check_job_limit(
        &self,
        field: &str,
        counts: impl Iterator<Item = usize>,
        place: &Place,
    ) -> Result<(), Diagnostic> {
        let more = counts.fold(1, usize::saturating_mul);
        if more.saturating_add(self.jobs.len()) <= MAX_JOBS {
            return Ok(());
        }
        Err(Diagnostic::new(
            place,
            Error::field(field, format!("there are more than {MAX_JOBS} jobs")),
        ))
    }

    /// Adds the jobs of one matrix element: one for each expanded alternative and each image.
    fn expand_element(
        &mut self,
        of: &DraftContext<'_>,
        fields: Fields,
        element: &Element,
    ) -> Result<(), Diagnostic> {
        let mut patterns = Vec::new();
        for key in PROMPTS {
            if let Some(pattern) = self.parsed_pattern(key, &fields, of.draft)? {
                patterns.push((key, pattern));
            }
        }
        let written_out: Vec<Axis> = match of.draft.choices {
            Choices::Seed => Vec::new(),
            Choices::Expand => {
                let counts = patterns.iter().map(|(_, pattern)| pattern.count());
                self.check_job_limit("choices", counts, &of.draft.place)?;
                patterns
                    .drain(..)
                    .map(|(field, pattern)| {
                        let place = fields.place(field).unwrap_or(&of.draft.place);
                        alternatives_axis(field, &pattern, place)
                    })
                    .collect()
            }
        };
        for inner in cross_product(&written_out) {
            let name = format!("{}{}{}", of.base, element.name, inner.name);
            let at = element.at.iter().chain(&inner.at).cloned().collect();
            let fields = fields.clone().assigned(&inner.assignments);
            self.add_jobs(of, &fields, &name, at, &patterns);
        }
        Ok(())
    }

    fn parsed_pattern(
        &mut self,
        key: &str,
        fields: &Fields,
        draft: &Draft,
    ) -> Result<Option<Pattern>, Diagnostic> {
        let mut prompts = fields.params().prompts();
        let Some(Prompt { text, .. }) = prompts.find(|prompt| prompt.field == key) else {
            return Ok(None);
        };
        let id = (text.to_owned(), draft.folder.clone());
        if !self.patterns.contains_key(&id) {
            let parsed =
                Pattern::parse(text, &draft.folder, &mut self.wildcards).map_err(|error| {
                    let place = fields.place(key).unwrap_or(&draft.place);
                    Diagnostic::new(place, Error::field(key, error.to_string()))
                })?;
            self.patterns.insert(id.clone(), parsed);
        }
        Ok(self
            .patterns
            .get(&id)
            .filter(|pattern| !pattern.is_plain())
            .cloned())
    }

    /// Adds one job for each image of `count`.
    fn add_jobs(
        &mut self,
        of: &DraftContext<'_>,
        fields: &Fields,
        name: &str,
        at: Vec<Coordinate>,
        patterns: &[(&str, Pattern)],
    ) {
        let place = of.draft.place.clone();
        let job = |params: Params, name: String, index: u64| Job {
            name,
            index,
            numbered: of.draft.name.is_none(),
            params,
            at: at.clone(),
            draft: of.number,
            place: place.clone(),
            places: fields.places().clone(),
        };
        let params = fields.params();
        let errors = check(params);
        if !errors.is_empty() {
            let wrong = job(params.clone(), name.to_owned(), 0);
            return self.diagnostics.extend(
                errors
                    .into_iter()
                    .map(|error| wrong.diagnostic(without_cli_hint(error))),
            );
        }
        let count = params.count.unwrap_or(1);
        let seed = params.seed.and_then(Seed::number).unwrap_or(of.seed);
        if count.saturating_add(self.jobs.len() as u64) > MAX_JOBS as u64 {
            let error = Error::field("count", format!("there are more than {MAX_JOBS} jobs"));
            return self
                .diagnostics
                .push(job(params.clone(), name.to_owned(), 0).diagnostic(error));
        }
        for index in 0..count {
            let name = if count > 1 {
                format!("{name}-{index}")
            } else {
                name.to_owned()
            };
            let seed = seed.wrapping_add(index);
            let single = Params {
                seed: Some(seed.into()),
                count: None,
                ..params.clone()
            };
            let job = job(with_chosen_prompts(single, seed, patterns), name, index);
            match self.names.get(&job.name) {
                None => {
                    self.names.insert(job.name.clone(), job.place.clone());
                    self.jobs.push(job);
                }
                Some(other) => {
                    let error = Error::field(
                        "name",
                        format!("`{}` is the name of the job at {other}", job.name),
                    );
                    self.diagnostics.push(Diagnostic::new(&job.place, error));
                }
            }
        }
    }
}

/// Values that the jobs of one draft have in common.
struct DraftContext<'a> {
    base: &'a str,
    /// Seed if none is given.
    seed: u64,
    number: usize,
    draft: &'a Draft,
}

/// Alternatives of a prompt as an axis.
fn alternatives_axis(field: &'static str, pattern: &Pattern, place: &Place) -> Axis {
    let point = |text: String| Point {
        assignments: vec![Assignment {
            field,
            value: text.as_str().into(),
            place: place.clone(),
        }],
        label: text,
    };
    Axis {
        name: field.to_owned(),
        points: pattern.expanded().into_iter().map(point).collect(),
    }
}

/// `params` with the prompts that `seed` selects.
fn with_chosen_prompts(mut params: Params, seed: u64, patterns: &[(&str, Pattern)]) -> Params {
    for (field, pattern) in patterns {
        // A prompt takes any text.
        let _ = params.set(field, pattern.chosen(seed).into());
    }
    params
}

/// A 32-bit seed from the SHA-256 of a text.
fn seed_from_text(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
}

/// Replaces the error of a missing prompt, whose hint is about the command line.
fn without_cli_hint(error: Error) -> Error {
    match error.message() {
        "no prompt" => Error::new(Kind::Usage, "the job has no prompt"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::draft::Source;
    use super::super::formats::Form;
    use super::*;

    fn expand(text: &str, over: &Params) -> (Vec<Job>, Vec<String>) {
        let source = Source::parse(text, Path::new("b.toml"), Form::Toml);
        assert!(source.diagnostics.is_empty(), "{:?}", source.diagnostics);
        let (jobs, diagnostics) = jobs(
            &source.drafts,
            &Fields::default(),
            &Fields::of(over, &Place::new(&"flags".into(), 0)),
        );
        (
            jobs,
            diagnostics
                .iter()
                .map(|diagnostic| format!("{}: {}", diagnostic.place, diagnostic.error))
                .collect(),
        )
    }

    fn names(jobs: &[Job]) -> Vec<&str> {
        jobs.iter().map(|job| job.name.as_str()).collect()
    }

    #[test]
    fn a_matrix_and_a_count_become_jobs_of_one_picture() {
        let text = "[[job]]\nname = 'a'\nprompt = 'x'\nseed = 5\ncount = 2\nmatrix.steps = [1, 2]\n[[job]]\nprompt = 'y'\n";
        let (jobs, diagnostics) = expand(text, &Params::default());
        assert_eq!(diagnostics, Vec::<String>::new());
        assert_eq!(names(&jobs), ["a-1-0", "a-1-1", "a-2-0", "a-2-1", "0002"]);
        assert_eq!(
            (
                jobs[3].params.seed,
                jobs[3].params.count,
                jobs[3].params.steps
            ),
            (Some(6.into()), None, Some(2))
        );
        assert_eq!(
            jobs[4].params.seed,
            expand(text, &Params::default()).0[4].params.seed,
            "derived, not random"
        );
        let (jobs, _) = expand(
            text,
            &Params {
                steps: Some(7),
                count: Some(1),
                ..Params::default()
            },
        );
        assert_eq!(names(&jobs), ["a", "0002"]);
        assert_eq!(jobs[0].params.steps, Some(7));
    }

    #[test]
    fn alternatives_are_chosen_by_the_seed_or_written_out() {
        let text = "[[job]]\nname = 'a'\nprompt = 'a {red|blue} cat'\nseed = 0\ncount = 8\n";
        let (jobs, _) = expand(text, &Params::default());
        let prompts: HashSet<_> = jobs
            .iter()
            .map(|job| job.params.prompt.clone().unwrap())
            .collect();
        assert_eq!((jobs.len(), prompts.len()), (8, 2));
        let (jobs, _) = expand(
            &format!("{text}choices = 'expand'\n").replace("count = 8", ""),
            &Params::default(),
        );
        assert_eq!(names(&jobs), ["a-1", "a-2"]);
        assert_eq!(jobs[1].params.prompt.as_deref(), Some("a blue cat"));
        assert_eq!(
            jobs[1].at,
            [Coordinate {
                axis: "prompt".into(),
                value: "a blue cat".into()
            }]
        );
    }

    #[test]
    fn alternatives_that_nobody_could_draw_are_refused_before_they_are_written_out() {
        let prompt = "{a|b}".repeat(60);
        let text = format!("[[job]]\nprompt = '{prompt}'\nchoices = 'expand'\n");
        let (jobs, diagnostics) = expand(&text, &Params::default());
        assert!(
            jobs.is_empty() && diagnostics[0].contains("choices: there are more than"),
            "{diagnostics:?}"
        );
    }

    #[test]
    fn every_wrong_value_is_told_once_where_it_stands() {
        let text = "[defaults]\nwidth = 7\n[[job]]\nname = 'a'\nprompt = 'x'\nmatrix.sampler = ['eulr',\n 'ddim']\n\
                    matrix.seed = '1..=9'\n[[job]]\nname = 'b'\n[[job]]\nname = 'c'\nprompt = 'y'\nwidth = 64\n\
                    [[job]]\nname = 'c'\nprompt = 'z'\nwidth = 64\n";
        let (_, diagnostics) = expand(text, &Params::default());
        assert_eq!(
            diagnostics
                .iter()
                .map(|diagnostic| diagnostic.split(", got").next().unwrap())
                .collect::<Vec<_>>(),
            [
                "b.toml:2: width: expected a multiple of 8 from 8 to 8192",
                "b.toml:6: sampler: unknown sampler `eulr`",
                "b.toml:9: the job has no prompt",
                "b.toml:15: name: `c` is the name of the job at b.toml:11",
            ]
        );
    }
}
