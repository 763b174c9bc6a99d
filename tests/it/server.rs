//! A hub on the loopback: the file list of one repository, its files with commit and etag, byte ranges, and a
//! redirect to a "CDN" for weights.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The commit that every revision stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
}

#[derive(Default)]
struct Shelf {
    repo: String,
    files: BTreeMap<String, Vec<u8>>,
    /// Refuse everything with this status.
    refusal: Option<u16>,
    requests: Mutex<Vec<Request>>,
}

/// The server; its thread ends with the test process.
pub(crate) struct Server {
    port: u16,
    shelf: Arc<Shelf>,
}

impl Server {
    /// Serves one repository.
    pub(crate) fn start(repo: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::with(Shelf { repo: repo.to_owned(), files, ..Shelf::default() })
    }

    /// Answers every request with a status.
    pub(crate) fn refusing(status: u16) -> Self {
        Self::with(Shelf { refusal: Some(status), ..Shelf::default() })
    }

    fn with(shelf: Shelf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shelf = Arc::new(shelf);
        let served = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.answer(stream));
            }
        });
        Self { port, shelf }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shelf.requests.lock().unwrap().clone()
    }

    /// The etag of a file: here its name in the hub's alphabet.
    pub(crate) fn etag(name: &str) -> String {
        name.bytes().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
        .collect();
    Some(Request { path, range: headers.get("range").cloned(), token: headers.get("authorization").cloned() })
}

impl Shelf {
    fn answer(&self, mut stream: TcpStream) {
        let Some(request) = read(&stream) else { return };
        self.requests.lock().unwrap().push(request.clone());
        let (head, body) = self.response(&request);
        let length = body.len();
        // A client that hangs up is the client's matter.
        let _ = write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(&body);
    }

    fn response(&self, request: &Request) -> (String, Vec<u8>) {
        if let Some(status) = self.refusal {
            return (format!("{status} Refused"), Vec::new());
        }
        let repo = &self.repo;
        if request.path.starts_with(&format!("/api/models/{repo}/revision/")) {
            let names: Vec<_> =
                self.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let list = serde_json::json!({ "sha": COMMIT, "siblings": names });
            return ("200 OK\r\ncontent-type: application/json".to_owned(), list.to_string().into_bytes());
        }
        let resolved = request.path.strip_prefix(&format!("/{repo}/resolve/"));
        let name = resolved.and_then(|rest| rest.split_once('/')).map(|(_, name)| name);
        let stored = request.path.strip_prefix("/cdn/");
        let Some((name, bytes)) = name.or(stored).and_then(|name| self.files.get_key_value(name)) else {
            return ("404 Not Found".to_owned(), Vec::new());
        };
        let etag = Server::etag(name);
        if stored.is_none() && name.ends_with(".safetensors") {
            let head = format!(
                "302 Found\r\nx-linked-etag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\nlocation: /cdn/{name}"
            );
            return (head, Vec::new());
        }
        let (range, part) = ranged(request.range.as_deref(), bytes);
        (
            format!(
                "206 Partial Content\r\netag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: {range}"
            ),
            part,
        )
    }
}

/// `bytes=a-b` or `bytes=a-` of a file.
fn ranged(range: Option<&str>, bytes: &[u8]) -> (String, Vec<u8>) {
    let (start, end) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(bytes.len(), |last: usize| (last + 1).min(bytes.len()));
    (format!("bytes {start}-{}/{}", end - 1, bytes.len()), bytes[start..end].to_vec())
}
