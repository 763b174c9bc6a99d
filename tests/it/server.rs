//! A hub on the loopback: what a repository holds, its files with commit, etag and byte ranges, and
//! a redirect of large files to a "CDN" at another port. It can refuse, break off, stall and send
//! wrong bytes on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit that every revision stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of a repository by path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `hub` or `cdn`.
    pub(crate) host: &'static str,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
    /// Bytes of the body that were sent.
    pub(crate) sent: usize,
}

/// What goes wrong with one answer that sends a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// Nothing more comes after so many bytes, and the connection stays.
    Stall(usize),
    /// A byte is another.
    Damage,
}

/// An answer that is a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The hub's word for it.
    pub(crate) code: &'static str,
    /// What stands in `Retry-After`.
    pub(crate) wait: Option<u64>,
    /// How often; for ever when absent.
    pub(crate) times: Option<usize>,
}

/// A refusal that stays.
pub(crate) fn refusal(status: u16) -> Refusal {
    Refusal {
        status,
        code: "",
        wait: None,
        times: None,
    }
}

#[derive(Default)]
struct Moods {
    refusal: Option<Refusal>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    /// Sizes that are listed in place of the true ones.
    claims: BTreeMap<String, u64>,
    /// List names alone, as a simple mirror does.
    names_alone: bool,
    license: Option<String>,
    /// A revision that is not there.
    lost: Option<String>,
    requests: Vec<Request>,
}

struct Shelf {
    repo: String,
    /// A name that the repository had before.
    old: String,
    files: Files,
    cdn: u16,
    moods: Mutex<Moods>,
}

/// The server; its threads end with the test process.
pub(crate) struct Server {
    port: u16,
    shelf: Arc<Shelf>,
}

impl Server {
    /// Serves one repository.
    pub(crate) fn start(repo: &str, files: Files) -> Self {
        let [hub, cdn] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, cdn_port] = [&hub, &cdn].map(|listener| listener.local_addr().unwrap().port());
        let shelf = Shelf {
            repo: repo.to_owned(),
            old: format!("{repo}-old"),
            files,
            cdn: cdn_port,
            moods: Mutex::default(),
        };
        let shelf = Arc::new(shelf);
        for (listener, host) in [(hub, "hub"), (cdn, "cdn")] {
            let shelf = Arc::clone(&shelf);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let shelf = Arc::clone(&shelf);
                    std::thread::spawn(move || shelf.answer(stream, host));
                }
            });
        }
        Self { port, shelf }
    }

    /// Answers requests with a refusal.
    pub(crate) fn refusing(refusal: Refusal) -> Self {
        let server = Self::start("org/name", Files::new());
        server.refuse(refusal);
        server
    }

    /// Refuses from now on.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.shelf.moods.lock().unwrap().refusal = Some(refusal);
    }

    /// Lets something go wrong with the next answer that sends a file.
    pub(crate) fn fault(&self, file: &str, fault: Fault) {
        self.shelf
            .moods
            .lock()
            .unwrap()
            .faults
            .entry(file.to_owned())
            .or_default()
            .push_back(fault);
    }

    /// Lists a file with another size than it has.
    pub(crate) fn claim(&self, file: &str, size: u64) {
        self.shelf
            .moods
            .lock()
            .unwrap()
            .claims
            .insert(file.to_owned(), size);
    }

    /// Lists names alone.
    pub(crate) fn list_names_alone(&self) {
        self.shelf.moods.lock().unwrap().names_alone = true;
    }

    /// Names a licence.
    pub(crate) fn license(&self, license: &str) {
        self.shelf.moods.lock().unwrap().license = Some(license.to_owned());
    }

    /// Forgets a revision.
    pub(crate) fn lose(&self, revision: &str) {
        self.shelf.moods.lock().unwrap().lost = Some(revision.to_owned());
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shelf.moods.lock().unwrap().requests.clone()
    }

    /// The answers that sent a file, or a part of it.
    pub(crate) fn sent(&self, file: &str) -> Vec<Request> {
        let path = |request: &Request| {
            request
                .path
                .split('?')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let is_it =
            |request: &Request| request.sent > 0 && path(request).ends_with(&format!("/{file}"));
        self.requests().into_iter().filter(is_it).collect()
    }
}

/// Whether the hub keeps a file apart from git.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// The etag of a file: its SHA-256 if it is large, else git's hash.
pub(crate) fn etag(name: &str, content: &[u8]) -> String {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    if is_large(name) {
        return hex(&Sha256::digest(content));
    }
    hex(&Sha1::new()
        .chain_update(format!("blob {}\0", content.len()))
        .chain_update(content)
        .finalize())
}

fn read(stream: &TcpStream, host: &'static str) -> Option<Request> {
    let mut lines = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| {
            line.split_once(": ")
                .map(|(k, v)| (k.to_lowercase(), v.to_owned()))
        })
        .collect();
    let [range, token] = ["range", "authorization"].map(|name| headers.get(name).cloned());
    Some(Request {
        host,
        path,
        range,
        token,
        sent: 0,
    })
}

/// Head of an answer, and its body.
type Answer = (String, Vec<u8>);

impl Shelf {
    fn answer(&self, mut stream: TcpStream, host: &'static str) {
        let Some(request) = read(&stream, host) else {
            return;
        };
        let (head, mut body, fault) = self.response(&request);
        let length = body.len();
        match fault {
            Some(Fault::Cut(at) | Fault::Stall(at)) => body.truncate(at),
            Some(Fault::Damage) => body[length / 2] ^= 1,
            None => {}
        }
        let is_file = request.path.contains("/cdn/") || head.contains("content-range");
        let sent = if is_file { body.len() } else { 0 };
        self.moods
            .lock()
            .unwrap()
            .requests
            .push(Request { sent, ..request });
        // A client that hangs up is the client's matter.
        let _ = write!(
            stream,
            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all(&body);
        if matches!(fault, Some(Fault::Stall(_))) {
            std::thread::sleep(Duration::from_secs(60));
        }
    }

    fn response(&self, request: &Request) -> (String, Vec<u8>, Option<Fault>) {
        let whole = |(head, body): Answer| (head, body, None);
        if let Some(refused) = self.refused() {
            return whole(refused);
        }
        let none = || whole(("404 Not Found".to_owned(), Vec::new()));
        let path = request.path.split('?').next().unwrap();
        if path.contains(&format!("/{}/", self.old)) {
            let new = request.path.replace(&self.old, &self.repo);
            return whole((
                format!("307 Temporary Redirect\r\nlocation: {new}"),
                Vec::new(),
            ));
        }
        if path.starts_with(&format!("/api/models/{}/revision/", self.repo)) {
            let lost = self.moods.lock().unwrap().lost.clone();
            if lost.is_some_and(|revision| path.ends_with(&revision)) {
                let head = "404 Not Found\r\nx-error-code: RevisionNotFound".to_owned();
                return whole((head, Vec::new()));
            }
            return whole((
                "200 OK\r\ncontent-type: application/json".to_owned(),
                self.listing(),
            ));
        }
        let resolved = path.strip_prefix(&format!("/{}/resolve/", self.repo));
        let name = resolved
            .and_then(|rest| rest.split_once('/'))
            .map(|(_, name)| name);
        let stored = path.strip_prefix("/cdn/").filter(|_| request.host == "cdn");
        let Some((name, bytes)) = name
            .or(stored)
            .and_then(|name| self.files.get_key_value(name))
        else {
            return none();
        };
        let (etag, size) = (etag(name, bytes), bytes.len());
        if stored.is_none() && is_large(name) {
            let head = format!(
                "302 Found\r\nx-linked-etag: \"{etag}\"\r\nx-linked-size: {size}\r\nx-repo-commit: {COMMIT}\r\n\
                 location: http://127.0.0.1:{}/cdn/{name}?signature=x",
                self.cdn
            );
            return whole((head, Vec::new()));
        }
        let (head, body) = ranged(request.range.as_deref(), bytes);
        // What stores the files has etags of its own.
        let etag = if stored.is_some() {
            "0f0f-1".to_owned()
        } else {
            etag
        };
        let fault = self
            .moods
            .lock()
            .unwrap()
            .faults
            .get_mut(name)
            .and_then(VecDeque::pop_front);
        (
            format!("{head}\r\netag: \"{etag}\"\r\nx-repo-commit: {COMMIT}"),
            body,
            fault,
        )
    }

    fn refused(&self) -> Option<Answer> {
        let mut moods = self.moods.lock().unwrap();
        let refusal = moods.refusal.as_mut()?;
        match &mut refusal.times {
            Some(0) => return None,
            Some(times) => *times -= 1,
            None => {}
        }
        let mut head = format!("{} Refused", refusal.status);
        if !refusal.code.is_empty() {
            head.push_str(&format!("\r\nx-error-code: {}", refusal.code));
        }
        if let Some(wait) = refusal.wait {
            head.push_str(&format!("\r\nretry-after: {wait}"));
        }
        Some((head, Vec::new()))
    }

    fn listing(&self) -> Vec<u8> {
        let moods = self.moods.lock().unwrap();
        let entry = |(name, content): (&String, &Vec<u8>)| {
            if moods.names_alone {
                return serde_json::json!({ "rfilename": name });
            }
            let size = moods
                .claims
                .get(name)
                .copied()
                .unwrap_or(content.len() as u64);
            let etag = etag(name, content);
            let lfs = serde_json::json!({ "sha256": etag, "size": size, "pointerSize": 135 });
            match is_large(name) {
                true => {
                    serde_json::json!({ "rfilename": name, "size": size, "blobId": "0".repeat(40), "lfs": lfs })
                }
                false => serde_json::json!({ "rfilename": name, "size": size, "blobId": etag }),
            }
        };
        let files: Vec<_> = self.files.iter().map(entry).collect();
        let card = serde_json::json!({ "license": moods.license });
        serde_json::json!({ "sha": COMMIT, "siblings": files, "cardData": card })
            .to_string()
            .into_bytes()
    }
}

/// The part of a file from `bytes=N-` on.
fn ranged(range: Option<&str>, bytes: &[u8]) -> Answer {
    let start = range.map_or(0, |range| {
        range
            .strip_prefix("bytes=")
            .unwrap()
            .strip_suffix('-')
            .unwrap()
            .parse::<usize>()
            .unwrap()
    });
    if start >= bytes.len() {
        return ("416 Range Not Satisfiable".to_owned(), Vec::new());
    }
    let status = if range.is_some() {
        "206 Partial ByteSource"
    } else {
        "200 OK"
    };
    let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
    (
        format!("{status}\r\ncontent-range: {range}"),
        bytes[start..].to_vec(),
    )
}
