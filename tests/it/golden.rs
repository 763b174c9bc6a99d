//! Whole runs against diffusers: every case under tests/golden/cases, and under `SDGEN_CONFORMANCE` where that names
//! a folder of the same form. Figures on failure are the largest and the mean difference in 255ths.

use std::path::{Path, PathBuf};

use sdgen::registry::{Fetch, ModelRef, RepoConfig, locate};
use sdgen::{Engine, Event, Flow, Image, Params, Request};
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn quiet(_: &Event) -> Flow {
    Flow::Continue
}

/// Draws a case; `root` holds models/.
fn draw(root: &Path, params: &Params, model: &str) -> Vec<Image> {
    let model = ModelRef::parse(root.join(model).to_str().unwrap()).unwrap();
    let files = locate(&model, &Fetch::default(), &mut quiet).unwrap();
    let repo = RepoConfig::read(&files).unwrap();
    let request = Request::resolve(params, &files, &repo).unwrap();
    let mut engine = Engine::load(&files, &repo, &request, &mut quiet).unwrap();
    let mut images = Vec::new();
    engine
        .generate(&request, &mut quiet, &mut |image| {
            images.push(image);
            Ok(())
        })
        .unwrap();
    images
}

/// A case of diffusers as our own parameters.
fn params(case: &Value) -> Params {
    let args = &case["args"];
    let text = |key: &str| args[key].as_str().map(str::to_owned);
    let number = |key: &str| args[key].as_u64();
    let config = &case["scheduler"]["config"];
    let seeds: Vec<u64> = match &case["seed"] {
        Value::Array(seeds) => seeds.iter().filter_map(Value::as_u64).collect(),
        seed => seed.as_u64().into_iter().collect(),
    };
    let schedule = ["karras", "exponential"].into_iter().find(|k| config[format!("use_{k}_sigmas")] == true);
    Params {
        prompt: Some(text("prompt").unwrap_or_default()),
        negative_prompt: text("negative_prompt"),
        width: number("width").map(|n| n as u32),
        height: number("height").map(|n| n as u32),
        steps: number("num_inference_steps").map(|n| n as usize),
        cfg_scale: args["guidance_scale"].as_f64(),
        eta: args["eta"].as_f64(),
        clip_skip: number("clip_skip").map(|n| n as usize),
        seed: seeds.first().copied(),
        count: Some(seeds.len() as u64),
        batch_size: Some(seeds.len()),
        sampler: Some(sampler(case["scheduler"]["class"].as_str().unwrap()).to_owned()),
        schedule: schedule.map(str::to_owned),
        timestep_spacing: config["timestep_spacing"].as_str().map(str::to_owned),
        ..Params::default()
    }
}

fn sampler(class: &str) -> &'static str {
    sdgen::sampler::SAMPLERS.iter().find(|row| row.class == Some(class)).unwrap().name
}

struct Difference {
    largest: u8,
    mean: f64,
}

fn difference(image: &Image, path: &Path) -> Difference {
    let golden = image::open(path).unwrap().into_rgb8();
    assert_eq!((image.width, image.height), golden.dimensions(), "{}", path.display());
    let steps = image.rgb.iter().zip(golden.as_raw()).map(|(a, b)| a.abs_diff(*b));
    Difference {
        largest: steps.clone().max().unwrap(),
        mean: steps.map(f64::from).sum::<f64>() / image.rgb.len() as f64,
    }
}

fn cases(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("case.json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Scheduler switches that only the model's file can set: such cases need a copy of the model with that file.
fn own_scheduler(case: &Value) -> bool {
    let config = &case["scheduler"]["config"];
    config["rescale_betas_zero_snr"] == true
        || (case["scheduler"]["class"] == "PNDMScheduler" && config["skip_prk_steps"] == false)
}

#[test]
fn every_case_is_the_picture_that_diffusers_draws() {
    let cases = cases(&golden().join("cases"));
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for path in cases {
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if own_scheduler(&case) {
            continue;
        }
        let images = draw(&golden(), &params(&case), case["model"].as_str().unwrap());
        for (i, image) in images.iter().enumerate() {
            let Difference { largest, mean } =
                difference(image, &path.with_file_name(format!("image{i}.png")));
            eprintln!("{} {i}: largest {largest}, mean {mean:.4}", case["id"]);
            if largest > 1 || mean > 0.05 {
                wrong.push(format!("{} {i}: largest {largest}, mean {mean:.4}", case["id"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
