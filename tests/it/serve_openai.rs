//! OpenAI's interface in what its clients rely on: forms of pictures, links, models, errors and
//! edits.

use serde_json::{Value, json};

use crate::harness::golden_model;
use crate::serve::{Answer, Server, png, small};
use crate::serve_clients::decoded;

const GENERATIONS: &str = "/v1/images/generations";

fn generate(server: &Server, headers: &str, more: &Value) -> Answer {
    let mut sent = json!({"prompt": "a", "size": "64x64", "steps": 1, "seed": 7});
    sent.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let headers = format!("content-type: application/json\r\n{headers}");
    server.request("POST", GENERATIONS, &headers, sent.to_string().as_bytes())
}

/// A server that asks for a token, and the header that shows it.
fn guarded() -> (Server, &'static str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "secret").unwrap();
    let token = folder.path().join("token").display().to_string();
    (
        Server::start_in(folder, &["--token-file", &token]),
        "authorization: Bearer secret\r\n",
    )
}

fn link(answer: Answer) -> String {
    let answer = answer.is(200).json();
    let item = answer["data"][0].as_object().unwrap();
    assert_eq!(item.keys().collect::<Vec<_>>(), ["url"]);
    item["url"].as_str().unwrap().to_owned()
}

#[test]
fn without_a_form_pictures_come_in_base64_alone() {
    let server = Server::start(&[]);
    for more in [
        json!({"model": "gpt-image-1"}),
        json!({"model": "chatgpt-image-latest", "response_format": null}),
        json!({"model": "", "response_format": "", "background": "", "n": null}),
        json!({"response_format": "b64_json", "output_format": "", "user": ""}),
    ] {
        let answer = generate(&server, "", &more).is(200).json();
        let item = answer["data"][0].as_object().unwrap();
        assert_eq!(item.keys().collect::<Vec<_>>(), ["b64_json"], "{more}");
        assert!(answer.get("warnings").is_none());
    }
}

#[test]
fn a_link_opens_without_the_token_and_only_the_whole_of_it() {
    let (server, token) = guarded();
    let url = link(generate(&server, token, &json!({"response_format": "url"})));
    let path = url
        .strip_prefix(&format!("http://{}", server.address))
        .unwrap();
    let picture = server.get(path).is(200);
    assert_eq!(picture.header("content-type"), Some("image/png"));
    let whole = generate(&server, token, &json!({})).is(200).json();
    assert!(
        picture.body == decoded(&whole["data"][0]["b64_json"]),
        "the same picture"
    );
    let parts: Vec<&str> = path.split('/').collect();
    let key = parts[5].to_owned();
    assert!(key.len() == 32 && path.ends_with("/0.png"), "{path}");
    for wrong in [
        String::new(),
        "0".to_owned(),
        "0".repeat(32),
        key.replace(['0', '1', '2', '3'], "4"),
    ] {
        let mut parts = parts.clone();
        parts[5] = &wrong;
        let answer = server.get(&parts.join("/")).is(404).json();
        assert_eq!(answer["error"]["type"], "invalid_request_error");
    }
    server.get(&path.replace("0.png", "1.png")).is(404);
    server.get(&path.replace("0.png", "job.json")).is(404);
    server.get("/v1/jobs").is(401);
    let id = parts[4];
    server.get(&format!("/v1/jobs/{id}/images/0")).is(401);
    let job = server
        .request("GET", &format!("/v1/jobs/{id}"), token, b"")
        .is(200)
        .text();
    assert!(!job.contains(&key), "the key is its client's alone");
    assert!(server.log.with(&key).is_empty());
    let server = server.killed_and_started_again();
    server.get(path).is(200);
}

#[test]
fn links_begin_as_the_proxy_before_the_server_says() {
    let (server, token) = guarded();
    for (headers, base) in [
        (
            "x-forwarded-proto: https\r\n",
            format!("https://{}/", server.address),
        ),
        (
            "x-forwarded-proto: https, http\r\nx-forwarded-host: pics.example\r\n",
            "https://pics.example/".into(),
        ),
        (
            "forwarded: for=192.0.2.1;host=\"a.example:8443\";proto=https\r\n",
            "https://a.example:8443/".into(),
        ),
        (
            "x-forwarded-host: a b\r\nx-forwarded-proto: ftp\r\n",
            format!("http://{}/", server.address),
        ),
    ] {
        let headers = format!("{token}{headers}");
        let url = link(generate(
            &server,
            &headers,
            &json!({"response_format": "url"}),
        ));
        assert!(url.starts_with(&base), "{url} for {headers}");
    }
}

#[test]
fn a_model_is_shown_by_each_of_its_names() {
    let server = Server::start(&["-m", &golden_model("sd15")]);
    let all = server.get("/v1/models").is(200).json();
    assert_eq!(server.get("/v1/models/demo").is(200).json(), all["data"][0]);
    assert_eq!(server.get("/v1/models/sd15").is(200).json()["id"], "sd15");
    for absent in ["gpt-image-1", "org/name", "org%2Fname", "..", "sd16"] {
        let answer = server.get(&format!("/v1/models/{absent}")).is(404).json();
        let error = &answer["error"];
        assert_eq!(
            (&error["param"], &error["type"]),
            (&json!("model"), &json!("invalid_request_error")),
            "{absent}"
        );
    }
}

#[test]
fn what_is_wrong_is_a_bad_request_in_their_form() {
    let server = Server::start(&[]);
    for (more, param) in [
        (json!({"size": "large"}), "size"),
        (json!({"n": 0}), "n"),
        (json!({"model": "no-such-model"}), "model"),
        (json!({"stream": true}), "stream"),
        (json!({"response_format": "gif"}), "response_format"),
        (json!({"promt": "a"}), "promt"),
        (json!({"prompt": "a".repeat(32_001)}), "prompt"),
    ] {
        let answer = generate(&server, "", &more).is(400).json();
        assert_eq!(
            (&answer["error"]["param"], &answer["error"]["code"]),
            (&json!(param), &json!("usage"))
        );
    }
    for (method, path, status) in [
        ("GET", GENERATIONS, 405),
        ("POST", "/v1/images/variations", 404),
        ("DELETE", "/v1/models/demo", 405),
    ] {
        let answer = server.request(method, path, "", b"").is(status).json();
        assert!(answer["error"]["message"].is_string(), "{method} {path}");
    }
    let answer = server
        .request(
            "POST",
            GENERATIONS,
            "content-type: application/json\r\n",
            b"{",
        )
        .is(400)
        .json();
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    server
        .post("/v1/jobs", &small(&json!({"steps": 0})))
        .is(422);
}

/// A form for an edit: texts, and files of pictures.
fn edit(server: &Server, texts: &[(&str, &str)], files: &[(&str, Vec<u8>)]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in texts {
        let part =
            format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.bytes());
    }
    for (name, bytes) in files {
        // As browsers name a file that was not chosen.
        let file = if bytes.is_empty() { "" } else { "a.png" };
        let head = format!(
            "--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    server.request(
        "POST",
        "/v1/images/edits",
        "content-type: multipart/form-data; boundary=x\r\n",
        &body,
    )
}

/// Pixels of the left half, and of the right but for its first column.
fn halves(bytes: &[u8]) -> [Vec<[u8; 3]>; 2] {
    let image = image::load_from_memory(bytes).unwrap().to_rgb8();
    [0..32, 33..64].map(|columns| {
        columns
            .flat_map(|x| (0..64).map(move |y| (x, y)))
            .map(|(x, y)| image.get_pixel(x, y).0)
            .collect()
    })
}

#[test]
fn an_edit_keeps_what_is_outside_its_mask() {
    let server = Server::start(&[]);
    let texts = [
        ("prompt", "a"),
        ("size", "64x64"),
        ("steps", "2"),
        ("seed", "3"),
        ("response_format", ""),
    ];
    let solid = png(64, 64, false);
    let [_, kept] = halves(&solid);
    // A mask of its own, and the picture's own transparency.
    let ways = [
        vec![("image", solid.clone()), ("mask", png(64, 64, true))],
        vec![("image[]", png(64, 64, true))],
    ];
    for files in ways {
        let answer = edit(&server, &texts, &files).is(200).json();
        let [left, right] = halves(&decoded(&answer["data"][0]["b64_json"]));
        assert!(right == kept, "outside the mask");
        assert!(
            left.iter().any(|pixel| *pixel != kept[0]),
            "inside the mask"
        );
    }
    let freely = [&texts[..], &[("keep_unmasked", "false")]].concat();
    let files = [("image", solid.clone()), ("mask", png(64, 64, true))];
    let answer = edit(&server, &freely, &files).is(200).json();
    let [_, right] = halves(&decoded(&answer["data"][0]["b64_json"]));
    assert!(right != kept, "unless the client says otherwise");
    // A field for a mask in which no file was chosen is no mask.
    edit(
        &server,
        &texts,
        &[("image", solid.clone()), ("mask", Vec::new())],
    )
    .is(200);
    // Without a mask the whole picture is drawn anew, and nothing is kept.
    edit(&server, &texts, &[("image", solid)]).is(200);
}
