//! Settings of a server or a worker, as the command line gives them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::env::{Hold, Hub};
use crate::params::Params;

/// Sink for log lines.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Settings of the job processing, for servers and workers.
pub struct Options {
    /// Models that are offered, the default first; every known version when empty.
    pub models: Vec<String>,
    /// Parameters of every job that the operator sets: device, threads and so on.
    pub defaults: Params,
    /// Source of models: the hub and its cache.
    pub hub: Hub,
    /// Storage of jobs.
    pub storage: Storage,
    /// Limits of requests and results.
    pub limits: Limits,
    /// True if prompts are logged.
    pub log_prompts: bool,
    /// Holds the engine, for tests.
    pub hold: Hold,
}

/// Storage of jobs.
pub enum Storage {
    /// Memory of this process, with a journal in this directory.
    StateDir(PathBuf),
    /// Redis, shared with other processes.
    Redis {
        /// URL of the Redis server.
        url: String,
        /// Time without a report after which another process takes over a job.
        lease: Duration,
    },
}

/// Limits of requests and of stored results.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Queued jobs.
    pub queue: usize,
    /// Bytes of a request.
    pub body: usize,
    /// Pixels of an image, generated or uploaded.
    pub pixels: u64,
    /// Images of one job.
    pub count: u64,
    /// Lifetime of results.
    pub age: Duration,
    /// Bytes of stored results.
    pub kept: u64,
}

impl Limits {
    /// No limits, for a worker: it accepts no requests and expires no results.
    pub fn none() -> Self {
        Self {
            queue: usize::MAX,
            body: usize::MAX,
            pixels: u64::MAX,
            count: u64::MAX,
            age: Duration::MAX,
            kept: u64::MAX,
        }
    }
}
