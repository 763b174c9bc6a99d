//! Turns jobs into plans: every model is found once, every value checked and every file named
//! before any image is generated.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::fields::Fault;
use super::job::{Job, once};
use super::source::Output;
use crate::error::{Error, Kind, Result};
use crate::event::Observer;
use crate::output::file_names::{Template, Values};
use crate::params::Request;
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
            .path(&values(&self.plan, name, self.job.index))
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
    /// Errors of models that could not be used, by request.
    lost: HashMap<Asked, (Kind, String, Vec<String>)>,
}

/// Model, dtype and offline flag of a job.
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

    /// Plans the job; a model that could not be found is not searched again.
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

/// Values of the fields in a file name template.
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

/// Inputs of the hash that identifies an image.
#[derive(Serialize)]
struct Identity<'a> {
    request: &'a Request,
    weights: &'a std::collections::BTreeMap<String, String>,
    inputs: &'a std::collections::BTreeMap<String, String>,
}

/// `template` in the folder `dir`, whose braces are escaped.
fn within(dir: Option<&str>, template: &str) -> String {
    match dir {
        Some(dir) if !Path::new(template).is_absolute() => {
            let dir = dir.trim_end_matches(std::path::is_separator);
            format!("{}/{template}", dir.replace('{', "{{").replace('}', "}}"))
        }
        _ => template.to_owned(),
    }
}

/// Faults of jobs that would write the same file.
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
                let error = Error::field("output", message);
                let hint = if other.name == job.name {
                    "let the template have `{name}`"
                } else {
                    "let the template have `{name}`; of each field 80 bytes count, so names that \
                     begin with the same 80 are one"
                };
                faults.push(job.fault(error.hint(hint)));
            }
            Some(_) => {}
        }
    }
    faults
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
