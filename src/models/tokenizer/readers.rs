//! The text encoders of a model, each with its tokenizer.

use serde_json::json;

use super::files::Definition;
use super::{Shape, Tokenizer, vocabulary};
use crate::error::{Error, Kind, Result};
use crate::models::clip::ClipConfig;
use crate::registry::{Component, ModelFiles};

/// The text encoders that a model may have, each with the folder of its tokenizer. SDXL's refiner
/// has only the second.
const ENCODERS: [(Component, &str); 2] = [
    (Component::TextEncoder, "tokenizer"),
    (Component::TextEncoder2, "tokenizer_2"),
];

/// A text encoder's tokenizer, with the encoder's configuration.
pub(crate) struct Reader {
    pub(crate) component: Component,
    /// Folder of its tokenizer in the model.
    pub(crate) folder: &'static str,
    pub(crate) config: ClipConfig,
    pub(crate) tokenizer: Tokenizer,
}

/// The tokenizers of a model's text encoders.
pub(crate) fn readers(files: &ModelFiles) -> Result<Vec<Reader>> {
    let mut readers: Vec<Reader> = Vec::new();
    for (component, folder) in ENCODERS
        .into_iter()
        .filter(|(part, _)| files.has(&part.config()))
    {
        let config: ClipConfig = files.json(&component.config())?;
        let shape = Shape {
            length: config.max_position_embeddings,
            rows: config.vocab_size,
            open_clip: component == Component::TextEncoder2 || config.is_open_clip(),
        };
        let tokenizer = Tokenizer::load(files, folder, shape)?;
        if let Some(first) = readers
            .first()
            .filter(|first| first.tokenizer.room() != tokenizer.room())
        {
            let lengths =
                [first.tokenizer.room() + 2, tokenizer.room() + 2].map(|length| length.to_string());
            let message = format!(
                "`{}`: tokenizers of {} tokens",
                files.origin,
                lengths.join(" and ")
            );
            return Err(Error::new(Kind::ModelFile, message)
                .hint("expected one `model_max_length` in `tokenizer/` and `tokenizer_2/`"));
        }
        readers.push(Reader {
            component,
            folder,
            config,
            tokenizer,
        });
    }
    if readers.is_empty() {
        return Err(Error::new(
            Kind::ModelFile,
            format!("`{}` has no text encoder", files.origin),
        ));
    }
    Ok(readers)
}

/// CLIP's own tokenizer files, path and content, for every text encoder of CLIP's vocabulary size
/// whose tokenizer the model lacks.
pub(crate) fn standard_files(files: &ModelFiles) -> Result<Vec<(String, String)>> {
    let mut written = Vec::new();
    for (component, folder) in ENCODERS
        .into_iter()
        .filter(|(part, _)| files.has(&part.config()))
    {
        let config: ClipConfig = files.json(&component.config())?;
        let has = Definition::read(files, folder)?.vocabulary.is_some();
        if has || config.vocab_size != Shape::CLIP.rows {
            continue;
        }
        let settings = format!("{folder}/tokenizer_config.json");
        if !files.has(&settings) {
            let length = config.max_position_embeddings;
            let json = json!({"model_max_length": length, "tokenizer_class": "CLIPTokenizer"});
            written.push((settings, json.to_string()));
        }
        let [vocab, merges] = vocabulary::standard_files()?;
        written.push((format!("{folder}/vocab.json"), vocab));
        written.push((format!("{folder}/merges.txt"), merges));
    }
    Ok(written)
}
