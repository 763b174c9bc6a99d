//! State that all parts of a server share: job storage, offered models, limits and metrics.

use std::path::MAIN_SEPARATOR;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::env::{Hold, Hub};
#[cfg(not(feature = "redis"))]
use crate::error::Error;
use crate::error::Result;
use crate::params::{Params, Parsed};
use crate::prompt::LongPrompt;
use crate::serve::access::{AccessRules, BindOptions};
use crate::serve::job::{Job, Outcome, StopMode};
use crate::serve::metrics::Metrics;
use crate::serve::model_catalog::ModelCatalog;
use crate::serve::model_fetch::MissingModels;
use crate::serve::options::{Limits, Log, Options, Storage};
use crate::serve::store::local::LocalStore;
use crate::serve::store::{Retention, Store};
use crate::serve::timestamp;

/// Maximum number of ended jobs that are kept.
const MAX_ENDED_JOBS: usize = 1000;

/// State shared by all parts of the server.
pub(crate) struct Service {
    pub(crate) store: Box<dyn Store>,
    pub(crate) catalog: ModelCatalog,
    pub(crate) metrics: Metrics,
    pub(crate) defaults: Params,
    pub(crate) hub: Hub,
    pub(crate) limits: Limits,
    pub(crate) access: AccessRules,
    /// True while a model is fetched or loaded.
    pub(crate) loading: AtomicBool,
    /// Model set through A1111's `/options`.
    a1111_model: Mutex<Option<String>>,
    pub(crate) log: Log,
    log_prompts: bool,
    pub(crate) hold: Hold,
    /// Lock of the request that currently counts the jobs.
    pub(crate) counting: Arc<tokio::sync::Mutex<()>>,
    /// Models named by the operator that have yet to be fetched.
    pub(crate) missing_models: MissingModels,
    /// Set when event streams and waiting requests have to end.
    pub(crate) shutdown: watch::Sender<bool>,
}

/// Waits until the server shuts down.
pub(crate) async fn shutdown_requested(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone; then the server has shut down as well.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

impl Service {
    pub(crate) fn open(options: Options, bind: Option<&BindOptions>, log: Log) -> Result<Self> {
        let limits = options.limits;
        let catalog = ModelCatalog::new(&options.models)?;
        let missing_models = MissingModels::find(&options.models, &options.defaults, &options.hub)?;
        let retention = Retention {
            queue: limits.queue,
            age: limits.age,
            bytes: limits.kept,
            ended: MAX_ENDED_JOBS,
        };
        let access = bind.map(AccessRules::new).transpose()?.unwrap_or_default();
        Ok(Self {
            store: open_store(&options.storage, retention, &log)?,
            catalog,
            metrics: Metrics::new()?,
            defaults: with_long_prompts(options.defaults),
            hub: options.hub,
            limits,
            access,
            loading: AtomicBool::new(false),
            a1111_model: Mutex::default(),
            log,
            log_prompts: options.log_prompts,
            hold: options.hold,
            counting: Arc::default(),
            missing_models,
            shutdown: watch::Sender::new(false),
        })
    }

    pub(crate) fn a1111_model(&self) -> MutexGuard<'_, Option<String>> {
        self.a1111_model
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a job with this outcome, and counts it.
    pub(crate) fn finish(&self, job: &Job, outcome: Outcome) {
        if self.store.finish(job, outcome) {
            self.record_end(job);
        }
    }

    /// Stops a job and counts it if this ended the job.
    pub(crate) fn stop(&self, job: &Job, mode: StopMode) -> Result<()> {
        if self.store.stop(job, mode)? {
            self.record_end(job);
        }
        Ok(())
    }

    /// Cancels a job after its client has disconnected.
    pub(crate) fn abandon(&self, job: &Arc<Job>) {
        if self.store.abandon(job) {
            self.record_end(job);
        }
    }

    fn record_end(&self, job: &Job) {
        let status = job.status();
        let wait = timestamp::seconds_between(Some(job.created), status.started);
        let run = timestamp::seconds_between(status.started, status.ended);
        self.metrics
            .record_job(status.state, status.images.len(), wait, run);
        self.log_job(job, status.state.name());
    }

    /// Paths that clients must not see, with their replacements.
    pub(crate) fn private_paths(&self, id: &str) -> Vec<(String, String)> {
        let upload_dir = format!("{}{MAIN_SEPARATOR}", self.store.upload_dir(id).display());
        let mut paths = vec![(upload_dir, String::new())];
        paths.extend(self.catalog.private_paths());
        paths
    }

    /// As `private_paths`, with all other paths of this machine that an error may contain.
    pub(crate) fn all_private_paths(&self, id: &str) -> Vec<(String, String)> {
        let mut paths = self.private_paths(id);
        let upload_dir = self.store.upload_dir(id);
        for dir in [
            Some(upload_dir),
            self.hub.cache.clone(),
            Some(std::env::temp_dir()),
        ] {
            // A relative path, or `/`, may occur in any text.
            let Some(dir) = dir.filter(|dir| dir.is_absolute()) else {
                continue;
            };
            let dir = dir.display().to_string();
            if dir.len() > 1 {
                paths.push((format!("{dir}{MAIN_SEPARATOR}"), String::new()));
                paths.push((dir, "the server's folder".to_owned()));
            }
        }
        paths
    }

    /// Logs a line about a job.
    pub(crate) fn log_job(&self, job: &Job, what: &str) {
        let prompt = match &job.spec.params.prompt {
            Some(prompt) if self.log_prompts => format!(" {}", serde_json::json!(prompt)),
            _ => String::new(),
        };
        (self.log)(&format!("{} {what}{prompt}", job.id));
    }
}

/// Default for long prompts over HTTP, where nobody sees a warning that words are cut off.
pub(crate) const LONG_PROMPT: LongPrompt = LongPrompt::Chunk;

fn with_long_prompts(operator: Params) -> Params {
    let long_prompt = operator
        .long_prompt
        .or_else(|| Some(Parsed::new(LONG_PROMPT)));
    Params {
        long_prompt,
        ..operator
    }
}

fn open_store(storage: &Storage, retention: Retention, log: &Log) -> Result<Box<dyn Store>> {
    match storage {
        Storage::StateDir(dir) => Ok(Box::new(LocalStore::open(dir, retention, Arc::clone(log))?)),
        #[cfg(feature = "redis")]
        Storage::Redis { url, lease } => {
            use crate::serve::store::redis::RedisStore;
            let store = RedisStore::open(url, *lease, retention, Arc::clone(log))?;
            Ok(Box::new(store))
        }
        #[cfg(not(feature = "redis"))]
        Storage::Redis { .. } => Err(Error::field(
            "queue",
            "this sdgen is built without the feature `redis`",
        )
        .hint("build one with it: `cargo install sdgen --features redis`")),
    }
}
