//! Whole runs against diffusers: every case under tests/golden/cases, and under `SDGEN_CONFORMANCE`
//! where that names a folder of the same form. Figures on failure are the largest and the mean
//! difference in 255ths. `SDGEN_TEST_DEVICE` and `SDGEN_TEST_DTYPE` name another device and type
//! than the processor in single precision (docs/gpu.md).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use sdgen::env::Hub;
use sdgen::named_enum::Named;
use sdgen::schedulers::{Key, SAMPLERS, SamplerSpec, Schedule};
use sdgen::{Engine, Event, Flow, Image, Params, Planner};
use serde_json::Value;
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn quiet(_: &Event) -> Flow {
    Flow::Continue
}

/// What the cases are computed on, and how far their pictures may be from diffusers'.
struct Machine {
    device: Option<String>,
    dtype: Option<String>,
}

impl Machine {
    fn asked() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self {
            device: variable("SDGEN_TEST_DEVICE"),
            dtype: variable("SDGEN_TEST_DTYPE"),
        }
    }

    fn near(&self, difference: &Difference) -> bool {
        let Difference {
            largest,
            mean,
            decibels,
        } = *difference;
        match (
            self.device.as_deref().unwrap_or("cpu"),
            self.dtype.as_deref().unwrap_or("f32"),
        ) {
            ("cpu", "f32") => largest <= 1 && mean <= 0.05,
            (_, "f32") => largest <= 2,
            _ => decibels >= 35.0,
        }
    }
}

/// Draws with the model in `folder`.
fn draw(params: &Params, folder: &Path, machine: &Machine) -> sdgen::Result<Vec<Image>> {
    let Machine { device, dtype } = machine;
    let (device, dtype) = (device.clone(), dtype.clone());
    let params = Params {
        model: Some(folder.to_str().unwrap().to_owned()),
        device: device.map(Into::into),
        dtype: dtype.map(Into::into),
        ..params.clone()
    };
    let plan = Planner::new(Hub::default()).plan(&params, &mut quiet)?;
    let mut images = Vec::new();
    Engine::new().generate(&plan, &mut quiet, &mut |image| {
        images.push(image);
        Ok(())
    })?;
    Ok(images)
}

/// A copy of the model at `folder` with a scheduler file of its own.
fn with_scheduler(folder: &Path, scheduler: &Value) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.canonicalize().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if name != "scheduler" && name != "model_index.json" {
            super::harness::link(&path, &copy.path().join(name));
        }
    }
    let index = std::fs::read(folder.join("model_index.json")).unwrap();
    let mut index: Value = serde_json::from_slice(&index).unwrap();
    index["scheduler"][1] = scheduler["class"].clone();
    std::fs::write(copy.path().join("model_index.json"), index.to_string()).unwrap();
    std::fs::create_dir(copy.path().join("scheduler")).unwrap();
    let mut config = scheduler["config"].clone();
    config["_class_name"] = scheduler["class"].clone();
    std::fs::write(
        copy.path().join("scheduler/scheduler_config.json"),
        config.to_string(),
    )
    .unwrap();
    copy
}

/// A case of diffusers as our own parameters; nothing where it needs what sdgen does not do yet.
fn params(root: &Path, case: &Value) -> Option<Params> {
    let args = case["args"].as_object()?;
    // Several prompts are several jobs.
    args.get("prompt")?.as_str()?;
    let text = |key: &str| args.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| args.get(key).and_then(Value::as_u64);
    let picture = |key: &str| {
        text(key).map(|name| root.join("inputs").join(name).to_str().unwrap().to_owned())
    };
    let pair = |key: &str, between: &str, swap: bool| {
        let pair = args.get(key)?.as_array()?;
        let (a, b) = if swap {
            (&pair[1], &pair[0])
        } else {
            (&pair[0], &pair[1])
        };
        Some(format!("{a}{between}{b}"))
    };
    let known = [
        "prompt",
        "prompt_2",
        "negative_prompt",
        "negative_prompt_2",
        "width",
        "height",
        "num_inference_steps",
        "guidance_scale",
        "eta",
        "clip_skip",
        "num_images_per_prompt",
        "original_size",
        "crops_coords_top_left",
        "target_size",
        "negative_original_size",
        "negative_crops_coords_top_left",
        "negative_target_size",
        "image",
        "mask_image",
        "strength",
        "guidance_rescale",
        "original_inference_steps",
        "control_image",
        "controlnet_conditioning_scale",
        "control_guidance_start",
        "control_guidance_end",
        "guess_mode",
        "ip_adapter_image",
    ];
    if args.keys().any(|key| !known.contains(&key.as_str())) {
        return None;
    }
    let beside = networks(root, case)?;
    let starts = beside.control.is_none() || args.contains_key("control_image");
    let config = &case["scheduler"]["config"];
    let seeds: Vec<u64> = match &case["seed"] {
        Value::Array(seeds) => seeds.iter().filter_map(Value::as_u64).collect(),
        seed => seed.as_u64().into_iter().collect(),
    };
    let schedule = ["karras", "exponential", "beta"]
        .into_iter()
        .find(|k| config[format!("use_{k}_sigmas")] == true);
    if let Some(name) = schedule {
        Schedule::parse("schedule", name).ok()?;
    }
    // A case may be about its scheduler's file, or else about the options that stand for one.
    let options = case["scheduler"]["as_file"] != true;
    let row = if options {
        Some(sampler(&case["scheduler"])?)
    } else {
        None
    };
    let spaced = row.is_some_and(|row| !row.defaults.lacks.contains(&Key::Spacing));
    Some(Params {
        prompt: Some(text("prompt").unwrap_or_default()),
        prompt_2: text("prompt_2"),
        negative_prompt: text("negative_prompt"),
        negative_prompt_2: text("negative_prompt_2"),
        width: number("width").map(|n| n as u32),
        height: number("height").map(|n| n as u32),
        steps: number("num_inference_steps").map(|n| n as usize),
        cfg_scale: args["guidance_scale"].as_f64(),
        eta: args.get("eta").map_or(Some(0.0), Value::as_f64),
        guidance_rescale: args.get("guidance_rescale").and_then(Value::as_f64),
        clip_skip: number("clip_skip").map(|n| n as usize),
        init_image: picture("image").filter(|_| starts).map(Into::into),
        mask: picture("mask_image").map(Into::into),
        strength: args.get("strength").and_then(Value::as_f64),
        original_size: pair("original_size", "x", true).map(Into::into),
        crop: pair("crops_coords_top_left", ",", false).map(Into::into),
        target_size: pair("target_size", "x", true).map(Into::into),
        negative_original_size: pair("negative_original_size", "x", true).map(Into::into),
        negative_crop: pair("negative_crops_coords_top_left", ",", false).map(Into::into),
        negative_target_size: pair("negative_target_size", "x", true).map(Into::into),
        seed: seeds.first().map(|seed| (*seed).into()),
        count: Some(seeds.len() as u64),
        batch_size: Some(seeds.len()),
        sampler: row.map(|row| row.name.into()),
        schedule: schedule.filter(|_| options).map(Into::into),
        zero_terminal_snr: config["rescale_betas_zero_snr"]
            .as_bool()
            .filter(|_| options),
        timestep_spacing: config["timestep_spacing"]
            .as_str()
            .filter(|_| spaced)
            .map(Into::into),
        ..beside
    })
}

/// The networks of a case beside its model; nothing where it needs what sdgen does not do yet.
fn networks(root: &Path, case: &Value) -> Option<Params> {
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let args = &case["args"];
    // One value for each of several networks, or one for all.
    let nth = |key: &str, i: usize| args[key].get(i).unwrap_or(&args[key]).clone();
    let mut params = Params {
        control_guess: args["guess_mode"].as_bool(),
        ..Params::default()
    };
    let mut controls = Vec::new();
    for adapter in case["adapters"].as_array()? {
        match adapter[0].as_str()? {
            "controlnet" => {
                let i = controls.len();
                let key = if args["control_image"].is_null() {
                    "image"
                } else {
                    "control_image"
                };
                let number = |key: &str, default: f64| nth(key, i).as_f64().unwrap_or(default);
                // diffusers' classes have defaults of their own.
                let scale = match case["pipeline"].as_str()? {
                    "StableDiffusionControlNetImg2ImgPipeline" => 0.8,
                    "StableDiffusionControlNetInpaintPipeline" => 0.5,
                    _ => 1.0,
                };
                let control = format!(
                    "{}={}:{}:{}-{}",
                    path(&format!("adapters/controlnet-{}", adapter[1].as_str()?)),
                    path(&format!("inputs/{}", nth(key, i).as_str()?)),
                    number("controlnet_conditioning_scale", scale),
                    number("control_guidance_start", 0.0),
                    number("control_guidance_end", 1.0),
                );
                controls.push(control.into());
            }
            "lora" | "merge" => {
                let file = path(&format!(
                    "adapters/lora/{}.safetensors",
                    adapter[1].as_str()?
                ));
                params
                    .lora
                    .get_or_insert_default()
                    .push(format!("{file}:{}", adapter[2]).into());
            }
            "ti" | "ti_xl" => {
                let name = adapter[1].as_str()?;
                // The word is the file's name, unless the file itself says what it is.
                adapter[2]
                    .as_str()
                    .is_none_or(|word| word == format!("<{name}>"))
                    .then_some(())?;
                let file = path(&format!("adapters/embeddings/{name}.safetensors"));
                params.embedding.get_or_insert_default().push(file);
            }
            "taesd" => params.vae = Some(path("adapters/taesd")),
            "ip" => {
                params.ip_adapter = Some(path(
                    "adapters/ip-adapter/models/ip-adapter_sd15.safetensors",
                ));
                let image = format!("inputs/{}", args["ip_adapter_image"].as_str()?);
                params.ip_image = Some(path(&image).into());
                params.ip_scale = adapter[1].as_f64();
            }
            _ => return None,
        }
    }
    params.control = Some(controls).filter(|controls| !controls.is_empty());
    Some(params)
}

fn sampler(scheduler: &Value) -> Option<&'static SamplerSpec> {
    let config = &scheduler["config"];
    let variant = (
        config["algorithm_type"].as_str(),
        config["solver_order"].as_u64(),
    );
    let same = |row: &&&SamplerSpec| {
        row.class.is_some_and(|class| scheduler["class"] == class)
            && row.variant.is_none_or(|(algorithm, order)| {
                variant == (Some(algorithm.name()), Some(order as u64))
            })
    };
    SAMPLERS.iter().find(same).copied()
}

struct Difference {
    largest: u8,
    mean: f64,
    decibels: f64,
}

fn difference(image: &Image, path: &Path) -> Difference {
    let golden = image::open(path).unwrap().into_rgb8();
    assert_eq!(
        (image.size.width, image.size.height),
        golden.dimensions(),
        "{}",
        path.display()
    );
    let steps = image
        .rgb
        .iter()
        .zip(golden.as_raw())
        .map(|(a, b)| a.abs_diff(*b));
    Difference {
        largest: steps.clone().max().unwrap(),
        mean: steps.map(f64::from).sum::<f64>() / image.rgb.len() as f64,
        decibels: super::precision::decibels(&image.rgb, golden.as_raw()),
    }
}

/// A digest of an image's pixels. A change that must not move any image is checked by comparing the
/// lines of two runs.
fn digest(pixels: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pixels.hash(&mut hasher);
    hasher.finish()
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

/// The scheduler file that a case needs, where that is not the one of its model: switches that no
/// option sets.
fn own_scheduler(case: &Value) -> Option<Value> {
    let config = &case["scheduler"]["config"];
    let original = case["args"].get("original_inference_steps");
    let own = case["scheduler"]["as_file"] == true
        || original.is_some()
        || config["rescale_betas_zero_snr"] == true
        || (case["scheduler"]["class"] == "PNDMScheduler" && config["skip_prk_steps"] == false);
    let mut scheduler = case["scheduler"].clone();
    if let Some(steps) = original {
        scheduler["config"]["original_inference_steps"] = steps.clone();
    }
    own.then_some(scheduler)
}

fn read(path: &Path) -> Value {
    // Python writes infinities into JSON, which has none.
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("-Infinity", "null");
    serde_json::from_str(&text).unwrap()
}

/// A case in which a refiner goes on with the latents of another case: both as one request, and the
/// base model.
fn ensemble(root: &Path, case: &Value) -> Option<(Params, PathBuf)> {
    let begun = case["args"]["image"].as_str()?.strip_prefix("case:")?;
    let mut base = read(&root.join("cases").join(begun).join("case.json"));
    let start = case["args"]["denoising_start"].as_f64()?;
    let args = base["args"].as_object_mut()?;
    assert_eq!(args.remove("denoising_end")?.as_f64()?, start);
    args.remove("output_type")?;
    let params = Params {
        refiner: Some(root.join(case["model"].as_str()?).to_str()?.to_owned()),
        refiner_start: Some(start),
        ..params(root, &base)?
    };
    Some((params, root.join(base["model"].as_str()?)))
}

/// Runs the cases under `root` and says which differ from their pictures, and how many were run.
fn run(root: &Path) -> (usize, Vec<String>) {
    let (mut run, mut wrong) = (0, Vec::new());
    let machine = Machine::asked();
    for path in cases(&root.join("cases")) {
        let case = read(&path);
        let alone = || Some((params(root, &case)?, root.join(case["model"].as_str()?)));
        let Some((params, folder)) = ensemble(root, &case).or_else(alone) else {
            eprintln!("{} is not run", case["id"]);
            continue;
        };
        run += 1;
        let copy = own_scheduler(&case).map(|scheduler| with_scheduler(&folder, &scheduler));
        let images = match draw(
            &params,
            copy.as_ref().map_or(&folder, |copy| copy.path()),
            &machine,
        ) {
            Ok(images) => images,
            Err(error) => {
                wrong.push(format!("{}: {error}", case["id"]));
                continue;
            }
        };
        for (i, image) in images.iter().enumerate() {
            let difference = difference(image, &path.with_file_name(format!("image{i}.png")));
            let Difference {
                largest,
                mean,
                decibels,
            } = difference;
            let line = format!(
                "{} {i}: largest {largest}, mean {mean:.4}, {decibels:.1} dB, pixels {:016x}",
                case["id"],
                digest(&image.rgb)
            );
            eprintln!("{line}");
            if !machine.near(&difference) {
                wrong.push(line);
            }
        }
    }
    (run, wrong)
}

#[test]
fn every_case_is_the_picture_that_diffusers_draws() {
    let (count, wrong) = run(&golden());
    assert!(count >= 70, "{count} cases");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A folder of more cases: `SDGEN_CONFORMANCE=folder cargo test --test it -- --ignored more_cases`.
#[test]
#[ignore = "needs a folder of more cases"]
fn more_cases_are_the_pictures_that_diffusers_draws() {
    let root = std::env::var("SDGEN_CONFORMANCE").expect("SDGEN_CONFORMANCE names a folder");
    let (_, wrong) = run(Path::new(&root));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
