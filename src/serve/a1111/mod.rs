//! AUTOMATIC1111's web API on the same jobs, under `/sdapi/v1`.

mod answer;
pub(super) mod describe;
mod fields;
mod lax;
mod settings;

use std::io::Cursor;
use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::fields::Translated;
pub(super) use self::fields::translated;
use super::Service;
use super::desk::Wish;
use super::http::problem::Problem;
use super::http::{attend, blocking, body, json_response, stored};
use super::job::{Api, Halt, Operation};
use super::uploads::{self, Pictures};
use crate::error::{Error, Result};
use crate::imaging::MaskChannel;
use crate::output::{a1111_labels, a1111_text, encode};

/// An error in the form that A1111's clients read.
struct Failed(Problem);

impl<E: Into<Problem>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let problem = self.0.with_names(fields::NAMES);
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

type Answer = Result<Response, Failed>;
type Shared = State<Arc<Service>>;

/// Routes below `/sdapi/v1`.
pub(super) fn routes() -> Router<Arc<Service>> {
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

async fn txt2img(State(service): Shared, request: Request) -> Answer {
    draw(service, request, Operation::Txt2img).await
}

async fn img2img(State(service): Shared, request: Request) -> Answer {
    let answer = draw(service, request, Operation::Img2img).await?;
    Ok(answer)
}

/// Runs a request while the client waits. An interrupted job answers with the images finished by
/// then.
async fn draw(service: Arc<Service>, request: Request, operation: Operation) -> Answer {
    let sent = body::object(&service, request).await?;
    let chosen = service
        .chosen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let Translated {
        mut fields,
        send_images,
        passed_over,
    } = translated(sent.clone(), chosen)?;
    match (operation, fields.contains_key("init_image")) {
        (Operation::Txt2img, true) => {
            return Err(Error::field("init_images", "belong to /img2img").into());
        }
        (Operation::Img2img, false) => {
            return Err(Error::field("init_images", "a picture is missing").into());
        }
        _ => {}
    }
    let mut pictures = Pictures::new();
    if let Some(mask) = fields.remove("mask") {
        pictures.insert(
            "mask".to_owned(),
            blocking(&service, move |_| opaque_part(&mask)).await??,
        );
    }
    let wish = Wish {
        fields,
        pictures,
        operation: None,
        api: Api::A1111,
        attended: true,
    };
    let (job, status) = attend::drawn(&service, wish).await?;
    let passed_over = answer::named(&passed_over);
    if let Some(names) = &passed_over {
        (service.log)(&format!("{} ignored fields: {names}", job.id));
    }
    let files = attend::pictures(&service, &job, &status).await?;
    let seeds: Vec<u64> = status.images.iter().map(|made| made.seed).collect();
    let images: Vec<String> = files
        .iter()
        .filter(|_| send_images)
        .map(|file| uploads::encode(file))
        .collect();
    let texts: Vec<String> = files
        .iter()
        .map(|file| infotext(file).unwrap_or_default())
        .collect();
    let mut info = answer::info(&job, &texts, &seeds);
    info["warnings"] = json!(status.warnings);
    let value = json!({ "images": images, "parameters": answer::without_pictures(sent), "info": info.to_string() });
    let mut response = json_response(StatusCode::OK, &value);
    answer::tell(response.headers_mut(), passed_over.as_deref());
    Ok(response)
}

/// Mask as the web UI reads it: its opaque part, if it has transparency.
fn opaque_part(mask: &Value) -> Result<Vec<u8>> {
    let bytes = uploads::decode("mask", mask.as_str().unwrap_or_default())?;
    uploads::mask(&bytes, MaskChannel::Opaque)
}

/// Infotext of an image: its `parameters` text chunk.
fn infotext(png: &[u8]) -> Option<String> {
    let found = encode::read_metadata(&mut Cursor::new(png)).ok()?;
    found.text("parameters").map(str::to_owned)
}

/// Query parameters of `/progress`.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    skip_current_image: bool,
}

async fn progress(State(service): Shared, wanted: Result<Query<Wanted>, QueryRejection>) -> Answer {
    let Query(wanted) =
        wanted.map_err(|e| Problem::client(StatusCode::UNPROCESSABLE_ENTITY, e.body_text()))?;
    let job = stored(&service, |store| store.running(Api::A1111)).await?;
    let queued = stored(&service, |store| store.count()).await?.queued;
    let preview = job
        .as_ref()
        .filter(|_| !wanted.skip_current_image)
        .and_then(|job| job.preview());
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
        .is_some_and(|job| job.is_cancelled() || job.is_interrupted());
    let value = json!({
        "progress": share,
        "eta_relative": left,
        "state": {
            "skipped": false,
            "interrupted": stopping,
            "stopping_generation": stopping,
            "job": job.as_ref().map_or("", |job| &job.id),
            "job_count": queued + usize::from(job.is_some()),
            "job_timestamp": job.as_ref().map_or_else(|| "0".to_owned(), |job| answer::timestamp(job)),
            "job_no": 0,
            "sampling_step": step,
            "sampling_steps": steps,
        },
        "current_image": preview,
        "textinfo": null,
    });
    Ok(json_response(StatusCode::OK, &value))
}

/// Ends the running job early with its images as they are, if it came through this interface.
async fn interrupt(State(service): Shared) -> Answer {
    stop(service, Halt::Finish).await
}

/// Ends the current image of that job early; the job goes on with its next image.
async fn skip(State(service): Shared) -> Answer {
    stop(service, Halt::Skip).await
}

async fn stop(service: Arc<Service>, halt: Halt) -> Answer {
    if let Some(job) = stored(&service, |store| store.running(Api::A1111)).await? {
        let stopped = blocking(&service, move |service| service.stop(&job, halt)).await?;
        stopped.map_err(|e| Problem::of_store(&e))?;
    }
    Ok(json_response(StatusCode::OK, &json!({})))
}

/// Supported options with their current values.
fn current(service: &Service) -> Value {
    let chosen = service
        .chosen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let model = chosen.unwrap_or_else(|| service.catalog.default().to_owned());
    json!({ "sd_model_checkpoint": model, "samples_format": encode::DEFAULT.extension, "CLIP_stop_at_last_layers": 1 })
}

async fn options(State(service): Shared) -> Response {
    json_response(StatusCode::OK, &current(&service))
}

/// Sets the model of later requests; the other options cannot be changed.
async fn set_options(State(service): Shared, request: Request) -> Answer {
    let sent = body::object(&service, request).await?;
    let present = current(&service);
    let mut model = None;
    for (name, value) in &sent {
        match (name.as_str(), value) {
            ("sd_model_checkpoint", Value::String(title)) => {
                model = Some(service.catalog.resolve(name, title)?.0.to_owned());
            }
            _ if present.get(name) == Some(value) || settings::asks_nothing(name, value) => {}
            _ => return Err(Error::field(name, "this option cannot be set here").into()),
        }
    }
    if model.is_some() {
        *service
            .chosen
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = model;
    }
    Ok(json_response(StatusCode::OK, &Value::Null))
}

async fn sd_models(State(service): Shared) -> Response {
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
async fn png_info(State(service): Shared, request: Request) -> Answer {
    let sent = body::object(&service, request).await?;
    let text = sent.get("image").and_then(Value::as_str);
    let text = text
        .ok_or_else(|| Error::field("image", "expected a PNG in base64"))?
        .to_owned();
    let found = blocking(&service, move |_| {
        let bytes = uploads::decode("image", &text)?;
        encode::read_metadata(&mut Cursor::new(bytes))
            .map_err(|e| Error::field("image", e.message().to_owned()))
    });
    let found = found.await??;
    let said = found.text("parameters");
    let items: Map<String, Value> = found
        .texts
        .iter()
        .map(|(key, text)| (key.clone(), text.as_str().into()))
        .collect();
    let fields = said.map(a1111_text::parse).map(|read| {
        json!(
            read.fields
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>()
        )
    });
    let value = json!({ "info": said.unwrap_or_default(), "items": items, "parameters": fields.unwrap_or(json!({})) });
    Ok(json_response(StatusCode::OK, &value))
}
