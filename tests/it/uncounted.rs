//! Options that are given and count for nothing: told, and neither drawn with nor recorded.

use serde_json::Value;

use crate::harness::{Outcome, golden_model, root, sdgen, tiny};

fn golden(path: &str) -> String {
    root().join("tests/golden").join(path).display().to_string()
}

fn drawn(args: &[&str]) -> Outcome {
    sdgen()
        .args(tiny())
        .args(args)
        .args(["-o", "a.png"])
        .succeeds()
}

fn record(outcome: &Outcome) -> Value {
    let record = sdgen::output::metadata::read(&outcome.path("a.png"))
        .unwrap()
        .sdgen
        .unwrap();
    record.request
}

#[test]
fn what_does_not_count_is_told_and_not_recorded() {
    let plain = std::fs::read(drawn(&[]).path("a.png")).unwrap();
    let table: &[(&str, &str)] = &[
        ("prompt_2", "a dog"),
        ("negative_prompt_2", "a dog"),
        ("original_size", "64x64"),
        ("crop", "1,2"),
        ("target_size", "64x64"),
        ("negative_original_size", "64x64"),
        ("negative_crop", "1,2"),
        ("negative_target_size", "64x64"),
        ("eta", "0.5"),
    ];
    for (field, value) in table {
        let flag = format!("--{}", field.replace('_', "-"));
        let outcome = drawn(&[&flag, value]).says(&format!(
            "warning: `{field}` does not count and is left out: "
        ));
        assert!(
            std::fs::read(outcome.path("a.png")).unwrap() == plain,
            "{field} is in the record"
        );
    }
    let unguided = ["--cfg-scale", "1"];
    let plain = std::fs::read(drawn(&unguided).path("a.png")).unwrap();
    for (flag, value) in [
        ("-n", "dogs"),
        ("--guidance-rescale", "0.5"),
        ("--cfg-interval", "0.2..0.8"),
    ] {
        let outcome = drawn(&[&unguided[..], &[flag, value]].concat())
            .says("there is no guidance at `cfg_scale` 1");
        assert!(
            std::fs::read(outcome.path("a.png")).unwrap() == plain,
            "{flag} is in the record"
        );
    }
    for sampler in ["euler_a", "dpmpp_2m", "lcm", "ddpm"] {
        let outcome = drawn(&["--sampler", sampler, "--eta", "0.5"]);
        assert_eq!(record(&outcome)["eta"], 0.0, "{sampler}");
        outcome.says("`eta` does not count");
    }
}

#[test]
fn what_counts_or_says_nothing_is_not_told() {
    for args in [
        &["--sampler", "ddim", "--eta", "0.5"][..],
        &["--sampler", "tcd", "--eta", "0.1"],
        &["--eta", "0"],
        &["-n", "", "--cfg-scale", "1"],
        &["-n", "dogs"],
        &["--prompt-2", ""],
        &["--cfg-interval", "0..1", "--cfg-scale", "1"],
        &["--timestep-spacing", "trailing"],
    ] {
        let outcome = drawn(args);
        assert!(
            !outcome.stderr.contains("does not count"),
            "{args:?}: {outcome:?}"
        );
    }
}

#[test]
fn adapters_that_are_not_there_or_not_used_are_told() {
    let missing = sdgen().args(tiny()).args(["--lora-dir", "no/such"]);
    missing
        .fails(2)
        .says("--lora-dir: there is no folder `no/such`");
    let embedding = golden("adapters/embeddings/tok-a.safetensors");
    drawn(&["--embedding", &embedding]).says("does not count: its word is in no prompt");
    // A folder of them is a shelf.
    let shelf = drawn(&["--embedding", &golden("adapters/embeddings")]);
    assert!(!shelf.stderr.contains("does not count"), "{shelf:?}");
}

#[test]
fn prompts_that_mean_something_elsewhere_are_told() {
    let says = |prompt: &str, more: &[&str]| {
        sdgen()
            .args([prompt])
            .args(&tiny()[1..])
            .args(more)
            .args(["-o", "a.png"])
            .succeeds()
    };
    says("a (cat:1.3)", &[])
        .says("prompt: `(cat:1.3)` is drawn as the text that it is; `prompt_syntax` weighted");
    says("a {red|blue} cat", &[])
        .says("`{red|blue}` is drawn as the text that it is; a batch chooses");
    says("a cat <lyco:x:1>", &[]).says("`<lyco:x:1>` is drawn as the text");
    says("a cat", &["-n", "((bad))"]).says("negative_prompt: `((bad))` is drawn");
    let read = says("a (cat:1.3)", &["--prompt-syntax", "weighted"]);
    assert!(!read.stderr.contains("is drawn as"), "{read:?}");
}

#[test]
fn a_warning_about_many_jobs_is_told_once() {
    let text = format!(
        "[defaults]\nmodel = '{}'\nprompt = 'a cat'\nwidth = 32\nheight = 32\nsteps = 1\neta = 0.5\nsampler = 'euler'\n\
         [[job]]\nname = 'a'\nmatrix.seed = '1..=5'\n",
        golden_model("sd15")
    );
    let run = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml"])
        .succeeds();
    assert_eq!(
        run.stderr.matches("`eta` does not count").count(),
        1,
        "{run:?}"
    );
}

#[test]
fn a_dry_run_draws_nothing_and_says_how_long_it_takes() {
    let start = golden("inputs/init_128.png");
    // As many pixels as a telephone's camera has; drawing one step of it takes minutes.
    let large = ["-W", "4096", "-H", "3072", "-i", &start];
    let dry = sdgen()
        .args(["a cat", "-m", "demo"])
        .args(large)
        .args(["--dry-run=json"])
        .succeeds();
    let report: Value = serde_json::from_str(dry.stdout()).unwrap();
    assert!(
        report["estimate"]["seconds"].as_f64().unwrap() > 0.0,
        "{report}"
    );
    assert_eq!(report["estimate"]["measured"], serde_json::json!([]));
    let timed = sdgen()
        .args([
            "a cat",
            "-m",
            "demo",
            "-W",
            "64",
            "-H",
            "64",
            "--dry-run=time",
        ])
        .succeeds();
    assert!(
        timed.stdout().contains("1 picture: about "),
        "{}",
        timed.stdout()
    );
    assert!(timed.files().is_empty());
    timed.says("measuring: two steps of demo at 64x64");
}

#[test]
fn a_dry_run_that_may_not_ask_the_hub_fails_as_the_run_does() {
    for args in [
        &["a cat", "--offline"][..],
        &["a cat", "-m", "sdxl", "--offline"],
        &["a cat", "-m", "org/name", "--offline"],
    ] {
        sdgen().args(args).fails(3);
        sdgen().args(args).args(["--dry-run"]).fails(3);
        sdgen().args(args).args(["--dry-run=json"]).fails(3);
    }
    let run = sdgen().file("p.txt", b"a cat\n").args([
        "batch",
        "p.txt",
        "-m",
        "sdxl",
        "--offline",
        "--dry-run",
    ]);
    run.fails(3);
}

#[test]
fn a_seed_of_minus_one_is_a_random_one() {
    let seed = |args: &[&str]| {
        let outcome = sdgen()
            .args(tiny())
            .args(args)
            .args(["-o", "a.png"])
            .succeeds();
        record(&outcome)["seed"].as_u64().unwrap()
    };
    let seeds: std::collections::BTreeSet<u64> = (0..4).map(|_| seed(&["--seed", "-1"])).collect();
    assert!(seeds.len() > 1, "{seeds:?}");
    let config = sdgen()
        .file("c.toml", b"seed = 9\n")
        .env("SDGEN_CONFIG", "c.toml");
    let outcome = config
        .args(&tiny()[..7])
        .args(&tiny()[9..])
        .args(["--seed=-1", "-o", "a.png"])
        .succeeds();
    assert_ne!(record(&outcome)["seed"], 9);
    for wrong in ["-2", "1.5", "x"] {
        let run = sdgen()
            .args(&tiny()[..7])
            .args(&tiny()[9..])
            .args(["--seed", wrong])
            .fails(2);
        run.says("--seed").says("-1 for a random one");
    }
}
