//! Images from the engine to files: where they go, their previews, and what is rescued when one
//! cannot be decoded or written.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use super::progress::Progress;
use super::terminal;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::{Event, Observer, Stage};
use crate::image::{Image, Size};
use crate::output::atomic_file::{Existing, save, write_stream};
use crate::output::encode;
use crate::output::file_names::{DEFAULT_TEMPLATE, Destination, Template, UNNAMED, Values};
use crate::output::image_writer::ImageWriter;
use crate::params::{Params, Request};
use crate::planner::Plan;

/// Images to generate, and where they go.
pub(super) struct Generation<'a> {
    pub(super) plan: &'a Plan,
    pub(super) params: &'a Params,
    pub(super) destination: &'a Destination,
    /// True if finished images are also shown in the terminal.
    pub(super) show: bool,
}

/// The destination that `--output`, `--overwrite` and `--count` ask for.
pub(super) fn parse_destination(params: &Params) -> Result<Destination> {
    let existing = if params.overwrite == Some(true) {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let count = params.count.unwrap_or(1);
    let destination = Destination::parse(params.output.as_deref(), existing, count)?;
    if matches!(destination, Destination::Stdout) && std::io::stdout().is_terminal() {
        return Err(
            Error::field("output", "stdout is a terminal, which shows no picture")
                .hint("send it on: `sdgen ... -o - > out.png`"),
        );
    }
    Ok(destination)
}

/// Generates and saves the images of a plan.
pub(super) fn generate_and_save(
    generation: &Generation<'_>,
    progress: &RefCell<Progress>,
) -> Result<()> {
    let Generation {
        plan,
        params,
        destination,
        show,
    } = *generation;
    let Plan { request, base, .. } = plan;
    destination.check(&Values {
        request,
        model: &base.files.name,
        seed: request.seed,
        index: 0,
        name: UNNAMED,
    })?;
    progress.borrow_mut().print_seed(request);
    let writer = ImageWriter {
        provenance: plan.provenance(),
        no_metadata: params.no_metadata == Some(true),
    };
    let mut previews = PreviewFolder::open(params, request)?;
    let mut observer = |event: &Event| {
        save_preview(&mut previews, event, progress);
        progress.borrow_mut().on(event)
    };
    let mut deliver = |image: Image| {
        let path = with_save_events(progress, image.seed, || {
            write_image(&writer, &image, destination)
        })?;
        if show {
            terminal::show_image(&path)?;
        }
        Ok(())
    };
    let mut engine = Engine::new();
    let result = engine.generate(plan, &mut observer, &mut deliver);
    result.map_err(|error| with_rescued_latents(&engine, &writer, destination, error))
}

/// Saves an image between the events that report it.
pub(super) fn with_save_events(
    progress: &RefCell<Progress>,
    seed: impl Into<Option<u64>>,
    save: impl FnOnce() -> Result<PathBuf>,
) -> Result<PathBuf> {
    let begun = Instant::now();
    // A request to stop is answered at the next step; this image is finished.
    let report = |event: Event| {
        let _ = progress.borrow_mut().on(&event);
    };
    report(Event::Begin {
        stage: Stage::Save,
        what: String::new(),
    });
    let path = save()?;
    report(Event::End {
        stage: Stage::Save,
        seconds: begun.elapsed().as_secs_f64(),
    });
    report(Event::Saved {
        path: path.clone(),
        seed: seed.into(),
    });
    Ok(path)
}

/// Writes an image; returns its path, which is `-` for stdout.
fn write_image(
    writer: &ImageWriter<'_>,
    image: &Image,
    destination: &Destination,
) -> Result<PathBuf> {
    match destination {
        Destination::Stdout => {
            let bytes = writer.encode(image, encode::DEFAULT)?;
            write_stream(std::io::stdout().lock(), &bytes)?;
            Ok(PathBuf::from("-"))
        }
        Destination::Files { template, existing } => writer
            .save(image, template, *existing)
            .map_err(|error| with_rescued_image(writer, image, error)),
    }
}

/// The error of an image that could not be written, after it is saved in the system's temporary
/// folder.
fn with_rescued_image(writer: &ImageWriter<'_>, image: &Image, error: Error) -> Error {
    let format = encode::DEFAULT;
    let name = format!("sdgen-{}{}", image.seed, format.suffix());
    let saved = writer
        .encode(image, format)
        .and_then(|bytes| save(&bytes, &std::env::temp_dir().join(name), Existing::Keep));
    match saved {
        Ok(path) => error.hint(format!(
            "the picture itself is not lost: `{}`",
            path.display()
        )),
        Err(_) => error,
    }
}

/// The error of an image that could not be decoded, after its latents are saved.
fn with_rescued_latents(
    engine: &Engine,
    writer: &ImageWriter<'_>,
    destination: &Destination,
    error: Error,
) -> Error {
    let Some(latents) = engine.undecoded() else {
        return error;
    };
    match destination {
        Destination::Files { template, .. } => writer.save_latents(latents, template, error),
        Destination::Stdout => match Template::parse(DEFAULT_TEMPLATE) {
            Ok(template) => writer.save_latents(latents, &template, error),
            Err(_) => error,
        },
    }
}

/// Saves the preview in `event`, if it is one. After a preview that cannot be saved there is a
/// warning, and no further previews.
fn save_preview(previews: &mut Option<PreviewFolder>, event: &Event, progress: &RefCell<Progress>) {
    let Some(folder) = previews else {
        return;
    };
    if let Err(error) = folder.save(event) {
        *previews = None;
        let message = format!("no more previews: {error}");
        let _ = progress.borrow_mut().on(&Event::Warning { message });
    }
}

/// A folder of previews: small files `{seed}-{step}.png`.
struct PreviewFolder {
    path: PathBuf,
    seed: u64,
    /// Digits of the last step's number.
    digits: usize,
}

impl PreviewFolder {
    /// Creates the folder that `params` name, if any.
    fn open(params: &Params, request: &Request) -> Result<Option<Self>> {
        let Some(folder) = &params.preview_dir else {
            if params.preview_every.is_none() {
                return Ok(None);
            }
            let message = "there is no folder for the previews";
            return Err(
                Error::field("preview_every", message).hint("give one with `--preview-dir DIR`")
            );
        };
        std::fs::create_dir_all(folder).map_err(|e| {
            Error::field("preview_dir", format!("cannot make the folder `{folder}`")).source(e)
        })?;
        // A sampler with two network calls a step counts both.
        let digits = (2 * request.steps).to_string().len();
        Ok(Some(Self {
            path: folder.into(),
            seed: request.seed,
            digits,
        }))
    }

    /// Writes the preview in `event`, if it is one.
    fn save(&self, event: &Event) -> Result<()> {
        let Event::Preview {
            step,
            image,
            width,
            height,
            rgb,
        } = event
        else {
            return Ok(());
        };
        let format = encode::DEFAULT;
        let (seed, digits) = (self.seed.wrapping_add(*image), self.digits);
        let name = format!("{seed}-{step:0digits$}{}", format.suffix());
        let bytes = format.encode(Size::new(*width, *height), rgb, &[])?;
        save(&bytes, &self.path.join(name), Existing::Replace)?;
        Ok(())
    }
}
