//! Memory: pictures decoded in tiles look like those decoded whole, networks that leave in between
//! change nothing, and a dry run tells what a run takes.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Outcome, Run, sdgen, tiny};

fn pixels(outcome: &Outcome) -> Vec<u8> {
    image::open(outcome.path("a.png"))
        .unwrap()
        .to_rgb8()
        .into_raw()
}

/// Peak signal-to-noise ratio in decibels.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
        .sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
}

fn demo(args: &[&str]) -> Outcome {
    let model = [
        "a red circle on a blue background",
        "-m",
        "demo",
        "--seed",
        "3",
        "--steps",
        "8",
        "-o",
        "a.png",
    ];
    sdgen().args(model).args(args).succeeds()
}

#[test]
fn tiles_leave_no_seams() {
    let size = ["-W", "256", "-H", "256"];
    let whole = pixels(&demo(&[&size[..], &["--vae-tiling", "off"]].concat()));
    let tiled = pixels(&demo(&[&size[..], &["--vae-tiling", "on"]].concat()));
    let ratio = psnr(&whole, &tiled);
    assert!((38.0..99.0).contains(&ratio), "{ratio} dB");
}

#[test]
fn networks_that_leave_in_between_draw_the_same_picture() {
    let kept = sdgen()
        .args(tiny())
        .args(["-o", "a.png", "--count", "2"])
        .succeeds();
    let low = [
        "-o",
        "a.png",
        "--count",
        "2",
        "--memory",
        "low",
        "--vae-tiling",
        "off",
        "--progress",
        "plain",
    ];
    let freed = sdgen().args(tiny()).args(low).succeeds();
    for name in ["a-0.png", "a-1.png"] {
        let open = |outcome: &Outcome| {
            image::open(outcome.path(name))
                .unwrap()
                .to_rgb8()
                .into_raw()
        };
        // Other kernels: the same sums in another order.
        let ratio = psnr(&open(&kept), &open(&freed));
        assert!(ratio > 50.0, "{name}: {ratio} dB");
    }
    let order: Vec<&str> = freed
        .stderr
        .lines()
        .filter(|line| line.starts_with("load "))
        .collect();
    assert_eq!(
        order,
        [
            "load text_encoder",
            "load unet",
            "load vae",
            "load unet",
            "load vae"
        ],
        "{freed:?}"
    );
}

#[test]
fn a_limit_in_bytes_is_kept_by_name() {
    for (value, message) in [
        ("some", "--memory: expected `auto`, `low` or a size"),
        ("0 GiB", "got `0 GiB`"),
    ] {
        sdgen()
            .args(tiny())
            .args(["--memory", value])
            .fails(2)
            .says(message);
    }
    sdgen()
        .args(tiny())
        .args(["--vae-tiling", "yes"])
        .fails(2)
        .says("--vae-tiling: unknown tiling `yes`");
    let outcome = sdgen()
        .args(tiny())
        .args(["--memory", "1 MiB", "--progress", "plain"])
        .succeeds();
    let lines = |start: &str| {
        outcome
            .stderr
            .lines()
            .position(|line| line.starts_with(start))
    };
    assert!(lines("encode") < lines("load unet"), "{outcome:?}");
    assert!(Path::new(&outcome.path("sd15-7.png")).is_file());
}

fn estimated(run: Run) -> u64 {
    let outcome = run.args(["--dry-run=json"]).succeeds();
    let report: Value = serde_json::from_str(outcome.stdout()).unwrap();
    report["estimate"]["peak_bytes"].as_u64().unwrap()
}

fn circle(args: &[&str]) -> Run {
    sdgen()
        .args([
            "a red circle",
            "-m",
            "demo",
            "--seed",
            "3",
            "--steps",
            "2",
            "--threads",
            "2",
        ])
        .args(args)
}

/// The most memory that a run had.
#[cfg(target_os = "linux")]
fn taken(run: Run) -> u64 {
    let outcome = run.args(["-o", "a.png", "--progress", "json"]).succeeds();
    let mut events = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done = events.rfind(|event| event["event"] == "done").unwrap();
    done["peak_bytes"].as_u64().unwrap()
}

/// Whole programs of full size: docs/reliability.md.
#[cfg(target_os = "linux")]
#[test]
fn a_dry_run_tells_what_a_run_takes() {
    let sizes = ["-W", "384", "-H", "384"];
    for way in [
        &["--memory", "auto"][..],
        &["--memory", "low", "--vae-tiling", "off"],
        &["--memory", "low"],
        &["--memory", "20 MiB"],
        &["--vae-tiling", "on"],
        &["--count", "2", "--batch-size", "2"],
    ] {
        let args = [&sizes[..], way].concat();
        let (estimate, measured) = (estimated(circle(&args)) as f64, taken(circle(&args)) as f64);
        let error = estimate / measured - 1.0;
        assert!(
            error.abs() < 0.15,
            "{way:?}: {error:+.2}: {estimate} instead of {measured} bytes"
        );
    }
}

#[test]
fn a_dry_run_estimates_what_is_planned() {
    let of = |args: &[&str]| estimated(circle(&[&["-W", "256", "-H", "256"], args].concat()));
    let alone = of(&[]);
    assert!(of(&["--memory", "low"]) < alone);
    assert!(of(&["--vae-tiling", "on"]) < alone);
    // As many steps as there are take no more, nor do pictures one after the other.
    assert_eq!([of(&["--steps", "30"]), of(&["--count", "3"])], [alone; 2]);
    assert!(
        of(&["--count", "3", "--batch-size", "3", "--vae-tiling", "on"])
            > of(&["--vae-tiling", "on"])
    );
}
