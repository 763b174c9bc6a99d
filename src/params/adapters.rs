//! The LoRAs and embeddings of a request: what the flags and the prompt name, before any file is
//! opened.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::values::get_all;
use super::{FromText, Params};
use crate::adapters;
use crate::error::{Error, Result};
use crate::prompt::Prompt;

/// A LoRA or embedding, as recorded in an image's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The file's name without its ending.
    pub name: String,
    /// The file, or its location on the Hugging Face Hub, as the user would name it.
    pub file: String,
    /// Scale at which a LoRA is merged; 1 for embeddings.
    pub weight: f64,
    /// SHA-256 of the file, once it was read.
    #[serde(default)]
    pub hash: Option<String>,
    /// A1111's short hash of the file: twelve hexadecimal digits.
    #[serde(default)]
    pub short_hash: Option<String>,
    /// Further settings in the prompt's reference, such as block weights (`lbw=`), which are
    /// ignored.
    #[serde(skip)]
    pub ignored: Vec<String>,
}

/// Adapters that flags and prompt name.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedAdapters {
    /// The prompt without its references to LoRAs.
    pub(super) prompt: String,
    pub(super) loras: Vec<Adapter>,
    /// Files of the embeddings on offer; the prompts decide which of them are used.
    pub(super) embedding_files: Vec<PathBuf>,
}

/// Largest weight; beyond it every image is noise.
const LARGEST: f64 = 100.0;

impl Adapter {
    /// An adapter whose file has not been read yet.
    pub fn new(file: &str, weight: f64) -> Self {
        let name = Path::new(file)
            .file_stem()
            .map_or(file.into(), |stem| stem.to_string_lossy());
        let (name, file) = (name.into_owned(), file.to_owned());
        Self {
            name,
            file,
            weight,
            hash: None,
            short_hash: None,
            ignored: Vec::new(),
        }
    }
}

impl FromText for Adapter {
    /// Parses `FILE[:WEIGHT]`.
    fn from_text(field: &str, text: &str) -> Result<Self> {
        let (file, weight) = match text.rsplit_once(':') {
            Some((file, weight)) if weight.trim().parse::<f64>().is_ok() => {
                (file, weight.trim().parse().unwrap_or(1.0))
            }
            _ => (text, 1.0),
        };
        within(field, weight)?;
        match file {
            "" => Err(Error::expected(field, "FILE or FILE:WEIGHT", text)),
            _ => Ok(Self::new(file, weight)),
        }
    }
}

fn within(field: &str, weight: f64) -> Result<()> {
    if weight.abs() <= LARGEST {
        return Ok(());
    }
    let expected = format!("a weight from -{LARGEST} to {LARGEST}");
    Err(Error::expected(field, expected, weight))
}

/// The adapters of `params`; LoRAs that the prompt names are looked up in `lora_dir`, and no file
/// is read.
pub(super) fn resolve(params: &Params) -> Result<NamedAdapters> {
    for prompt in params.prompts().filter(|prompt| prompt.field != "prompt") {
        if let Some(first) = prompt.references()?.1.first() {
            let message = format!("a LoRA (`{}`) is named in the prompt alone", first.name);
            return Err(Error::field(prompt.field, message)
                .hint("a LoRA changes the model for prompt and negative prompt alike"));
        }
    }
    let folder = params.lora_dir.as_deref();
    if let Some(folder) = folder.filter(|folder| !Path::new(folder).is_dir()) {
        let message = format!("there is no folder `{folder}`");
        return Err(Error::field("lora_dir", message));
    }
    let mut embedding_files = Vec::new();
    for text in params.embedding.iter().flatten() {
        embedding_files.extend(adapters::find_embeddings(text)?);
    }
    let text = params.prompt.as_deref().unwrap_or_default();
    let field = "prompt";
    let (prompt, references) = Prompt { field, text }.references()?;
    let mut loras: Vec<Adapter> = get_all("lora", &params.lora)?;
    for reference in references {
        within("prompt", reference.weight)?;
        let Some(folder) = folder else {
            let message = format!(
                "`<lora:{}>` names a LoRA, and no folder of them is known",
                reference.name
            );
            return Err(Error::field("prompt", message)
                .hint("say where they are with `--lora-dir DIR`, or give the file with `--lora`"));
        };
        let file = adapters::find_lora(Path::new(folder), &reference.name)?;
        loras.push(Adapter {
            ignored: reference.ignored,
            ..Adapter::new(&file.to_string_lossy(), reference.weight)
        });
    }
    Ok(NamedAdapters {
        prompt,
        loras,
        embedding_files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loras(lora: &[&str]) -> Result<Vec<(String, f64)>> {
        let lora = Some(lora.iter().map(|text| (*text).into()).collect());
        let named = resolve(&Params {
            lora,
            ..Params::default()
        })?;
        Ok(named
            .loras
            .into_iter()
            .map(|lora| (lora.file, lora.weight))
            .collect())
    }

    #[test]
    fn a_lora_is_a_file_and_a_weight() {
        let read = loras(&[
            "a/b.safetensors",
            "x.safetensors:0.8",
            "c:/x.pt:-1e-1",
            "c:/y.pt",
            "o/r:2",
        ]);
        let expected = [
            ("a/b.safetensors", 1.0),
            ("x.safetensors", 0.8),
            ("c:/x.pt", -0.1),
            ("c:/y.pt", 1.0),
            ("o/r", 2.0),
        ];
        assert_eq!(
            read.unwrap(),
            expected.map(|(file, weight)| (file.to_owned(), weight))
        );
        for wrong in ["x:nan", "x:1e9", ":1", ""] {
            assert_eq!(
                loras(&[wrong]).unwrap_err().field_name(),
                Some("lora"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_prompt_that_names_a_lora_needs_a_folder() {
        let prompt = Some("a cat <lora:x:0.5>".to_owned());
        let params = Params {
            prompt,
            ..Params::default()
        };
        assert!(resolve(&params).err().unwrap().hints()[0].contains("--lora-dir"));
        let negative = Params {
            negative_prompt: params.prompt.clone(),
            ..Params::default()
        };
        assert_eq!(
            resolve(&negative).err().unwrap().field_name(),
            Some("negative_prompt")
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.safetensors"), "").unwrap();
        let lora_dir = folder.path().to_str().map(str::to_owned);
        let lbw = Params {
            prompt: Some("a <lora:x:0.5:lbw=1,0>".into()),
            lora_dir,
            ..Params::default()
        };
        let found = resolve(&lbw).unwrap();
        assert_eq!(
            (found.prompt.as_str(), found.loras[0].name.as_str()),
            ("a", "x")
        );
        assert_eq!(found.loras[0].ignored, ["lbw=1,0"]);
    }
}
