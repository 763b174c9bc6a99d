//! HTTP client of the hub: the files of a repository, and the bytes of a file. Redirects are followed
//! by hand, so that the token goes to the hub alone and never to the host that stores the files.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::cache::{BlobHash, Repository, is_commit};
use super::errors::HubError;
use crate::env::{Hub, Token};
use crate::error::{self, Error, Kind};

/// Timeout if the environment sets none.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 10;
/// Longest answer that describes a repository, in bytes.
const MAX_LISTING: u64 = 64 << 20;

/// A client of one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
    /// Timeout of requests for metadata.
    metadata_timeout: Duration,
    /// Timeout of each read of a download.
    download_timeout: Duration,
}

/// Contents of a repository at a commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<ListedFile>,
    /// License as the model card names it.
    pub(super) license: Option<String>,
}

/// A file as the hub lists it.
#[derive(Clone, Debug)]
pub(crate) struct ListedFile {
    pub(crate) path: String,
    /// Absent on a hub that lists names alone; the response to the file's own URL then has it.
    pub(super) size: Option<u64>,
    /// Hash of the content; absent as for `size`.
    pub(super) hash: Option<BlobHash>,
}

/// The answer to a request for a file.
pub(super) struct FileResponse {
    pub(super) body: Body,
    /// Offset in the file at which the body begins.
    pub(super) start: u64,
    /// Bytes of the whole file.
    pub(super) size: Option<u64>,
    /// The content's hash according to the hub, not to the host that stores it.
    pub(super) hash: Option<BlobHash>,
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

impl From<Sibling> for ListedFile {
    fn from(sibling: Sibling) -> Self {
        let etag = sibling.lfs.map(|large| large.sha256).or(sibling.blob);
        Self {
            path: sibling.rfilename,
            size: sibling.size,
            hash: etag.and_then(|etag| BlobHash::parse(&etag)),
        }
    }
}

impl Client {
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
            metadata_timeout: hub.etag_timeout.unwrap_or(TIMEOUT),
            download_timeout: hub.download_timeout.unwrap_or(TIMEOUT),
        }
    }

    /// Error for the user about `file` of a repository, or about the repository if `file` is empty.
    pub(super) fn explain(&self, error: &HubError, repository: &Repository, file: &str) -> Error {
        error.explain(&self.endpoint, self.token.is_some(), repository, file)
    }

    /// The commit of a revision, and its files.
    pub(super) fn list(&self, repository: &Repository) -> Result<Listing, HubError> {
        let revision = escaped(&repository.revision).replace('/', "%2F");
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.endpoint, repository.id
        );
        let (mut response, _) = self.get_redirected(&url, 0, self.metadata_timeout)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_LISTING)
            .read_to_string()?;
        let info: Info = serde_json::from_str(&text).map_err(|_| HubError::NotAHub)?;
        if !is_commit(&info.sha) {
            return Err(HubError::NotAHub);
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
            files: info.siblings.into_iter().map(ListedFile::from).collect(),
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
    ) -> Result<FileResponse, HubError> {
        let url = format!("{}/{id}/resolve/{commit}/{}", self.endpoint, escaped(path));
        let (response, file_headers) = self.get_redirected(&url, start, self.download_timeout)?;
        let range = text(response.headers(), "content-range").and_then(content_range);
        let (start, whole) = match (response.status().as_u16(), range) {
            (206, Some((start, whole))) => (start, whole),
            _ => (0, response.body().content_length()),
        };
        Ok(FileResponse {
            start,
            size: file_headers.size.or(whole),
            hash: file_headers.hash,
            body: response.into_body(),
        })
    }

    /// Asks the hub for the owner of the token, or without a token for its start page.
    pub(super) fn check_access(&self) -> Result<(), HubError> {
        let path = if self.token.is_some() {
            "/api/whoami-v2"
        } else {
            "/"
        };
        let url = format!("{}{path}", self.endpoint);
        match self.get_redirected(&url, 0, self.metadata_timeout) {
            // Any answer counts; only a refused token is an error.
            Err(error @ HubError::Status { status: 401, .. }) => Err(error),
            Ok(_) | Err(HubError::Status { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The response to `url` from byte `start` on after all redirects, with the headers of the hub.
    fn get_redirected(
        &self,
        url: &str,
        start: u64,
        timeout: Duration,
    ) -> Result<(Response<Body>, FileHeaders), HubError> {
        let mut url = url.to_owned();
        let mut file_headers = FileHeaders::default();
        for _ in 0..MAX_REDIRECTS {
            let response = self.get(&url, start, timeout)?;
            let is_hub = origin(&url) == origin(&self.endpoint);
            if is_hub {
                file_headers.add(response.headers());
            }
            match (
                response.status().as_u16(),
                text(response.headers(), "location"),
            ) {
                (200..=299, _) => return Ok((response, file_headers)),
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = joined(&url, location),
                (status, _) => {
                    return Err(HubError::from_status(status, response.headers(), is_hub));
                }
            }
        }
        Err(HubError::Transport(ureq::Error::TooManyRedirects))
    }

    fn get(&self, url: &str, start: u64, timeout: Duration) -> Result<Response<Body>, HubError> {
        let mut request = self
            .agent
            .get(url)
            .config()
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .build();
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

/// Answer of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The hub answers.
    Answers,
    /// The hub answers, and refuses the token.
    RefusesToken,
}

/// Asks whether the hub answers, and whether it accepts the token.
///
/// # Errors
/// No answer, or no hub.
pub fn reach(hub: &Hub) -> error::Result<Reach> {
    match Client::new(hub).check_access() {
        Ok(()) => Ok(Reach::Answers),
        Err(error) if error.is_refused_token() => Ok(Reach::RefusesToken),
        Err(error) => {
            let message = format!("{}: {}", hub.endpoint, error.summary());
            Err(Error::new(Kind::Network, message))
        }
    }
}

/// Size and hash of a file as given by the hub, before it redirects to the storage host.
#[derive(Default)]
struct FileHeaders {
    size: Option<u64>,
    hash: Option<BlobHash>,
}

impl FileHeaders {
    fn add(&mut self, headers: &HeaderMap) {
        let etag = text(headers, "x-linked-etag")
            .or_else(|| text(headers, "etag"))
            .and_then(BlobHash::parse);
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
    fn a_host_is_identified_by_scheme_name_and_port() {
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
    fn a_location_is_absolute_or_relative_to_the_url() {
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
