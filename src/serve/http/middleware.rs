//! Middleware for every request: request id, log line, and checks of host, origin and token.
//! Written by hand: `tower-http` keeps whatever request id a client sends, answers preflights with 200
//! and a longer `Vary`, and would need the origin check here a second time.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::env::Token;
use crate::error::Kind;
use crate::serve::access::host_name_of;
use crate::serve::http::responses::{ErrorFormat, Problem};
use crate::serve::service::Service;
use crate::serve::uploads::decode_base64;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Assigns a request id, runs the handler, counts the request and logs it.
pub(crate) async fn log_request(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The route's pattern, not the path: job ids give access to jobs, and a query may contain
    // anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    service.metrics.record_request(status, seconds);
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let millis = seconds * 1000.0;
    (service.log)(&format!("{method} {route} {status} {millis:.1} ms {id}"));
    response
}

/// The client's own request id if it is a plain word, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |id: &&str| {
        let mut bytes = id.bytes();
        (1..=64).contains(&id.len())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match text_of(headers, &REQUEST_ID).filter(is_plain) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}", rand::random::<u64>()),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Request headers allowed for cross-origin requests if a preflight names none.
const DEFAULT_ALLOWED_HEADERS: &str = "authorization, content-type, last-event-id, x-request-id";
/// Response headers that pages of allowed origins may read.
const EXPOSED_HEADERS: &str = "retry-after, x-ignored-fields, x-request-id";

/// State of [`check_access`]: the server, and what it has to know about the routes.
#[derive(Clone)]
pub(crate) struct AccessCheck {
    pub(crate) service: Arc<Service>,
    pub(crate) error_response: ErrorFormat,
    pub(crate) is_public_path: fn(&str) -> bool,
}

/// Checks host, origin and token, and adds the CORS headers for allowed origins.
pub(crate) async fn check_access(
    State(check): State<AccessCheck>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| check.service.access.allows_origin(origin.as_bytes()));
    let is_preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let requested_headers = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = match check.find_problem(&request, origin.is_some()) {
        Some(problem) => (check.error_response)(request.uri(), problem),
        None if is_preflight => StatusCode::NO_CONTENT.into_response(),
        None => next.run(request).await,
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        let allowed =
            requested_headers.unwrap_or(HeaderValue::from_static(DEFAULT_ALLOWED_HEADERS));
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET, POST, DELETE"),
            ),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
            (
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED_HEADERS),
            ),
            (header::VARY, HeaderValue::from_static("origin")),
        ] {
            headers.insert(name, value);
        }
    }
    response
}

impl AccessCheck {
    fn find_problem(&self, request: &Request, is_allowed_origin: bool) -> Option<Problem> {
        let headers = request.headers();
        let access = &self.service.access;
        if let Some(host) = requested_hosts(request)
            .into_iter()
            .find(|host| !access.allows_host(host))
        {
            let name = host_name_of(host);
            (self.service.log)(&format!(
                "a request for the host `{name}` is refused; `--allow-host` allows it"
            ));
            let message = format!("this server does not answer to the host name `{name}`");
            let hint = "use its address, or a host name that its operator allows";
            return Some(Problem::client(StatusCode::FORBIDDEN, message).hint(hint));
        }
        if headers.contains_key(header::ORIGIN) && !is_allowed_origin && !is_same_origin(headers) {
            let message = "pages of this origin may not use this server";
            return Some(Problem::client(StatusCode::FORBIDDEN, message));
        }
        let is_public =
            (self.is_public_path)(request.uri().path()) || request.method() == Method::OPTIONS;
        match &access.token {
            Some(token) if !is_public && !has_token(headers, token) => {
                let message = "a bearer token is needed";
                Some(Problem::new(StatusCode::UNAUTHORIZED, Kind::Usage, message))
            }
            _ => None,
        }
    }
}

/// Every host that the request names; one empty name if it names none.
fn requested_hosts(request: &Request) -> Vec<&str> {
    let headers = request.headers().get_all(header::HOST).iter();
    let mut hosts: Vec<&str> = headers
        .map(|host| host.to_str().unwrap_or_default())
        .collect();
    hosts.extend(
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str()),
    );
    if hosts.is_empty() {
        hosts.push("");
    }
    hosts
}

/// Returns true if the requesting page came from this server (`Origin` matches `Host`).
fn is_same_origin(headers: &HeaderMap) -> bool {
    let origin = text_of(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"));
    match origin {
        Some((_, host)) => text_of(headers, &header::HOST) == Some(host),
        None => false,
    }
}

/// Returns true if the request has the token, as a bearer token or as a basic-auth password. The
/// comparison takes the same time wherever the two differ.
fn has_token(headers: &HeaderMap, token: &Token) -> bool {
    let Some(value) = text_of(headers, &header::AUTHORIZATION) else {
        return false;
    };
    let (scheme, rest) = value.split_once(' ').unwrap_or_default();
    let given = match scheme.to_lowercase().as_str() {
        "bearer" => rest.trim().as_bytes().to_vec(),
        "basic" => basic_password(rest.trim()).unwrap_or_default(),
        _ => return false,
    };
    let [ours, theirs] = [token.reveal().as_bytes(), &given].map(Sha256::digest);
    ours.iter()
        .zip(theirs.iter())
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

fn basic_password(credentials: &str) -> Option<Vec<u8>> {
    let text = decode_base64("authorization", credentials).ok()?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some(text[colon + 1..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn the_token_is_a_bearer_or_a_password_and_nothing_else() {
        let token = Token::new("secret").unwrap();
        let accepts = |value: &str| has_token(&headers(&[(header::AUTHORIZATION, value)]), &token);
        assert!(
            accepts("Bearer secret") && accepts("bearer secret") && accepts("Basic bWU6c2VjcmV0")
        );
        for value in [
            "secret",
            "Bearer",
            "Bearer secre",
            "Bearer secret2",
            "Basic c2VjcmV0",
            "Basic !",
            "Digest secret",
        ] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!has_token(&HeaderMap::new(), &token));
    }

    #[test]
    fn every_host_that_is_named_counts() {
        let named = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            requested_hosts(&request)
                .iter()
                .map(|host| (*host).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(named("/", &["a:1"]), ["a:1"]);
        assert_eq!(named("/", &[]), [""]);
        assert_eq!(named("/", &["a", "b"]), ["a", "b"]);
        assert_eq!(
            named("http://evil/x", &["localhost"]),
            ["localhost", "evil"]
        );
    }

    #[test]
    fn a_server_knows_its_own_pages() {
        let own = |origin: &str| {
            is_same_origin(&headers(&[
                (header::ORIGIN, origin),
                (header::HOST, "localhost:7860"),
            ]))
        };
        assert!(own("http://localhost:7860"));
        assert!(!own("http://localhost:8000") && !own("null") && !own("http://evil.example"));
    }

    #[test]
    fn a_request_keeps_its_id_if_it_is_a_plain_word() {
        let given = |id: &str| {
            request_id(&HeaderMap::from_iter([(
                REQUEST_ID,
                HeaderValue::from_str(id).unwrap(),
            )]))
        };
        assert_eq!(given("abc-1"), "abc-1");
        assert_ne!(given("a b"), "a b");
        assert_eq!(given(&"x".repeat(65)).len(), 16);
    }
}
