//! Text to image through the library: `cargo run --release --example txt2img -- MODEL OUT.png "a
//! prompt"`.

use std::path::Path;

use sdgen::env::Hub;
use sdgen::output::atomic_file::{Existing, save};
use sdgen::output::encode::Format;
use sdgen::output::image_writer::ImageWriter;
use sdgen::{Engine, Error, Event, Flow, Params, Planner};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .ok_or_else(|| Error::field(what, "is missing"))
    };
    draw(
        &next("model")?,
        Path::new(&next("output")?),
        &next("prompt")?,
    )
}

/// Generates one image with four steps.
pub fn draw(model: &str, out: &Path, prompt: &str) -> Result<(), Error> {
    // Return `Flow::Cancel` to stop at the next step.
    let mut observer = |_: &Event| Flow::Continue;

    let params = Params {
        model: Some(model.to_owned()),
        prompt: Some(prompt.to_owned()),
        steps: Some(4),
        seed: Some(7.into()),
        ..Params::default()
    };
    let plan = Planner::new(Hub::from_env()?).plan(&params, &mut observer)?;
    let writer = ImageWriter {
        provenance: plan.provenance(),
        no_metadata: false,
    };
    Engine::new().generate(&plan, &mut observer, &mut |image| {
        let bytes = writer.encode(&image, Format::of_path(out))?;
        save(&bytes, out, Existing::Keep)?;
        Ok(())
    })
}
