//! Arguments, messages, exit codes, progress and signals, through the binary.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{golden_model, sdgen, tiny};

#[test]
fn help_and_version_are_data_and_come_at_once() {
    let help = sdgen().args(["--help"]).succeeds().says_nothing();
    let version = |_| {
        let started = Instant::now();
        sdgen().args(["--version"]).succeeds().says_nothing();
        started.elapsed()
    };
    // Measured 3 ms; on a busy machine one of many tries has the time for it.
    let least = (0..50)
        .map(version)
        .find(|time| *time < Duration::from_millis(250));
    assert!(least.is_some(), "never at once");
    for heading in [
        "Picture:",
        "Model:",
        "Sampling:",
        "Machine:",
        "Output:",
        "Display:",
        "Exit codes:",
    ] {
        assert!(help.stdout().contains(heading), "{heading}");
    }
    assert!(help.stdout().contains("130  interrupted"));
}

#[test]
fn wrong_values_are_named_with_what_would_be_right() {
    let model = golden_model("sd15");
    let refused: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["error: no prompt", "hint: say what to draw"]),
        (
            &["x", "--width", "513"],
            2,
            &[
                "--width: expected a multiple of 8",
                "got `513`",
                "nearest legal size is 512",
            ],
        ),
        (
            &["x", "-H", "0"],
            2,
            &[
                "--height: expected a multiple of 8",
                "nearest legal size is 8",
            ],
        ),
        (
            &["x", "--steps", "0"],
            2,
            &["--steps: expected a number from 1 to 1000, got `0`"],
        ),
        (&["x", "--steps", "1001"], 2, &["got `1001`"]),
        (
            &["x", "--cfg-scale", "nan"],
            2,
            &["--cfg-scale: expected a number from 0 to 50, got `NaN`"],
        ),
        (
            &["x", "--guidance-scale", "-1"],
            2,
            &["--cfg-scale: expected a number from 0 to 50, got `-1`"],
        ),
        (
            &["x", "--eta", "inf"],
            2,
            &["--eta: expected a number from 0 to 1, got `inf`"],
        ),
        (&["x", "--sampler", "eulr"], 2, &["'eulr'", "euler"]),
        (&["x", "--schedule", "karas"], 2, &["karras"]),
        (
            &["x", "--rng", "philx"],
            2,
            &["--rng: unknown generator `philx`", "did you mean `philox`?"],
        ),
        (
            &["x", "--device", "gpu"],
            2,
            &["--device: unknown device `gpu`", "known: auto, cpu"],
        ),
        (
            &["x", "--dtype", "f61"],
            2,
            &["--dtype: unknown data type `f61`"],
        ),
        (
            &["x", "--prediction", "eps"],
            2,
            &["--prediction: unknown prediction `eps`"],
        ),
        (
            &["x", "--count", "0"],
            2,
            &["--count: expected a number from 1"],
        ),
        (
            &["x", "--seed", "18446744073709551615", "--count", "2"],
            2,
            &["--seed: expected room for 2 seeds"],
        ),
        (&["x", "--seeed", "4"], 2, &["'--seeed'", "'--seed'"]),
        (
            &["x", "--model", "sd51"],
            3,
            &["model `sd51` is no known name", "did you mean `sd15`?"],
        ),
        (
            &["x", "--model", "."],
            3,
            &["`.` holds no model: `model_index.json` is missing", "hint:"],
        ),
        (
            &["x", "--model", "no/such/folder"],
            3,
            &["no known name, no folder and no file"],
        ),
        (
            &["x", "--model", &model, "--device", "cuda:99"],
            6,
            &["cuda"],
        ),
    ];
    for (args, code, texts) in refused {
        let outcome = sdgen().args(*args).fails(*code);
        let outcome = texts
            .iter()
            .fold(outcome, |outcome, text| outcome.says(text));
        assert!(
            outcome.files().is_empty(),
            "{args:?} left {:?}",
            outcome.files()
        );
    }
}

#[test]
fn errors_for_programs_are_one_object_with_the_field() {
    let outcome = sdgen()
        .args(["x", "--width", "513", "--progress", "json"])
        .fails(2);
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(
        (&error["kind"], &error["exit_code"], &error["field"]),
        (&"usage".into(), &2.into(), &"width".into())
    );
    assert_eq!(error["hints"][0], "the nearest legal size is 512");
    let outcome = sdgen()
        .args(["x", "--width", "wide", "--progress=json"])
        .fails(2);
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("invalid value 'wide' for '--width"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_of_a_file_is_refused_by_name() {
    let error = toml::from_str::<sdgen::Params>("prompt = 'x'\nstepz = 4").unwrap_err();
    assert!(
        error.to_string().contains("unknown field `stepz`"),
        "{error}"
    );
}

#[test]
fn plain_lines_tell_seed_stages_and_place() {
    let outcome = sdgen().args(tiny()).args(["-v"]).succeeds();
    let outcome = outcome
        .says("seed 7\n")
        .says("saved sd15-7.png")
        .says("denoise: ")
        .says("total: ");
    assert_eq!(outcome.files(), ["sd15-7.png"]);
    assert!(outcome.stdout.is_empty());
    assert!(
        !outcome.stderr.contains('\u{1b}'),
        "no colours and no bars in a log"
    );
}

#[test]
fn a_random_seed_is_printed_and_draws_the_same_picture_again() {
    let mut args = tiny();
    let seed = args.iter().position(|arg| arg == "--seed").unwrap();
    args.drain(seed..seed + 2);
    let outcome = sdgen()
        .args(&args)
        .args(["-o", "a.png", "--progress", "none"])
        .succeeds();
    let seed = outcome
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("seed "))
        .unwrap();
    let again = sdgen()
        .args(&args)
        .args(["-o", "a.png", "--seed", seed])
        .succeeds();
    assert_eq!(
        std::fs::read(outcome.path("a.png")).unwrap(),
        std::fs::read(again.path("a.png")).unwrap()
    );
}

#[test]
fn quiet_prints_nothing_and_json_only_events() {
    let demo = [
        "a red circle",
        "-m",
        "demo",
        "-W",
        "64",
        "-H",
        "64",
        "--steps",
        "2",
    ];
    sdgen().args(demo).args(["-q"]).succeeds().says_nothing();
    // What changes a picture unasked is told all the same: this model has no vocabulary of its own.
    let told = sdgen().args(tiny()).args(["-q"]).succeeds();
    assert!(
        told.stderr
            .lines()
            .all(|line| line.starts_with("warning: "))
            && told.stderr.contains("vocabulary")
    );
    let outcome = sdgen().args(tiny()).args(["--progress", "json"]).succeeds();
    let events: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |name: &str| {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            of("step")[0]["step"].as_u64(),
            of("step")[0]["steps"].as_u64().is_some()
        ),
        (Some(1), true)
    );
    assert_eq!(
        (&of("saved")[0]["seed"], &of("saved")[0]["path"]),
        (&7.into(), &"sd15-7.png".into())
    );
    assert_eq!(of("done")[0]["images"], 1);
    assert!(of("begin").iter().any(|event| event["stage"] == "decode"));
}

#[test]
fn the_prompt_can_come_from_stdin() {
    let mut args = tiny();
    args[0] = "-".to_owned();
    let outcome = sdgen()
        .args(&args)
        .stdin("ein Leuchtturm, \u{1f5fc}\n".as_bytes())
        .succeeds();
    let inspected = sdgen()
        .args([Into::into("inspect"), outcome.path("sd15-7.png")])
        .succeeds();
    assert!(inspected.stdout().contains("ein Leuchtturm, \u{1f5fc}"));
    sdgen()
        .args(&args)
        .stdin(b"\xff\xfe")
        .fails(2)
        .says("prompt: stdin is not UTF-8");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_at_the_next_step_and_leaves_nothing() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let (mut run, _hold) = sdgen()
            .args(tiny())
            .args(["--progress", "json", "-o", "a.png"])
            .held(1);
        let mut child = run.command().stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(
            lines.any(|line| line.contains(r#""event":"step""#)),
            "the steps began"
        );
        send(child.id(), signal);
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(
            rest.last().unwrap().contains(r#""kind":"interrupted""#),
            "{:?}",
            rest.last()
        );
        let left: Vec<_> = std::fs::read_dir(run.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "the standard library sends no signals but SIGKILL"
)]
fn send(process: u32, signal: libc::c_int) {
    // SAFETY: no memory is involved; the process is our own child and not yet waited for.
    assert_eq!(
        unsafe { libc::kill(libc::pid_t::try_from(process).unwrap(), signal) },
        0
    );
}

#[test]
fn closed_pipes_are_no_panic() {
    let mut models = sdgen().args(["models"]);
    let mut child = models
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), message.as_str()),
        (Some(0), "")
    );

    let mut deaf = sdgen().args(tiny());
    let mut child = deaf.command().stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(deaf.path().join("sd15-7.png").is_file());
}

#[test]
fn models_are_listed_as_text_and_as_json() {
    let outcome = sdgen().args(["models"]).succeeds().says_nothing();
    assert!(
        outcome
            .stdout()
            .lines()
            .any(|line| line.starts_with("sd15 ") && line.contains(" no "))
    );
    let outcome = sdgen().args(["models", "list", "--json"]).succeeds();
    let rows: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert_eq!(
        (&rows[0]["name"], &rows[0]["cached"]),
        (&"sd15".into(), &false.into())
    );
}
