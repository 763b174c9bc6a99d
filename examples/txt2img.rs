//! Text to image through the library: `cargo run --release --example txt2img -- MODEL OUT.png "a prompt"`.

use std::path::Path;

use sdgen::config::Hub;
use sdgen::output::png::{Existing, encode, save};
use sdgen::output::{Picture, metadata::Origin};
use sdgen::registry::{Fetch, ModelRef, RepoConfig, locate};
use sdgen::{Engine, Error, Event, Flow, Params, Request};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| Error::field(what, "is missing"));
    draw(&next("model")?, Path::new(&next("output")?), &next("prompt")?)
}

/// Draws one picture of four steps.
pub fn draw(model: &str, out: &Path, prompt: &str) -> Result<(), Error> {
    // Answer `Flow::Cancel` to stop at the next step.
    let mut observer = |_: &Event| Flow::Continue;

    let files =
        locate(&ModelRef::parse(model)?, &Fetch { hub: Hub::from_env(), half: false }, &mut observer)?;
    let repo = RepoConfig::read(&files)?;
    let params =
        Params { prompt: Some(prompt.to_owned()), steps: Some(4), seed: Some(7), ..Params::default() };
    let request = Request::resolve(&params, &files, &repo)?;

    let mut engine = Engine::load(&files, &repo, &request, &mut observer)?;
    let weights = engine.weights().clone();
    let origin = Origin { request: &request, model: &files.name, weights: &weights, license: None };
    engine.generate(&request, &mut observer, &mut |image| {
        let texts = origin.texts(image.seed)?;
        let picture = Picture { width: image.width, height: image.height, rgb: &image.rgb };
        save(&encode(&picture, &texts)?, out, Existing::Keep).map(|_| ())
    })
}
