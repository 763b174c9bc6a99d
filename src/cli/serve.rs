//! `sdgen serve`: the server's arguments, its log on stderr, and the signals that stop it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::{signals, terminal};
use crate::device::{DeviceChoice, Dtype};
use crate::env::{Hold, Hub, Token, state_folder};
use crate::error::{Error, Kind, Result};
use crate::params::{Params, Parsed};
use crate::serve::{BindOptions, Limits, Log, Options, Server, Storage};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Address to listen on; another than this machine's own needs --token-file or --no-auth
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), help_heading = "Connections")]
    host: IpAddr,

    /// Port to listen on; 0 takes any that is free
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7860,
        help_heading = "Connections"
    )]
    port: u16,

    /// File whose content clients have to show as a bearer token (or as a password)
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    token_file: Option<PathBuf>,

    /// Let everybody in who reaches the address and asks for it, or for a name of --allow-host
    #[arg(long, conflicts_with = "token_file", help_heading = "Connections")]
    no_auth: bool,

    /// Name that the server answers to besides its addresses, such as images.lan; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Connections")]
    allow_host: Vec<String>,

    /// Origin of pages elsewhere that may use this server, such as http://localhost:3000; may be
    /// repeated
    #[arg(long, value_name = "ORIGIN", help_heading = "Connections")]
    cors: Vec<String>,

    #[command(flatten)]
    drawing: EngineArguments,

    /// Jobs that may wait, more are answered with 503; or
    /// redis://[[USER:]PASSWORD@]HOST[:PORT][/DB][?size=N], where several servers and workers share
    /// a queue [default: what SDGEN_QUEUE says, or 64]
    #[arg(long, value_name = "N|URL", help_heading = "Limits")]
    queue: Option<String>,

    #[command(flatten)]
    lease: LeaseArguments,

    /// Size of a request, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 32,
        help_heading = "Limits"
    )]
    max_body: usize,

    /// Pixels of a picture that is drawn; larger start pictures are scaled down
    #[arg(long, value_name = "N", default_value_t = 2048 * 2048, help_heading = "Limits")]
    max_pixels: u64,

    /// Pictures of one job
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Limits")]
    max_count: u64,

    /// Lifetime of results, in hours
    #[arg(
        long,
        value_name = "HOURS",
        default_value_t = 24.0,
        help_heading = "Limits"
    )]
    keep: f64,

    /// Room for results, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 1024,
        help_heading = "Limits"
    )]
    keep_size: u64,

    /// Folder for jobs and results [default: one for each port among the user's own]
    #[arg(long, value_name = "DIR", help_heading = "Limits")]
    state: Option<PathBuf>,

    #[command(flatten)]
    words: LogArguments,
}

/// Options of the engine.
#[derive(Args)]
#[group(skip)]
pub(super) struct EngineArguments {
    /// Model that clients may ask for; the first is the default; may be repeated [default: every
    /// known name]
    #[arg(short, long, value_name = "MODEL", help_heading = "Drawing")]
    model: Vec<String>,

    /// Use what is in the cache and open no connection to the hub
    #[arg(long, help_heading = "Drawing")]
    offline: bool,

    /// Device: auto, cpu, cuda[:N] or metal
    #[arg(long, value_name = "DEVICE", help_heading = "Drawing")]
    device: Option<Parsed<DeviceChoice>>,

    /// Arithmetic: auto, f32, f16, bf16 or int8
    #[arg(long, value_name = "TYPE", help_heading = "Drawing")]
    dtype: Option<Parsed<Dtype>>,

    /// CPU threads
    #[arg(long, value_name = "N", help_heading = "Drawing")]
    threads: Option<usize>,

    /// Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs
    /// that follow one another and differ in prompts and seed alone
    #[arg(long, value_name = "N", help_heading = "Drawing")]
    batch_size: Option<usize>,
}

/// Options of a queue that is shared with other processes.
#[derive(Args)]
#[group(skip)]
pub(super) struct LeaseArguments {
    /// Seconds after which the job of a process that is silent goes to another; for redis://, and
    /// everywhere the same
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30.0,
        help_heading = "Limits"
    )]
    lease: f64,
}

/// Options of the output on stderr.
#[derive(Args)]
#[group(skip)]
pub(super) struct LogArguments {
    /// Write prompts into the log
    #[arg(long, help_heading = "Display")]
    log_prompts: bool,

    /// Print nothing but errors and that it is there
    #[arg(short, long, conflicts_with = "log_prompts", help_heading = "Display")]
    quiet: bool,
}

/// Serves requests until a signal arrives.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let server = Server::bind(
        options(arguments)?,
        bind_options(arguments)?,
        arguments.words.log(),
    )?;
    let stop = server.stop();
    signals::on_stop(STOP_MESSAGE, move || stop.stop())?;
    terminal::print_message(&format!("listening on http://{}", server.address()));
    match server.queued_jobs()? {
        0 => {}
        queued => terminal::print_message(&format!("jobs left from before: {queued}")),
    }
    server.run()?;
    Ok(())
}

/// Message at the first signal.
pub(super) const STOP_MESSAGE: &str = "finishing the running job; Ctrl-C again stops at once";

impl LogArguments {
    pub(super) fn log(&self) -> Log {
        if self.quiet {
            return Arc::new(|_: &str| {});
        }
        Arc::new(|line: &str| {
            let now = crate::serve::rfc3339(SystemTime::now());
            terminal::print_message(&format!("{now} {}", terminal::sanitize(line)));
        })
    }
}

impl EngineArguments {
    /// Settings of a server or a worker.
    pub(super) fn options(
        &self,
        storage: Storage,
        limits: Limits,
        words: &LogArguments,
    ) -> Result<Options> {
        let defaults = Params {
            device: self.device.clone(),
            dtype: self.dtype.clone(),
            threads: self.threads,
            batch_size: self.batch_size,
            offline: self.offline.then_some(true),
            ..Params::default()
        };
        let probe = Params {
            prompt: Some(String::new()),
            ..defaults.clone()
        };
        if let Some(error) = crate::params::check(&probe).into_iter().next() {
            return Err(error);
        }
        let (models, log_prompts) = (self.model.clone(), words.log_prompts);
        let hold = Hold::from_env();
        Ok(Options {
            models,
            defaults,
            hub: Hub::from_env()?,
            storage,
            limits,
            log_prompts,
            hold,
        })
    }
}

impl LeaseArguments {
    /// The storage in Redis with this lease.
    pub(super) fn storage(&self, url: String) -> Result<Storage> {
        let lease = Duration::try_from_secs_f64(self.lease).ok();
        let lease = lease
            .filter(|lease| (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(lease));
        let lease =
            lease.ok_or_else(|| Error::expected("lease", "from 1 to 3600 seconds", self.lease))?;
        Ok(Storage::Redis { url, lease })
    }
}

/// Default number of jobs that may be queued.
const DEFAULT_QUEUE_SIZE: usize = 64;

/// Value of `--queue` or of the environment: the maximum number of waiting jobs, and the URL of the
/// queue, if not in this process.
pub(super) fn queue_options(given: Option<&String>) -> Result<(usize, Option<String>)> {
    match given.cloned().or_else(crate::env::queue) {
        Some(text) => parse_queue(&text),
        None => Ok((DEFAULT_QUEUE_SIZE, None)),
    }
}

fn parse_queue(text: &str) -> Result<(usize, Option<String>)> {
    let size = |text: &str| {
        let size = text.parse().ok().filter(|size| (1..=10_000).contains(size));
        size.ok_or_else(|| {
            Error::expected("queue", "a number from 1 to 10000", text)
                .hint("or an address: `redis://host:6379/0?size=64`")
        })
    };
    if !text.contains("://") {
        return Ok((size(text)?, None));
    }
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let (sizes, others): (Vec<&str>, Vec<&str>) = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .partition(|pair| pair.starts_with("size="));
    let query = if others.is_empty() {
        String::new()
    } else {
        format!("?{}", others.join("&"))
    };
    let queue_size = sizes
        .last()
        .and_then(|pair| pair.strip_prefix("size="))
        .map(size);
    Ok((
        queue_size.transpose()?.unwrap_or(DEFAULT_QUEUE_SIZE),
        Some(format!("{address}{query}")),
    ))
}

fn bind_options(arguments: &Arguments) -> Result<BindOptions> {
    let token = match &arguments.token_file {
        Some(path) => Some(read_token(path)?),
        None => None,
    };
    if !arguments.host.is_loopback() && token.is_none() && !arguments.no_auth {
        let message = format!("`{}` can be reached from other machines", arguments.host);
        return Err(Error::field("host", message).hint(
            "ask for a token with `--token-file FILE`, or let everybody in with `--no-auth`",
        ));
    }
    let (names, cors) = (arguments.allow_host.clone(), arguments.cors.clone());
    Ok(BindOptions {
        host: arguments.host,
        port: arguments.port,
        token,
        names,
        cors,
    })
}

fn options(arguments: &Arguments) -> Result<Options> {
    let (queue_size, url) = queue_options(arguments.queue.as_ref())?;
    let storage = match (url, &arguments.state) {
        (None, _) => Storage::StateDir(state_dir(arguments)?),
        (Some(url), None) => arguments.lease.storage(url)?,
        (Some(_), Some(_)) => {
            return Err(
                Error::field("state", "jobs are kept in Redis, and no folder is used")
                    .hint("leave `--state` or `--queue` out"),
            );
        }
    };
    arguments
        .drawing
        .options(storage, limits(arguments, queue_size)?, &arguments.words)
}

fn limits(arguments: &Arguments, queue: usize) -> Result<Limits> {
    let Arguments {
        max_body,
        max_pixels,
        max_count,
        ..
    } = arguments;
    for (field, value) in [
        ("max_body", *max_body as u64),
        ("max_pixels", *max_pixels),
        ("max_count", *max_count),
    ] {
        if value == 0 {
            return Err(
                Error::expected(field, "a number from 1 on", value).hint("0 would let nothing in")
            );
        }
    }
    let age = Duration::try_from_secs_f64(arguments.keep * 3600.0)
        .map_err(|_| Error::expected("keep", "a number of hours", arguments.keep))?;
    Ok(Limits {
        queue,
        body: arguments.max_body.saturating_mul(1 << 20),
        pixels: arguments.max_pixels,
        count: arguments.max_count,
        age,
        kept: arguments.keep_size.saturating_mul(1 << 20),
    })
}

fn read_token(path: &Path) -> Result<Token> {
    let error = |what: &str| Error::field("token_file", format!("`{}` {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| error("cannot be read").source(e))?;
    Token::new(&text)
        .ok_or_else(|| error("is empty").hint("make one: `openssl rand -hex 32 > token`"))
}

fn state_dir(arguments: &Arguments) -> Result<PathBuf> {
    let default = || Some(state_folder()?.join(format!("serve-{}", arguments.port)));
    arguments.state.clone().or_else(default).ok_or_else(|| {
        Error::new(Kind::Output, "there is no home folder to keep jobs in")
            .hint("name a folder: `--state DIR`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_a_size_or_an_address_with_a_size() {
        let read = |text: &str| parse_queue(text).unwrap();
        assert_eq!(read("8"), (8, None));
        assert_eq!(
            read("redis://h:6379/0"),
            (DEFAULT_QUEUE_SIZE, Some("redis://h:6379/0".to_owned()))
        );
        let unix = "redis+unix:///run/redis.sock?db=1";
        assert_eq!(read(&format!("{unix}&size=9")), (9, Some(unix.to_owned())));
        for text in ["0", "many", "redis://h?size=0"] {
            assert_eq!(
                parse_queue(text).unwrap_err().field_name(),
                Some("queue"),
                "{text}"
            );
        }
    }
}
