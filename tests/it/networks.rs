//! Networks beside a model, through planner and engine and through the binary: what they draw, what
//! they leave to the next request, and which error of its own each mistake is.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use sdgen::catalog::{Fetch, Network, NetworkLayout};
use sdgen::env::Hub;
use sdgen::params::{Control, Parsed};
use sdgen::{Engine, Event, Flow, Params, Planner};

use crate::harness::{golden_model, root, sdgen, tiny};
use crate::server::Server;

fn golden(path: &str) -> String {
    root().join("tests/golden").join(path).display().to_string()
}

fn control(model: &str, more: &str) -> Option<Vec<Parsed<Control>>> {
    let edges = golden("inputs/edges_128.png");
    Some(vec![format!("{}={edges}{more}", golden(model)).into()])
}

fn params() -> Params {
    Params {
        prompt: Some("a cat".into()),
        model: Some(golden_model("sd15")),
        width: Some(64),
        height: Some(64),
        steps: Some(2),
        seed: Some(7.into()),
        ..Params::default()
    }
}

fn quiet(_: &Event) -> Flow {
    Flow::Continue
}

/// The pixels that an engine draws.
fn drawn(engine: &mut Engine, params: &Params) -> Vec<u8> {
    let plan = Planner::new(Hub::default())
        .plan(params, &mut quiet)
        .unwrap();
    let mut pixels = Vec::new();
    let mut keep = |image: sdgen::Image| {
        pixels = image.rgb;
        Ok(())
    };
    engine.generate(&plan, &mut quiet, &mut keep).unwrap();
    pixels
}

fn fresh(params: &Params) -> Vec<u8> {
    drawn(&mut Engine::new(), params)
}

/// The control network of the golden tests in one file, each tensor called what `name` makes of its
/// name in diffusers.
fn single_file(folder: &Path, name: impl Fn(&str) -> String) -> String {
    let bytes = std::fs::read(golden(
        "adapters/controlnet-a/diffusion_pytorch_model.safetensors",
    ))
    .unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed: Vec<(String, TensorView<'_>)> = tensors
        .tensors()
        .into_iter()
        .map(|(old, view)| (name(&old), view))
        .collect();
    let path = folder.join("control.safetensors");
    std::fs::write(&path, safetensors::serialize(renamed, None).unwrap()).unwrap();
    path.display().to_string()
}

#[test]
fn a_control_network_is_the_same_in_a_folder_and_in_a_file_of_either_naming() {
    let expected = fresh(&Params {
        control: control("adapters/controlnet-a", ""),
        ..params()
    });
    assert_ne!(expected, fresh(&params()));
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&std::fs::read(golden("adapters/controlnet-a.names.json")).unwrap())
            .unwrap();
    let originals: BTreeMap<String, String> =
        pairs.into_iter().map(|(old, new)| (new, old)).collect();
    for original in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| {
            if original {
                originals[name].clone()
            } else {
                name.to_owned()
            }
        };
        let file = single_file(folder.path(), name);
        let edges = golden("inputs/edges_128.png");
        let control = Some(vec![format!("{file}={edges}").into()]);
        assert_eq!(
            fresh(&Params {
                control,
                ..params()
            }),
            expected,
            "original names: {original}"
        );
    }
}

#[test]
fn a_request_leaves_nothing_to_the_next_one() {
    let requests = [
        Params {
            control: control("adapters/controlnet-a", ":0.8"),
            ..params()
        },
        params(),
        Params {
            vae: Some(golden("adapters/taesd")),
            ..params()
        },
        Params {
            ip_adapter: Some(golden(
                "adapters/ip-adapter/models/ip-adapter_sd15.safetensors",
            )),
            ip_image: Some(golden("inputs/ip_96.png").into()),
            ..params()
        },
        params(),
    ];
    let mut engine = Engine::new();
    let pictures: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| drawn(&mut engine, request))
        .collect();
    for (i, request) in requests.iter().enumerate() {
        assert!(pictures[i] == fresh(request), "request {i}");
        assert!(
            i == 4
                || pictures
                    .iter()
                    .skip(i + 1)
                    .take(3 - i.min(3))
                    .all(|p| *p != pictures[i]),
            "request {i}"
        );
    }
}

#[test]
fn silent_networks_change_nothing() {
    let plain = fresh(&params());
    for more in [":0", ":1:0.9-0.95"] {
        let control = control("adapters/controlnet-a", more);
        assert_eq!(
            fresh(&Params {
                control,
                ..params()
            }),
            plain,
            "{more}"
        );
    }
    let silent = Params {
        ip_adapter: Some(golden(
            "adapters/ip-adapter/models/ip-adapter_sd15.safetensors",
        )),
        ip_image: Some(golden("inputs/ip_96.png").into()),
        ip_scale: Some(0.0),
        ..params()
    };
    assert_eq!(fresh(&silent), plain);
}

#[test]
fn batches_and_their_pictures_one_by_one_are_the_same_under_control() {
    let request = |batch_size| Params {
        control: control("adapters/controlnet-a", ":1:0-1"),
        count: Some(2),
        batch_size: Some(batch_size),
        control_guess: Some(true),
        ..params()
    };
    // The last picture of both.
    assert_eq!(fresh(&request(1)), fresh(&request(2)));
}

#[test]
fn the_request_in_a_picture_asks_for_the_same_networks() {
    let request = Params {
        control: control("adapters/controlnet-a", ":0.5:0-0.5"),
        control_guess: Some(true),
        ip_adapter: Some(golden(
            "adapters/ip-adapter/models/ip-adapter_sd15.safetensors",
        )),
        ip_image: Some(golden("inputs/ip_96.png").into()),
        vae: Some(golden("adapters/taesd")),
        ..params()
    };
    let plan = Planner::new(Hub::default())
        .plan(&request, &mut quiet)
        .unwrap();
    let told = serde_json::to_value(&plan.request).unwrap();
    let fields = [
        "control",
        "control_guess",
        "ip_adapter",
        "ip_image",
        "ip_scale",
        "vae",
    ];
    let fields = fields
        .map(|name| (name.to_owned(), told[name].clone()))
        .into_iter()
        .collect();
    let again: Params = serde_json::from_value(serde_json::Value::Object(fields)).unwrap();
    assert_eq!(
        again,
        Params {
            ip_scale: Some(1.0),
            ..only(&request)
        }
    );
    assert_eq!(
        serde_json::from_value::<sdgen::Request>(told)
            .unwrap()
            .controls,
        plan.request.controls
    );
}

/// The networks of a request.
fn only(params: &Params) -> Params {
    Params {
        control: params.control.clone(),
        control_guess: params.control_guess,
        ip_adapter: params.ip_adapter.clone(),
        ip_image: params.ip_image.clone(),
        vae: params.vae.clone(),
        ..Params::default()
    }
}

#[test]
fn another_autoencoder_of_the_same_numbers_draws_the_same() {
    let plain = fresh(&params());
    for name in [
        "models/sd15/vae",
        "models/sd15/vae/diffusion_pytorch_model.safetensors",
    ] {
        assert_eq!(
            fresh(&Params {
                vae: Some(golden(name)),
                ..params()
            }),
            plain,
            "{name}"
        );
    }
    let tiny = golden("adapters/taesd/diffusion_pytorch_model.safetensors");
    let error = Planner::new(Hub::default())
        .plan(
            &Params {
                vae: Some(tiny),
                ..params()
            },
            &mut quiet,
        )
        .and_then(|plan| Engine::new().generate(&plan, &mut quiet, &mut |_| Ok(())));
    // A tiny autoencoder's file alone is read as the one that is published, which is wider than
    // this.
    assert!(error.unwrap_err().to_string().contains("decoder.layers.0"));
}

#[test]
fn a_control_picture_gives_the_size_and_a_tiny_autoencoder_may_be_the_models_own() {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::copy(Path::new(&golden_model("sd15")), folder.path());
    let vae = folder.path().join("vae");
    for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
        std::fs::copy(golden(&format!("adapters/taesd/{name}")), vae.join(name)).unwrap();
    }
    let own = Params {
        model: Some(folder.path().display().to_string()),
        ..params()
    };
    assert_eq!(
        fresh(&own),
        fresh(&Params {
            vae: Some(golden("adapters/taesd")),
            ..params()
        })
    );
    let sized = Params {
        width: None,
        height: None,
        control: control("adapters/controlnet-a", ""),
        ..params()
    };
    assert_eq!(fresh(&sized).len(), 128 * 128 * 3);
}

#[test]
fn a_network_is_downloaded_once_and_nothing_else_of_its_repository() {
    let names = [
        "config.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.bin",
        "README.md",
    ];
    let shelf = names
        .map(|name| (name.to_owned(), name.as_bytes().repeat(100)))
        .into();
    let server = Server::start("org/net", shelf);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub {
        cache: Some(cache.path().to_owned()),
        endpoint: server.endpoint(),
        ..Hub::default()
    };
    let locate = |hub: Hub, name: &str| {
        Network::locate(
            name,
            NetworkLayout::CONTROL,
            &Fetch {
                hub,
                ..Fetch::default()
            },
            &mut quiet,
        )
    };
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    let error = locate(offline.clone(), "org/net").unwrap_err();
    assert!(error.to_string().contains("this run is offline"), "{error}");
    let network = locate(hub, "org/net").unwrap();
    assert_eq!(network.weights, "diffusion_pytorch_model.fp16.safetensors");
    let mut found: Vec<String> = std::fs::read_dir(network.files.root().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(
        found,
        ["config.json", "diffusion_pytorch_model.fp16.safetensors"]
    );
    assert!(locate(offline, "org/net").unwrap().is(&network));
}

#[test]
fn mistakes_are_named() {
    let net = golden("adapters/controlnet-a");
    let edges = golden("inputs/edges_128.png");
    let other = golden_model("sd21-v");
    let nowhere = format!("{net}=nowhere.png");
    let loud = format!("{net}={edges}:99");
    let backwards = format!("{net}={edges}:1:0.8-0.2");
    let missing = format!("nowhere.safetensors={edges}");
    let taken = format!(
        "{}={edges}",
        golden("adapters/taesd/diffusion_pytorch_model.safetensors")
    );
    let fits = format!("{net}={edges}");
    let adapter = golden("adapters/ip-adapter/models/ip-adapter_sd15.safetensors");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--control", &nowhere], 2, "cannot read `nowhere.png`"),
        (&["--control", &loud], 2, "a scale from 0 to 10, got `99`"),
        (&["--control", &backwards], 2, "START < END"),
        (
            &["--control", &missing],
            2,
            "`nowhere.safetensors` is no file",
        ),
        (&["--control", &taken], 5, "is no control network"),
        (
            &["--control", &fits, "--model", &other],
            2,
            "was made for prompts of 64 channels",
        ),
        (&["--control-guess"], 2, "there is no control network"),
        (&["--vae", "nowhere"], 2, "`nowhere` is no file"),
        (&["--vae", &net], 5, "controlnet-a/config.json"),
        (&["--ip-adapter", &adapter], 2, "--ip-image"),
        (
            &["--ip-adapter", &adapter, "--ip-image", "nowhere.png"],
            2,
            "cannot read `nowhere.png`",
        ),
        (
            &[
                "--ip-adapter",
                &adapter,
                "--ip-image",
                &edges,
                "--model",
                &other,
            ],
            2,
            "prompts of 64 channels",
        ),
        (&["--preview-every", "2"], 2, "--preview-dir"),
    ];
    for (args, code, message) in cases {
        let _ = sdgen().args(tiny()).args(*args).fails(*code).says(message);
    }
}

#[test]
fn previews_are_small_pictures_named_by_seed_and_step() {
    let args = [
        "--preview-dir",
        "shown",
        "--preview-every",
        "2",
        "--steps",
        "5",
        "--count",
        "2",
    ];
    let run = |more: &[&str]| {
        let outcome = sdgen().args(tiny()).args(args).args(more).succeeds();
        let mut names: Vec<String> = std::fs::read_dir(outcome.path("shown"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let size = image::open(outcome.path("shown").join(&names[0]))
            .unwrap()
            .into_rgb8()
            .dimensions();
        (names, size)
    };
    let expected: Vec<String> = [(7, 2), (7, 4), (8, 2), (8, 4)]
        .map(|(seed, step)| format!("{seed}-{step:02}.png"))
        .to_vec();
    assert_eq!(run(&["--sampler", "euler"]), (expected.clone(), (4, 4)));
    let tiny = golden("adapters/taesd");
    assert_eq!(
        run(&["--sampler", "euler", "--vae", &tiny, "--batch-size", "2"]),
        (expected, (32, 32))
    );
}

#[test]
fn a_preview_of_the_last_call_is_the_picture_itself() {
    // The last call's estimate is what plain samplers end with.
    let args = [
        "--preview-dir",
        ".",
        "--preview-every",
        "2",
        "--sampler",
        "euler",
        "-o",
        "out.png",
    ];
    let vae = golden("adapters/taesd");
    let outcome = sdgen()
        .args(tiny())
        .args(args)
        .args(["--vae", &vae])
        .succeeds();
    let read = |name: &str| image::open(outcome.path(name)).unwrap().into_rgb8();
    assert_eq!(read("7-2.png"), read("out.png"));
}
