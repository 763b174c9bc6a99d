//! Conversion of a request back to the parameters that lead to it, so that other parameters can be
//! laid over them.

use serde_json::{Map, Value, json};

use super::{Adapter, Params, Request, Sizes};

impl Request {
    /// The parameters that resolve to this request on the same model. Fields of the request that
    /// have the name and form of a parameter are copied as they are.
    pub fn params(&self) -> Params {
        let told = object(self);
        let mut fields = Map::new();
        for (key, value) in &told {
            let single = Map::from_iter([(key.clone(), value.clone())]);
            if !value.is_null()
                && serde_json::from_value::<Params>(single.into())
                    .is_ok_and(|p| p != Params::default())
            {
                fields.insert(key.clone(), value.clone());
            }
        }
        // The initial image and the refiner are nested values here and several parameters there.
        let nested = [told.get("init").map(init), told.get("refiner").map(refiner)];
        fields.extend(
            nested
                .into_iter()
                .flatten()
                .flatten()
                .filter(|(_, value)| !value.is_null()),
        );
        let params: Params = serde_json::from_value(fields.into()).unwrap_or_default();
        self.sized(Params {
            cache: self.shortcuts.cache.map(|every| format!("deep:{every}")),
            merge_tokens: Some(self.shortcuts.merge_tokens).filter(|share| *share > 0.0),
            lora: listed(&self.loras, |lora| format!("{}:{}", lora.file, lora.weight)),
            embedding: listed(&self.embeddings, |embedding| embedding.file.clone()),
            ..params
        })
    }

    /// `params` with the size and crop conditioning of SDXL, as far as it differs from its
    /// defaults.
    fn sized(&self, params: Params) -> Params {
        let size = [self.width, self.height];
        let own = Sizes {
            original: size,
            crop: [0, 0],
            target: size,
        };
        let (prompt, negative) = (self.sizes, self.negative_sizes);
        let told = |told: [u32; 2], usual: [u32; 2], between: char| {
            (told != usual).then(|| format!("{}{between}{}", told[0], told[1]))
        };
        Params {
            original_size: told(prompt.original, own.original, 'x'),
            crop: told(prompt.crop, own.crop, ','),
            target_size: told(prompt.target, own.target, 'x'),
            negative_original_size: told(negative.original, prompt.original, 'x'),
            negative_crop: told(negative.crop, prompt.crop, ','),
            negative_target_size: told(negative.target, prompt.target, 'x'),
            ..params
        }
    }
}

/// Adapters as their flag takes them.
fn listed(adapters: &[Adapter], as_text: impl Fn(&Adapter) -> String) -> Option<Vec<String>> {
    (!adapters.is_empty()).then(|| adapters.iter().map(as_text).collect())
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
    let switch = |name: &str| {
        if mask[name] == true {
            Value::Bool(true)
        } else {
            Value::Null
        }
    };
    let sides = mask["extend"].as_object().map(|sides| {
        let side = |(name, pixels): (&String, &Value)| format!("{name}={pixels}");
        let sides: Vec<String> = sides
            .iter()
            .filter(|(_, pixels)| **pixels != 0)
            .map(side)
            .collect();
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
    use super::super::Shortcuts;
    use super::*;
    use crate::catalog::{ModelFiles, RepoConfig};

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
        let painted = Params {
            init_image: Some(picture.display().to_string()),
            ..painted()
        };
        for params in [plain, painted] {
            let request = resolve(&params);
            assert_eq!(resolve(&request.params()), request);
        }
    }

    #[test]
    fn sizes_adapters_and_shortcuts_come_back() {
        let plain = resolve(&toml::from_str("prompt = 'a'\nseed = 3").unwrap());
        let size = [plain.width, plain.height];
        let sizes = Sizes {
            original: [64, 32],
            crop: [1, 2],
            target: size,
        };
        let negative_sizes = Sizes {
            crop: [0, 0],
            target: [8, 16],
            ..sizes
        };
        let shortcuts = Shortcuts {
            cache: Some(5),
            merge_tokens: 0.25,
        };
        let loras = vec![
            Adapter::new("c:/a b.safetensors", -0.1),
            Adapter::new("org/name/x.pt", 1.0),
        ];
        let embeddings = vec![Adapter::new("e/word.pt", 1.0)];
        let config = Some("sdxl".to_owned());
        let request = Request {
            sizes,
            negative_sizes,
            shortcuts,
            loras,
            embeddings,
            config,
            ..plain
        };
        let params = request.params();
        assert_eq!(
            Sizes::resolve(&params, size).unwrap(),
            (sizes, negative_sizes)
        );
        assert_eq!(Shortcuts::resolve(&params).unwrap(), shortcuts);
        assert_eq!(
            params.lora.unwrap(),
            ["c:/a b.safetensors:-0.1", "org/name/x.pt:1"]
        );
        assert_eq!(
            (params.embedding.unwrap(), params.config),
            (vec!["e/word.pt".to_owned()], request.config)
        );
    }
}
