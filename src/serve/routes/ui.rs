//! The web page: its files are compiled in, and its Content-Security-Policy admits nothing from
//! elsewhere.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::serve::http::responses::Problem;

/// Content-Security-Policy: scripts, styles and images of this server only; nothing inline, nothing
/// from elsewhere, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
     connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("../../../assets/web/index.html");

/// Name, media type and content of the other files.
const FILES: &[(&str, &str, &str)] = &[
    ("app.js", SCRIPT, include_str!("../../../assets/web/app.js")),
    (
        "gallery.js",
        SCRIPT,
        include_str!("../../../assets/web/gallery.js"),
    ),
    (
        "memory.js",
        SCRIPT,
        include_str!("../../../assets/web/memory.js"),
    ),
    (
        "queue.js",
        SCRIPT,
        include_str!("../../../assets/web/queue.js"),
    ),
    (
        "mask.js",
        SCRIPT,
        include_str!("../../../assets/web/mask.js"),
    ),
    (
        "server.js",
        SCRIPT,
        include_str!("../../../assets/web/server.js"),
    ),
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../../../assets/web/style.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../../assets/web/icon.svg"),
    ),
];

/// `GET /`
pub(super) async fn page() -> Response {
    file(HTML, PAGE)
}

/// `GET /assets/{file}`
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    found
        .map(|(_, kind, text)| file(kind, text))
        .ok_or_else(|| Problem::not_found("file"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nothing_inline_and_asks_for_nothing_that_is_not_here() {
        assert!(
            !PAGE.contains("<style") && !PAGE.contains(" style=") && !PAGE.contains("javascript:")
        );
        assert!(!PAGE.contains(" onclick") && !PAGE.contains(" onload"));
        assert!(
            PAGE.split("<script").skip(1).all(|tag| tag
                .split('>')
                .next()
                .unwrap()
                .contains("src="))
        );
        let all = FILES.iter().map(|row| row.2).chain([PAGE]);
        for text in all {
            assert!(
                !text.contains("https://") && !text.contains("//cdn"),
                "{text}"
            );
            for name in text
                .split("assets/")
                .skip(1)
                .chain(text.split("from \"./").skip(1))
            {
                let name = name.split('"').next().unwrap();
                assert!(FILES.iter().any(|row| row.0 == name), "{name}");
            }
        }
    }
}
