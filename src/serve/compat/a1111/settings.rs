//! A1111's settings, of the server (`options`) and of one request (`override_settings`): their
//! equivalents here, and the values that change nothing.

use serde_json::{Map, Value};

use super::values;
use crate::error::{Error, Result};

/// Settings of unsupported features, with the values (besides empty ones) that leave the feature
/// off.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("emphasis", &["Original"]),
    ("enable_emphasis", &["true"]),
    ("enable_pnginfo", &["true"]),
    ("eta_ancestral", &["1"]),
    ("img2img_background_color", &["#ffffff"]),
    ("initial_noise_multiplier", &["1"]),
    ("inpainting_mask_weight", &["1"]),
    (
        "samples_format",
        &[crate::output::encode::DEFAULT.extension],
    ),
    ("sd_unet", &["Automatic"]),
    ("sd_vae", &["Automatic"]),
    ("sd_vae_decode_method", &["Full"]),
    ("sd_vae_encode_method", &["Full"]),
];

/// Settings for which an empty value is not neutral.
const EMPTY_IS_NOT_NEUTRAL: [&str; 7] = [
    "emphasis",
    "enable_emphasis",
    "enable_pnginfo",
    "eta_ancestral",
    "initial_noise_multiplier",
    "inpainting_mask_weight",
    "sd_model_checkpoint",
];

/// Prefixes of settings that do not change the image.
const WITHOUT_EFFECT: [&str; 13] = [
    "directories_",
    "do_not_",
    "export_",
    "grid_",
    "jpeg_",
    "live_preview",
    "outdir_",
    "return_",
    "samples_save",
    "save_",
    "sd_checkpoint",
    "show_progress",
    "webp_",
];

/// Translates one setting to job fields, the name of the model included.
pub(crate) fn translate_setting(
    field: &str,
    name: &str,
    value: &Value,
    params: &mut Map<String, Value>,
) -> Result<()> {
    match (name, value) {
        ("sd_model_checkpoint", Value::String(model)) if !model.is_empty() => {
            params.insert("model".to_owned(), model.as_str().into());
        }
        ("CLIP_stop_at_last_layers", value) if !value.is_null() => {
            let skip = values::parse_integer(value)
                .filter(|layers| *layers >= 1)
                .map(|layers| layers - 1);
            let skip = skip.and_then(|skip| u32::try_from(skip).ok());
            let skip = skip.ok_or_else(|| Error::expected(name, "a whole number from 1", value))?;
            params.insert("clip_skip".to_owned(), skip.into());
        }
        ("randn_source", Value::String(source)) => {
            let rng = match source.as_str() {
                "CPU" => "torch",
                "GPU" | "NV" => "philox",
                _ => return Err(Error::expected(name, "`CPU`, `GPU` or `NV`", value)),
            };
            params.insert("rng".to_owned(), rng.into());
        }
        _ if is_neutral_setting(name, value) => {}
        _ => return Err(unsupported_field(field, name)),
    }
    Ok(())
}

/// Returns true if the setting asks for nothing that is unsupported.
pub(crate) fn is_neutral_setting(name: &str, value: &Value) -> bool {
    let neutral = NEUTRAL
        .iter()
        .find(|row| row.0 == name)
        .map_or(&[][..], |row| row.1);
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let is_neutral = neutral.iter().any(|known| {
        known.eq_ignore_ascii_case(&text)
            || known
                .parse::<f64>()
                .is_ok_and(|known| values::parse_number(value) == Some(known))
    });
    let is_silent =
        value.is_null() || (values::is_empty_value(value) && !EMPTY_IS_NOT_NEUTRAL.contains(&name));
    is_neutral || is_silent || WITHOUT_EFFECT.iter().any(|start| name.starts_with(start))
}

/// Error for an unsupported field or setting.
pub(crate) fn unsupported_field(field: &str, name: &str) -> Error {
    Error::field(
        field,
        format!("`{name}` asks for a feature that this server does not have"),
    )
    .hint("leave it out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_ask_for_nothing_pass_and_others_are_refused_by_name() {
        for (name, value) in [
            ("sd_vae", json!("Automatic")),
            ("sd_vae", json!("None")),
            ("sd_vae", json!(null)),
            ("eta_noise_seed_delta", json!(0)),
            ("filter_nsfw", json!(false)),
            ("token_merging_ratio", json!(0.0)),
            ("samples_save", json!(true)),
            ("initial_noise_multiplier", json!(1.0)),
            ("emphasis", json!("Original")),
            ("live_previews_enable", json!(true)),
        ] {
            assert!(
                translate_setting("f", name, &value, &mut Map::new()).is_ok(),
                "{name} {value}"
            );
        }
        for (name, value) in [
            ("sd_vae", json!("x.pt")),
            ("eta_noise_seed_delta", json!(31337)),
            ("filter_nsfw", json!(true)),
            ("samples_format", json!("jpg")),
            ("emphasis", json!("None")),
            ("enable_pnginfo", json!(false)),
            ("img2img_fix_steps", json!(true)),
        ] {
            let error =
                translate_setting("override_settings", name, &value, &mut Map::new()).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn settings_with_a_counterpart_are_taken_over() {
        let mut params = Map::new();
        for (name, value) in [
            ("CLIP_stop_at_last_layers", json!("2")),
            ("randn_source", json!("NV")),
            ("sd_model_checkpoint", json!("m")),
        ] {
            translate_setting("f", name, &value, &mut params).unwrap();
        }
        assert_eq!(
            Value::Object(params),
            json!({"clip_skip": 1, "rng": "philox", "model": "m"})
        );
    }
}
