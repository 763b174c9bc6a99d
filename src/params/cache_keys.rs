//! Keys by which requests are compared, for caches and for groups. Each is a request without the
//! values that do not matter to it, so that a new field of [`Request`] counts until it is named
//! here.

use std::hash::{Hash, Hasher};

use super::{Interval, Request};
use crate::guidance::is_guided;
use crate::image::ImageSource;
use crate::imaging::MaskSource;
use crate::schedulers::{Sampler, Schedule};

/// A request, or a part of one, as the key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestKey(Request);

/// The numbers of a resolved request are finite, so that every key equals itself.
impl Eq for RequestKey {}

/// Hashes the values in which requests differ most often; equality is that of all values.
impl Hash for RequestKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self(request) = self;
        request.prompt.hash(state);
        request.negative_prompt.hash(state);
        request.model.hash(state);
        (request.width, request.height, request.steps).hash(state);
        (request.seed, request.sampler.row().name).hash(state);
        // Adding 0 makes -0 the 0 that it equals.
        (request.cfg_scale + 0.0).to_bits().hash(state);
        (request.eta + 0.0).to_bits().hash(state);
    }
}

impl Request {
    /// This request as a key.
    #[must_use]
    pub fn key(self) -> RequestKey {
        RequestKey(self)
    }

    /// The part of the request that the conditioning of its prompts depends on.
    #[must_use]
    pub fn conditioning(&self) -> Self {
        Self {
            seed: 0,
            width: 0,
            height: 0,
            ..self.unsampled()
        }
    }

    /// The request without prompts and seed: requests that are equal in this can share a forward
    /// pass.
    #[must_use]
    pub fn form(&self) -> Self {
        Self {
            prompt: String::new(),
            negative_prompt: None,
            prompt_2: None,
            negative_prompt_2: None,
            seed: 0,
            ..self.clone()
        }
    }

    /// The part of the request that the networks in memory and their buffers depend on.
    #[must_use]
    pub fn machinery(&self) -> Self {
        Self {
            cfg_scale: 0.0,
            clip_skip: 0,
            ..self.form().unsampled()
        }
    }

    /// The request for the estimate of memory when it shares a forward pass with others, `pictures`
    /// images in all.
    #[must_use]
    pub fn in_company(&self, pictures: usize) -> Self {
        Self {
            count: pictures as u64,
            batch_size: pictures,
            ..self.clone()
        }
    }

    /// The images that the request reads: field and source.
    pub fn inputs(&self) -> Vec<(&'static str, &ImageSource)> {
        let init = self.init.iter().map(|init| ("init_image", &init.image));
        let masks = self.init.iter().filter_map(|init| init.mask.as_ref());
        let masks = masks.filter_map(|mask| match &mask.source {
            MaskSource::File(source) => Some(("mask", source)),
            MaskSource::Alpha | MaskSource::Extension => None,
        });
        let controls = self
            .controls
            .iter()
            .map(|control| ("control", &control.image));
        let prompts = self
            .picture_prompt
            .iter()
            .map(|picture| ("ip_image", &picture.image));
        init.chain(masks).chain(controls).chain(prompts).collect()
    }

    /// The request without the values that only the sampler and the number of images depend on.
    fn unsampled(&self) -> Self {
        Self {
            count: 1,
            batch_size: 1,
            steps: 1,
            cfg_scale: if is_guided(self.cfg_scale, false) {
                2.0
            } else {
                1.0
            },
            sampler: Sampler::default(),
            schedule: Schedule::Normal,
            sigmas: None,
            timesteps: None,
            zero_terminal_snr: false,
            guidance_rescale: 0.0,
            cfg_interval: Interval::default(),
            eta: 0.0,
            init: None,
            preview_every: None,
            ..self.clone()
        }
    }
}
