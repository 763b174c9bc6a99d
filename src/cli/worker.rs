//! `sdgen worker`: the arguments of a process that runs jobs which servers have enqueued, and the
//! signals that stop it.

use clap::Args;

use super::serve::{EngineArguments, LeaseArguments, LogArguments, STOP_MESSAGE, queue_options};
use super::{signals, terminal};
use crate::error::Error;
use crate::serve::{Limits, Worker};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Queue of the jobs: redis://[[USER:]PASSWORD@]HOST[:PORT][/DB], as the servers have it
    /// [default: what SDGEN_QUEUE says]
    #[arg(long, value_name = "URL", help_heading = "Limits")]
    queue: Option<String>,

    #[command(flatten)]
    lease: LeaseArguments,

    /// Pixels of a picture
    #[arg(long, value_name = "N", default_value_t = 2048 * 2048, help_heading = "Limits")]
    max_pixels: u64,

    #[command(flatten)]
    drawing: EngineArguments,

    #[command(flatten)]
    words: LogArguments,
}

/// Runs jobs until a signal arrives.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let url = queue_options(arguments.queue.as_ref())?.1.ok_or_else(|| {
        Error::field("queue", "a worker takes its jobs from a shared queue")
            .hint("name the queue that the servers share: `redis://host:6379/0`")
    })?;
    let storage = arguments.lease.storage(url)?;
    let limits = Limits {
        pixels: arguments.max_pixels,
        ..Limits::none()
    };
    let options = arguments
        .drawing
        .options(storage, limits, &arguments.words)?;
    let worker = Worker::new(options, arguments.words.log())?;
    let stop = worker.stop();
    signals::on_stop(STOP_MESSAGE, move || stop.stop())?;
    terminal::print_message("waiting for jobs");
    worker.run();
    Ok(())
}
