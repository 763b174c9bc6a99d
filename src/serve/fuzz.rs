//! Request bodies without a server: read, translated and checked as the handlers do, then dropped.
//! For tests that send arbitrary bytes.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures_util::FutureExt;
use serde_json::{Map, Value};

use crate::params::{Params, check};
use crate::serve::compat::{a1111, openai};
use crate::serve::http::body;
use crate::serve::submit;
use crate::serve::uploads::{UploadedImages, image_size};

/// Parameters that a body of this media type yields through each of the APIs, as far as it is
/// valid.
pub fn parse_request_body(media_type: &str, bytes: &[u8]) -> Vec<Params> {
    if media_type == "application/json" {
        let Ok(fields) = body::parse_json(bytes) else {
            return Vec::new();
        };
        let openai = openai::translate_fields(fields.clone()).map(|(fields, _)| fields);
        let a1111 = a1111::fields::translate_fields(fields.clone(), None)
            .map(|translated| translated.fields);
        let all = [Ok(fields), openai, a1111];
        return all
            .into_iter()
            .flatten()
            .filter_map(|fields| checked_params(fields, UploadedImages::new()))
            .collect();
    }
    let parse_form = || {
        let request = Request::builder()
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::empty())
            .ok()?;
        let (parts, _) = request.into_parts();
        body::parse_form(parts, Bytes::copy_from_slice(bytes))
            .now_or_never()?
            .ok()
    };
    let own = parse_form().and_then(|form| body::split_form(form).ok());
    let edits = parse_form().and_then(|form| openai::parse_edit(form).ok());
    [own, edits]
        .into_iter()
        .flatten()
        .filter_map(|(fields, uploaded)| checked_params(fields, uploaded))
        .collect()
}

fn checked_params(fields: Map<String, Value>, mut uploaded: UploadedImages) -> Option<Params> {
    let params = submit::parse_params(fields, &mut uploaded).ok()?;
    for (field, bytes) in &uploaded {
        image_size(field, bytes).ok()?;
    }
    check(&params).is_empty().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_by_every_interface() {
        let parse_request_body =
            parse_request_body("application/json", br#"{"prompt": "a", "steps": 3}"#);
        assert_eq!(
            parse_request_body
                .iter()
                .map(|params| params.steps)
                .collect::<Vec<_>>(),
            [Some(3); 3]
        );
    }

    #[test]
    fn a_form_is_read_too() {
        let form =
            "--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n1984\r\n--x--\r\n";
        let parse_request_body =
            parse_request_body("multipart/form-data; boundary=x", form.as_bytes());
        assert_eq!(
            parse_request_body
                .iter()
                .map(|params| params.prompt.as_deref())
                .collect::<Vec<_>>(),
            [Some("1984")]
        );
    }
}
