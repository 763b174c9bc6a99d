//! OpenAI's images API on the same jobs: `/v1/images/generations` and `/v1/images/edits`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::imaging::{MaskChannel, Source, Transparency};
use crate::serve::http::responses::{
    Problem, image_response, json_response, query_store, run_blocking,
};
use crate::serve::http::{body, wait};
use crate::serve::job::{Api, State as JobState};
use crate::serve::model_catalog::ModelInfo;
use crate::serve::service::Service;
use crate::serve::submit::Submission;
use crate::serve::uploads;
use crate::serve::uploads::{UploadedImages, image_file_name};
use crate::serve::{fields, timestamp};

/// Returns true for paths of OpenAI's API.
pub(crate) fn is_openai_path(path: &str) -> bool {
    ["/v1/images", "/v1/models"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// An error in the format of OpenAI's API.
pub(crate) struct OpenAiError(pub(crate) Problem);

impl<E: Into<Problem>> From<E> for OpenAiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        // Status of invalid fields in OpenAI's API.
        let status = match self.0.status {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        let problem = self.0.rename_fields(NAMES);
        let failure = &problem.failure;
        let hints: Vec<String> = failure
            .hints
            .iter()
            .map(|hint| format!(" ({hint})"))
            .collect();
        let field = failure
            .field
            .as_ref()
            .map(|field| format!("{field}: "))
            .unwrap_or_default();
        let error_type = if status.is_server_error() {
            "server_error"
        } else {
            "invalid_request_error"
        };
        let error = json!({
            "message": format!("{field}{}{}", failure.message, hints.concat()),
            "type": error_type,
            "param": failure.field,
            "code": failure.kind,
        });
        let body = json!({ "error": error });
        problem
            .with_status(status)
            .with_body("application/json", &body)
    }
}

/// Our fields with the names that OpenAI's clients sent them by.
const NAMES: &[(&str, &str)] = &[
    ("count", "n"),
    ("width", "size"),
    ("height", "size"),
    ("init_image", "image"),
];

/// OpenAI's fields that have no effect here.
const IGNORED: &[&str] = &[
    "quality",
    "style",
    "user",
    "moderation",
    "safety_identifier",
    "output_compression",
    "input_fidelity",
];

/// Fields with the values that correspond to the behaviour of this server.
const FIXED: &[(&str, &[&str])] = &[
    ("background", &["auto", "opaque"]),
    ("output_format", &[crate::output::encode::DEFAULT.extension]),
    ("stream", &["false"]),
    ("partial_images", &["0"]),
];

/// Fields that count as absent if they are empty, since some clients send every field.
const OPTIONAL: &[&str] = &[
    "model",
    "n",
    "size",
    "response_format",
    "background",
    "output_format",
    "stream",
    "partial_images",
];

/// Prefixes of OpenAI's own model names, which its clients send by default; the default model is
/// used instead.
const OPENAI_MODELS: &[&str] = &["dall-e", "gpt-image", "chatgpt-image"];

/// Format of the returned images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    Base64,
    Url,
}

impl ResponseFormat {
    fn parse(value: Option<Value>) -> Result<Self> {
        match value.as_ref().map(Value::as_str) {
            None | Some(Some("b64_json")) => Ok(Self::Base64),
            Some(Some("url")) => Ok(Self::Url),
            Some(_) => Err(Error::field(
                "response_format",
                "expected `b64_json` or `url`",
            )),
        }
    }
}

/// Translates OpenAI's fields. Other fields stay: any field of a job may be sent along.
pub(crate) fn translate_fields(
    mut fields: Map<String, Value>,
) -> Result<(Map<String, Value>, ResponseFormat)> {
    fields.retain(|name, value| {
        let name = name.as_str();
        let is_absent = value.is_null() || (value == "" && OPTIONAL.contains(&name));
        !is_absent && !IGNORED.contains(&name)
    });
    for (name, values) in FIXED {
        let Some(value) = fields.remove(*name) else {
            continue;
        };
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if !values.contains(&text.as_str()) {
            return Err(Error::expected(
                name,
                format!("`{}`", values.join("` or `")),
                text,
            ));
        }
    }
    let form = ResponseFormat::parse(fields.remove("response_format"))?;
    if let Some(n) = fields.remove("n") {
        let n = n
            .as_u64()
            .ok_or_else(|| Error::expected("n", "a number", n))?;
        fields.insert("count".to_owned(), n.into());
    }
    if let Some(size) = fields.remove("size").filter(|size| size != "auto") {
        let sides = size.as_str().and_then(|text| text.split_once('x'));
        let sides = sides.and_then(|(w, h)| Some((w.parse::<u32>().ok()?, h.parse::<u32>().ok()?)));
        let (width, height) =
            sides.ok_or_else(|| Error::expected("size", "`512x768` or `auto`", size))?;
        fields.insert("width".to_owned(), width.into());
        fields.insert("height".to_owned(), height.into());
    }
    if let Some(Value::String(model)) = fields.get("model")
        && OPENAI_MODELS.iter().any(|prefix| model.starts_with(prefix))
    {
        fields.remove("model");
    }
    Ok((fields, form))
}

/// `POST /v1/images/generations`
pub(crate) async fn generations(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OpenAiError> {
    let fields = body::read_json(&service, request).await?;
    respond(&service, &headers, fields, UploadedImages::new()).await
}

/// `POST /v1/images/edits`
pub(crate) async fn edits(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OpenAiError> {
    let form = body::read_form(&service, request).await?;
    let (fields, uploaded) = run_blocking(&service, move |_| parse_edit(form)).await??;
    respond(&service, &headers, fields, uploaded).await
}

/// Fields and images of an edit request.
pub(crate) fn parse_edit(form: body::Form) -> Result<(Map<String, Value>, UploadedImages)> {
    let mut fields = Map::new();
    for (name, text) in form.texts {
        let value = match name.as_str() {
            "n" => text
                .parse::<u64>()
                .map_or_else(|_| Value::from(text), Value::from),
            _ => fields::parse_form_field(&name, &text).map_or(Value::from(text), |row| row.1),
        };
        fields.insert(name, value);
    }
    let (uploaded, alpha) = edit_images(form.files)?;
    if alpha {
        fields.insert("mask".to_owned(), fields::ALPHA.into());
    }
    if alpha || uploaded.contains_key("mask") {
        fields.entry("keep_unmasked").or_insert(true.into());
    }
    Ok((fields, uploaded))
}

/// The image to edit with its mask, and true if the image's own transparency is the mask. OpenAI's
/// mask is transparent where the image is to be repainted; this program's is white there.
fn edit_images(files: Vec<(String, Vec<u8>)>) -> Result<(UploadedImages, bool)> {
    let mut uploaded = UploadedImages::new();
    for (name, bytes) in files {
        let (field, bytes) = match name.as_str() {
            "image" | "image[]" => ("init_image", bytes),
            "mask" => (
                "mask",
                uploads::convert_mask(&bytes, MaskChannel::Transparent)?,
            ),
            _ => {
                return Err(
                    Error::field(&name, "is not an expected file").hint("send `image` and `mask`")
                );
            }
        };
        if uploaded.insert(field.to_owned(), bytes).is_some() {
            return Err(Error::field(
                &name,
                "only one image can be edited at a time",
            ));
        }
    }
    let image = uploaded
        .get("init_image")
        .ok_or_else(|| Error::field("image", "is missing"))?;
    let has_holes = Source::sent("image", image).decoded(Transparency::Dropped, |picture| {
        Ok(picture
            .alpha
            .is_some_and(|alpha| alpha.iter().any(|a| *a < 128)))
    })?;
    let alpha = has_holes && !uploaded.contains_key("mask");
    Ok((uploaded, alpha))
}

async fn respond(
    service: &Arc<Service>,
    headers: &HeaderMap,
    fields: Map<String, Value>,
    uploaded: UploadedImages,
) -> Result<Response, OpenAiError> {
    let (fields, form) = translate_fields(fields)?;
    let submission = Submission {
        fields,
        uploaded,
        operation: None,
        api: Api::OpenAi,
        is_synchronous: true,
    };
    let (job, status) = wait::run_and_wait(service, submission).await?;
    if status.state != JobState::Completed {
        return Err(Problem::of_job(&status).into());
    }
    let data: Vec<Value> = match form {
        ResponseFormat::Url => {
            let base = base_url(headers);
            let dir = format!("{base}{IMAGE_LINKS}/{}/{}", job.id, job.spec.link_key);
            let images = status.images.iter();
            images
                .map(|image| json!({ "url": format!("{dir}/{}", image_file_name(image.index)) }))
                .collect()
        }
        ResponseFormat::Base64 => {
            let files = wait::read_images(service, &job, &status).await?;
            files
                .iter()
                .map(|bytes| json!({ "b64_json": uploads::encode_base64(bytes) }))
                .collect()
        }
    };
    let first = status.images.first();
    let size = first.map(|image| format!("{}x{}", image.width, image.height));
    let created = timestamp::unix_seconds(SystemTime::now()) as u64;
    let format = crate::output::encode::DEFAULT.extension;
    let mut body =
        json!({ "created": created, "data": data, "output_format": format, "size": size });
    if !status.warnings.is_empty() {
        body["warnings"] = json!(status.warnings);
    }
    Ok(json_response(StatusCode::OK, &body))
}

/// URL of the server as the client sees it: from the headers of a proxy, or else from the request.
fn base_url(headers: &HeaderMap) -> String {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value
            .split(',')
            .next()
            .map(str::trim)
            .filter(|value| !value.is_empty())
    };
    let forwarded = |key: &str| {
        let pairs = first("forwarded")?
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(key));
        values.next().map(|(_, value)| value.trim_matches('"'))
    };
    let host = forwarded("host")
        .or_else(|| first("x-forwarded-host"))
        .filter(|host| is_valid_authority(host));
    let scheme = forwarded("proto").or_else(|| first("x-forwarded-proto"));
    let scheme = if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        "https"
    } else {
        "http"
    };
    format!(
        "{scheme}://{}",
        host.or_else(|| first(header::HOST.as_str()).filter(|host| is_valid_authority(host)))
            .unwrap_or("localhost")
    )
}

/// Returns true if the text has only characters of a host with or without a port.
fn is_valid_authority(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// Path prefix of image links.
pub(crate) const IMAGE_LINKS: &str = "/v1/images/files";

/// `GET /v1/images/files/{id}/{key}/{file}`: a link, which opens without the token.
pub(crate) async fn file(
    State(service): State<Arc<Service>>,
    Path((id, key, name)): Path<(String, String, String)>,
) -> Result<Response, OpenAiError> {
    let gone = || OpenAiError(Problem::not_found("picture").hint("links open for an hour"));
    let job = query_store(&service, move |store| store.find(&id))
        .await?
        .ok_or_else(gone)?;
    // The comparison takes the same time wherever the two differ.
    let is_key = |expected: &str| Sha256::digest(expected) == Sha256::digest(&key);
    let is_key = job.link_key(SystemTime::now()).is_some_and(is_key);
    if !is_key
        || !job
            .status()
            .images
            .iter()
            .any(|image| image_file_name(image.index) == name)
    {
        return Err(gone());
    }
    let bytes = query_store(&service, move |store| store.read_result(&job.id, &name)).await?;
    bytes.map(image_response).ok_or_else(gone)
}

/// `GET /v1/models/{id}`
pub(crate) async fn model(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Response, OpenAiError> {
    let found = run_blocking(&service, move |service| {
        let (id, _) = service.catalog.resolve("model", &name)?;
        Ok(service
            .catalog
            .model_infos(&service.hub)
            .into_iter()
            .find(|model| model.id == id))
    });
    let not_found =
        |error: Error| OpenAiError(Problem::from(error).with_status(StatusCode::NOT_FOUND));
    let model = found.await?.map_err(not_found)?;
    Ok(json_response(
        StatusCode::OK,
        &json!(model.as_ref().map(model_object)),
    ))
}

/// A model in the form of OpenAI's list, with additional facts.
pub(crate) fn model_object(model: &ModelInfo) -> Value {
    let mut value = json!(model);
    value["object"] = json!("model");
    value["created"] = json!(0);
    value["owned_by"] = json!("sdgen");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(value: Value) -> Result<(Value, ResponseFormat)> {
        let Value::Object(fields) = value else {
            unreachable!()
        };
        translate_fields(fields).map(|(fields, form)| (fields.into(), form))
    }

    #[test]
    fn openais_fields_become_ours_and_others_stay() {
        let sent = json!({
            "model": "dall-e-3", "prompt": "a", "n": 2, "size": "64x32", "quality": "hd", "style": null,
            "response_format": "b64_json", "stream": false, "steps": 3,
        });
        let expected = json!({"prompt": "a", "count": 2, "width": 64, "height": 32, "steps": 3});
        assert_eq!(translate(sent).unwrap(), (expected, ResponseFormat::Base64));
        assert_eq!(
            translate(json!({"size": "auto", "model": "demo"})).unwrap(),
            (json!({"model": "demo"}), ResponseFormat::Base64)
        );
    }

    #[test]
    fn a_field_that_is_empty_is_not_there() {
        for empty in [json!(""), Value::Null] {
            let sent: Map<String, Value> = OPTIONAL
                .iter()
                .map(|name| ((*name).to_owned(), empty.clone()))
                .collect();
            assert_eq!(
                translate(sent.into()).unwrap(),
                (json!({}), ResponseFormat::Base64),
                "{empty}"
            );
        }
        // An empty prompt is one.
        assert_eq!(
            translate(json!({"prompt": "", "response_format": "url"})).unwrap(),
            (json!({"prompt": ""}), ResponseFormat::Url)
        );
    }

    #[test]
    fn links_begin_with_what_the_client_called() {
        let link = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| {
                let name: axum::http::HeaderName = name.parse().unwrap();
                (name, axum::http::HeaderValue::from_str(value).unwrap())
            };
            base_url(&pairs.iter().map(pair).collect())
        };
        let host = ("host", "127.0.0.1:7860");
        assert_eq!(link(&[host]), "http://127.0.0.1:7860");
        assert_eq!(
            link(&[host, ("x-forwarded-proto", "https")]),
            "https://127.0.0.1:7860"
        );
        assert_eq!(
            link(&[
                host,
                ("x-forwarded-proto", "HTTPS, http"),
                ("x-forwarded-host", "pics.example, inner")
            ]),
            "https://pics.example"
        );
        let forwarded = (
            "forwarded",
            "for=192.0.2.60;Proto=https;host=\"pics.example:8443\", for=10.0.0.1;proto=http",
        );
        assert_eq!(
            link(&[host, forwarded, ("x-forwarded-proto", "http")]),
            "https://pics.example:8443"
        );
        for odd in ["evil.example/x?", "a b", "user@evil.example", ""] {
            assert_eq!(
                link(&[host, ("x-forwarded-host", odd)]),
                "http://127.0.0.1:7860",
                "{odd}"
            );
        }
        assert_eq!(
            link(&[host, ("x-forwarded-proto", "javascript")]),
            "http://127.0.0.1:7860"
        );
    }

    #[test]
    fn a_wrong_field_is_a_bad_request_there() {
        let status = |problem: Problem| OpenAiError(problem).into_response().status().as_u16();
        assert_eq!(status(Error::field("size", "is odd").into()), 400);
        assert_eq!(status(Problem::not_found("picture")), 404);
        assert_eq!(
            status(Problem::client(StatusCode::PAYLOAD_TOO_LARGE, "long")),
            413
        );
        assert!(
            is_openai_path("/v1/models/demo")
                && is_openai_path("/v1/images/edits")
                && !is_openai_path("/v1/jobs")
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
            assert_eq!(
                translate(json!({ name: value })).unwrap_err().field_name(),
                Some(name)
            );
        }
    }

    #[test]
    fn a_mask_is_white_where_openais_is_transparent() {
        let image = image::RgbaImage::from_fn(2, 1, |x, _| {
            image::Rgba([0, 0, 0, if x == 0 { 0 } else { 255 }])
        });
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let mask = uploads::convert_mask(&png.into_inner(), MaskChannel::Transparent).unwrap();
        let grey = image::load_from_memory(&mask).unwrap().to_luma8();
        assert_eq!(grey.into_raw(), [255, 0]);
    }
}
