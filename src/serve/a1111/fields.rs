//! A1111's fields as ours. Names, labels and meanings are theirs; what has no counterpart here is refused unless it
//! asks for nothing.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::output::metadata::{A1111_SAMPLERS, A1111_SCHEDULES, Names};
use crate::sampler::Sampler;

/// Fields that change no picture, or none unless another field here says so.
pub(super) const IGNORED: &[&str] = &[
    "comments",
    "disable_extra_networks",
    "do_not_save_grid",
    "do_not_save_samples",
    "firstphase_height",
    "firstphase_width",
    "force_task_id",
    "hr_additional_modules",
    "hr_cfg",
    "hr_checkpoint_name",
    "hr_negative_prompt",
    "hr_prompt",
    "hr_resize_x",
    "hr_resize_y",
    "hr_sampler_name",
    "hr_scale",
    "hr_scheduler",
    "hr_second_pass_steps",
    "hr_upscaler",
    "image_cfg_scale",
    "override_settings_restore_afterwards",
    "s_noise",
    "s_tmax",
    "s_tmin",
    "save_images",
    "script_args",
    "subseed",
];

/// Fields of features that are not here, with the value besides nothing at all that asks for none of them.
pub(super) const NEUTRAL: &[(&str, i64)] = &[
    ("alwayson_scripts", 0),
    ("enable_hr", 0),
    ("include_init_images", 0),
    ("infotext", 0),
    ("initial_noise_multiplier", 1),
    ("inpainting_fill", 1),
    ("latent_mask", 0),
    ("mask_round", 1),
    ("restore_faces", 0),
    ("s_churn", 0),
    ("s_min_uncond", 0),
    ("script_name", 0),
    ("seed_resize_from_h", -1),
    ("seed_resize_from_w", -1),
    ("styles", 0),
    ("subseed_strength", 0),
    ("tiling", 0),
];

/// Fields that mean the same here.
const SAME: &[&str] = &["prompt", "negative_prompt", "steps", "cfg_scale", "width", "height"];

/// A request of A1111's, taken apart.
pub(in crate::serve) struct Translated {
    /// Our fields.
    pub(in crate::serve) fields: Map<String, Value>,
    /// Whether pictures are wanted in the answer.
    pub(super) send_images: bool,
}

/// Hands out a request's fields one by one, so that none is left over unseen.
struct Sent(Map<String, Value>);

impl Sent {
    /// The field's value, unless it is missing or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| Error::expected(name, "a number", value))
    }

    fn whole(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| Error::expected(name, "a number from 0", value))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(other) => Err(Error::expected(name, "text", other)),
        }
    }

    fn switch(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(Value::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(other) => Err(Error::expected(name, "true or false", other)),
        }
    }
}

/// The fields of a request; `chosen` is the model that the options name.
///
/// # Errors
/// A field that is unknown, wrong, or asks for what is not here.
pub(in crate::serve) fn translated(sent: Map<String, Value>, chosen: Option<String>) -> Result<Translated> {
    let mut sent = Sent(sent);
    let mut ours = Map::new();
    // Brackets and long prompts are read as there.
    ours.insert("prompt_syntax".to_owned(), "weighted".into());
    ours.insert("long_prompt".to_owned(), "chunk".into());
    ours.insert("prompt".to_owned(), "".into());
    // `progress` shows what is coming this often there as well.
    ours.insert("preview_every".to_owned(), 10.into());
    for name in SAME {
        ours.extend(sent.take(name).map(|value| ((*name).to_owned(), value)));
    }
    counted(&mut sent, &mut ours)?;
    sampled(&mut sent, &mut ours)?;
    model(&mut sent, &mut ours, chosen)?;
    started(&mut sent, &mut ours)?;
    let send_images = sent.switch("send_images")?.unwrap_or(true);
    leftover(sent)?;
    Ok(Translated { fields: ours, send_images })
}

/// Seed and number of pictures.
fn counted(sent: &mut Sent, ours: &mut Map<String, Value>) -> Result<()> {
    if let Some(seed) = sent.take("seed") {
        match (seed.as_i64(), seed.as_u64()) {
            (Some(-1), _) => {}
            (_, Some(seed)) => drop(ours.insert("seed".to_owned(), seed.into())),
            _ => return Err(Error::expected("seed", "a number from -1", seed)),
        }
    }
    let size = sent.whole("batch_size")?.unwrap_or(1);
    let count = size.checked_mul(sent.whole("n_iter")?.unwrap_or(1));
    let count = count.ok_or_else(|| Error::field("n_iter", "too many pictures"))?;
    ours.insert("batch_size".to_owned(), size.into());
    ours.insert("count".to_owned(), count.into());
    Ok(())
}

/// Sampler and schedule by their labels; older clients name both in one.
fn sampled(sent: &mut Sent, ours: &mut Map<String, Value>) -> Result<()> {
    let index = sent.text("sampler_index")?;
    let label = sent.text("sampler_name")?.or(index);
    let mut schedule = sent.text("scheduler")?;
    if let Some(label) = label {
        let lower = label.to_lowercase();
        let suffix = A1111_SCHEDULES.iter().find_map(|(_, theirs)| {
            let stem = lower.strip_suffix(&format!(" {}", theirs.to_lowercase()))?;
            ours_of(A1111_SAMPLERS, stem).map(|sampler| (sampler, (*theirs).to_owned()))
        });
        let sampler = match (ours_of(A1111_SAMPLERS, &label), suffix) {
            (Some(sampler), _) => sampler,
            (None, Some((sampler, named))) => {
                schedule = Some(named);
                sampler
            }
            (None, None) => {
                let known = A1111_SAMPLERS.iter().map(|row| row.1);
                return Err(Error::unknown("sampler_name", "sampler", &label, known));
            }
        };
        ours.insert("sampler".to_owned(), sampler.into());
        // There a single step begins at the last timestep, with k-diffusion's samplers.
        let levels = Sampler::parse("sampler", sampler).is_ok_and(|sampler| sampler.row().grid.respaces());
        if levels && ours.get("steps").and_then(Value::as_u64) == Some(1) {
            ours.insert("timestep_spacing".to_owned(), "trailing".into());
        }
        let takes_noise = ["ddim", "tcd"].contains(&sampler);
        if let Some(eta) = sent.number("eta")?.filter(|_| takes_noise) {
            ours.insert("eta".to_owned(), eta.into());
        }
    }
    sent.0.remove("eta");
    if let Some(label) = schedule.filter(|label| !label.eq_ignore_ascii_case("automatic")) {
        let known = || A1111_SCHEDULES.iter().map(|row| row.1);
        let found = ours_of(A1111_SCHEDULES, &label);
        let name = found.ok_or_else(|| Error::unknown("scheduler", "schedule", &label, known()))?;
        ours.insert("schedule".to_owned(), name.into());
    }
    Ok(())
}

/// Our name behind a label, or behind our own name.
fn ours_of(names: Names, label: &str) -> Option<&'static str> {
    let same = |(ours, theirs): &&(&'static str, &str)| {
        theirs.eq_ignore_ascii_case(label) || ours.eq_ignore_ascii_case(label)
    };
    names.iter().find(same).map(|row| row.0)
}

/// The model, from the request's own settings or from the options.
fn model(sent: &mut Sent, ours: &mut Map<String, Value>, chosen: Option<String>) -> Result<()> {
    let mut model = chosen;
    if let Some(settings) = sent.take("override_settings") {
        let Value::Object(settings) = settings else {
            return Err(Error::expected("override_settings", "an object", settings));
        };
        for (name, value) in settings {
            match (name.as_str(), &value) {
                ("sd_model_checkpoint", Value::String(name)) => model = Some(name.clone()),
                ("CLIP_stop_at_last_layers", Value::Number(layers)) => {
                    let skip = layers.as_u64().and_then(|layers| layers.checked_sub(1));
                    let skip = skip.ok_or_else(|| Error::expected(&name, "a number from 1", layers))?;
                    ours.insert("clip_skip".to_owned(), skip.into());
                }
                ("samples_format", Value::String(format)) if format == "png" => {}
                _ => return Err(unsupported("override_settings", &name)),
            }
        }
    }
    ours.extend(model.map(|model| ("model".to_owned(), model.into())));
    if let Some(refiner) = sent.text("refiner_checkpoint")?.filter(|name| name != "None") {
        ours.insert("refiner".to_owned(), refiner.into());
        ours.extend(sent.number("refiner_switch_at")?.map(|at| ("refiner_start".to_owned(), at.into())));
    }
    sent.0.remove("refiner_switch_at");
    Ok(())
}

/// The picture and the mask that it starts from.
fn started(sent: &mut Sent, ours: &mut Map<String, Value>) -> Result<()> {
    let strength = sent.number("denoising_strength")?;
    let fit = sent.whole("resize_mode")?;
    let images = match sent.take("init_images") {
        None => Vec::new(),
        Some(Value::Array(images)) => images,
        Some(_) => return Err(Error::field("init_images", "expected a list of pictures")),
    };
    let (blur, padding) = (sent.number("mask_blur")?, sent.number("inpaint_full_res_padding")?);
    for axis in ["mask_blur_x", "mask_blur_y"] {
        sent.0.remove(axis);
    }
    let (invert, part) = (sent.switch("inpainting_mask_invert")?, sent.switch("inpaint_full_res")?);
    let mask = sent.text("mask")?;
    let image = match <[Value; 1]>::try_from(images) {
        Ok([image]) => image,
        Err(none) if none.is_empty() => return Ok(()),
        Err(_) => return Err(Error::field("init_images", "one picture is drawn over at a time")),
    };
    ours.insert("init_image".to_owned(), image);
    ours.insert("strength".to_owned(), strength.unwrap_or(0.75).into());
    let fits = ["stretch", "cover", "contain"];
    let fit = fit.unwrap_or(0);
    let name = usize::try_from(fit).ok().and_then(|fit| fits.get(fit));
    let name = name.ok_or_else(|| Error::expected("resize_mode", "0, 1 or 2", fit))?;
    ours.insert("fit".to_owned(), (*name).into());
    let Some(mask) = mask else { return Ok(()) };
    ours.insert("mask".to_owned(), mask.into());
    ours.insert("keep_unmasked".to_owned(), true.into());
    ours.insert("mask_blur".to_owned(), blur.unwrap_or(4.0).into());
    ours.insert("invert_mask".to_owned(), invert.unwrap_or(false).into());
    if part.unwrap_or(true) {
        ours.insert("mask_padding".to_owned(), json!(padding.unwrap_or(0.0) as u32));
    }
    Ok(())
}

/// Whatever is left asks for nothing, or is refused.
fn leftover(sent: Sent) -> Result<()> {
    for (name, value) in &sent.0 {
        if IGNORED.contains(&name.as_str()) {
            continue;
        }
        let Some((_, neutral)) = NEUTRAL.iter().find(|(known, _)| known == name) else {
            return Err(Error::field(name, format!("unknown field `{name}`")));
        };
        if !is_nothing(value) && value.as_f64() != Some(*neutral as f64) {
            return Err(unsupported(name, name));
        }
    }
    Ok(())
}

fn unsupported(field: &str, name: &str) -> Error {
    Error::field(field, format!("`{name}` asks for what this server cannot do")).hint("leave it out")
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(value: Value) -> Result<Map<String, Value>> {
        let Value::Object(sent) = value else { unreachable!() };
        translated(sent, None).map(|translated| translated.fields)
    }

    #[test]
    fn labels_of_samplers_are_understood_old_and_new() {
        let pair = |value: Value| {
            let fields = ours(value).unwrap();
            ["sampler", "schedule"].map(|name| fields.get(name).and_then(Value::as_str).map(str::to_owned))
        };
        let expected = [Some("dpmpp_2m".to_owned()), Some("karras".to_owned())];
        assert_eq!(pair(json!({"sampler_name": "DPM++ 2M Karras"})), expected);
        assert_eq!(pair(json!({"sampler_name": "DPM++ 2M", "scheduler": "Karras"})), expected);
        assert_eq!(
            pair(json!({"sampler_index": "Euler a", "scheduler": "automatic"})),
            [Some("euler_a".into()), None]
        );
        assert_eq!(ours(json!({"sampler_name": "Eular"})).unwrap_err().field_name(), Some("sampler_name"));
    }

    #[test]
    fn a_single_step_begins_at_the_last_timestep() {
        let spacing = |label: &str, steps: u64| {
            ours(json!({"sampler_name": label, "steps": steps})).unwrap().remove("timestep_spacing")
        };
        for label in ["Euler", "Euler a", "LMS", "Heun", "DPM2", "DPM++ 2M", "UniPC"] {
            assert_eq!((spacing(label, 1), spacing(label, 2)), (Some("trailing".into()), None), "{label}");
        }
        assert_eq!((spacing("DDIM", 1), spacing("LCM", 1)), (None, None));
    }

    #[test]
    fn a_request_with_every_default_asks_for_nothing_more() {
        let sent = json!({
            "prompt": "a", "seed": -1, "batch_size": 2, "n_iter": 3, "styles": [], "subseed": -1,
            "alwayson_scripts": {}, "script_name": null, "hr_scale": 2, "s_noise": 1, "tiling": false,
            "seed_resize_from_h": -1, "override_settings": {"CLIP_stop_at_last_layers": 2}, "eta": 1.0,
        });
        let fields = ours(sent).unwrap();
        assert_eq!(
            (&fields["count"], &fields["batch_size"], &fields["clip_skip"]),
            (&json!(6), &json!(2), &json!(1))
        );
        assert!(!fields.contains_key("seed") && !fields.contains_key("eta"));
    }

    #[test]
    fn a_mask_brings_its_meaning_with_it() {
        let sent = json!({
            "init_images": ["aGk="], "mask": "aGk=", "resize_mode": 1, "inpaint_full_res": 1,
            "inpaint_full_res_padding": 16, "inpainting_mask_invert": 1, "mask_blur": 0,
        });
        let fields = ours(sent).unwrap();
        for (name, value) in [
            ("fit", json!("cover")),
            ("mask_padding", json!(16)),
            ("invert_mask", json!(true)),
            ("mask_blur", json!(0.0)),
            ("strength", json!(0.75)),
            ("keep_unmasked", json!(true)),
        ] {
            assert_eq!(fields[name], value, "{name}");
        }
    }

    #[test]
    fn what_is_not_here_and_what_is_unknown_is_refused_by_name() {
        for (name, value) in [
            ("enable_hr", json!(true)),
            ("restore_faces", json!(true)),
            ("alwayson_scripts", json!({"ControlNet": {}})),
            ("styles", json!(["x"])),
            ("inpainting_fill", json!(2)),
            ("override_settings", json!({"sd_vae": "x"})),
            ("prommpt", json!("x")),
            ("init_images", json!(["a", "b"])),
            ("seed", json!("x")),
            ("mask_blur", json!({})),
            ("mask", json!(1)),
        ] {
            assert_eq!(ours(json!({ name: value })).unwrap_err().field_name(), Some(name));
        }
    }
}
