//! OpenAPI 3.1 description of the server. The fields of a job are read from `Params`; paths and
//! responses are listed here, and a test requests each of them.

use serde_json::{Map, Value, json};

use super::LONG_PROMPT;
use super::a1111::describe;
use super::desk::{PROMPT, PROMPTS};
use super::fields::{self, Access, Field, Type};
use super::job::{Operation, State};
use super::openai::LINKS;
use crate::named_enum::Named;

/// The document.
pub(super) fn document() -> Value {
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

fn names<T: Named>() -> Vec<&'static str> {
    T::ALL.iter().map(|row| row.1).collect()
}

fn paths() -> Value {
    let mut paths = status_paths();
    paths.extend(job_paths());
    paths.extend(foreign_paths());
    paths.extend(describe::paths());
    Value::Object(paths)
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An answer with a body of a schema.
pub(super) fn with(description: &str, kind: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { kind: { "schema": schema } } })
}

/// Responses of an operation: the successful one, and the errors besides those that every operation
/// has.
pub(super) fn answers(status: &str, good: Value, problems: &[&str]) -> Value {
    let mut answers = Map::from_iter([(status.to_owned(), good)]);
    for status in problems.iter().chain(&["401", "403"]) {
        let problem = with(
            "What is wrong.",
            "application/problem+json",
            reference("Problem"),
        );
        answers.insert((*status).to_owned(), problem);
    }
    Value::Object(answers)
}

fn get(id: &str, summary: &str, good: Value) -> Value {
    json!({ "get": { "operationId": id, "summary": summary, "responses": answers("200", good, &[]) } })
}

fn status_paths() -> Map<String, Value> {
    let any = json!({ "type": "object" });
    let text = |kind: &str| with("As told.", kind, json!({ "type": "string" }));
    let mut ready = get(
        "ready",
        "Whether a job is begun at once",
        with("Ready.", "application/json", reference("Ready")),
    );
    let mut models = get(
        "models",
        "Models that can be asked for",
        with("Models.", "application/json", reference("Models")),
    );
    for status in ["401", "403"] {
        models["get"]["responses"][status] = openai_failure();
    }
    ready["get"]["responses"]["503"] = with(
        "Not yet, or no more.",
        "application/json",
        reference("Ready"),
    );
    Map::from_iter([
        (
            "/".to_owned(),
            get("page", "The page for browsers", text("text/html")),
        ),
        (
            "/health".to_owned(),
            get(
                "health",
                "Whether the server is alive",
                with("It is.", "application/json", reference("Health")),
            ),
        ),
        ("/ready".to_owned(), ready),
        (
            "/metrics".to_owned(),
            get(
                "metrics",
                "Figures in Prometheus' text format",
                text("text/plain"),
            ),
        ),
        (
            "/openapi.json".to_owned(),
            get(
                "openapi",
                "This document",
                with("OpenAPI.", "application/json", any),
            ),
        ),
        ("/v1/models".to_owned(), models),
        (
            "/v1/samplers".to_owned(),
            get(
                "samplers",
                "Samplers and schedules",
                with("Names.", "application/json", reference("Samplers")),
            ),
        ),
    ])
}

#[allow(clippy::too_many_lines, reason = "a table of paths")]
fn job_paths() -> Map<String, Value> {
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    let index = json!({ "name": "index", "in": "path", "required": true, "schema": { "type": "integer", "minimum": 0 } });
    let of_job = |method: &str, id_of: &str, summary: &str, good: Value, parameters: Value| {
        let answers = answers("200", good, &["404", "503"]);
        json!({ method: { "operationId": id_of, "summary": summary, "parameters": parameters, "responses": answers } })
    };
    let job = || with("The job.", "application/json", reference("Job"));
    let picture = || {
        with(
            "The picture.",
            "image/png",
            json!({ "type": "string", "contentMediaType": "image/png" }),
        )
    };
    let mut one = of_job("get", "job", "A job", job(), json!([id]));
    one["delete"] = of_job(
        "delete",
        "remove",
        "Stop a job: one that waits at once, one that runs at its next step; or forget one that has ended, with its pictures",
        job(),
        json!([id]),
    )["delete"]
        .take();
    one["delete"]["responses"]["204"] = json!({ "description": "It had ended, and is forgotten." });
    let heard = json!({ "name": "Last-Event-ID", "in": "header", "schema": { "type": "string", "pattern": "^[0-9]{1,15}$" } });
    let events = with(
        "Events: queued, running, fetch, stage, progress, preview, image, warning, then complete, error or cancelled.",
        "text/event-stream",
        json!({ "type": "string" }),
    );
    let mut stream = of_job(
        "get",
        "stream",
        "What happens to a job, as it happens",
        events,
        json!([id, heard]),
    );
    stream["get"]["responses"]["204"] =
        json!({ "description": "The client has heard the end already." });
    let latents = with(
        "Latents.",
        "application/octet-stream",
        json!({ "type": "string", "format": "binary" }),
    );
    let images = with(
        "Links.",
        "application/json",
        json!({ "type": "object", "required": ["images"], "properties": { "images": { "type": "array", "items": reference("Image") } } }),
    );
    Map::from_iter([
        (
            "/v1/jobs".to_owned(),
            json!({ "get": list(), "post": create() }),
        ),
        ("/v1/jobs/{id}".to_owned(), one),
        ("/v1/jobs/{id}/stream".to_owned(), stream),
        (
            "/v1/jobs/{id}/image".to_owned(),
            of_job("get", "image", "The first picture", picture(), json!([id])),
        ),
        (
            "/v1/jobs/{id}/images".to_owned(),
            of_job(
                "get",
                "images",
                "Where the pictures are",
                images,
                json!([id]),
            ),
        ),
        (
            "/v1/jobs/{id}/latents".to_owned(),
            of_job(
                "get",
                "latents",
                "What was drawn and could not be decoded",
                latents,
                json!([id]),
            ),
        ),
        (
            "/v1/jobs/{id}/images/{index}".to_owned(),
            of_job(
                "get",
                "image_at",
                "A picture",
                picture(),
                json!([id, index]),
            ),
        ),
    ])
}

fn list() -> Value {
    let jobs = json!({ "type": "array", "items": reference("Job") });
    let next = json!({ "type": ["string", "null"], "description": "Path of the rest of the list" });
    let jobs = object(json!({ "jobs": jobs, "next": next }), &[]);
    json!({
        "operationId": "jobs",
        "summary": "Jobs, the newest first",
        "parameters": [
            { "name": "state", "in": "query", "schema": { "type": "string", "enum": names::<State>() } },
            { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 } },
            { "name": "cursor", "in": "query", "schema": { "type": "string" }, "description": "From `next` of the list before" },
        ],
        "responses": answers("200", with("Jobs.", "application/json", jobs), &["422", "503"]),
    })
}

/// Problems of everything that takes a body.
pub(super) const OF_BODIES: &[&str] = &["400", "408", "413", "415", "422", "503"];

fn create() -> Value {
    let accepted = json!({
        "type": "object",
        "required": ["job_id", "stream_url"],
        "properties": { "job_id": { "type": "string" }, "stream_url": { "type": "string" } },
    });
    json!({
        "operationId": "create",
        "summary": "Order pictures",
        "requestBody": { "required": true, "content": {
            "application/json": { "schema": reference("Order") },
            "multipart/form-data": { "schema": reference("OrderForm") },
        } },
        "responses": answers("202", with("It waits in the queue.", "application/json", accepted), OF_BODIES),
    })
}

fn openai_failure() -> Value {
    with(
        "What is wrong.",
        "application/json",
        reference("OpenAiError"),
    )
}

/// Answers of an operation of OpenAI's interface.
fn openai_answers(good: Value) -> Map<String, Value> {
    let failures = ["401", "403", "404"].map(|status| (status.to_owned(), openai_failure()));
    failures
        .into_iter()
        .chain([("200".to_owned(), good)])
        .collect()
}

/// A path of OpenAI's interface that only shows something.
fn shown(id: &str, summary: &str, parameters: &[&str], good: Value) -> Value {
    let parameter = |name: &&str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let parameters: Vec<Value> = parameters.iter().map(parameter).collect();
    let mut answers = openai_answers(good);
    answers.insert("503".to_owned(), openai_failure());
    json!({ "get": { "operationId": id, "summary": summary, "parameters": parameters, "responses": answers } })
}

fn foreign_paths() -> Map<String, Value> {
    let openai = |id: &str, summary: &str, kind: &str, schema: &str| {
        let mut answers = openai_answers(with(
            "Pictures.",
            "application/json",
            reference("OpenAiImages"),
        ));
        for status in OF_BODIES
            .iter()
            .chain(&["409", "500", "502"])
            .filter(|status| **status != "422")
        {
            answers.insert((*status).to_owned(), openai_failure());
        }
        let body =
            json!({ "required": true, "content": { kind: { "schema": reference(schema) } } });
        json!({ "post": { "operationId": id, "summary": summary, "requestBody": body, "responses": answers } })
    };
    Map::from_iter([
        (
            "/v1/images/generations".to_owned(),
            openai(
                "generations",
                "OpenAI's images",
                "application/json",
                "OpenAiRequest",
            ),
        ),
        (
            format!("{LINKS}/{{id}}/{{key}}/{{file}}"),
            shown(
                "file",
                "A picture by its link, which opens for an hour without the token",
                &["id", "key", "file"],
                with(
                    "The picture.",
                    "image/png",
                    json!({ "type": "string", "contentMediaType": "image/png" }),
                ),
            ),
        ),
        (
            "/v1/models/{id}".to_owned(),
            shown(
                "model",
                "A model",
                &["id"],
                with("The model.", "application/json", reference("Model")),
            ),
        ),
        (
            "/v1/images/edits".to_owned(),
            openai(
                "edits",
                "OpenAI's edits of an image",
                "multipart/form-data",
                "OpenAiEdit",
            ),
        ),
    ])
}

/// A field of a job, for JSON or for a form.
fn property(field: &Field, form: bool) -> Value {
    let (kind, more) = match field.kind {
        Type::Text => ("string", json!({})),
        Type::Whole => ("integer", json!({ "minimum": fields::least(&field.name) })),
        Type::Real => ("number", json!({})),
        Type::Switch => ("boolean", json!({})),
        Type::Wholes => (
            "array",
            json!({ "items": { "type": "integer", "minimum": 0 } }),
        ),
        Type::Reals => ("array", json!({ "items": { "type": "number" } })),
    };
    let mut schema = more;
    schema["description"] = json!(field.about);
    schema["type"] = if form {
        json!(kind)
    } else {
        json!([kind, "null"])
    };
    if !field.choices.is_empty() {
        let null = (!form).then_some(Value::Null);
        let choices = field.choices.iter().map(|name| json!(name)).chain(null);
        schema["enum"] = choices.collect();
    }
    if PROMPTS.contains(&field.name.as_str()) {
        schema["maxLength"] = json!(PROMPT);
    }
    if field.name == "long_prompt" {
        schema["default"] = json!(LONG_PROMPT.name());
    }
    if field.access == Access::Picture {
        schema["contentEncoding"] = json!("base64");
    }
    schema
}

/// The fields that a client may set.
fn order(form: bool) -> Value {
    let operation = json!({ "type": "string", "enum": names::<Operation>(), "description": "What the other fields amount to; may be left out" });
    let mut properties = Map::from_iter([("operation".to_owned(), operation)]);
    for field in fields::all()
        .iter()
        .filter(|field| field.access != Access::Server)
    {
        properties.insert(field.name.clone(), property(field, form));
    }
    json!({ "type": "object", "required": ["prompt"], "properties": properties, "additionalProperties": false })
}

fn schemas() -> Value {
    let mut schemas = Map::new();
    schemas.insert("Order".to_owned(), order(false));
    schemas.insert("OrderForm".to_owned(), order(true));
    schemas.extend(answered());
    schemas.extend(openai());
    schemas.extend(describe::schemas());
    Value::Object(schemas)
}

/// An object of text fields and others; all but `optional` are there.
pub(super) fn object(properties: Value, optional: &[&str]) -> Value {
    let names = properties
        .as_object()
        .map(|map| map.keys().cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    let required: Vec<&String> = names
        .iter()
        .filter(|name| !optional.contains(&name.as_str()))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn answered() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let whole = json!({ "type": "integer", "minimum": 0 });
    let perhaps = json!({ "type": ["string", "null"] });
    let number = json!({ "type": ["number", "null"] });
    let failure = object(
        json!({ "kind": text, "field": perhaps, "message": text, "hints": texts }),
        &[],
    );
    let image = json!({ "url": text, "index": whole, "seed": whole, "width": whole, "height": whole, "bytes": whole });
    let job = json!({
        "job_id": text, "state": { "type": "string", "enum": names::<State>() },
        "operation": { "type": "string", "enum": names::<Operation>() },
        "created": text, "started": perhaps, "ended": perhaps, "stream_url": text,
        "position": { "type": ["integer", "null"] },
        "progress": object(json!({ "step": whole, "total": whole }), &[]),
        "params": { "type": "object" },
        "images": { "type": "array", "items": reference("Image") },
        "error": { "anyOf": [reference("Failure"), { "type": "null" }] },
        "warnings": texts,
    });
    let problem = json!({
        "type": text, "title": text, "status": whole, "detail": text, "kind": text, "hints": texts, "field": text,
        "others": { "type": "array", "items": reference("Failure") },
    });
    let model = json!({
        "id": text, "object": text, "created": whole, "owned_by": text, "default": { "type": "boolean" },
        "cached": { "type": "boolean" }, "size": number, "steps": number, "cfg_scale": number,
        "license": perhaps, "about": perhaps,
    });
    let sampler = object(json!({ "name": text, "about": text }), &[]);
    Map::from_iter([
        ("Failure".to_owned(), failure),
        ("Image".to_owned(), object(image, &[])),
        ("Job".to_owned(), object(job, &[])),
        ("Problem".to_owned(), object(problem, &["field", "others"])),
        (
            "Health".to_owned(),
            object(json!({ "status": text, "timestamp": text }), &[]),
        ),
        (
            "Ready".to_owned(),
            object(
                json!({ "ready": { "type": "boolean" }, "timestamp": text, "reason": text, "queued": whole }),
                &["reason", "queued"],
            ),
        ),
        ("Model".to_owned(), object(model, &[])),
        (
            "Models".to_owned(),
            object(
                json!({ "object": text, "data": { "type": "array", "items": reference("Model") } }),
                &[],
            ),
        ),
        (
            "Samplers".to_owned(),
            object(
                json!({ "samplers": { "type": "array", "items": sampler }, "schedules": texts, "timestep_spacings": texts }),
                &[],
            ),
        ),
    ])
}

fn openai() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let form = json!({ "type": ["string", "null"], "enum": ["b64_json", "url", "", null], "default": "b64_json" });
    let mut request = json!({
        "prompt": { "type": "string", "maxLength": PROMPT }, "model": text, "n": { "type": "integer", "minimum": 1 }, "size": text,
        "response_format": form, "steps": { "type": "integer", "minimum": 1 }, "seed": { "type": "integer", "minimum": -1 },
    });
    let mut edit = request.clone();
    edit["image"] = json!({ "type": "string", "format": "binary" });
    edit["mask"] = json!({ "type": "string", "format": "binary" });
    // In JSON, null is a field that is not there; a form has no null.
    for name in ["model", "n", "size", "steps", "seed"] {
        let kind = request[name]["type"].take();
        request[name]["type"] = json!([kind, "null"]);
    }
    let item = object(
        json!({ "b64_json": text, "url": text }),
        &["b64_json", "url"],
    );
    let images = json!({
        "created": { "type": "integer" }, "data": { "type": "array", "items": item }, "output_format": text,
        "size": { "type": ["string", "null"] }, "warnings": { "type": "array", "items": text },
    });
    let error = object(
        json!({ "message": text, "type": text, "param": { "type": ["string", "null"] }, "code": text }),
        &[],
    );
    let optional = [
        "model",
        "n",
        "size",
        "response_format",
        "steps",
        "seed",
        "mask",
    ];
    Map::from_iter([
        ("OpenAiRequest".to_owned(), object(request, &optional)),
        ("OpenAiEdit".to_owned(), object(edit, &optional)),
        ("OpenAiImages".to_owned(), object(images, &["warnings"])),
        (
            "OpenAiError".to_owned(),
            object(json!({ "error": error }), &[]),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_an_order_are_those_that_clients_may_set() {
        let order = order(false);
        let properties = order["properties"].as_object().unwrap();
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
        let document = document();
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
