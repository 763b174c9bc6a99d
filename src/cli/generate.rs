//! The default command: a prompt in, pictures out.

use std::cell::RefCell;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::progress::{Display, Progress};
use super::signals;
use crate::config::Hub;
use crate::engine::{Engine, Image};
use crate::error::{Error, Result};
use crate::event::{Event, Observer, Stage};
use crate::output::Picture;
use crate::output::metadata::Origin;
use crate::output::path::{Destination, Values};
use crate::output::png::{Existing, encode, save, write_stream};
use crate::registry::{self, DEFAULT_MODEL, Fetch, ModelFiles, ModelRef, RepoConfig};
use crate::request::{Params, Refiner, Request, check};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) params: Params,
    #[command(flatten)]
    pub(super) display: Display,
}

/// Longest prompt that is read from stdin, in bytes.
const MAX_PROMPT: u64 = 1 << 20;

/// Draws what the arguments ask for.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let params = with_prompt(&arguments.params)?;
    if let Some(error) = check(&params).into_iter().next() {
        return Err(error);
    }
    let destination = destination(&params)?;
    signals::listen(arguments.display.announces())?;
    let progress = RefCell::new(Progress::new(&arguments.display));
    let mut observer = |event: &Event| progress.borrow_mut().on(event);

    let files = find_model(&params, &mut observer)?;
    let repo = RepoConfig::read(&files)?;
    let request = Request::resolve(&params, &files, &repo)?;
    destination.check(&Values { request: &request, model: &files.name, seed: request.seed, index: 0 })?;
    progress.borrow_mut().seed(&request);

    let refiner = find_refiner(&request, &repo, &params, &mut observer)?;
    let mut engine = Engine::load(&files, &repo, &request, &mut observer)?;
    if let Some((files, repo)) = &refiner {
        engine = engine.with_refiner(files, repo)?;
    }
    let weights = engine.weights().clone();
    let album = Album {
        origin: Origin { request: &request, model: &files.name, weights: &weights, license: license(&files) },
        destination: &destination,
        silent: params.no_metadata == Some(true),
    };
    let mut deliver = |image: Image| {
        let begun = Instant::now();
        let seed = image.seed;
        // A wish to stop is answered at the next step; this picture is finished.
        let tell = |event: Event| progress.borrow_mut().on(&event);
        let _ = tell(Event::Begin { stage: Stage::Save, what: String::new() });
        let path = album.keep(&image)?;
        let _ = tell(Event::End { stage: Stage::Save, seconds: begun.elapsed().as_secs_f64() });
        let _ = tell(Event::Saved { path, seed });
        Ok(())
    };
    engine.generate(&request, &mut observer, &mut deliver)?;
    let done = Event::Done { images: request.count, seconds: started.elapsed().as_secs_f64() };
    let _ = progress.borrow_mut().on(&done);
    Ok(())
}

/// The parameters with the prompt read from stdin where it is `-`.
fn with_prompt(params: &Params) -> Result<Params> {
    if params.prompt.as_deref() != Some("-") {
        return Ok(params.clone());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_PROMPT + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::field("prompt", "cannot read stdin").source(e))?;
    if bytes.len() as u64 > MAX_PROMPT {
        return Err(Error::field("prompt", format!("stdin holds more than {MAX_PROMPT} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::field("prompt", "stdin is not UTF-8"))?;
    let prompt = text.trim_end_matches(['\n', '\r']).to_owned();
    Ok(Params { prompt: Some(prompt), ..params.clone() })
}

fn destination(params: &Params) -> Result<Destination> {
    let existing = if params.overwrite == Some(true) { Existing::Replace } else { Existing::Keep };
    let destination = Destination::parse(params.output.as_deref(), existing, params.count.unwrap_or(1))?;
    if matches!(destination, Destination::Stdout) && std::io::stdout().is_terminal() {
        return Err(Error::field("output", "stdout is a terminal, which shows no picture")
            .hint("send it on: `sdgen ... -o - > out.png`"));
    }
    Ok(destination)
}

/// The request's refiner, found and looked at before the base model is loaded.
fn find_refiner(
    request: &Request,
    base: &RepoConfig,
    params: &Params,
    observer: &mut dyn Observer,
) -> Result<Option<(ModelFiles, RepoConfig)>> {
    let Some(refiner) = &request.refiner else { return Ok(None) };
    let files = find_named(&refiner.model, params, observer)
        .map_err(|error| error.hint(format!("`{}` is what `--refiner` names", refiner.model)))?;
    let repo = RepoConfig::read(&files)?;
    Refiner::suits(base, &repo)?;
    Ok(Some((files, repo)))
}

/// The model that `params` name.
pub(super) fn find_model(params: &Params, observer: &mut dyn Observer) -> Result<ModelFiles> {
    find_named(params.model.as_deref().unwrap_or(DEFAULT_MODEL), params, observer)
}

fn find_named(name: &str, params: &Params, observer: &mut dyn Observer) -> Result<ModelFiles> {
    let model = ModelRef::parse(name)?;
    let mut hub = Hub::from_env();
    hub.offline |= params.offline == Some(true);
    let half = matches!(params.dtype.as_deref(), Some("f16" | "bf16"));
    registry::locate(&model, &Fetch { hub, half, locked: None }, observer).map_err(|error| match params.model {
        Some(_) => error,
        None => error.hint("to draw something without any download: `-m demo`"),
    })
}

/// The licence of a known model's weights.
fn license(files: &ModelFiles) -> Option<&'static str> {
    let spec = registry::models().iter().find(|spec| spec.name == files.origin)?;
    Some(&spec.license)
}

/// Where the pictures of one request go, and what they say about themselves.
struct Album<'a> {
    origin: Origin<'a>,
    destination: &'a Destination,
    silent: bool,
}

impl Album<'_> {
    /// Writes a picture; returns where it is now.
    fn keep(&self, image: &Image) -> Result<PathBuf> {
        let Origin { request, model, .. } = self.origin;
        let picture = Picture { width: image.width, height: image.height, rgb: &image.rgb };
        let texts = if self.silent { Vec::new() } else { self.origin.texts(image.seed)? };
        let bytes = encode(&picture, &texts)?;
        match self.destination {
            Destination::Stdout => {
                write_stream(std::io::stdout().lock(), &bytes)?;
                Ok(PathBuf::from("-"))
            }
            Destination::Files { template, existing } => {
                let values = Values { request, model, seed: image.seed, index: image.index };
                save(&bytes, &template.path(&values), *existing)
            }
        }
    }
}
