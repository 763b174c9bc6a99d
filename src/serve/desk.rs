//! Submission of jobs: the fields and images of a client are checked like those of the command
//! line, stored and queued. Errors are reported at once, field by field.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Service;
use super::fields::{Access, access, set};
use super::job::{Api, Job, Operation, Order, new_key};
use super::store::Refused;
use super::uploads::{self, Pictures, within};
use crate::error::Error;
use crate::image::Size;
use crate::params::{Combine, Params, check, scaled_down};

/// Maximum length of a prompt, in characters.
pub(super) const PROMPT: usize = 32_000;
/// Fields that hold prompts.
pub(super) const PROMPTS: [&str; 4] =
    ["prompt", "negative_prompt", "prompt_2", "negative_prompt_2"];

/// A job request of a client.
pub(super) struct Wish {
    /// Fields of `Params` by name; images in base64.
    pub(super) fields: Map<String, Value>,
    /// Images uploaded as files.
    pub(super) pictures: Pictures,
    /// Operation that the client names, if any.
    pub(super) operation: Option<Operation>,
    pub(super) api: Api,
    /// True if the client waits for the result.
    pub(super) attended: bool,
}

impl Service {
    /// Checks a request, stores it and queues it.
    pub(super) fn submit(&self, wish: Wish) -> Result<Arc<Job>, Refused> {
        let (order, pictures) = self.checked(wish)?;
        let job = self.store.submit(order, &pictures).inspect_err(|refused| {
            if let Refused::Failed(error) = refused {
                (self.log)(&format!("the store: {error}"));
            }
        })?;
        self.note(&job, "queued");
        Ok(job)
    }

    fn checked(&self, wish: Wish) -> Result<(Order, Pictures), Refused> {
        let Wish {
            fields,
            mut pictures,
            operation,
            api,
            attended,
        } = wish;
        let mut params = params(fields, &mut pictures)?;
        let long = too_long(&params);
        if !long.is_empty() {
            return Err(Refused::Wrong(long));
        }
        let mut wrong: Vec<Error> = check(&params.clone().combine(self.defaults.clone()));
        let mut keep = |result: crate::error::Result<()>| wrong.extend(result.err());
        keep(self.allowed(&mut params));
        for (field, bytes) in &pictures {
            keep(
                uploads::size(field, bytes).map(|size| self.scaled_down(field, size, &mut params)),
            );
        }
        keep(self.bounded(&params));
        let operation = operation.map_or(Ok(implied(&params)), |named| agrees(named, &params));
        match operation {
            Ok(operation) if wrong.is_empty() => Ok((
                Order {
                    params,
                    operation,
                    api,
                    attended,
                    key: new_key(),
                },
                pictures,
            )),
            Ok(_) => Err(Refused::Wrong(wrong)),
            Err(error) => Err(Refused::Wrong(
                std::iter::once(error).chain(wrong).collect(),
            )),
        }
    }

    /// Replaces each model by the name under which it is offered.
    fn allowed(&self, params: &mut Params) -> crate::error::Result<()> {
        let asked = params.model.as_deref().unwrap_or(self.catalog.default());
        params.model = Some(self.catalog.resolve("model", asked)?.0.to_owned());
        if let Some(refiner) = &params.refiner {
            params.refiner = Some(self.catalog.resolve("refiner", refiner)?.0.to_owned());
        }
        Ok(())
    }

    /// Gives a job whose start image exceeds the pixel limit the size to which that image is scaled
    /// down.
    fn scaled_down(&self, field: &str, own: Size, params: &mut Params) {
        let whole = params.clone().combine(self.defaults.clone());
        if field == "init_image"
            && let Some(Size { width, height }) = scaled_down(&whole, own, self.limits.pixels)
        {
            (params.width, params.height) = (Some(width), Some(height));
        }
    }

    /// Checks that the request stays within the server's limits of images and pixels.
    fn bounded(&self, params: &Params) -> crate::error::Result<()> {
        let most = self.limits.count;
        let few = |field: &str, value: u64| match value <= most {
            true => Ok(()),
            false => Err(Error::expected(
                field,
                format!("at most {most} on this server"),
                value,
            )),
        };
        few("count", params.count.unwrap_or(1))?;
        few("batch_size", params.batch_size.unwrap_or(1) as u64)?;
        let (width, height) = (params.width.unwrap_or(8), params.height.unwrap_or(8));
        within(
            if width > height { "width" } else { "height" },
            width,
            height,
            self.limits.pixels,
        )
    }
}

/// Converts the fields to `Params` and moves their images to `pictures`.
///
/// # Errors
/// Fields that are unknown, wrong, or set by the server only.
pub(super) fn params(
    fields: Map<String, Value>,
    pictures: &mut Pictures,
) -> Result<Params, Refused> {
    let mut wrong = Vec::new();
    let mut params = Params::default();
    for (name, value) in &fields {
        wrong.extend(set(&mut params, name, value).err());
    }
    for field in pictures.keys() {
        if access(field) == Access::Picture {
            wrong.extend(set(&mut params, field, &uploads::PLACE.into()).err());
        } else {
            wrong.push(Error::field(field, "is no picture").hint("send it as a plain value"));
        }
    }
    wrong.extend(uploads::lift(&mut params, pictures).err());
    if wrong.is_empty() {
        Ok(params)
    } else {
        Err(Refused::Wrong(wrong))
    }
}

/// Errors of prompts longer than [`PROMPT`].
fn too_long(params: &Params) -> Vec<Error> {
    let Params {
        prompt,
        negative_prompt,
        prompt_2,
        negative_prompt_2,
        ..
    } = params;
    let texts = [prompt, negative_prompt, prompt_2, negative_prompt_2];
    let lengths = texts.map(|text| text.as_ref().map_or(0, |text| text.chars().count()));
    let long = PROMPTS
        .into_iter()
        .zip(lengths)
        .filter(|(_, length)| *length > PROMPT);
    long.map(|(field, length)| {
        Error::expected(field, format!("at most {PROMPT} characters"), length)
    })
    .collect()
}

/// Operation that the fields imply.
fn implied(params: &Params) -> Operation {
    match (
        &params.init_image,
        params.mask.is_some() || params.extend.is_some(),
    ) {
        (None, _) => Operation::Txt2img,
        (Some(_), false) => Operation::Img2img,
        (Some(_), true) => Operation::Inpaint,
    }
}

/// Returns the named operation if the fields imply the same one.
fn agrees(named: Operation, params: &Params) -> crate::error::Result<Operation> {
    let implied = implied(params);
    if named == implied {
        return Ok(named);
    }
    let field = match (named, implied) {
        (Operation::Txt2img, _) | (_, Operation::Txt2img) => "init_image",
        (Operation::Img2img, _) | (Operation::Inpaint, _) => "mask",
    };
    Err(Error::field(
        field,
        format!("does not go with `{named}`: the other fields make it `{implied}`"),
    )
    .hint("leave `operation` out, or send what belongs to it"))
}
