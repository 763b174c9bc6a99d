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
use crate::config::{Hold, Hub};
use crate::error::{Error, Kind, Result};
use crate::prompt::LongPrompt;
use crate::request::Params;

/// Takes lines for the operator.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// How jobs are drawn, whoever asks for them.
pub struct Options {
    /// Models that are offered, the default first; every known version when empty.
    pub models: Vec<String>,
    /// What every job is drawn with, whoever asks: device, threads and their like.
    pub defaults: Params,
    /// Where models come from.
    pub hub: Hub,
    /// Where jobs are kept.
    pub home: Home,
    /// How much is taken.
    pub limits: Limits,
    /// Whether prompts stand in the log.
    pub log_prompts: bool,
    /// Holds the engine, for tests.
    pub hold: Hold,
}

/// Where jobs are kept.
pub enum Home {
    /// In this process, and in a folder of its own.
    Folder(PathBuf),
    /// In Redis, with other processes.
    Redis {
        /// Its address.
        url: String,
        /// How long a process may be silent before its job is another's.
        lease: Duration,
    },
}

/// How much a server takes and keeps.
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
    /// How long results are kept.
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
/// How long open connections may take to end after the last job.
const GRACE: Duration = Duration::from_secs(5);
/// How often expired jobs are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// What every part of the server shares.
struct Service {
    store: Box<dyn Store>,
    catalog: Catalog,
    metrics: Metrics,
    defaults: Params,
    hub: Hub,
    limits: Limits,
    guard: Guard,
    /// A model is being fetched or loaded.
    loading: AtomicBool,
    /// The model that A1111's clients have set.
    chosen: Mutex<Option<String>>,
    log: Log,
    log_prompts: bool,
    hold: Hold,
    /// Held by the one who asks how many jobs there are.
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

/// One that draws what others have taken in, and answers nobody.
pub struct Worker {
    service: Arc<Service>,
}

/// Ends a server from elsewhere: a signal, a test.
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

    /// What ends it.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many jobs wait already.
    ///
    /// # Errors
    /// The queue is out of reach.
    pub fn waiting(&self) -> Result<usize> {
        Ok(self.service.store.count()?.queued)
    }

    /// What ends it.
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

/// Waits until `bell` has rung.
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

    /// Stops a job.
    fn stop(&self, job: &Job, stop: Halt) -> Result<()> {
        if self.store.stop(job, stop)? {
            self.ended(job);
        }
        Ok(())
    }

    /// Stops a job that nobody waits for any more.
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

    /// Paths that clients need not know, and what stands for them.
    fn secrets(&self, id: &str) -> Vec<(String, String)> {
        let folder = format!("{}{MAIN_SEPARATOR}", self.store.folder(id).display());
        std::iter::once((folder, String::new()))
            .chain(self.catalog.secrets())
            .collect()
    }

    /// The same with everything else of this machine that a failure may tell of.
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
        let hidden = folders.flat_map(|folder| [format!("{folder}{MAIN_SEPARATOR}"), folder]);
        self.secrets(id)
            .into_iter()
            .chain(hidden.map(|folder| (folder, String::new())))
            .collect()
    }

    /// A line about a job.
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

/// What becomes of a long prompt over HTTP, where nobody sees the words that are cut off.
const LONG_PROMPT: LongPrompt = LongPrompt::Chunk;

/// What holds where neither the client nor the operator says otherwise.
fn defaults(operator: Params) -> Params {
    let long_prompt = operator
        .long_prompt
        .or_else(|| Some(LONG_PROMPT.name().to_owned()));
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
