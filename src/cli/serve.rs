//! `sdgen serve`: the server's arguments, its lines on stderr, and the signals that end it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::{signals, terminal};
use crate::config::{Hub, Token, state_folder};
use crate::error::{Error, Kind, Result};
use crate::request::Params;
use crate::serve::{Limits, Log, Options, Server};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Address to listen on; another than this machine's own needs --token-file or --no-auth
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), help_heading = "Connections")]
    host: IpAddr,

    /// Port to listen on; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 7860, help_heading = "Connections")]
    port: u16,

    /// File whose content clients have to show as a bearer token (or as a password)
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    token_file: Option<PathBuf>,

    /// Let everybody in who reaches the address
    #[arg(long, conflicts_with = "token_file", help_heading = "Connections")]
    no_auth: bool,

    /// Origin of pages elsewhere that may use this server, such as http://localhost:3000; may be repeated
    #[arg(long, value_name = "ORIGIN", help_heading = "Connections")]
    cors: Vec<String>,

    /// Model that clients may ask for; the first is the default; may be repeated [default: every known name]
    #[arg(short, long, value_name = "MODEL", help_heading = "Drawing")]
    model: Vec<String>,

    /// Use what is in the cache and open no connection to the hub
    #[arg(long, help_heading = "Drawing")]
    offline: bool,

    /// Device: auto, cpu, cuda[:N] or metal
    #[arg(long, value_name = "DEVICE", help_heading = "Drawing")]
    device: Option<String>,

    /// Arithmetic: auto, f32, f16, bf16 or int8
    #[arg(long, value_name = "TYPE", help_heading = "Drawing")]
    dtype: Option<String>,

    /// CPU threads
    #[arg(long, value_name = "N", help_heading = "Drawing")]
    threads: Option<usize>,

    /// Jobs that may wait; more are answered with 503
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Limits")]
    queue: usize,

    /// Size of a request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32, help_heading = "Limits")]
    max_body: usize,

    /// Pixels of a picture, drawn or sent
    #[arg(long, value_name = "N", default_value_t = 2048 * 2048, help_heading = "Limits")]
    max_pixels: u64,

    /// Pictures of one job
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Limits")]
    max_count: u64,

    /// How long results are kept, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24.0, help_heading = "Limits")]
    keep: f64,

    /// How many results are kept, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, help_heading = "Limits")]
    keep_size: u64,

    /// Folder for jobs and results [default: one for each port among the user's own]
    #[arg(long, value_name = "DIR", help_heading = "Display")]
    state: Option<PathBuf>,

    /// Write prompts into the log
    #[arg(long, help_heading = "Display")]
    log_prompts: bool,

    /// Print nothing but errors and where the server is
    #[arg(short, long, conflicts_with = "log_prompts", help_heading = "Display")]
    quiet: bool,
}

/// Serves until a signal ends it.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let server = Server::bind(options(arguments)?, log(arguments.quiet))?;
    let stop = server.stop();
    signals::on_stop("finishing the running job; Ctrl-C again stops at once", move || stop.stop())?;
    terminal::say(&format!("listening on http://{}", server.address()));
    match server.waiting() {
        0 => {}
        waiting => terminal::say(&format!("jobs left from before: {waiting}")),
    }
    server.run()
}

fn log(quiet: bool) -> Log {
    match quiet {
        true => Arc::new(|_: &str| {}),
        false => Arc::new(|line: &str| {
            let now = crate::serve::rfc3339(SystemTime::now());
            terminal::say(&format!("{now} {}", terminal::harmless(line)));
        }),
    }
}

fn options(arguments: &Arguments) -> Result<Options> {
    let token = arguments.token_file.as_ref().map(token).transpose()?;
    if !arguments.host.is_loopback() && token.is_none() && !arguments.no_auth {
        let message = format!("`{}` can be reached from other machines", arguments.host);
        return Err(Error::field("host", message)
            .hint("ask for a token with `--token-file FILE`, or let everybody in with `--no-auth`"));
    }
    let offline = arguments.offline.then_some(true);
    let defaults = Params {
        device: arguments.device.clone(),
        dtype: arguments.dtype.clone(),
        threads: arguments.threads,
        offline,
        ..Params::default()
    };
    let probe = Params { prompt: Some(String::new()), ..defaults.clone() };
    if let Some(error) = crate::request::check(&probe).into_iter().next() {
        return Err(error);
    }
    Ok(Options {
        host: arguments.host,
        port: arguments.port,
        models: arguments.model.clone(),
        defaults,
        hub: Hub::from_env(),
        token,
        cors: arguments.cors.clone(),
        state: state(arguments)?,
        limits: limits(arguments)?,
        log_prompts: arguments.log_prompts,
    })
}

fn limits(arguments: &Arguments) -> Result<Limits> {
    let age = Duration::try_from_secs_f64(arguments.keep * 3600.0)
        .map_err(|_| Error::expected("keep", "a number of hours", arguments.keep))?;
    if !(1..=10_000).contains(&arguments.queue) {
        return Err(Error::expected("queue", "a number from 1 to 10000", arguments.queue));
    }
    Ok(Limits {
        queue: arguments.queue,
        body: arguments.max_body.saturating_mul(1 << 20),
        pixels: arguments.max_pixels,
        count: arguments.max_count,
        age,
        kept: arguments.keep_size.saturating_mul(1 << 20),
    })
}

fn token(path: &PathBuf) -> Result<Token> {
    let cannot = |what: &str| Error::field("token_file", format!("`{}` {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| cannot("cannot be read").source(e))?;
    Token::new(&text).ok_or_else(|| cannot("is empty").hint("make one: `openssl rand -hex 32 > token`"))
}

fn state(arguments: &Arguments) -> Result<PathBuf> {
    let own = || Some(state_folder()?.join(format!("serve-{}", arguments.port)));
    arguments.state.clone().or_else(own).ok_or_else(|| {
        Error::new(Kind::Output, "there is no home folder to keep jobs in")
            .hint("name a folder: `--state DIR`")
    })
}
