//! The text encoders of a model, each with its tokenizer.

use serde_json::json;

use super::clip::ClipConfig;
use crate::catalog::{Component, ModelFiles};
use crate::error::{Error, Kind, Result};
use crate::prompt::tokenizer::{self, Shape, Tokenizer};

/// The text encoders that a model may have, each with the folder of its tokenizer. SDXL's refiner
/// has only the second.
const ENCODERS: [(Component, &str); 2] = [
    (Component::TextEncoder, "tokenizer"),
    (Component::TextEncoder2, "tokenizer_2"),
];

/// A text encoder's tokenizer, with the encoder's configuration.
pub(crate) struct EncoderTokenizer {
    pub(crate) component: Component,
    /// Folder of its tokenizer in the model.
    pub(crate) folder: &'static str,
    pub(crate) config: ClipConfig,
    pub(crate) tokenizer: Tokenizer,
}

/// The tokenizers of a model's text encoders.
pub(crate) fn encoder_tokenizers(files: &ModelFiles) -> Result<Vec<EncoderTokenizer>> {
    let mut encoders: Vec<EncoderTokenizer> = Vec::new();
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
        if let Some(first) = encoders
            .first()
            .filter(|first| first.tokenizer.capacity() != tokenizer.capacity())
        {
            let lengths = [first.tokenizer.capacity() + 2, tokenizer.capacity() + 2]
                .map(|length| length.to_string());
            let message = format!(
                "`{}`: tokenizers of {} tokens",
                files.origin,
                lengths.join(" and ")
            );
            return Err(Error::new(Kind::ModelFile, message)
                .hint("expected one `model_max_length` in `tokenizer/` and `tokenizer_2/`"));
        }
        encoders.push(EncoderTokenizer {
            component,
            folder,
            config,
            tokenizer,
        });
    }
    if encoders.is_empty() {
        return Err(Error::new(
            Kind::ModelFile,
            format!("`{}` has no text encoder", files.origin),
        ));
    }
    Ok(encoders)
}

/// CLIP's own tokenizer files, path and content, for every text encoder of CLIP's vocabulary size
/// whose tokenizer the model lacks.
pub(crate) fn standard_tokenizer_files(files: &ModelFiles) -> Result<Vec<(String, String)>> {
    let mut written = Vec::new();
    for (component, folder) in ENCODERS
        .into_iter()
        .filter(|(part, _)| files.has(&part.config()))
    {
        let config: ClipConfig = files.json(&component.config())?;
        let has = Tokenizer::is_in(files, folder)?;
        if has || config.vocab_size != Shape::CLIP.rows {
            continue;
        }
        let settings = format!("{folder}/tokenizer_config.json");
        if !files.has(&settings) {
            let length = config.max_position_embeddings;
            let json = json!({"model_max_length": length, "tokenizer_class": "CLIPTokenizer"});
            written.push((settings, json.to_string()));
        }
        let [vocab, merges] = tokenizer::standard_files()?;
        written.push((format!("{folder}/vocab.json"), vocab));
        written.push((format!("{folder}/merges.txt"), merges));
    }
    Ok(written)
}
