//! OpenAPI description of A1111's API: its paths and schemas.

use serde_json::{Value, json};

use super::fields::{IGNORED, NEUTRAL};
use crate::serve::schema::{ApiOperation, BODY_ERRORS, json_body, object, schema_ref};
use crate::serve::submit::MAX_PROMPT;

/// Read-only paths: operation, summary, and JSON type of the response.
const READ_PATHS: &[(&str, &str, &str)] = &[
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
const ACTION_PATHS: &[(&str, &str)] = &[
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
        "Look for models again: there is no need to",
    ),
    ("refresh-loras", "Look for LoRAs again: there are none"),
    ("refresh-vae", "Look for autoencoders again: there are none"),
];

/// All paths of the API.
pub(crate) fn paths() -> Value {
    let operation = |name: &str, summary: &str, success: Value| {
        ApiOperation::new(&format!("a1111_{name}"), summary, success)
    };
    let with_body = |name: &str, summary: &str, schema: &str, success: Value| {
        operation(name, summary, success)
            .responses(BODY_ERRORS, &error())
            .responses(&["404", "409", "500", "502"], &error())
            .body(&[("application/json", schema)])
    };
    let done = || json_body("Done.", json!({}));
    let images = || json_body("Pictures.", schema_ref("A1111Pictures"));
    let said = json_body("What it says.", json!({ "type": "object" }));
    let progress = json_body("How far it is.", schema_ref("A1111Progress"));
    let without_preview = json!({
        "name": "skip_current_image", "in": "query", "schema": { "type": "boolean" },
    });
    let mut paths = json!({
        (path("progress")): {
            "get": operation("progress", "How far the running job of this interface is", progress)
                .responses(&["422", "503"], &error())
                .parameters(json!([without_preview])),
        },
        (path("txt2img")): {
            "post": with_body("txt2img", "Pictures from a prompt", "A1111Request", images()),
        },
        (path("img2img")): {
            "post": with_body("img2img", "Pictures from a picture", "A1111Request", images()),
        },
        (path("png-info")): {
            "post": with_body("png-info", "What a picture says about itself", "A1111Picture", said),
        },
        (path("options")): {
            "post": with_body("set_options", "Set the model", "A1111Options", done()),
        },
    });
    for (name, summary, kind) in READ_PATHS {
        let success = json_body("Done.", json!({ "type": kind }));
        paths[path(name)]["get"] = json!(operation(name, summary, success));
    }
    for (name, summary) in ACTION_PATHS {
        let action = operation(name, summary, done()).responses(&["503"], &error());
        paths[path(name)]["post"] = json!(action);
    }
    paths
}

fn path(name: &str) -> String {
    format!("/sdapi/v1/{name}")
}

fn error() -> Value {
    json_body("What is wrong.", schema_ref("A1111Error"))
}

/// Schemas that the paths refer to.
pub(crate) fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "number" });
    let optional_text = json!({ "type": ["string", "null"] });
    let images = json!({
        "images": { "type": "array", "items": text }, "parameters": { "type": "object" },
        "info": text,
    });
    let progress = json!({
        "progress": number, "eta_relative": number, "state": { "type": "object" },
        "current_image": optional_text, "textinfo": optional_text,
    });
    let options = json!({ "sd_model_checkpoint": optional_text });
    let error = json!({ "error": text, "detail": text, "body": text, "errors": text });
    json!({
        // Other fields are ignored and listed in a response header.
        "A1111Request": { "type": "object", "properties": request_fields() },
        "A1111Pictures": object(images, &[]),
        "A1111Progress": object(progress, &[]),
        "A1111Picture": object(json!({ "image": text }), &[]),
        "A1111Options": { "type": "object", "properties": options },
        "A1111Error": object(error, &[]),
    })
}

fn request_fields() -> Value {
    let text = json!({ "type": ["string", "null"] });
    let prompt = json!({ "type": ["string", "null"], "maxLength": MAX_PROMPT });
    let integer = json!({ "type": ["integer", "null"] });
    let number = json!({ "type": ["number", "null"] });
    let object = json!({ "type": ["object", "null"] });
    // Also accepted as 1 or 0.
    let switch = json!({ "type": ["boolean", "number", "null"] });
    let image = json!({ "type": "string" });
    let mut fields = json!({
        "prompt": prompt, "negative_prompt": prompt, "sampler_name": text, "sampler_index": text,
        "scheduler": text, "mask": text, "refiner_checkpoint": text, "script_name": text,
        "steps": integer, "width": integer, "height": integer, "batch_size": integer,
        "n_iter": integer, "resize_mode": integer, "inpainting_fill": integer,
        "inpaint_full_res_padding": integer, "cfg_scale": number, "denoising_strength": number,
        "mask_blur": number, "mask_blur_x": number, "mask_blur_y": number,
        "override_settings": object, "alwayson_scripts": object, "send_images": switch,
        "inpaint_full_res": switch, "inpainting_mask_invert": switch, "eta": {}, "s_noise": {},
        "seed": { "type": ["integer", "null"], "minimum": -1 },
        "init_images": { "type": ["array", "null"], "items": image, "maxItems": 1 },
    });
    for name in NEUTRAL
        .iter()
        .map(|row| row.0)
        .chain(IGNORED.iter().copied())
    {
        fields[name] = json!({});
    }
    fields
}
