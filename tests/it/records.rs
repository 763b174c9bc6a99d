//! What a picture says about itself is enough to draw it again: with every field of `Params`, one
//! by one and in pairs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args as _;
use sdgen::env::Hub;
use sdgen::output::atomic_file::{Existing, save};
use sdgen::output::encode::PNG;
use sdgen::output::image_writer::ImageWriter;
use sdgen::output::metadata;
use sdgen::planner::Recorded;
use sdgen::{Engine, Event, Flow, Kind, Params, Planner};
use serde_json::{Map, Value, json};

use crate::harness::{golden_model, link, root, sdgen, tiny};

fn golden(path: &str) -> String {
    root().join("tests/golden").join(path).display().to_string()
}

/// A field, and what it is given with.
type Row = (&'static str, Value);

/// Fields with a value that changes the picture, and those that change none. `folder` is the test's
/// own.
fn rows(folder: &Path) -> Vec<Row> {
    let inside = |name: &str| folder.join(name).display().to_string();
    let (start, mask) = (
        golden("inputs/init_128.png"),
        golden("inputs/mask_circle_128.png"),
    );
    let lora = golden("adapters/lora/sd15_peft.safetensors");
    let control = format!(
        "{}={}:0.7",
        golden("adapters/controlnet-a"),
        golden("inputs/edges_128.png")
    );
    let canny = format!("{}=canny:{start}", golden("adapters/controlnet-a"));
    let adapter = golden("adapters/ip-adapter/models/ip-adapter_sd15.safetensors");
    let picture = json!({ "ip_adapter": adapter, "ip_image": golden("inputs/ip_96.png") });
    let with = |base: &Value, field: &str, value: Value| {
        let mut all = base.clone();
        all[field] = value;
        all
    };
    let init = json!({ "init_image": start, "strength": 0.7 });
    let masked = json!({ "init_image": start, "mask": mask });
    vec![
        ("prompt", json!({ "prompt": "two dogs, café" })),
        ("negative_prompt", json!({ "negative_prompt": "blurry" })),
        (
            "prompt_syntax",
            json!({ "prompt": "a (cat:1.4) [dog]", "prompt_syntax": "weighted" }),
        ),
        (
            "long_prompt",
            json!({ "prompt": "a cat ".repeat(60), "long_prompt": "chunk" }),
        ),
        ("width", json!({ "width": 40 })),
        ("height", json!({ "height": 24 })),
        ("seed", json!({ "seed": 18_446_744_073_709_551_610u64 })),
        ("count", json!({ "count": 2 })),
        ("batch_size", json!({ "count": 2, "batch_size": 2 })),
        ("init_image", json!({ "init_image": start })),
        ("strength", init.clone()),
        ("fit", with(&init, "fit", json!("contain"))),
        ("posterior", with(&init, "posterior", json!("mode"))),
        ("mask", masked.clone()),
        ("mask_blur", with(&masked, "mask_blur", json!(2.5))),
        (
            "mask_blur_y",
            with(
                &with(&masked, "mask_blur", json!(1)),
                "mask_blur_y",
                json!(4),
            ),
        ),
        (
            "masked_content",
            with(
                &with(&masked, "strength", json!(0.7)),
                "masked_content",
                json!("fill"),
            ),
        ),
        (
            "strength_steps",
            with(&init, "strength_steps", json!("one_more")),
        ),
        ("mask_grow", with(&masked, "mask_grow", json!(3))),
        ("invert_mask", with(&masked, "invert_mask", json!(true))),
        ("keep_unmasked", with(&masked, "keep_unmasked", json!(true))),
        ("mask_padding", with(&masked, "mask_padding", json!(8))),
        (
            "extend",
            json!({ "init_image": start, "extend": "left=8,top=8" }),
        ),
        ("control", json!({ "control": [control] })),
        (
            "control_guess",
            json!({ "control": [control], "control_guess": true }),
        ),
        ("canny", json!({ "control": [canny], "canny": "20,60" })),
        ("ip_adapter", picture.clone()),
        ("ip_image", picture.clone()),
        ("ip_scale", with(&picture, "ip_scale", json!(0.4))),
        ("model", json!({ "model": inside("linked") })),
        ("preset", json!({ "preset": "lcm" })),
        ("vae", json!({ "vae": golden("adapters/taesd") })),
        ("prediction", json!({ "prediction": "v" })),
        ("clip_skip", json!({ "clip_skip": 1 })),
        (
            "lora",
            json!({ "lora": [format!("{lora}:0.8"), golden("adapters/lora/sd15_loha.safetensors")] }),
        ),
        (
            "lora_dir",
            json!({ "prompt": "a cat <lora:sd15_kohya:-0.5>", "lora_dir": golden("adapters/lora") }),
        ),
        (
            "embedding",
            json!({ "prompt": "a tok-a", "embedding": [golden("adapters/embeddings/tok-a.safetensors")] }),
        ),
        ("offline", json!({ "offline": true })),
        ("lock", json!({ "lock": inside("models.lock") })),
        ("locked", json!({ "locked": inside("kept.lock") })),
        ("steps", json!({ "steps": 3 })),
        ("cfg_scale", json!({ "cfg_scale": 3.25 })),
        ("sampler", json!({ "sampler": "dpmpp_2m" })),
        (
            "schedule",
            json!({ "sampler": "euler", "schedule": "karras" }),
        ),
        (
            "timestep_spacing",
            json!({ "timestep_spacing": "trailing" }),
        ),
        (
            "sigmas",
            json!({ "sampler": "euler", "sigmas": [10.5, 2.0, 0.5, 0.0], "steps": null }),
        ),
        (
            "timesteps",
            json!({ "sampler": "ddim", "timesteps": [900, 400, 100], "steps": null }),
        ),
        (
            "zero_terminal_snr",
            json!({ "sampler": "ddim", "zero_terminal_snr": true }),
        ),
        ("guidance_rescale", json!({ "guidance_rescale": 0.7 })),
        ("cfg_interval", json!({ "cfg_interval": "0.3..1" })),
        ("cache", json!({ "steps": 4, "cache": "deep:2" })),
        ("merge_tokens", json!({ "merge_tokens": 0.5 })),
        ("eta", json!({ "sampler": "ddim", "eta": 0.6 })),
        ("rng", json!({ "rng": "philox" })),
        ("device", json!({ "device": "cpu" })),
        ("dtype", json!({ "dtype": "bf16" })),
        ("memory", json!({ "memory": "low" })),
        ("vae_tiling", json!({ "vae_tiling": "on" })),
        ("threads", json!({ "threads": 1 })),
        ("preview_every", json!({ "preview_every": 1 })),
    ]
}

/// Fields that a picture of the golden model cannot have, or that say where it goes.
const ELSEWHERE: &[&str] = &[
    "prompt_2",
    "negative_prompt_2",
    "original_size",
    "crop",
    "target_size",
    "negative_original_size",
    "negative_crop",
    "negative_target_size",
    "refiner",
    "refiner_start",
    "config",
    "from_latents",
    "output",
    "preview_dir",
    "overwrite",
    "no_metadata",
];

/// Draws and draws again.
struct Studio {
    planner: Planner,
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Studio {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        link(
            Path::new(&golden_model("sd15")),
            &folder.path().join("linked"),
        );
        let hub = Hub {
            offline: true,
            ..Hub::default()
        };
        let mut studio = Self {
            planner: Planner::new(hub),
            engine: Engine::new(),
            folder,
        };
        let lock = studio.folder.path().join("kept.lock").display().to_string();
        studio
            .drawn(&Params {
                lock: Some(lock),
                ..params(&[])
            })
            .unwrap();
        studio
    }

    /// The pictures of `params` as files, with their pixels.
    fn drawn(&mut self, params: &Params) -> sdgen::Result<Vec<(PathBuf, Vec<u8>)>> {
        let plan = self.planner.plan(params, &mut |_: &Event| Flow::Continue)?;
        let album = ImageWriter {
            provenance: plan.provenance(),
            no_metadata: false,
        };
        let folder = self.folder.path();
        let mut pictures = Vec::new();
        self.engine
            .generate(&plan, &mut |_: &Event| Flow::Continue, &mut |image| {
                let path = save(
                    &album.encode(&image, &PNG)?,
                    &folder.join("a.png"),
                    Existing::Keep,
                )?;
                pictures.push((path, image.rgb));
                Ok(())
            })?;
        Ok(pictures)
    }

    /// Draws what `params` ask for and each picture of it again; the second file is the first one.
    fn proves(&mut self, params: &Params, what: &str) -> bool {
        let pictures = match self.drawn(params) {
            Ok(pictures) => pictures,
            // Not every pair goes together, or draws a picture with this model.
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Usage | Kind::ModelFile | Kind::InvalidImage
                ) =>
            {
                return false;
            }
            Err(error) => panic!("{what}: {error:?}"),
        };
        for (path, pixels) in pictures {
            let record = metadata::read(&path).unwrap().sdgen.unwrap();
            let recorded = Recorded {
                record: &record,
                image: &path,
                over: &Params::default(),
            };
            let again = recorded
                .params()
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let plan = self
                .planner
                .plan(&again, &mut |_: &Event| Flow::Continue)
                .unwrap();
            assert_eq!(
                recorded.differences(&plan).unwrap(),
                Vec::<String>::new(),
                "{what}"
            );
            let second = self
                .drawn(&again)
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert!(second[0].1 == pixels, "{what}: another picture");
            let same = std::fs::read(&path).unwrap() == std::fs::read(&second[0].0).unwrap();
            assert!(same, "{what}: another record");
        }
        true
    }
}

/// The tiny request with some rows over it.
fn params(rows: &[&Row]) -> Params {
    let mut fields = json!({
        "prompt": "a cat", "model": golden_model("sd15"), "width": 32, "height": 32, "steps": 2, "seed": 7
    });
    for (_, row) in rows {
        fields
            .as_object_mut()
            .unwrap()
            .extend(row.as_object().unwrap().clone());
    }
    let given: Map<String, Value> = fields
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    serde_json::from_value(given.into()).unwrap()
}

#[test]
fn every_field_has_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let command = Params::augment_args(clap::Command::new("fields"));
    let known: BTreeSet<String> = command
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect();
    let here = rows(folder.path()).into_iter().map(|row| row.0.to_owned());
    let all: BTreeSet<String> = here
        .chain(ELSEWHERE.iter().map(|name| (*name).to_owned()))
        .collect();
    assert_eq!(known, all);
}

#[test]
fn a_picture_of_each_field_is_drawn_again_from_its_record() {
    let mut studio = Studio::new();
    let rows = rows(studio.folder.path());
    let plain = studio.drawn(&params(&[])).unwrap().remove(0).1;
    // What changes no picture, or only what can be drawn at all.
    let idle = [
        "count",
        "batch_size",
        "model",
        "offline",
        "lock",
        "locked",
        "device",
        "memory",
        "threads",
        // Small layers stay in f32.
        "dtype",
        "preview_every",
        "vae_tiling",
    ];
    for row in &rows {
        let params = params(&[row]);
        assert!(studio.proves(&params, row.0), "{} cannot be drawn", row.0);
        if !idle.contains(&row.0) {
            assert!(
                studio.drawn(&params).unwrap()[0].1 != plain,
                "{} changes nothing",
                row.0
            );
        }
    }
}

#[test]
fn pictures_of_two_fields_are_drawn_again_from_their_records() {
    let mut studio = Studio::new();
    let rows = rows(studio.folder.path());
    let pairs: Vec<(usize, usize)> = (0..rows.len())
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .collect();
    // A sample in which each field meets several others.
    let some = pairs.iter().filter(|(a, b)| (a * 7 + b * 13) % 29 == 0);
    let drawn = some.filter(|(a, b)| {
        let (a, b) = (&rows[*a], &rows[*b]);
        studio.proves(&params(&[a, b]), &format!("{} with {}", a.0, b.0))
    });
    assert!(drawn.count() > 30);
}

#[test]
#[ignore = "takes minutes"]
fn pictures_of_any_two_fields_are_drawn_again_from_their_records() {
    let mut studio = Studio::new();
    let rows = rows(studio.folder.path());
    let mut drawn = 0;
    for (i, a) in rows.iter().enumerate() {
        for b in &rows[..i] {
            drawn += usize::from(studio.proves(&params(&[a, b]), &format!("{} with {}", a.0, b.0)));
        }
    }
    println!("{drawn} pairs");
}

/// A picture with a start picture, a LoRA and an embedding that lie beside it, and the folder.
fn with_files() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copies = [
        ("inputs/init_128.png", "start.png"),
        ("inputs/mask_circle_128.png", "mask.png"),
        ("adapters/lora/sd15_peft.safetensors", "style.safetensors"),
        ("adapters/embeddings/tok-a.safetensors", "tok-a.safetensors"),
    ];
    for (from, to) in copies {
        std::fs::copy(golden(from), folder.path().join(to)).unwrap();
    }
    let mut run = sdgen();
    run.command().current_dir(folder.path());
    let files = [
        "-i",
        "start.png",
        "--mask",
        "mask.png",
        "--lora",
        "style.safetensors:0.7",
    ];
    run.args(["a tok-a"])
        .args(&tiny()[1..])
        .args(files)
        .args(["--embedding", "tok-a.safetensors", "-o", "a.png"])
        .succeeds();
    let picture = folder.path().join("a.png");
    (folder, picture)
}

#[test]
fn files_are_found_beside_the_picture() {
    let (_folder, picture) = with_files();
    // From another folder.
    let run = sdgen()
        .arg_path("replay", &picture)
        .args(["--verify"])
        .succeeds();
    assert_eq!(run.stdout(), "same\n");
    let others = run
        .stderr
        .lines()
        .filter(|line| line.contains("warning") && !line.contains("vocabulary"));
    assert_eq!(others.count(), 0, "{run:?}");
}

#[test]
fn files_that_are_missing_are_named_and_may_be_given() {
    for (name, field) in [
        ("start.png", "init-image"),
        ("mask.png", "mask"),
        ("style.safetensors", "lora"),
        ("tok-a.safetensors", "embedding"),
    ] {
        let (folder, picture) = with_files();
        let moved = folder.path().join("moved").join(name);
        std::fs::create_dir(folder.path().join("moved")).unwrap();
        std::fs::rename(folder.path().join(name), &moved).unwrap();
        let lost = sdgen()
            .arg_path("replay", &picture)
            .args(["--verify"])
            .fails(2);
        lost.says(&format!("--{field}: the picture was made with `{name}`"));
        let value = moved.display().to_string() + if field == "lora" { ":0.7" } else { "" };
        let run = sdgen()
            .arg_path("replay", &picture)
            .args([&format!("--{field}"), &value]);
        assert_eq!(
            run.args(["--verify"]).succeeds().stdout(),
            "same\n",
            "{field}"
        );
    }
    let (folder, picture) = with_files();
    std::fs::create_dir(folder.path().join("loras")).unwrap();
    std::fs::rename(
        folder.path().join("style.safetensors"),
        folder.path().join("loras/style.safetensors"),
    )
    .unwrap();
    let run = sdgen()
        .arg_path("replay", &picture)
        .arg_path("--lora-dir", &folder.path().join("loras"));
    assert_eq!(run.args(["--verify"]).succeeds().stdout(), "same\n");
}

#[test]
fn files_that_have_changed_are_named() {
    for (name, other, told) in [
        (
            "start.png",
            "inputs/init_128b.png",
            "the picture `init_image` is another file",
        ),
        (
            "mask.png",
            "inputs/mask_left_128.png",
            "the picture `mask` is another file",
        ),
        (
            "style.safetensors",
            "adapters/lora/sd15_loha.safetensors",
            "the lora `style` is another file",
        ),
    ] {
        let (folder, picture) = with_files();
        std::fs::copy(golden(other), folder.path().join(name)).unwrap();
        sdgen()
            .arg_path("replay", &picture)
            .args(["--verify"])
            .exits(10)
            .says(told);
    }
}

#[test]
fn defaults_of_the_user_change_no_recorded_picture() {
    let drawn = sdgen().args(tiny()).args(["-o", "a.png"]).succeeds();
    let lora = golden("adapters/lora/sd15_peft.safetensors");
    let config =
        format!("negative_prompt = 'ugly'\nlora = ['{lora}']\nclip_skip = 1\nthreads = 1\n");
    let run = sdgen()
        .file("c.toml", config.as_bytes())
        .env("SDGEN_CONFIG", "c.toml");
    assert_eq!(
        run.arg_path("replay", &drawn.path("a.png"))
            .args(["--verify"])
            .succeeds()
            .stdout(),
        "same\n"
    );
}
