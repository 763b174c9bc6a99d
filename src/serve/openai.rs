//! OpenAI's images interface on the same jobs: `/v1/images/generations` and `/v1/images/edits`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::desk::Wish;
use super::http::problem::Problem;
use super::http::{attend, body, json_response};
use super::job::{Api, Job, State as JobState, Status};
use super::uploads::{self, Pictures};
use super::{Service, clock, fields};
use crate::error::{Error, Result};
use crate::input::{MaskChannel, Source, Transparency};

/// A failure in the form that OpenAI's clients read.
pub(super) struct Failed(pub(super) Problem);

impl<E: Into<Problem>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let failure = &self.0.failure;
        let hints: Vec<String> = failure.hints.iter().map(|hint| format!(" ({hint})")).collect();
        let field = failure.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
        let fault = if self.0.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let error = json!({
            "message": format!("{field}{}{}", failure.message, hints.concat()),
            "type": fault,
            "param": failure.field,
            "code": failure.kind,
        });
        self.0.with_body("application/json", &json!({ "error": error }))
    }
}

/// Fields of OpenAI's that change nothing here.
const IGNORED: &[&str] =
    &["quality", "style", "user", "moderation", "safety_identifier", "output_compression", "input_fidelity"];

/// Fields with the values that are what is done here anyway.
const FIXED: &[(&str, &[&str])] = &[
    ("background", &["auto", "opaque"]),
    ("output_format", &["png"]),
    ("stream", &["false"]),
    ("partial_images", &["0"]),
];

/// Names of OpenAI's own models, which its clients send unless told otherwise: the default model draws.
const FOREIGN: &[&str] = &["dall-e", "gpt-image", "chatgpt-image"];

/// The form in which pictures are sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Base64,
    Url,
    /// The client did not say: it finds what it looks for.
    Both,
}

impl Form {
    fn parse(value: Option<Value>) -> Result<Self> {
        match value.as_ref().map(Value::as_str) {
            None => Ok(Self::Both),
            Some(Some("b64_json")) => Ok(Self::Base64),
            Some(Some("url")) => Ok(Self::Url),
            Some(_) => Err(Error::field("response_format", "expected `b64_json` or `url`")),
        }
    }
}

/// OpenAI's fields as ours. What is not OpenAI's stays: any field of a job may be sent along.
pub(super) fn translated(mut fields: Map<String, Value>) -> Result<(Map<String, Value>, Form)> {
    fields.retain(|name, value| !value.is_null() && !IGNORED.contains(&name.as_str()));
    for (name, values) in FIXED {
        let Some(value) = fields.remove(*name) else { continue };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if !values.contains(&text.as_str()) {
            return Err(Error::expected(name, format!("`{}`", values.join("` or `")), text));
        }
    }
    let form = Form::parse(fields.remove("response_format"))?;
    if let Some(n) = fields.remove("n") {
        let n = n.as_u64().ok_or_else(|| Error::expected("n", "a number", n))?;
        fields.insert("count".to_owned(), n.into());
    }
    if let Some(size) = fields.remove("size").filter(|size| size != "auto") {
        let sides = size.as_str().and_then(|text| text.split_once('x'));
        let sides = sides.and_then(|(w, h)| Some((w.parse::<u32>().ok()?, h.parse::<u32>().ok()?)));
        let (width, height) = sides.ok_or_else(|| Error::expected("size", "`512x768` or `auto`", size))?;
        fields.insert("width".to_owned(), width.into());
        fields.insert("height".to_owned(), height.into());
    }
    let foreign = |model: &Value| {
        model.as_str().is_some_and(|model| FOREIGN.iter().any(|prefix| model.starts_with(prefix)))
    };
    if fields.get("model").is_some_and(foreign) {
        fields.remove("model");
    }
    Ok((fields, form))
}

/// `POST /v1/images/generations`
pub(super) async fn generations(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failed> {
    let fields = body::object(&service, request).await?;
    answer(&service, &headers, fields, Pictures::new()).await
}

/// `POST /v1/images/edits`
pub(super) async fn edits(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failed> {
    let form = body::form(&service, request).await?;
    let (fields, pictures) = super::http::blocking(&service, move |_| edit(form)).await??;
    answer(&service, &headers, fields, pictures).await
}

/// Fields and pictures of an edit.
///
/// # Errors
/// Pictures that cannot be read, or of another number.
pub(super) fn edit(form: body::Form) -> Result<(Map<String, Value>, Pictures)> {
    let mut fields = Map::new();
    for (name, text) in form.texts {
        let value = match name.as_str() {
            "n" => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
            _ => fields::from_text(&name, &text).ok().flatten().map_or(Value::from(text), |row| row.1),
        };
        fields.insert(name, value);
    }
    let (pictures, alpha) = originals(form.files)?;
    if alpha {
        fields.insert("mask".to_owned(), fields::ALPHA.into());
    }
    Ok((fields, pictures))
}

/// The picture to edit and its mask, and whether the picture's own transparency is the mask. OpenAI's mask is
/// transparent where the picture is to be painted anew; ours is white there.
fn originals(files: Vec<(String, Vec<u8>)>) -> Result<(Pictures, bool)> {
    let mut pictures = Pictures::new();
    for (name, bytes) in files {
        let (field, bytes) = match name.as_str() {
            "image" | "image[]" => ("init_image", bytes),
            "mask" => ("mask", uploads::mask(&bytes, MaskChannel::Transparent)?),
            _ => return Err(Error::field(&name, "no such file is expected").hint("send `image` and `mask`")),
        };
        if pictures.insert(field.to_owned(), bytes).is_some() {
            return Err(Error::field(&name, "one picture is edited at a time"));
        }
    }
    let image = pictures.get("init_image").ok_or_else(|| Error::field("image", "is missing"))?;
    let has_holes = Source::sent("image", image).decoded(Transparency::Dropped, |picture| {
        Ok(picture.alpha.is_some_and(|alpha| alpha.iter().any(|a| *a < 128)))
    })?;
    let alpha = has_holes && !pictures.contains_key("mask");
    Ok((pictures, alpha))
}

async fn answer(
    service: &Arc<Service>,
    headers: &HeaderMap,
    fields: Map<String, Value>,
    pictures: Pictures,
) -> Result<Response, Failed> {
    let (fields, form) = translated(fields)?;
    let wish = Wish { fields, pictures, operation: None, api: Api::OpenAi, attended: true };
    let (job, status) = attend::drawn(service, wish).await?;
    if status.state != JobState::Completed {
        return Err(Problem::of_failed(&status).into());
    }
    let files = match form {
        Form::Url => Vec::new(),
        Form::Base64 | Form::Both => attend::pictures(service, &job, &status).await?,
    };
    let data = data(&job, &status, &files, (form != Form::Base64).then(|| base(headers)));
    let size = status.images.first().map(|made| format!("{}x{}", made.width, made.height));
    let created = clock::unix(SystemTime::now()) as u64;
    let value = json!({ "created": created, "data": data, "output_format": "png", "size": size });
    Ok(json_response(StatusCode::OK, &value))
}

/// Each picture in the forms that are wanted.
fn data(job: &Job, status: &Status, files: &[Vec<u8>], base: Option<String>) -> Vec<Value> {
    let item = |(i, made): (usize, &super::job::Made)| {
        let mut item = Map::new();
        if let Some(bytes) = files.get(i) {
            item.insert("b64_json".to_owned(), uploads::encode(bytes).into());
        }
        if let Some(base) = &base {
            item.insert("url".to_owned(), format!("{base}{}", job.link(made).url).into());
        }
        Value::Object(item)
    };
    status.images.iter().enumerate().map(item).collect()
}

/// The server as the client calls it.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(value: Value) -> Result<(Value, Form)> {
        let Value::Object(fields) = value else { unreachable!() };
        translated(fields).map(|(fields, form)| (fields.into(), form))
    }

    #[test]
    fn openais_fields_become_ours_and_others_stay() {
        let sent = json!({
            "model": "dall-e-3", "prompt": "a", "n": 2, "size": "64x32", "quality": "hd", "style": null,
            "response_format": "b64_json", "stream": false, "steps": 3,
        });
        let expected = json!({"prompt": "a", "count": 2, "width": 64, "height": 32, "steps": 3});
        assert_eq!(ours(sent).unwrap(), (expected, Form::Base64));
        assert_eq!(
            ours(json!({"size": "auto", "model": "demo"})).unwrap(),
            (json!({"model": "demo"}), Form::Both)
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (name, value) in [
            ("stream", json!(true)),
            ("background", json!("transparent")),
            ("output_format", json!("svg")),
            ("size", json!("large")),
            ("n", json!("two")),
            ("response_format", json!("gif")),
        ] {
            assert_eq!(ours(json!({ name: value })).unwrap_err().field_name(), Some(name));
        }
    }

    #[test]
    fn a_mask_is_white_where_openais_is_transparent() {
        let image =
            image::RgbaImage::from_fn(2, 1, |x, _| image::Rgba([0, 0, 0, if x == 0 { 0 } else { 255 }]));
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let mask = uploads::mask(&png.into_inner(), MaskChannel::Transparent).unwrap();
        let grey = image::load_from_memory(&mask).unwrap().to_luma8();
        assert_eq!(grey.into_raw(), [255, 0]);
    }
}
