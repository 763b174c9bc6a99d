//! Middleware for every request: request id, log line, and checks of host, origin and token.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::told;
use crate::env::Token;
use crate::error::Kind;
use crate::serve::Service;
use crate::serve::door::name_of;
use crate::serve::openai;

const REQUEST_ID: &str = "x-request-id";

/// Assigns a request id, runs the handler, counts the request and logs it.
pub(super) async fn watch(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The route pattern, not the path: job ids are secrets of a kind, and a query may hold
    // anything.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    service.metrics.answered(status, seconds);
    let route = route.as_deref().unwrap_or("-");
    (service.log)(&format!(
        "{method} {route} {status} {:.1} ms {id}",
        seconds * 1000.0
    ));
    response
}

/// The client's own request id if it is a plain word, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain);
    given.map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned)
}

/// Request headers that a page of a listed origin may send when it does not say which it wants.
const SENT: &str = "authorization, content-type, last-event-id, x-request-id";
/// Headers of answers that such a page may read.
const SHOWN: &str = "retry-after, x-ignored-fields, x-request-id";

/// Middleware: checks host, origin and token, and adds the CORS headers for listed origins.
pub(super) async fn admit(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin
        .as_ref()
        .filter(|origin| is_listed(&service, origin))
        .cloned();
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let names = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let names = names.cloned().unwrap_or(HeaderValue::from_static(SENT));
    let mut response = match refusal(&service, &request, allowed.is_some()) {
        Some(problem) => told(request.uri(), problem),
        None if preflight => StatusCode::NO_CONTENT.into_response(),
        None => next.run(request).await,
    };
    if let Some(origin) = allowed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, DELETE"),
        );
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(SHOWN),
        );
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

fn refusal(service: &Service, request: &Request, from_listed: bool) -> Option<Problem> {
    let headers = request.headers();
    let forbidden = |message: &str| Some(Problem::client(StatusCode::FORBIDDEN, message));
    if let Some(host) = hosts(request)
        .into_iter()
        .find(|host| !service.guard.answers_to(host))
    {
        let name = name_of(host);
        (service.log)(&format!(
            "a request for the host `{name}` is refused; `--allow-host` lets such in"
        ));
        let problem = Problem::client(
            StatusCode::FORBIDDEN,
            format!("this server does not go by the name `{name}`"),
        );
        return Some(problem.hint("ask it by its address, or by a name that its operator allows"));
    }
    if headers.contains_key(header::ORIGIN) && !from_listed && !is_own(headers) {
        return forbidden("pages of this origin may not use this server");
    }
    let open = is_open(request.uri().path()) || request.method() == Method::OPTIONS;
    match &service.guard.token {
        Some(token) if !open && !shows(headers, token) => {
            let message = "a bearer token is needed";
            Some(Problem::new(StatusCode::UNAUTHORIZED, Kind::Usage, message))
        }
        _ => None,
    }
}

/// Returns true for paths that need no token: the page, the state of the server, its OpenAPI
/// description, and image links, which hold a key.
fn is_open(path: &str) -> bool {
    let under = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    ["/", "/health", "/ready", "/openapi.json"].contains(&path)
        || under("/assets")
        || under(openai::LINKS)
}

/// Every host that the request names; one empty name if it names none.
fn hosts(request: &Request) -> Vec<&str> {
    let said = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .map(|host| host.to_str().unwrap_or_default());
    let mut hosts: Vec<&str> = said
        .chain(
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str()),
        )
        .collect();
    if hosts.is_empty() {
        hosts.push("");
    }
    hosts
}

/// Returns true if the requesting page came from this server (`Origin` matches `Host`).
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let origin = text(header::ORIGIN)
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    origin.is_some() && origin == text(header::HOST)
}

fn is_listed(service: &Service, origin: &HeaderValue) -> bool {
    service.guard.lists(origin.as_bytes())
}

/// Returns true if the request carries the token, as a bearer token or as a basic-auth password.
/// The comparison takes the same time wherever the two differ.
fn shows(headers: &HeaderMap, token: &Token) -> bool {
    let Some(value) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let (scheme, rest) = value.split_once(' ').unwrap_or_default();
    let shown = match scheme.to_lowercase().as_str() {
        "bearer" => rest.trim().as_bytes().to_vec(),
        "basic" => password(rest.trim()).unwrap_or_default(),
        _ => return false,
    };
    let [ours, theirs] = [token.reveal().as_bytes(), &shown].map(Sha256::digest);
    ours.iter()
        .zip(theirs.iter())
        .fold(0, |differ, (a, b)| differ | (a ^ b))
        == 0
}

fn password(credentials: &str) -> Option<Vec<u8>> {
    let text = crate::serve::uploads::decode("authorization", credentials).ok()?;
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
        let shown = |value: &str| shows(&headers(&[(header::AUTHORIZATION, value)]), &token);
        assert!(shown("Bearer secret") && shown("bearer secret") && shown("Basic bWU6c2VjcmV0"));
        for value in [
            "secret",
            "Bearer",
            "Bearer secre",
            "Bearer secret2",
            "Basic c2VjcmV0",
            "Basic !",
            "Digest secret",
        ] {
            assert!(!shown(value), "{value}");
        }
        assert!(!shows(&HeaderMap::new(), &token));
    }

    #[test]
    fn every_host_that_is_said_counts() {
        let said = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            self::hosts(&request)
                .iter()
                .map(|host| (*host).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(said("/", &["a:1"]), ["a:1"]);
        assert_eq!(said("/", &[]), [""]);
        assert_eq!(said("/", &["a", "b"]), ["a", "b"]);
        assert_eq!(said("http://evil/x", &["localhost"]), ["localhost", "evil"]);
    }

    #[test]
    fn a_server_knows_its_own_pages() {
        let own = |origin: &str| {
            is_own(&headers(&[
                (header::ORIGIN, origin),
                (header::HOST, "localhost:7860"),
            ]))
        };
        assert!(own("http://localhost:7860"));
        assert!(!own("http://localhost:8000") && !own("null") && !own("http://evil.example"));
    }

    #[test]
    fn a_request_keeps_its_name_if_it_is_a_plain_word() {
        let given = |id: &str| {
            request_id(&HeaderMap::from_iter([(
                REQUEST_ID.parse().unwrap(),
                HeaderValue::from_str(id).unwrap(),
            )]))
        };
        assert_eq!(given("abc-1"), "abc-1");
        assert_ne!(given("a b"), "a b");
        assert_eq!(given(&"x".repeat(65)).len(), 16);
    }
}
