//! What a picture says about itself: A1111's `parameters` text for other programs, and the whole request as JSON
//! for this one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parameters::{self, Parameters};
use super::{Text, chunks};
use crate::error::{Error, Kind, Result};
use crate::request::Request;
use crate::sampler::Schedule;

/// Keyword of the JSON chunk.
const KEYWORD: &str = "sdgen";
/// Keyword of A1111's text.
const A1111_KEYWORD: &str = "parameters";

/// Names of samplers in A1111 and its kin, where they are not ours.
const A1111_SAMPLERS: &[(&str, &str)] = &[
    ("ddim", "DDIM"),
    ("pndm", "PLMS"),
    ("euler", "Euler"),
    ("euler_a", "Euler a"),
    ("dpmpp_2m", "DPM++ 2M"),
];

/// Everything needed to draw one picture again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The program's version.
    pub version: String,
    /// The request for this picture alone: its own seed, one picture.
    pub request: Request,
    /// Hash of each weight file.
    pub weights: BTreeMap<String, String>,
    /// Licence of the weights, where it is known.
    pub model_license: Option<String>,
}

impl Record {
    /// The record of the picture with `seed` among those of `request`.
    pub fn new(
        request: &Request,
        seed: u64,
        weights: &BTreeMap<String, String>,
        license: Option<&str>,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            request: Request { seed, count: 1, batch_size: 1, ..request.clone() },
            weights: weights.clone(),
            model_license: license.map(str::to_owned),
        }
    }

    /// The text chunks of a picture. `model` is the model's short name.
    ///
    /// # Errors
    /// None that a valid request can cause.
    pub fn texts(&self, model: &str) -> Result<[Text; 2]> {
        let json = serde_json::to_string(self)
            .map_err(|e| Error::internal("cannot serialise the request").source(e))?;
        Ok([(A1111_KEYWORD.to_owned(), self.parameters(model)), (KEYWORD.to_owned(), json)])
    }

    /// The `parameters` text in A1111's format.
    fn parameters(&self, model: &str) -> String {
        let request = &self.request;
        let mut fields = vec![
            ("Steps", request.steps.to_string()),
            ("Sampler", a1111_sampler(request.sampler.row().name).to_owned()),
            ("Schedule type", schedule_type(request.schedule).to_owned()),
            ("CFG scale", request.cfg_scale.to_string()),
            ("Seed", request.seed.to_string()),
            ("Size", format!("{}x{}", request.width, request.height)),
        ];
        if let Some(hash) = self.model_hash() {
            fields.push(("Model hash", hash));
        }
        fields.push(("Model", model.to_owned()));
        if request.clip_skip > 0 {
            fields.push(("Clip skip", (request.clip_skip + 1).to_string()));
        }
        fields.push(("Version", format!("sdgen {}", self.version)));
        parameters::write(&request.prompt, request.negative_prompt.as_deref().unwrap_or_default(), &fields)
    }

    /// The first ten digits of the denoising network's hash.
    fn model_hash(&self) -> Option<String> {
        let unet = self.weights.iter().find(|(file, _)| file.contains("unet"));
        let (_, hash) = unet.or(self.weights.iter().next())?;
        // A hash may be told by its kind: `header:0123...`.
        let digits = hash.rsplit(':').next().unwrap_or(hash);
        Some(digits.chars().take(10).collect())
    }
}

fn a1111_sampler(name: &str) -> &str {
    A1111_SAMPLERS.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs)
}

fn schedule_type(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Normal => "Automatic",
        Schedule::Karras => "Karras",
        Schedule::Exponential => "Exponential",
    }
}

/// What a picture file says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Our own record.
    pub sdgen: Option<Record>,
    /// A1111's text, ours or a foreign program's.
    pub parameters: Option<Parameters>,
}

/// Reads what the picture at `path` says about itself.
///
/// # Errors
/// No readable PNG, or a record of ours that is damaged.
pub fn read(path: &Path) -> Result<Inspection> {
    let file = File::open(path)
        .map_err(|e| Error::new(Kind::Usage, format!("cannot read `{}`: {e}", path.display())))?;
    let found = chunks::read(&mut BufReader::new(file)).map_err(|e| e.context(path.display()))?;
    let text = |keyword: &str| found.texts.iter().find(|(k, _)| k == keyword).map(|(_, text)| text.as_str());
    let record = text(KEYWORD).map(serde_json::from_str).transpose().map_err(|e| {
        Error::new(Kind::Usage, format!("{}: its `{KEYWORD}` record is damaged: {e}", path.display()))
    })?;
    Ok(Inspection {
        width: found.width,
        height: found.height,
        sdgen: record,
        parameters: text(A1111_KEYWORD).map(parameters::read),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::Picture;
    use crate::output::png::{Existing, encode, save};
    use crate::sampler::SAMPLERS;

    /// A request as JSON, the way a picture carries it.
    pub(crate) fn request() -> Request {
        serde_json::from_value(serde_json::json!({
            "prompt": "a cat", "negative_prompt": "dog", "model": "sd15", "width": 512, "height": 768,
            "steps": 20, "cfg_scale": 7.0, "seed": 5, "count": 3, "batch_size": 2, "sampler": "euler_a",
            "schedule": "karras", "timestep_spacing": "linspace", "prediction": "epsilon", "eta": 0.0,
            "clip_skip": 1, "rng": "torch", "dtype": "auto"
        }))
        .unwrap()
    }

    fn weights() -> BTreeMap<String, String> {
        let hash = |text: &str| text.repeat(8);
        BTreeMap::from([("text_encoder".into(), hash("00000000")), ("unet".into(), format!("header:{}", hash("0123abcd")))])
    }

    #[test]
    fn the_parameters_are_in_a1111s_format() {
        let record = Record::new(&request(), 6, &weights(), None);
        let expected = format!(
            "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, \
             Seed: 6, Size: 512x768, Model hash: 0123abcd01, Model: sd15, Clip skip: 2, Version: sdgen {}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(record.parameters("sd15"), expected);
    }

    #[test]
    fn a_picture_gives_its_request_back() {
        for prompt in ["a cat", "灯台 \"quoted\", with: all\nkinds, of \\ things", ""] {
            let request = Request { prompt: prompt.to_owned(), ..request() };
            let record = Record::new(&request, 6, &weights(), Some("MIT"));
            let picture = Picture { width: 1, height: 1, rgb: &[1, 2, 3] };
            let bytes = encode(&picture, &record.texts("sd15").unwrap()).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = save(&bytes, &folder.path().join("a.png"), Existing::Keep).unwrap();
            let found = read(&path).unwrap();
            assert_eq!((found.width, found.height), (1, 1));
            let back = found.sdgen.unwrap();
            assert_eq!(back, record);
            assert_eq!((back.request.seed, back.request.count), (6, 1));
            assert_eq!(found.parameters.unwrap().prompt, prompt);
        }
    }

    #[test]
    fn every_sampler_has_its_a1111_name() {
        for row in SAMPLERS {
            assert!(A1111_SAMPLERS.iter().any(|(ours, _)| *ours == row.name), "{}", row.name);
        }
    }
}
