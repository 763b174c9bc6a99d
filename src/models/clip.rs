//! CLIP's text encoder (Radford et al. 2021), in OpenAI's and OpenCLIP's variants.

use candle_core::Tensor;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::named::Named;
use crate::nn::{Activation, Embedding, LayerNorm, Linear, Projections, SelfAttention, Tokens, Weights};

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
    config: ClipConfig,
    weights: Weights,
}

struct Layer {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
}

impl ClipText {
    /// Loads the encoder.
    ///
    /// # Errors
    /// An unknown activation; a tensor that is missing, left over or of another shape.
    pub(crate) fn load(weights: Weights, config: &ClipConfig) -> Result<Self> {
        let prefixed = weights.has("text_model.final_layer_norm.weight");
        let root = if prefixed { weights.pp("text_model") } else { weights.clone() };
        let embeddings = root.pp("embeddings");
        let activation = activation(&config.hidden_act)?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(&root.pp("encoder.layers").pp(i), config, activation))
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
            config: config.clone(),
            weights,
        };
        encoder.weights.finish(&["text_projection"])?;
        Ok(encoder)
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Encodes token ids (`max_position_embeddings` of them at most) to `[1, n, hidden_size]`: the state after all
    /// layers but the last `skip`, through the final norm.
    ///
    /// # Errors
    /// More layers to skip than there are; tensor arithmetic.
    pub(crate) fn encode(&self, ids: &[u32], skip: usize) -> Result<Tensor> {
        if skip >= self.layers.len() {
            let most = self.layers.len() - 1;
            return Err(Error::expected("clip_skip", format!("0 to {most} for this model"), skip));
        }
        let places: Vec<u32> = (0..ids.len() as u32).collect();
        let embedded = (self.tokens.lookup(ids)? + self.positions.lookup(&places)?)?;
        let embedded = embedded.unsqueeze(0)?.to_device(self.weights.device())?;
        let mut x = Tokens::new(&embedded, self.weights.dtype())?;
        for layer in &self.layers[..self.layers.len() - skip] {
            x = layer.forward(&x)?;
        }
        self.final_norm.forward(&x)?.to_tensor()
    }
}

fn activation(name: &str) -> Result<Activation> {
    Activation::ALL.iter().find(|row| row.1 == name).map(|row| row.0).ok_or_else(|| {
        Error::new(Kind::ModelFile, format!("text_encoder/config.json: unknown `hidden_act` `{name}`"))
            .hint("sdgen knows quick_gelu and gelu")
    })
}

impl Layer {
    fn load(weights: &Weights, config: &ClipConfig, activation: Activation) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let attention = weights.pp("self_attn");
        let names = Projections {
            q: attention.pp("q_proj"),
            k: attention.pp("k_proj"),
            v: attention.pp("v_proj"),
            out: attention.pp("out_proj"),
            bias: true,
        };
        let norm = |name: &str| LayerNorm::load(&weights.pp(name), width, config.layer_norm_eps);
        Ok(Self {
            norm1: norm("layer_norm1")?,
            attention: SelfAttention::load(&names, width, config.num_attention_heads)?.causal(),
            norm2: norm("layer_norm2")?,
            fc1: Linear::load(&weights.pp("mlp.fc1"), width, inner, true)?,
            activation,
            fc2: Linear::load(&weights.pp("mlp.fc2"), inner, width, true)?,
        })
    }

    fn forward(&self, x: &Tokens) -> Result<Tokens> {
        let x = self.attention.forward_add(&self.norm1.forward(x)?, x)?;
        let inner = self.fc1.forward_act(&self.norm2.forward(&x)?, self.activation)?;
        self.fc2.forward_add(&inner, &x)
    }
}
