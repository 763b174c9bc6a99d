//! The default command: a prompt in, pictures out.

use std::cell::RefCell;
use std::io::{ErrorKind, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::config::Profile;
use super::dry_run::DryRun;
use super::preview::Previews;
use super::progress::{Display, Progress};
use super::signals;
use crate::engine::Engine;
use crate::env::Hub;
use crate::error::{Error, Result};
use crate::event::{Event, Flow, Observer, Stage};
use crate::image::Image;
use crate::output::atomic_file::{Existing, save, write_stream};
use crate::output::encode;
use crate::output::file_names::{DEFAULT_TEMPLATE, Destination, Template, UNNAMED, Values};
use crate::output::image_writer::ImageWriter;
use crate::params::{Checked, Params};
use crate::planner::{Plan, Planner};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) params: Params,
    #[command(flatten)]
    pub(super) profile: Profile,
    #[command(flatten)]
    dry: DryRun,
    /// Draw the finished pictures in the terminal
    #[arg(long, help_heading = "Display")]
    show: bool,
    #[command(flatten)]
    pub(super) display: Display,
}

/// Longest prompt that is read from stdin, in bytes.
const MAX_PROMPT: u64 = 1 << 20;

/// Draws what the arguments ask for.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let defaults = arguments.profile.defaults()?;
    let params = with_prompt(&defaults.under(&arguments.params))?;
    let checked =
        Checked::new(&params).map_err(|error| defaults.blamed(error, &arguments.params))?;
    let destination = destination(&params)?;
    if arguments.show {
        super::show::check()?;
    }
    signals::listen(arguments.display.announces())?;
    if arguments.dry.wanted() {
        return super::dry_run::single(&params, arguments.dry);
    }
    let progress = RefCell::new(Progress::new(&arguments.display));
    let mut observer = |event: &Event| progress.borrow_mut().on(event);
    defaults.told(&mut observer)?;
    let plan = Planner::new(Hub::from_env()?).plan_checked(checked, &mut observer)?;
    draw(
        &Drawing {
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

/// Pictures and where they go.
pub(super) struct Drawing<'a> {
    pub(super) plan: &'a Plan,
    pub(super) params: &'a Params,
    pub(super) destination: &'a Destination,
    /// Show them in the terminal.
    pub(super) show: bool,
}

/// Draws and saves the pictures of a plan.
pub(super) fn draw(drawing: &Drawing<'_>, progress: &RefCell<Progress>) -> Result<()> {
    let Drawing {
        plan,
        params,
        destination,
        show,
    } = *drawing;
    let Plan { request, base, .. } = plan;
    destination.check(&Values {
        request,
        model: &base.files.name,
        seed: request.seed,
        index: 0,
        name: UNNAMED,
    })?;
    progress.borrow_mut().seed(request);
    let album = ImageWriter {
        provenance: plan.provenance(),
        no_metadata: params.no_metadata == Some(true),
    };
    let previews = RefCell::new(Previews::of(params, request)?);
    let mut observer = |event: &Event| watch(event, progress, &previews);
    let mut deliver = |image: Image| {
        let path = saving(progress, image.seed, || keep(&album, &image, destination))?;
        if show {
            super::show::picture(&path)
        } else {
            Ok(())
        }
    };
    let mut engine = Engine::new();
    let drawn = engine.generate(plan, &mut observer, &mut deliver);
    drawn.map_err(|error| rescued(&engine, &album, destination, error))
}

/// Saves a picture between the events that tell of it.
pub(super) fn saving(
    progress: &RefCell<Progress>,
    seed: impl Into<Option<u64>>,
    save: impl FnOnce() -> Result<PathBuf>,
) -> Result<PathBuf> {
    let begun = Instant::now();
    // A wish to stop is answered at the next step; this picture is finished.
    let tell = |event: Event| progress.borrow_mut().on(&event);
    let _ = tell(Event::Begin {
        stage: Stage::Save,
        what: String::new(),
    });
    let path = save()?;
    let _ = tell(Event::End {
        stage: Stage::Save,
        seconds: begun.elapsed().as_secs_f64(),
    });
    let _ = tell(Event::Saved {
        path: path.clone(),
        seed: seed.into(),
    });
    Ok(path)
}

/// Shows an event, and keeps the preview that it may be. Previews that cannot be kept are given up,
/// with a word.
fn watch(
    event: &Event,
    progress: &RefCell<Progress>,
    previews: &RefCell<Option<Previews>>,
) -> Flow {
    let kept = previews
        .borrow()
        .as_ref()
        .map_or(Ok(()), |previews| previews.keep(event));
    if let Err(error) = kept {
        *previews.borrow_mut() = None;
        let message = format!("no more previews: {error}");
        let _ = progress.borrow_mut().on(&Event::Warning { message });
    }
    progress.borrow_mut().on(event)
}

/// The parameters with the prompt read from stdin where it is `-`.
fn with_prompt(params: &Params) -> Result<Params> {
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

pub(super) fn destination(params: &Params) -> Result<Destination> {
    let existing = if params.overwrite == Some(true) {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let destination = Destination::parse(
        params.output.as_deref(),
        existing,
        params.count.unwrap_or(1),
    )?;
    if matches!(destination, Destination::Stdout) && std::io::stdout().is_terminal() {
        return Err(
            Error::field("output", "stdout is a terminal, which shows no picture")
                .hint("send it on: `sdgen ... -o - > out.png`"),
        );
    }
    Ok(destination)
}

/// The error of an image that could not be decoded, after its latents are saved.
fn rescued(
    engine: &Engine,
    album: &ImageWriter<'_>,
    destination: &Destination,
    error: Error,
) -> Error {
    match (engine.undecoded(), destination) {
        (None, _) => error,
        (Some(latents), Destination::Files { template, .. }) => {
            album.save_latents(latents, template, error)
        }
        (Some(latents), Destination::Stdout) => match Template::parse(DEFAULT_TEMPLATE) {
            Ok(template) => album.save_latents(latents, &template, error),
            Err(_) => error,
        },
    }
}

/// The error of an image that its folder does not take, after it is saved in the system's temporary
/// folder.
fn elsewhere(album: &ImageWriter<'_>, image: &Image, error: Error) -> Error {
    let format = encode::DEFAULT;
    let name = format!("sdgen-{}{}", image.seed, format.suffix());
    let name = std::env::temp_dir().join(name);
    match album
        .encode(image, format)
        .and_then(|png| save(&png, &name, Existing::Keep))
    {
        Ok(path) => error.hint(format!(
            "the picture itself is not lost: `{}`",
            path.display()
        )),
        Err(_) => error,
    }
}

/// Writes a picture; returns where it is now.
fn keep(album: &ImageWriter<'_>, image: &Image, destination: &Destination) -> Result<PathBuf> {
    match destination {
        Destination::Stdout => {
            write_stream(
                std::io::stdout().lock(),
                &album.encode(image, encode::DEFAULT)?,
            )?;
            Ok(PathBuf::from("-"))
        }
        Destination::Files { template, existing } => album
            .save(image, template, *existing)
            .map_err(|error| elsewhere(album, image, error)),
    }
}
