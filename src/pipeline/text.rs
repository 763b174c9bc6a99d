//! Prompts to context: tokens, the text encoder, and what the user must know about words that did not fit.

use candle_core::Tensor;

use super::tell;
use crate::error::Result;
use crate::event::{Event, Observer};
use crate::models::clip::{ClipConfig, ClipText};
use crate::models::tokenizer::Tokenizer;
use crate::nn::Weights;
use crate::registry::{Component, ModelFiles};
use crate::request::Request;

/// A text encoder and its tokenizer.
pub(super) struct TextEncoder {
    tokenizer: Tokenizer,
    clip: ClipText,
}

/// The context of a request: `[1, n, c]` each.
pub(crate) struct Encoded {
    pub(crate) positive: Tensor,
    /// Absent when there is no unconditional pass.
    pub(crate) negative: Option<Tensor>,
}

impl TextEncoder {
    pub(super) fn load(files: &ModelFiles, weights: Weights) -> Result<Self> {
        let config: ClipConfig = files.json(&Component::TextEncoder.config())?;
        let tokenizer = Tokenizer::load(files, "tokenizer", config.max_position_embeddings)?;
        Ok(Self { tokenizer, clip: ClipText::load(weights, &config)? })
    }

    /// Encodes the prompt and, with guidance, the negative prompt. `clip_skip` is the prompt's alone, as in diffusers.
    pub(super) fn encode(&self, request: &Request, observer: &mut dyn Observer) -> Result<Encoded> {
        let positive = self.context("prompt", &request.prompt, request.clip_skip, observer)?;
        let negative = (request.cfg_scale > 1.0)
            .then(|| {
                let text = request.negative_prompt.as_deref().unwrap_or_default();
                self.context("negative prompt", text, 0, observer)
            })
            .transpose()?;
        Ok(Encoded { positive, negative })
    }

    fn context(&self, which: &str, text: &str, skip: usize, observer: &mut dyn Observer) -> Result<Tensor> {
        let encoded = self.tokenizer.encode(text)?;
        if !encoded.dropped.is_empty() {
            let message = format!("the {which} is too long; left out: `{}`", encoded.dropped);
            tell(observer, &Event::Warning { message })?;
        }
        self.clip.encode(&encoded.ids, skip)
    }
}
