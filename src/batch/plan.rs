//! Jobs to plans: every model found once, every value checked, every file named, before anything is
//! drawn.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::fields::Fault;
use super::job::{Job, once};
use super::source::Output;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::output::path::{Template, Values};
use crate::plan::{Plan, Planner};
use crate::request::Request;

/// The names of files where a batch does not say.
pub const DEFAULT_TEMPLATE: &str = "{name}.png";

/// A job that can be drawn at once.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The job.
    pub job: Job,
    /// Every value and every model.
    pub plan: Plan,
    /// Where the picture goes.
    pub path: PathBuf,
    /// It is there, and is what was written.
    pub finished: bool,
    /// What is there is replaced.
    pub replaces: bool,
    /// How the path is made.
    template: Template,
    /// Tells what is drawn, from what and with which weights: the hash of the resolved request, of
    /// the pictures that it reads and of the weights. Hexadecimal.
    pub key: String,
}

impl Planned {
    /// What a line of the manifest is found by.
    pub(super) fn id(&self) -> (String, PathBuf) {
        (self.key.clone(), self.path.clone())
    }

    /// Where the picture would go if its job were called `name`.
    pub(super) fn path_as(&self, name: &str) -> PathBuf {
        self.template
            .path(&values(&self.plan, name, self.job.index))
    }
}

/// Plans `jobs`, whose pictures go where `output` says.
///
/// # Errors
/// The observer stops it. What is wrong with the jobs is in the second part.
pub fn plan(
    jobs: Vec<Job>,
    output: &Output,
    planner: &mut Planner,
    observer: &mut dyn Observer,
) -> Result<(Vec<Planned>, Vec<Fault>)> {
    let mut planning = Planning::new(output);
    let mut planned = Vec::with_capacity(jobs.len());
    let mut faults = Vec::new();
    for job in jobs {
        match planning.job(&job, planner, observer) {
            Ok((plan, template, key)) => {
                let path = template.path(&values(&plan, &job.name, job.index));
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
            Err(error) => faults.push(job.fault(error)),
        }
    }
    faults.extend(collisions(&planned));
    Ok((planned, once(faults)))
}

struct Planning<'a> {
    output: &'a Output,
    templates: HashMap<String, Template>,
    /// What was wrong with a model, by how it was asked for.
    lost: HashMap<Asked, (Kind, String, Vec<String>)>,
}

/// A model, its arithmetic, and whether the network may be asked.
type Asked = (Option<String>, Option<String>, Option<bool>);

impl<'a> Planning<'a> {
    fn new(output: &'a Output) -> Self {
        Self {
            output,
            templates: HashMap::new(),
            lost: HashMap::new(),
        }
    }

    fn job(
        &mut self,
        job: &Job,
        planner: &mut Planner,
        observer: &mut dyn Observer,
    ) -> Result<(Plan, Template, String)> {
        let template = self.template(job)?;
        let plan = self.found(job, planner, observer)?;
        let key = key(&plan)?;
        Ok((plan, template, key))
    }

    /// The plan; a model that could not be found is not looked for again.
    fn found(
        &mut self,
        job: &Job,
        planner: &mut Planner,
        observer: &mut dyn Observer,
    ) -> Result<Plan> {
        let params = &job.params;
        let asked = (params.model.clone(), params.dtype.clone(), params.offline);
        if let Some((kind, message, hints)) = self.lost.get(&asked) {
            let error = Error::new(*kind, message.clone());
            return Err(hints.iter().fold(error, Error::hint));
        }
        planner.plan(params, observer).inspect_err(|error| {
            if matches!(
                error.kind(),
                Kind::ModelNotFound | Kind::Network | Kind::ModelFile
            ) {
                self.lost.insert(
                    asked,
                    (error.kind(), error.to_string(), error.hints().to_vec()),
                );
            }
        })
    }

    fn template(&mut self, job: &Job) -> Result<Template> {
        let named = job
            .params
            .output
            .as_deref()
            .or(self.output.template.as_deref());
        let text = within(
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

/// What the fields of a file's name stand for.
fn values<'a>(plan: &'a Plan, name: &'a str, index: u64) -> Values<'a> {
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
fn key(plan: &Plan) -> Result<String> {
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
    Ok(crate::registry::hex(&Sha256::digest(&json)[..16]))
}

/// What tells a picture from another.
#[derive(Serialize)]
struct Identity<'a> {
    request: &'a Request,
    weights: &'a std::collections::BTreeMap<String, String>,
    inputs: &'a std::collections::BTreeMap<String, String>,
}

/// `template` within the folder `dir`, whose braces are braces.
fn within(dir: Option<&str>, template: &str) -> String {
    match dir {
        Some(dir) if !Path::new(template).is_absolute() => {
            let dir = dir.trim_end_matches(std::path::is_separator);
            format!("{}/{template}", dir.replace('{', "{{").replace('}', "}}"))
        }
        _ => template.to_owned(),
    }
}

/// Jobs that would write the same file.
fn collisions(planned: &[Planned]) -> Vec<Fault> {
    let mut taken: HashMap<&Path, &Job> = HashMap::new();
    let mut faults = Vec::new();
    let mut told = HashSet::new();
    for Planned { job, path, .. } in planned {
        match taken.get(path.as_path()) {
            None => {
                taken.insert(path, job);
            }
            Some(other) if told.insert(path) => {
                let message = format!(
                    "jobs `{}` and `{}` would both write `{}`",
                    other.name,
                    job.name,
                    path.display()
                );
                faults.push(
                    job.fault(
                        Error::field("output", message).hint("let the template have `{name}`"),
                    ),
                );
            }
            Some(_) => {}
        }
    }
    faults
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
