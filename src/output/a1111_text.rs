//! A1111's `parameters` text: prompt, `Negative prompt:` and one line of `Key: value` pairs.
//! Written for other programs; read from pictures that any of them made.

use serde::Serialize;

use super::a1111_labels::{self, Automatic};
use crate::error::Error;
use crate::params::Params;

const NEGATIVE: &str = "Negative prompt:";

/// The text, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// Prompt.
    pub prompt: String,
    /// Negative prompt; empty if there is none.
    pub negative_prompt: String,
    /// The pairs of the last line, in order.
    #[serde(serialize_with = "as_object")]
    pub fields: Vec<(String, String)>,
}

impl Parameters {
    /// True if the text is empty.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.negative_prompt.is_empty() && self.fields.is_empty()
    }
}

fn as_object<S: serde::Serializer>(
    fields: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(key, value)| (key, value)))
}

/// Writes the text.
pub fn write(prompt: &str, negative_prompt: &str, fields: &[(&str, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{key}: {}", quote_value(value)))
        .collect();
    let negative = match negative_prompt {
        "" => String::new(),
        text => format!("\n{NEGATIVE} {text}"),
    };
    format!("{prompt}{negative}\n{}", pairs.join(", "))
}

/// A value as text; with a comma, colon or line break it is quoted as in JSON.
fn quote_value(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// Parses the text as A1111 does: blanks around each line and line breaks at the end are ignored,
/// and the last line is one of pairs if it has three of them. Otherwise it belongs to the prompts,
/// so that nothing is lost.
pub fn parse(text: &str) -> Parameters {
    let mut lines: Vec<&str> = text.trim().split('\n').collect();
    // A prompt of one line may hold a colon or two.
    let fields = lines
        .last()
        .map(|last| parse_pairs(last))
        .filter(|pairs| pairs.len() >= 3);
    if fields.is_some() {
        lines.pop();
    }
    let (mut prompt, mut negative): (Vec<&str>, Option<Vec<&str>>) = (Vec::new(), None);
    for line in lines.into_iter().map(str::trim) {
        match line.strip_prefix(NEGATIVE) {
            Some(rest) => negative.get_or_insert_default().push(rest.trim()),
            None => negative.as_mut().unwrap_or(&mut prompt).push(line),
        }
    }
    let text = |lines: Vec<&str>| lines.join("\n").trim().to_owned();
    Parameters {
        prompt: text(prompt),
        negative_prompt: text(negative.unwrap_or_default()),
        fields: fields.unwrap_or_default(),
    }
}

/// The `Key: value` pairs of a line, separated by commas; anything else is skipped.
fn parse_pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        match parse_pair(rest.trim_start()) {
            Some((key, value, next)) => {
                pairs.push((key.to_owned(), value));
                rest = next;
            }
            None => rest = &rest[first.len_utf8()..],
        }
    }
    pairs
}

/// The pair at the head of `text`, if there is one, and what follows it. A key is of letters,
/// digits and ` _-/`, two or more, of which the first is a letter, a digit or `_`.
fn parse_pair(text: &str) -> Option<(&str, String, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = text.find(|c: char| !is_word(c) && ![' ', '-', '/'].contains(&c))?;
    let (key, rest) = text.split_at(length);
    let after = rest.strip_prefix(':')?.trim_start();
    if !key.starts_with(is_word) || key.chars().nth(1).is_none() {
        return None;
    }
    let (value, next) = parse_value(after);
    Some((key, value, next))
}

/// A value at the head of `text`, in quotes or up to the next comma, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = values.next() {
            let rest = text[values.byte_offset()..].trim_start();
            if rest.is_empty() || rest.starts_with(',') {
                return (value, rest.strip_prefix(',').unwrap_or(rest));
            }
        }
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

/// Fields without an effect on the image.
const SILENT: [&str; 1] = ["Version"];

/// Values with which a field has no effect.
const NOTHING: [&str; 6] = ["", "0", "False", "None", "Disable", "Full"];

/// Parameters taken from an image, and the fields without a counterpart here.
struct Taken {
    params: Params,
    left: Vec<String>,
}

impl Parameters {
    /// The parameters of the image, and the fields that are not taken over, with the reason where
    /// there is more to say than the name. `over` holds the parameters that are given in addition:
    /// without an initial image in it, no field about one is taken over.
    pub fn params(&self, over: &Params) -> (Params, Vec<String>) {
        let params = Params {
            prompt: Some(self.prompt.clone()),
            negative_prompt: Some(self.negative_prompt.clone()).filter(|text| !text.is_empty()),
            prompt_syntax: Some("weighted".into()),
            long_prompt: Some("chunk".into()),
            // A1111 generates its noise on the GPU unless `RNG` says otherwise.
            rng: Some("philox".into()),
            ..Params::default()
        };
        let mut taken = Taken {
            params,
            left: Vec::new(),
        };
        self.take_sampling(&mut taken);
        for (name, value) in &self.fields {
            let known = take_field(&mut taken.params, name, value)
                || self.taken_elsewhere(name, value, over);
            let nothing = SILENT.contains(&name.as_str()) || NOTHING.contains(&value.as_str());
            if !known
                && !self.take_start_image_field(&mut taken.params, over, (name, value))
                && !nothing
            {
                taken.left.push(format!("{name}: {value}"));
            }
        }
        (taken.params, taken.left)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sampler and schedule, which belong together: a schedule without its sampler may suit no
    /// other.
    fn take_sampling(&self, taken: &mut Taken) {
        let Some(label) = self.field("Sampler") else {
            return;
        };
        let schedule = self.field("Schedule type");
        // A program that writes `Schedule type` knows `Automatic`.
        let rule = if schedule.is_some() {
            Automatic::Own
        } else {
            Automatic::of(self.field("Version"))
        };
        let named = schedule.map(|schedule| format!("Schedule type: {schedule}"));
        match a1111_labels::sampling(["Sampler", "Schedule type"], label, schedule, rule) {
            Ok(read) => {
                taken.params.sampler = Some(read.sampler.into());
                taken.params.schedule = Some(read.schedule.into());
                if read.unheard {
                    let named = named.unwrap_or_else(|| format!("Sampler: {label}"));
                    taken
                        .left
                        .push(format!("{named} (`{}` has no schedules)", read.sampler));
                }
            }
            Err(error) => {
                let is_schedule = error.field_name() == Some("Schedule type");
                let value = if is_schedule {
                    schedule.unwrap_or_default()
                } else {
                    label
                };
                let field = error.field_name().unwrap_or_default();
                taken
                    .left
                    .push(format!("{field}: {value} ({})", describe_error(&error)));
                if is_schedule {
                    // The sampler by itself is known, or it would be what is wrong.
                    let read = a1111_labels::sampling(["", ""], label, None, rule);
                    taken.params.sampler = read.ok().map(|read| read.sampler.into());
                } else {
                    taken
                        .left
                        .extend(named.filter(|_| schedule != Some(a1111_labels::AUTOMATIC)));
                }
            }
        }
    }

    /// Returns true if the field is read with another one, or replaced by a parameter in `over`.
    fn taken_elsewhere(&self, name: &str, value: &str, over: &Params) -> bool {
        match name {
            "Sampler" => true,
            "Schedule type" => self.field("Sampler").is_some() || value == a1111_labels::AUTOMATIC,
            "Model" | "Model hash" => over.model.is_some(),
            _ => false,
        }
    }

    /// Takes over a field about the initial image and its mask if `over` has them; returns true if
    /// it did.
    fn take_start_image_field(
        &self,
        params: &mut Params,
        over: &Params,
        (name, value): (&str, &str),
    ) -> bool {
        let masked = over.init_image.is_some() && over.mask.is_some();
        match name {
            // With a second pass (hires fix), the field is the strength of that pass.
            "Denoising strength" if over.init_image.is_some() && !self.has_second_pass() => {
                set(&mut params.strength, value.parse().ok())
                    && set(&mut params.strength_steps, Some("one_more".into()))
            }
            "Mask blur" if masked => set(&mut params.mask_blur, value.parse().ok()),
            "Mask mode" if masked => {
                set(&mut params.invert_mask, Some(value == "Inpaint not masked"))
            }
            "Masked content" if masked => set(
                &mut params.masked_content,
                Some(value.replace(' ', "_").into()),
            ),
            "Masked area padding" if masked => set(&mut params.mask_padding, value.parse().ok()),
            "Inpaint area" if masked => self.field("Masked area padding").is_some(),
            _ => false,
        }
    }

    fn has_second_pass(&self) -> bool {
        self.fields
            .iter()
            .any(|(name, _)| name.starts_with("Hires "))
    }
}

/// Takes over a field that has a counterpart; returns true if it did.
fn take_field(params: &mut Params, name: &str, value: &str) -> bool {
    match name {
        "Steps" => set(&mut params.steps, value.parse().ok()),
        "CFG scale" => set(&mut params.cfg_scale, value.parse().ok()),
        "Seed" => set(&mut params.seed, value.parse().ok()),
        "Clip skip" => set(
            &mut params.clip_skip,
            value.parse::<usize>().ok().and_then(|n| n.checked_sub(1)),
        ),
        "RNG" => set(&mut params.rng, noise_source(value).map(Into::into)),
        "Eta" | "Eta DDIM" => match value.parse::<f64>() {
            // The default of ddim, and of ancestral samplers.
            Ok(eta) if eta == default_eta(params) => true,
            Ok(eta) if takes_eta(params) => set(&mut params.eta, Some(eta)),
            _ => false,
        },
        "Size" => {
            let pair = value
                .split_once('x')
                .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            set(&mut params.width, pair.map(|pair| pair.0))
                && set(&mut params.height, pair.map(|pair| pair.1))
        }
        _ => false,
    }
}

/// The generator here for the noise of A1111 (`GPU`, `CPU`, `NV`) and stable-diffusion.cpp (`cuda`,
/// `cpu`; its `std_default` is C++'s own).
fn noise_source(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "cpu" => Some("torch"),
        "gpu" | "nv" | "cuda" => Some("philox"),
        _ => None,
    }
}

fn takes_eta(params: &Params) -> bool {
    params.sampler == Some("ddim".into())
}

fn default_eta(params: &Params) -> f64 {
    if takes_eta(params) { 0.0 } else { 1.0 }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let known = value.is_some();
    *field = value.or(field.take());
    known
}

/// An error's message with the suggestions of its hints, without the list of all known names.
fn describe_error(error: &Error) -> String {
    let hints = error.hints().iter().filter_map(|hint| {
        hint.split_once("? known:")
            .map(|(near, _)| format!("; {near}?"))
    });
    format!("{}{}", error.message(), hints.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Parsed;

    fn field<'a>(parameters: &'a Parameters, key: &str) -> Option<&'a str> {
        parameters
            .fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_foreign_picture_is_understood() {
        let read = parse(
            "masterpiece, (a cat:1.2)\nsecond line\nNegative prompt: bad, worse\nSteps: 30, Sampler: DPM++ 2M Karras, \
             CFG scale: 7, Seed: 1234, Size: 512x768, Model hash: 6ce0161689, \
             Lora hashes: \"a: 1, b: \\\"2\\\"\", Version: v1.6.0",
        );
        assert_eq!(read.prompt, "masterpiece, (a cat:1.2)\nsecond line");
        assert_eq!(read.negative_prompt, "bad, worse");
        assert_eq!(field(&read, "Sampler"), Some("DPM++ 2M Karras"));
        assert_eq!(field(&read, "Lora hashes"), Some("a: 1, b: \"2\""));
        assert_eq!(field(&read, "Version"), Some("v1.6.0"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let fields = [
            ("Steps", "4".to_owned()),
            ("Model", "odd, name: \"x\"\n\\".to_owned()),
            ("Seed", "9".to_owned()),
        ];
        for (prompt, negative) in [
            ("a", "b"),
            ("a", ""),
            ("", "b"),
            ("", ""),
            ("x: y", "two\nlines"),
        ] {
            let read = parse(&write(prompt, negative, &fields));
            assert_eq!(
                (read.prompt.as_str(), read.negative_prompt.as_str()),
                (prompt, negative)
            );
            assert_eq!(field(&read, "Model"), Some("odd, name: \"x\"\n\\"));
        }
    }

    #[test]
    fn blanks_and_line_breaks_around_the_lines_say_nothing() {
        const SETTINGS: &str = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";
        for text in [
            format!("a cat\nNegative prompt: bad\n{SETTINGS}\n"),
            format!("\n a cat \n  Negative prompt: bad\n\n{SETTINGS}\n\n"),
            format!("a cat\r\nNegative prompt: bad\r\n{SETTINGS}\r\n"),
            format!("a cat\n\tNegative prompt:bad\n   {SETTINGS},  "),
        ] {
            let read = parse(&text);
            assert_eq!(
                (read.prompt.as_str(), read.negative_prompt.as_str()),
                ("a cat", "bad"),
                "{text:?}"
            );
            assert_eq!(
                (read.fields.len(), field(&read, "Seed")),
                (4, Some("5")),
                "{text:?}"
            );
        }
    }

    /// Pairs that A1111 1.10's `re_param` finds.
    #[test]
    fn pairs_are_those_that_a1111_finds() {
        for (line, expected) in [
            (
                "Steps: 20, x: 1, Model: a",
                &[("Steps", "20"), ("Model", "a")][..],
            ),
            (
                "ADetailer model: \"a, b\", ControlNet 0: \"Module: canny, Weight: 1\", TI/LoRA: 3",
                &[
                    ("ADetailer model", "a, b"),
                    ("ControlNet 0", "Module: canny, Weight: 1"),
                    ("TI/LoRA", "3"),
                ],
            ),
            (
                "Model: \"a\" b, Seed: 1",
                &[("Model", "\"a\" b"), ("Seed", "1")],
            ),
            (
                "Civitai resources: [{\"type\":\"lora\",\"weight\":1}], Seed: 1",
                &[("Civitai resources", "[{\"type\":\"lora\""), ("Seed", "1")],
            ),
            ("VAE: , Seed: 1", &[("VAE", ""), ("Seed", "1")]),
        ] {
            let found = parse_pairs(line);
            let found: Vec<_> = found
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_prompt_may_look_like_settings() {
        let text = "Steps: a guide, Seed: a story, Size: a tale\nNegative prompt: Steps: none\nNegative prompt: more";
        let read = parse(text);
        assert_eq!(read.prompt, "Steps: a guide, Seed: a story, Size: a tale");
        assert_eq!(
            (read.negative_prompt.as_str(), read.fields.len()),
            ("Steps: none\nmore", 0)
        );
    }

    #[test]
    fn text_without_pairs_is_all_prompt() {
        for text in [
            "",
            "just: a prompt",
            "\"",
            "a: \"",
            ":",
            "a\nb",
            "Steps: \"\\u",
            ", , :",
        ] {
            let read = parse(text);
            assert_eq!(
                (read.prompt.as_str(), read.fields.len()),
                (text, 0),
                "{text:?}"
            );
        }
    }

    fn taken(fields: &str, over: &Params) -> (Params, Vec<String>) {
        parse(&format!(
            "a (cat:1.2)\nNegative prompt: bad\nSteps: 20, CFG scale: 7, Size: 64x64, {fields}"
        ))
        .params(over)
    }

    fn pair(fields: &str) -> [Option<String>; 2] {
        let (params, left) = taken(fields, &Params::default());
        assert_eq!(left, [""; 0], "{fields}");
        [
            params.sampler.map(Into::into),
            params.schedule.map(Into::into),
        ]
    }

    #[test]
    fn a_foreign_picture_asks_for_what_it_says() {
        let text = "a (cat:1.2)\nNegative prompt: bad\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 12, \
                    Size: 512x768, Model hash: 6ce0161689, Clip skip: 2, Hires upscale: 2, RNG: CPU, Version: v1.6.0";
        let (params, left) = parse(text).params(&Params::default());
        assert_eq!(
            (
                params.sampler.as_ref().map(Parsed::text),
                params.schedule.as_ref().map(Parsed::text)
            ),
            (Some("dpmpp_2m"), Some("karras"))
        );
        assert_eq!(
            (params.width, params.height, params.steps),
            (Some(512), Some(768), Some(30))
        );
        assert_eq!(
            (
                params.clip_skip,
                params.rng.as_ref().map(Parsed::text),
                params.seed
            ),
            (Some(1), Some("torch"), Some(12.into()))
        );
        assert_eq!(
            (
                params.cfg_scale,
                params.prompt_syntax.as_ref().map(Parsed::text)
            ),
            (Some(7.5), Some("weighted"))
        );
        assert_eq!(left, ["Model hash: 6ce0161689", "Hires upscale: 2"]);
        let chosen = Params {
            model: Some("demo".to_owned()),
            ..Params::default()
        };
        assert_eq!(parse(text).params(&chosen).1, ["Hires upscale: 2"]);
    }

    #[test]
    fn automatic_is_what_it_was_when_the_picture_was_drawn() {
        let expected =
            |sampler: &str, schedule: &str| [Some(sampler.to_owned()), Some(schedule.to_owned())];
        for (fields, schedule) in [
            (
                "Sampler: DPM++ 2M, Schedule type: Automatic, Version: v1.10.1",
                "karras",
            ),
            ("Sampler: DPM++ 2M, Version: v1.9.4", "karras"),
            ("Sampler: DPM++ 2M", "karras"),
            ("Sampler: DPM++ 2M, Schedule type: Uniform", "normal"),
            ("Sampler: DPM++ 2M, Version: v1.6.0", "normal"),
            (
                "Sampler: dpm++2m karras, Version: stable-diffusion.cpp",
                "karras",
            ),
            ("Sampler: dpm++2m, Version: stable-diffusion.cpp", "normal"),
        ] {
            assert_eq!(pair(fields), expected("dpmpp_2m", schedule), "{fields}");
        }
        assert_eq!(
            pair("Sampler: DDIM, Schedule type: Automatic, Eta: 0.0"),
            expected("ddim", "normal")
        );
    }

    #[test]
    fn what_has_no_counterpart_is_told_with_its_reason() {
        let told = |fields: &str| taken(fields, &Params::default()).1.join("; ");
        assert!(
            told("Sampler: Euler Max, Seed: 1").starts_with("Sampler: Euler Max (unknown sampler")
        );
        assert!(told("Sampler: DPM++ 2MM, Seed: 1").contains("did you mean `DPM++ 2M`?"));
        let (params, left) = taken(
            "Sampler: DPM fast, Schedule type: Karras, Seed: 1",
            &Params::default(),
        );
        assert_eq!(
            (params.sampler, params.schedule, left.len()),
            (None, None, 2)
        );
        let (params, left) = taken(
            "Sampler: Euler, Schedule type: KL Optimal",
            &Params::default(),
        );
        assert_eq!(
            (
                params.sampler.as_ref().map(Parsed::text),
                params.schedule,
                left.len()
            ),
            (Some("euler"), None, 1)
        );
        assert_eq!(
            told("Sampler: DDIM, Schedule type: Karras"),
            "Schedule type: Karras (`ddim` has no schedules)"
        );
        for field in [
            "ENSD: 31337",
            "Variation seed: 3",
            "Refiner: x [abc]",
            "VAE: a.pt",
            "Tiling: True",
            "Eta: 0.5",
            "RNG: std_default",
            "Denoising strength: 0.5",
            "Mask blur: 4",
            "ADetailer model: face_yolov8n.pt",
            "Model: x",
        ] {
            assert_eq!(told(&format!("Sampler: Euler a, {field}")), field);
        }
        assert_eq!(
            told("Sampler: Euler, Tiling: False, Schedule max sigma: 0, FP8 weight: Disable"),
            ""
        );
    }

    #[test]
    fn noise_is_drawn_as_the_other_program_drew_it() {
        for (name, ours) in [
            ("CPU", "torch"),
            ("cpu", "torch"),
            ("NV", "philox"),
            ("GPU", "philox"),
            ("cuda", "philox"),
        ] {
            let (params, left) = taken(&format!("RNG: {name}"), &Params::default());
            assert_eq!(
                (params.rng.as_ref().map(Parsed::text), left.len()),
                (Some(ours), 0),
                "{name}"
            );
        }
    }

    #[test]
    fn strength_and_mask_are_taken_over_with_a_start_picture() {
        let over = Params {
            init_image: Some("a.png".into()),
            mask: Some("m.png".into()),
            ..Params::default()
        };
        let text = "Denoising strength: 0.35, Mask blur: 8, Mask mode: Inpaint not masked, Inpaint area: Only masked, \
                    Masked area padding: 32";
        let (params, left) = taken(text, &over);
        assert_eq!(
            (params.strength, params.mask_blur, params.mask_padding),
            (Some(0.35), Some(8.0), Some(32))
        );
        assert_eq!((params.invert_mask, left.len()), (Some(true), 0));
        let (params, left) = taken("Denoising strength: 0.35, Hires upscale: 2", &over);
        assert_eq!((params.strength, left.len()), (None, 2));
        assert_eq!(params.strength_steps, None);
        let (params, _) = taken("Denoising strength: 0", &over);
        assert_eq!(
            (
                params.strength,
                params.strength_steps.as_ref().map(Parsed::text)
            ),
            (Some(0.0), Some("one_more"))
        );
    }
}
