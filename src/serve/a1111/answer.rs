//! A1111's responses: images with their `info`, and the names of ignored request fields.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::output::a1111_text::{self, Parameters};
use crate::params::{Params, Parsed, Seed};
use crate::serve::clock;
use crate::serve::job::Job;

/// Response header that lists the ignored fields.
const IGNORED: HeaderName = HeaderName::from_static("x-ignored-fields");
/// Maximum length of the list of names, in characters.
const MOST: usize = 1000;

/// Escaped names of fields, safe for a header and a log line; `None` if there are none.
pub(super) fn named(fields: &[String]) -> Option<String> {
    let harmless = |name: &String| name.escape_default().to_string().replace(',', "\\x2c");
    let names: Vec<String> = fields.iter().map(harmless).collect();
    let mut names = names.join(", ");
    if names.len() > MOST {
        names.truncate(MOST);
        names.push_str("...");
    }
    Some(names).filter(|names| !names.is_empty())
}

/// Adds the names of ignored fields to the headers of a response.
pub(super) fn tell(headers: &mut HeaderMap, names: Option<&str>) {
    if let Some(value) = names.and_then(|names| HeaderValue::from_str(names).ok()) {
        headers.insert(IGNORED, value);
    }
}

/// The request as sent by the client, without its images.
pub(super) fn without_pictures(mut sent: Map<String, Value>) -> Map<String, Value> {
    sent.remove("init_images");
    sent.remove("mask");
    sent
}

/// Creation time of the job, as `20260131120000`.
pub(super) fn timestamp(job: &Job) -> String {
    clock::rfc3339(job.created)
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect()
}

/// The object that `info` holds as JSON text: the parameters of the first image, or those of the
/// request if there is no image.
pub(super) fn info(job: &Job, texts: &[String], seeds: &[u64]) -> Value {
    let asked = &job.order.params;
    let Parameters {
        prompt,
        negative_prompt,
        fields,
    } = match texts.first().filter(|text| !text.is_empty()) {
        Some(text) => a1111_text::parse(text),
        None => said(asked),
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
    let seed = seeds.first().copied().or(asked.seed.and_then(Seed::number));
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
        "batch_size": asked.batch_size.unwrap_or(1),
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
fn said(asked: &Params) -> Parameters {
    let size = asked
        .width
        .zip(asked.height)
        .map(|(width, height)| format!("{width}x{height}"));
    let sampler = asked
        .sampler
        .as_ref()
        .map(Parsed::text)
        .and_then(crate::output::a1111_labels::label_of);
    let fields = [
        ("Size", size),
        ("Sampler", sampler.map(str::to_owned)),
        ("CFG scale", asked.cfg_scale.map(|scale| scale.to_string())),
        ("Steps", asked.steps.map(|steps| steps.to_string())),
        ("Model", asked.model.clone()),
        (
            "Denoising strength",
            asked.strength.map(|strength| strength.to_string()),
        ),
        (
            "Clip skip",
            asked.clip_skip.map(|skip| (skip + 1).to_string()),
        ),
    ];
    Parameters {
        prompt: asked.prompt.clone().unwrap_or_default(),
        negative_prompt: asked.negative_prompt.clone().unwrap_or_default(),
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
        assert_eq!(named(&[]), None);
        assert_eq!(
            named(&["url".to_owned(), "auth".to_owned()]).as_deref(),
            Some("url, auth")
        );
        let strange = [
            "a\r\nb".to_owned(),
            "x,y".to_owned(),
            "\u{1b}[2J\u{e9}".to_owned(),
        ];
        assert_eq!(
            named(&strange).as_deref(),
            Some("a\\r\\nb, x\\x2cy, \\u{1b}[2J\\u{e9}")
        );
        assert!(
            HeaderValue::from_str(&named(&["x".repeat(5000)]).unwrap())
                .unwrap()
                .len()
                < 1100
        );
    }
}
