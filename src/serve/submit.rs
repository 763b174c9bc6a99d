//! Submission of jobs: the fields and images of a client are checked like those of the command
//! line, stored and enqueued. Errors are reported at once, field by field.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::image::Size;
use crate::params::{Combine, Params, check, scaled_down};
use crate::serve::fields::{Access, field_access, set_field};
use crate::serve::job::{Api, Job, JobSpec, Operation, new_link_key};
use crate::serve::service::Service;
use crate::serve::store::SubmitError;
use crate::serve::uploads::{
    UPLOADED, UploadedImages, check_pixel_limit, extract_images, image_size,
};

/// Maximum length of a prompt, in characters.
pub(crate) const MAX_PROMPT: usize = 32_000;
/// Fields that hold prompts.
pub(crate) const PROMPT_FIELDS: [&str; 4] =
    ["prompt", "negative_prompt", "prompt_2", "negative_prompt_2"];

/// A job request of a client.
pub(crate) struct Submission {
    /// Fields of `Params` by name; images in base64.
    pub(crate) fields: Map<String, Value>,
    /// Images uploaded as files.
    pub(crate) uploaded: UploadedImages,
    /// Operation that the client names, if any.
    pub(crate) operation: Option<Operation>,
    pub(crate) api: Api,
    /// True if the client waits for the result.
    pub(crate) is_synchronous: bool,
}

impl Service {
    /// Checks a request, stores it and enqueues it.
    pub(crate) fn submit(&self, submission: Submission) -> Result<Arc<Job>, SubmitError> {
        let (spec, uploaded) = self.check_submission(submission)?;
        let job = self.store.submit(spec, &uploaded).inspect_err(|error| {
            if let SubmitError::Storage(error) = error {
                (self.log)(&format!("the store: {error}"));
            }
        })?;
        self.log_job(&job, "queued");
        Ok(job)
    }

    fn check_submission(
        &self,
        submission: Submission,
    ) -> Result<(JobSpec, UploadedImages), SubmitError> {
        let mut uploaded = submission.uploaded;
        let mut params = parse_params(submission.fields, &mut uploaded)?;
        let long_prompts = check_prompt_lengths(&params);
        if !long_prompts.is_empty() {
            return Err(SubmitError::Invalid(long_prompts));
        }
        let mut errors = check(&params.clone().combine(self.defaults.clone()));
        errors.extend(self.resolve_models(&mut params).err());
        for (field, bytes) in &uploaded {
            match image_size(field, bytes) {
                Ok(size) => self.limit_start_image(field, size, &mut params),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(self.check_limits(&params).err());
        let operation = implied_operation(&params);
        if let Some(named) = submission.operation
            && let Err(error) = check_operation(named, operation)
        {
            errors.insert(0, error);
        }
        if !errors.is_empty() {
            return Err(SubmitError::Invalid(errors));
        }
        let spec = JobSpec {
            params,
            operation,
            api: submission.api,
            is_synchronous: submission.is_synchronous,
            link_key: new_link_key(),
        };
        Ok((spec, uploaded))
    }

    /// Replaces each model by the name under which it is offered.
    fn resolve_models(&self, params: &mut Params) -> Result<()> {
        let model = match &params.model {
            Some(model) => model,
            None => self.catalog.default_name(),
        };
        params.model = Some(self.catalog.resolve("model", model)?.0.to_owned());
        if let Some(refiner) = &params.refiner {
            params.refiner = Some(self.catalog.resolve("refiner", refiner)?.0.to_owned());
        }
        Ok(())
    }

    /// Scales a start image that exceeds the pixel limit down, by setting the size of the job.
    fn limit_start_image(&self, field: &str, size: Size, params: &mut Params) {
        let merged = params.clone().combine(self.defaults.clone());
        if field == "init_image"
            && let Some(Size { width, height }) = scaled_down(&merged, size, self.limits.pixels)
        {
            (params.width, params.height) = (Some(width), Some(height));
        }
    }

    /// Checks that the request stays within the server's limits of images and pixels.
    fn check_limits(&self, params: &Params) -> Result<()> {
        let max = self.limits.count;
        let batch_size = params.batch_size.unwrap_or(1) as u64;
        for (field, value) in [
            ("count", params.count.unwrap_or(1)),
            ("batch_size", batch_size),
        ] {
            if value > max {
                let expected = format!("at most {max} on this server");
                return Err(Error::expected(field, expected, value));
            }
        }
        let (width, height) = (params.width.unwrap_or(8), params.height.unwrap_or(8));
        let larger = if width > height { "width" } else { "height" };
        check_pixel_limit(larger, width, height, self.limits.pixels)
    }
}

/// Converts the fields to `Params` and moves their images to `uploaded`.
pub(crate) fn parse_params(
    fields: Map<String, Value>,
    uploaded: &mut UploadedImages,
) -> Result<Params, SubmitError> {
    let mut errors = Vec::new();
    let mut params = Params::default();
    for (name, value) in &fields {
        errors.extend(set_field(&mut params, name, value).err());
    }
    for field in uploaded.keys() {
        if field_access(field) == Access::Image {
            errors.extend(set_field(&mut params, field, &UPLOADED.into()).err());
        } else {
            errors.push(
                Error::field(field, "is not an image field").hint("send it as a plain value"),
            );
        }
    }
    errors.extend(extract_images(&mut params, uploaded).err());
    if !errors.is_empty() {
        return Err(SubmitError::Invalid(errors));
    }
    Ok(params)
}

/// Errors of prompts longer than [`MAX_PROMPT`].
fn check_prompt_lengths(params: &Params) -> Vec<Error> {
    let prompts = [
        &params.prompt,
        &params.negative_prompt,
        &params.prompt_2,
        &params.negative_prompt_2,
    ];
    let mut errors = Vec::new();
    for (field, prompt) in PROMPT_FIELDS.into_iter().zip(prompts) {
        let length = prompt.as_ref().map_or(0, |text| text.chars().count());
        if length > MAX_PROMPT {
            let expected = format!("at most {MAX_PROMPT} characters");
            errors.push(Error::expected(field, expected, length));
        }
    }
    errors
}

/// Operation that the fields imply.
fn implied_operation(params: &Params) -> Operation {
    if params.init_image.is_none() {
        Operation::Txt2img
    } else if params.mask.is_some() || params.extend.is_some() {
        Operation::Inpaint
    } else {
        Operation::Img2img
    }
}

/// Checks that the named operation is the implied one.
fn check_operation(named: Operation, implied: Operation) -> Result<()> {
    if named == implied {
        return Ok(());
    }
    let field = match (named, implied) {
        (Operation::Txt2img, _) | (_, Operation::Txt2img) => "init_image",
        (Operation::Img2img, _) | (Operation::Inpaint, _) => "mask",
    };
    let message = format!("does not go with `{named}`: the other fields make it `{implied}`");
    Err(Error::field(field, message).hint("leave `operation` out, or send what belongs to it"))
}
