//! Metadata of an image: A1111's `parameters` text for other programs, and the whole request as
//! JSON for sdgen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::a1111_labels;
use super::a1111_text::{self, Parameters};
use super::contact_sheet::{self, Contents};
use super::encode::{self, Text};
use crate::device::Rng;
use crate::error::{Error, Kind, Result};
use crate::image::Size;
use crate::params::{Adapter, Request};

/// Keyword of the JSON chunk.
const KEYWORD: &str = "sdgen";
/// Keyword of A1111's text.
const A1111_KEYWORD: &str = "parameters";

/// Everything needed to reproduce one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The program's version.
    pub version: String,
    /// The request for this picture alone: its own seed, one picture. As JSON, because pictures
    /// outlive the version that made them; [`Record::request`] reads it.
    pub request: Value,
    /// Hash of each weight file.
    pub weights: BTreeMap<String, String>,
    /// Field → SHA-256 of the picture that it names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// Licence of the weights, where it is known.
    pub model_license: Option<String>,
}

impl Record {
    /// The typed request, of a picture that this version made.
    ///
    /// # Errors
    /// A request of another version that lacks a value, or has one that this version does not know.
    pub fn request(&self) -> Result<Request> {
        serde_json::from_value(self.request.clone()).map_err(|e| {
            let message = format!("the picture's request is of sdgen {}: {e}", self.version);
            Error::new(Kind::Usage, message)
        })
    }
}

/// Metadata that the images of one request share.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    /// The request for all of them.
    pub request: &'a Request,
    /// The model's short name.
    pub model: &'a str,
    /// Hash of each weight file.
    pub weights: &'a BTreeMap<String, String>,
    /// Field → SHA-256 of the picture that it names.
    pub inputs: &'a BTreeMap<String, String>,
    /// Licence of the weights, where it is known.
    pub license: Option<&'a str>,
}

impl Provenance<'_> {
    /// The text chunks of the picture with this seed.
    ///
    /// # Errors
    /// None that a valid request can cause.
    pub fn texts(&self, seed: u64) -> Result<Vec<Text>> {
        let json = self.json(seed)?;
        Ok(vec![self.a1111(seed), (KEYWORD.to_owned(), json)])
    }

    /// The text chunk that other programs read.
    pub(super) fn a1111(&self, seed: u64) -> Text {
        (A1111_KEYWORD.to_owned(), self.parameters(seed))
    }

    /// The [`Record`] of the picture with this seed.
    ///
    /// # Errors
    /// As [`Self::texts`].
    pub fn json(&self, seed: u64) -> Result<String> {
        let failed =
            |e: serde_json::Error| Error::internal("cannot serialise the request").source(e);
        let request = Request {
            seed,
            count: 1,
            batch_size: 1,
            ..self.request.clone()
        };
        let record = Record {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            request: serde_json::to_value(&request).map_err(failed)?,
            weights: self.weights.clone(),
            inputs: self.inputs.clone(),
            model_license: self.license.map(str::to_owned),
        };
        serde_json::to_string(&record).map_err(failed)
    }

    /// The `parameters` text in A1111's format.
    fn parameters(&self, seed: u64) -> String {
        let request = self.request;
        let (sampler, schedule) = a1111_labels::labels(request.sampler.row(), request.schedule);
        let mut fields = vec![
            ("Steps", request.steps.to_string()),
            ("Sampler", sampler.to_owned()),
            ("Schedule type", schedule.to_owned()),
            ("CFG scale", request.cfg_scale.to_string()),
            ("Seed", seed.to_string()),
            ("Size", format!("{}x{}", request.width, request.height)),
        ];
        if let Some(hash) = self.model_hash() {
            fields.push(("Model hash", hash));
        }
        fields.push(("Model", self.model.to_owned()));
        if let Some(init) = &request.init {
            fields.push(("Denoising strength", init.strength.to_string()));
        }
        if request.clip_skip > 0 {
            fields.push(("Clip skip", (request.clip_skip + 1).to_string()));
        }
        let hashes = |adapters: &[Adapter]| {
            let pair = |adapter: &Adapter| {
                Some(format!(
                    "{}: {}",
                    adapter.name,
                    adapter.short_hash.as_ref()?
                ))
            };
            adapters
                .iter()
                .filter_map(pair)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let kinds = [
            ("Lora hashes", hashes(&request.loras)),
            ("TI hashes", hashes(&request.embeddings)),
        ];
        fields.extend(kinds.into_iter().filter(|(_, hashes)| !hashes.is_empty()));
        // A1111 generates its noise as a GPU does unless `RNG` says otherwise.
        if request.rng == Rng::Torch {
            fields.push(("RNG", "CPU".to_owned()));
        }
        fields.push(("Version", format!("sdgen {}", env!("CARGO_PKG_VERSION"))));
        // In A1111 the prompt names its LoRAs.
        let loras = request
            .loras
            .iter()
            .map(|lora| format!(" <lora:{}:{}>", lora.name, lora.weight));
        let prompt = std::iter::once(request.prompt.clone())
            .chain(loras)
            .collect::<String>();
        a1111_text::write(
            &prompt,
            request.negative_prompt.as_deref().unwrap_or_default(),
            &fields,
        )
    }

    /// The first ten digits of the SHA-256 of the denoising network's file, where it is known
    /// without reading that file.
    fn model_hash(&self) -> Option<String> {
        let unet = self.weights.iter().find(|(file, _)| file.contains("unet"));
        let (_, hash) = unet.or(self.weights.iter().next())?;
        // A hash of something else has a name: `header:0123...`.
        (!hash.contains(':')).then(|| hash.chars().take(10).collect())
    }
}

/// Metadata of an image file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Width and height.
    #[serde(flatten)]
    pub size: Size,
    /// Record of sdgen.
    pub sdgen: Option<Record>,
    /// A1111's text, by sdgen or another program.
    pub parameters: Option<Parameters>,
    /// Contents of a contact sheet of sdgen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<Contents>,
}

/// Reads the metadata of the image at `path`.
///
/// # Errors
/// No readable PNG, or a damaged record of sdgen.
pub fn read(path: &Path) -> Result<Inspection> {
    let file = File::open(path).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("cannot read `{}`: {e}", path.display()),
        )
    })?;
    let found =
        encode::read_metadata(&mut BufReader::new(file)).map_err(|e| e.context(path.display()))?;
    let record = found
        .text(KEYWORD)
        .map(serde_json::from_str)
        .transpose()
        .map_err(|e| {
            Error::new(
                Kind::Usage,
                format!("{}: its `{KEYWORD}` record is damaged: {e}", path.display()),
            )
        })?;
    Ok(Inspection {
        size: found.size,
        sdgen: record,
        parameters: found.text(A1111_KEYWORD).map(a1111_text::parse),
        // Text of another form is not known to be a contact sheet of sdgen.
        sheet: found
            .text(contact_sheet::KEYWORD)
            .and_then(|text| serde_json::from_str(text).ok()),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::catalog::{ModelFiles, RepoConfig};
    use crate::output::atomic_file::{Existing, save};
    use crate::output::encode::PNG;
    use crate::params::Params;

    /// A request to a model of the golden tests.
    pub(crate) fn request() -> Request {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/sd15");
        let files = ModelFiles::folder("sd15", "sd15", model.into());
        let text = r#"{"prompt": "a cat", "negative_prompt": "dog", "width": 512, "height": 768, "steps": 20,
            "cfg_scale": 7.0, "seed": 5, "count": 3, "batch_size": 2, "sampler": "euler_a", "schedule": "karras",
            "clip_skip": 1}"#;
        let params: Params = serde_json::from_str(text).unwrap();
        Request::resolve(&params, &files, &RepoConfig::read(&files).unwrap()).unwrap()
    }

    fn weights() -> BTreeMap<String, String> {
        let hash = |text: &str| text.repeat(8);
        BTreeMap::from([
            ("text_encoder".into(), hash("00000000")),
            ("unet".into(), hash("0123abcd")),
        ])
    }

    #[test]
    fn the_parameters_are_in_a1111s_format() {
        let provenance = Provenance {
            request: &request(),
            model: "sd15",
            weights: &weights(),
            inputs: &BTreeMap::new(),
            license: None,
        };
        let expected = format!(
            "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, \
             Seed: 6, Size: 512x768, Model hash: 0123abcd01, Model: sd15, Clip skip: 2, RNG: CPU, Version: sdgen {}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(provenance.parameters(6), expected);
        // A hash of anything but a file's content is not one that other programs know.
        let header = BTreeMap::from([("sd15".to_owned(), "header:0123".to_owned())]);
        let unread = Provenance {
            weights: &header,
            ..provenance
        };
        assert_eq!(
            unread.parameters(6),
            expected.replace("Model hash: 0123abcd01, ", "")
        );
    }

    #[test]
    fn a1111_is_told_of_adapters_as_it_tells_of_them() {
        let adapter = |file: &str, weight| Adapter {
            hash: Some("0".repeat(64)),
            short_hash: Some("0123456789ab".to_owned()),
            ..Adapter::new(file, weight)
        };
        let loras = vec![adapter("l/a.safetensors", 0.8), adapter("b.pt", -1.0)];
        let request = Request {
            loras,
            embeddings: vec![adapter("e/word.pt", 1.0)],
            ..request()
        };
        let provenance = Provenance {
            request: &request,
            model: "sd15",
            weights: &weights(),
            inputs: &BTreeMap::new(),
            license: None,
        };
        let read = a1111_text::parse(&provenance.parameters(6));
        assert_eq!(read.prompt, "a cat <lora:a:0.8> <lora:b:-1>");
        let field = |key: &str| {
            read.fields
                .iter()
                .find(|row| row.0 == key)
                .map(|row| row.1.as_str())
        };
        assert_eq!(
            field("Lora hashes"),
            Some("a: 0123456789ab, b: 0123456789ab")
        );
        assert_eq!(field("TI hashes"), Some("word: 0123456789ab"));
    }

    #[test]
    fn a_picture_gives_its_request_back() {
        for prompt in [
            "a cat",
            "灯台 \"quoted\", with: all\nkinds, of \\ things",
            "",
        ] {
            let request = Request {
                prompt: prompt.to_owned(),
                ..request()
            };
            let provenance = Provenance {
                request: &request,
                model: "sd15",
                weights: &weights(),
                inputs: &BTreeMap::new(),
                license: Some("MIT"),
            };
            let texts = provenance.texts(6).unwrap();
            let bytes = PNG.encode(Size::new(1, 1), &[1, 2, 3], &texts).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = save(&bytes, &folder.path().join("a.png"), Existing::Keep).unwrap();
            let found = read(&path).unwrap();
            assert_eq!(found.size, Size::new(1, 1));
            let record = found.sdgen.unwrap();
            let expected = Request {
                seed: 6,
                count: 1,
                batch_size: 1,
                ..request
            };
            assert_eq!(record.request().unwrap(), expected);
            assert_eq!(
                (&record.weights, record.model_license.as_deref()),
                (&weights(), Some("MIT"))
            );
            assert_eq!(found.parameters.unwrap().prompt, prompt);
        }
    }

    #[test]
    fn a_record_of_another_version_is_shown_and_refused_by_name() {
        let json = r#"{"version": "9.9.9", "request": {"prompt": "x"}, "weights": {}, "model_license": null}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        assert!(
            record
                .request()
                .unwrap_err()
                .to_string()
                .contains("is of sdgen 9.9.9: missing field")
        );
    }
}
