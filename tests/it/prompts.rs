//! Weighted and long prompts, from the command line to the picture; `sdgen tokens`.

use serde_json::Value;

use crate::harness::{sdgen, tiny};

/// The pixels that these arguments draw.
fn draw(arguments: &[&str]) -> Vec<u8> {
    let run = sdgen().args(tiny().into_iter().skip(1)).args(arguments).args(["-o", "-"]);
    image::load_from_memory(&run.succeeds().stdout).unwrap().into_rgb8().into_raw()
}

#[test]
fn weights_change_the_picture_only_in_the_weighted_syntax() {
    let plain = draw(&["a (cat:1.9)"]);
    let weighted = draw(&["a (cat:1.9)", "--prompt-syntax", "weighted"]);
    assert!(plain != weighted);
    let without = draw(&["a cat"]);
    assert_eq!(draw(&["a (cat:1)", "--prompt-syntax", "weighted", "--long-prompt", "chunk"]), without);
}

#[test]
fn a_long_prompt_is_cut_with_a_warning_read_whole_or_refused() {
    let long = format!("{}lighthouse", "cat ".repeat(75));
    let run = |how: &str| sdgen().args(tiny().into_iter().skip(1)).args([&long, "--long-prompt", how]);
    assert!(run("truncate").succeeds().stderr.contains("left out: `lighthouse`"));
    assert!(!run("chunk").succeeds().stderr.contains("left out"));
    let refused = run("error").fails(2).stderr;
    assert!(refused.contains("prompt") && refused.contains("76 tokens"), "{refused}");
    assert!(refused.contains("`lighthouse` is the first word too many"), "{refused}");
}

#[test]
fn a_wrong_weight_is_refused_before_a_model_is_looked_for() {
    let run = sdgen().args(["a cat", "-n", "(grey:99)", "--prompt-syntax", "weighted", "-m", "no/model"]);
    let refused = run.fails(2).stderr;
    assert!(refused.contains("got `99` at character 2"), "{refused}");
}

#[test]
fn tokens_are_shown_with_weights_and_chunks() {
    let prompt = "a (cat:1.3) BREAK sea";
    let json = sdgen().args(["tokens", prompt, "--prompt-syntax", "weighted", "--json"]).succeeds().stdout;
    let shown: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&shown[0]["encoder"], &shown[0]["tokens"]), (&"clip".into(), &3.into()));
    assert_eq!(shown[0]["chunks"][0]["ids"].as_array().unwrap()[..3], [49406, 320, 2368].map(Value::from));
    assert_eq!(shown[0]["chunks"][0]["ids"].as_array().unwrap().len(), 77);
    assert_eq!(shown[0]["chunks"][0]["tokens"][1]["piece"], "cat</w>");
    assert_eq!(shown[0]["chunks"][0]["tokens"][1]["weight"], 1.3);
    assert_eq!(shown[0]["chunks"][1]["tokens"][0]["piece"], "sea</w>");
    // The demo model has a small vocabulary of its own.
    let text = sdgen().args(["tokens", "a cat", "-m", "demo"]).succeeds().stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("text_encoder: tokens 3, chunks 1 of up to "), "{text}");
}
