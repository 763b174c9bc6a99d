//! The user's config file and profiles, and `sdgen doctor`.

use sdgen::output::metadata;

use crate::harness::{Outcome, Run, sdgen, tiny};
use crate::server::{Files, Server, refusal};

const FILE: &str =
    "steps = 3\ncfg_scale = 2.5\n\n[profile.draft]\nsampler = \"euler\"\nsteps = 1\n";

fn with(config: &str) -> Run {
    sdgen()
        .file("c.toml", config.as_bytes())
        .env("SDGEN_CONFIG", "c.toml")
}

fn json(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn a_picture_is_drawn_with_the_users_defaults_under_the_flags() {
    let drawn = |run: Run| {
        let mut arguments = tiny();
        arguments.retain(|word| word != "--steps" && word != "2");
        let outcome = run.args(arguments).args(["-o", "a.png"]).succeeds();
        let request = metadata::read(&outcome.path("a.png"))
            .unwrap()
            .sdgen
            .unwrap()
            .request()
            .unwrap();
        (
            request.steps,
            request.cfg_scale,
            request.sampler.to_string(),
        )
    };
    let (steps, scale, sampler) = drawn(with(FILE));
    assert_eq!((steps, scale), (3, 2.5));
    assert_ne!(sampler, "euler");
    let draft = (1, 2.5, "euler".to_owned());
    assert_eq!(drawn(with(FILE).args(["--profile", "draft"])), draft);
    assert_eq!(drawn(with(FILE).env("SDGEN_PROFILE", "draft")), draft);
    let said = with(FILE).args(["--profile", "draft", "--cfg-scale", "1.5"]);
    assert_eq!(drawn(said), (1, 1.5, "euler".to_owned()));
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let draw = |config: &str| with(config).args(["x", "-m", "demo"]);
    draw("steps = 3\nstepz = 4\n")
        .fails(2)
        .says("c.toml:2: unknown key `stepz`")
        .says("did you mean `steps`?");
    draw("steps = 0\n")
        .fails(2)
        .says("--steps: expected a number")
        .says("`steps` comes from `c.toml`");
    draw(FILE)
        .args(["--profile", "drft"])
        .fails(2)
        .says("did you mean `draft`?");
    sdgen()
        .args(["x"])
        .env("SDGEN_CONFIG", "none.toml")
        .fails(2)
        .says("SDGEN_CONFIG: `none.toml` is no file");
}

#[test]
fn the_file_is_found_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    let found = sdgen()
        .args(["config", "path"])
        .env("SDGEN_CONFIG", "")
        .env("XDG_CONFIG_HOME", path)
        .env("HOME", path);
    let found = found.succeeds();
    assert!(found.stdout().trim_end().ends_with("config.toml") && found.stdout().contains("sdgen"));
    let shown = with(FILE)
        .args(["config", "show", "--profile", "draft"])
        .succeeds();
    assert_eq!(
        shown.stdout(),
        "# c.toml; profiles: draft\nsteps = 1\ncfg_scale = 2.5\nsampler = \"euler\"\n"
    );
    let shown = json(&with(FILE).args(["config", "show", "--json"]).succeeds());
    assert_eq!(
        (&shown["profiles"][0], &shown["defaults"]["steps"]),
        (&"draft".into(), &3.into())
    );
}

/// State, value and fix of one thing that the doctor looks at.
fn finding(outcome: &Outcome, name: &str) -> (String, String, String) {
    let findings = json(outcome);
    let found = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["name"] == name)
        .unwrap()
        .clone();
    let [state, value, fix] =
        ["state", "value", "fix"].map(|key| found[key].as_str().unwrap_or_default().to_owned());
    (state, value, fix)
}

#[test]
fn the_doctor_tells_what_there_is_and_how_to_mend_the_rest() {
    let server = Server::start("org/name", Files::new());
    let doctor = || {
        sdgen()
            .args(["doctor", "--json"])
            .env("HF_ENDPOINT", &server.endpoint())
    };
    let offline = doctor().succeeds();
    assert!(server.requests().is_empty(), "offline is offline");
    let (state, _, fix) = finding(&offline, "hub");
    assert!(state == "note" && fix.contains("HF_HUB_OFFLINE"), "{fix}");
    for name in [
        "build",
        "device",
        "processor",
        "threads",
        "dtype",
        "config",
        "cache",
        "disk",
        "token",
    ] {
        assert_ne!(finding(&offline, name).0, "wrong", "{name}");
    }
    assert!(finding(&offline, "processor").1.contains("portable"));
    let (state, value, fix) = finding(
        &doctor().env("SDGEN_CPU", "portable").succeeds(),
        "processor",
    );
    assert!(
        state == "note" && value.contains("uses portable") && fix.contains("unset SDGEN_CPU"),
        "{value}"
    );
    assert_eq!(
        finding(&doctor().env("SDGEN_CPU", "mmx").succeeds(), "processor").0,
        "wrong"
    );

    let online = || doctor().env("HF_HUB_OFFLINE", "0");
    assert_eq!(finding(&online().succeeds(), "hub").0, "good");
    server.refuse(refusal(401));
    let with_token = online().env("HF_TOKEN", "hf_canary").succeeds();
    assert_eq!(finding(&with_token, "token").1, "there is one");
    assert!(finding(&with_token, "hub").1.ends_with("refuses the token"));
    let nowhere = online().env("HF_ENDPOINT", "http://127.0.0.1:9").succeeds();
    let (state, _, fix) = finding(&nowhere, "hub");
    assert!(state == "wrong" && fix.contains("HTTPS_PROXY"), "{fix}");

    let broken = sdgen()
        .args(["doctor"])
        .file("c.toml", b"stepz = 1")
        .env("SDGEN_CONFIG", "c.toml")
        .succeeds();
    assert!(
        broken
            .stdout()
            .contains("WRONG  config            c.toml:1: unknown key `stepz`"),
        "{}",
        broken.stdout()
    );
    let blocked = sdgen()
        .args(["doctor"])
        .file("file", b"")
        .env("HF_HOME", "file")
        .succeeds();
    assert!(
        blocked.stdout().contains("WRONG  cache "),
        "{}",
        blocked.stdout()
    );
}

#[cfg(unix)]
#[test]
fn a_home_that_may_not_be_entered_is_no_defaults() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for home in [
        closed.to_str().unwrap(),
        file.to_str().unwrap(),
        "/dev/null",
        "/nowhere",
    ] {
        let run = |args: &[&str]| {
            sdgen()
                .args(args)
                .env("HOME", home)
                .env("XDG_CONFIG_HOME", home)
        };
        run(&["config", "show"]).succeeds();
        run(&[
            "x", "-m", "demo", "--steps", "1", "-W", "64", "-H", "64", "-q", "-o", "a.png",
        ])
        .succeeds();
    }
    // Nobody may look below a file, whoever asks.
    let run = |args: &[&str]| sdgen().args(args).env("XDG_CONFIG_HOME", "/dev/null");
    assert!(
        run(&["doctor", "--offline"])
            .succeeds()
            .stdout()
            .contains("no defaults: this user may not look for")
    );
    let verbose = [
        "x", "-m", "demo", "--steps", "1", "-W", "64", "-H", "64", "-v", "-o", "a.png",
    ];
    run(&verbose)
        .succeeds()
        .says("no defaults: this user may not look for `/dev/null/sdgen/config.toml`");
}

#[cfg(unix)]
#[test]
fn a_file_of_defaults_that_is_named_may_be_a_device_or_a_pipe_and_has_to_be_there() {
    let show = |config: &str| sdgen().args(["config", "show"]).env("SDGEN_CONFIG", config);
    assert!(!show("/dev/null").succeeds().stdout().contains("not there"));
    let piped = show("/dev/stdin").stdin(b"steps = 3\n").succeeds();
    assert!(piped.stdout().contains("steps = 3"));
    for config in [".", "nowhere.toml", "/dev/null/config.toml"] {
        show(config)
            .fails(2)
            .says("SDGEN_CONFIG")
            .says("hint: unset it");
    }
}

#[test]
fn doctor_tells_what_the_environment_says_of_the_hub() {
    let told = |environment: &[(&str, &str)]| {
        let run = sdgen().args(["doctor", "--offline"]);
        let run = environment
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value));
        run.succeeds().stdout().to_owned()
    };
    let times = told(&[
        ("HF_HUB_ETAG_TIMEOUT", "3"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "7"),
    ]);
    for word in [
        "HF_HUB_ETAG_TIMEOUT",
        "lists within 3 s",
        "downloads within 7 s",
    ] {
        assert!(times.contains(word), "{word} in {times}");
    }
    let cache = told(&[
        ("HUGGINGFACE_HUB_CACHE", "~/old"),
        ("HOME", "/home/me"),
        ("HF_HUB_DISABLE_SYMLINKS", "1"),
    ]);
    for word in ["HUGGINGFACE_HUB_CACHE", "no symbolic links"] {
        assert!(cache.contains(word), "{word} in {cache}");
    }
    assert!(!cfg!(unix) || cache.contains("/home/me/old"), "{cache}");
    assert!(told(&[("HUGGING_FACE_HUB_TOKEN", "hf_secret")]).contains("there is one"));
    let silent = told(&[
        ("HF_TOKEN", "hf_secret"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes"),
    ]);
    assert!(
        silent.contains("none: HF_HUB_DISABLE_IMPLICIT_TOKEN") && !silent.contains("hf_secret"),
        "{silent}"
    );
    assert!(told(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).contains("WRONG  environment"));
    let wrong = sdgen()
        .args(["x", "-m", "demo"])
        .env("HF_HUB_ETAG_TIMEOUT", "1.5");
    wrong
        .fails(2)
        .says("HF_HUB_ETAG_TIMEOUT: expected a whole number of seconds, got `1.5`");
}
