//! Request bodies: read within limits of size and time, and parsed.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::serve::fields::{Access, field_access, parse_form_field};
use crate::serve::http::responses::Problem;
use crate::serve::service::Service;
use crate::serve::uploads::UploadedImages;

/// Maximum time for a client to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A multipart form: its text parts in order, and its files.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// Media type of a request, without parameters.
fn media_type(request: &Request) -> String {
    let value = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase()
}

/// Reads the body within the limits of size and time.
async fn read_bytes(
    service: &Service,
    body: Body,
    content_length: Option<u64>,
) -> Result<Bytes, Problem> {
    let limit = service.limits.body;
    let too_long = || {
        Problem::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request may have at most {limit} bytes"),
        )
    };
    if content_length.is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_long()),
        Ok(Err(_)) => Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "the body ended early",
        )),
        Err(_) => Err(Problem::client(
            StatusCode::REQUEST_TIMEOUT,
            "the body arrived too slowly",
        )),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    error.to_string().contains("length limit")
}

/// Value of the `Content-Length` header.
fn content_length(request: &Request) -> Option<u64> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads the body as a JSON object.
pub(crate) async fn read_json(
    service: &Service,
    request: Request,
) -> Result<Map<String, Value>, Problem> {
    if media_type(&request) != "application/json" {
        return Err(
            Problem::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected JSON")
                .hint("send `Content-Type: application/json`"),
        );
    }
    let content_length = content_length(&request);
    let bytes = read_bytes(service, request.into_body(), content_length).await?;
    parse_json(&bytes)
}

/// Parses a JSON object.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let value = serde_json::from_slice(bytes).map_err(|e| {
        Problem::client(
            StatusCode::BAD_REQUEST,
            format!("the body is not valid JSON: {e}"),
        )
    })?;
    let Value::Object(object) = value else {
        return Err(Problem::client(
            StatusCode::UNPROCESSABLE_ENTITY,
            "expected a JSON object",
        ));
    };
    Ok(object)
}

/// Reads the body as a form.
pub(crate) async fn read_form(service: &Service, request: Request) -> Result<Form, Problem> {
    let content_length = content_length(&request);
    let (parts, body) = request.into_parts();
    let bytes = read_bytes(service, body, content_length).await?;
    parse_form(parts, bytes).await
}

/// Parses a form from its bytes; the boundary is in the headers.
pub(crate) async fn parse_form(parts: Parts, bytes: Bytes) -> Result<Form, Problem> {
    let not_a_form = |reason: String| {
        let message = format!("the body is not a valid form: {reason}");
        Problem::client(StatusCode::BAD_REQUEST, message)
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|e| not_a_form(e.body_text()))?;
    let mut form = Form::default();
    while let Some(part) = multipart
        .next_field()
        .await
        .map_err(|e| not_a_form(e.body_text()))?
    {
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let is_chosen = part.file_name() != Some("");
        let bytes = part.bytes().await.map_err(|e| not_a_form(e.body_text()))?;
        if bytes.is_empty() && !is_chosen {
            // A file field without a chosen file, as browsers send it.
            continue;
        }
        if is_file {
            form.files.push((name, bytes.to_vec()));
            continue;
        }
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
            Error::field(&name, "is not UTF-8").hint("send images as files, with a file name")
        })?;
        form.texts.push((name, text));
    }
    Ok(form)
}

/// Reads the fields and images of a job, from JSON or from a form.
pub(crate) async fn read_submission(
    service: &Service,
    request: Request,
) -> Result<(Map<String, Value>, UploadedImages), Problem> {
    if media_type(&request) != "multipart/form-data" {
        return Ok((read_json(service, request).await?, UploadedImages::new()));
    }
    split_form(read_form(service, request).await?)
}

/// Splits a form into fields and images.
pub(crate) fn split_form(form: Form) -> Result<(Map<String, Value>, UploadedImages), Problem> {
    let mut fields = Map::new();
    for (name, text) in form.texts {
        let (field, value) = if name == "operation" || field_access(&name) == Access::Image {
            (name.clone(), Value::from(text))
        } else {
            parse_form_field(&name, &text)?
        };
        if fields.insert(field, value).is_some() {
            return Err(Error::field(&name, "is given twice").into());
        }
    }
    let mut uploaded = UploadedImages::new();
    for (name, bytes) in form.files {
        if fields.contains_key(&name) || uploaded.insert(name.clone(), bytes).is_some() {
            return Err(Error::field(&name, "is given twice").into());
        }
    }
    Ok((fields, uploaded))
}
