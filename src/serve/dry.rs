//! Request bodies without a server: read, translated and checked as the handlers do, then dropped.
//! For tests that send arbitrary bytes.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures_util::FutureExt;
use serde_json::{Map, Value};

use super::http::body;
use super::uploads::{self, Pictures};
use super::{a1111, desk, openai};
use crate::error::Result;
use crate::params::{Params, check};

/// Parameters that a body of this media type yields through each of the interfaces, as far as it is
/// valid.
pub fn asked(media_type: &str, bytes: &[u8]) -> Vec<Params> {
    if media_type == "application/json" {
        let Ok(fields) = body::parsed(bytes) else {
            return Vec::new();
        };
        let openai = openai::translated(fields.clone()).map(|(fields, _)| fields);
        let a1111 = a1111::translated(fields.clone(), None).map(|translated| translated.fields);
        let all = [Ok(fields), openai, a1111];
        return all
            .into_iter()
            .flatten()
            .filter_map(|fields| wish(fields, Pictures::new()))
            .collect();
    }
    let taken_apart = || {
        let request = Request::builder()
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::empty())
            .ok()?;
        let (parts, _) = request.into_parts();
        body::taken_apart(parts, Bytes::copy_from_slice(bytes))
            .now_or_never()?
            .ok()
    };
    let ours = taken_apart().and_then(|form| body::sorted(form).ok());
    let edits = taken_apart().and_then(|form| openai::edit(form).ok());
    [ours, edits]
        .into_iter()
        .flatten()
        .filter_map(|(fields, pictures)| wish(fields, pictures))
        .collect()
}

fn wish(fields: Map<String, Value>, mut pictures: Pictures) -> Option<Params> {
    let params = desk::params(fields, &mut pictures).ok()?;
    let looked_at: Result<()> = pictures
        .iter()
        .try_for_each(|(field, bytes)| uploads::size(field, bytes).map(drop));
    (check(&params).is_empty() && looked_at.is_ok()).then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_by_every_interface() {
        let asked = asked("application/json", br#"{"prompt": "a", "steps": 3}"#);
        assert_eq!(
            asked.iter().map(|params| params.steps).collect::<Vec<_>>(),
            [Some(3); 3]
        );
    }

    #[test]
    fn a_form_is_read_too() {
        let form =
            "--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n1984\r\n--x--\r\n";
        let asked = asked("multipart/form-data; boundary=x", form.as_bytes());
        assert_eq!(
            asked
                .iter()
                .map(|params| params.prompt.as_deref())
                .collect::<Vec<_>>(),
            [Some("1984")]
        );
    }
}
