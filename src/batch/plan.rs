//! Turns jobs into plans: every model is found once, every value checked and every file named
//! before any image is generated.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::draft::Output;
use super::fields::Diagnostic;
use super::job::{Job, deduplicated};
use crate::device::Dtype;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::output::file_names::{Template, Values};
use crate::params::{Parsed, Request};
use crate::planner::{Plan, Planner};

/// Template of file names if a batch gives none.
pub const DEFAULT_TEMPLATE: &str = "{name}.png";

/// A job that is ready to run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The job.
    pub job: Job,
    /// Resolved request and models.
    pub plan: Plan,
    /// Path of the image.
    pub path: PathBuf,
    /// True if the image exists and is still as it was written.
    pub finished: bool,
    /// True if an existing file at the path may be replaced.
    pub replaces: bool,
    /// Template of the path.
    template: Template,
    /// Identity of the image: a hash of the resolved request, of the input images and of the
    /// weights, in 32 hexadecimal digits.
    pub key: String,
}

impl Planned {
    /// Key and path, by which a line of the manifest is found.
    pub(super) fn id(&self) -> (String, PathBuf) {
        (self.key.clone(), self.path.clone())
    }

    /// Path of the image if its job were called `name`.
    pub(super) fn path_as(&self, name: &str) -> PathBuf {
        self.template
            .path(&template_values(&self.plan, name, self.job.index))
    }
}

/// Plans `jobs`, whose images go where `output` says.
///
/// # Errors
/// The observer stops it. What is wrong with the jobs is in the second part.
pub fn plan(
    jobs: Vec<Job>,
    output: &Output,
    planner: &mut Planner,
    observer: &mut dyn Observer,
) -> Result<(Vec<Planned>, Vec<Diagnostic>)> {
    let mut planning = Planning::new(output);
    let mut planned = Vec::with_capacity(jobs.len());
    let mut diagnostics = Vec::new();
    for job in jobs {
        match planning.plan_job(&job, planner, observer) {
            Ok((plan, template, key)) => {
                let path = template.path(&template_values(&plan, &job.name, job.index));
                planned.push(Planned {
                    job,
                    plan,
                    path,
                    finished: false,
                    replaces: false,
                    template,
                    key,
                });
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => diagnostics.push(job.diagnostic(error)),
        }
    }
    diagnostics.extend(file_collisions(&planned));
    Ok((planned, deduplicated(diagnostics)))
}

struct Planning<'a> {
    output: &'a Output,
    templates: HashMap<String, Template>,
    /// Errors of models that could not be used, by request.
    lost: HashMap<ModelOptions, LostModel>,
}

/// Options that decide which files of a model are looked for.
#[derive(PartialEq, Eq, Hash)]
struct ModelOptions {
    model: Option<String>,
    dtype: Option<Dtype>,
    offline: Option<bool>,
}

/// Error of a model that could not be used.
struct LostModel {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl<'a> Planning<'a> {
    fn new(output: &'a Output) -> Self {
        Self {
            output,
            templates: HashMap::new(),
            lost: HashMap::new(),
        }
    }

    fn plan_job(
        &mut self,
        job: &Job,
        planner: &mut Planner,
        observer: &mut dyn Observer,
    ) -> Result<(Plan, Template, String)> {
        let template = self.file_template(job)?;
        let plan = self.plan_or_recall_error(job, planner, observer)?;
        let key = image_key(&plan)?;
        Ok((plan, template, key))
    }

    /// Plans the job; a model that could not be found is not searched again.
    fn plan_or_recall_error(
        &mut self,
        job: &Job,
        planner: &mut Planner,
        observer: &mut dyn Observer,
    ) -> Result<Plan> {
        let params = &job.params;
        let options = ModelOptions {
            model: params.model.clone(),
            dtype: params.dtype.as_ref().and_then(Parsed::value).copied(),
            offline: params.offline,
        };
        if let Some(lost) = self.lost.get(&options) {
            let error = Error::new(lost.kind, lost.message.clone());
            return Err(lost.hints.iter().fold(error, Error::hint));
        }
        planner.plan(params, observer).inspect_err(|error| {
            if matches!(
                error.kind(),
                Kind::ModelNotFound | Kind::Network | Kind::ModelFile
            ) {
                let lost = LostModel {
                    kind: error.kind(),
                    message: error.to_string(),
                    hints: error.hints().to_vec(),
                };
                self.lost.insert(options, lost);
            }
        })
    }

    fn file_template(&mut self, job: &Job) -> Result<Template> {
        let named = job
            .params
            .output
            .as_deref()
            .or(self.output.template.as_deref());
        let text = in_folder(
            self.output.dir.as_deref(),
            named.unwrap_or(DEFAULT_TEMPLATE),
        );
        if !self.templates.contains_key(&text) {
            self.templates.insert(text.clone(), Template::parse(&text)?);
        }
        self.templates
            .get(&text)
            .cloned()
            .ok_or_else(|| Error::internal("a template that is not there"))
    }
}

/// Values of the fields in a file name template.
fn template_values<'a>(plan: &'a Plan, name: &'a str, index: u64) -> Values<'a> {
    let request = &plan.request;
    Values {
        request,
        model: &plan.base.files.name,
        seed: request.seed,
        index,
        name,
    }
}

/// The key of a plan ([`Planned::key`]).
fn image_key(plan: &Plan) -> Result<String> {
    let request = Request {
        batch_size: 1,
        ..plan.request.clone()
    };
    let identity = Identity {
        request: &request,
        weights: &plan.weights,
        inputs: &plan.inputs,
    };
    let json = serde_json::to_vec(&identity)
        .map_err(|e| Error::internal("a request that is no JSON").source(e))?;
    Ok(crate::hash::hex(&Sha256::digest(&json)[..16]))
}

/// Inputs of the hash that identifies an image.
#[derive(Serialize)]
struct Identity<'a> {
    request: &'a Request,
    weights: &'a std::collections::BTreeMap<String, String>,
    inputs: &'a std::collections::BTreeMap<String, String>,
}

/// `template` in the folder `dir`, whose braces are escaped.
fn in_folder(dir: Option<&str>, template: &str) -> String {
    match dir {
        Some(dir) if !Path::new(template).is_absolute() => {
            let dir = dir.trim_end_matches(std::path::is_separator);
            format!("{}/{template}", dir.replace('{', "{{").replace('}', "}}"))
        }
        _ => template.to_owned(),
    }
}

/// Faults of jobs that would write the same file.
fn file_collisions(planned: &[Planned]) -> Vec<Diagnostic> {
    let mut taken: HashMap<&Path, &Job> = HashMap::new();
    let mut diagnostics = Vec::new();
    let mut reported = HashSet::new();
    for Planned { job, path, .. } in planned {
        match taken.get(path.as_path()) {
            None => {
                taken.insert(path, job);
            }
            Some(other) if reported.insert(path) => {
                let message = format!(
                    "jobs `{}` and `{}` would both write `{}`",
                    other.name,
                    job.name,
                    path.display()
                );
                let error = Error::field("output", message);
                let hint = if other.name == job.name {
                    "let the template have `{name}`"
                } else {
                    "let the template have `{name}`; of each field 80 bytes count, so names that \
                     begin with the same 80 are one"
                };
                diagnostics.push(job.diagnostic(error.hint(hint)));
            }
            Some(_) => {}
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::super::draft::Source;
    use super::super::fields::Fields;
    use super::super::formats::Form;
    use super::super::grouping::forwards;
    use super::super::job::jobs;
    use super::super::shard::Shard;
    use super::*;
    use crate::env::Hub;
    use crate::event::{Event, Flow};

    fn planned(text: &str) -> (Vec<Planned>, Vec<String>) {
        let source = Source::parse(text, Path::new("b.toml"), Form::Toml);
        let (jobs, first) = jobs(&source.drafts, &Fields::default(), &Fields::default());
        let mut silent = |_: &Event| Flow::Continue;
        let mut planner = Planner::new(Hub {
            offline: true,
            ..Hub::default()
        });
        let (planned, second) = plan(jobs, &source.output, &mut planner, &mut silent).unwrap();
        let diagnostics = source.diagnostics.iter().chain(&first).chain(&second);
        (
            planned,
            diagnostics
                .map(|diagnostic| format!("{}: {}", diagnostic.place, diagnostic.error))
                .collect(),
        )
    }

    const MATRIX: &str = "[defaults]\nmodel = 'demo'\nprompt = 'x'\n[output]\ndir = 'out'\n[[job]]\nname = 'a'\n\
                          matrix.sampler = ['euler', 'ddim', 'heun', 'lms']\nmatrix.steps = [4, 8, 12, 16, 20]\n";

    #[test]
    fn files_are_named_after_jobs_and_keys_tell_pictures_apart() {
        let (planned, diagnostics) = planned(&format!(
            "{MATRIX}[[job]]\nname = 'b'\nbatch_size = 4\nseed = 3\n[[job]]\nname = 'c'\nseed = 3\n"
        ));
        assert_eq!(diagnostics, Vec::<String>::new());
        assert_eq!(
            (planned.len(), planned[0].path.as_path()),
            (22, Path::new("out/a-euler-4.png"))
        );
        let keys: HashSet<&String> = planned.iter().map(|planned| &planned.key).collect();
        assert_eq!(
            keys.len(),
            21,
            "the size of a forward makes no other picture, and a name neither"
        );
        assert!(planned.iter().all(|planned| planned.key.len() == 32));
    }

    #[test]
    fn parts_together_are_the_whole() {
        let (planned, _) = planned(&format!("{MATRIX}matrix.seed = '1..=10'\n"));
        let part = |index| {
            planned
                .iter()
                .filter(move |planned| Shard { index, count: 3 }.has(&planned.key))
                .count()
        };
        let parts = [part(0), part(1), part(2)];
        assert_eq!(parts.iter().sum::<usize>(), 200);
        assert!(
            parts.iter().all(|part| (40..100).contains(part)),
            "{parts:?}"
        );
    }

    #[test]
    fn what_only_the_model_can_tell_is_told_for_every_job() {
        let (_, diagnostics) = planned(
            "[defaults]\nprompt = 'x'\nmodel = 'demo'\n[[job]]\nname = 'a'\nmodel = 'sd51'\nmatrix.seed = '1..=3'\n\
             [[job]]\nname = 'b'\nrefiner = 'sdxl-refiner'\n[[job]]\nname = 'c'\ninit_image = 'none.png'\n\
             [[job]]\nname = 'd'\noutput = '{sed}.png'\n[[job]]\nname = 'e'\noutput = 'same.png'\ncount = 3\n",
        );
        let messages: Vec<&str> = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.split_once(": ").unwrap().1)
            .collect();
        assert_eq!(messages.len(), 5, "{diagnostics:#?}");
        assert!(
            messages[0].starts_with("model: model `sd51` is no known name"),
            "{messages:?}"
        );
        assert!(messages[1].starts_with("refiner: "), "{messages:?}");
        assert!(
            messages[2].starts_with("init_image: cannot read `none.png`"),
            "{messages:?}"
        );
        assert_eq!(messages[3], "output: unknown template field `sed`");
        assert_eq!(
            messages[4],
            "output: jobs `e-0` and `e-1` would both write `same.png`"
        );
    }

    #[test]
    fn ten_thousand_jobs_are_planned_in_a_second() {
        let begun = Instant::now();
        let (planned, diagnostics) = planned(
            &MATRIX
                .replace("[4, 8, 12, 16, 20]", "'4..=28'")
                .replace("name = 'a'", "name = 'a'\nmatrix.seed = '1..=100'"),
        );
        let forwards = forwards(&planned);
        let took = begun.elapsed();
        assert_eq!((planned.len(), diagnostics.len()), (10_000, 0));
        assert_eq!(forwards.len(), 10_000);
        // The bound is an optimised build's; tests are built with little optimisation and share their
        // machine.
        assert!(
            took < Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 }),
            "{took:?}"
        );
    }
}
