//! Prompts to conditioning: tokens, one or two text encoders, XL's sizes, and what the user must know about words
//! that did not fit.

use candle_core::Tensor;

use super::tell;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer};
use crate::models::clip::{ClipConfig, ClipText};
use crate::models::tokenizer::Tokenizer;
use crate::nn::Tokens;
use crate::registry::{Component, Family, ModelFiles, RepoConfig};
use crate::request::Request;

/// The text encoders of a model.
pub(super) struct TextEncoder {
    encoders: Vec<Encoder>,
    repo: RepoConfig,
}

/// One encoder and its tokenizer.
struct Encoder {
    tokenizer: Tokenizer,
    clip: ClipText,
}

/// A prompt as the network takes it.
pub(crate) struct Context {
    /// `[1, n, c]`.
    pub(crate) states: Tensor,
    /// XL only.
    pub(crate) added: Option<Pooled>,
}

/// XL's second kind of conditioning.
pub(crate) struct Pooled {
    /// `[1, p]`.
    pub(crate) text: Tensor,
    /// Sizes and crop, or sizes, crop and score.
    pub(crate) ids: Vec<f64>,
}

/// The prompts of a request.
pub(crate) struct Encoded {
    pub(crate) positive: Context,
    /// Absent when there is no unconditional pass.
    pub(crate) negative: Option<Context>,
}

/// A text for each encoder.
struct Prompt<'a> {
    which: &'static str,
    texts: [&'a str; 2],
    skip: usize,
}

impl TextEncoder {
    pub(super) fn load(files: &ModelFiles, repo: &RepoConfig, open: super::Open<'_>) -> Result<Self> {
        let parts = [(Component::TextEncoder, "tokenizer"), (Component::TextEncoder2, "tokenizer_2")];
        let mut encoders = Vec::new();
        for (component, folder) in parts {
            // XL's refiner has the second alone.
            if !files.has(&component.config()) {
                continue;
            }
            let config: ClipConfig = files.json(&component.config())?;
            let tokenizer = Tokenizer::load(files, folder, config.max_position_embeddings)?;
            encoders.push(Encoder { tokenizer, clip: ClipText::load(open(component)?, &config)? });
        }
        if encoders.is_empty() {
            return Err(Error::new(Kind::ModelFile, format!("`{}` has no text encoder", files.origin)));
        }
        Ok(Self { encoders, repo: repo.clone() })
    }

    /// Encodes the prompt and, when `guided`, the negative prompt. `clip_skip` is the prompt's alone, as in diffusers.
    pub(super) fn encode(
        &self,
        request: &Request,
        guided: bool,
        observer: &mut dyn Observer,
    ) -> Result<Encoded> {
        let first = request.prompt.as_str();
        let second = request.prompt_2.as_deref().unwrap_or(first);
        let prompt = Prompt { which: "prompt", texts: [first, second], skip: request.clip_skip };
        let positive = self.context(&prompt, self.time_ids(request, false), observer)?;
        let negative = guided.then(|| self.negative(request, &positive, observer)).transpose()?;
        Ok(Encoded { positive, negative })
    }

    fn negative(
        &self,
        request: &Request,
        positive: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Context> {
        let ids = self.time_ids(request, true);
        let absent = request.negative_prompt.is_none() && request.negative_prompt_2.is_none();
        if absent && self.repo.zeros_for_absent_negative {
            return zeros(positive, ids);
        }
        let first = request.negative_prompt.as_deref().unwrap_or_default();
        let second = request.negative_prompt_2.as_deref().unwrap_or(first);
        let prompt = Prompt { which: "negative prompt", texts: [first, second], skip: 0 };
        self.context(&prompt, ids, observer)
    }

    fn context(&self, prompt: &Prompt<'_>, ids: Vec<f64>, observer: &mut dyn Observer) -> Result<Context> {
        let mut states = Vec::new();
        let mut pooled = None;
        for (encoder, text) in self.encoders.iter().zip(prompt.texts) {
            let tokens = encoder.tokenizer.encode(text)?;
            if !tokens.dropped.is_empty() && states.is_empty() {
                let message = format!("the {} is too long; left out: `{}`", prompt.which, tokens.dropped);
                tell(observer, &Event::Warning { message })?;
            }
            match self.repo.family {
                Family::Sd => {
                    states.push(encoder.clip.normed(&encoder.clip.hidden(&tokens.ids, prompt.skip)?)?);
                }
                Family::Xl => {
                    // The last state but one, without the final norm.
                    let hidden = encoder.clip.hidden(&tokens.ids, prompt.skip + 1)?;
                    states.push(hidden.to_tensor()?);
                    pooled = Some((encoder, tokens.ids, hidden));
                }
            }
        }
        let added = match pooled {
            Some((encoder, tokens, hidden)) => Some(pool(encoder, &tokens, &hidden, prompt.skip + 1, ids)?),
            None => None,
        };
        Ok(Context { states: Tensor::cat(&states, 2)?, added })
    }

    /// XL's micro-conditioning (Podell et al. 2023, section 2.2): heights before widths, tops before lefts.
    fn time_ids(&self, request: &Request, negative: bool) -> Vec<f64> {
        let sizes = if negative { &request.negative_sizes } else { &request.sizes };
        let pair = |pair: [u32; 2]| pair.map(f64::from);
        let [width, height] = pair(sizes.original);
        let [top, left] = pair(sizes.crop);
        let mut ids = vec![height, width, top, left];
        if self.repo.aesthetic_score {
            // The score that the refiner's makers recommend for what is wanted and for what is not.
            ids.push(if negative { 2.5 } else { 6.0 });
        } else {
            let [width, height] = pair(sizes.target);
            ids.extend([height, width]);
        }
        ids
    }
}

fn pool(encoder: &Encoder, tokens: &[u32], hidden: &Tokens, skip: usize, ids: Vec<f64>) -> Result<Pooled> {
    Ok(Pooled { text: encoder.clip.pooled(tokens, hidden, skip)?, ids })
}

/// The conditioning of no negative prompt at all.
fn zeros(like: &Context, ids: Vec<f64>) -> Result<Context> {
    let added = match &like.added {
        Some(pooled) => Some(Pooled { text: pooled.text.zeros_like()?, ids }),
        None => None,
    };
    Ok(Context { states: like.states.zeros_like()?, added })
}
