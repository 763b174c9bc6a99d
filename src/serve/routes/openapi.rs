//! OpenAPI 3.1 description of the server. The fields of a job are read from `Params`; paths and
//! responses are listed here, and a test requests each of them.

use serde_json::{Value, json};

use crate::serve::compat::a1111;
use crate::serve::compat::openai::IMAGE_LINKS;
use crate::serve::fields;
use crate::serve::fields::{Access, Field, Type};
use crate::serve::job::{Operation, State};
use crate::serve::schema::{
    ApiOperation, BODY_ERRORS, json_body, merge, names_of, object, problem, response, schema_ref,
};
use crate::serve::service::LONG_PROMPT;
use crate::serve::submit::{MAX_PROMPT, PROMPT_FIELDS};

/// The document.
pub(super) fn openapi_document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sdgen",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Stable Diffusion images: jobs, their events and their pictures.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{}, { "token": [] }],
    })
}

fn paths() -> Value {
    merge([own_paths(), openai_paths(), a1111::openapi::paths()])
}

fn path_parameter(name: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn png(description: &str) -> Value {
    let schema = json!({ "type": "string", "contentMediaType": "image/png" });
    response(description, "image/png", schema)
}

fn own_paths() -> Value {
    let text = json!({ "type": "string" });
    let id = path_parameter("id", &text);
    let index = path_parameter("index", &json!({ "type": "integer", "minimum": 0 }));
    let last_id = json!({
        "name": "Last-Event-ID", "in": "header",
        "schema": { "type": "string", "pattern": "^[0-9]{1,15}$" },
    });
    let read = |path_id: &str, summary: &str, schema: &str, description: &str| {
        ApiOperation::new(path_id, summary, json_body(description, schema_ref(schema)))
    };
    let plain = |path_id: &str, summary: &str, media_type: &str| {
        ApiOperation::new(
            path_id,
            summary,
            response("Done.", media_type, text.clone()),
        )
    };
    let of_job = |path_id: &str, summary: &str, success: Value| {
        ApiOperation::new(path_id, summary, success)
            .responses(&["404", "503"], &problem())
            .parameters(json!([id]))
    };
    let job = || json_body("The job.", schema_ref("Job"));
    let any = json_body("OpenAPI.", json!({ "type": "object" }));
    let links = json!({ "images": { "type": "array", "items": schema_ref("Image") } });
    let latents = json!({ "type": "string", "format": "binary" });
    let latents = response("Latents.", "application/octet-stream", latents);
    let events = response(
        "Events: queued, running, fetch, stage, progress, preview, image, warning, then complete, \
         error or cancelled.",
        "text/event-stream",
        text.clone(),
    );
    let no_more_events = json!({ "description": "The client has heard the end already." });
    let deleted = json!({ "description": "It had ended, and is forgotten." });
    let not_ready = json_body("Not yet, or no more.", schema_ref("Ready"));
    let stop = "Stop a job: one that waits at once, one that runs at its next step; or forget one \
                that has ended, with its pictures";
    let failed = "What was drawn and could not be decoded";
    json!({
        "/": { "get": plain("page", "The page for browsers", "text/html") },
        "/health": { "get": read("health", "Whether the server is alive", "Health", "It is.") },
        "/ready": {
            "get": read("ready", "Whether a job is begun at once", "Ready", "Ready.")
                .responses(&["503"], &not_ready),
        },
        "/metrics": { "get": plain("metrics", "Figures in Prometheus' text format", "text/plain") },
        "/openapi.json": { "get": ApiOperation::new("openapi", "This document", any) },
        "/v1/models": {
            "get": read("models", "Models that can be asked for", "Models", "Models.")
                .responses(&["401", "403"], &openai_error()),
        },
        "/v1/samplers": { "get": read("samplers", "Samplers and schedules", "Samplers", "Names.") },
        "/v1/jobs": { "get": list_jobs(), "post": submit_job() },
        "/v1/jobs/{id}": {
            "get": of_job("job", "A job", job()),
            "delete": of_job("remove", stop, job()).responses(&["204"], &deleted),
        },
        "/v1/jobs/{id}/stream": {
            "get": of_job("stream", "What happens to a job, as it happens", events)
                .responses(&["204"], &no_more_events)
                .parameters(json!([id, last_id])),
        },
        "/v1/jobs/{id}/image": { "get": of_job("image", "The first picture", png("The picture.")) },
        "/v1/jobs/{id}/images": {
            "get": of_job("images", "Where the pictures are", json_body("Links.", object(links, &[]))),
        },
        "/v1/jobs/{id}/latents": { "get": of_job("latents", failed, latents) },
        "/v1/jobs/{id}/images/{index}": {
            "get": of_job("image_at", "A picture", png("The picture."))
                .parameters(json!([id, index])),
        },
    })
}

fn list_jobs() -> ApiOperation {
    let jobs = json!({
        "jobs": { "type": "array", "items": schema_ref("Job") },
        "next": { "type": ["string", "null"], "description": "Path of the rest of the list" },
    });
    let parameters = json!([
        {
            "name": "state", "in": "query",
            "schema": { "type": "string", "enum": names_of::<State>() },
        },
        {
            "name": "limit", "in": "query",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 },
        },
        {
            "name": "cursor", "in": "query", "description": "From `next` of the list before",
            "schema": { "type": "string" },
        },
    ]);
    let success = json_body("Jobs.", object(jobs, &[]));
    ApiOperation::new("jobs", "Jobs, the newest first", success)
        .responses(&["422", "503"], &problem())
        .parameters(parameters)
}

fn submit_job() -> ApiOperation {
    let accepted = json!({ "job_id": { "type": "string" }, "stream_url": { "type": "string" } });
    let accepted = json_body("It waits in the queue.", object(accepted, &[]));
    ApiOperation::with_status("create", "Order pictures", "202", accepted)
        .responses(BODY_ERRORS, &problem())
        .body(&[
            ("application/json", "Order"),
            ("multipart/form-data", "OrderForm"),
        ])
}

fn openai_error() -> Value {
    json_body("What is wrong.", schema_ref("OpenAiError"))
}

fn openai_paths() -> Value {
    let read = |id: &str, summary: &str, parameters: &[&str], success: Value| {
        let text = json!({ "type": "string" });
        let parameters = parameters.iter().map(|name| path_parameter(name, &text));
        ApiOperation::new(id, summary, success)
            .responses(&["401", "403", "404", "503"], &openai_error())
            .parameters(parameters.collect())
    };
    let generate = |id: &str, summary: &str, media_type: &str, schema: &str| {
        let errors = [
            "400", "401", "403", "404", "408", "409", "413", "415", "500", "502", "503",
        ];
        let success = json_body("Pictures.", schema_ref("OpenAiImages"));
        ApiOperation::new(id, summary, success)
            .responses(&errors, &openai_error())
            .body(&[(media_type, schema)])
    };
    let link = "A picture by its link, which opens for an hour without the token";
    let (json, form) = ("application/json", "multipart/form-data");
    let model = json_body("The model.", schema_ref("Model"));
    json!({
        "/v1/images/generations": {
            "post": generate("generations", "OpenAI's images", json, "OpenAiRequest"),
        },
        "/v1/images/edits": {
            "post": generate("edits", "OpenAI's edits of an image", form, "OpenAiEdit"),
        },
        (format!("{IMAGE_LINKS}/{{id}}/{{key}}/{{file}}")): {
            "get": read("file", link, &["id", "key", "file"], png("The picture.")),
        },
        "/v1/models/{id}": { "get": read("model", "A model", &["id"], model) },
    })
}

/// A field of a job, for JSON or for a form.
fn property(field: &Field, form: bool) -> Value {
    let mut schema = match field.kind {
        Type::Text => json!({ "type": "string" }),
        Type::Whole => json!({ "type": "integer", "minimum": fields::minimum(&field.name) }),
        Type::Real => json!({ "type": "number" }),
        Type::Switch => json!({ "type": "boolean" }),
        Type::Wholes => json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } }),
        Type::Reals => json!({ "type": "array", "items": { "type": "number" } }),
    };
    schema["description"] = json!(field.about);
    if !field.choices.is_empty() {
        schema["enum"] = json!(field.choices);
    }
    if !form {
        let kind = schema["type"].take();
        schema["type"] = json!([kind, "null"]);
        if let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            choices.push(Value::Null);
        }
    }
    if PROMPT_FIELDS.contains(&field.name.as_str()) {
        schema["maxLength"] = json!(MAX_PROMPT);
    }
    if field.name == "long_prompt" {
        schema["default"] = json!(LONG_PROMPT.name());
    }
    if field.access == Access::Image {
        schema["contentEncoding"] = json!("base64");
    }
    schema
}

/// The fields that a client may set.
fn job_fields(form: bool) -> Value {
    let mut properties = json!({
        "operation": {
            "type": "string", "enum": names_of::<Operation>(),
            "description": "What the other fields amount to; may be left out",
        },
    });
    for field in fields::all_fields() {
        if field.access != Access::Server {
            properties[&field.name] = property(&field, form);
        }
    }
    json!({
        "type": "object", "required": ["prompt"], "properties": properties,
        "additionalProperties": false,
    })
}

fn schemas() -> Value {
    let requests = json!({ "Order": job_fields(false), "OrderForm": job_fields(true) });
    merge([
        requests,
        own_schemas(),
        openai_schemas(),
        a1111::openapi::schemas(),
    ])
}

fn own_schemas() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    let count = json!({ "type": "integer", "minimum": 0 });
    let switch = json!({ "type": "boolean" });
    let optional_text = json!({ "type": ["string", "null"] });
    let optional_number = json!({ "type": ["number", "null"] });
    let failure = json!({
        "kind": text, "field": optional_text, "message": text, "hints": texts,
    });
    let image = json!({
        "url": text, "index": count, "seed": count, "width": count, "height": count,
        "bytes": count,
    });
    let job = json!({
        "job_id": text, "state": { "type": "string", "enum": names_of::<State>() },
        "operation": { "type": "string", "enum": names_of::<Operation>() },
        "created": text, "started": optional_text, "ended": optional_text, "stream_url": text,
        "position": { "type": ["integer", "null"] },
        "progress": object(json!({ "step": count, "total": count }), &[]),
        "params": { "type": "object" },
        "images": { "type": "array", "items": schema_ref("Image") },
        "error": { "anyOf": [schema_ref("Failure"), { "type": "null" }] },
        "warnings": texts,
    });
    let problem = json!({
        "type": text, "title": text, "status": count, "detail": text, "kind": text,
        "hints": texts, "field": text,
        "others": { "type": "array", "items": schema_ref("Failure") },
    });
    let model = json!({
        "id": text, "object": text, "created": count, "owned_by": text, "default": switch,
        "cached": switch, "size": optional_number, "steps": optional_number,
        "cfg_scale": optional_number, "license": optional_text, "about": optional_text,
    });
    let models = json!({
        "object": text, "data": { "type": "array", "items": schema_ref("Model") },
    });
    let ready = json!({ "ready": switch, "timestamp": text, "reason": text, "queued": count });
    let sampler = object(json!({ "name": text, "about": text }), &[]);
    let samplers = json!({
        "samplers": { "type": "array", "items": sampler }, "schedules": texts,
        "timestep_spacings": texts,
    });
    json!({
        "Failure": object(failure, &[]),
        "Image": object(image, &[]),
        "Job": object(job, &[]),
        "Problem": object(problem, &["field", "others"]),
        "Health": object(json!({ "status": text, "timestamp": text }), &[]),
        "Ready": object(ready, &["reason", "queued"]),
        "Model": object(model, &[]),
        "Models": object(models, &[]),
        "Samplers": object(samplers, &[]),
    })
}

fn openai_schemas() -> Value {
    let text = json!({ "type": "string" });
    let optional_text = json!({ "type": ["string", "null"] });
    let mut request = json!({
        "prompt": { "type": "string", "maxLength": MAX_PROMPT },
        "model": text, "n": { "type": "integer", "minimum": 1 }, "size": text,
        "response_format": {
            "type": ["string", "null"], "enum": ["b64_json", "url", "", null],
            "default": "b64_json",
        },
        "steps": { "type": "integer", "minimum": 1 },
        "seed": { "type": "integer", "minimum": -1 },
    });
    let mut edit = request.clone();
    for name in ["image", "mask"] {
        edit[name] = json!({ "type": "string", "format": "binary" });
    }
    // JSON may have null instead of an absent field; a form has no null.
    for name in ["model", "n", "size", "steps", "seed"] {
        let kind = request[name]["type"].take();
        request[name]["type"] = json!([kind, "null"]);
    }
    let image = json!({ "b64_json": text, "url": text });
    let image = object(image, &["b64_json", "url"]);
    let images = json!({
        "created": { "type": "integer" }, "data": { "type": "array", "items": image },
        "output_format": text, "size": optional_text,
        "warnings": { "type": "array", "items": text },
    });
    let error = json!({ "message": text, "type": text, "param": optional_text, "code": text });
    let error = json!({ "error": object(error, &[]) });
    let optional = [
        "model",
        "n",
        "size",
        "response_format",
        "steps",
        "seed",
        "mask",
    ];
    json!({
        "OpenAiRequest": object(request, &optional),
        "OpenAiEdit": object(edit, &optional),
        "OpenAiImages": object(images, &["warnings"]),
        "OpenAiError": object(error, &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_job_are_those_that_clients_may_set() {
        let fields = job_fields(false);
        let properties = fields["properties"].as_object().unwrap();
        assert_eq!(properties["steps"]["type"], json!(["integer", "null"]));
        assert!(
            properties["sampler"]["enum"]
                .as_array()
                .unwrap()
                .contains(&json!("euler_a"))
        );
        assert!(
            properties["prompt"]["description"]
                .as_str()
                .unwrap()
                .starts_with("Prompt")
        );
        for closed in ["output", "device", "threads", "offline"] {
            assert!(!properties.contains_key(closed), "{closed}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi_document();
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
        }
    }
}
