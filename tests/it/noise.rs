//! Models whose noise or latents are others than Stable Diffusion's: EDM preconditioning
//! (Playground v2.5, CosXL) and autoencoders that name the moments of their latents, in files of
//! one piece and in folders.

use std::path::Path;

use sdgen::Params;
use serde_json::{Value, json};

use crate::checkpoints::{Model, convert, draw, of_file, text};
use crate::harness::{Outcome, sdgen};

const SCHEDULER: &str = "scheduler/scheduler_config.json";

impl Model {
    /// The folder with other values in the small file at `path`; the index names a scheduler's
    /// class, too.
    fn with(self, path: &str, values: &Value) -> Self {
        if let Some(class) = values.get("_class_name").filter(|_| path == SCHEDULER) {
            let index = json!({"scheduler": ["diffusers", class]});
            return self.alone("model_index.json", &index).alone(path, values);
        }
        self.alone(path, values)
    }

    /// The folder with other values in the small file at `path`.
    fn alone(self, path: &str, values: &Value) -> Self {
        let path = self.folder.join(path);
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json.as_object_mut()
            .unwrap()
            .extend(values.as_object().unwrap().clone());
        std::fs::write(path, json.to_string()).unwrap();
        self
    }

    /// The file with a tensor of these numbers, which half precision holds.
    fn told(mut self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let halves = values
            .iter()
            .flat_map(|value| half::f16::from_f32(*value).to_le_bytes())
            .collect();
        self.single
            .insert(name.to_owned(), (shape.to_vec(), halves));
        self
    }
}

/// A model as Playground v2.5 and one as CosXL, with the levels and moments `numbers`.
fn with_edm_preconditioning(numbers: [f32; 4]) -> [Model; 2] {
    let [a, b, c, d] = numbers;
    let playground = Model::random("sdxl")
        .with("vae/config.json", &json!({
            "latents_mean": [a, -b, a, b], "latents_std": [c, d, d, c], "scaling_factor": 0.5,
        }))
        .with(SCHEDULER, &json!({
            "_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "epsilon", "sigma_data": 0.5,
            "sigma_max": 80.0, "sigma_min": 0.002,
        }))
        .told("edm_mean", &[1, 4, 1, 1], &[a, -b, a, b])
        .told("edm_std", &[1, 4, 1, 1], &[c, d, d, c]);
    let cosxl = Model::random("sdxl")
        .with(
            SCHEDULER,
            &json!({
                "_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction", "sigma_data": 1.0,
                "sigma_max": 100.0 * d, "sigma_min": a, "sigma_schedule": "exponential",
            }),
        )
        .told("edm_vpred.sigma_max", &[], &[100.0 * d])
        .told("edm_vpred.sigma_min", &[], &[a]);
    [playground, cosxl]
}

#[test]
fn a_file_whose_keys_say_edm_draws_what_a_folder_with_such_a_scheduler_draws() {
    for numbers in [[0.5, 0.25, 2.0, 1.5], [0.125, 1.0, 0.5, 1.25]] {
        for model in with_edm_preconditioning(numbers) {
            let file = model.write("edm.safetensors");
            let drawn = model.draw();
            assert!(draw(&of_file(&file)).unwrap() == drawn);
            let back = model.path("again.safetensors");
            convert(&[], &back, &model.folder);
            assert!(draw(&of_file(&back)).unwrap() == drawn);
            for sampler in ["euler", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m"] {
                let by = |path: &Path| Params {
                    sampler: Some(sampler.into()),
                    ..of_file(path)
                };
                assert!(
                    draw(&by(&file)).unwrap() == draw(&by(&model.folder)).unwrap(),
                    "{sampler}"
                );
            }
        }
    }
}

#[test]
fn what_an_edm_model_has_not_is_refused_by_name() {
    let [model, _] = with_edm_preconditioning([0.5, 0.25, 2.0, 1.5]);
    let with = |params: Params| {
        draw(&Params {
            model: text(&model.folder),
            ..params
        })
        .unwrap_err()
    };
    for sampler in ["heun", "ddim", "dpmpp_3m_sde", "lcm"] {
        let error = with(Params {
            sampler: Some(sampler.into()),
            ..Params::default()
        });
        assert_eq!(error.field_name(), Some("sampler"), "{error}");
    }
    let schedule = with(Params {
        schedule: Some("beta".into()),
        ..Params::default()
    });
    assert_eq!(schedule.field_name(), Some("schedule"));
    let spacing = with(Params {
        timestep_spacing: Some("trailing".into()),
        ..Params::default()
    });
    assert_eq!(spacing.field_name(), Some("timestep_spacing"));
    let timesteps = with(Params {
        timesteps: Some(vec![999, 499, 0]),
        ..Params::default()
    });
    assert_eq!(timesteps.field_name(), Some("timesteps"));
    let prediction = with(Params {
        prediction: Some("sample".into()),
        ..Params::default()
    });
    assert_eq!(prediction.field_name(), Some("prediction"));
    let refiner = with(Params {
        refiner: text(&model.folder),
        ..Params::default()
    });
    assert_eq!(refiner.field_name(), Some("refiner"));
    let given = Params {
        sigmas: Some(vec![80.0, 5.0, 0.5, 0.0]),
        schedule: Some("normal".into()),
        ..of_file(&model.folder)
    };
    draw(&given).unwrap();
}

#[test]
fn what_one_file_cannot_say_is_converted_to_folders_alone() {
    let moments =
        json!({"latents_mean": [0.5, 0.5, 0.5, 0.5], "latents_std": [2.0, 2.0, 2.0, 2.0]});
    let euler = Model::random("sdxl").with("vae/config.json", &moments);
    let edm = json!({"_class_name": "EDMEulerScheduler", "sigma_data": 0.7});
    let other = Model::random("sdxl").with(SCHEDULER, &edm);
    for (model, what) in [
        (euler, "`latents_mean` and `latents_std`"),
        (other, "its scheduler"),
    ] {
        let out = model.path("x.safetensors");
        sdgen()
            .args(["convert"])
            .args([&model.folder, &out])
            .fails(5)
            .says("cannot say")
            .says(what);
        assert!(!out.exists());
        let folder = model.path("y");
        convert(&[], &folder, &model.folder);
        assert!(draw(&of_file(&folder)).unwrap() == model.draw());
    }
    let half = Model::random("sdxl").told("edm_mean", &[4], &[0.0; 4]);
    let error = draw(&of_file(&half.write("half.safetensors")))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`edm_mean`") && error.contains("no `edm_std`"),
        "{error}"
    );
}

/// A folder with other values in its small file at `path`, drawn with a start picture if `picture`
/// names one.
fn warned(values: &[(&str, Value)], arguments: &[&str], model: Model) -> Outcome {
    let model = values
        .iter()
        .fold(model, |model, (path, values)| model.with(path, values));
    let run = sdgen().args([
        "a cat", "-W", "64", "-H", "64", "--seed", "1", "-o", "a.png",
    ]);
    run.arg_path("-m", &model.folder).args(arguments).succeeds()
}

#[test]
fn moments_that_do_not_count_are_warned_of() {
    let moments =
        json!({"latents_mean": [0.5, 0.5, 0.5, 0.5], "latents_std": [2.0, 2.0, 2.0, 2.0]});
    let one = json!({"latents_mean": null, "latents_std": [2.0, 2.0, 2.0, 2.0]});
    let steps = ["--steps", "2"];
    let inpaint = || Model::random("sd15-inpaint");
    let start = crate::harness::golden_model("../inputs/init_128.png");
    let masked = ["--steps", "2", "-i", &start, "--mask", &start];
    for (model, values, named) in [
        (
            inpaint(),
            &moments,
            "`latents_mean` and `latents_std` do not count",
        ),
        (inpaint(), &one, "`latents_std` do not count"),
    ] {
        warned(&[("vae/config.json", values.clone())], &masked, model)
            .says("vae/config.json")
            .says(named);
    }
    warned(&[("vae/config.json", one)], &steps, Model::random("sdxl"))
        .says("`latents_std` do not count");
    let xl = warned(
        &[("vae/config.json", moments)],
        &steps,
        Model::random("sdxl"),
    );
    assert!(!xl.stderr.contains("do not count"));
}

#[test]
fn keys_that_no_scheduler_knows_and_runs_without_noise_are_warned_of() {
    let steps = ["--steps", "2"];
    let unknown = json!({"snr_shift": 3.0, "beta_shape": "x", "_use_default_values": ["rho"]});
    let drawn = warned(&[(SCHEDULER, unknown)], &steps, Model::random("sdxl"));
    drawn.says("`beta_shape`, `snr_shift`").says("do not count");
    for sampler in ["euler", "euler_a", "heun", "dpm2", "lms", "ddim"] {
        let arguments = ["--steps", "1", "--sampler", sampler];
        let drawn = warned(&[], &arguments, Model::random("sdxl"));
        drawn
            .says("`--timestep-spacing trailing` begins at 999")
            .says(sampler);
    }
    let quiet = [
        "--steps",
        "1",
        "--sampler",
        "euler",
        "--timestep-spacing",
        "trailing",
    ];
    assert!(
        !warned(&[], &quiet, Model::random("sdxl"))
            .stderr
            .contains("next to nothing")
    );
}

#[test]
fn a_model_without_a_name_has_the_defaults_of_its_family() {
    let told = |model: &Model, path: &Path| {
        let params = Params {
            model: text(path),
            prompt: Some("a".into()),
            ..Params::default()
        };
        let picture = crate::harness::golden_model("../inputs/init_128.png");
        let inpainting = model.folder.ends_with("sd15-inpaint");
        let params = Params {
            init_image: inpainting.then(|| picture.clone().into()),
            mask: inpainting.then(|| picture.into()),
            ..params
        };
        let hub = sdgen::env::Hub {
            offline: true,
            ..Default::default()
        };
        let plan = sdgen::Planner::new(hub)
            .plan(&params, &mut |_: &sdgen::Event| sdgen::Flow::Continue)
            .unwrap();
        (plan.request.steps, plan.request.cfg_scale)
    };
    for (name, expected) in [
        ("sdxl", (25, 5.0)),
        ("sd15-inpaint", (25, 7.5)),
        ("sd21-v", (25, 7.5)),
        ("sd15", (25, 7.5)),
    ] {
        let model = Model::random(name);
        assert_eq!(told(&model, &model.folder), expected, "{name}");
        let file = model.write("a.safetensors");
        // What a file of SD 2 predicts is tried on the loaded network, not while a run is planned.
        assert_eq!(told(&model, &file), expected, "{name}");
    }
    let lcm = json!({"_class_name": "LatentConsistencyModelPipeline"});
    let scheduler = json!({"_class_name": "LCMScheduler"});
    let model = Model::random("sd15")
        .with("model_index.json", &lcm)
        .with(SCHEDULER, &scheduler);
    assert_eq!(told(&model, &model.folder), (4, 8.5));
    let image = json!({"_class_name": "LatentConsistencyModelImg2ImgPipeline"});
    let model = model.with("model_index.json", &image);
    assert_eq!(told(&model, &model.folder), (4, 8.5));
    // A file's network that is told the guidance is one, too.
    let file = Model::random("sd15").told(
        "model.diffusion_model.time_embed.cond_proj.weight",
        &[32, 8],
        &[0.0; 256],
    );
    assert_eq!(told(&file, &file.write("lcm.safetensors")), (4, 8.5));
    let xl = Model::random("sdxl").with(
        "model_index.json",
        &json!({"_class_name": "StableDiffusionXLImg2ImgPipeline"}),
    );
    assert_eq!(told(&xl, &xl.folder), (25, 5.0));
}

/// diffusers makes a scheduler of the class that model_index.json names, of the keys of its file.
#[test]
fn the_index_names_the_scheduler() {
    let index = |class: &str| json!({"scheduler": ["diffusers", class]});
    for class in [
        "DDIMScheduler",
        "EulerDiscreteScheduler",
        "DPMSolverMultistepScheduler",
    ] {
        let both = Model::random("sd15").with(SCHEDULER, &json!({"_class_name": class}));
        let one = Model::random("sd15").alone("model_index.json", &index(class));
        assert!(one.draw() == both.draw(), "{class}");
        let other = Model::random("sd15").draw();
        assert!(one.draw() != other, "{class}");
        warned(&[], &["--steps", "2"], one)
            .says("`PNDMScheduler`")
            .says(&format!("model_index.json names `{class}`"));
        assert!(
            !warned(&[], &["--steps", "2"], both)
                .stderr
                .contains("model_index.json")
        );
    }
}
