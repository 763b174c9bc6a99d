//! The server as its clients meet it: the program on a port of its own, spoken to over TCP.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{copy, golden_model, sdgen};
use crate::invalid_pictures::{VAE, spoilt};
use crate::server::{Fault, Files, Server as Hub};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The file that holds a server's or a worker's jobs.
pub(crate) const HOLD: &str = "hold";

/// Holds the jobs of the server or worker of this folder.
pub(crate) fn hold(folder: &Path, steps: usize) {
    std::fs::write(folder.join(HOLD), steps.to_string()).unwrap();
}

/// Lets them go on.
pub(crate) fn release(folder: &Path) {
    std::fs::remove_file(folder.join(HOLD)).unwrap();
}

/// A running server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// What it has said.
    pub(crate) log: Log,
    /// Its folder: jobs, and whatever else a test puts there.
    pub(crate) folder: TempDir,
    arguments: Vec<String>,
}

/// What a process says on stderr, read as it comes.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Reads from now on.
    pub(crate) fn of(lines: impl Iterator<Item = String> + Send + 'static) -> Self {
        let log = Self::default();
        let kept = log.clone();
        // Somebody has to read what it says, or it stops saying it.
        std::thread::spawn(move || lines.for_each(|line| kept.0.lock().unwrap().push(line)));
        log
    }

    /// The lines with a text in them.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains(text))
            .cloned()
            .collect()
    }

    /// Waits for a line with a text in it.
    pub(crate) fn says(&self, text: &str) {
        let begun = Instant::now();
        while self.with(text).is_empty() {
            assert!(
                begun.elapsed() < PATIENCE,
                "nobody said {text:?}: {:?}",
                self.with("")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
    }

    /// Expects a status.
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }
}

impl Server {
    /// A server of the demo model.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    pub(crate) fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        Self::spawned(folder, arguments, &[])
    }

    /// With other variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawned(tempfile::tempdir().unwrap(), arguments, environment)
    }

    fn spawned(folder: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let (child, address, log) = spawn(folder.path(), &arguments, environment);
        Self {
            child,
            address,
            log,
            folder,
            arguments,
        }
    }

    /// Ends it as a power cut would, and starts it again.
    pub(crate) fn killed_and_started_again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address, self.log) = spawn(self.folder.path(), &self.arguments, &[]);
        self
    }

    /// Asks it to end, and waits until it has heard that.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let begun = Instant::now();
        while self.get("/ready").json()["reason"] != "draining" {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Lets no job go on beyond so many steps, nor begin at all where there are none.
    pub(crate) fn hold(&self, steps: usize) {
        hold(self.folder.path(), steps);
    }

    /// Lets them go on.
    pub(crate) fn release(&self) {
        release(self.folder.path());
    }

    /// Orders a picture and holds it once so many steps of it are done.
    pub(crate) fn held(&self, steps: usize, more: &Value) -> String {
        self.hold(steps);
        let id = self.order(more);
        self.reaches(&id, steps);
        id
    }

    /// Waits until so many steps of a job are done, and it is begun at least.
    pub(crate) fn reaches(&self, id: &str, steps: usize) {
        let begun = Instant::now();
        loop {
            let job = self.get(&format!("/v1/jobs/{id}")).is(200).json();
            if job["state"] == "running" && job["progress"]["step"].as_u64() >= Some(steps as u64) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{job}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks that a job is stopped.
    pub(crate) fn cancel(&self, id: &str) -> Value {
        self.request("DELETE", &format!("/v1/jobs/{id}"), "", b"")
            .is(200)
            .json()
    }

    /// Its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn process(&self) -> libc::pid_t {
        libc::pid_t::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes and reads an answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer and hang up before it has read everything.
        let _ = stream.write_all(bytes);
        read(&mut BufReader::new(stream))
    }

    /// A request with headers of its own (each with its line end) and a body.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let (host, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(
            "POST",
            path,
            "content-type: application/json\r\n",
            body.to_string().as_bytes(),
        )
    }

    /// Orders a small picture with other fields besides; the job's name.
    pub(crate) fn order(&self, more: &Value) -> String {
        let answer = self.post("/v1/jobs", &small(more)).is(202).json();
        answer["job_id"].as_str().unwrap().to_owned()
    }

    /// The job once it has ended.
    pub(crate) fn ended(&self, id: &str) -> Value {
        self.once(id, |state| !["queued", "running"].contains(&state))
    }

    /// The job once its state is as wanted.
    pub(crate) fn once(&self, id: &str, wanted: impl Fn(&str) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.get(&format!("/v1/jobs/{id}")).is(200).json();
            if wanted(job["state"].as_str().unwrap()) {
                return job;
            }
            assert!(begun.elapsed() < PATIENCE, "{job}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The events of a job after number `heard`, up to its end: (number, name, data).
    pub(crate) fn events(&self, id: &str, heard: u64) -> Vec<(u64, String, Value)> {
        events(&self.stream(id, heard).is(200).text())
    }

    /// The answer to one that has heard the events up to number `heard`.
    pub(crate) fn stream(&self, id: &str, heard: u64) -> Answer {
        let heard = format!("last-event-id: {heard}\r\n");
        self.request("GET", &format!("/v1/jobs/{id}/stream"), &heard, b"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An order of a small picture.
pub(crate) fn small(more: &Value) -> Value {
    let mut order =
        json!({"prompt": "a red circle", "width": 64, "height": 64, "steps": 1, "seed": 7});
    order
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    order
}

fn spawn(
    folder: &Path,
    arguments: &[String],
    environment: &[(&str, &str)],
) -> (Child, String, Log) {
    let mut run = sdgen()
        .args(["serve", "--port", "0", "-m", "demo"])
        .args(arguments);
    let command = run.command();
    if !arguments.iter().any(|argument| argument.contains("://")) {
        command.arg("--state").arg(folder.join("state"));
    }
    command
        .current_dir(folder)
        .env("HF_HOME", folder.join(".hf"))
        .env("SDGEN_HOLD", folder.join(HOLD));
    command.envs(environment.iter().copied());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let address = first
        .split("http://")
        .nth(1)
        .unwrap_or_else(|| panic!("{first}"));
    // A server at every address is spoken to at one.
    let address = address.replace("0.0.0.0", "127.0.0.1");
    (child, address, Log::of(lines))
}

fn read(reader: &mut impl BufRead) -> Answer {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let mut body = Vec::new();
    let _ = reader.read_to_end(&mut body);
    if head.contains("transfer-encoding: chunked") {
        body = dechunked(&body);
    }
    Answer {
        status,
        head: head.replace("\r\n", "\n"),
        body,
    }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let end = (line + 2 + length).min(bytes.len());
        whole.extend(&bytes[line + 2..end]);
        bytes = bytes.get(end + 2..).unwrap_or_default();
    }
    whole
}

fn events(text: &str) -> Vec<(u64, String, Value)> {
    let field = |block: &str, name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
            .map(str::to_owned)
    };
    let blocks = text.split("\n\n").filter_map(|block| {
        let data = serde_json::from_str(&field(block, "data")?).unwrap();
        Some((
            field(block, "id")?.parse().unwrap(),
            field(block, "event")?,
            data,
        ))
    });
    blocks.collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, i| {
            bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0))
        });
        (0..4)
            .map(|i| {
                if i > chunk.len() {
                    '='
                } else {
                    DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char
                }
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// A PNG of one light colour, half of it transparent if asked for.
pub(crate) fn png(width: u32, height: u32, holes: bool) -> Vec<u8> {
    let image = image::RgbaImage::from_fn(width, height, |x, _| {
        image::Rgba([250, 240, 230, if holes && x < width / 2 { 0 } else { 255 }])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn an_order_becomes_a_picture_that_tells_how_it_was_made() {
    let server = Server::start(&[]);
    let id = server.order(&json!({"operation": "txt2img", "count": 2}));
    let job = server.ended(&id);
    assert_eq!(
        (&job["state"], &job["images"][1]["seed"]),
        (&json!("completed"), &json!(8)),
        "{job}"
    );
    assert_eq!(
        (&job["params"]["model"], job["error"].is_null()),
        (&json!("demo"), true)
    );
    let picture = server
        .get(job["images"][0]["url"].as_str().unwrap())
        .is(200);
    assert_eq!(picture.header("content-type"), Some("image/png"));
    assert_eq!(
        server.get(&format!("/v1/jobs/{id}/image")).is(200).body,
        picture.body
    );
    // The picture of the command line, byte for byte; `chunk` is what a server's jobs have where
    // they say nothing.
    let arguments = [
        "a red circle",
        "-m",
        "demo",
        "-W",
        "64",
        "-H",
        "64",
        "--steps",
        "1",
        "--seed",
        "7",
        "-o",
        "a.png",
    ];
    let outcome = sdgen()
        .args(arguments)
        .args(["--long-prompt", "chunk"])
        .succeeds();
    assert!(std::fs::read(outcome.path("a.png")).unwrap() == picture.body);
}

#[test]
fn a_stream_tells_the_whole_story_to_everybody_and_goes_on_where_it_broke() {
    let server = Server::start(&[]);
    let id = server.order(&json!({"steps": 3}));
    let first = server.events(&id, 0);
    let second = server.events(&id, 0);
    let names = |events: &[(u64, String, Value)]| {
        events
            .iter()
            .map(|event| event.1.clone())
            .collect::<Vec<_>>()
    };
    let heard = names(&first);
    for name in ["running", "progress", "image", "complete"] {
        assert!(
            heard.iter().any(|heard| heard == name),
            "{name} in {heard:?}"
        );
    }
    assert!(
        first.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "numbers rise"
    );
    let complete = &first.last().unwrap().2;
    assert_eq!(
        (&complete["type"], &complete["images"][0]["seed"]),
        (&json!("complete"), &json!(7))
    );
    assert_eq!(second.last(), first.last());
    let last = first.last().unwrap().0;
    assert_eq!(names(&server.events(&id, last - 1)), ["complete"]);
    // An EventSource comes back after every end but this.
    assert!(server.stream(&id, last).is(204).body.is_empty());
    assert_eq!(
        server.events(&id, last + 1).last(),
        first.last(),
        "a number of another story"
    );
    assert!(
        server
            .get(&format!("/v1/jobs/{id}/stream"))
            .is(200)
            .text()
            .contains("event: complete")
    );
}

#[test]
fn previews_are_told_to_those_who_ask_for_them() {
    let server = Server::start(&[]);
    let id = server.held(3, &json!({"steps": 4, "preview_every": 1}));
    let mut lines = BufReader::new(server.connect());
    let head = format!(
        "GET /v1/jobs/{id}/stream HTTP/1.1\r\nhost: {}\r\n\r\n",
        server.address
    );
    lines.get_mut().write_all(head.as_bytes()).unwrap();
    let mut lines = lines.lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "event: preview"));
    let data = lines.next().unwrap();
    let preview: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(preview["format"], "png");
    assert!(
        preview["image"]
            .as_str()
            .unwrap()
            .starts_with("iVBORw0KGgo"),
        "{preview}"
    );
}

#[test]
fn waiting_jobs_are_cancelled_at_once_and_running_ones_at_their_next_step() {
    let server = Server::start(&[]);
    let running = server.held(2, &json!({"steps": 3}));
    let waiting = server.order(&json!({}));
    assert_eq!(server.cancel(&waiting)["state"], "cancelled");
    assert_eq!(server.events(&waiting, 0).last().unwrap().1, "cancelled");
    server.cancel(&running);
    assert_eq!(server.ended(&running)["state"], "cancelled");
    let after = server.order(&json!({}));
    assert_eq!(server.ended(&after)["state"], "completed");
}

#[test]
fn an_ended_job_is_forgotten_with_its_pictures() {
    let server = Server::start(&[]);
    let [drawn, kept] = [1, 2].map(|seed| server.order(&json!({ "seed": seed })));
    server.ended(&kept);
    let running = server.held(1, &json!({"steps": 2}));
    let waiting = server.order(&json!({}));
    let remove = |id: &str| server.request("DELETE", &format!("/v1/jobs/{id}"), "", b"");
    let folder = |id: &str| server.folder.path().join("state/jobs").join(id);
    assert!(folder(&drawn).join("0.png").is_file());
    assert!(remove(&drawn).is(204).body.is_empty());
    assert!(!folder(&drawn).exists());
    for path in ["", "/image", "/images", "/images/0", "/stream"] {
        server.get(&format!("/v1/jobs/{drawn}{path}")).is(404);
    }
    remove(&drawn).is(404);
    // One that waits is stopped by the first word and forgotten by the second.
    assert_eq!(remove(&waiting).is(200).json()["state"], "cancelled");
    remove(&waiting).is(204);
    remove(&running).is(200);
    assert_eq!(server.ended(&running)["state"], "cancelled");
    remove(&running).is(204);
    let left = server.get("/v1/jobs").json();
    assert_eq!(left["jobs"].as_array().unwrap().len(), 1);
    let server = server.killed_and_started_again();
    server.get(&format!("/v1/jobs/{drawn}")).is(404);
    server.get(&format!("/v1/jobs/{kept}/image")).is(200);
}

#[test]
fn the_list_of_jobs_has_pages() {
    let server = Server::start(&[]);
    let running = server.held(1, &json!({"steps": 2}));
    let mut ids: Vec<String> = (0..5).map(|_| server.order(&json!({}))).collect();
    ids.insert(0, running);
    ids.reverse();
    let walk = |first: &str, between: &dyn Fn()| {
        let (mut found, mut path) = (Vec::new(), first.to_owned());
        loop {
            let page = server.get(&path).is(200).json();
            let jobs = page["jobs"].as_array().unwrap().clone();
            found.push(
                jobs.iter()
                    .map(|job| job["job_id"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            );
            let Some(next) = page["next"].as_str() else {
                return found;
            };
            path = next.to_owned();
            between();
        }
    };
    let pages = walk("/v1/jobs?limit=2", &|| ());
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(pages.concat(), ids);
    assert_eq!(walk("/v1/jobs", &|| ()), [ids.clone()]);
    // What comes meanwhile moves nothing.
    let pages = walk("/v1/jobs?limit=4&state=queued", &|| {
        drop(server.order(&json!({})));
    });
    assert_eq!(pages.concat(), ids[..5]);
    let running = server.get("/v1/jobs?state=running&limit=1").json();
    assert_eq!(
        (
            running["jobs"].as_array().unwrap().len(),
            running["next"].is_null()
        ),
        (1, true)
    );
    for (query, field) in [
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("limit=1001", "limit"),
        ("state=on", "state"),
    ] {
        assert_eq!(
            server.get(&format!("/v1/jobs?{query}")).is(422).json()["field"],
            field
        );
    }
    assert_eq!(
        server.get("/v1/jobs?cursor=0").is(200).json()["jobs"],
        json!([])
    );
}

#[test]
fn an_open_server_goes_by_addresses_and_allowed_names() {
    let open = [
        "--host",
        "0.0.0.0",
        "--no-auth",
        "--allow-host",
        "images.lan",
    ];
    let server = Server::start(&open);
    let asked = |host: &str| {
        let head = format!("GET /health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        server.raw(head.as_bytes())
    };
    for host in [
        "127.0.0.1",
        "192.168.7.7:7860",
        "[::1]:1",
        "localhost",
        "Images.LAN:80",
        "images.lan.",
    ] {
        assert_eq!(asked(host).status, 200, "{host}");
    }
    for host in ["evil.example", "images.lan.evil.example:7860", "other.lan"] {
        let refused = asked(host).is(403).json();
        assert!(!refused.to_string().contains("--"), "{refused}");
    }
    server.log.says("`other.lan` is refused; `--allow-host`");
    let absolute =
        b"GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    server.raw(absolute).is(403);
    // The page of an allowed name is this server's own.
    let own = "GET /v1/models HTTP/1.1\r\nhost: images.lan\r\norigin: http://images.lan\r\nconnection: close\r\n\r\n";
    server.raw(own.as_bytes()).is(200);
    let serve = |more: &[&str]| {
        sdgen()
            .args(["serve", "--port", "0", "-m", "demo"])
            .args(more)
    };
    for (flags, field) in [
        (&["--allow-host", "http://a.b"][..], "--allow-host"),
        (&["--allow-host", "a.b:7860"], "--allow-host"),
        (&["--cors", "localhost:3000"], "--cors"),
        (&["--cors", "http://localhost:3000/"], "--cors"),
        (&["--cors", "*"], "--cors"),
        (&["--max-body", "0"], "--max-body"),
        (&["--max-pixels", "0"], "--max-pixels"),
        (&["--max-count", "0"], "--max-count"),
    ] {
        serve(flags)
            .fails(2)
            .says(field)
            .says("expected")
            .says("hint:");
    }
}

#[test]
fn a_model_that_is_not_there_is_told_at_the_start() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let broken = tempfile::NamedTempFile::new().unwrap();
    let broken = broken.path().to_str().unwrap();
    for (model, code) in [
        ("no-such-model", 3),
        ("./nowhere/at/all", 3),
        ("org/none", 3),
        ("sd15", 3),
        (empty, 3),
        (broken, 5),
    ] {
        for command in ["serve", "worker"] {
            let state = ["--port", "0", "--state", "here"];
            let place: &[&str] = if command == "serve" {
                &state
            } else {
                &["--queue", "redis://127.0.0.1:1"]
            };
            let outcome = sdgen()
                .args([command, "-m", "demo", "-m", model])
                .args(place)
                .exits(code);
            assert!(
                !outcome.stderr.contains("listening"),
                "{model}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_server_is_ready_once_its_models_are_here() {
    let files = |path: &std::path::Path| {
        let mut files = Files::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
            {
                match entry.is_dir() {
                    true => folders.push(entry),
                    false => {
                        let name = entry
                            .strip_prefix(path)
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .replace('\\', "/");
                        drop(files.insert(name, std::fs::read(&entry).unwrap()));
                    }
                }
            }
        }
        files
    };
    let hub = Hub::start(
        "org/tiny",
        files(std::path::Path::new(&golden_model("sd15"))),
    );
    // As often as one run tries, and the first of the next.
    (0..3).for_each(|_| hub.fault("unet/diffusion_pytorch_model.safetensors", Fault::Stall(10)));
    let endpoint = hub.endpoint();
    let environment = [
        ("HF_HUB_OFFLINE", "0"),
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "2"),
    ];
    let server = Server::start_with(&["-m", "org/tiny"], &environment);
    let ready = server.get("/ready").is(503).json();
    assert_eq!(
        (&ready["ready"], &ready["reason"]),
        (&json!(false), &json!("model not fetched yet"))
    );
    server.get("/health").is(200);
    let begun = Instant::now();
    while server.get("/ready").status != 200 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let models = server.get("/v1/models").is(200).json();
    assert!(
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|model| model["cached"] == true),
        "{models}"
    );
    let id = server.order(&json!({"model": "org/tiny", "width": 32, "height": 32}));
    assert_eq!(server.ended(&id)["state"], "completed");
}

#[test]
fn answers_tell_of_fields_and_of_no_path() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("secret-place/mine");
    copy(std::path::Path::new(&golden_model("sd15")), &model);
    let named = format!("{}/", model.display());
    let server = Server::start(&["-m", &named]);
    let models =
        server.get("/v1/models").json().to_string() + &server.get("/sdapi/v1/sd-models").text();
    assert!(
        models.contains("\"mine\"") && !models.contains("secret-place"),
        "{models}"
    );
    let weights = model.join("vae/diffusion_pytorch_model.safetensors");
    std::fs::write(&weights, b"nothing").unwrap();
    let id = server.order(&json!({"model": "mine", "width": 32, "height": 32}));
    let job = server.ended(&id);
    let story = server.get(&format!("/v1/jobs/{id}/stream")).text();
    assert_eq!(job["state"], "failed", "{job}");
    assert!(
        !(job.to_string() + &story).contains("secret-place"),
        "{job}"
    );
    server.log.says("secret-place");
    for order in [
        json!({"mask": base64(&png(64, 64, false))}),
        json!({"strength": 0.5}),
        json!({"extend": "up=3"}),
    ] {
        let refused = server.post("/v1/jobs", &small(&order));
        assert!(
            refused.status == 422 && !refused.text().contains("--"),
            "{order}: {}",
            refused.text()
        );
    }
    for (path, field) in [
        ("/sdapi/v1/txt2img", "sampler_name"),
        ("/v1/images/generations", "model"),
    ] {
        let refused = server.post(path, &json!({"prompt": "a", field: "nothing"}));
        assert!(
            refused.status >= 400 && !refused.text().contains("--"),
            "{}",
            refused.text()
        );
    }
}

#[test]
fn jobs_that_are_alike_share_a_forward_and_are_what_they_are_alone() {
    let draw = |seed: u64, prompt: &str| json!({"seed": seed, "prompt": prompt, "steps": 3});
    let orders = [
        draw(1, "a red circle"),
        draw(2, "a blue square"),
        draw(3, "a circle"),
        draw(4, "a red circle"),
    ];
    let pictures = |server: &Server, ids: &[String]| -> Vec<Vec<u8>> {
        ids.iter()
            .map(|id| server.get(&format!("/v1/jobs/{id}/image")).is(200).body)
            .collect()
    };
    let server = Server::start(&["--batch-size", "4"]);
    let alone: Vec<String> = orders
        .iter()
        .map(|order| {
            let id = server.order(order);
            server.ended(&id);
            id
        })
        .collect();
    server.held(1, &json!({"width": 128, "steps": 2}));
    let together: Vec<String> = orders.iter().map(|order| server.order(order)).collect();
    let larger = server.order(&json!({"width": 128}));
    let gone = server.order(&json!({"width": 128, "seed": 1}));
    server.cancel(&gone);
    server.release();
    together
        .iter()
        .for_each(|id| assert_eq!(server.ended(id)["state"], "completed"));
    assert_eq!(server.ended(&larger)["state"], "completed");
    assert!(
        pictures(&server, &alone) == pictures(&server, &together),
        "the same bytes"
    );
    server.log.says(&format!("{larger} completed"));
    // The four were begun before the first of them ended.
    let lines = server.log.with("");
    let at = |id: &str, state: &str| {
        let what = format!("{id} {state}");
        lines
            .iter()
            .position(|line| line.contains(&what))
            .unwrap_or_else(|| panic!("{what} in {lines:?}"))
    };
    let begun = together.iter().map(|id| at(id, "running")).max().unwrap();
    let ended = together.iter().map(|id| at(id, "completed")).min().unwrap();
    assert!(begun < ended && ended < at(&larger, "running"));
}

#[test]
fn what_was_drawn_and_cannot_be_decoded_is_kept() {
    let model = spoilt(VAE, "decoder.conv_in.weight", f32::MAX);
    let folder = model.path().to_str().unwrap();
    let server = Server::start(&["-m", folder]);
    let name = model.path().file_name().unwrap().to_str().unwrap();
    let id = server.order(&json!({"model": name, "steps": 3, "sampler": "euler"}));
    let job = server.ended(&id);
    assert_eq!(
        (&job["state"], &job["error"]["kind"]),
        (&json!("failed"), &json!("invalid-image")),
        "{job}"
    );
    assert!(
        job["error"]["hints"]
            .to_string()
            .contains(&format!("/v1/jobs/{id}/latents")),
        "{job}"
    );
    let latents = server.get(&format!("/v1/jobs/{id}/latents")).is(200).body;
    let sound = golden_model("sd15");
    let run = sdgen().file("kept.safetensors", &latents);
    run.args([
        "--from-latents",
        "kept.safetensors",
        "-m",
        &sound,
        "-o",
        "b.png",
    ])
    .succeeds();
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let server = Server::start(&["--queue", "1"]);
    server.held(0, &json!({}));
    let waiting = server.order(&json!({}));
    let full = server.post("/v1/jobs", &small(&json!({}))).is(503);
    assert!(full.header("retry-after").is_some());
    assert_eq!(
        full.header("content-type"),
        Some("application/problem+json")
    );
    server.release();
    assert_eq!(server.ended(&waiting)["state"], "completed");
}

#[test]
fn queued_jobs_outlive_a_killed_server() {
    let server = Server::start(&[]);
    let running = server.held(1, &json!({"steps": 2}));
    let waiting: Vec<String> = (0..10)
        .map(|seed| server.order(&json!({ "seed": seed })))
        .collect();
    let server = server.killed_and_started_again();
    server.release();
    let begun_again = server.ended(&running);
    assert_eq!(begun_again["state"], "completed", "{begun_again}");
    for (seed, id) in waiting.iter().enumerate() {
        let job = server.ended(id);
        assert_eq!(
            (&job["state"], &job["images"][0]["seed"]),
            (&json!("completed"), &json!(seed))
        );
    }
    assert_eq!(
        server.get("/v1/jobs").json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        11
    );
    let server = server.killed_and_started_again();
    server
        .get(&format!("/v1/jobs/{}/image", waiting[3]))
        .is(200);
}

#[cfg(unix)]
#[test]
fn a_server_that_is_asked_to_end_finishes_its_job_and_keeps_the_queue() {
    let mut server = Server::start(&[]);
    let running = server.held(1, &json!({"steps": 2}));
    let waiting = server.order(&json!({}));
    server.terminate();
    server.release();
    assert_eq!(server.exit_code(), 0);
    let folder = server.folder.path().join("state/jobs");
    let record = |id: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(id).join("job.json")).unwrap()).unwrap()
    };
    assert_eq!(record(&running)["status"]["state"], "completed");
    assert_eq!(record(&waiting)["status"]["state"], "queued");
}

#[test]
fn what_is_wrong_is_told_field_by_field_in_the_words_of_the_command_line() {
    let server = Server::start(&["--max-count", "4"]);
    let field = |more: Value| {
        let answer = server.post("/v1/jobs", &small(&more)).is(422);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        answer.json()
    };
    let steps = field(json!({"steps": 0, "width": 65}));
    assert_eq!(
        (&steps["field"], &steps["kind"], &steps["status"]),
        (&json!("width"), &json!("usage"), &json!(422))
    );
    assert_eq!(steps["others"][0]["field"], "steps");
    assert_eq!(
        steps["detail"],
        "expected a multiple of 8 from 8 to 8192, got `65`"
    );
    for (more, name) in [
        (json!({"stepz": 4}), "stepz"),
        (json!({"steps": "four"}), "steps"),
        (json!({"sampler": "eulr"}), "sampler"),
        (json!({"count": 5}), "count"),
        (json!({"width": 4096, "height": 4096}), "height"),
        (json!({"model": "sd15"}), "model"),
        (json!({"operation": "img2img"}), "init_image"),
        (json!({"operation": "upscale"}), "operation"),
        (json!({"strength": 0.5}), "strength"),
    ] {
        assert_eq!(field(more)["field"], name);
    }
    assert!(
        server
            .post("/v1/jobs", &json!({}))
            .is(422)
            .text()
            .contains("no prompt")
    );
}

#[test]
fn no_client_reaches_the_servers_files() {
    let server = Server::start(&[]);
    let secret = server.folder.path().join("secret.png");
    std::fs::write(&secret, png(64, 64, false)).unwrap();
    let path = secret.display().to_string();
    for (name, value) in [
        ("init_image", path.as_str()),
        ("init_image", "../../secret.png"),
        ("model", server.folder.path().to_str().unwrap()),
        ("refiner", "org/repo"),
        ("output", "/tmp/stolen.png"),
        ("device", "cpu"),
        ("threads", "1"),
    ] {
        let answer = server
            .post("/v1/jobs", &small(&json!({ name: value })))
            .is(422)
            .json();
        assert_eq!(answer["field"], name, "{answer}");
    }
    let id = server.order(
        &json!({"init_image": base64(&png(64, 64, true)), "mask": "alpha", "strength": 1.0}),
    );
    let job = server.ended(&id);
    assert_eq!(job["state"], "completed", "{job}");
    let picture = server.get(&format!("/v1/jobs/{id}/image")).is(200);
    let folder = server.folder.path().to_str().unwrap().as_bytes();
    assert!(
        !picture
            .body
            .windows(folder.len())
            .any(|window| window == folder),
        "the picture names a folder"
    );
    let name = b"\"image\":\"init_image\"";
    assert!(
        picture
            .body
            .windows(name.len())
            .any(|window| window == name)
    );
    for path in [
        "/v1/jobs/..%2f..%2fsecret.png",
        "/assets/..%2f..%2fCargo.toml",
        "/v1/jobs/x/images/..%2f..%2fjob.json",
    ] {
        server.get(path).is(404);
    }
}

#[test]
fn pictures_come_as_base64_or_as_files() {
    let server = Server::start(&[]);
    let picture = png(64, 64, false);
    let id = server.order(&json!({
        "operation": "inpaint", "init_image": format!("data:image/png;base64,{}", base64(&picture)),
        "mask": base64(&png(64, 64, false)), "strength": 1.0,
    }));
    assert_eq!(server.ended(&id)["state"], "completed");
    let mut body = Vec::new();
    for (name, value) in [
        ("prompt", "1984"),
        ("steps", "2"),
        ("strength", "0.5"),
        ("seed", "3"),
    ] {
        write!(
            body,
            "--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
        .unwrap();
    }
    write!(
        body,
        "--x\r\ncontent-disposition: form-data; name=\"init_image\"; filename=\"a.png\"\r\n\r\n"
    )
    .unwrap();
    body.extend(&picture);
    body.extend(b"\r\n--x--\r\n");
    let kind = "content-type: multipart/form-data; boundary=x\r\n";
    let accepted = server
        .request("POST", "/v1/jobs", kind, &body)
        .is(202)
        .json();
    let job = server.ended(accepted["job_id"].as_str().unwrap());
    assert_eq!(
        (&job["state"], &job["operation"]),
        (&json!("completed"), &json!("img2img")),
        "{job}"
    );
    assert_eq!(job["params"]["prompt"], "1984");
    assert_eq!(job["params"]["init_image"], "(picture)");
    assert_eq!(job["images"][0]["width"], 64);
}

#[test]
fn only_who_shows_the_token_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "let me in\n").unwrap();
    let server = Server::start_in(folder, &["--token-file", file.to_str().unwrap()]);
    server.get("/health").is(200);
    server.get("/").is(200);
    let refused = server.get("/v1/jobs").is(401);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    for path in [
        "/metrics",
        "/v1/models",
        "/sdapi/v1/options",
        "/v1/jobs/x/stream",
    ] {
        server.get(path).is(401);
    }
    let openai = server
        .post("/v1/images/generations", &json!({"prompt": "a"}))
        .is(401)
        .json();
    assert!(
        openai["error"]["message"]
            .as_str()
            .unwrap()
            .contains("token")
    );
    let with = |value: &str| {
        server.request(
            "GET",
            "/v1/jobs",
            &format!("authorization: {value}\r\n"),
            b"",
        )
    };
    with("Bearer let me in").is(200);
    with(&format!("Basic {}", base64(b"me:let me in"))).is(200);
    with("Bearer let me out").is(401);
}

#[test]
fn another_address_needs_a_token_or_a_word() {
    sdgen()
        .args(["serve", "--host", "0.0.0.0", "--port", "0"])
        .fails(2)
        .says("--token-file");
}

#[test]
fn pages_of_other_origins_stay_out_unless_they_are_listed() {
    let server = Server::start(&["--cors", "http://friend.example"]);
    let from =
        |origin: &str| server.request("GET", "/v1/models", &format!("origin: {origin}\r\n"), b"");
    let listed = from("http://friend.example").is(200);
    assert_eq!(
        listed.header("access-control-allow-origin"),
        Some("http://friend.example")
    );
    from(&format!("http://{}", server.address)).is(200);
    assert!(
        from("http://evil.example")
            .is(403)
            .header("access-control-allow-origin")
            .is_none()
    );
    let foreign = b"GET /v1/jobs HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    server.raw(foreign).is(403);
    assert_eq!(
        listed.header("access-control-expose-headers"),
        Some("retry-after, x-ignored-fields, x-request-id")
    );
    let names = "content-type,x-stainless-os,x-stainless-retry-count";
    for (wanted, allowed) in [
        (names, names),
        (
            "",
            "authorization, content-type, last-event-id, x-request-id",
        ),
    ] {
        let mut asked =
            "origin: http://friend.example\r\naccess-control-request-method: POST\r\n".to_owned();
        if !wanted.is_empty() {
            asked += &format!("access-control-request-headers: {wanted}\r\n");
        }
        let answer = server.request("OPTIONS", "/v1/jobs", &asked, b"").is(204);
        assert_eq!(answer.header("vary"), Some("origin"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(allowed));
    }
}

#[test]
fn broken_and_hostile_requests_get_their_answer_and_the_server_lives() {
    let server = Server::start(&["--max-body", "1"]);
    let json_body = |body: &[u8]| {
        server
            .request(
                "POST",
                "/v1/jobs",
                "content-type: application/json\r\n",
                body,
            )
            .status
    };
    assert_eq!(json_body(b"{\"prompt\": "), 400);
    assert_eq!(json_body(b"\xff\xfe"), 400);
    assert_eq!(json_body(b"[1]"), 422);
    assert_eq!(json_body("[".repeat(100_000).as_bytes()), 400);
    assert_eq!(
        server
            .request("POST", "/v1/jobs", "content-type: text/plain\r\n", b"{}")
            .status,
        415
    );
    let large = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n{";
    assert_eq!(server.raw(large.as_bytes()).status, 413);
    let chunks = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    assert_eq!(
        server
            .raw(&[chunks.as_bytes(), &chunk, &chunk, b"0\r\n\r\n"].concat())
            .status,
        413
    );
    let mut huge = png(8, 8, false);
    huge[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    for picture in [
        base64(&huge),
        "not base64!".to_owned(),
        base64(b"no picture"),
    ] {
        let answer = server
            .post("/v1/jobs", &small(&json!({ "init_image": picture })))
            .is(422)
            .json();
        assert_eq!(answer["field"], "init_image", "{answer}");
    }
    assert_eq!(server.raw(b"nonsense\r\n\r\n").status, 400);
    server.get("/nowhere").is(404);
    server.request("PUT", "/v1/jobs", "", b"").is(405);
    server.get("/v1/jobs/none/stream").is(404);
    server.get("/v1/jobs?limit=0").is(422);
    server.get("/v1/jobs?colour=red").is(422);
    assert_eq!(server.get("/health").is(200).json()["status"], "healthy");
}

#[test]
fn the_server_shows_its_models_samplers_figures_and_itself() {
    let server = Server::start(&[]);
    let models = server.get("/v1/models").is(200).json();
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["cached"]),
        (&json!("demo"), &json!(true))
    );
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
    let samplers = server.get("/v1/samplers").is(200).json();
    assert_eq!(
        samplers["samplers"].as_array().unwrap().len(),
        sdgen::schedulers::SAMPLERS.len()
    );
    assert_eq!(server.get("/ready").is(200).json()["ready"], true);
    let id = server.order(&json!({}));
    server.ended(&id);
    // A client may hear of the end before it is counted.
    server.log.says(&format!("{id} completed"));
    let metrics = server.get("/metrics").is(200).text();
    assert!(
        metrics.contains("sdgen_jobs_total{state=\"completed\"} 1"),
        "{metrics}"
    );
    let named = server.request("GET", "/health", "x-request-id: mine\r\n", b"");
    assert_eq!(named.header("x-request-id"), Some("mine"));
    let page = server.get("/").is(200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'self'")
    );
    for file in ["app.js", "style.css"] {
        server.get(&format!("/assets/{file}")).is(200);
    }
}

#[test]
fn the_description_names_paths_that_are_there() {
    let server = Server::start(&[]);
    let id = server.order(&json!({}));
    server.ended(&id);
    let document = server.get("/openapi.json").is(200).json();
    let mut operations: Vec<(&String, &String, &Value)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        operations.extend(
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (path, method, operation)),
        );
    }
    // What forgets the job comes last.
    operations.sort_by_key(|(_, method, _)| *method == "delete");
    for (path, method, operation) in operations {
        let id = if path.starts_with("/v1/models") {
            "demo"
        } else {
            &id
        };
        let path = path.replace("{id}", id).replace("{index}", "0");
        let answer = server.request(&method.to_uppercase(), &path, "", b"");
        if path.ends_with("/latents") || path.contains("{key}") {
            assert_eq!(
                answer.status, 404,
                "this job was decoded, and its key is nobody's"
            );
            continue;
        }
        let documented = operation["responses"].get(answer.status.to_string());
        assert!(
            documented.is_some() && answer.status != 404,
            "{method} {path}: {}",
            answer.status
        );
    }
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_program_without_redis_names_the_feature() {
    for command in ["serve", "worker"] {
        let outcome = sdgen()
            .args([command, "--queue", "redis://localhost", "-m", "demo"])
            .fails(2);
        outcome
            .says("without the feature `redis`")
            .says("--features redis");
    }
}
