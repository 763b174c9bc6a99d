//! Request bodies: read within limits of size and time, and parsed.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::error::Error;
use crate::serve::Service;
use crate::serve::fields::{Access, access, from_text};
use crate::serve::uploads::Pictures;

/// Maximum time for a client to send a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// A multipart form: its text parts in order, and its files.
#[derive(Default)]
pub(in crate::serve) struct Form {
    pub(in crate::serve) texts: Vec<(String, String)>,
    pub(in crate::serve) files: Vec<(String, Vec<u8>)>,
}

/// The media type of a request, without parameters.
pub(in crate::serve) fn media_type(request: &Request) -> String {
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

/// Reads the whole body.
///
/// # Errors
/// It is too long or arrives too slowly.
async fn whole(service: &Service, body: Body, announced: Option<u64>) -> Result<Bytes, Problem> {
    let limit = service.limits.body;
    let too_long = || {
        Problem::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request may have at most {limit} bytes"),
        )
    };
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(too_long()),
        Ok(Err(_)) => Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "the body ended early",
        )),
        Err(_) => Err(Problem::client(
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly",
        )),
    }
}

fn is_length(error: &axum::Error) -> bool {
    error.to_string().contains("length limit")
}

/// Value of the `Content-Length` header.
fn announced(request: &Request) -> Option<u64> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads the body as a JSON object.
///
/// # Errors
/// As [`whole`] and [`parsed`]; another media type.
pub(in crate::serve) async fn object(
    service: &Service,
    request: Request,
) -> Result<Map<String, Value>, Problem> {
    if media_type(&request) != "application/json" {
        return Err(
            Problem::client(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected JSON")
                .hint("send `Content-Type: application/json`"),
        );
    }
    let announced = announced(&request);
    let bytes = whole(service, request.into_body(), announced).await?;
    parsed(&bytes)
}

/// Parses a JSON object.
///
/// # Errors
/// Not JSON, or not an object.
pub(in crate::serve) fn parsed(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let value = serde_json::from_slice(bytes).map_err(|e| {
        Problem::client(StatusCode::BAD_REQUEST, format!("the body is no JSON: {e}"))
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
///
/// # Errors
/// As [`whole`] and [`taken_apart`].
pub(in crate::serve) async fn form(service: &Service, request: Request) -> Result<Form, Problem> {
    let announced = announced(&request);
    let (parts, body) = request.into_parts();
    let bytes = whole(service, body, announced).await?;
    taken_apart(parts, bytes).await
}

/// Parses a form from its bytes; the boundary is in the headers.
///
/// # Errors
/// A body that is not a form, or text that is not UTF-8.
pub(in crate::serve) async fn taken_apart(parts: Parts, bytes: Bytes) -> Result<Form, Problem> {
    let no_form = |e: &dyn std::fmt::Display| {
        Problem::client(StatusCode::BAD_REQUEST, format!("the body is no form: {e}"))
    };
    let whole = Request::from_parts(parts, Body::from(bytes));
    let mut multipart = Multipart::from_request(whole, &())
        .await
        .map_err(|e| no_form(&e.body_text()))?;
    let mut form = Form::default();
    while let Some(part) = multipart
        .next_field()
        .await
        .map_err(|e| no_form(&e.body_text()))?
    {
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let is_chosen = part.file_name() != Some("");
        let bytes = part.bytes().await.map_err(|e| no_form(&e.body_text()))?;
        if bytes.is_empty() && !is_chosen {
            // A file field without a chosen file, as browsers send it.
            continue;
        }
        if is_file {
            form.files.push((name, bytes.to_vec()));
            continue;
        }
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
            Error::field(&name, "is not UTF-8").hint("send pictures as files, with a file name")
        })?;
        form.texts.push((name, text));
    }
    Ok(form)
}

/// Reads the fields and images of a job, from JSON or from a form.
///
/// # Errors
/// As [`object`], [`form`] and [`sorted`].
pub(in crate::serve) async fn order(
    service: &Service,
    request: Request,
) -> Result<(Map<String, Value>, Pictures), Problem> {
    if media_type(&request) != "multipart/form-data" {
        return Ok((object(service, request).await?, Pictures::new()));
    }
    sorted(form(service, request).await?)
}

/// Splits a form into fields and images.
///
/// # Errors
/// A duplicate field, or a value of another type.
pub(in crate::serve) fn sorted(form: Form) -> Result<(Map<String, Value>, Pictures), Problem> {
    let mut fields = Map::new();
    for (name, text) in form.texts {
        let (field, value) = if name == "operation" || access(&name) == Access::Picture {
            (name.clone(), Value::from(text))
        } else {
            from_text(&name, &text)?
        };
        if fields.insert(field, value).is_some() {
            return Err(Error::field(&name, "is there twice").into());
        }
    }
    let mut pictures = Pictures::new();
    for (name, bytes) in form.files {
        if fields.contains_key(&name) || pictures.insert(name.clone(), bytes).is_some() {
            return Err(Error::field(&name, "is there twice").into());
        }
    }
    Ok((fields, pictures))
}
