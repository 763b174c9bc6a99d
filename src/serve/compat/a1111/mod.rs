//! AUTOMATIC1111's web API on the same jobs, under `/sdapi/v1`.

pub(crate) mod fields;
pub(crate) mod openapi;
mod settings;
mod values;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::fields::{Translated, translate_fields};
use crate::error::{Error, Result};
use crate::imaging::MaskChannel;
use crate::output::a1111_text::Parameters;
use crate::output::{a1111_labels, a1111_text, encode};
use crate::params::{Params, Parsed, Seed};
use crate::serve::http::body::read_json;
use crate::serve::http::responses::{Problem, json_response, query_store, run_blocking};
use crate::serve::http::wait::{read_images, run_and_wait};
use crate::serve::job::{Api, Job, Operation, StopMode};
use crate::serve::service::Service;
use crate::serve::submit::Submission;
use crate::serve::timestamp::rfc3339;
use crate::serve::uploads::{UploadedImages, convert_mask, decode_base64, encode_base64};

/// An error in the format of A1111's API.
struct A1111Error(Problem);

impl<E: Into<Problem>> From<E> for A1111Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for A1111Error {
    fn into_response(self) -> Response {
        let problem = self.0.rename_fields(fields::NAMES);
        let failure = &problem.failure;
        let field = failure
            .field
            .as_ref()
            .map(|field| format!("{field}: "))
            .unwrap_or_default();
        let body = json!({
            "error": failure.kind,
            "detail": format!("{field}{}", failure.message),
            "body": "",
            "errors": failure.hints.join("; "),
        });
        problem.with_body("application/json", &body)
    }
}

type Answer = Result<Response, A1111Error>;
type SharedService = State<Arc<Service>>;

/// Routes below `/sdapi/v1`.
pub(crate) fn routes() -> Router<Arc<Service>> {
    let none = || get(async || json_response(StatusCode::OK, &json!([])));
    let done = || post(async || json_response(StatusCode::OK, &Value::Null));
    let nothing = || get(async || json_response(StatusCode::OK, &json!({})));
    Router::new()
        .route("/txt2img", post(txt2img))
        .route("/img2img", post(img2img))
        .route("/progress", get(progress))
        .route("/interrupt", post(interrupt))
        .route("/skip", post(skip))
        .route("/options", get(options).post(set_options))
        .route("/sd-models", get(sd_models))
        .route("/refresh-checkpoints", done())
        .route("/refresh-loras", done())
        .route("/refresh-vae", done())
        .route("/script-info", none())
        .route("/samplers", get(samplers))
        .route("/schedulers", get(schedulers))
        .route("/png-info", post(png_info))
        .route(
            "/scripts",
            get(async || json_response(StatusCode::OK, &json!({"txt2img": [], "img2img": []}))),
        )
        .route(
            "/embeddings",
            get(async || json_response(StatusCode::OK, &json!({"loaded": {}, "skipped": {}}))),
        )
        .route("/cmd-flags", nothing())
        .route("/sd-vae", none())
        .route("/loras", none())
        .route("/hypernetworks", none())
        .route("/upscalers", none())
        .route("/latent-upscale-modes", none())
        .route("/face-restorers", none())
        .route("/realesrgan-models", none())
        .route("/prompt-styles", none())
}

async fn txt2img(State(service): SharedService, request: Request) -> Answer {
    generate(service, request, Operation::Txt2img).await
}

async fn img2img(State(service): SharedService, request: Request) -> Answer {
    generate(service, request, Operation::Img2img).await
}

/// Runs a request while the client waits. An interrupted job answers with the images finished by
/// then.
async fn generate(service: Arc<Service>, request: Request, operation: Operation) -> Answer {
    let sent = read_json(&service, request).await?;
    let default_model = service.a1111_model().clone();
    let Translated {
        mut fields,
        send_images,
        ignored,
    } = translate_fields(sent.clone(), default_model)?;
    match (operation, fields.contains_key("init_image")) {
        (Operation::Txt2img, true) => {
            return Err(Error::field("init_images", "belong to /img2img").into());
        }
        (Operation::Img2img, false) => {
            return Err(Error::field("init_images", "an image is missing").into());
        }
        _ => {}
    }
    let mut uploaded = UploadedImages::new();
    if let Some(mask) = fields.remove("mask") {
        let mask = run_blocking(&service, move |_| opaque_part(&mask)).await??;
        uploaded.insert("mask".to_owned(), mask);
    }
    let submission = Submission {
        fields,
        uploaded,
        operation: None,
        api: Api::A1111,
        is_synchronous: true,
    };
    let (job, status) = run_and_wait(&service, submission).await?;
    let ignored = format_names(&ignored);
    if let Some(names) = &ignored {
        (service.log)(&format!("{} ignored fields: {names}", job.id));
    }
    let files = read_images(&service, &job, &status).await?;
    let seeds: Vec<u64> = status.images.iter().map(|image| image.seed).collect();
    let mut images = Vec::new();
    if send_images {
        images.extend(files.iter().map(|file| encode_base64(file)));
    }
    let texts: Vec<String> = files
        .iter()
        .map(|file| read_infotext(file).unwrap_or_default())
        .collect();
    let mut info = build_info(&job, &texts, &seeds);
    info["warnings"] = json!(status.warnings);
    let parameters = strip_images(sent);
    let body = json!({ "images": images, "parameters": parameters, "info": info.to_string() });
    let mut response = json_response(StatusCode::OK, &body);
    // The names are escaped, so that they always make a header.
    if let Some(value) = ignored.and_then(|names| HeaderValue::from_str(&names).ok()) {
        response.headers_mut().insert(IGNORED_FIELDS, value);
    }
    Ok(response)
}

/// Mask as the web UI reads it: its opaque part, if it has transparency.
fn opaque_part(mask: &Value) -> Result<Vec<u8>> {
    let bytes = decode_base64("mask", mask.as_str().unwrap_or_default())?;
    convert_mask(&bytes, MaskChannel::Opaque)
}

/// Infotext of an image: its `parameters` text chunk.
fn read_infotext(png: &[u8]) -> Option<String> {
    let metadata = encode::read_metadata(&mut Cursor::new(png)).ok()?;
    metadata.text("parameters").map(str::to_owned)
}

/// Query parameters of `/progress`.
#[derive(Deserialize)]
struct ProgressQuery {
    #[serde(default)]
    skip_current_image: bool,
}

async fn progress(
    State(service): SharedService,
    query: Result<Query<ProgressQuery>, QueryRejection>,
) -> Answer {
    let Query(query) =
        query.map_err(|e| Problem::client(StatusCode::UNPROCESSABLE_ENTITY, e.body_text()))?;
    let job = query_store(&service, |store| store.find_running(Api::A1111)).await?;
    let queued = query_store(&service, |store| store.counts()).await?.queued;
    let preview = job
        .as_ref()
        .filter(|_| !query.skip_current_image)
        .and_then(|job| job.latest_preview());
    let status = job.as_ref().map(|job| job.status());
    let (step, steps) = status.as_ref().map_or((0, 0), |status| status.steps);
    let share = step as f64 / steps.max(1) as f64;
    let elapsed = status
        .as_ref()
        .and_then(|status| status.started?.elapsed().ok())
        .unwrap_or_default();
    let left = if share > 0.0 {
        elapsed.as_secs_f64() * (1.0 - share) / share
    } else {
        0.0
    };
    let stopping = job
        .as_ref()
        .is_some_and(|job| job.is_cancelled() || job.is_finishing());
    let value = json!({
        "progress": share,
        "eta_relative": left,
        "state": {
            "skipped": false,
            "interrupted": stopping,
            "stopping_generation": stopping,
            "job": job.as_ref().map_or("", |job| &job.id),
            "job_count": queued + usize::from(job.is_some()),
            "job_timestamp": job.as_ref().map_or_else(|| "0".to_owned(), |job| timestamp(job)),
            "job_no": 0,
            "sampling_step": step,
            "sampling_steps": steps,
        },
        "current_image": preview,
        "textinfo": null,
    });
    Ok(json_response(StatusCode::OK, &value))
}

/// Ends the running job early with its images as they are, if it was submitted through this API.
async fn interrupt(State(service): SharedService) -> Answer {
    stop(service, StopMode::Finish).await
}

/// Ends the current image of that job early; the job goes on with its next image.
async fn skip(State(service): SharedService) -> Answer {
    stop(service, StopMode::Skip).await
}

async fn stop(service: Arc<Service>, mode: StopMode) -> Answer {
    if let Some(job) = query_store(&service, |store| store.find_running(Api::A1111)).await? {
        let stopped = run_blocking(&service, move |service| service.stop(&job, mode)).await?;
        stopped.map_err(|e| Problem::of_storage(&e))?;
    }
    Ok(json_response(StatusCode::OK, &json!({})))
}

/// Supported options with their current values.
fn current_options(service: &Service) -> Value {
    let model = service.a1111_model().clone();
    let model = model.unwrap_or_else(|| service.catalog.default_name().to_owned());
    json!({ "sd_model_checkpoint": model, "samples_format": encode::DEFAULT.extension, "CLIP_stop_at_last_layers": 1 })
}

async fn options(State(service): SharedService) -> Response {
    json_response(StatusCode::OK, &current_options(&service))
}

/// Sets the model of later requests; the other options cannot be changed.
async fn set_options(State(service): SharedService, request: Request) -> Answer {
    let sent = read_json(&service, request).await?;
    let current = current_options(&service);
    let mut model = None;
    for (name, value) in &sent {
        match (name.as_str(), value) {
            ("sd_model_checkpoint", Value::String(title)) => {
                model = Some(service.catalog.resolve(name, title)?.0.to_owned());
            }
            _ if current.get(name) == Some(value) || settings::is_neutral_setting(name, value) => {}
            _ => return Err(Error::field(name, "this option cannot be set here").into()),
        }
    }
    if model.is_some() {
        *service.a1111_model() = model;
    }
    Ok(json_response(StatusCode::OK, &Value::Null))
}

async fn sd_models(State(service): SharedService) -> Response {
    let row = |name: &str| json!({ "title": name, "model_name": name, "hash": null, "sha256": null, "filename": name, "config": null });
    let rows: Vec<Value> = service.catalog.names().map(row).collect();
    json_response(StatusCode::OK, &json!(rows))
}

async fn samplers() -> Response {
    let row = |(label, aliases)| {
        let options = a1111_labels::own_schedule(label)
            .map_or(json!({}), |name| json!({ "scheduler": name }));
        json!({ "name": label, "aliases": aliases, "options": options })
    };
    let rows: Vec<Value> = a1111_labels::samplers().map(row).collect();
    json_response(StatusCode::OK, &json!(rows))
}

async fn schedulers() -> Response {
    let row = |(name, label, aliases)| {
        let rho = if name == "karras" { 7.0 } else { -1.0 };
        json!({ "name": name, "label": label, "aliases": aliases, "default_rho": rho, "need_inner_model": false })
    };
    let rows: Vec<Value> = a1111_labels::schedules().map(row).collect();
    json_response(StatusCode::OK, &json!(rows))
}

/// Returns the generation parameters stored in a PNG.
async fn png_info(State(service): SharedService, request: Request) -> Answer {
    let sent = read_json(&service, request).await?;
    let text = sent.get("image").and_then(Value::as_str);
    let text = text
        .ok_or_else(|| Error::field("image", "expected a PNG in base64"))?
        .to_owned();
    let found = run_blocking(&service, move |_| {
        let bytes = decode_base64("image", &text)?;
        encode::read_metadata(&mut Cursor::new(bytes))
            .map_err(|e| Error::field("image", e.message().to_owned()))
    });
    let found = found.await??;
    let infotext = found.text("parameters");
    let items: Map<String, Value> = found
        .texts
        .iter()
        .map(|(key, text)| (key.clone(), text.as_str().into()))
        .collect();
    let mut fields = BTreeMap::new();
    if let Some(text) = infotext {
        fields.extend(a1111_text::parse(text).fields);
    }
    let info = infotext.unwrap_or_default();
    let body = json!({ "info": info, "items": items, "parameters": fields });
    Ok(json_response(StatusCode::OK, &body))
}

/// Response header that lists the ignored fields.
const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// Maximum length of the list of names, in characters.
const MAX_NAMES_LENGTH: usize = 1000;

/// Escaped names of fields, safe for a header and a log line; `None` if there are none.
fn format_names(fields: &[String]) -> Option<String> {
    let harmless = |name: &String| name.escape_default().to_string().replace(',', "\\x2c");
    let names: Vec<String> = fields.iter().map(harmless).collect();
    let mut names = names.join(", ");
    if names.len() > MAX_NAMES_LENGTH {
        names.truncate(MAX_NAMES_LENGTH);
        names.push_str("...");
    }
    Some(names).filter(|names| !names.is_empty())
}

/// The request as sent by the client, without its images.
fn strip_images(mut sent: Map<String, Value>) -> Map<String, Value> {
    sent.remove("init_images");
    sent.remove("mask");
    sent
}

/// Creation time of the job, as `20260131120000`.
fn timestamp(job: &Job) -> String {
    rfc3339(job.created)
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect()
}

/// The object that `info` holds as JSON text: the parameters of the first image, or those of the
/// request if there is no image.
fn build_info(job: &Job, texts: &[String], seeds: &[u64]) -> Value {
    let params = &job.spec.params;
    let Parameters {
        prompt,
        negative_prompt,
        fields,
    } = match texts.first().filter(|text| !text.is_empty()) {
        Some(text) => a1111_text::parse(text),
        None => requested_parameters(params),
    };
    let field = |key: &str| {
        fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    };
    let number = |key: &str| field(key).and_then(|text| text.parse::<f64>().ok());
    let whole = |key: &str| field(key).and_then(|text| text.parse::<u64>().ok());
    let size = field("Size").and_then(|size| size.split_once('x'));
    // Clients do not accept null for values that A1111 always sends.
    let side = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let seed = seeds
        .first()
        .copied()
        .or(params.seed.and_then(Seed::number));
    json!({
        "prompt": prompt,
        "all_prompts": vec![&prompt; seeds.len()],
        "negative_prompt": negative_prompt,
        "all_negative_prompts": vec![&negative_prompt; seeds.len()],
        "seed": seed.map_or(json!(-1), Value::from),
        "all_seeds": seeds,
        "subseed": seed.map_or(json!(-1), Value::from),
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": side(size.map(|size| size.0)),
        "height": side(size.map(|size| size.1)),
        "sampler_name": field("Sampler").unwrap_or_default(),
        "cfg_scale": number("CFG scale").unwrap_or(0.0),
        "steps": whole("Steps").unwrap_or(0),
        "batch_size": params.batch_size.unwrap_or(1),
        "restore_faces": false,
        "face_restoration_model": null,
        "sd_model_name": field("Model").unwrap_or_default(),
        "sd_model_hash": field("Model hash").unwrap_or_default(),
        "sd_vae_name": null,
        "sd_vae_hash": null,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": number("Denoising strength"),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": timestamp(job),
        "clip_skip": whole("Clip skip").unwrap_or(1),
        "is_using_inpainting_conditioning": false,
        "version": concat!("sdgen ", env!("CARGO_PKG_VERSION")),
    })
}

/// The request in the form of an image's infotext, as far as its fields are given.
fn requested_parameters(params: &Params) -> Parameters {
    let size = params
        .width
        .zip(params.height)
        .map(|(width, height)| format!("{width}x{height}"));
    let sampler = params
        .sampler
        .as_ref()
        .map(Parsed::text)
        .and_then(a1111_labels::label_of);
    let fields = [
        ("Size", size),
        ("Sampler", sampler.map(str::to_owned)),
        ("CFG scale", params.cfg_scale.map(|scale| scale.to_string())),
        ("Steps", params.steps.map(|steps| steps.to_string())),
        ("Model", params.model.clone()),
        (
            "Denoising strength",
            params.strength.map(|strength| strength.to_string()),
        ),
        (
            "Clip skip",
            params.clip_skip.map(|skip| (skip + 1).to_string()),
        ),
    ];
    Parameters {
        prompt: params.prompt.clone().unwrap_or_default(),
        negative_prompt: params.negative_prompt.clone().unwrap_or_default(),
        fields: fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_in_headers_and_logs() {
        assert_eq!(format_names(&[]), None);
        assert_eq!(
            format_names(&["url".to_owned(), "auth".to_owned()]).as_deref(),
            Some("url, auth")
        );
        let strange = [
            "a\r\nb".to_owned(),
            "x,y".to_owned(),
            "\u{1b}[2J\u{e9}".to_owned(),
        ];
        assert_eq!(
            format_names(&strange).as_deref(),
            Some("a\\r\\nb, x\\x2cy, \\u{1b}[2J\\u{e9}")
        );
        assert!(
            HeaderValue::from_str(&format_names(&["x".repeat(5000)]).unwrap())
                .unwrap()
                .len()
                < 1100
        );
    }
}
