//! CLIP's text encoder (Radford et al. 2021), in OpenAI's and OpenCLIP's variants.

use std::ops::Range;

use candle_core::Tensor;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;
use crate::nn::{
    Activation, ActivationDtype, Backend, Embedding, ExtraRows, LayerNorm, Linear, Projections,
    SelfAttention, Tokens, Weights,
};

/// text_encoder/config.json.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClipConfig {
    hidden_act: String,
    pub(crate) hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    pub(crate) num_hidden_layers: usize,
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    #[serde(default = "default_positions")]
    pub(crate) max_position_embeddings: usize,
    pub(crate) vocab_size: usize,
    #[serde(default = "default_end")]
    eos_token_id: u32,
    #[serde(default)]
    projection_dim: usize,
}

/// Default `eos_token_id` of old versions of transformers, which means that the text ends at its
/// largest id.
const LARGEST_IS_END: u32 = 2;

fn default_end() -> u32 {
    LARGEST_IS_END
}

fn default_eps() -> f64 {
    1e-5
}

fn default_positions() -> usize {
    77
}

/// The encoder.
pub(crate) struct ClipText {
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
    /// Projection of the pooled state to the space shared with images; OpenCLIP's encoders have it.
    projection: Option<Linear>,
    config: ClipConfig,
    weights: Weights,
}

/// A transformer layer of the text or the image encoder.
pub(super) struct Layer {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
}

impl ClipConfig {
    /// Returns true for an OpenCLIP text encoder, recognised by its `gelu`.
    pub(crate) fn is_open_clip(&self) -> bool {
        self.hidden_act == "gelu"
    }
}

impl ClipText {
    /// Loads the encoder.
    pub(crate) fn load(weights: Weights, config: &ClipConfig) -> Result<Self> {
        let prefixed = weights.has("text_model.final_layer_norm.weight");
        let root = if prefixed {
            weights.pp("text_model")
        } else {
            weights.clone()
        };
        let embeddings = root.pp("embeddings");
        let shape = LayerShape {
            width: config.hidden_size,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            activation: activation("text_encoder/config.json", &config.hidden_act)?,
            causal: true,
        };
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(&root.pp("encoder.layers").pp(i), shape))
            .collect::<Result<Vec<_>>>()?;
        let encoder = Self {
            tokens: Embedding::load(
                &embeddings.pp("token_embedding"),
                config.vocab_size,
                config.hidden_size,
            )?,
            positions: Embedding::load(
                &embeddings.pp("position_embedding"),
                config.max_position_embeddings,
                config.hidden_size,
            )?,
            layers,
            final_norm: LayerNorm::load(
                &root.pp("final_layer_norm"),
                config.hidden_size,
                config.layer_norm_eps,
            )?,
            projection: weights
                .has("text_projection.weight")
                .then(|| {
                    let output = config.projection_dim;
                    Linear::load(
                        &weights.pp("text_projection"),
                        config.hidden_size,
                        output,
                        false,
                    )
                })
                .transpose()?,
            config: config.clone(),
            weights,
        };
        encoder.weights.finish(&[])?;
        Ok(encoder)
    }

    /// Channels of the hidden states.
    pub(crate) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// The backend of the encoder.
    pub(crate) fn backend(&self) -> &Backend {
        self.weights.backend()
    }

    /// The hidden state of `ids` after all layers but the last `skip`, `[1, n, hidden_size]`,
    /// before the final norm; `extra` holds the embeddings of tokens beyond the table (textual
    /// inversion).
    pub(crate) fn hidden(&self, ids: &[u32], extra: ExtraRows<'_>, skip: usize) -> Result<Tokens> {
        if skip > self.layers.len() {
            return Err(Error::field(
                "clip_skip",
                format!("this model's text encoder has {} layers", self.layers.len()),
            )
            .hint("skip fewer"));
        }
        let places: Vec<u32> = (0..ids.len() as u32).collect();
        let embedded = (self.tokens.lookup_with(ids, extra)? + self.positions.lookup(&places)?)?;
        let embedded = embedded
            .unsqueeze(0)?
            .to_device(&self.weights.backend().device)?;
        self.through(
            Tokens::new(&embedded, self.weights.backend())?,
            0..self.layers.len() - skip,
        )
    }

    fn through(&self, mut x: Tokens, layers: Range<usize>) -> Result<Tokens> {
        for layer in &self.layers[layers] {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// Applies the final norm to a hidden state.
    pub(crate) fn normed(&self, hidden: &Tokens) -> Result<Tensor> {
        self.final_norm
            .forward(hidden, ActivationDtype::F32)?
            .to_tensor()
    }

    /// The projected state at the end-of-text token, `[1, projection_dim]`, from `hidden` after all
    /// layers but the last `skip`.
    pub(crate) fn pooled(&self, ids: &[u32], hidden: &Tokens, skip: usize) -> Result<Tensor> {
        let projection = self.projection.as_ref().ok_or_else(|| {
            Error::new(
                Kind::ModelFile,
                "text_encoder_2 has no `text_projection.weight`, which SDXL needs",
            )
        })?;
        let count = self.layers.len();
        let last = self.normed(&self.through(hidden.clone(), count - skip..count)?)?;
        let end = last.narrow(1, self.end_of(ids), 1)?;
        Ok(projection
            .forward(&Tokens::new(&end, self.weights.backend())?)?
            .to_tensor()?
            .squeeze(0)?)
    }

    /// Index of the end-of-text token in `ids`. Old configurations do not name the token; with them
    /// it is the first of the largest ids.
    fn end_of(&self, ids: &[u32]) -> usize {
        let end = match self.config.eos_token_id {
            LARGEST_IS_END => ids.iter().copied().max(),
            id => Some(id),
        };
        ids.iter().position(|id| Some(*id) == end).unwrap_or(0)
    }
}

/// The activation that `file` calls `name`.
pub(super) fn activation(file: &str, name: &str) -> Result<Activation> {
    Activation::ALL
        .iter()
        .find(|row| row.1 == name)
        .map(|row| row.0)
        .ok_or_else(|| {
            Error::new(
                Kind::ModelFile,
                format!("{file}: unknown `hidden_act` `{name}`"),
            )
            .hint("sdgen knows quick_gelu and gelu")
        })
}

/// Sizes of a layer.
#[derive(Clone, Copy)]
pub(super) struct LayerShape {
    pub(super) width: usize,
    pub(super) inner: usize,
    pub(super) heads: usize,
    pub(super) eps: f64,
    pub(super) activation: Activation,
    /// Causal mask: a token attends only to itself and to those before it.
    pub(super) causal: bool,
}

impl Layer {
    pub(super) fn load(weights: &Weights, shape: LayerShape) -> Result<Self> {
        let LayerShape {
            width,
            inner,
            heads,
            eps,
            activation,
            causal,
        } = shape;
        let attention = weights.pp("self_attn");
        let names = Projections {
            q: attention.pp("q_proj"),
            k: attention.pp("k_proj"),
            v: attention.pp("v_proj"),
            out: attention.pp("out_proj"),
            bias: true,
        };
        let norm = |name: &str| LayerNorm::load(&weights.pp(name), width, eps);
        let attention = SelfAttention::load(&names, width, heads)?;
        Ok(Self {
            norm1: norm("layer_norm1")?,
            attention: if causal {
                attention.causal()
            } else {
                attention
            },
            norm2: norm("layer_norm2")?,
            fc1: Linear::load(&weights.pp("mlp.fc1"), width, inner, true)?,
            activation,
            fc2: Linear::load(&weights.pp("mlp.fc2"), inner, width, true)?,
        })
    }

    pub(super) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        let x = self
            .attention
            .forward_add(&self.norm1.forward(x, self.attention.input_dtype())?, x)?;
        let normed = self.norm2.forward(&x, self.fc1.input_dtype())?;
        let inner = self
            .fc1
            .forward_act(&normed, self.activation, self.fc2.input_dtype())?;
        self.fc2.forward_add(&inner, &x)
    }
}
