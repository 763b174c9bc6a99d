//! From a request back to the parameters that ask for it, so that others can be laid over them.

use serde_json::{Map, Value, json};

use super::{Params, Request};
use crate::error::{Error, Result};

impl Request {
    /// The parameters that ask for this request. What a request tells by the name of its parameter is taken over as
    /// it is; sizes that XL is told follow from the picture's.
    pub fn params(&self) -> Params {
        let told = object(self);
        let mut fields = Map::new();
        for (key, value) in &told {
            let single = Map::from_iter([(key.clone(), value.clone())]);
            if !value.is_null()
                && serde_json::from_value::<Params>(single.into()).is_ok_and(|p| p != Params::default())
            {
                fields.insert(key.clone(), value.clone());
            }
        }
        // A refiner's name is a parameter, and so is what a request tells beside it.
        let nested = [told.get("init").map(init), told.get("refiner").map(refiner)];
        fields.extend(nested.into_iter().flatten().flatten().filter(|(_, value)| !value.is_null()));
        serde_json::from_value(fields.into()).unwrap_or_default()
    }

    /// This request with what sets `to` apart from `from`.
    ///
    /// # Errors
    /// None that requests can cause.
    pub fn changed(&self, from: &Self, to: &Self) -> Result<Self> {
        let before = object(from);
        let mut fields = object(self);
        for (key, value) in object(to).into_iter().filter(|(key, value)| before.get(key) != Some(value)) {
            fields.insert(key, value);
        }
        let request: Self = serde_json::from_value(fields.into())
            .map_err(|e| Error::internal("two requests that make none").source(e))?;
        Ok(Self { device: to.device, threads: to.threads, preview_every: to.preview_every, ..request })
    }
}

fn object(request: &Request) -> Map<String, Value> {
    match serde_json::to_value(request) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn init(init: &Value) -> Map<String, Value> {
    let mask = &init["mask"];
    let source = match &mask["source"] {
        Value::Object(file) => file.get("file").cloned().unwrap_or_default(),
        Value::String(name) if name == "alpha" => name.as_str().into(),
        _ => Value::Null,
    };
    let switch = |name: &str| if mask[name] == true { Value::Bool(true) } else { Value::Null };
    let sides = mask["extend"].as_object().map(|sides| {
        let side = |(name, pixels): (&String, &Value)| format!("{name}={pixels}");
        let sides: Vec<String> = sides.iter().filter(|(_, pixels)| **pixels != 0).map(side).collect();
        sides.join(",")
    });
    as_map(json!({
        "init_image": init["image"], "strength": init["strength"], "strength_steps": init["strength_steps"],
        "fit": init["fit"], "posterior": init["posterior"],
        "mask": source, "mask_blur": mask["blur"], "mask_blur_y": mask["blur_y"],
        "masked_content": mask["content"], "mask_grow": mask["grow"], "invert_mask": switch("invert"),
        "keep_unmasked": switch("keep_unmasked"), "mask_padding": mask["padding"], "extend": sides,
    }))
}

fn refiner(refiner: &Value) -> Map<String, Value> {
    as_map(json!({ "refiner": refiner["model"], "refiner_start": refiner["start"] }))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ModelFiles, RepoConfig};

    fn resolve(params: &Params) -> Request {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/sd15");
        let files = ModelFiles::folder("sd15", "sd15", model.into());
        Request::resolve(params, &files, &RepoConfig::read(&files).unwrap()).unwrap()
    }

    fn painted() -> Params {
        toml::from_str(
            "prompt = 'a'\nseed = 3\nmask = 'm.png'\nmask_blur = 2\ninvert_mask = true\nextend = 'left=8'",
        )
        .unwrap()
    }

    #[test]
    fn a_request_is_asked_for_again_by_its_parameters() {
        let plain: Params =
            toml::from_str("prompt = 'a'\nseed = 3\nsteps = 7\ncfg_interval = '0.1..0.9'").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("i.png");
        image::RgbImage::new(64, 64).save(&picture).unwrap();
        let painted = Params { init_image: Some(picture.display().to_string()), ..painted() };
        for params in [plain, painted] {
            let request = resolve(&params);
            assert_eq!(resolve(&request.params()), request);
        }
    }

    #[test]
    fn only_what_was_changed_changes() {
        let base = resolve(&toml::from_str("prompt = 'a'\nseed = 3").unwrap());
        let other = Request { steps: 9, ..base.clone() };
        let record = Request { eta: 0.5, seed: 8, ..base.clone() };
        assert_eq!(record.changed(&base, &other).unwrap(), Request { steps: 9, ..record });
    }
}
