//! Access rules of the fields of `Params`: which ones a client may set. Names, types and texts come
//! from serde and clap, so that a new field needs one line in `ACCESS` and nothing else.

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::params::Params;

/// Party that sets a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The client.
    Client,
    /// The client, as an uploaded image; never as a path.
    Image,
    /// The client, from the models that the server offers.
    Model,
    /// The server only.
    Server,
}

/// Access rule of each field. A field that is not listed is the server's, so that no new field is
/// exposed by accident.
const ACCESS: &[(Access, &[&str])] = &[
    (Access::Image, &["init_image", "mask"]),
    (Access::Model, &["model", "refiner"]),
    (
        Access::Server,
        &[
            "device",
            "dtype",
            "threads",
            "memory",
            "vae_tiling",
            "offline",
            "lock",
            "locked",
        ],
    ),
    (Access::Server, &["output", "overwrite", "preview_dir"]),
    // These name files, alone or with other values.
    (
        Access::Server,
        &["config", "vae", "control", "ip_adapter", "ip_image"],
    ),
    (Access::Server, &["control_guess", "canny", "ip_scale"]),
    (
        Access::Server,
        &["lora", "lora_dir", "embedding", "from_latents"],
    ),
    (
        Access::Client,
        &[
            "prompt",
            "negative_prompt",
            "prompt_2",
            "negative_prompt_2",
            "prompt_syntax",
            "long_prompt",
        ],
    ),
    (
        Access::Client,
        &[
            "width",
            "height",
            "seed",
            "count",
            "batch_size",
            "no_metadata",
        ],
    ),
    (
        Access::Client,
        &["strength", "strength_steps", "fit", "posterior", "extend"],
    ),
    (
        Access::Client,
        &[
            "mask_blur",
            "mask_blur_y",
            "masked_content",
            "mask_grow",
            "invert_mask",
            "keep_unmasked",
            "mask_padding",
        ],
    ),
    (
        Access::Client,
        &[
            "refiner_start",
            "prediction",
            "clip_skip",
            "preset",
            "preview_every",
        ],
    ),
    (Access::Client, &["original_size", "crop", "target_size"]),
    (
        Access::Client,
        &[
            "negative_original_size",
            "negative_crop",
            "negative_target_size",
        ],
    ),
    (
        Access::Client,
        &[
            "steps",
            "cfg_scale",
            "sampler",
            "schedule",
            "timestep_spacing",
            "sigmas",
            "timesteps",
        ],
    ),
    (
        Access::Client,
        &[
            "zero_terminal_snr",
            "guidance_rescale",
            "cfg_interval",
            "eta",
            "rng",
        ],
    ),
    (Access::Client, &["cache", "merge_tokens"]),
];

/// Value of `mask` that stands for the transparent part of the start image.
pub(crate) const ALPHA: &str = "alpha";

/// Access rule of the field with this name.
pub(crate) fn field_access(field: &str) -> Access {
    ACCESS
        .iter()
        .find(|(_, names)| names.contains(&field))
        .map_or(Access::Server, |row| row.0)
}

/// Type of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Whole,
    Real,
    Switch,
    Wholes,
    Reals,
}

/// A field of `Params`.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) access: Access,
    pub(crate) kind: Type,
    /// Allowed names, if they are a closed list.
    pub(crate) choices: Vec<String>,
}

/// All fields of `Params`.
pub(crate) fn all_fields() -> Vec<Field> {
    let command = Params::augment_args(clap::Command::new("params"));
    command.get_arguments().map(field).collect()
}

fn field(arg: &clap::Arg) -> Field {
    let name = arg.get_id().to_string();
    let takes_value =
        arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.max_values() > 0);
    let mut choices = Vec::new();
    if takes_value {
        let values = arg.get_possible_values();
        choices.extend(values.iter().map(|value| value.get_name().to_owned()));
    }
    let about = arg
        .get_help()
        .map(|help| help.to_string().replace('\n', " "))
        .unwrap_or_default();
    Field {
        access: field_access(&name),
        kind: value_type(&name),
        name,
        about,
        choices,
    }
}

/// Type of the field, found by trying one value of each type.
fn value_type(name: &str) -> Type {
    let examples = [
        (json!(true), Type::Switch),
        (json!("a"), Type::Text),
        (json!(0.5), Type::Real),
        (json!(1), Type::Whole),
        (json!([0.5]), Type::Reals),
    ];
    let mut examples = examples.into_iter();
    let found = examples.find(|(value, _)| takes(name, value.clone()));
    found.map_or(Type::Wholes, |(_, kind)| kind)
}

/// Returns true if the field takes a value of this type.
fn takes(name: &str, value: Value) -> bool {
    Params::default().set(name, value).is_ok()
}

/// Lower bound of an integer field: -1 or 0.
pub(crate) fn minimum(name: &str) -> i64 {
    if takes(name, json!(-1)) { -1 } else { 0 }
}

/// Names that clients may use.
fn client_field_names() -> Vec<&'static str> {
    let open = ACCESS
        .iter()
        .filter(|(access, _)| *access != Access::Server);
    open.flat_map(|(_, names)| names.iter().copied()).collect()
}

/// Sets a field of `params`, by its name or an alias; null sets nothing.
pub(crate) fn set_field(params: &mut Params, name: &str, value: &Value) -> Result<()> {
    let Some(field) = Params::field(name) else {
        let error = Error::field(name, format!("unknown field `{name}`"));
        return Err(match crate::error::closest(name, &client_field_names()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("/openapi.json lists every field"),
        });
    };
    if value.is_null() {
        return Ok(());
    }
    let set = params.set(field, value.clone());
    set.map_err(|error| Error::field(name, error.to_string()))?;
    if field_access(field) == Access::Server {
        return Err(Error::field(name, "is the server's to choose").hint("leave it out"));
    }
    Ok(())
}

/// The field and the value of a part of a form: a number, a switch or a list where the field takes
/// one; text that looks like a number stays text where the field takes text.
pub(crate) fn parse_form_field(name: &str, text: &str) -> Result<(String, Value)> {
    let field = Params::field(name).unwrap_or(name).to_owned();
    let as_text = Value::from(text);
    let Err(error) = set_field(&mut Params::default(), name, &as_text) else {
        return Ok((field, as_text));
    };
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Err(error);
    };
    set_field(&mut Params::default(), name, &value)?;
    Ok((field, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_an_owner_and_every_row_a_field() {
        let fields: Vec<String> = all_fields().into_iter().map(|field| field.name).collect();
        let named = || ACCESS.iter().flat_map(|(_, names)| names.iter());
        let homeless: Vec<_> = fields
            .iter()
            .filter(|name| !named().any(|known| known == name))
            .collect();
        assert!(
            homeless.is_empty(),
            "decide in ACCESS whether a client may set {homeless:?}"
        );
        let stale: Vec<_> = named()
            .filter(|name| !fields.iter().any(|known| known == *name))
            .collect();
        assert!(stale.is_empty(), "{stale:?} is no field");
    }

    #[test]
    fn no_field_that_names_a_file_is_a_clients() {
        let command = Params::augment_args(clap::Command::new("params"));
        let files = ["PATH", "FILE", "DIR", "FOLDER"];
        for arg in command.get_arguments() {
            let values = arg.get_value_names().unwrap_or_default();
            let named = values
                .iter()
                .any(|value| files.iter().any(|file| value.contains(file)));
            let closed =
                [Access::Server, Access::Image].contains(&field_access(arg.get_id().as_str()));
            assert!(!named || closed, "{}", arg.get_id());
        }
    }

    #[test]
    fn types_and_choices_are_those_of_the_command_line() {
        let all = all_fields();
        let field = |name: &str| all.iter().find(|field| field.name == name).unwrap();
        let kinds = [
            "prompt",
            "steps",
            "cfg_scale",
            "keep_unmasked",
            "sigmas",
            "timesteps",
        ]
        .map(|n| field(n).kind);
        use Type::{Real, Reals, Switch, Text, Whole, Wholes};
        assert_eq!(kinds, [Text, Whole, Real, Switch, Reals, Wholes]);
        assert!(field("sampler").choices.contains(&"euler_a".to_owned()));
        assert!(field("keep_unmasked").choices.is_empty());
    }

    #[test]
    fn a_value_is_refused_by_the_name_of_its_field() {
        let mut params = Params::default();
        let mut refused =
            |name: &str, value: Value| set_field(&mut params, name, &value).unwrap_err();
        assert_eq!(
            refused("output", json!("/etc/passwd")).to_string(),
            "output: is the server's to choose"
        );
        assert!(refused("step", json!(4)).hints()[0].contains("`steps`"));
        let error = refused("steps", json!("four"));
        assert_eq!(error.field_name(), Some("steps"));
        assert!(error.message().contains("invalid type"), "{error}");
        let mut params = Params::default();
        set_field(&mut params, "seed", &Value::Null).unwrap();
        set_field(&mut params, "guidance_scale", &json!(2)).unwrap();
        assert_eq!((params.seed, params.cfg_scale), (None, Some(2.0)));
    }

    #[test]
    fn texts_of_a_form_become_what_the_field_takes() {
        assert_eq!(
            parse_form_field("steps", "4").unwrap(),
            ("steps".into(), json!(4))
        );
        assert_eq!(
            parse_form_field("prompt", "1984").unwrap(),
            ("prompt".into(), json!("1984"))
        );
        assert_eq!(
            parse_form_field("timesteps", "[999,1]").unwrap(),
            ("timesteps".into(), json!([999, 1]))
        );
        assert_eq!(
            parse_form_field("keep_unmasked", "true").unwrap(),
            ("keep_unmasked".into(), json!(true))
        );
        assert_eq!(
            parse_form_field("steps", "many").unwrap_err().field_name(),
            Some("steps")
        );
    }
}
