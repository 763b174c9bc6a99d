//! The end of a request: latents to pixels, post-processing, delivery.

use std::cell::Cell;

use super::Deliver;
use super::postprocess::PostProcess;
use crate::error::{Kind, Result};
use crate::event::Observer;
use crate::image::{Image, Size};
use crate::imaging::Start;
use crate::output::latents::Latents;
use crate::params::Request;
use crate::pipeline::{PassOutput, Pipeline};

/// Decoding and post-processing of a request's images.
pub(super) struct Finish<'a> {
    request: &'a Request,
    steps: Vec<PostProcess<'a>>,
    /// Receives latents that could not be decoded.
    undecoded: &'a Cell<Option<Latents>>,
}

impl<'a> Finish<'a> {
    pub(super) fn new(
        request: &'a Request,
        start: Option<&'a Start>,
        undecoded: &'a Cell<Option<Latents>>,
    ) -> Self {
        Self {
            request,
            steps: PostProcess::of_request(request, start),
            undecoded,
        }
    }

    /// Decodes and delivers each image of a batch.
    pub(super) fn all(
        &self,
        pipeline: &Pipeline,
        output: &PassOutput,
        observer: &mut dyn Observer,
        deliver: Deliver<'_>,
    ) -> Result<()> {
        for i in 0..output.batch.size {
            deliver(self.image(pipeline, output, i, observer)?)?;
        }
        Ok(())
    }

    /// Decodes and finishes image `i` of a batch.
    pub(super) fn image(
        &self,
        pipeline: &Pipeline,
        output: &PassOutput,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<Image> {
        let index = output.batch.first + i as u64;
        let seed = self.request.seed.wrapping_add(index);
        let rgb = pipeline.decode(output, i, observer).inspect_err(|error| {
            let worth_keeping = error.kind() != Kind::Interrupted;
            let latents = output.latents_of(i, seed).ok();
            self.undecoded.set(latents.filter(|_| worth_keeping));
        })?;
        let mut image = Image {
            size: Size::new(self.request.width, self.request.height),
            rgb,
            seed,
            index,
            tiled: pipeline.is_tiled(),
        };
        for step in &self.steps {
            image = step.apply(image);
        }
        Ok(image)
    }
}
