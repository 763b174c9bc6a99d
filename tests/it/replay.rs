//! `sdgen replay`: pictures drawn again from what they say about themselves.

use crate::harness::{Outcome, golden_model, sdgen, tiny};

fn drawn(args: &[&str]) -> Outcome {
    sdgen().args(tiny()).args(args).args(["-o", "a.png"]).succeeds()
}

#[test]
fn a_picture_is_drawn_again_byte_for_byte() {
    for args in [&["-n", "dogs", "--sampler", "euler_a", "--cfg-interval", "0.2..0.9"][..], &["--count", "2"]]
    {
        let outcome = drawn(args);
        let name = if args.contains(&"--count") { "a-1.png" } else { "a.png" };
        let picture = outcome.path(name);
        let again = sdgen().arg_path("replay", &picture).args(["-o", "b.png"]).succeeds();
        assert_eq!(std::fs::read(&picture).unwrap(), std::fs::read(again.path("b.png")).unwrap());
        let verdict = sdgen().arg_path("replay", &picture).args(["--verify"]).succeeds();
        assert_eq!(verdict.stdout(), "same\n");
        assert!(verdict.files().is_empty());
    }
}

#[test]
fn flags_lie_over_the_record_and_change_nothing_else() {
    let outcome = drawn(&["--sampler", "ddim", "--eta", "0.5"]);
    let other =
        sdgen().arg_path("replay", &outcome.path("a.png")).args(["--seed", "8", "-o", "b.png"]).succeeds();
    let direct =
        sdgen().args(tiny()).args(["--sampler", "ddim", "--eta", "0.5", "--seed", "8", "-o", "c.png"]);
    assert_eq!(
        std::fs::read(other.path("b.png")).unwrap(),
        std::fs::read(direct.succeeds().path("c.png")).unwrap()
    );
}

#[test]
fn a_picture_that_comes_out_otherwise_is_told_with_its_own_exit_code() {
    let picture = drawn(&[]);
    let path = picture.path("a.png");
    let run = sdgen().arg_path("replay", &path).args(["--verify", "--seed", "8"]).exits(10);
    assert!(run.stdout().starts_with("different: PSNR "), "{run:?}");
    let run = sdgen().arg_path("replay", &path).args(["--verify", "-W", "64"]).exits(10);
    assert_eq!(run.stdout(), "different: another size\n");
    // The same request with other weights.
    let other = golden_model("sd21-v");
    let run = sdgen().arg_path("replay", &path).args(["-o", "b.png", "-m", &other]).succeeds();
    run.says("warning: the weights of `unet/");
}

#[test]
fn a_start_picture_is_replayed_with_its_mask_and_strength() {
    let start = drawn(&[]);
    let start = start.path("a.png");
    let start = start.to_str().unwrap();
    let outcome =
        drawn(&["-i", start, "--mask", start, "--strength", "0.7", "--mask-blur", "2", "--invert-mask"]);
    let verdict = sdgen().arg_path("replay", &outcome.path("a.png")).args(["--verify"]).succeeds();
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
    let at = bytes.windows(10).position(|w| &w[..4] == b"tEXt" && &w[4..] == b"sdgen\0").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    let foreign = [&bytes[..at - 4], &bytes[at + 4 + length + 4..]].concat();
    let run =
        sdgen().file("f.png", &foreign).args(["replay", "f.png", "--verify", "-m", &golden_model("sd15")]);
    assert_eq!(run.succeeds().stdout(), "same\n");
    sdgen()
        .file("n.png", &std::fs::read(drawn(&["--no-metadata"]).path("a.png")).unwrap())
        .args(["replay", "n.png"])
        .fails(2)
        .says("says nothing about how it was made");
}
