//! The server: jobs over HTTP on the same parameters, engine and events as the command line. One
//! thread owns the engine and a bounded queue feeds it; jobs live on disk, or in Redis, where
//! several processes take them. Arguments and printing are the command line's.

mod a1111;
mod catalog;
mod clock;
mod desk;
mod door;
mod dry;
mod failure;
mod fields;
mod http;
mod job;
mod jobs;
mod journal;
mod local;
mod metrics;
mod openai;
mod openapi;
#[cfg(feature = "redis")]
mod shared;
mod store;
mod story;
mod supply;
mod uploads;
mod words;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::path::{MAIN_SEPARATOR, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub use self::clock::rfc3339;
pub use self::door::Door;
#[doc(hidden)]
pub use self::dry::asked;
use tokio::sync::watch;

use self::catalog::Catalog;
use self::door::Guard;
use self::job::{End, Halt, Job};
use self::local::Local;
use self::metrics::Metrics;
use self::store::{Bounds, Store};
use crate::env::{Hold, Hub};
use crate::error::{Error, Kind, Result};
use crate::params::{Params, Parsed};
use crate::prompt::LongPrompt;

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
    pub home: Home,
    /// Limits of requests and results.
    pub limits: Limits,
    /// True if prompts are logged.
    pub log_prompts: bool,
    /// Holds the engine, for tests.
    pub hold: Hold,
}

/// Storage of jobs.
pub enum Home {
    /// In this process, and in a folder of its own.
    Folder(PathBuf),
    /// In Redis, with other processes.
    Redis {
        /// Its address.
        url: String,
        /// Time without a sign of life after which another process takes over a job.
        lease: Duration,
    },
}

/// Limits of requests and of kept results.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs that wait.
    pub queue: usize,
    /// Bytes of a request.
    pub body: usize,
    /// Pixels of a picture, drawn or sent.
    pub pixels: u64,
    /// Pictures of one job.
    pub count: u64,
    /// Lifetime of results.
    pub age: Duration,
    /// Bytes of results that are kept.
    pub kept: u64,
}

impl Limits {
    /// None: for one who takes nothing in and lets nothing expire.
    pub fn none() -> Self {
        let (queue, body, pixels, count) = (usize::MAX, usize::MAX, u64::MAX, u64::MAX);
        Self {
            queue,
            body,
            pixels,
            count,
            age: Duration::MAX,
            kept: u64::MAX,
        }
    }
}

/// Most ended jobs that are remembered.
const ENDED: usize = 1000;
/// Time for open connections to end after the last job.
const GRACE: Duration = Duration::from_secs(5);
/// Interval between searches for expired jobs.
const SWEEP: Duration = Duration::from_secs(30);

/// State shared by all parts of the server.
struct Service {
    store: Box<dyn Store>,
    catalog: Catalog,
    metrics: Metrics,
    defaults: Params,
    hub: Hub,
    limits: Limits,
    guard: Guard,
    /// True while a model is fetched or loaded.
    loading: AtomicBool,
    /// The model that A1111's clients have set.
    chosen: Mutex<Option<String>>,
    log: Log,
    log_prompts: bool,
    hold: Hold,
    /// Lock of the request that currently counts the jobs.
    counting: Arc<tokio::sync::Mutex<()>>,
    /// Models that the operator named and that have yet to be fetched.
    missing: Mutex<Vec<String>>,
    /// Set when streams have to end.
    over: watch::Sender<bool>,
}

/// A server that listens and does not yet answer.
pub struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
}

/// A process that draws jobs from a shared queue and serves no requests.
pub struct Worker {
    service: Arc<Service>,
}

/// Handle that stops a server from elsewhere: a signal, a test.
#[derive(Clone)]
pub struct Stop(Arc<Service>);

impl Stop {
    /// Takes no more jobs; the running one is finished and the queue stays on disk.
    pub fn stop(&self) {
        self.0.store.close();
    }
}

impl Worker {
    /// Finds the queue.
    ///
    /// # Errors
    /// It is out of reach; the models have no names of their own.
    pub fn new(options: Options, log: Log) -> Result<Self> {
        let service = Service::open(options, None, log)?;
        Ok(Self {
            service: Arc::new(service),
        })
    }

    /// Handle that stops the worker.
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.service))
    }

    /// Draws until it is stopped and the running job is done.
    pub fn run(&self) {
        worker::run(&self.service, &self.service.hub);
    }
}

impl Server {
    /// Takes the port and the folder, and finds the jobs that an earlier process left.
    ///
    /// # Errors
    /// The port or the folder is another's, or the queue is out of reach; the models have no names
    /// of their own.
    pub fn bind(options: Options, door: Door, log: Log) -> Result<Self> {
        let asked = SocketAddr::new(door.host, door.port);
        let service = Service::open(options, Some(&door), log)?;
        let taken = |e: std::io::Error| {
            Error::new(Kind::Network, format!("cannot listen on `{asked}`"))
                .source(e)
                .hint("choose another port with `--port`")
        };
        let listener = TcpListener::bind(asked).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        Ok(Self {
            service: Arc::new(service),
            listener,
            address,
        })
    }

    /// Address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of jobs that already wait.
    ///
    /// # Errors
    /// The queue is out of reach.
    pub fn waiting(&self) -> Result<usize> {
        Ok(self.service.store.count()?.queued)
    }

    /// Handle that stops the server.
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.service))
    }

    /// Answers and draws until it is stopped and the running job is done.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn run(self) -> Result<()> {
        let Self {
            service, listener, ..
        } = self;
        let failed = |e: std::io::Error| Error::internal("cannot start the server").source(e);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(16)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let works = Arc::clone(&service);
        let worker = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || worker::run(&works, &works.hub))
            .map_err(failed)?;
        let supplied = Arc::clone(&service);
        let supply = std::thread::Builder::new().name("supply".to_owned());
        supply
            .spawn(move || supply::fetch(&supplied))
            .map_err(failed)?;
        let answers = runtime.spawn(http::serve(Arc::clone(&service), listener));
        runtime.spawn(sweep(Arc::clone(&service)));
        let ended = worker.join();
        service.over.send_replace(true);
        // Whoever is still connected after the grace is cut off.
        let _ = runtime.block_on(async { tokio::time::timeout(GRACE, answers).await });
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended.map_err(|_| Error::internal("the worker broke down"))
    }
}

/// Waits until `bell` is set.
async fn rung(bell: &mut watch::Receiver<bool>) {
    // A bell that is gone rings no more: the server is over as well.
    let _ = bell.wait_for(|rung| *rung).await;
}

/// Forgets expired jobs while nothing else happens.
async fn sweep(service: Arc<Service>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let service = Arc::clone(&service);
        // A sweep that fails is made up for by the next.
        let _ = tokio::task::spawn_blocking(move || service.store.expire(SystemTime::now())).await;
    }
}

impl Service {
    fn open(options: Options, door: Option<&Door>, log: Log) -> Result<Self> {
        let limits = options.limits;
        let catalog = Catalog::new(&options.models)?;
        let missing = supply::missing(&options.models, &options.defaults, &options.hub)?;
        let bounds = Bounds {
            queue: limits.queue,
            age: limits.age,
            bytes: limits.kept,
            ended: ENDED,
        };
        let guard = door.map(Guard::new).transpose()?.unwrap_or_default();
        let store = home(&options.home, bounds, &log)?;
        Ok(Self {
            store,
            catalog,
            metrics: Metrics::default(),
            defaults: defaults(options.defaults),
            hub: options.hub,
            limits,
            guard,
            loading: AtomicBool::new(false),
            chosen: Mutex::default(),
            log,
            log_prompts: options.log_prompts,
            hold: options.hold,
            counting: Arc::default(),
            missing: Mutex::new(missing),
            over: watch::Sender::new(false),
        })
    }

    fn missing(&self) -> MutexGuard<'_, Vec<String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job came to its end: counted and told.
    fn finish(&self, job: &Job, end: End) {
        if self.store.finish(job, end) {
            self.ended(job);
        }
    }

    /// Stops a job and counts it if this ended the job.
    fn stop(&self, job: &Job, stop: Halt) -> Result<()> {
        if self.store.stop(job, stop)? {
            self.ended(job);
        }
        Ok(())
    }

    /// Cancels a job whose client is gone.
    fn forsake(&self, job: &Arc<Job>) {
        if self.store.forsake(job) {
            self.ended(job);
        }
    }

    fn ended(&self, job: &Job) {
        let status = job.status();
        let wait = clock::between(Some(job.created), status.started);
        let draw = clock::between(status.started, status.ended);
        self.metrics
            .ended(status.state, status.images.len(), wait, draw);
        self.note(job, status.state.name());
    }

    /// Paths that clients must not see, with their replacements.
    fn secrets(&self, id: &str) -> Vec<(String, String)> {
        let folder = format!("{}{MAIN_SEPARATOR}", self.store.folder(id).display());
        std::iter::once((folder, String::new()))
            .chain(self.catalog.secrets())
            .collect()
    }

    /// As `secrets`, with all other paths of this machine that an error may contain.
    fn places(&self, id: &str) -> Vec<(String, String)> {
        let job = self.store.folder(id);
        let folders = [
            Some(job),
            self.hub.cache.clone(),
            Some(std::env::temp_dir()),
        ];
        // A part of a path may stand in any text.
        let folders = folders
            .into_iter()
            .flatten()
            .filter(|folder| folder.is_absolute());
        let folders = folders
            .map(|folder| folder.display().to_string())
            .filter(|folder| folder.len() > 1);
        let hidden = folders.flat_map(|folder| {
            let within = format!("{folder}{MAIN_SEPARATOR}");
            [
                (within, String::new()),
                (folder, "the server's folder".to_owned()),
            ]
        });
        self.secrets(id).into_iter().chain(hidden).collect()
    }

    /// Logs a line about a job.
    fn note(&self, job: &Job, what: &str) {
        let prompt = job
            .order
            .params
            .prompt
            .as_deref()
            .filter(|_| self.log_prompts);
        let prompt = prompt
            .map(|prompt| format!(" {}", serde_json::Value::from(prompt)))
            .unwrap_or_default();
        (self.log)(&format!("{} {what}{prompt}", job.id));
    }
}

/// Default for long prompts over HTTP, where nobody sees which words are cut off.
const LONG_PROMPT: LongPrompt = LongPrompt::Chunk;

/// Defaults where neither the client nor the operator sets a value.
fn defaults(operator: Params) -> Params {
    let long_prompt = operator
        .long_prompt
        .or_else(|| Some(Parsed::new(LONG_PROMPT)));
    Params {
        long_prompt,
        ..operator
    }
}

fn home(home: &Home, bounds: Bounds, log: &Log) -> Result<Box<dyn Store>> {
    match home {
        Home::Folder(folder) => Ok(Box::new(Local::open(folder, bounds, Arc::clone(log))?)),
        #[cfg(feature = "redis")]
        Home::Redis { url, lease } => {
            let shared = shared::Shared::open(url, *lease, bounds, Arc::clone(log))?;
            Ok(Box::new(shared))
        }
        #[cfg(not(feature = "redis"))]
        Home::Redis { .. } => Err(Error::field(
            "queue",
            "this sdgen is built without the feature `redis`",
        )
        .hint("build one with it: `cargo install sdgen --features redis`")),
    }
}
