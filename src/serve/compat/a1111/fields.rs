//! Translation of A1111's request fields. Names, labels and meanings are A1111's; a field without
//! an equivalent is refused unless its value is neutral, and a field unknown to A1111 is ignored
//! and reported.

use serde_json::{Map, Value};

use super::settings;
use super::settings::unsupported_field;
use super::values;
use super::values::RequestFields;
use crate::error::{Error, Result};
use crate::output::a1111_labels::{self, Automatic};
use crate::schedulers::{Sampler, Schedule};

/// Our fields with the names that clients sent them by.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("count", "batch_size"),
    ("init_image", "init_images"),
    ("invert_mask", "inpainting_mask_invert"),
    ("mask_padding", "inpaint_full_res_padding"),
    ("masked_content", "inpainting_fill"),
    ("model", "sd_model_checkpoint"),
    ("sampler", "sampler_name"),
    ("schedule", "scheduler"),
    ("strength", "denoising_strength"),
];

/// Fields that do not change the image, or only if another field enables them.
pub(crate) const IGNORED: &[&str] = &[
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
    "refiner_switch_at",
    "s_tmax",
    "s_tmin",
    "save_images",
    "script_args",
    "subseed",
];

/// Fields of unsupported features, with the numbers that leave the feature off; if 0 is among them,
/// an empty value does so as well.
pub(crate) const NEUTRAL: &[(&str, &[f64])] = &[
    ("enable_hr", &[0.0]),
    ("firstpass_image", &[0.0]),
    ("include_init_images", &[0.0]),
    ("infotext", &[0.0]),
    ("initial_noise_multiplier", &[1.0]),
    ("latent_mask", &[0.0]),
    ("mask_round", &[1.0]),
    ("restore_faces", &[0.0]),
    ("s_churn", &[0.0]),
    ("s_min_uncond", &[0.0]),
    ("seed_resize_from_h", &[-1.0, 0.0]),
    ("seed_resize_from_w", &[-1.0, 0.0]),
    ("styles", &[0.0]),
    ("subseed_strength", &[0.0]),
    ("tiling", &[0.0]),
];

/// A translated request.
pub(crate) struct Translated {
    /// Job fields by name.
    pub(crate) fields: Map<String, Value>,
    /// True if the client wants the images in the response.
    pub(crate) send_images: bool,
    /// Names of ignored fields.
    pub(crate) ignored: Vec<String>,
}

/// Translates the fields of a request; `chosen` is the model set through `/options`.
pub(crate) fn translate_fields(
    sent: Map<String, Value>,
    chosen: Option<String>,
) -> Result<Translated> {
    let mut sent = RequestFields(sent);
    let mut params = Map::new();
    let mut ignored = Vec::new();
    // Brackets and long prompts are read as in A1111.
    params.insert("prompt_syntax".to_owned(), "weighted".into());
    params.insert("long_prompt".to_owned(), "chunk".into());
    // The previews in `progress` come this often in A1111, too.
    params.insert("preview_every".to_owned(), 10.into());
    params.insert(
        "prompt".to_owned(),
        sent.text("prompt")?.unwrap_or_default().into(),
    );
    insert_some(
        &mut params,
        "negative_prompt",
        sent.text("negative_prompt")?,
    );
    for name in ["steps", "width", "height"] {
        insert_some(&mut params, name, sent.integer(name)?);
    }
    insert_some(&mut params, "cfg_scale", sent.number("cfg_scale")?);
    translate_seed_and_count(&mut sent, &mut params)?;
    translate_sampler(&mut sent, &mut params, &mut ignored)?;
    translate_model(&mut sent, &mut params, chosen)?;
    translate_start_image(&mut sent, &mut params)?;
    check_scripts(&mut sent)?;
    let send_images = sent.boolean("send_images")?.unwrap_or(true);
    check_remaining(&sent, &mut ignored)?;
    Ok(Translated {
        fields: params,
        send_images,
        ignored,
    })
}

fn insert_some<T: Into<Value>>(params: &mut Map<String, Value>, name: &str, value: Option<T>) {
    params.extend(value.map(|value| (name.to_owned(), value.into())));
}

/// Seed and number of images.
fn translate_seed_and_count(
    sent: &mut RequestFields,
    params: &mut Map<String, Value>,
) -> Result<()> {
    if sent.0.get("seed").is_some_and(|seed| seed == "") {
        sent.0.remove("seed");
    }
    // A seed of -1 counts as no seed.
    let seed = |value: &Value| {
        values::parse_integer(value).filter(|seed| (-1..=i128::from(u64::MAX)).contains(seed))
    };
    let seed = sent.read("seed", "a whole number from -1", seed)?;
    insert_some(
        params,
        "seed",
        seed.and_then(|seed| u64::try_from(seed).ok()),
    );
    let size = sent.integer("batch_size")?.unwrap_or(1);
    let count = size.checked_mul(sent.integer("n_iter")?.unwrap_or(1));
    let count = count.ok_or_else(|| Error::field("n_iter", "too many images"))?;
    params.insert("batch_size".to_owned(), size.into());
    params.insert("count".to_owned(), count.into());
    Ok(())
}

/// Sampler and schedule by their A1111 labels; older clients send both in one label.
fn translate_sampler(
    sent: &mut RequestFields,
    params: &mut Map<String, Value>,
    ignored: &mut Vec<String>,
) -> Result<()> {
    let index = sent.text("sampler_index")?;
    let label = sent.text("sampler_name")?.or(index);
    let schedule = sent.text("scheduler")?;
    let (eta, noise) = (sent.number("eta")?, sent.number("s_noise")?);
    let Some(label) = label else {
        let schedule = schedule
            .map(|label| a1111_labels::schedule_of("scheduler", &label))
            .transpose()?;
        insert_some(params, "schedule", schedule.flatten().map(Schedule::name));
        return Ok(());
    };
    let fields = ["sampler_name", "scheduler"];
    let read = a1111_labels::sampling(fields, &label, schedule.as_deref(), Automatic::Own)?;
    params.insert("sampler".to_owned(), read.sampler.into());
    params.insert("schedule".to_owned(), read.schedule.into());
    if read.unheard {
        ignored.push("scheduler".to_owned());
    }
    // In A1111, a single step starts at the last timestep with k-diffusion's samplers.
    let levels =
        Sampler::parse("sampler", read.sampler).is_ok_and(|sampler| sampler.row().grid.respaces());
    if levels && params.get("steps").and_then(Value::as_u64) == Some(1) {
        params.insert("timestep_spacing".to_owned(), "trailing".into());
    }
    let takes_eta = ["ddim", "tcd"].contains(&read.sampler);
    insert_some(params, "eta", eta.filter(|_| takes_eta));
    // In A1111, the other samplers ignore these values, too, unless they add noise of their own.
    match [("eta", eta), ("s_noise", noise)]
        .into_iter()
        .find(|row| row.1.is_some_and(|value| value != 1.0))
    {
        Some((name, _)) if read.draws => Err(unsupported_field(name, name)),
        _ => Ok(()),
    }
}

/// The model, from the request's own settings or from the options.
fn translate_model(
    sent: &mut RequestFields,
    params: &mut Map<String, Value>,
    chosen: Option<String>,
) -> Result<()> {
    insert_some(params, "model", chosen);
    match sent.take("override_settings") {
        None => {}
        Some(Value::Object(settings)) => settings.iter().try_for_each(|(name, value)| {
            settings::translate_setting("override_settings", name, value, params)
        })?,
        Some(other) => return Err(Error::expected("override_settings", "an object", other)),
    }
    if let Some(refiner) = sent
        .text("refiner_checkpoint")?
        .filter(|name| !values::is_unset_name(name))
    {
        params.insert("refiner".to_owned(), refiner.into());
        insert_some(params, "refiner_start", sent.number("refiner_switch_at")?);
    }
    Ok(())
}

/// Start image, strength, resize mode and mask of an img2img request.
fn translate_start_image(sent: &mut RequestFields, params: &mut Map<String, Value>) -> Result<()> {
    let strength = sent.number("denoising_strength")?.unwrap_or(0.75);
    let fit = sent.integer("resize_mode")?.unwrap_or(0);
    let images = match sent.take("init_images") {
        None => Vec::new(),
        Some(Value::Array(images)) => images,
        Some(_) => return Err(Error::field("init_images", "expected a list of images")),
    };
    let mask = translate_mask(sent)?;
    let image = match <[Value; 1]>::try_from(images) {
        Ok([image]) => image,
        Err(none) if none.is_empty() => return Ok(()),
        Err(_) => {
            return Err(Error::field(
                "init_images",
                "only one image can be used at a time",
            ));
        }
    };
    params.insert("init_image".to_owned(), image);
    params.insert("strength".to_owned(), strength.into());
    params.insert("strength_steps".to_owned(), "one_more".into());
    let fits = ["stretch", "cover", "contain"];
    let name = usize::try_from(fit).ok().and_then(|fit| fits.get(fit));
    let name = name.ok_or_else(|| Error::expected("resize_mode", "0, 1 or 2", fit))?;
    params.insert("fit".to_owned(), (*name).into());
    params.extend(mask);
    Ok(())
}

/// The mask with its options, if there is one.
fn translate_mask(sent: &mut RequestFields) -> Result<Map<String, Value>> {
    let both = sent.number("mask_blur")?;
    let [across, down] = ["mask_blur_x", "mask_blur_y"].map(|axis| sent.number(axis));
    let [across, down] = [across?, down?].map(|axis| both.or(axis).unwrap_or(4.0));
    let padding = sent.integer("inpaint_full_res_padding")?.unwrap_or(0);
    let invert = sent.boolean("inpainting_mask_invert")?.unwrap_or(false);
    let is_part = sent.boolean("inpaint_full_res")?.unwrap_or(true);
    let contents = ["fill", "original", "latent_noise", "latent_nothing"];
    let fill = sent.integer("inpainting_fill")?.unwrap_or(0);
    let content = usize::try_from(fill)
        .ok()
        .and_then(|fill| contents.get(fill));
    let content =
        content.ok_or_else(|| Error::expected("inpainting_fill", "a number from 0 to 3", fill))?;
    let mut params = Map::new();
    let Some(mask) = sent.text("mask")? else {
        return Ok(params);
    };
    params.insert("mask".to_owned(), mask.into());
    params.insert("keep_unmasked".to_owned(), true.into());
    params.insert("mask_blur".to_owned(), across.into());
    insert_some(
        &mut params,
        "mask_blur_y",
        Some(down).filter(|down| *down != across),
    );
    params.insert("masked_content".to_owned(), (*content).into());
    params.insert("invert_mask".to_owned(), invert.into());
    insert_some(&mut params, "mask_padding", is_part.then_some(padding));
    Ok(params)
}

/// Refuses scripts by name, since none are supported.
fn check_scripts(sent: &mut RequestFields) -> Result<()> {
    if let Some(name) = sent
        .text("script_name")?
        .filter(|name| !values::is_unset_name(name))
    {
        return Err(unsupported_field("script_name", &name));
    }
    match sent.take("alwayson_scripts") {
        None => Ok(()),
        Some(Value::Object(scripts)) => match scripts
            .iter()
            .find(|(_, arguments)| !values::is_disabled(arguments))
        {
            Some((name, _)) => Err(unsupported_field("alwayson_scripts", name)),
            None => Ok(()),
        },
        Some(other) if values::is_empty_value(&other) => Ok(()),
        Some(other) => Err(Error::expected("alwayson_scripts", "an object", other)),
    }
}

/// Checks the remaining fields: neutral values pass, unsupported features are refused, and fields
/// unknown to A1111 are ignored.
fn check_remaining(sent: &RequestFields, ignored: &mut Vec<String>) -> Result<()> {
    for (name, value) in &sent.0 {
        if IGNORED.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        let Some((_, neutral)) = NEUTRAL.iter().find(|(known, _)| known == name) else {
            ignored.push(name.clone());
            continue;
        };
        let is_neutral =
            values::parse_number(value).is_some_and(|number| neutral.contains(&number));
        let is_empty_value = values::is_empty_value(value) && neutral.contains(&0.0);
        if !is_neutral && !is_empty_value {
            return Err(unsupported_field(name, name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn translate(value: Value) -> Result<Map<String, Value>> {
        let Value::Object(sent) = value else {
            unreachable!()
        };
        translate_fields(sent, None).map(|translate_fields| translate_fields.fields)
    }

    #[test]
    fn labels_of_samplers_are_understood_old_and_new() {
        let pair = |value: Value| {
            let fields = translate(value).unwrap();
            ["sampler", "schedule"]
                .map(|name| fields.get(name).and_then(Value::as_str).map(str::to_owned))
        };
        let expected = [Some("dpmpp_2m".to_owned()), Some("karras".to_owned())];
        assert_eq!(pair(json!({"sampler_name": "DPM++ 2M Karras"})), expected);
        assert_eq!(
            pair(json!({"sampler_name": "DPM++ 2M", "scheduler": "Karras"})),
            expected
        );
        assert_eq!(
            pair(json!({"sampler_index": "Euler a", "scheduler": "automatic"})),
            [Some("euler_a".into()), Some("normal".into())]
        );
        assert_eq!(
            translate(json!({"sampler_name": "Eular"}))
                .unwrap_err()
                .field_name(),
            Some("sampler_name")
        );
    }

    #[test]
    fn a_single_step_begins_at_the_last_timestep() {
        let spacing = |label: &str, steps: u64| {
            translate(json!({"sampler_name": label, "steps": steps}))
                .unwrap()
                .remove("timestep_spacing")
        };
        for label in [
            "Euler", "Euler a", "LMS", "Heun", "DPM2", "DPM++ 2M", "UniPC",
        ] {
            assert_eq!(
                (spacing(label, 1), spacing(label, 2)),
                (Some("trailing".into()), None),
                "{label}"
            );
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
        let fields = translate(sent).unwrap();
        assert_eq!(
            (
                &fields["count"],
                &fields["batch_size"],
                &fields["clip_skip"]
            ),
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
        let fields = translate(sent).unwrap();
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
    fn what_is_not_here_is_refused_by_name() {
        for (name, value) in [
            ("enable_hr", json!(true)),
            ("restore_faces", json!(true)),
            (
                "alwayson_scripts",
                json!({"ControlNet": {"args": [{"module": "canny"}]}}),
            ),
            ("styles", json!(["x"])),
            ("inpainting_fill", json!(4)),
            ("mask_round", json!(false)),
            ("initial_noise_multiplier", json!(0)),
            ("script_name", json!("X/Y/Z plot")),
            ("steps", json!("many")),
            ("width", json!(64.5)),
            ("override_settings", json!({"sd_vae": "x"})),
            ("init_images", json!(["a", "b"])),
            ("seed", json!("x")),
            ("mask_blur", json!({})),
            ("mask", json!([1])),
        ] {
            assert_eq!(
                translate(json!({ name: value })).unwrap_err().field_name(),
                Some(name)
            );
        }
    }

    #[test]
    fn what_is_no_field_of_a1111s_is_passed_over_and_told() {
        let sent = json!({"prommpt": "x", "url": null, "auth": "", "clip_skip": 2, "schedule": "karras", "hr_scale": 2});
        let Value::Object(sent) = sent else {
            unreachable!()
        };
        let read = translate_fields(sent, None).unwrap();
        assert_eq!(read.ignored, ["auth", "clip_skip", "prommpt", "schedule"]);
        assert!(!read.fields.contains_key("clip_skip") && !read.fields.contains_key("schedule"));
    }

    #[test]
    fn values_that_ask_for_nothing_pass() {
        for (name, value) in [
            (
                "override_settings",
                json!({"sd_vae": "Automatic", "eta_noise_seed_delta": 0}),
            ),
            (
                "alwayson_scripts",
                json!({"ControlNet": {"args": []}, "ADetailer": {"args": [false]}}),
            ),
            ("alwayson_scripts", json!([])),
            ("script_name", json!("None")),
            ("styles", json!([""])),
            ("firstpass_image", json!("")),
            ("enable_hr", json!("false")),
            ("tiling", json!(0)),
            ("seed", json!("")),
            ("seed_resize_from_w", json!("-1")),
            ("refiner_checkpoint", json!("None")),
        ] {
            assert!(translate(json!({ name: value })).is_ok(), "{name} {value}");
        }
    }

    #[test]
    fn numbers_come_in_any_form_that_pydantic_takes() {
        let sent = json!({
            "prompt": 7, "seed": "5", "batch_size": 1.0, "n_iter": "2", "cfg_scale": "7", "steps": "20", "width": 64.0,
        });
        let fields = translate(sent).unwrap();
        let taken = ["prompt", "seed", "count", "cfg_scale", "steps", "width"]
            .map(|name| fields[name].clone());
        assert_eq!(
            taken,
            [
                json!("7"),
                json!(5),
                json!(2),
                json!(7.0),
                json!(20),
                json!(64)
            ]
        );
    }

    #[test]
    fn noise_that_a_sampler_adds_by_itself_cannot_be_changed() {
        for (label, value, is_fine) in [
            ("Euler a", 0.5, false),
            ("Euler a", 1.0, true),
            ("Euler", 0.5, true),
            ("DDIM", 0.5, true),
            ("DPM++ SDE", 0.0, false),
        ] {
            let fields = translate(json!({"sampler_name": label, "eta": value}));
            assert_eq!(fields.is_ok(), is_fine, "{label} {value}");
            assert_eq!(
                fields.is_ok_and(|fields| fields.contains_key("eta")),
                label == "DDIM"
            );
        }
    }

    #[test]
    fn a_start_picture_is_drawn_over_as_there_and_a_mask_brings_its_content() {
        let drawn = |more: Value| {
            let mut sent = json!({"init_images": ["aGk="], "mask": "aGk="});
            sent.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            translate(sent).unwrap()
        };
        let fields = drawn(
            json!({"denoising_strength": 0, "steps": 20, "mask_blur_x": 2, "mask_blur_y": "8"}),
        );
        let taken = ["strength", "mask_blur", "mask_blur_y", "masked_content"]
            .map(|name| fields[name].clone());
        assert_eq!(taken, [json!(0.0), json!(2.0), json!(8.0), json!("fill")]);
        assert_eq!(fields["strength_steps"], "one_more");
        let fields = drawn(
            json!({"denoising_strength": 0.5, "mask_blur": 3, "mask_blur_x": 2, "inpainting_fill": 3}),
        );
        let taken = ["mask_blur", "masked_content"].map(|name| fields[name].clone());
        assert_eq!(taken, [json!(3.0), json!("latent_nothing")]);
        assert!(!fields.contains_key("mask_blur_y"));
    }
}
