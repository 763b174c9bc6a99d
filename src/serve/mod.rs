//! The HTTP server: a job queue on the same parameters, engine and events as the command line. One
//! thread owns the engine and takes jobs from a bounded queue; jobs are stored on disk, or in
//! Redis, where several processes share them. Parsing arguments and printing is left to `cli`.

mod access;
/// APIs of other servers on the same jobs.
mod compat {
    pub(crate) mod a1111;
    pub(crate) mod openai;
}
mod event_log;
mod failure;
mod fields;
mod fuzz;
/// Parts of HTTP that all routes share; nothing here knows a route.
mod http {
    pub(crate) mod body;
    pub(crate) mod listen;
    pub(crate) mod middleware;
    pub(crate) mod responses;
    pub(crate) mod wait;
}
mod image_record;
mod job;
mod metrics;
mod model_catalog;
mod model_fetch;
mod options;
mod routes;
mod schema;
mod service;
mod store;
mod submit;
mod timestamp;
mod uploads;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::access::BindOptions;
#[doc(hidden)]
pub use self::fuzz::parse_request_body;
pub use self::options::{Limits, Log, Options, Storage};
pub use self::timestamp::rfc3339;

use self::service::Service;
use crate::error::{Error, Kind, Result};

/// Time for open connections to end after the last job.
const GRACE_PERIOD: Duration = Duration::from_secs(5);
/// Interval between searches for expired jobs.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);

/// A server that is bound to its address and does not yet answer.
pub struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
}

/// A process that runs jobs of a shared queue and serves no requests.
pub struct Worker {
    service: Arc<Service>,
}

/// Handle that stops a server or a worker from another thread.
#[derive(Clone)]
pub struct Stop(Arc<Service>);

impl Stop {
    /// Closes the queue: the running job is finished, queued jobs stay in the storage.
    pub fn stop(&self) {
        self.0.store.close();
    }
}

impl Worker {
    /// Connects to the queue.
    ///
    /// # Errors
    /// The queue is unreachable; two models have the same name.
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

    /// Runs jobs until the worker is stopped and the running job has ended.
    pub fn run(&self) {
        worker::run_jobs(&self.service);
    }
}

impl Server {
    /// Binds the port, opens the storage and loads the jobs that an earlier process left.
    ///
    /// # Errors
    /// The port or the state directory is in use, or the queue is unreachable; two models have the
    /// same name.
    pub fn bind(options: Options, bind: BindOptions, log: Log) -> Result<Self> {
        let address = SocketAddr::new(bind.host, bind.port);
        let service = Service::open(options, Some(&bind), log)?;
        let bind_error = |e: std::io::Error| {
            Error::new(Kind::Network, format!("cannot listen on `{address}`"))
                .source(e)
                .hint("choose another port with `--port`")
        };
        let listener = TcpListener::bind(address).map_err(bind_error)?;
        listener.set_nonblocking(true).map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
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

    /// Number of queued jobs.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub fn queued_jobs(&self) -> Result<usize> {
        Ok(self.service.store.counts()?.queued)
    }

    /// Handle that stops the server.
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.service))
    }

    /// Serves requests and runs jobs until the server is stopped and the running job has ended.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn run(self) -> Result<()> {
        let Self {
            service, listener, ..
        } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(16)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(start_error)?;
        let worker = spawn_thread("worker", &service, worker::run_jobs)?;
        spawn_thread("fetch", &service, |service| {
            let is_closed = || service.store.is_closed();
            service.missing_models.fetch_all(&service.log, &is_closed);
        })?;
        let requests = runtime.spawn(routes::serve(Arc::clone(&service), listener));
        runtime.spawn(delete_expired_jobs(Arc::clone(&service)));
        let worker_result = worker.join();
        service.shutdown.send_replace(true);
        // Connections that are still open after the grace period are dropped.
        let _ = runtime.block_on(async { tokio::time::timeout(GRACE_PERIOD, requests).await });
        runtime.shutdown_timeout(Duration::from_secs(1));
        worker_result.map_err(|_| Error::internal("the worker thread panicked"))
    }
}

fn start_error(error: std::io::Error) -> Error {
    Error::internal("cannot start the server").source(error)
}

fn spawn_thread(
    name: &str,
    service: &Arc<Service>,
    work: fn(&Service),
) -> Result<std::thread::JoinHandle<()>> {
    let service = Arc::clone(service);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work(&service))
        .map_err(start_error)
}

async fn delete_expired_jobs(service: Arc<Service>) {
    loop {
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        let service = Arc::clone(&service);
        let expire = move || service.store.delete_expired(SystemTime::now());
        // A failure is retried in the next round.
        let _ = tokio::task::spawn_blocking(expire).await;
    }
}
