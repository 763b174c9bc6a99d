//! The transformers of the UNet, and the contexts of their attentions.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::models::conditioning::Conditioning;
use crate::models::unet_config::{Level, UnetConfig};
use crate::nn::{
    ActivationDtype, Backend, CrossAttention, FeatureMap, Geglu, GroupNorm, KeyValues, LayerNorm,
    Linear, Projections, SelfAttention, TokenMerge, Tokens, Weights,
};

/// Epsilon of the transformers' group norm (diffusers, `Transformer2DModel`); layer norms have
/// 1e-5.
const GROUP_EPS: f64 = 1e-6;
const LAYER_EPS: f64 = 1e-5;

/// Keys and values of the context for every cross-attention, in the order of the forward pass; and
/// the merging of tokens before a self-attention.
pub(super) struct Contexts<'a> {
    next: std::slice::Iter<'a, KeyValues>,
    /// Images of the conditioning.
    pub(super) images: usize,
    merge: Option<Merging>,
}

/// The share of tokens merged where a map has this size, `h × w`.
#[derive(Clone, Copy)]
pub(super) struct Merging {
    pub(super) share: f64,
    pub(super) size: (usize, usize),
}

impl<'a> Contexts<'a> {
    pub(super) fn new(conditioning: &'a Conditioning) -> Self {
        Self {
            next: conditioning.contexts.iter(),
            images: conditioning.batch,
            merge: None,
        }
    }

    /// The same contexts with token merging.
    pub(super) fn merging(self, merge: Option<Merging>) -> Self {
        Self { merge, ..self }
    }

    /// Skips all contexts but the last `n`.
    pub(super) fn skip_to_last(&mut self, n: usize) {
        let all = self.next.as_slice();
        self.next = all[all.len().saturating_sub(n)..].iter();
    }

    /// Merging of the tokens `x`; `None` if they are not merged.
    fn merge(&self, x: &Tokens) -> Result<Option<TokenMerge>> {
        match self.merge {
            Some(Merging { share, size }) if x.dims().1 == size.0 * size.1 => {
                TokenMerge::of(x, size, share).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn take(&mut self) -> Result<&'a KeyValues> {
        self.next
            .next()
            .ok_or_else(|| Error::internal("fewer contexts than cross-attentions"))
    }
}

/// Self-attention, cross-attention and feed-forward, each after a norm and added to its input.
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: SelfAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    ff_in: Geglu,
    ff_out: Linear,
}

impl TransformerBlock {
    fn load(weights: &Weights, level: &Level) -> Result<Self> {
        let width = level.channels;
        let names = |name: &str| {
            let attention = weights.pp(name);
            Projections {
                q: attention.pp("to_q"),
                k: attention.pp("to_k"),
                v: attention.pp("to_v"),
                out: attention.pp("to_out.0"),
                bias: attention.has("to_q.bias"),
            }
        };
        let norm = |name: &str| LayerNorm::load(&weights.pp(name), width, LAYER_EPS);
        Ok(Self {
            norm1: norm("norm1")?,
            attn1: SelfAttention::load(&names("attn1"), width, level.heads)?,
            norm2: norm("norm2")?,
            attn2: CrossAttention::load(&names("attn2"), width, level.context, level.heads)?,
            norm3: norm("norm3")?,
            ff_in: Geglu::load(&weights.pp("ff.net.0.proj"), width, 4 * width)?,
            ff_out: Linear::load(&weights.pp("ff.net.2"), 4 * width, width, true)?,
        })
    }

    fn forward(&self, x: &Tokens, contexts: &mut Contexts<'_>) -> Result<Tokens> {
        let context = contexts.take()?;
        let x = self.attend(x, contexts)?.repeat_batch(contexts.images)?;
        let x = self.attn2.forward_add(
            &self.norm2.forward(&x, self.attn2.input_dtype())?,
            context,
            &x,
        )?;
        let inner = self.ff_in.forward(
            &self.norm3.forward(&x, self.ff_in.input_dtype())?,
            self.ff_out.input_dtype(),
        )?;
        self.ff_out.forward_add(&inner, &x)
    }

    /// Self-attention after its norm, added to `x`.
    fn attend(&self, x: &Tokens, contexts: &Contexts<'_>) -> Result<Tokens> {
        if contexts.merge.is_some() {
            let normed = self.norm1.forward(x, ActivationDtype::F32)?;
            if let Some(merge) = contexts.merge(&normed)? {
                return merge.unmerge_add(&self.attn1.forward(&merge.apply(&normed)?)?, x);
            }
        }
        self.attn1
            .forward_add(&self.norm1.forward(x, self.attn1.input_dtype())?, x)
    }
}

/// Transformer blocks over the pixels of a map (`Transformer2DModel`), added to their input.
pub(super) struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

impl Transformer {
    pub(super) fn load(
        weights: &Weights,
        config: &UnetConfig,
        level: &Level,
        depth: usize,
    ) -> Result<Self> {
        let width = level.channels;
        Ok(Self {
            norm: GroupNorm::load(&weights.pp("norm"), config.groups, width, GROUP_EPS)?,
            proj_in: Linear::load(&weights.pp("proj_in"), width, width, true)?,
            blocks: (0..depth)
                .map(|i| TransformerBlock::load(&weights.pp("transformer_blocks").pp(i), level))
                .collect::<Result<Vec<_>>>()?,
            proj_out: Linear::load(&weights.pp("proj_out"), width, width, true)?,
        })
    }

    pub(super) fn cross_attentions(&self) -> impl Iterator<Item = &CrossAttention> {
        self.blocks.iter().map(|block| &block.attn2)
    }

    pub(super) fn forward(
        &self,
        x: &FeatureMap,
        contexts: &mut Contexts<'_>,
    ) -> Result<FeatureMap> {
        let mut inner = self.proj_in.forward(&self.norm.forward(x)?.tokens()?)?;
        for block in &self.blocks {
            inner = block.forward(&inner, contexts)?;
        }
        let (images, ..) = inner.dims();
        self.proj_out
            .forward_onto(&inner, &x.clone().repeat_batch(images)?)
    }
}

/// Keys and values of `context` `[b, n, context]` for every cross-attention of `transformers`, which
/// are in the order of the forward pass.
pub(super) fn key_values<'a>(
    transformers: impl Iterator<Item = &'a Transformer>,
    context: &Tensor,
    backend: &Backend,
) -> Result<Vec<KeyValues>> {
    let context = Tokens::new(context, backend)?;
    transformers
        .flat_map(Transformer::cross_attentions)
        .map(|layer| layer.key_values(&context))
        .collect()
}
