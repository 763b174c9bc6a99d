//! Prompts to conditioning: chunks of tokens, one or two text encoders, SDXL's micro-conditioning,
//! and warnings about words that did not fit.

use std::sync::Arc;

use candle_core::Tensor;

use super::finite_check::check_finite;
use crate::adapters::Embedding;
use crate::catalog::{Component, ModelFiles, RepoConfig};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, tell};
use crate::family::{TextRecipe, TextState};
use crate::models::clip::ClipText;
use crate::models::text_encoders::{EncoderTokenizer, encoder_tokenizers};
use crate::nn::{Backend, ExtraRows, FeatureMap, Tokens, Weights};
use crate::params::Request;
use crate::prompt::tokenizer::{Chunked, Tokenizer};
use crate::prompt::{Prompt, Reading, Token, Word};

/// The text encoders of a model.
pub(super) struct TextEncoder {
    encoders: Vec<Encoder>,
    repo: RepoConfig,
}

/// One encoder and its tokenizer.
struct Encoder {
    component: Component,
    tokenizer: Tokenizer,
    clip: ClipText,
}

/// Conditioning of a prompt; that of several joined prompts has their number in place of each
/// leading 1.
#[derive(Clone)]
pub(crate) struct PromptEmbeds {
    /// `[1, n, c]`.
    pub(crate) states: Tensor,
    /// Present in SDXL only.
    pub(crate) added: Option<Pooled>,
    /// Tokens of an image prompt (IP-Adapter), `[1, m, c]`.
    pub(crate) picture: Option<Tensor>,
}

/// SDXL's added conditioning (`added_cond_kwargs` of diffusers).
#[derive(Clone)]
pub(crate) struct Pooled {
    /// `[1, p]`.
    pub(crate) text: Tensor,
    /// Sizes and crop, or sizes, crop and score.
    pub(crate) ids: Vec<f64>,
}

/// The prompts of a request.
#[derive(Clone)]
pub(crate) struct EncodedPrompts {
    pub(crate) positive: PromptEmbeds,
    /// Absent when there is no unconditional pass.
    pub(crate) negative: Option<PromptEmbeds>,
    /// Embedded control image of each ControlNet.
    pub(crate) hints: Vec<FeatureMap>,
}

impl EncodedPrompts {
    /// Tokens that the network attends to.
    pub(crate) fn length(&self) -> usize {
        self.positive
            .states
            .dims()
            .get(1)
            .copied()
            .unwrap_or_default()
    }

    /// Number of prompts joined into this.
    pub(super) fn count(&self) -> usize {
        count(&self.positive.states)
    }

    /// Joins prompts of one length, of requests that can be drawn in one batch, one for each image
    /// of a forward pass.
    pub(crate) fn joined(prompts: &[&Self]) -> Result<Self> {
        let positive = PromptEmbeds::joined(
            &prompts
                .iter()
                .map(|prompt| &prompt.positive)
                .collect::<Vec<_>>(),
        )?;
        let negative: Option<Vec<&PromptEmbeds>> = prompts
            .iter()
            .map(|prompt| prompt.negative.as_ref())
            .collect();
        let negative = negative
            .map(|negative| PromptEmbeds::joined(&negative))
            .transpose()?;
        // Control images are the same for all of them.
        let hints = prompts
            .first()
            .map(|prompt| prompt.hints.clone())
            .unwrap_or_default();
        Ok(Self {
            positive,
            negative,
            hints,
        })
    }
}

impl PromptEmbeds {
    fn joined(contexts: &[&Self]) -> Result<Self> {
        let join = |parts: Vec<&Tensor>| Tensor::cat(&parts, 0);
        let pooled: Option<Vec<&Pooled>> = contexts
            .iter()
            .map(|context| context.added.as_ref())
            .collect();
        let added = match pooled.as_deref() {
            Some(all @ [first, ..]) => {
                let text = join(all.iter().map(|pooled| &pooled.text).collect())?;
                Some(Pooled {
                    text,
                    ids: first.ids.clone(),
                })
            }
            Some([]) | None => None,
        };
        let picture: Option<Vec<&Tensor>> = contexts
            .iter()
            .map(|context| context.picture.as_ref())
            .collect();
        let states = join(contexts.iter().map(|context| &context.states).collect())?;
        Ok(Self {
            states,
            added,
            picture: picture.map(join).transpose()?,
        })
    }
}

/// The length of the first dimension.
pub(super) fn count(tensor: &Tensor) -> usize {
    tensor.dims().first().copied().unwrap_or(1)
}

/// A text for each encoder, in chunks.
struct ChunkedTexts {
    chunked: Vec<Chunked>,
    skip: usize,
}

/// Options for reading the prompts of a request, for every encoder.
struct ReadingOptions<'a> {
    reading: Reading,
    /// Embeddings (textual inversion) for each encoder.
    words: &'a [Words],
}

impl ChunkedTexts {
    /// Chunks of the longest text.
    fn chunks(&self) -> usize {
        self.chunked
            .iter()
            .map(|text| text.chunks.len())
            .max()
            .unwrap_or(1)
    }
}

impl TextEncoder {
    pub(super) fn load(
        files: &ModelFiles,
        repo: &RepoConfig,
        open: &dyn Fn(Component) -> Result<Weights>,
    ) -> Result<Self> {
        let load = |reader: EncoderTokenizer| {
            let clip = ClipText::load(open(reader.component)?, &reader.config)?;
            Ok(Encoder {
                component: reader.component,
                tokenizer: reader.tokenizer,
                clip,
            })
        };
        let encoders = encoder_tokenizers(files)?
            .into_iter()
            .map(load)
            .collect::<Result<_>>()?;
        Ok(Self {
            encoders,
            repo: repo.clone(),
        })
    }

    /// Warnings for the user about what the tokenizers of the model lack.
    pub(super) fn notices(&self) -> impl Iterator<Item = &str> {
        self.encoders
            .iter()
            .filter_map(|encoder| encoder.tokenizer.notice())
    }

    /// Encodes the prompt and, when `guided`, the negative prompt, both in as many chunks as the
    /// longer one takes. `clip_skip` is the prompt's alone, as in diffusers.
    pub(super) fn encode(
        &self,
        request: &Request,
        embeddings: &[Arc<Embedding>],
        guided: bool,
        observer: &mut dyn Observer,
    ) -> Result<EncodedPrompts> {
        let words = self
            .encoders
            .iter()
            .map(|encoder| encoder.words(embeddings));
        let words = words.collect::<Result<Vec<_>>>()?;
        let options = &ReadingOptions {
            reading: request.reading(),
            words: &words,
        };
        let prompt = self.texts(request.prompts(), options, observer)?;
        let prompt = ChunkedTexts {
            skip: request.clip_skip,
            ..prompt
        };
        let absent = request.negative_prompt.is_none() && request.negative_prompt_2.is_none();
        let zero = absent && self.repo.zeros_for_absent_negative;
        let negative = (guided && !zero)
            .then(|| self.negative(request, options, observer))
            .transpose()?;

        let chunks = prompt
            .chunks()
            .max(negative.as_ref().map_or(1, ChunkedTexts::chunks));
        let all = chunks * self.encoders.len() * if negative.is_some() { 2 } else { 1 };
        let mut progress = EncodingProgress {
            chunks,
            done: 0,
            all,
            observer,
        };
        let positive = self.context(
            &prompt,
            options,
            &mut progress,
            self.time_ids(request, false),
        )?;
        let ids = self.time_ids(request, true);
        let negative = match negative {
            Some(texts) => Some(self.context(&texts, options, &mut progress, ids)?),
            None => guided.then(|| zeros(&positive, ids)).transpose()?,
        };
        Ok(EncodedPrompts {
            positive,
            negative,
            hints: Vec::new(),
        })
    }

    fn negative(
        &self,
        request: &Request,
        options: &ReadingOptions<'_>,
        observer: &mut dyn Observer,
    ) -> Result<ChunkedTexts> {
        let text = request.negative_prompt.as_deref().unwrap_or_default();
        let first = Prompt {
            field: "negative_prompt",
            text,
        };
        let second = request.negative_prompt_2.as_deref();
        let second = second.map(|text| Prompt {
            field: "negative_prompt_2",
            text,
        });
        self.texts([first, second.unwrap_or(first)], options, observer)
    }

    /// The prompts in chunks; words left out are reported once per prompt.
    fn texts(
        &self,
        prompts: [Prompt<'_>; 2],
        options: &ReadingOptions<'_>,
        observer: &mut dyn Observer,
    ) -> Result<ChunkedTexts> {
        let mut texts = ChunkedTexts {
            chunked: Vec::new(),
            skip: 0,
        };
        let mut warned = None;
        for ((encoder, prompt), words) in self.encoders.iter().zip(prompts).zip(options.words) {
            let chunked = encoder
                .tokenizer
                .chunks(&prompt, options.reading, &words.words)?;
            if !chunked.dropped.is_empty() && warned != Some(prompt.field) {
                let message = format!(
                    "the {} is too long; left out: `{}`",
                    prompt.name(),
                    chunked.dropped
                );
                tell(observer, &Event::Warning { message })?;
                warned = Some(prompt.field);
            }
            texts.chunked.push(chunked);
        }
        Ok(texts)
    }

    /// Encodes the texts, padded with empty chunks to the length of the request.
    fn context(
        &self,
        texts: &ChunkedTexts,
        options: &ReadingOptions<'_>,
        progress: &mut EncodingProgress<'_>,
        ids: Vec<f64>,
    ) -> Result<PromptEmbeds> {
        let mut states = Vec::new();
        let mut pooled = None;
        let recipe: &TextRecipe = &self.repo.family.text;
        for ((encoder, text), words) in self.encoders.iter().zip(&texts.chunked).zip(options.words)
        {
            let what = || "the text encoder".to_owned();
            let ids = |chunk: &[Token]| encoder.tokenizer.ids(chunk, options.reading.syntax);
            let read =
                |chunk: &[Token]| encoder.chunk(chunk, ids(chunk), words, texts.skip, recipe.state);
            let mut parts = Vec::with_capacity(progress.chunks);
            for chunk in text.chunks.iter().take(progress.chunks) {
                let part = check_finite(what, || read(chunk), |part| &part.states)?;
                parts.push(part.states.clone());
                if recipe.second_encoder && parts.len() == 1 {
                    pooled = Some((encoder, part));
                }
                progress.encoded()?;
            }
            if parts.len() < progress.chunks {
                let empty = check_finite(what, || read(&[]), |part| &part.states)?;
                progress.done += progress.chunks - parts.len();
                parts.resize(progress.chunks, empty.states);
            }
            states.push(Tensor::cat(&parts, 1)?);
        }
        let added = match pooled {
            // SDXL's pooled prompt is that of the first chunk.
            Some((encoder, part)) => {
                let text = encoder
                    .clip
                    .pooled(&part.ids, &part.hidden, texts.skip + 1)?;
                Some(Pooled { text, ids })
            }
            None => None,
        };
        Ok(PromptEmbeds {
            states: Tensor::cat(&states, 2)?,
            added,
            picture: None,
        })
    }

    /// SDXL's micro-conditioning (Podell et al. 2023, section 2.2): heights before widths, tops
    /// before lefts.
    fn time_ids(&self, request: &Request, negative: bool) -> Vec<f64> {
        let sizes = if negative {
            &request.negative_sizes
        } else {
            &request.sizes
        };
        let pair = |pair: [u32; 2]| pair.map(f64::from);
        let [width, height] = pair(sizes.original);
        let [top, left] = pair(sizes.crop);
        let mut ids = vec![height, width, top, left];
        if self.repo.aesthetic_score {
            // The aesthetic scores that the refiner's authors recommend for the prompt and for the
            // negative prompt.
            ids.push(if negative { 2.5 } else { 6.0 });
        } else {
            let [width, height] = pair(sizes.target);
            ids.extend([height, width]);
        }
        ids
    }
}

/// Length of the conditioning of a request, and progress of its encoding.
struct EncodingProgress<'a> {
    /// Chunks of each context.
    chunks: usize,
    done: usize,
    /// Chunks of all contexts and encoders.
    all: usize,
    observer: &'a mut dyn Observer,
}

impl EncodingProgress<'_> {
    /// Counts an encoded chunk and reports progress; the observer may cancel between two chunks.
    fn encoded(&mut self) -> Result<()> {
        self.done += 1;
        if self.chunks == 1 {
            return Ok(());
        }
        tell(
            self.observer,
            &Event::Chunk {
                chunk: self.done,
                chunks: self.all,
            },
        )
    }
}

/// Output of an encoder for one chunk.
struct EncodedChunk {
    ids: Vec<u32>,
    hidden: Tokens,
    /// `[1, n, c]`, weighted.
    states: Tensor,
}

impl Encoder {
    /// The words of `embeddings`, with their vectors for this encoder.
    fn words(&self, embeddings: &[Arc<Embedding>]) -> Result<Words> {
        Words::read(
            embeddings,
            self.component,
            self.clip.width(),
            self.clip.backend(),
        )
    }

    fn chunk(
        &self,
        chunk: &[Token],
        ids: Vec<u32>,
        words: &Words,
        skip: usize,
        state: TextState,
    ) -> Result<EncodedChunk> {
        let extra = ExtraRows {
            first: self.tokenizer.first_word(),
            rows: &words.vectors,
        };
        let hidden = match state {
            TextState::LastNormed => self.clip.hidden(&ids, extra, skip)?,
            TextState::Penultimate => self.clip.hidden(&ids, extra, skip + 1)?,
        };
        let states = match state {
            TextState::LastNormed => self.clip.normed(&hidden)?,
            TextState::Penultimate => hidden.to_tensor()?,
        };
        let states = emphasised(states, &self.tokenizer.weights(chunk))?;
        Ok(EncodedChunk {
            ids,
            hidden,
            states,
        })
    }
}

/// Conditioning of zeros in place of a missing negative prompt.
fn zeros(like: &PromptEmbeds, ids: Vec<f64>) -> Result<PromptEmbeds> {
    let added = match &like.added {
        Some(pooled) => Some(Pooled {
            text: pooled.text.zeros_like()?,
            ids,
        }),
        None => None,
    };
    Ok(PromptEmbeds {
        states: like.states.zeros_like()?,
        added,
        picture: None,
    })
}

/// Each token's state times its weight, then all of them scaled so that their mean is what it was
/// before.
///
/// `states` is one chunk, `[1, n, c]`, with a weight for each of its n tokens; weights of 1 change
/// nothing at all.
fn emphasised(states: Tensor, weights: &[f64]) -> Result<Tensor> {
    if weights.iter().all(|weight| *weight == 1.0) {
        return Ok(states);
    }
    let factors: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    let factors = Tensor::from_vec(factors, (1, weights.len(), 1), states.device())?;
    let weighted = states.broadcast_mul(&factors)?;
    let scale = mean(&states)? / mean(&weighted)?;
    // States whose mean is zero have none to restore.
    if scale.is_finite() {
        Ok((weighted * scale)?)
    } else {
        Ok(weighted)
    }
}

fn mean(states: &Tensor) -> Result<f64> {
    let values = states.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64)
}

/// The words of a request for one text encoder.
struct Words {
    words: Vec<Word>,
    /// Embedding vectors of the words, one after the other.
    vectors: Vec<f32>,
}

impl Words {
    /// Reads the embedding vectors for `component`, whose states are `width` wide.
    fn read(
        embeddings: &[Arc<Embedding>],
        component: Component,
        width: usize,
        backend: &Backend,
    ) -> Result<Self> {
        let mut all = Self {
            words: Vec::new(),
            vectors: Vec::new(),
        };
        for embedding in embeddings {
            let (Some(word), Some(row)) = (embedding.word(component), embedding.row(component))
            else {
                continue;
            };
            if row.width != width {
                let path = embedding.path.display();
                return Err(Error::new(
                    Kind::ModelFile,
                    format!(
                        "`{path}` has vectors of width {}, expected {width} for {component}",
                        row.width
                    ),
                ));
            }
            let file = Weights::open(embedding.tensors.clone(), backend)?;
            all.vectors
                .extend(file.values(&row.tensor, &[row.count, width])?.floats());
            all.words.push(word);
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
