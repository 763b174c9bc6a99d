//! `sdgen replay`: pictures drawn again from what they say about themselves.

use sdgen::Size;
use sdgen::output::encode::PNG;
use serde_json::Value;

use crate::harness::{Outcome, golden_model, sdgen, tiny};

fn drawn(args: &[&str]) -> Outcome {
    sdgen()
        .args(tiny())
        .args(args)
        .args(["-o", "a.png"])
        .succeeds()
}

#[test]
fn a_picture_is_drawn_again_byte_for_byte() {
    for args in [
        &[
            "-n",
            "dogs",
            "--sampler",
            "euler_a",
            "--cfg-interval",
            "0.2..0.9",
        ][..],
        &["--count", "2"],
    ] {
        let outcome = drawn(args);
        let name = if args.contains(&"--count") {
            "a-1.png"
        } else {
            "a.png"
        };
        let picture = outcome.path(name);
        let again = sdgen()
            .arg_path("replay", &picture)
            .args(["-o", "b.png"])
            .succeeds();
        assert_eq!(
            std::fs::read(&picture).unwrap(),
            std::fs::read(again.path("b.png")).unwrap()
        );
        let verdict = sdgen()
            .arg_path("replay", &picture)
            .args(["--verify"])
            .succeeds();
        assert_eq!(verdict.stdout(), "same\n");
        assert!(verdict.files().is_empty());
    }
}

#[test]
fn flags_lie_over_the_record_and_change_nothing_else() {
    let outcome = drawn(&["--sampler", "ddim", "--eta", "0.5"]);
    let other = sdgen()
        .arg_path("replay", &outcome.path("a.png"))
        .args(["--seed", "8", "-o", "b.png"])
        .succeeds();
    let direct = sdgen().args(tiny()).args([
        "--sampler",
        "ddim",
        "--eta",
        "0.5",
        "--seed",
        "8",
        "-o",
        "c.png",
    ]);
    assert_eq!(
        std::fs::read(other.path("b.png")).unwrap(),
        std::fs::read(direct.succeeds().path("c.png")).unwrap()
    );
}

#[test]
fn a_picture_that_comes_out_otherwise_is_told_with_its_own_exit_code() {
    let picture = drawn(&[]);
    let path = picture.path("a.png");
    let run = sdgen()
        .arg_path("replay", &path)
        .args(["--verify", "--seed", "8"])
        .exits(10);
    assert!(run.stdout().starts_with("different: PSNR "), "{run:?}");
    let run = sdgen()
        .arg_path("replay", &path)
        .args(["--verify", "-W", "64"])
        .exits(10);
    assert_eq!(run.stdout(), "different: another size\n");
    // The same request with other weights.
    let other = golden_model("sd21-v");
    let run = sdgen()
        .arg_path("replay", &path)
        .args(["-o", "b.png", "-m", &other])
        .succeeds();
    run.says("warning: the weights of `unet/");
}

#[test]
fn a_start_picture_is_replayed_with_its_mask_and_strength() {
    let start = drawn(&[]);
    let start = start.path("a.png");
    let start = start.to_str().unwrap();
    let outcome = drawn(&[
        "-i",
        start,
        "--mask",
        start,
        "--strength",
        "0.7",
        "--mask-blur",
        "2",
        "--invert-mask",
    ]);
    let verdict = sdgen()
        .arg_path("replay", &outcome.path("a.png"))
        .args(["--verify"])
        .succeeds();
    assert_eq!(verdict.stdout(), "same\n");
}

#[test]
fn a_foreign_picture_is_drawn_from_its_parameters() {
    let picture = drawn(&[
        "--sampler",
        "euler_a",
        "--prompt-syntax",
        "weighted",
        "--long-prompt",
        "chunk",
        "--rng",
        "philox",
    ]);
    let bytes = std::fs::read(picture.path("a.png")).unwrap();
    // The same pixels without our own record.
    let at = bytes
        .windows(10)
        .position(|w| &w[..4] == b"tEXt" && &w[4..] == b"sdgen\0")
        .unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    let foreign = [&bytes[..at - 4], &bytes[at + 4 + length + 4..]].concat();
    let run = sdgen().file("f.png", &foreign).args([
        "replay",
        "f.png",
        "--verify",
        "-m",
        &golden_model("sd15"),
    ]);
    assert_eq!(run.succeeds().stdout(), "same\n");
    sdgen()
        .file(
            "n.png",
            &std::fs::read(drawn(&["--no-metadata"]).path("a.png")).unwrap(),
        )
        .args(["replay", "n.png"])
        .fails(2)
        .says("says nothing about how it was made");
}

/// A picture of another program that says `text`.
fn foreign(text: &str) -> Vec<u8> {
    let texts = [("parameters".to_owned(), text.to_owned())];
    PNG.encode(Size::new(8, 8), &[9; 8 * 8 * 3], &texts)
        .unwrap()
}

/// What is drawn from a foreign picture's settings, and what the user is told.
fn replayed(settings: &str, args: &[&str]) -> (Value, String) {
    let text = format!(
        "a cat\nNegative prompt: bad\nSteps: 2, CFG scale: 3, Seed: 5, Size: 32x32, {settings}"
    );
    let run = sdgen().file("f.png", &foreign(&text)).args([
        "replay",
        "f.png",
        "-m",
        &golden_model("sd15"),
    ]);
    let outcome = run.args(["-o", "a.png"]).args(args).succeeds();
    let shown = sdgen()
        .args(["inspect"])
        .arg_path("--json", &outcome.path("a.png"))
        .succeeds();
    let record: Value = serde_json::from_str(shown.stdout()).unwrap();
    (
        record["sdgen"]["request"].clone(),
        outcome.stderr().to_owned(),
    )
}

#[test]
fn labels_of_other_programs_are_drawn_as_they_meant_them_or_told() {
    for (settings, sampler, schedule) in [
        (
            "Sampler: DPM++ SDE, Schedule type: Automatic, Version: v1.10.1",
            "dpmpp_sde",
            "karras",
        ),
        (
            "Sampler: dpm++2m, RNG: cuda, Version: stable-diffusion.cpp",
            "dpmpp_2m",
            "normal",
        ),
        (
            "Sampler: LMS, Schedule type: SGM Uniform",
            "lms",
            "sgm_uniform",
        ),
        ("Sampler: DPM++ 3M SDE", "dpmpp_3m_sde", "exponential"),
    ] {
        let (request, told) = replayed(settings, &[]);
        assert_eq!(
            (&request["sampler"], &request["schedule"]),
            (&sampler.into(), &schedule.into()),
            "{settings}"
        );
        assert!(!told.contains("not taken over"), "{told}");
    }
    for (settings, named) in [
        ("Sampler: Restart", "Sampler: Restart"),
        (
            "Sampler: DPM adaptive, Schedule type: Karras",
            "Schedule type: Karras",
        ),
        (
            "Sampler: Euler, Schedule type: Align Your Steps 32",
            "Schedule type: Align Your Steps 32",
        ),
        ("Sampler: Euler a, RNG: std_default", "RNG: std_default"),
        (
            "Sampler: Euler a, Denoising strength: 0.5",
            "Denoising strength: 0.5",
        ),
        (
            "Sampler: Euler a, ControlNet 0: \"Module: canny, Weight: 1\"",
            "ControlNet 0: Module: canny, Weight: 1",
        ),
    ] {
        let (_, told) = replayed(settings, &[]);
        assert!(
            told.contains("not taken over: ") && told.contains(named),
            "{settings}: {told}"
        );
    }
}

#[test]
fn a_strength_is_taken_over_where_there_is_a_start_picture() {
    let start = drawn(&[]);
    let start = start.path("a.png");
    let settings = "Sampler: Euler a, Denoising strength: 0.6, RNG: CPU";
    let (request, told) = replayed(settings, &["-i", start.to_str().unwrap()]);
    assert_eq!(
        (&request["init"]["strength"], &request["rng"]),
        (&0.6.into(), &"torch".into())
    );
    assert!(!told.contains("not taken over"), "{told}");
}

#[test]
fn blanks_and_line_breaks_of_other_programs_are_no_part_of_prompts() {
    const SETTINGS: &str = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x64";
    for text in [
        format!("a cat\r\nNegative prompt: bad\r\n{SETTINGS}\r\n"),
        format!("a cat\n \tNegative prompt:  bad \n{SETTINGS}\n\n"),
        format!("a cat\nNegative prompt: bad\n\n{SETTINGS}"),
    ] {
        let shown = sdgen()
            .file("f.png", &foreign(&text))
            .args(["inspect", "--json", "f.png"])
            .succeeds();
        let shown: Value = serde_json::from_str(shown.stdout()).unwrap();
        let shown = &shown["parameters"];
        assert_eq!(
            (&shown["prompt"], &shown["negative_prompt"]),
            (&"a cat".into(), &"bad".into()),
            "{text:?}"
        );
        assert_eq!(shown["fields"]["Seed"], "5", "{text:?}");
    }
}

#[test]
fn a_text_that_says_nothing_is_refused_and_one_without_a_seed_told() {
    for (text, seed) in [
        ("a cat", None),
        ("a cat\nSteps: 1, CFG scale: 3, Size: 32x32", None),
        ("a cat\nSteps: 1, CFG scale: 3, Seed: 5", Some(5)),
    ] {
        let run = sdgen().file("f.png", &foreign(text)).args([
            "replay",
            "f.png",
            "-m",
            &golden_model("sd15"),
            "--steps",
            "1",
            "-o",
            "a.png",
        ]);
        let told = run.succeeds().stderr().to_owned();
        assert_eq!(told.contains("names no seed"), seed.is_none(), "{told}");
    }
    for text in ["", " \n"] {
        sdgen()
            .file("f.png", &foreign(text))
            .args(["replay", "f.png", "-m", &golden_model("sd15")])
            .fails(2)
            .says("says nothing about how it was made");
    }
}
