//! The default command: images from a prompt.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::time::Instant;

use clap::Args;

use super::config::Profile;
use super::dry_run::{self, DryRun};
use super::progress::{Display, Progress};
use super::save::{Generation, generate_and_save, parse_destination};
use super::{signals, terminal};
use crate::env::Hub;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::params::{Checked, Params};
use crate::planner::Planner;

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) params: Params,
    #[command(flatten)]
    pub(super) profile: Profile,
    #[command(flatten)]
    dry: DryRun,
    /// Show the finished images in the terminal
    #[arg(long, help_heading = "Display")]
    show: bool,
    #[command(flatten)]
    pub(super) display: Display,
}

/// Longest prompt on stdin, in bytes.
const MAX_PROMPT: u64 = 1 << 20;

/// Generates the images that the arguments ask for.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let defaults = arguments.profile.defaults()?;
    let params = with_prompt_from_stdin(&defaults.complete(&arguments.params))?;
    let checked =
        Checked::new(&params).map_err(|error| defaults.blamed(error, &arguments.params))?;
    let destination = parse_destination(&params)?;
    if arguments.show {
        terminal::check_image_support()?;
    }
    signals::listen(arguments.display.announces_stop())?;
    if arguments.dry.is_requested() {
        return dry_run::report_single(&params, arguments.dry);
    }
    let progress = RefCell::new(Progress::new(&arguments.display));
    let mut observer = |event: &Event| progress.borrow_mut().on(event);
    defaults.announce(&mut observer)?;
    let plan = Planner::new(Hub::from_env()?).plan_checked(checked, &mut observer)?;
    generate_and_save(
        &Generation {
            plan: &plan,
            params: &params,
            destination: &destination,
            show: arguments.show,
        },
        &progress,
    )?;
    let done = Event::Done {
        images: plan.request.count,
        seconds: started.elapsed().as_secs_f64(),
    };
    let _ = progress.borrow_mut().on(&done);
    Ok(())
}

/// The parameters with the prompt read from stdin where it is `-`.
fn with_prompt_from_stdin(params: &Params) -> Result<Params> {
    if params.prompt.as_deref() != Some("-") {
        return Ok(params.clone());
    }
    let read = crate::text::of(std::io::stdin().lock().take(MAX_PROMPT + 1));
    let text = read.map_err(|e| {
        let is_text = e.kind() != ErrorKind::InvalidData;
        let what = if is_text {
            "cannot read stdin"
        } else {
            "stdin is not UTF-8"
        };
        Error::field("prompt", what).source(e)
    })?;
    if text.len() as u64 > MAX_PROMPT {
        return Err(Error::field(
            "prompt",
            format!("stdin holds more than {MAX_PROMPT} bytes"),
        ));
    }
    let prompt = text.trim_end_matches(['\n', '\r']).to_owned();
    Ok(Params {
        prompt: Some(prompt),
        ..params.clone()
    })
}
