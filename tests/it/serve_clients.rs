//! The interfaces of other programs: OpenAI's images and A1111's API, as their clients use them.

use serde_json::{Value, json};

use crate::harness::golden_model;
use crate::serve::{Server, base64, png, small};

/// The picture in base64 as bytes.
pub(crate) fn decoded(text: &Value) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let text: Vec<u8> = text
        .as_str()
        .unwrap()
        .bytes()
        .filter(|c| *c != b'=')
        .collect();
    let bytes = text.chunks(4).flat_map(|chunk| {
        let bits = (0..4).fold(0u32, |bits, i| {
            bits << 6 | chunk.get(i).map_or(0, |c| u32::from(digit(*c)))
        });
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

fn size(png: &[u8]) -> (u32, u32) {
    let image = image::load_from_memory(png).unwrap();
    (image.width(), image.height())
}

#[test]
fn openais_images_are_those_of_a_job() {
    let server = Server::start(&[]);
    let sent = json!({"model": "dall-e-3", "prompt": "a red circle", "n": 2, "size": "64x64", "steps": 1, "seed": 7});
    let answer = server.post("/v1/images/generations", &sent).is(200).json();
    let data = answer["data"].as_array().unwrap();
    assert_eq!((data.len(), &answer["size"]), (2, &json!("64x64")));
    let picture = decoded(&data[0]["b64_json"]);
    assert_eq!(size(&picture), (64, 64));
    let id = server.order(&json!({}));
    server.ended(&id);
    assert!(
        server.get(&format!("/v1/jobs/{id}/image")).body == picture,
        "the same picture by either way"
    );
    let wrong = server
        .post(
            "/v1/images/generations",
            &json!({"prompt": "a", "model": "sd15"}),
        )
        .is(400)
        .json();
    assert_eq!(
        (&wrong["error"]["param"], &wrong["error"]["type"]),
        (&json!("model"), &json!("invalid_request_error"))
    );
}

#[test]
fn openais_edits_paint_where_the_mask_is_transparent() {
    let server = Server::start(&[]);
    let mut body = Vec::new();
    for (name, value) in [
        ("prompt", "a"),
        ("n", "1"),
        ("response_format", "b64_json"),
        ("steps", "1"),
    ] {
        body.extend(
            format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    for (name, holes) in [("image", false), ("mask", true)] {
        body.extend(
            format!(
                "--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n"
            )
            .bytes(),
        );
        body.extend(png(64, 64, holes));
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    let kind = "content-type: multipart/form-data; boundary=x\r\n";
    let answer = server
        .request("POST", "/v1/images/edits", kind, &body)
        .is(200)
        .json();
    assert_eq!(size(&decoded(&answer["data"][0]["b64_json"])), (64, 64));
    assert!(answer["data"][0].get("url").is_none());
    let job = &server.get("/v1/jobs").json()["jobs"][0];
    assert_eq!(job["operation"], "inpaint", "{job}");
}

#[test]
fn a1111s_pictures_come_with_their_infotexts() {
    let server = Server::start(&[]);
    let sent = json!({
        "prompt": "a (red:1.2) circle", "negative_prompt": "", "seed": 7, "steps": 1, "width": 64, "height": 64,
        "sampler_name": "DPM++ 2M Karras", "n_iter": 2, "batch_size": 1, "cfg_scale": 3, "enable_hr": false,
    });
    let answer = server.post("/sdapi/v1/txt2img", &sent).is(200).json();
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
    let picture = decoded(&answer["images"][0]);
    assert_eq!(size(&picture), (64, 64));
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&info["all_seeds"], &info["sampler_name"]),
        (&json!([7, 8]), &json!("DPM++ 2M"))
    );
    let said = server
        .post(
            "/sdapi/v1/png-info",
            &json!({ "image": answer["images"][0] }),
        )
        .is(200)
        .json();
    assert_eq!(
        (&said["info"], &said["parameters"]["Seed"]),
        (&info["infotexts"][0], &json!("7"))
    );
    let sent = json!({
        "prompt": "a", "steps": 2, "width": 64, "height": 64, "init_images": [base64(&png(64, 64, false))],
        "mask": base64(&png(64, 64, false)), "denoising_strength": 0.6, "inpaint_full_res": false,
    });
    let answer = server.post("/sdapi/v1/img2img", &sent).is(200).json();
    assert_eq!(answer["images"].as_array().unwrap().len(), 1);
    assert!(answer["parameters"].get("init_images").is_none());
    let wrong = server
        .post(
            "/sdapi/v1/txt2img",
            &json!({"prompt": "a", "restore_faces": true}),
        )
        .is(422)
        .json();
    assert!(
        wrong["detail"].as_str().unwrap().contains("restore_faces"),
        "{wrong}"
    );
}

#[test]
fn a1111s_clients_see_progress_and_interrupt_their_own_jobs_only() {
    let server = Server::start(&[]);
    let other = server.held(1, &json!({"steps": 2}));
    server.post("/sdapi/v1/interrupt", &json!({})).is(200);
    server.release();
    assert_eq!(server.ended(&other)["state"], "completed");
    server.hold(12);
    let sent = small(&json!({"steps": 13}));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| server.post("/sdapi/v1/txt2img", &sent));
        let steps = || {
            server.get("/sdapi/v1/progress").is(200).json()["state"]["sampling_step"]
                .as_u64()
                .unwrap()
        };
        while steps() < 12 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let progress = |query: &str| {
            server
                .get(&format!("/sdapi/v1/progress{query}"))
                .is(200)
                .json()
        };
        assert_eq!(&decoded(&progress("")["current_image"])[1..4], b"PNG");
        assert!(progress("?skip_current_image=true")["current_image"].is_null());
        server.post("/sdapi/v1/interrupt", &json!({})).is(200);
        let answer = answer.join().unwrap().is(200).json();
        // The picture as far as it was, which nobody can draw again from a record.
        assert_eq!(answer["images"].as_array().unwrap().len(), 1);
        let picture = decoded(&answer["images"][0]);
        assert_eq!(size(&picture), (64, 64));
        assert!(!picture.windows(6).any(|bytes| bytes == b"sdgen\0"));
        every_key(&answer);
    });
    assert_eq!(
        server.get("/v1/jobs").json()["jobs"][0]["state"],
        "cancelled"
    );
}

/// What A1111 1.10's `Processed.js()` has.
fn every_key(answer: &Value) {
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    let keys = "prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds \
                subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces \
                face_restoration_model sd_model_name sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w \
                seed_resize_from_h denoising_strength extra_generation_params index_of_first_image infotexts styles \
                job_timestamp clip_skip is_using_inpainting_conditioning version";
    for key in keys.split_whitespace() {
        assert!(info.get(key).is_some(), "{key}: {info}");
    }
    for key in [
        "width",
        "height",
        "seed",
        "steps",
        "sd_model_hash",
        "sampler_name",
        "job_timestamp",
    ] {
        assert!(!info[key].is_null(), "{key}: {info}");
    }
}

#[test]
fn a1111s_clients_skip_a_picture_and_get_the_next() {
    let server = Server::start(&[]);
    let sent = small(&json!({"steps": 300, "width": 64, "height": 64, "n_iter": 2}));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| server.post("/sdapi/v1/txt2img", &sent));
        while server.get("/sdapi/v1/progress").is(200).json()["state"]["sampling_step"]
            .as_u64()
            .unwrap()
            < 3
        {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        server.post("/sdapi/v1/skip", &json!({})).is(200);
        let answer = answer.join().unwrap().is(200).json();
        let has_record = |i: usize| {
            decoded(&answer["images"][i])
                .windows(6)
                .any(|bytes| bytes == b"sdgen\0")
        };
        assert_eq!(
            (
                answer["images"].as_array().unwrap().len(),
                has_record(0),
                has_record(1)
            ),
            (2, false, true)
        );
        every_key(&answer);
    });
    assert_eq!(
        server.get("/v1/jobs").json()["jobs"][0]["state"],
        "completed"
    );
}

#[test]
fn what_a1111_does_not_know_is_passed_over_and_named() {
    let server = Server::start(&[]);
    let sent = json!({
        "prompt": "a", "steps": "1", "width": 64.0, "height": "64", "seed": "5", "url": "x", "auth": "", "clip_skip": 1,
        "override_settings": {"sd_vae": "Automatic", "eta_noise_seed_delta": 0}, "sampler_name": "DDIM",
        "scheduler": "Karras", "alwayson_scripts": {"ControlNet": {"args": [{"enabled": false}]}},
    });
    let answer = server.post("/sdapi/v1/txt2img", &sent).is(200);
    assert_eq!(
        answer.header("x-ignored-fields"),
        Some("scheduler, auth, clip_skip, url")
    );
    server
        .log
        .says("ignored fields: scheduler, auth, clip_skip, url");
    every_key(&answer.json());
    let quiet = server.post(
        "/sdapi/v1/txt2img",
        &json!({"prompt": "a", "steps": 1, "width": 64, "height": 64}),
    );
    assert_eq!(quiet.is(200).header("x-ignored-fields"), None);
    for (sent, named) in [
        (json!({"script_name": "Prompt matrix"}), "Prompt matrix"),
        (
            json!({"alwayson_scripts": {"ADetailer": {"args": [true, false]}}}),
            "ADetailer",
        ),
        (json!({"override_settings": {"sd_vae": "x.pt"}}), "sd_vae"),
        (json!({"sampler_name": "DPM fast"}), "DPM fast"),
    ] {
        let wrong = server.post("/sdapi/v1/txt2img", &sent).is(422).json();
        assert!(wrong["detail"].as_str().unwrap().contains(named), "{wrong}");
    }
    server
        .post(
            "/sdapi/v1/options",
            &json!({"sd_vae": "Automatic", "filter_nsfw": false}),
        )
        .is(200);
}

#[test]
fn a1111s_automatic_schedule_is_the_samplers_own() {
    let server = Server::start(&[]);
    for (sent, schedule) in [
        (json!({"sampler_name": "DPM++ 2S a"}), "Karras"),
        (
            json!({"sampler_name": "DPM++ 2M SDE", "scheduler": "automatic"}),
            "Exponential",
        ),
        (
            json!({"sampler_name": "k_dpmpp_2m", "scheduler": "uniform"}),
            "Uniform",
        ),
        (
            json!({"sampler_name": "heun", "scheduler": "Normal"}),
            "Automatic",
        ),
        (
            json!({"sampler_index": "Euler a Polyexponential"}),
            "Exponential",
        ),
    ] {
        let mut all = json!({"prompt": "a", "steps": 2, "width": 64, "height": 64});
        all.as_object_mut()
            .unwrap()
            .extend(sent.as_object().unwrap().clone());
        let answer = server.post("/sdapi/v1/txt2img", &all).is(200).json();
        let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
        let text = info["infotexts"][0].as_str().unwrap();
        assert!(
            text.contains(&format!("Schedule type: {schedule},")),
            "{sent}: {text}"
        );
    }
}

#[test]
fn a1111s_masks_begin_with_what_they_are_asked_to() {
    let server = Server::start(&[]);
    let encoded = |image: image::RgbImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        base64(&bytes.into_inner())
    };
    let picture = encoded(image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([x as u8 * 4, y as u8 * 4, 90])
    }));
    let mask = encoded(image::RgbImage::from_fn(64, 64, |x, _| {
        image::Rgb([if x < 32 { 255 } else { 0 }; 3])
    }));
    let drawn = |more: Value| {
        let mut sent = json!({
            "prompt": "a", "seed": 3, "steps": 4, "width": 64, "height": 64, "init_images": [picture],
            "mask": mask, "denoising_strength": 0.5, "inpaint_full_res": false, "mask_blur": 0,
        });
        sent.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        decoded(&server.post("/sdapi/v1/img2img", &sent).is(200).json()["images"][0])
    };
    let contents: Vec<Vec<u8>> = (0..4)
        .map(|fill| drawn(json!({ "inpainting_fill": fill })))
        .collect();
    for i in 0..4 {
        assert!((0..i).all(|j| contents[i] != contents[j]), "content {i}");
    }
    assert!(
        drawn(json!({})) == contents[0],
        "A1111 fills where nothing is said"
    );
    assert_eq!(
        size(&drawn(
            json!({"denoising_strength": 0, "mask_blur_x": 2, "mask_blur_y": 0})
        )),
        (64, 64)
    );
}

#[test]
fn a1111s_options_choose_among_the_models_that_are_offered() {
    let server = Server::start(&["-m", &golden_model("sd15")]);
    let models = server.get("/sdapi/v1/sd-models").is(200).json();
    let titles: Vec<&str> = models
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["demo", "sd15"]);
    assert_eq!(
        server.get("/sdapi/v1/options").json()["sd_model_checkpoint"],
        "demo"
    );
    server
        .post("/sdapi/v1/options", &json!({"sd_model_checkpoint": "sd15"}))
        .is(200);
    assert_eq!(
        server.get("/sdapi/v1/options").json()["sd_model_checkpoint"],
        "sd15"
    );
    server
        .post("/sdapi/v1/options", &json!({"sd_model_checkpoint": "/etc"}))
        .is(422);
    server
        .post("/sdapi/v1/options", &json!({"sd_vae": "x"}))
        .is(422);
    for path in [
        "samplers",
        "schedulers",
        "upscalers",
        "loras",
        "scripts",
        "embeddings",
    ] {
        server.get(&format!("/sdapi/v1/{path}")).is(200);
    }
}

/// Sends an order over a connection that stays open.
fn sent(server: &Server, path: &str, body: &Value) -> std::net::TcpStream {
    use std::io::Write;
    let (body, mut stream) = (body.to_string(), server.connect());
    let (host, length) = (&server.address, body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    stream
}

/// The interfaces whose clients wait on their connection, with an order of three steps.
fn attended() -> [(&'static str, Value); 3] {
    let picture = base64(&png(64, 64, false));
    let start = json!({"steps": 3, "init_images": [picture], "denoising_strength": 1.0});
    let openai = json!({"prompt": "a", "size": "64x64", "steps": 3});
    [
        ("/sdapi/v1/txt2img", small(&json!({"steps": 3}))),
        ("/sdapi/v1/img2img", small(&start)),
        ("/v1/images/generations", openai),
    ]
}

#[test]
fn a_client_that_hangs_up_takes_its_job_along() {
    let server = Server::start(&[]);
    server.hold(2);
    for (path, order) in attended() {
        let stream = sent(&server, path, &order);
        let newest = || server.get("/v1/jobs").json()["jobs"][0].clone();
        while newest()["state"] != "running" {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let id = newest()["job_id"].as_str().unwrap().to_owned();
        server.reaches(&id, 2);
        drop(stream);
        assert_eq!(server.ended(&id)["state"], "cancelled", "{path}");
    }
}

#[test]
fn clients_that_hang_up_at_once_leave_nothing_behind() {
    let server = Server::start(&[]);
    server.hold(2);
    for _ in 0..5 {
        attended()
            .iter()
            .for_each(|(path, order)| drop(sent(&server, path, order)));
    }
    // One step, so that nothing holds it but a job before it that nobody waits for.
    let id = server.order(&json!({}));
    assert_eq!(server.ended(&id)["state"], "completed");
    let is_over = |job: &Value| job["state"] == "cancelled" || job["job_id"] == id.as_str();
    while !server.get("/v1/jobs").json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .all(is_over)
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A1111's and OpenAI's clients know their own fields alone.
#[test]
fn what_is_wrong_is_told_by_the_names_that_the_client_sent() {
    let server = Server::start(&["--max-count", "4"]);
    for (sent, name) in [
        (json!({"n": 0}), "n"),
        (json!({"n": 5}), "n"),
        (json!({"size": "63x64"}), "size"),
        (json!({"size": "64x9000"}), "size"),
        (json!({"steps": 0}), "steps"),
    ] {
        let mut order = json!({"prompt": "a", "size": "64x64", "steps": 1});
        order
            .as_object_mut()
            .unwrap()
            .extend(sent.as_object().unwrap().clone());
        let answer = server.post("/v1/images/generations", &order).is(400).json();
        assert_eq!(answer["error"]["param"], name, "{sent}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{name}: ")), "{message}");
    }
    let picture = base64(&png(64, 64, false));
    for (path, sent, name) in [
        ("txt2img", json!({"batch_size": 5}), "batch_size"),
        (
            "img2img",
            json!({"init_images": [picture], "denoising_strength": 1.5}),
            "denoising_strength",
        ),
        (
            "img2img",
            json!({"init_images": ["bm8gcGljdHVyZQ=="]}),
            "init_images",
        ),
        (
            "txt2img",
            json!({"override_settings": {"sd_model_checkpoint": "nowhere"}}),
            "sd_model_checkpoint",
        ),
    ] {
        let answer = server.post(&format!("/sdapi/v1/{path}"), &sent);
        let answer = answer.is(422).json();
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{name}: ")), "{detail}");
        assert!(!answer.to_string().contains("no step at all"), "{answer}");
    }
    let options = json!({"sd_model_checkpoint": {}});
    server.post("/sdapi/v1/options", &options).is(422);
}

/// Nobody interrupted a job that its server drops when it stops: its client is told to come back.
#[cfg(unix)]
#[test]
fn a_server_that_stops_tells_waiting_clients_to_come_back() {
    let mut server = Server::start(&[]);
    server.held(1, &json!({"steps": 2}));
    let streams: Vec<_> = attended()
        .iter()
        .map(|(path, order)| sent(&server, path, order))
        .collect();
    while server.get("/ready").json()["queued"] != 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.terminate();
    for mut stream in streams {
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.to_lowercase().contains("retry-after:"), "{answer}");
        assert!(answer.contains("the server ended"), "{answer}");
    }
    server.release();
    assert_eq!(server.exit_code(), 0);
}
