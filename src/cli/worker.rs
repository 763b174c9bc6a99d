//! `sdgen worker`: the arguments of one that draws what servers have taken in, and the signals that
//! end it.

use clap::Args;

use super::serve::{Drawing, Lease, STOPPING, Words, queue};
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
    lease: Lease,

    /// Pixels of a picture
    #[arg(long, value_name = "N", default_value_t = 2048 * 2048, help_heading = "Limits")]
    max_pixels: u64,

    #[command(flatten)]
    drawing: Drawing,

    #[command(flatten)]
    words: Words,
}

/// Draws until a signal ends it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let url = queue(arguments.queue.as_ref())?.1.ok_or_else(|| {
        Error::field("queue", "a worker takes its jobs from a shared queue")
            .hint("name the queue that the servers share: `redis://host:6379/0`")
    })?;
    let home = arguments.lease.home(url)?;
    let limits = Limits {
        pixels: arguments.max_pixels,
        ..Limits::none()
    };
    let options = arguments.drawing.options(home, limits, &arguments.words)?;
    let worker = Worker::new(options, arguments.words.log())?;
    let stop = worker.stop();
    signals::on_stop(STOPPING, move || stop.stop())?;
    terminal::print_message("waiting for jobs");
    worker.run();
    Ok(())
}
