//! Tests of weighted and long prompts through whole text encoders: contexts against sums done by
//! hand.

use std::path::{Path, PathBuf};

use super::*;
use crate::event::Flow;
use crate::nn::{Backend, Weights};
use crate::params::Params;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/models")
        .join(name)
}

fn files(folder: PathBuf) -> ModelFiles {
    ModelFiles::folder("test", "test", folder)
}

fn encoder(files: &ModelFiles, repo: &RepoConfig) -> TextEncoder {
    let open = |component| Weights::open(files.tensors(component)?, &Backend::reference());
    TextEncoder::load(files, repo, &open).unwrap()
}

/// The contexts of a request in JSON, and the warnings for the user.
fn encode(text: &TextEncoder, request: &str) -> (EncodedPrompts, Vec<String>) {
    let files = files(model("sd15"));
    let params: Params = serde_json::from_str(request).unwrap();
    let request = Request::resolve(&params, &files, &RepoConfig::read(&files).unwrap()).unwrap();
    let mut told = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Warning { message } = event {
            told.push(message.clone());
        }
        Flow::Continue
    };
    let encoded = text.encode(&request, &[], true, &mut observer).unwrap();
    (encoded, told)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn sd15() -> TextEncoder {
    let files = files(model("sd15"));
    encoder(&files, &RepoConfig::read(&files).unwrap())
}

/// Both encoders of XL, made of one, the second with a projection.
fn xl() -> TextEncoder {
    let folder = tempfile::tempdir().unwrap();
    let source = model("sd15").join("text_encoder");
    let weights = source.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(weights, &candle_core::Device::Cpu).unwrap();
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
    let width = config["hidden_size"].as_u64().unwrap();
    config["projection_dim"] = width.into();
    for part in ["text_encoder", "text_encoder_2"] {
        let target = folder.path().join(part);
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("config.json"), config.to_string()).unwrap();
        candle_core::safetensors::save(&tensors, target.join("model.safetensors")).unwrap();
        let identity = Tensor::eye(
            width as usize,
            candle_core::DType::F32,
            &candle_core::Device::Cpu,
        );
        let _ = tensors.insert("text_projection.weight".to_owned(), identity.unwrap());
    }
    let repo = RepoConfig::read(&files(model("sd15"))).unwrap();
    encoder(
        &files(folder.path().to_owned()),
        &RepoConfig {
            family: crate::family::Family::SDXL,
            ..repo
        },
    )
}

#[test]
fn a_prompt_without_brackets_is_the_same_in_every_way() {
    let text = sd15();
    let (plain, told) = encode(
        &text,
        r#"{"prompt": "a big cat, at sea", "negative_prompt": "dog"}"#,
    );
    let (weighted, _) = encode(
        &text,
        r#"{"prompt": "a big cat, at sea", "negative_prompt": "dog",
            "prompt_syntax": "weighted", "long_prompt": "chunk"}"#,
    );
    assert_eq!(
        values(&plain.positive.states),
        values(&weighted.positive.states)
    );
    assert_eq!(
        values(&plain.negative.unwrap().states),
        values(&weighted.negative.unwrap().states)
    );
    assert!(told.is_empty());
}

#[test]
fn weights_scale_tokens_and_keep_the_mean() {
    let text = sd15();
    let (weighted, _) = encode(
        &text,
        r#"{"prompt": "a (cat:1.5)", "prompt_syntax": "weighted"}"#,
    );
    let (plain, _) = encode(&text, r#"{"prompt": "a cat"}"#);
    let (before, after) = (
        values(&plain.positive.states),
        values(&weighted.positive.states),
    );
    let width = before.len() / 77;
    // Start, `a`, and third the cat.
    let weight = |i: usize| if i / width == 2 { 1.5 } else { 1.0 };
    let scaled: Vec<f64> = before
        .iter()
        .enumerate()
        .map(|(i, v)| f64::from(*v) * weight(i))
        .collect();
    let sum: f64 = before.iter().copied().map(f64::from).sum();
    let scale = sum / scaled.iter().sum::<f64>();
    let largest = scaled.iter().map(|v| (v * scale).abs()).fold(0.0, f64::max);
    let far = scaled
        .iter()
        .zip(&after)
        .map(|(a, b)| (a * scale - f64::from(*b)).abs())
        .fold(0.0, f64::max);
    assert!(far < 1e-6 * largest, "{far:e} of {largest}");
    assert!(before != after);
}

#[test]
fn the_shorter_prompt_is_filled_up_with_empty_chunks() {
    let text = sd15();
    let (long, _) = encode(
        &text,
        r#"{"prompt": "a cat BREAK a dog", "negative_prompt": "grey", "prompt_syntax": "weighted"}"#,
    );
    let (first, _) = encode(&text, r#"{"prompt": "a cat", "negative_prompt": "grey"}"#);
    let (second, _) = encode(&text, r#"{"prompt": "a dog"}"#);
    let joined = |a: &Tensor, b: &Tensor| [values(a), values(b)].concat();
    assert_eq!(
        values(&long.positive.states),
        joined(&first.positive.states, &second.positive.states)
    );
    // A missing negative prompt is encoded as an empty one.
    let empty = second.negative.unwrap().states;
    assert_eq!(
        values(&long.negative.unwrap().states),
        joined(&first.negative.unwrap().states, &empty)
    );
}

#[test]
fn both_encoders_of_xl_take_chunks_and_the_first_is_pooled() {
    let text = xl();
    let (long, _) = encode(
        &text,
        r#"{"prompt": "a cat BREAK (a dog:1.2)", "prompt_2": "a bird", "prompt_syntax": "weighted"}"#,
    );
    // In the same syntax, which says what the second encoder's chunks are filled up with.
    let (first, _) = encode(
        &text,
        r#"{"prompt": "a cat", "prompt_2": "a bird", "prompt_syntax": "weighted"}"#,
    );
    let states = long.positive.states;
    assert_eq!(states.dims()[1], 154);
    assert_eq!(
        values(&states.narrow(1, 0, 77).unwrap()),
        values(&first.positive.states)
    );
    assert_eq!(
        values(&long.positive.added.unwrap().text),
        values(&first.positive.added.unwrap().text)
    );
    assert_eq!(long.negative.unwrap().states.dims(), states.dims());
}

#[test]
fn every_prompt_that_is_cut_is_told_once() {
    let long = "cat ".repeat(80);
    let request = |prompt_2: &str| format!(r#"{{"prompt": "{long}", "prompt_2": {prompt_2}}}"#);
    let text = xl();
    let told = |prompt_2: &str| encode(&text, &request(prompt_2)).1;
    assert_eq!(
        told("null"),
        ["the prompt is too long; left out: `cat cat cat cat cat`"]
    );
    assert_eq!(told(&format!("\"{long}\"")).len(), 2);
}

#[test]
fn an_observer_who_cancels_is_heard_between_two_chunks() {
    let text = sd15();
    let files = files(model("sd15"));
    let run = |prompt: &str, last: usize| {
        let params = Params {
            prompt: Some(prompt.to_owned()),
            long_prompt: Some("chunk".into()),
            ..Params::default()
        };
        let request =
            Request::resolve(&params, &files, &RepoConfig::read(&files).unwrap()).unwrap();
        let mut heard = Vec::new();
        let mut observer = |event: &Event| {
            if let Event::Chunk { chunk, chunks } = event {
                heard.push((*chunk, *chunks));
            }
            if heard.len() == last {
                Flow::Cancel
            } else {
                Flow::Continue
            }
        };
        let kind = text
            .encode(&request, &[], true, &mut observer)
            .err()
            .map(|error| error.kind());
        (kind, heard)
    };
    let words = "cat ".repeat(75 * 4);
    let interrupted = Some(crate::error::Kind::Interrupted);
    assert_eq!(run(&words, 2), (interrupted, vec![(1, 8), (2, 8)]));
    // The chunks of the empty negative prompt are all one.
    assert_eq!(
        run(&words, 99),
        (None, [1, 2, 3, 4, 5].map(|chunk| (chunk, 8)).to_vec())
    );
    assert_eq!(
        run("cat", 99),
        (None, Vec::new()),
        "a prompt of one chunk has nothing between"
    );
}

#[test]
fn the_mean_is_restored_and_the_ratio_of_tokens_kept() {
    let states = Tensor::new(&[[[1f32, 2.0], [3.0, 4.0]]], &candle_core::Device::Cpu).unwrap();
    let weighted = emphasised(states.clone(), &[1.0, 2.0]).unwrap();
    // Mean 2.5; weighted [1, 2, 6, 8] with mean 4.25.
    let expected = [1.0f32, 2.0, 6.0, 8.0].map(|value| value * 2.5 / 4.25);
    let values = weighted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(
        values
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-6),
        "{values:?}"
    );
    assert!((mean(&weighted).unwrap() - mean(&states).unwrap()).abs() < 1e-6);
}

#[test]
fn a_mean_of_zero_is_left_alone() {
    let states = Tensor::new(&[[[1f32, -1.0], [3.0, -3.0]]], &candle_core::Device::Cpu).unwrap();
    let values = emphasised(states, &[1.0, 2.0])
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>();
    assert_eq!(values.unwrap(), [1.0, -1.0, 6.0, -6.0]);
}
