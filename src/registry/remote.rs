//! The hub over HTTP: one client for all threads, what a repository holds, and the bytes of a file.
//! Redirects are followed by hand, so that the token goes to the hub alone and never to the host
//! that stores the files.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::cache::Source;
use super::digest::Hash;
use super::refusal::Failure;
use crate::env::{Hub, Token};

/// Longest silence of the other side where the environment says nothing.
const SILENCE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 10;
/// Longest answer that describes a repository, in bytes.
const MAX_LISTING: u64 = 64 << 20;

/// A client of one hub.
pub(super) struct Remote {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
    /// Longest silence of the hub when it is asked what there is.
    patience: Duration,
    /// Longest silence while a file comes.
    download: Duration,
}

/// Contents of a repository at a commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Listed>,
    /// As its makers name it.
    pub(super) license: Option<String>,
}

/// A file as the hub lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    /// Absent on a hub that lists names alone; then the file's own answer says it.
    pub(super) size: Option<u64>,
    /// Hash of the content; absent as for `size`.
    pub(super) hash: Option<Hash>,
}

/// The answer to a request for a file.
pub(super) struct Answer {
    pub(super) body: Body,
    /// Offset in the file at which the body begins.
    pub(super) start: u64,
    /// Bytes of the whole file.
    pub(super) size: Option<u64>,
    /// The content's hash, as the hub says and not the host that stores it.
    pub(super) hash: Option<Hash>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default, rename = "cardData")]
    card: serde_json::Value,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: String,
}

impl From<Sibling> for Listed {
    fn from(sibling: Sibling) -> Self {
        let etag = sibling.lfs.map(|large| large.sha256).or(sibling.blob);
        Self {
            path: sibling.rfilename,
            size: sibling.size,
            hash: etag.and_then(|etag| Hash::parse(&etag)),
        }
    }
}

impl Remote {
    /// A client; it opens no connection yet.
    pub(super) fn new(hub: &Hub) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // Ranges and hashes are of the file, not of a compressed form.
            .accept_encoding("identity")
            .user_agent(concat!("sdgen/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            endpoint: hub.endpoint.clone(),
            token: hub.token.clone(),
            patience: hub.etag_timeout.unwrap_or(SILENCE),
            download: hub.download_timeout.unwrap_or(SILENCE),
        }
    }

    /// URL of the hub.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns true if requests carry a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Requests the commit of a revision, and its files.
    pub(super) fn list(&self, source: &Source) -> Result<Listing, Failure> {
        let revision = escaped(&source.revision).replace('/', "%2F");
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.endpoint, source.id
        );
        let (mut response, _) = self.follow(&url, 0, self.patience)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_LISTING)
            .read_to_string()?;
        let info: Info = serde_json::from_str(&text).map_err(|_| Failure::NoHub)?;
        if !super::cache::is_commit(&info.sha) {
            return Err(Failure::NoHub);
        }
        let named = |key: &str| {
            info.card
                .get(key)
                .and_then(|name| name.as_str())
                .map(str::to_owned)
        };
        let license = match named("license").as_deref() {
            Some("other") => named("license_name").or(Some("other".to_owned())),
            _ => named("license"),
        };
        Ok(Listing {
            commit: info.sha,
            files: info.siblings.into_iter().map(Listed::from).collect(),
            license,
        })
    }

    /// A file of a repository from byte `start` on.
    pub(super) fn file(
        &self,
        id: &str,
        commit: &str,
        path: &str,
        start: u64,
    ) -> Result<Answer, Failure> {
        let url = format!("{}/{id}/resolve/{commit}/{}", self.endpoint, escaped(path));
        let (response, said) = self.follow(&url, start, self.download)?;
        let range = text(response.headers(), "content-range").and_then(content_range);
        let (start, whole) = match (response.status().as_u16(), range) {
            (206, Some((start, whole))) => (start, whole),
            _ => (0, response.body().content_length()),
        };
        Ok(Answer {
            start,
            size: said.size.or(whole),
            hash: said.hash,
            body: response.into_body(),
        })
    }

    /// Asks the hub who the token belongs to, or without a token whether it is there at all.
    pub(super) fn knock(&self) -> Result<(), Failure> {
        let path = if self.token.is_some() {
            "/api/whoami-v2"
        } else {
            "/"
        };
        match self.follow(&format!("{}{path}", self.endpoint), 0, self.patience) {
            // Any answer counts; only a refused token is reported.
            Err(Failure::Status { status, .. }) if status != 401 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Asks for `url`, and for where it leads, until there is an answer that is no redirect.
    fn follow(
        &self,
        url: &str,
        start: u64,
        silence: Duration,
    ) -> Result<(Response<Body>, Said), Failure> {
        let mut url = url.to_owned();
        let mut said = Said::default();
        for _ in 0..MAX_REDIRECTS {
            let response = self.ask(&url, start, silence)?;
            let is_hub = origin(&url) == origin(&self.endpoint);
            if is_hub {
                said.hear(response.headers());
            }
            match (
                response.status().as_u16(),
                text(response.headers(), "location"),
            ) {
                (200..=299, _) => return Ok((response, said)),
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = joined(&url, location),
                (status, _) => return Err(Failure::status(status, response.headers(), is_hub)),
            }
        }
        Err(Failure::Wire(ureq::Error::TooManyRedirects))
    }

    fn ask(&self, url: &str, start: u64, silence: Duration) -> Result<Response<Body>, Failure> {
        let patient = self.agent.get(url).config().timeout_connect(Some(silence));
        let patient = patient
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence));
        let mut request = patient.build();
        if let Some(token) = self
            .token
            .as_ref()
            .filter(|_| origin(url) == origin(&self.endpoint))
        {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        Ok(request.call()?)
    }
}

/// Size and hash of a file as given by the hub, before it redirects to the storage host.
#[derive(Default)]
struct Said {
    size: Option<u64>,
    hash: Option<Hash>,
}

impl Said {
    fn hear(&mut self, headers: &HeaderMap) {
        let etag = text(headers, "x-linked-etag")
            .or_else(|| text(headers, "etag"))
            .and_then(Hash::parse);
        self.hash = self.hash.take().or(etag);
        self.size = self
            .size
            .or_else(|| text(headers, "x-linked-size")?.parse().ok());
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Start and length of the whole in `bytes START-END/WHOLE`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

/// A path or revision as part of a URL; slashes stay.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Scheme, host and port of a URL: where a token may go and where it may not.
fn origin(url: &str) -> String {
    let path = url.find("://").map_or(0, |at| at + 3);
    let end = url[path..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| path + at);
    url[..end].to_lowercase()
}

/// Resolves `location` relative to `url`.
fn joined(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    if location.starts_with("//") {
        return format!("{}:{location}", url.split(':').next().unwrap_or("https"));
    }
    if location.starts_with('/') {
        return origin(url) + location;
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let folder = path.rfind('/').map_or(path, |at| &path[..at]);
    format!("{folder}/{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_apart_by_scheme_name_and_port() {
        assert_eq!(
            origin("HTTPS://Hub.example/a?b=https://x/"),
            "https://hub.example"
        );
        assert_eq!(origin("http://127.0.0.1:80"), "http://127.0.0.1:80");
        for other in [
            "https://hub.example.evil.org/",
            "https://hub.example@evil.org/",
            "http://hub.example/",
        ] {
            assert_ne!(origin(other), origin("https://hub.example/a"), "{other}");
        }
    }

    #[test]
    fn a_location_is_absolute_or_seen_from_where_it_was_said() {
        let from = "https://hub.example/a/resolve/main/b.json?x=1";
        assert_eq!(
            joined(from, "https://cdn.example/b"),
            "https://cdn.example/b"
        );
        assert_eq!(joined(from, "//cdn.example/b"), "https://cdn.example/b");
        assert_eq!(
            joined(from, "/new/b.json"),
            "https://hub.example/new/b.json"
        );
        assert_eq!(
            joined(from, "c.json"),
            "https://hub.example/a/resolve/main/c.json"
        );
    }

    #[test]
    fn paths_and_ranges_are_written_and_read_as_http_wants() {
        assert_eq!(escaped("unet/a b%é.json"), "unet/a%20b%25%C3%A9.json");
        assert_eq!(content_range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(content_range("bytes 0-1/*"), Some((0, None)));
        assert_eq!(content_range("none"), None);
    }
}
