//! The program and a hub: downloads that survive a kill, the commands for models, lock files,
//! licences, and a token that shows nowhere.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sdgen::output::metadata;

use crate::harness::{Outcome, Run, golden_model, sdgen, tiny};
use crate::server::{COMMIT, Fault, Files, Refusal, Server, etag, refusal};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const CARD: &str = "---\nlicense: creativeml-openrail-m\n---\n# A model\n";

/// A small model that draws, with its card.
fn repository() -> Files {
    let root = PathBuf::from(golden_model("sd15"));
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files.insert("README.md".into(), CARD.into());
    files
}

/// A run of the program with this hub and this place for models.
fn with(server: &Server, home: &Path) -> Run {
    let run = sdgen()
        .env("HF_HOME", home.to_str().unwrap())
        .env("HF_ENDPOINT", &server.endpoint());
    run.env("HF_HUB_OFFLINE", "0")
}

fn draw(server: &Server, home: &Path) -> Run {
    with(server, home)
        .args(tiny())
        .args(["--model", "org/name", "-o", "a.png"])
}

fn cache(home: &Path) -> PathBuf {
    home.join("hub/models--org--name")
}

#[test]
fn a_killed_download_resumes_and_then_no_connection_is_needed() {
    let server = Server::start("org/name", repository());
    server.license("creativeml-openrail-m");
    let unet = &repository()[UNET];
    let half = unet.len() / 2;
    server.fault(UNET, Fault::Stall(half));
    let home = tempfile::tempdir().unwrap();
    let partial = cache(home.path())
        .join("blobs")
        .join(etag(UNET, unet))
        .with_extension("incomplete");
    let mut run = draw(&server, home.path()).env("HF_TOKEN", "hf_canary");
    let mut child = run
        .command()
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |data| data.len()) < half as u64 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    if cfg!(target_os = "linux") {
        for file in ["cmdline", "comm"] {
            let title = std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
            assert!(!String::from_utf8_lossy(&title).contains("canary"));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let first = draw(&server, home.path())
        .succeeds()
        .says("licence of the weights: creativeml-openrail-m");
    let sent = server.sent(UNET);
    let expected = [
        (None, half),
        (Some(format!("bytes={half}-")), unet.len() - half),
    ];
    assert_eq!(
        sent.iter()
            .map(|r| (r.range.clone(), r.sent))
            .collect::<Vec<_>>(),
        expected
    );
    assert!(
        server
            .sent("feature_extractor/preprocessor_config.json")
            .is_empty()
    );

    let asked = server.requests().len();
    let second = draw(&server, home.path()).args(["--offline"]).succeeds();
    assert_eq!(server.requests().len(), asked);
    let picture = |outcome: &Outcome| std::fs::read(outcome.path("a.png")).unwrap();
    assert_eq!(picture(&first), picture(&second));
    let record = metadata::read(&second.path("a.png"))
        .unwrap()
        .sdgen
        .unwrap();
    assert_eq!(
        record.model_license.as_deref(),
        Some("creativeml-openrail-m")
    );
}

#[test]
fn models_are_pulled_found_checked_measured_and_removed() {
    let server = Server::start("org/name", repository());
    let home = tempfile::tempdir().unwrap();
    let models = |arguments: &[&str]| with(&server, home.path()).args(["models"]).args(arguments);
    models(&["path", "org/name"])
        .fails(3)
        .says("sdgen models pull org/name");
    let snapshot = cache(home.path()).join("snapshots").join(COMMIT);
    let line = format!("{}\n", snapshot.display());
    assert_eq!(
        models(&["pull", "org/name"])
            .succeeds()
            .says("fetching org/name@")
            .stdout(),
        line
    );
    assert_eq!(models(&["path", "org/name"]).succeeds().stdout(), line);
    let asked = server.sent(UNET).len();
    assert_eq!(
        models(&["pull", "org/name@v2", "--quiet"])
            .succeeds()
            .says_nothing()
            .stdout(),
        line
    );
    assert_eq!(
        server.sent(UNET).len(),
        asked,
        "what is here is not fetched again"
    );

    let json =
        |outcome: &Outcome| serde_json::from_slice::<serde_json::Value>(&outcome.stdout).unwrap();
    let found = json(&models(&["path", "org/name", "--json"]).succeeds());
    assert_eq!(found["license"], "creativeml-openrail-m");
    let du = json(&models(&["du", "--json"]).succeeds());
    assert_eq!(
        (&du[0]["repo"], du[0]["revisions"][0].as_str()),
        (&"org/name".into(), Some(COMMIT))
    );
    assert!(du[0]["bytes"].as_u64().unwrap() > repository()[UNET].len() as u64);
    assert!(
        models(&["du"])
            .succeeds()
            .stdout()
            .contains("org/name (1 revision)")
    );
    assert!(
        models(&["list"])
            .succeeds()
            .stdout()
            .contains("demo          built in")
    );

    assert!(
        models(&["verify", "org/name"])
            .succeeds()
            .stdout()
            .contains(&format!("ok       org/name {UNET}\n"))
    );
    let mut content = repository()[UNET].clone();
    content[100] ^= 1;
    std::fs::write(snapshot.join(UNET), content).unwrap();
    for arguments in [
        &["verify", "org/name", "--json"][..],
        &["verify", "--all", "--json"],
    ] {
        let run = models(arguments)
            .exits(5)
            .says("1 of ")
            .says("sdgen models rm");
        let damaged: Vec<_> = json(&run)
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["state"] == "damaged")
            .cloned()
            .collect();
        assert_eq!(
            (damaged.len(), damaged[0]["file"].as_str()),
            (1, Some(UNET))
        );
        assert_eq!(damaged[0]["expected"], etag(UNET, &repository()[UNET]));
    }

    let freed = json(&models(&["rm", "org/name", "--json"]).succeeds());
    assert_eq!(freed["freed"], du[0]["bytes"]);
    assert!(!cache(home.path()).exists());
    models(&["rm", "org/name"])
        .fails(3)
        .says("not in the cache");
}

#[test]
fn a_revision_can_be_removed_without_the_others() {
    let server = Server::start("org/name", repository());
    let home = tempfile::tempdir().unwrap();
    let models = |arguments: &[&str]| with(&server, home.path()).args(["models"]).args(arguments);
    models(&["pull", "org/name"]).succeeds();
    let blobs = cache(home.path()).join("blobs");
    // Another commit that shares everything but one file.
    let other = cache(home.path()).join("snapshots/feed");
    std::fs::create_dir_all(other.join("vae")).unwrap();
    std::fs::write(blobs.join("aaaa"), "only there").unwrap();
    crate::harness::link(
        Path::new("../../../blobs/aaaa"),
        &other.join("vae/config.json"),
    );
    models(&["rm", "org/name@feed"]).succeeds();
    assert!(!other.exists() && !blobs.join("aaaa").exists());
    models(&["verify", "org/name"]).succeeds();
}

#[test]
fn a_lock_file_holds_a_render_to_its_files() {
    let server = Server::start("org/name", repository());
    let home = tempfile::tempdir().unwrap();
    let lock = home.path().join("models.lock");
    draw(&server, home.path())
        .arg_path("--lock", &lock)
        .succeeds();
    let text = std::fs::read_to_string(&lock).unwrap();
    assert!(
        text.contains(&format!("revision = \"{COMMIT}\"")) && text.contains(UNET),
        "{text}"
    );
    draw(&server, home.path())
        .arg_path("--locked", &lock)
        .args(["--offline"])
        .succeeds();

    // On another machine the very revision is asked for.
    let elsewhere = tempfile::tempdir().unwrap();
    draw(&server, elsewhere.path())
        .arg_path("--locked", &lock)
        .succeeds();
    let asked = server.requests();
    let listings: Vec<_> = asked
        .iter()
        .filter(|r| r.path.starts_with("/api/"))
        .map(|r| &r.path)
        .collect();
    assert!(
        listings
            .last()
            .unwrap()
            .contains(&format!("/revision/{COMMIT}")),
        "{listings:?}"
    );

    std::fs::write(
        cache(home.path())
            .join("snapshots")
            .join(COMMIT)
            .join("scheduler/scheduler_config.json"),
        "x",
    )
    .unwrap();
    let refused = draw(&server, home.path())
        .arg_path("--locked", &lock)
        .fails(5);
    refused.says(
        "`scheduler/scheduler_config.json` of `org/name` is another file than the locked one",
    );
    with(&server, home.path())
        .args(["x", "-m", "demo"])
        .arg_path("--locked", &lock)
        .fails(5)
        .says("`demo` is not in");
    let none = with(&server, home.path()).args(["x", "-m", "demo", "--locked", "none.lock"]);
    none.fails(2)
        .says("--locked: cannot read the lock file `none.lock`");
}

#[test]
fn half_weights_are_fetched_for_half_arithmetic_alone() {
    let mut files = repository();
    files.insert(
        UNET.replace(".safetensors", ".fp16.safetensors"),
        files[UNET].clone(),
    );
    let server = Server::start("org/name", files);
    let home = tempfile::tempdir().unwrap();
    draw(&server, home.path())
        .args(["--dtype", "f16"])
        .succeeds();
    assert_eq!(
        (
            server.sent(UNET).len(),
            server
                .sent("unet/diffusion_pytorch_model.fp16.safetensors")
                .len()
        ),
        (0, 1)
    );
}

/// Every file below a folder.
fn contents(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .flat_map(|path| {
            let name = path.to_string_lossy().into_owned().into_bytes();
            let content = if path.is_dir() {
                contents(&path)
            } else {
                std::fs::read(&path).unwrap_or_default()
            };
            [name, content].concat()
        })
        .collect()
}

#[test]
fn the_token_shows_nowhere() {
    let server = Server::start("org/name", repository());
    let home = tempfile::tempdir().unwrap();
    let token = "hf_canaryCANARY";
    let clean = |run: Run, code: i32| {
        let outcome = run.env("HF_TOKEN", token).exits(code);
        let all = [
            &outcome.stdout,
            outcome.stderr.as_bytes(),
            &contents(outcome.folder.path()),
        ]
        .concat();
        let all = [all, contents(home.path())].concat();
        assert!(
            !all.windows(token.len())
                .any(|window| window == token.as_bytes()),
            "{outcome:?}"
        );
        outcome
    };
    server.fault(UNET, Fault::Cut(100));
    let lock = home.path().join("a.lock");
    let run = draw(&server, home.path())
        .args(["--progress", "json", "--verbose"])
        .arg_path("--lock", &lock);
    clean(run, 0);
    clean(
        draw(&server, home.path()).args(["--verbose", "--overwrite"]),
        0,
    );
    clean(with(&server, home.path()).args(["doctor"]), 0).says_nothing();
    clean(with(&server, home.path()).args(["doctor", "--json"]), 0);
    clean(
        with(&server, home.path()).args(["models", "verify", "--all"]),
        0,
    );
    server.fault("vae/config.json", Fault::Damage);
    server.fault("vae/config.json", Fault::Damage);
    clean(
        with(&server, home.path()).args(["models", "rm", "org/name"]),
        0,
    );
    clean(
        with(&server, home.path()).args(["models", "pull", "org/name"]),
        4,
    );
    for (status, code, exit) in [
        (401, "", 4),
        (403, "GatedRepo", 4),
        (404, "", 3),
        (401, "GatedRepo", 4),
    ] {
        server.refuse(Refusal {
            code,
            ..refusal(status)
        });
        clean(draw(&server, home.path()), exit);
        clean(
            draw(&server, home.path()).args(["--progress", "json"]),
            exit,
        );
        clean(with(&server, home.path()).args(["doctor"]), 0);
    }
    // A token that no header can carry is no reason to show it.
    let odd = draw(&server, home.path()).env("HF_TOKEN", "hf_odd\u{7f}canary\u{1}");
    let outcome = odd.exits(4);
    assert!(!outcome.stderr.contains("canary"), "{outcome:?}");
}
