//! Servers and workers that share a queue in Redis: a real `redis-server` where it is installed,
//! else these tests say that they look at nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::sdgen;
use crate::serve::{HOLD, Log, PATIENCE, Server, base64, hold, png, release, small};

/// A Redis of its own behind a socket, with its data on disk; it ends with the value.
struct Redis {
    child: Child,
    folder: TempDir,
}

impl Redis {
    fn start() -> Option<Self> {
        let is_there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok();
        if !is_there {
            // Past the test harness, which keeps what successful tests print to itself.
            let _ = std::io::stderr().write_all(b"SKIPPED: redis-server is not installed\n");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(&folder);
        Some(Self { child, folder })
    }

    fn spawn(folder: &TempDir) -> Child {
        let socket = Self::socket(folder);
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            "0",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]);
        command
            .arg("--unixsocket")
            .arg(&socket)
            .current_dir(folder)
            .stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }

    fn socket(folder: &TempDir) -> PathBuf {
        folder.path().join("redis.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", Self::socket(&self.folder).display())
    }

    /// Sends a signal.
    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args([name, &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(Self::socket(&self.folder));
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(&self.folder);
    }

    fn server(&self) -> Server {
        Server::start(&["--queue", &self.url(), "--lease", "2"])
    }

    fn worker(&self) -> Worker {
        Worker::start(&self.url())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running worker; it ends with the value.
struct Worker {
    child: Child,
    log: Log,
    folder: TempDir,
}

impl Worker {
    fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut run = sdgen().args(["worker", "--queue", url, "-m", "demo", "--lease", "2"]);
        let command = run.command();
        command
            .current_dir(&folder)
            .env("HF_HOME", folder.path().join(".hf"));
        command.env("SDGEN_HOLD", folder.path().join(HOLD));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(
            BufReader::new(child.stderr.take().unwrap())
                .lines()
                .map_while(Result::ok),
        );
        log.says("waiting for jobs");
        Self { child, log, folder }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminated(&mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn two_steps(seed: usize) -> Value {
    json!({"steps": 2, "seed": seed})
}

/// All of them complete, each with its own picture, and the logs tell of one end of each.
fn complete_once(server: &Server, ids: &[String], logs: &[&Log]) {
    for (seed, id) in ids.iter().enumerate() {
        let job = server.ended(id);
        assert_eq!(
            (&job["state"], &job["images"][0]["seed"]),
            (&json!("completed"), &json!(seed)),
            "{job}"
        );
        assert_eq!(job["images"].as_array().unwrap().len(), 1);
        server.get(&format!("/v1/jobs/{id}/image")).is(200);
        let end = format!("{id} completed");
        let told = || {
            logs.iter()
                .flat_map(|log| log.with(&end))
                .collect::<Vec<String>>()
        };
        // A client may hear of the end before the log does.
        let begun = Instant::now();
        while told().is_empty() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(told().len(), 1, "{:?}", told());
    }
}

#[test]
fn the_job_of_a_killed_worker_is_drawn_by_another_and_every_job_once() {
    let Some(redis) = Redis::start() else { return };
    let server = redis.server();
    let [mut first, mut second, third] = [0; 3].map(|_| redis.worker());
    // Each has one, and the others are left to those that stay.
    let folders = [&server.folder, &first.folder, &second.folder, &third.folder]
        .map(|folder| folder.path().to_owned());
    folders.iter().for_each(|folder| hold(folder, 1));
    let ids: Vec<String> = (0..12).map(|seed| server.order(&two_steps(seed))).collect();
    first.log.says(" running");
    first.kill();
    folders.iter().for_each(|folder| release(folder));
    complete_once(
        &server,
        &ids,
        &[&server.log, &first.log, &second.log, &third.log],
    );
    let begun =
        [&server.log, &first.log, &second.log, &third.log].map(|log| log.with(" running").len());
    assert!(
        begun.iter().sum::<usize>() > 12,
        "one was begun twice: {begun:?}"
    );
    let metrics = server.get("/metrics").is(200).text();
    for line in [
        "sdgen_queue_depth 0",
        "sdgen_jobs_running 0",
        "sdgen_jobs_kept 12",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} in {metrics}"
        );
    }
    assert_eq!(
        second.terminated(),
        0,
        "an idle worker ends when it is asked to"
    );
}

#[test]
fn a_slow_job_stays_with_its_worker() {
    let Some(redis) = Redis::start() else { return };
    let server = redis.server();
    let slow = server.held(1, &two_steps(0));
    let worker = redis.worker();
    // Longer than the lease.
    std::thread::sleep(Duration::from_secs(5));
    assert!(worker.log.with(" running").is_empty());
    server.release();
    complete_once(&server, &[slow], &[&server.log, &worker.log]);
}

#[test]
fn a_client_may_ask_any_server() {
    let Some(redis) = Redis::start() else { return };
    let [here, there] = [0; 2].map(|_| redis.server());
    // Its progress is told only while it goes on.
    [&here, &there].iter().for_each(|server| server.hold(1));
    let id = here.order(&two_steps(7));
    there.reaches(&id, 1);
    let events = std::thread::scope(|scope| {
        let events = scope.spawn(|| there.events(&id, 0));
        [&here, &there].iter().for_each(|server| server.release());
        events.join().unwrap()
    });
    let (last, name, complete) = events.last().unwrap();
    assert_eq!(
        (name.as_str(), &complete["images"][0]["seed"]),
        ("complete", &json!(7))
    );
    for name in ["running", "progress", "image"] {
        assert!(
            events.iter().any(|event| event.1 == name),
            "{name} in {events:?}"
        );
    }
    assert!(
        events.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "numbers rise"
    );
    assert_eq!(here.events(&id, last - 1), there.events(&id, last - 1));
    [&here, &there]
        .iter()
        .for_each(|server| drop(server.stream(&id, *last).is(204)));
    let job = there.get(&format!("/v1/jobs/{id}")).is(200).json();
    assert_eq!(job, here.get(&format!("/v1/jobs/{id}")).is(200).json());
    assert_eq!(job, there.get("/v1/jobs").is(200).json()["jobs"][0]);
    let [one, other] =
        [&here, &there].map(|server| server.get(&format!("/v1/jobs/{id}/image")).is(200).body);
    assert!(one == other && one.starts_with(b"\x89PNG"));
    there.get("/v1/jobs/none").is(404);

    // Pictures that came with an order reach whoever draws it; who waits on the connection gets the
    // result.
    let picture = base64(&png(64, 64, false));
    [&here, &there].iter().for_each(|server| server.hold(1));
    let ids: Vec<String> = (0..6)
        .map(|seed| {
            here.order(&json!({"init_image": picture, "strength": 0.5, "steps": 4, "seed": seed}))
        })
        .collect();
    // Both draw.
    let begun = Instant::now();
    while !there
        .get("/metrics")
        .text()
        .contains("sdgen_jobs_running 2\n")
    {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    [&here, &there].iter().for_each(|server| server.release());
    complete_once(&there, &ids, &[&here.log, &there.log]);
    let order =
        json!({"prompt": "a", "size": "64x64", "steps": 1, "n": 2, "response_format": "b64_json"});
    let images = there.post("/v1/images/generations", &order).is(200).json();
    assert_eq!(images["data"].as_array().unwrap().len(), 2);
}

#[test]
fn a_job_is_cancelled_through_any_server() {
    let Some(redis) = Redis::start() else { return };
    let here = redis.server();
    let first = here.held(1, &two_steps(0));
    let there = redis.server();
    there.hold(1);
    let second = here.order(&two_steps(1));
    there.log.says(&format!("{second} running"));
    let waiting = here.order(&json!({}));
    assert_eq!(
        there.get(&format!("/v1/jobs/{waiting}")).json()["position"],
        1
    );
    assert!(
        there
            .get("/metrics")
            .text()
            .contains("sdgen_queue_depth 1\n")
    );
    assert_eq!(there.get("/ready").json()["queued"], 1);
    assert_eq!(there.cancel(&waiting)["state"], "cancelled");
    let mut names = here.events(&waiting, 0).into_iter().map(|event| event.1);
    assert_eq!(names.next_back().as_deref(), Some("cancelled"));
    there.cancel(&first);
    here.cancel(&second);
    assert_eq!(here.ended(&first)["state"], "cancelled");
    assert_eq!(there.ended(&second)["state"], "cancelled");
    [&here, &there].iter().for_each(|server| server.release());
    let after = there.order(&json!({}));
    assert_eq!(here.ended(&after)["state"], "completed");
}

#[test]
fn the_queue_may_go_and_come_back() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let server = redis.server();
    let worker = redis.worker();
    [&server.folder, &worker.folder]
        .iter()
        .for_each(|folder| hold(folder.path(), 1));
    let ids: Vec<String> = (0..8).map(|seed| server.order(&two_steps(seed))).collect();
    worker.log.says(" running");
    redis.stop();
    [&server.folder, &worker.folder]
        .iter()
        .for_each(|folder| release(folder.path()));
    let ready = server.get("/ready").is(503).json();
    assert_eq!(ready["reason"], "queue out of reach");
    let refused = server.post("/v1/jobs", &small(&json!({}))).is(503);
    assert!(refused.header("retry-after").is_some());
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("is out of reach")
    );
    server.get("/health").is(200);
    server.get("/metrics").is(200);
    worker.log.says("trying again");
    std::thread::sleep(Duration::from_secs(3));
    redis.start_again();
    worker.log.says("the queue is back");
    complete_once(&server, &ids, &[&server.log, &worker.log]);
    assert_ne!(server.get("/ready").json()["reason"], "queue out of reach");
}

#[test]
fn a_queue_that_hangs_holds_up_no_probe_and_draws_nothing_that_was_refused() {
    let Some(redis) = Redis::start() else { return };
    let server = redis.server();
    let running = server.held(1, &two_steps(0));
    redis.signal("-STOP");
    // More of them than the server has threads to wait with.
    for path in ["/ready", "/metrics"].repeat(12) {
        let begun = Instant::now();
        let answer = server.get(path);
        // Redis itself may take ten.
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{path}: {:?}",
            begun.elapsed()
        );
        match path {
            "/ready" => assert_eq!(answer.is(503).json()["reason"], "queue out of reach"),
            _ => assert!(answer.is(200).text().contains("sdgen_queue_up 0\n")),
        }
    }
    let refused = server.post("/v1/jobs", &small(&json!({}))).is(503).text();
    assert!(
        refused.contains("the queue is out of reach") && !refused.contains("redis.sock"),
        "{refused}"
    );
    redis.signal("-CONT");
    let begun = Instant::now();
    while server.get("/ready").json()["reason"] == "queue out of reach" {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    let accepted = server.order(&two_steps(1));
    // Should Redis have taken the other all the same, it is told that nobody wants it.
    let is_told = || {
        let jobs = server.get("/v1/jobs").json()["jobs"].clone();
        let known = [&running, &accepted].map(|id| json!(id));
        jobs.as_array()
            .unwrap()
            .iter()
            .all(|job| known.contains(&job["job_id"]) || job["state"] == "cancelled")
    };
    while !is_told() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    server.release();
    complete_once(&server, &[running, accepted], &[&server.log]);
}

#[test]
fn an_ended_job_is_forgotten_through_any_server() {
    let Some(redis) = Redis::start() else { return };
    let [here, there] = [0; 2].map(|_| redis.server());
    let id = here.order(&json!({}));
    // Both have seen it.
    [&here, &there]
        .iter()
        .for_each(|server| drop(server.ended(&id)));
    let remove = |server: &Server| server.request("DELETE", &format!("/v1/jobs/{id}"), "", b"");
    remove(&there).is(204);
    for server in [&here, &there] {
        for path in ["", "/image", "/images/0", "/stream"] {
            server.get(&format!("/v1/jobs/{id}{path}")).is(404);
        }
        assert_eq!(server.get("/v1/jobs").json()["jobs"], json!([]));
    }
    remove(&here).is(404);
    // Pages go through what the others took in.
    let ids: Vec<String> = [&here, &there, &here]
        .map(|server| server.order(&json!({})))
        .into();
    let first = there.get("/v1/jobs?limit=2").json();
    let second = here.get(first["next"].as_str().unwrap()).json();
    assert_eq!(
        (&first["jobs"][0]["job_id"], &second["jobs"][0]["job_id"]),
        (&json!(ids[2]), &json!(ids[0]))
    );
    assert!(second["next"].is_null());
}

#[test]
fn a_client_that_hangs_up_takes_its_job_along_through_redis() {
    let Some(redis) = Redis::start() else { return };
    let [here, there] = [0; 2].map(|_| redis.server());
    [&here, &there].iter().for_each(|server| server.hold(2));
    let order = small(&json!({"steps": 3})).to_string();
    let mut stream = here.connect();
    let (host, length) = (&here.address, order.len());
    let head = format!(
        "POST /sdapi/v1/txt2img HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &order).as_bytes()).unwrap();
    let newest = || there.get("/v1/jobs").json()["jobs"][0].clone();
    while newest()["state"] != "running" {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stream);
    let id = newest()["job_id"].as_str().unwrap().to_owned();
    assert_eq!(there.ended(&id)["state"], "cancelled");
}

#[test]
fn a_job_that_ends_its_server_each_time_is_given_up() {
    let Some(redis) = Redis::start() else { return };
    let mut server = Server::start(&["--queue", &redis.url(), "--lease", "1"]);
    let poison = server.held(1, &two_steps(0));
    for _ in 0..3 {
        server.log.says(&format!("{poison} running"));
        server = server.killed_and_started_again();
    }
    let job = server.ended(&poison);
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(
        job["error"]["message"],
        "the server crashed 3 times while running this job"
    );
    let (_, name, data) = server.events(&poison, 0).pop().unwrap();
    assert_eq!(
        (name.as_str(), &data["message"]),
        ("error", &job["error"]["message"])
    );
}

#[test]
fn a_full_shared_queue_says_when_to_come_back() {
    let Some(redis) = Redis::start() else { return };
    let url = format!("{}?size=1", redis.url());
    let server = Server::start(&["--queue", &url]);
    server.held(1, &two_steps(0));
    let waiting = server.order(&json!({}));
    assert!(
        server
            .post("/v1/jobs", &small(&json!({})))
            .is(503)
            .header("retry-after")
            .is_some()
    );
    server.release();
    assert_eq!(server.ended(&waiting)["state"], "completed");
}

#[test]
fn results_in_redis_expire() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&["--queue", &redis.url(), "--keep-size", "0"]);
    let id = server.order(&json!({}));
    server.log.says(&format!("{id} completed"));
    let begun = Instant::now();
    while server.get(&format!("/v1/jobs/{id}")).status != 404 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    server.get(&format!("/v1/jobs/{id}/image")).is(404);
    assert_eq!(server.get("/v1/jobs").json()["jobs"], json!([]));
}

#[test]
fn a_queue_that_is_not_there_is_told_at_the_start() {
    let nowhere = "redis://me:secret@127.0.0.1:1/0";
    for command in ["serve", "worker"] {
        let outcome = sdgen()
            .args([command, "--queue", nowhere, "-m", "demo"])
            .fails(4);
        let outcome = outcome
            .says("Redis at `127.0.0.1:1` is out of reach")
            .says("hint:");
        assert!(!outcome.stderr.contains("secret"), "{outcome:?}");
    }
    sdgen()
        .args(["worker", "-m", "demo"])
        .env("SDGEN_QUEUE", nowhere)
        .fails(4)
        .says("is out of reach");
    sdgen()
        .args(["worker", "--queue", "64"])
        .fails(2)
        .says("redis://");
    sdgen()
        .args(["serve", "--queue", "rediss://host"])
        .fails(2)
        .says("not encrypted");
    let state = ["serve", "--queue", nowhere, "--state", "here"];
    sdgen().args(state).fails(2).says("state");
}
