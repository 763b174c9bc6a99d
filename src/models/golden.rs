//! Tests layer by layer against transformers and diffusers: tokens, text encoder, UNet, autoencoder
//! and noise, from the tensors under tests/golden (made by tests/golden/make_fixtures.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::clip::ClipText;
use super::unet::Unet;
use super::unet_config::UnetConfig;
use super::vae::{Decoder, Encoder, VaeConfig};
use crate::catalog::{Component, ModelFiles};
use crate::nn::{Backend, ExtraRows, Weights};
use crate::prompt::tokenizer::{Shape, Tokenizer};
use crate::prompt::{LongPrompt, Prompt, Reading, Syntax};
use crate::rng::{Normal, TorchCpu};

/// Largest errors of the networks in half precision, as shares of the largest value. Seen: 4.1e-3.
const F16: f64 = 1e-2;

const MODELS: [&str; 2] = ["sd15", "sd21-v"];

pub(super) fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path)
}

pub(super) fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(path), &Device::Cpu).unwrap()
}

pub(super) fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(path)).unwrap()).unwrap()
}

fn files(model: &str) -> ModelFiles {
    ModelFiles::folder(model, model, golden(&format!("models/{model}")))
}

/// Our own kernels, and the operations that other devices take.
pub(super) fn backends() -> [Backend; 2] {
    [Backend::reference(), Backend::tensors()]
}

/// The operations that other devices take, in half precision. (candle has no products in bf16 on
/// the processor.)
fn halves() -> Backend {
    let mut backend = Backend::tensors();
    backend.dtype = DType::F16;
    backend
}

/// The weights of a component on each of the two backends.
fn weights(files: &ModelFiles, component: Component) -> [Weights; 2] {
    backends().map(|backend| Weights::open(files.tensors(component).unwrap(), &backend).unwrap())
}

/// Largest difference over the golden's largest value.
fn error(ours: &Tensor, golden: &Tensor) -> f64 {
    assert_eq!(ours.dims(), golden.dims());
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (a, b) = (values(ours), values(golden));
    let far = a
        .iter()
        .zip(&b)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(0.0, f64::max);
    far / b.iter().map(|b| f64::from(b.abs())).fold(1e-9, f64::max)
}

#[track_caller]
pub(super) fn near(name: &str, ours: &Tensor, golden: &Tensor) {
    // Seen: 3e-6 at most, over both models.
    let error = error(ours, golden);
    assert!(
        error < 2e-5,
        "{name} is off by {error:e} of the largest value"
    );
}

/// Every network with every pass.
fn each<'a, T>(networks: &'a [T], passes: &'a [String]) -> impl Iterator<Item = (&'a T, &'a str)> {
    networks
        .iter()
        .flat_map(|network| passes.iter().map(move |pass| (network, pass.as_str())))
}

/// The components of the file that begin with `prefix`, by their common name.
fn passes(tensors: &HashMap<String, Tensor>, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = tensors
        .keys()
        .filter(|k| k.starts_with(prefix))
        .map(|k| k.rsplit_once('/').unwrap().0.to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert!(!names.is_empty());
    names
}

#[test]
fn token_ids_are_those_of_transformers() {
    let cases = json("tokenizer/cases.json");
    // sd15 has no vocabulary here, so that the built-in one is tested; sd21-v has one that pads
    // with `!`.
    for (model, key) in [("sd15", "padded_clip"), ("sd21-v", "padded_clip_pad_bang")] {
        let tokenizer = Tokenizer::load(&files(model), "tokenizer", Shape::CLIP).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let golden: Vec<u32> = case[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap() as u32)
                .collect();
            let chunked = tokenizer
                .chunks(&prompt(text), Reading::default(), &[])
                .unwrap();
            assert_eq!(chunked.chunks.len(), 1);
            assert_eq!(
                tokenizer.ids(&chunked.chunks[0], Syntax::Plain),
                golden,
                "{model}: {text:?}"
            );
        }
    }
}

fn prompt(text: &str) -> Prompt<'_> {
    Prompt {
        field: "prompt",
        text,
    }
}

fn reading(syntax: Syntax, long: LongPrompt) -> Reading {
    Reading { syntax, long }
}

#[test]
fn what_does_not_fit_into_a_chunk_is_named() {
    let tokenizer = Tokenizer::load(&files("sd15"), "tokenizer", Shape::CLIP).unwrap();
    let dropped = |text: &str| {
        tokenizer
            .chunks(&prompt(text), Reading::default(), &[])
            .unwrap()
            .dropped
    };
    let text = format!("{} The Last words", "cat ".repeat(74));
    assert_eq!(
        (dropped(&text).as_str(), dropped("a cat").as_str()),
        ("Last words", "")
    );
    let cut = reading(Syntax::Weighted, LongPrompt::Truncate);
    let text = format!(
        "{} The (Last:1.2) words BREAK {}dog",
        "cat ".repeat(74),
        "cat ".repeat(75)
    );
    let chunked = tokenizer.chunks(&prompt(&text), cut, &[]).unwrap();
    assert_eq!(
        (chunked.chunks.len(), chunked.dropped.as_str()),
        (2, "Last words dog")
    );
}

#[test]
fn a_prompt_that_is_too_long_can_be_refused() {
    let tokenizer = Tokenizer::load(&files("sd15"), "tokenizer", Shape::CLIP).unwrap();
    let refuse = reading(Syntax::Plain, LongPrompt::Error);
    let text = format!("{}a qwertyuiopasdf, more", "cat ".repeat(73));
    let error = tokenizer.chunks(&prompt(&text), refuse, &[]).unwrap_err();
    assert_eq!(error.field_name(), Some("prompt"));
    assert!(
        error
            .message()
            .ends_with("takes 75; `qwertyuiopasdf,` is the first word too many"),
        "{error}"
    );
    assert!(
        tokenizer
            .chunks(&prompt(&"cat ".repeat(75)), refuse, &[])
            .is_ok()
    );
}

#[test]
fn a_long_or_broken_prompt_is_read_in_chunks() {
    let tokenizer = Tokenizer::load(&files("sd15"), "tokenizer", Shape::CLIP).unwrap();
    let weighted = reading(Syntax::Weighted, LongPrompt::Chunk);
    let lengths = |text: &str| {
        let chunked = tokenizer.chunks(&prompt(text), weighted, &[]).unwrap();
        chunked.chunks.iter().map(Vec::len).collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("", vec![0]),
        ("a cat BREAK a big dog", vec![2, 3]),
        ("a BREAK BREAK b", vec![1, 0, 1]),
        ("a BREAK", vec![1]),
        ("BREAK a", vec![0, 1]),
        (&"cat ".repeat(75), vec![75]),
        (&"cat ".repeat(150), vec![75, 75]),
        (&"cat ".repeat(151), vec![75, 75, 1]),
        (
            &format!("{}cat, {}", "cat ".repeat(64), "dog ".repeat(14)),
            vec![66, 14],
        ),
    ] {
        assert_eq!(lengths(text), expected, "{text}");
    }
    let chunked = tokenizer
        .chunks(&prompt("a (cat:1.5)"), weighted, &[])
        .unwrap();
    let weights = tokenizer.weights(&chunked.chunks[0]);
    assert_eq!(
        (&weights[..4], weights.len()),
        (&[1.0, 1.0, 1.5, 1.0][..], 77)
    );
}

#[test]
fn text_encoders_agree() {
    for model in MODELS {
        let golden = tensors(&format!("components/{model}.safetensors"));
        let files = files(model);
        let config = files.json(&Component::TextEncoder.config()).unwrap();
        let clips =
            weights(&files, Component::TextEncoder).map(|w| ClipText::load(w, &config).unwrap());
        for (clip, pass) in each(&clips, &passes(&golden, "text_encoder/")) {
            let ids = golden[&format!("{pass}/in.ids")]
                .get(0)
                .unwrap()
                .to_dtype(DType::U32)
                .unwrap();
            let ids = ids.to_vec1::<u32>().unwrap();
            let last = clip
                .normed(&clip.hidden(&ids, ExtraRows::NONE, 0).unwrap())
                .unwrap();
            near(
                &format!("{model} {pass}"),
                &last,
                &golden[&format!("{pass}/out.last")],
            );
            let penultimate = clip
                .hidden(&ids, ExtraRows::NONE, 1)
                .unwrap()
                .to_tensor()
                .unwrap();
            near(
                &format!("{model} {pass}"),
                &penultimate,
                &golden[&format!("{pass}/out.penultimate")],
            );
        }
        assert_eq!(
            clips[0]
                .hidden(&[0, 1], ExtraRows::NONE, 99)
                .err()
                .unwrap()
                .field_name(),
            Some("clip_skip")
        );
    }
}

#[test]
fn unets_agree_at_whole_and_fractional_timesteps() {
    for model in MODELS {
        let golden = tensors(&format!("components/{model}.safetensors"));
        let cases = json(&format!("components/{model}.json"));
        let files = files(model);
        let config = UnetConfig::parse(files.json(&Component::Unet.config()).unwrap()).unwrap();
        let unets = weights(&files, Component::Unet).map(|w| Unet::load(w, &config).unwrap());
        for (unet, pass) in each(&unets, &passes(&golden, "unet/")) {
            let case = cases["cases"]
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["name"] == pass)
                .unwrap();
            let context = &golden[&format!("{pass}/in.encoder_hidden_states")];
            let conditioning = unet.condition(context, None).unwrap();
            let timestep = case["inputs"]["timestep"].as_f64().unwrap();
            let output = unet
                .forward(
                    &golden[&format!("{pass}/in.sample")],
                    timestep,
                    &conditioning,
                    &[],
                )
                .unwrap()
                .0;
            near(
                &format!("{model} {pass}"),
                &output,
                &golden[&format!("{pass}/out.sample")],
            );
        }
    }
}

/// Checks that the halves of classifier-free guidance, which go through the first layer as one,
/// give the same bits as each half alone.
#[test]
fn latents_that_stand_for_several_images_are_as_those_of_each() {
    for model in MODELS {
        let files = files(model);
        let config = UnetConfig::parse(files.json(&Component::Unet.config()).unwrap()).unwrap();
        let (context, channels) = (config.levels[0].context, config.in_channels);
        let normal = |seed: u64, shape: &[usize]| {
            let numbers = TorchCpu::new(seed).normal(shape.iter().product());
            Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
        };
        let latents = normal(1, &[2, channels, 8, 8]);
        let context = normal(2, &[4, 77, context]);
        for weights in weights(&files, Component::Unet) {
            let unet = Unet::load(weights, &config).unwrap();
            let conditioning = unet.condition(&context, None).unwrap();
            let forward = |latents: &Tensor| {
                let (whole, deep) = unet.forward(latents, 500.0, &conditioning, &[]).unwrap();
                let shallow = unet
                    .forward_shallow(latents, 500.0, &conditioning, &deep)
                    .unwrap();
                [whole, shallow].map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            };
            let each = Tensor::cat(&[&latents, &latents], 0).unwrap();
            assert!(forward(&latents) == forward(&each), "{model}");
        }
    }
}

#[test]
fn autoencoders_agree_both_ways() {
    for model in MODELS {
        let golden = tensors(&format!("components/{model}.safetensors"));
        let files = files(model);
        let config: VaeConfig = files.json(&Component::Vae.config()).unwrap();
        for weights in weights(&files, Component::Vae) {
            let decoder = Decoder::load(&weights, &config).unwrap();
            for pass in passes(&golden, "vae_decode/") {
                let image = decoder.forward(&golden[&format!("{pass}/in.z")]).unwrap();
                near(
                    &format!("{model} {pass}"),
                    &image,
                    &golden[&format!("{pass}/out.image")],
                );
            }
            let encoder = Encoder::load(&weights, &config).unwrap();
            for pass in passes(&golden, "vae_encode/") {
                let (mean, log_variance) =
                    encoder.forward(&golden[&format!("{pass}/in.x")]).unwrap();
                near(
                    &format!("{model} {pass} mean"),
                    &mean,
                    &golden[&format!("{pass}/out.mean")],
                );
                near(
                    &format!("{model} {pass} logvar"),
                    &log_variance,
                    &golden[&format!("{pass}/out.logvar")],
                );
            }
            weights.finish(&[]).unwrap();
        }
    }
}

/// Runs every operation of the plain path in half precision; a tensor of another type would be an
/// error.
#[test]
fn networks_in_half_precision_stay_close() {
    let backend = halves();
    for model in MODELS {
        let golden = tensors(&format!("components/{model}.safetensors"));
        let cases = json(&format!("components/{model}.json"));
        let files = files(model);
        let open = |component| Weights::open(files.tensors(component).unwrap(), &backend).unwrap();
        let close = |pass: &str, ours: &Tensor, name: &str| {
            let error = error(ours, &golden[&format!("{pass}/{name}")]);
            println!("{model} {pass} {name}: {error:.1e}");
            assert!(error < F16, "{model} {pass} {name} is off by {error:e}");
        };
        let config = files.json(&Component::TextEncoder.config()).unwrap();
        let clip = ClipText::load(open(Component::TextEncoder), &config).unwrap();
        for pass in passes(&golden, "text_encoder/") {
            let ids = golden[&format!("{pass}/in.ids")]
                .get(0)
                .unwrap()
                .to_dtype(DType::U32)
                .unwrap();
            let ids = ids.to_vec1::<u32>().unwrap();
            close(
                &pass,
                &clip
                    .normed(&clip.hidden(&ids, ExtraRows::NONE, 0).unwrap())
                    .unwrap(),
                "out.last",
            );
        }
        let config = UnetConfig::parse(files.json(&Component::Unet.config()).unwrap()).unwrap();
        let unet = Unet::load(open(Component::Unet), &config).unwrap();
        for pass in passes(&golden, "unet/") {
            let case = cases["cases"]
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["name"] == pass)
                .unwrap();
            let input = |name: &str| &golden[&format!("{pass}/in.{name}")];
            let conditioning = unet
                .condition(input("encoder_hidden_states"), None)
                .unwrap();
            let timestep = case["inputs"]["timestep"].as_f64().unwrap();
            let output = unet
                .forward(input("sample"), timestep, &conditioning, &[])
                .unwrap()
                .0;
            close(&pass, &output, "out.sample");
        }
        let config: VaeConfig = files.json(&Component::Vae.config()).unwrap();
        let decoder = Decoder::load(&open(Component::Vae), &config).unwrap();
        for pass in passes(&golden, "vae_decode/") {
            close(
                &pass,
                &decoder.forward(&golden[&format!("{pass}/in.z")]).unwrap(),
                "out.image",
            );
        }
    }
}

#[test]
fn noise_is_that_of_torch() {
    let golden = tensors("rng/torch_cpu.safetensors");
    let mut tried = 0;
    for (name, numbers) in golden
        .iter()
        .filter(|(name, _)| name.starts_with("randn.seed"))
    {
        let seed = name
            .trim_start_matches("randn.seed")
            .split('.')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let ours = TorchCpu::new(seed).normal(numbers.elem_count());
        let ours = Tensor::from_vec(ours, numbers.dims(), &Device::Cpu).unwrap();
        // Seen: 1.2e-7 of the largest value.
        assert!(
            error(&ours, numbers) < 5e-7,
            "{name}: {:e}",
            error(&ours, numbers)
        );
        tried += 1;
    }
    assert_eq!(tried, 24);
}

#[test]
fn consecutive_draws_continue_the_stream() {
    let golden = tensors("rng/torch_cpu.safetensors");
    for sequence in ["seq", "seq_odd"] {
        let mut generator = TorchCpu::new(42);
        for i in 0..3 {
            let numbers = &golden[&format!("{sequence}.seed42.{i}")];
            let ours = generator.normal(numbers.elem_count());
            let ours = Tensor::from_vec(ours, numbers.dims(), &Device::Cpu).unwrap();
            assert!(
                error(&ours, numbers) < 5e-7,
                "{sequence} {i}: {:e}",
                error(&ours, numbers)
            );
        }
    }
}
