//! OpenAI's images interface on the same jobs: `/v1/images/generations` and `/v1/images/edits`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::catalog::Shown;
use super::desk::Wish;
use super::http::problem::Problem;
use super::http::{attend, blocking, body, json_response, png, stored};
use super::job::{Api, State as JobState};
use super::uploads::{self, Pictures, picture_of};
use super::{Service, clock, fields};
use crate::error::{Error, Result};
use crate::imaging::{MaskChannel, Source, Transparency};

/// Returns true for paths of OpenAI's interface.
pub(super) fn is_path(path: &str) -> bool {
    ["/v1/images", "/v1/models"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// An error in the form that OpenAI's clients read.
pub(super) struct Failed(pub(super) Problem);

impl<E: Into<Problem>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        // Their word for a field that is wrong.
        let status = match self.0.status {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        let problem = self.0.with_names(NAMES);
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
        let fault = if status.is_server_error() {
            "server_error"
        } else {
            "invalid_request_error"
        };
        let error = json!({
            "message": format!("{field}{}{}", failure.message, hints.concat()),
            "type": fault,
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

/// OpenAI's fields without effect here.
const IGNORED: &[&str] = &[
    "quality",
    "style",
    "user",
    "moderation",
    "safety_identifier",
    "output_compression",
    "input_fidelity",
];

/// Fields with the values that are what is done here anyway.
const FIXED: &[(&str, &[&str])] = &[
    ("background", &["auto", "opaque"]),
    ("output_format", &[crate::output::encode::DEFAULT.extension]),
    ("stream", &["false"]),
    ("partial_images", &["0"]),
];

/// Fields that are absent when they are empty, as clients with a form for each of them send them.
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
const FOREIGN: &[&str] = &["dall-e", "gpt-image", "chatgpt-image"];

/// Form of the returned images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Base64,
    Url,
}

impl Form {
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
pub(super) fn translated(mut fields: Map<String, Value>) -> Result<(Map<String, Value>, Form)> {
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
    let form = Form::parse(fields.remove("response_format"))?;
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
    let foreign = |model: &Value| {
        model
            .as_str()
            .is_some_and(|model| FOREIGN.iter().any(|prefix| model.starts_with(prefix)))
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
    let (fields, pictures) = blocking(&service, move |_| edit(form)).await??;
    answer(&service, &headers, fields, pictures).await
}

/// Fields and images of an edit request.
///
/// # Errors
/// Pictures that cannot be read, or of another number.
pub(super) fn edit(form: body::Form) -> Result<(Map<String, Value>, Pictures)> {
    let mut fields = Map::new();
    for (name, text) in form.texts {
        let value = match name.as_str() {
            "n" => text
                .parse::<u64>()
                .map_or_else(|_| Value::from(text), Value::from),
            _ => fields::from_text(&name, &text).map_or(Value::from(text), |row| row.1),
        };
        fields.insert(name, value);
    }
    let (pictures, alpha) = originals(form.files)?;
    if alpha {
        fields.insert("mask".to_owned(), fields::ALPHA.into());
    }
    if alpha || pictures.contains_key("mask") {
        fields.entry("keep_unmasked").or_insert(true.into());
    }
    Ok((fields, pictures))
}

/// The image to edit with its mask, and true if the image's own transparency is the mask. OpenAI's
/// mask is transparent where the image is to be repainted; this program's is white there.
fn originals(files: Vec<(String, Vec<u8>)>) -> Result<(Pictures, bool)> {
    let mut pictures = Pictures::new();
    for (name, bytes) in files {
        let (field, bytes) = match name.as_str() {
            "image" | "image[]" => ("init_image", bytes),
            "mask" => ("mask", uploads::mask(&bytes, MaskChannel::Transparent)?),
            _ => {
                return Err(
                    Error::field(&name, "no such file is expected").hint("send `image` and `mask`")
                );
            }
        };
        if pictures.insert(field.to_owned(), bytes).is_some() {
            return Err(Error::field(&name, "one picture is edited at a time"));
        }
    }
    let image = pictures
        .get("init_image")
        .ok_or_else(|| Error::field("image", "is missing"))?;
    let has_holes = Source::sent("image", image).decoded(Transparency::Dropped, |picture| {
        Ok(picture
            .alpha
            .is_some_and(|alpha| alpha.iter().any(|a| *a < 128)))
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
    let wish = Wish {
        fields,
        pictures,
        operation: None,
        api: Api::OpenAi,
        attended: true,
    };
    let (job, status) = attend::drawn(service, wish).await?;
    if status.state != JobState::Completed {
        return Err(Problem::of_failed(&status).into());
    }
    let data: Vec<Value> = match form {
        Form::Url => {
            let path = format!("{}{LINKS}/{}/{}", base(headers), job.id, job.order.key);
            let names = status.images.iter().map(|made| picture_of(made.index));
            names
                .map(|name| json!({ "url": format!("{path}/{name}") }))
                .collect()
        }
        Form::Base64 => {
            let files = attend::pictures(service, &job, &status).await?;
            files
                .iter()
                .map(|bytes| json!({ "b64_json": uploads::encode(bytes) }))
                .collect()
        }
    };
    let size = status
        .images
        .first()
        .map(|made| format!("{}x{}", made.width, made.height));
    let created = clock::unix(SystemTime::now()) as u64;
    let format = crate::output::encode::DEFAULT.extension;
    let mut value =
        json!({ "created": created, "data": data, "output_format": format, "size": size });
    if !status.warnings.is_empty() {
        value["warnings"] = json!(status.warnings);
    }
    Ok(json_response(StatusCode::OK, &value))
}

/// The server as its client calls it: as a proxy in between says, or else the request itself.
fn base(headers: &HeaderMap) -> String {
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
        .filter(|host| is_authority(host));
    let scheme = forwarded("proto").or_else(|| first("x-forwarded-proto"));
    let scheme = if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        "https"
    } else {
        "http"
    };
    format!(
        "{scheme}://{}",
        host.or_else(|| first(header::HOST.as_str()).filter(|host| is_authority(host)))
            .unwrap_or("localhost")
    )
}

/// Returns true if the text has only characters of a host with or without a port.
fn is_authority(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// Path prefix of image links.
pub(super) const LINKS: &str = "/v1/images/files";

/// `GET /v1/images/files/{id}/{key}/{file}`: a link, which opens without the token.
pub(super) async fn file(
    State(service): State<Arc<Service>>,
    Path((id, key, name)): Path<(String, String, String)>,
) -> Result<Response, Failed> {
    let gone = || Failed(Problem::not_found("picture").hint("links open for an hour"));
    let job = stored(&service, move |store| store.get(&id))
        .await?
        .ok_or_else(gone)?;
    // The comparison takes the same time wherever the two differ.
    let is_key = |ours: &str| Sha256::digest(ours) == Sha256::digest(&key);
    let is_key = job.key(SystemTime::now()).is_some_and(is_key);
    if !is_key
        || !job
            .status()
            .images
            .iter()
            .any(|made| picture_of(made.index) == name)
    {
        return Err(gone());
    }
    let bytes = stored(&service, move |store| store.file(&job.id, &name)).await?;
    bytes.map(png).ok_or_else(gone)
}

/// `GET /v1/models/{id}`
pub(super) async fn model(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let found = blocking(&service, move |service| {
        let (id, _) = service.catalog.resolve("model", &name)?;
        Ok(service
            .catalog
            .shown(&service.hub)
            .into_iter()
            .find(|model| model.id == id))
    });
    let not_found = |error: Error| Failed(Problem::from(error).with_status(StatusCode::NOT_FOUND));
    let model = found.await?.map_err(not_found)?;
    Ok(json_response(
        StatusCode::OK,
        &json!(model.as_ref().map(listed)),
    ))
}

/// A model in the form of OpenAI's list, with additional facts.
pub(super) fn listed(model: &Shown) -> Value {
    let mut value = json!(model);
    value["object"] = json!("model");
    value["created"] = json!(0);
    value["owned_by"] = json!("sdgen");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(value: Value) -> Result<(Value, Form)> {
        let Value::Object(fields) = value else {
            unreachable!()
        };
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
            (json!({"model": "demo"}), Form::Base64)
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
                ours(sent.into()).unwrap(),
                (json!({}), Form::Base64),
                "{empty}"
            );
        }
        // An empty prompt is one.
        assert_eq!(
            ours(json!({"prompt": "", "response_format": "url"})).unwrap(),
            (json!({"prompt": ""}), Form::Url)
        );
    }

    #[test]
    fn links_begin_with_what_the_client_called() {
        let link = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| {
                let name: axum::http::HeaderName = name.parse().unwrap();
                (name, axum::http::HeaderValue::from_str(value).unwrap())
            };
            base(&pairs.iter().map(pair).collect())
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
        let status = |problem: Problem| Failed(problem).into_response().status().as_u16();
        assert_eq!(status(Error::field("size", "is odd").into()), 400);
        assert_eq!(status(Problem::not_found("picture")), 404);
        assert_eq!(
            status(Problem::client(StatusCode::PAYLOAD_TOO_LARGE, "long")),
            413
        );
        assert!(is_path("/v1/models/demo") && is_path("/v1/images/edits") && !is_path("/v1/jobs"));
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
                ours(json!({ name: value })).unwrap_err().field_name(),
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
        let mask = uploads::mask(&png.into_inner(), MaskChannel::Transparent).unwrap();
        let grey = image::load_from_memory(&mask).unwrap().to_luma8();
        assert_eq!(grey.into_raw(), [255, 0]);
    }
}
