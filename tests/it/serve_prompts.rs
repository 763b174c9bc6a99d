//! Prompts over HTTP: long ones are drawn whole, what is cut is told, and there is a limit.

use serde_json::{Value, json};

use crate::serve::{Server, small};

/// More words than the text encoder's window takes.
fn long() -> String {
    (0..200).map(|i| format!("word{i} ")).collect()
}

fn warnings(job: &Value) -> Vec<&str> {
    job["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning.as_str().unwrap())
        .collect()
}

#[test]
fn long_prompts_are_drawn_in_chunks_by_every_interface() {
    let server = Server::start(&[]);
    let prompt = long();
    let chunked = server.order(&json!({"prompt": prompt, "long_prompt": "chunk"}));
    let plain = server.order(&json!({"prompt": prompt}));
    let cut = server.order(&json!({"prompt": prompt, "long_prompt": "truncate"}));
    let picture = |id: &str| {
        let job = server.ended(id);
        assert_eq!(job["state"], "completed", "{job}");
        server.get(&format!("/v1/jobs/{id}/image")).is(200).body
    };
    let whole = picture(&chunked);
    assert!(picture(&plain) == whole && picture(&cut) != whole);
    assert!(warnings(&server.ended(&plain)).is_empty());
    let sent = json!({"prompt": prompt, "size": "64x64", "steps": 1, "seed": 7});
    let answer = server.post("/v1/images/generations", &sent).is(200).json();
    assert!(crate::serve_clients::decoded(&answer["data"][0]["b64_json"]) == whole);
    assert!(answer.get("warnings").is_none());
}

#[test]
fn a_cut_prompt_is_told_by_status_story_and_answers() {
    let server = Server::start(&[]);
    let more = json!({"prompt": long(), "negative_prompt": long(), "long_prompt": "truncate", "cfg_scale": 3});
    let id = server.order(&more);
    let job = server.ended(&id);
    let told = warnings(&job);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("the prompt is too long") && told[1].starts_with("the negative prompt"),
        "{told:?}"
    );
    let heard = |server: &Server| {
        let events = server
            .events(&id, 0)
            .into_iter()
            .filter(|event| event.1 == "warning");
        events
            .map(|event| event.2["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(heard(&server), told, "late listeners hear them");
    // The same prompt again comes from memory, and is told again.
    let again = server.order(&more);
    assert_eq!(warnings(&server.ended(&again)), told);
    let mut sent =
        json!({"prompt": long(), "size": "64x64", "steps": 1, "long_prompt": "truncate"});
    let answer = server.post("/v1/images/generations", &sent).is(200).json();
    assert_eq!(warnings(&answer), told[..1]);
    // A1111's interface reads every prompt in chunks: nothing is cut there.
    sent = json!({"prompt": long(), "width": 64, "height": 64, "steps": 1});
    let answer = server.post("/sdapi/v1/txt2img", &sent).is(200).json();
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert!(warnings(&info).is_empty());
    let server = server.killed_and_started_again();
    assert_eq!(
        warnings(&server.ended(&id)),
        told,
        "the next process knows them"
    );
    assert_eq!(heard(&server), told);
}

#[test]
fn a_warning_goes_to_no_other_client_of_the_same_forward() {
    let server = Server::start(&["--batch-size", "2"]);
    let held = server.held(1, &json!({"steps": 2}));
    let [cut, short] = [long(), "a cat".to_owned()]
        .map(|prompt| server.order(&json!({"prompt": prompt, "long_prompt": "truncate"})));
    server.release();
    server.ended(&held);
    assert_eq!(warnings(&server.ended(&cut)).len(), 1);
    assert!(
        warnings(&server.ended(&short)).is_empty(),
        "it is another's prompt"
    );
}

#[test]
fn a_prompt_has_a_limit_by_every_interface() {
    let server = Server::start(&[]);
    // Characters, not bytes.
    let most = "é".repeat(32_000);
    for field in ["prompt", "negative_prompt", "prompt_2", "negative_prompt_2"] {
        let answer = server
            .post("/v1/jobs", &small(&json!({ field: format!("{most}é") })))
            .is(422)
            .json();
        assert_eq!(answer["field"], field);
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            detail.contains("32000 characters") && detail.contains("32001"),
            "{detail}"
        );
    }
    let both =
        small(&json!({"prompt": "a".repeat(2_000_000), "negative_prompt": "b".repeat(40_000)}));
    let answer = server.post("/v1/jobs", &both).is(422).json();
    assert_eq!(
        (&answer["field"], &answer["others"][0]["field"]),
        (&json!("prompt"), &json!("negative_prompt"))
    );
    for (path, status) in [("/v1/images/generations", 400), ("/sdapi/v1/txt2img", 422)] {
        for field in ["prompt", "negative_prompt"] {
            let mut sent = json!({"prompt": "a"});
            sent[field] = "a ".repeat(20_000).into();
            let answer = server.post(path, &sent).is(status).text();
            assert!(
                answer.contains("32000 characters") && answer.contains(field),
                "{answer}"
            );
        }
    }
    // The most that is taken is drawn; blanks take no time.
    let id = server.order(&json!({"prompt": format!("é{}", " ".repeat(31_999))}));
    assert_eq!(server.ended(&id)["state"], "completed");
}
