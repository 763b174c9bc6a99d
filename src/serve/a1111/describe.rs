//! OpenAPI description of A1111's interface: its paths and schemas.

use serde_json::{Map, Value, json};

use super::fields::{IGNORED, NEUTRAL};
use crate::serve::desk::PROMPT;
use crate::serve::openapi::{OF_BODIES, answers, object, reference, with};

/// Read-only paths: operation, summary, and JSON type of the response.
const SHOWN: &[(&str, &str, &str)] = &[
    ("options", "Settings", "object"),
    ("sd-models", "Models", "array"),
    ("samplers", "Samplers", "array"),
    ("schedulers", "Schedules", "array"),
    ("scripts", "Scripts: none", "object"),
    ("script-info", "Arguments of scripts: none", "array"),
    ("embeddings", "Embeddings: none", "object"),
    ("cmd-flags", "Flags: none", "object"),
    ("sd-vae", "Autoencoders: none", "array"),
    ("loras", "LoRAs: none", "array"),
    ("hypernetworks", "Hypernetworks: none", "array"),
    ("upscalers", "Upscalers: none", "array"),
    ("latent-upscale-modes", "Modes of upscalers: none", "array"),
    ("face-restorers", "Face restorers: none", "array"),
    ("realesrgan-models", "Models of upscalers: none", "array"),
    ("prompt-styles", "Styles: none", "array"),
];

/// Paths of actions without a request body.
const DONE: &[(&str, &str)] = &[
    (
        "interrupt",
        "End the running job of this interface with what there is",
    ),
    (
        "skip",
        "End the running picture of this interface as it is, and begin the next",
    ),
    (
        "refresh-checkpoints",
        "Look for models anew: there is no need to",
    ),
    ("refresh-loras", "Look for LoRAs anew: there are none"),
    ("refresh-vae", "Look for autoencoders anew: there are none"),
];

/// All paths of the interface.
pub(in crate::serve) fn paths() -> Map<String, Value> {
    let any = || with("Done.", "application/json", json!({}));
    let mut paths = Map::new();
    for (name, summary, kind) in SHOWN {
        let good = with("As told.", "application/json", json!({ "type": kind }));
        paths.insert(
            path(name),
            json!({ "get": operation(&format!("a1111_{name}"), summary, good) }),
        );
    }
    for (name, summary) in DONE {
        let mut done = operation(&format!("a1111_{name}"), summary, any());
        done["responses"]["503"] = failure();
        paths.insert(path(name), json!({ "post": done }));
    }
    let progress = with(
        "How far it is.",
        "application/json",
        reference("A1111Progress"),
    );
    let mut progress = operation(
        "a1111_progress",
        "How far the running job of this interface is",
        progress,
    );
    let skip =
        json!({ "name": "skip_current_image", "in": "query", "schema": { "type": "boolean" } });
    progress["parameters"] = json!([skip]);
    for status in ["422", "503"] {
        progress["responses"][status] = failure();
    }
    paths.insert(path("progress"), json!({ "get": progress }));
    let pictures = || with("Pictures.", "application/json", reference("A1111Pictures"));
    for (name, summary) in [
        ("txt2img", "Pictures from a prompt"),
        ("img2img", "Pictures from a picture"),
    ] {
        paths.insert(
            path(name),
            json!({ "post": taking(name, summary, "A1111Request", pictures()) }),
        );
    }
    let said = with(
        "What it says.",
        "application/json",
        json!({ "type": "object" }),
    );
    let said = taking(
        "png-info",
        "What a picture says about itself",
        "A1111Picture",
        said,
    );
    paths.insert(path("png-info"), json!({ "post": said }));
    paths[&path("options")]["post"] = taking("set_options", "Set the model", "A1111Options", any());
    paths
}

fn path(name: &str) -> String {
    format!("/sdapi/v1/{name}")
}

fn operation(id: &str, summary: &str, good: Value) -> Value {
    json!({ "operationId": id, "summary": summary, "responses": answers("200", good, &[]) })
}

fn failure() -> Value {
    with(
        "What is wrong.",
        "application/json",
        reference("A1111Error"),
    )
}

/// An operation with a request body.
fn taking(name: &str, summary: &str, body: &str, good: Value) -> Value {
    let mut taking = operation(&format!("a1111_{name}"), summary, good);
    for status in OF_BODIES.iter().chain(&["404", "409", "500", "502"]) {
        taking["responses"][*status] = failure();
    }
    taking["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": reference(body) } } });
    taking
}

/// Request fields by JSON type.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "string",
        &[
            "prompt",
            "negative_prompt",
            "sampler_name",
            "sampler_index",
            "scheduler",
            "mask",
            "refiner_checkpoint",
            "script_name",
        ],
    ),
    (
        "integer",
        &[
            "steps",
            "width",
            "height",
            "batch_size",
            "n_iter",
            "resize_mode",
            "inpainting_fill",
            "inpaint_full_res_padding",
        ],
    ),
    (
        "number",
        &[
            "cfg_scale",
            "denoising_strength",
            "mask_blur",
            "mask_blur_x",
            "mask_blur_y",
        ],
    ),
    ("object", &["override_settings", "alwayson_scripts"]),
];

/// Boolean fields, also accepted as 1 or 0.
const SWITCHES: [&str; 3] = ["send_images", "inpaint_full_res", "inpainting_mask_invert"];

/// Schemas that the paths refer to.
pub(in crate::serve) fn schemas() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "number" });
    let mut fields = Map::new();
    for (kind, names) in FIELDS {
        fields.extend(
            names
                .iter()
                .map(|name| ((*name).to_owned(), json!({ "type": [kind, "null"] }))),
        );
    }
    for name in ["prompt", "negative_prompt"] {
        fields[name]["maxLength"] = json!(PROMPT);
    }
    for name in SWITCHES {
        fields.insert(
            name.to_owned(),
            json!({ "type": ["boolean", "number", "null"] }),
        );
    }
    fields.insert(
        "seed".to_owned(),
        json!({ "type": ["integer", "null"], "minimum": -1 }),
    );
    let pictures = json!({ "type": ["array", "null"], "items": text, "maxItems": 1 });
    fields.insert("init_images".to_owned(), pictures);
    let named = NEUTRAL
        .iter()
        .map(|row| row.0)
        .chain(IGNORED.iter().copied());
    let free = ["eta", "s_noise"];
    fields.extend(named.chain(free).map(|name| (name.to_owned(), json!({}))));
    // Other fields are ignored and listed in a response header.
    let request = json!({ "type": "object", "properties": fields });
    let pictures = json!({ "images": { "type": "array", "items": text }, "parameters": { "type": "object" }, "info": text });
    let progress = json!({
        "progress": number, "eta_relative": number, "state": { "type": "object" },
        "current_image": { "type": ["string", "null"] }, "textinfo": { "type": ["string", "null"] },
    });
    let title = json!({ "type": ["string", "null"] });
    let options = json!({ "type": "object", "properties": { "sd_model_checkpoint": title } });
    Map::from_iter([
        ("A1111Request".to_owned(), request),
        ("A1111Pictures".to_owned(), object(pictures, &[])),
        ("A1111Progress".to_owned(), object(progress, &[])),
        (
            "A1111Picture".to_owned(),
            object(json!({ "image": text }), &[]),
        ),
        ("A1111Options".to_owned(), options),
        (
            "A1111Error".to_owned(),
            object(
                json!({ "error": text, "detail": text, "body": text, "errors": text }),
                &[],
            ),
        ),
    ])
}
