//! Where pictures go and what they say about themselves, through the binary.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Run, sdgen, tiny};

fn draw(args: &[&str]) -> Run {
    sdgen().args(tiny()).args(args).args(["--progress", "none"])
}

#[test]
fn wrong_outputs_are_refused_before_the_model_is_looked_for() {
    let refused: &[(&str, i32, &[&str])] = &[
        (
            "missing/a.png",
            8,
            &[
                "the output folder `missing` does not exist",
                "mkdir -p missing",
            ],
        ),
        ("file/a.png", 8, &["`file` is a file, expected a folder"]),
        (
            "file/below/a.png",
            8,
            &["the output folder `file/below` does not exist"],
        ),
        (
            "a.jpg",
            2,
            &[
                "--output: expected a name that ends in .png, got `a.jpg`",
                "a.png",
            ],
        ),
        (
            "{sed}.png",
            2,
            &["unknown template field `sed`", "did you mean `seed`?"],
        ),
        (".", 2, &["`.` is a folder, expected a file"]),
    ];
    for (output, code, texts) in refused {
        // The model is missing as well, and nobody gets as far as saying so.
        let run = sdgen()
            .file("file", b"")
            .args(["x", "-m", "no-such-model", "-o", output]);
        texts
            .iter()
            .fold(run.fails(*code), |outcome, text| outcome.says(text));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_refused_before_the_model_is_looked_for() {
    // Even root cannot write there.
    if Path::new("/proc/self").is_dir() {
        sdgen()
            .args(["x", "-m", "no-such-model", "-o", "/proc/a.png"])
            .fails(8)
            .says("cannot write `/proc`");
    }
}

#[test]
fn names_follow_the_template_and_are_never_taken_twice() {
    let outcome = draw(&[
        "-o",
        "{model}_{sampler}_{steps}_{width}x{height}_{prompt}.png",
        "--count",
        "2",
    ]);
    let outcome = outcome.succeeds().says("seeds 7 to 8");
    let stem = outcome.files()[0]
        .strip_suffix("-0.png")
        .unwrap()
        .to_owned();
    assert!(
        stem.starts_with("sd15_") && stem.ends_with("_2_32x32_a cat"),
        "{stem}"
    );
    assert_eq!(outcome.files().len(), 2);

    let outcome = draw(&["-o", "a.png"])
        .file("a.png", b"mine")
        .succeeds()
        .says("saved a-1.png");
    assert_eq!(std::fs::read(outcome.path("a.png")).unwrap(), b"mine");
    let outcome = draw(&["-o", "a.png", "--overwrite"])
        .file("a.png", b"mine")
        .succeeds()
        .says("saved a.png");
    assert_ne!(std::fs::read(outcome.path("a.png")).unwrap(), b"mine");
    assert_eq!(outcome.files(), ["a.png"]);
}

#[test]
fn a_dash_puts_the_picture_alone_on_stdout() {
    let outcome = draw(&["-o", "-"]).succeeds();
    assert!(outcome.stdout.starts_with(b"\x89PNG"), "{outcome:?}");
    assert!(outcome.files().is_empty());
    draw(&["-o", "-", "--count", "2"])
        .fails(2)
        .says("--output: expected a file name for several pictures");
}

#[test]
fn a_picture_of_a_batch_is_the_picture_alone_and_says_so() {
    let batch = draw(&["-o", "{seed}.png", "--count", "2", "--batch-size", "2"]).succeeds();
    let alone = draw(&["-o", "{seed}.png", "--seed", "8"]).succeeds();
    let found = |outcome: &crate::harness::Outcome| -> Value {
        let inspected = sdgen()
            .args([
                Path::new("inspect"),
                &outcome.path("8.png"),
                Path::new("--json"),
            ])
            .succeeds();
        serde_json::from_str(inspected.stdout()).unwrap()
    };
    assert_eq!(found(&batch), found(&alone));
}

#[test]
fn inspect_gives_the_request_back() {
    let outcome = draw(&[
        "-n",
        "dogs, cats",
        "--sampler",
        "euler_a",
        "--schedule",
        "karras",
        "-o",
        "a.png",
    ])
    .succeeds();
    let picture = outcome.path("a.png");
    let shown = sdgen()
        .args([Path::new("inspect"), &picture])
        .succeeds()
        .says_nothing();
    for line in [
        "prompt            a cat",
        "negative_prompt   dogs, cats",
        "seed              7",
        "sampler           euler_a",
    ] {
        assert!(shown.stdout().contains(line), "{}", shown.stdout());
    }
    let shown = sdgen()
        .args([Path::new("inspect"), &picture, Path::new("--json")])
        .succeeds();
    let found: Value = serde_json::from_str(shown.stdout()).unwrap();
    assert_eq!(found["width"], 32);
    assert_eq!(found["parameters"]["fields"]["Sampler"], "Euler a");
    assert_eq!(found["parameters"]["fields"]["Schedule type"], "Karras");
    assert_eq!(found["sdgen"]["request"]["seed"], 7);
    assert!(!found["sdgen"]["weights"].as_object().unwrap().is_empty());
    let again: sdgen::Request = serde_json::from_value(found["sdgen"]["request"].clone()).unwrap();
    assert_eq!((again.steps, again.prompt.as_str()), (2, "a cat"));
}

#[test]
fn no_metadata_means_none() {
    let outcome = draw(&["--no-metadata", "-o", "a.png"]).succeeds();
    let bytes = std::fs::read(outcome.path("a.png")).unwrap();
    assert!(!bytes.windows(4).any(|w| w == b"tEXt" || w == b"iTXt"));
    sdgen()
        .args([Path::new("inspect"), &outcome.path("a.png")])
        .fails(2)
        .says("says nothing about how it was made");
}

#[test]
fn inspect_refuses_what_is_no_picture() {
    sdgen()
        .args(["inspect", "no.png"])
        .fails(2)
        .says("cannot read `no.png`");
    sdgen()
        .file("a.png", b"GIF89a")
        .args(["inspect", "a.png"])
        .fails(2)
        .says("a.png: cannot read the PNG: it is no PNG");
}

/// A file system of 64 KiB, where the system lets the test make one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |program: &str, args: &[&str]| {
        std::process::Command::new(program)
            .args(args)
            .arg(disk.path())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    std::fs::write(disk.path().join("filler"), vec![0; 60 << 10]).unwrap();
    let path = disk.path().join("a.png").display().to_string();
    let outcome = draw(&["-o", &path, "--width", "128", "--height", "128"]).fails(8);
    let left = std::fs::read_dir(disk.path()).unwrap().count();
    assert!(mount("umount", &[]));
    outcome
        .says(&format!("cannot write `{path}`"))
        .says("free some space");
    assert_eq!(left, 1, "the filler alone is left");
}
