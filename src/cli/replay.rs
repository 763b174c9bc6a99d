//! `sdgen replay IMAGE`: an image again from its metadata; with `--verify`, compared with the first.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use image::RgbImage;

use super::config::Profile;
use super::progress::{Display, Progress};
use super::save::{Generation, generate_and_save, parse_destination};
use super::{signals, terminal};
use crate::engine::Engine;
use crate::env::Hub;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::image::{Image, Size};
use crate::output::metadata::{self, Record};
use crate::params::{Combine, Params};
use crate::planner::{Plan, Planner, Recorded};

#[derive(Args)]
#[group(skip)]
#[command(mut_arg("prompt", |arg| arg.long("prompt").value_name("TEXT").help("Another prompt")))]
pub(super) struct Arguments {
    /// A PNG made by sdgen, or by another program that writes A1111's `parameters`
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Write no file: compare the new image with IMAGE, as same, close (40 dB or more) or different,
    /// which is exit code 10
    #[arg(long, help_heading = "Display")]
    verify: bool,

    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    profile: Profile,
    #[command(flatten)]
    pub(super) display: Display,
}

/// Peak signal-to-noise ratio, in dB, from which pictures are close: a difference of 2 to 3 in 255.
const CLOSE: f64 = 40.0;

/// Warning about a text of A1111's that has none.
const NO_SEED: &str = "the text names no seed: this becomes another picture";

/// Generates the image again.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    signals::listen(arguments.display.announces_stop())?;
    let progress = RefCell::new(Progress::new(&arguments.display));
    let plan = arguments.plan(&progress)?;
    if arguments.verify {
        return arguments.verify(&plan, &progress);
    }
    let params = &arguments.params;
    let destination = parse_destination(params)?;
    generate_and_save(
        &Generation {
            plan: &plan,
            params,
            destination: &destination,
            show: false,
        },
        &progress,
    )?;
    let done = Event::Done {
        images: plan.request.count,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let _ = progress.borrow_mut().on(&done);
    Ok(())
}

impl Arguments {
    /// The plan from the metadata of the image and the flags.
    fn plan(&self, progress: &RefCell<Progress>) -> Result<Plan> {
        let found = metadata::read(&self.image)?;
        match (&found.sdgen, &found.parameters) {
            (Some(record), _) => self.recorded(record, progress),
            (None, Some(parameters)) if !parameters.is_empty() => {
                let (params, left) = parameters.params(&self.params);
                let mut observer = |event: &Event| progress.borrow_mut().on(event);
                if params.seed.is_none() && self.params.seed.is_none() {
                    warn(&mut observer, NO_SEED.to_owned());
                }
                if !left.is_empty() {
                    warn(
                        &mut observer,
                        format!("not taken over: {}", left.join(", ")),
                    );
                }
                let defaults = self.profile.defaults()?.announce(&mut observer)?;
                let params = self.params.clone().combine(defaults.complete(&params));
                Planner::new(Hub::from_env()?).plan(&params, &mut observer)
            }
            (None, _) if found.sheet.is_some() => {
                let message = format!("`{}` is a sheet of several pictures", self.image.display());
                Err(Error::new(Kind::Usage, message)
                    .hint("`sdgen inspect` names them; each can be drawn again by itself"))
            }
            (None, _) => {
                let message = format!(
                    "`{}` says nothing about how it was made",
                    self.image.display()
                );
                Err(Error::new(Kind::Usage, message)
                    .hint("expected a PNG with sdgen's or A1111's metadata"))
            }
        }
    }

    /// The recorded request, changed in nothing but what the flags change.
    fn recorded(&self, record: &Record, progress: &RefCell<Progress>) -> Result<Plan> {
        let mut observer = |event: &Event| progress.borrow_mut().on(event);
        let recorded = Recorded {
            record,
            image: &self.image,
            over: &self.params,
        };
        let defaults = self.profile.defaults()?.announce(&mut observer)?;
        let params = defaults.complete_execution(recorded.params()?);
        let params = self.params.clone().combine(params);
        let plan = Planner::new(Hub::from_env()?).plan(&params, &mut observer)?;
        for difference in recorded.differences(&plan)? {
            warn(&mut observer, difference);
        }
        Ok(plan)
    }

    /// Generates the image and prints how it compares with the given one.
    fn verify(&self, plan: &Plan, progress: &RefCell<Progress>) -> anyhow::Result<()> {
        let there = image::open(&self.image).map_err(|e| {
            Error::new(
                Kind::Usage,
                format!("cannot read `{}`", self.image.display()),
            )
            .source(e)
        })?;
        let mut observer = |event: &Event| progress.borrow_mut().on(event);
        let mut here: Option<Image> = None;
        Engine::new().generate(plan, &mut observer, &mut |image| {
            here.get_or_insert(image);
            Ok(())
        })?;
        let here = here.context("a request that draws nothing")?;
        let psnr = psnr(&there.to_rgb8(), &here);
        let (verdict, difference) = match psnr {
            Some(f64::INFINITY) => ("same\n".to_owned(), None),
            Some(psnr) if psnr >= CLOSE => (format!("close: PSNR {psnr:.1} dB\n"), None),
            Some(psnr) => (
                format!("different: PSNR {psnr:.1} dB\n"),
                Some("the picture drawn now is another one"),
            ),
            None => (
                "different: another size\n".to_owned(),
                Some("the picture drawn now has another size"),
            ),
        };
        terminal::write_data(verdict.as_bytes())?;
        if let Some(difference) = difference {
            bail!(Error::new(Kind::Different, difference));
        }
        Ok(())
    }
}

fn warn(observer: &mut dyn Observer, message: String) {
    // A wish to stop is answered by the first event of the drawing.
    let _ = observer.on(&Event::Warning { message });
}

/// The peak signal-to-noise ratio of two pictures of one size: infinite for the same.
fn psnr(there: &RgbImage, here: &Image) -> Option<f64> {
    if Size::new(there.width(), there.height()) != here.size {
        return None;
    }
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error = there
        .as_raw()
        .iter()
        .zip(&here.rgb)
        .map(square)
        .sum::<f64>()
        / here.rgb.len() as f64;
    Some(10.0 * (255.0 * 255.0 / error).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_infinite_for_the_same_and_falls_with_the_difference() {
        let here = |value: u8| Image {
            size: Size::new(2, 1),
            rgb: vec![value; 6],
            seed: 0,
            index: 0,
            tiled: false,
        };
        let there = RgbImage::from_raw(2, 1, vec![100; 6]).unwrap();
        assert_eq!(psnr(&there, &here(100)), Some(f64::INFINITY));
        // An error of 1 everywhere: 20 log10 255.
        assert!((psnr(&there, &here(101)).unwrap() - 48.13).abs() < 0.01);
        assert_eq!(psnr(&RgbImage::new(1, 1), &here(0)), None);
    }
}
