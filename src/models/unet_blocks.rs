//! The stages of the UNet (down blocks, middle block and up blocks), their transformers, and the
//! contexts of the attentions.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::models::conditioning::Conditioning;
use crate::models::resnet::{ResnetBlock, ResnetShape};
use crate::models::unet_config::{Level, UnetConfig};
use crate::nn::{
    ActivationDtype, Backend, Conv2d, ConvShape, CrossAttention, FeatureMap, Geglu, GroupNorm,
    KeyValues, LayerNorm, Linear, Projections, SelfAttention, TokenMerge, Tokens, Weights,
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

/// A residual block and the transformer after it, if its level has cross-attention.
pub(super) struct Layer {
    resnet: ResnetBlock,
    transformer: Option<Transformer>,
}

impl Layer {
    fn load(
        weights: &Weights,
        i: usize,
        resnet: ResnetShape,
        transformer: Option<Depth<'_>>,
    ) -> Result<Self> {
        Ok(Self {
            resnet: ResnetBlock::load(&weights.pp("resnets").pp(i), resnet)?,
            transformer: transformer
                .map(|(config, level, depth)| {
                    Transformer::load(&weights.pp("attentions").pp(i), config, level, depth)
                })
                .transpose()?,
        })
    }

    /// Applies the layer; its output has a map for every image, though the input may have fewer
    /// (see [`begin`]).
    fn forward(
        &self,
        parts: Vec<FeatureMap>,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
    ) -> Result<FeatureMap> {
        let x = self.resnet.forward(parts, Some(time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(&x, contexts)?,
            None => x,
        }
        .repeat_batch(contexts.images)
    }
}

/// Arguments for loading a transformer: the network, its level, its number of blocks.
type Depth<'a> = (&'a UnetConfig, &'a Level, usize);

fn resnet_shape(config: &UnetConfig, input: usize, output: usize) -> ResnetShape {
    ResnetShape {
        input,
        output,
        groups: config.groups,
        eps: config.eps,
        time: Some(config.time_width()),
    }
}

/// One down block.
pub(super) struct DownStage {
    layers: Vec<Layer>,
    down: Option<Conv2d>,
}

impl DownStage {
    pub(super) fn load(weights: &Weights, config: &UnetConfig, i: usize) -> Result<Self> {
        let level = &config.levels[i];
        let input = config.levels[i.saturating_sub(1)].channels;
        let layers = (0..level.layers)
            .map(|j| {
                let shape = resnet_shape(
                    config,
                    if j == 0 { input } else { level.channels },
                    level.channels,
                );
                let depth = (level.down_depth > 0).then_some((config, level, level.down_depth));
                Layer::load(weights, j, shape, depth)
            })
            .collect::<Result<Vec<_>>>()?;
        let shape = ConvShape::halving(level.channels, config.downsample_padding);
        let down = (i + 1 < config.levels.len())
            .then(|| Conv2d::load(&weights.pp("downsamplers.0.conv"), shape))
            .transpose()?;
        Ok(Self { layers, down })
    }

    /// The first layer alone.
    pub(super) fn first(
        &self,
        x: FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
    ) -> Result<FeatureMap> {
        match self.layers.first() {
            Some(layer) => layer.forward(vec![x], time, contexts),
            None => Ok(x),
        }
    }

    /// Applies the block and pushes its skip connections to `skips`.
    pub(super) fn forward(
        &self,
        mut x: FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
        skips: &mut Vec<FeatureMap>,
    ) -> Result<FeatureMap> {
        for layer in &self.layers {
            x = layer.forward(vec![x], time, contexts)?;
            skips.push(x.clone());
        }
        if let Some(down) = &self.down {
            x = down.on(&[&x]).run()?;
            skips.push(x.clone());
        }
        Ok(x)
    }

    pub(super) fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.layers
            .iter()
            .filter_map(|layer| layer.transformer.as_ref())
    }
}

/// The middle block, at the lowest resolution.
pub(super) struct MidStage {
    first: Layer,
    second: Layer,
}

impl MidStage {
    pub(super) fn load(weights: &Weights, config: &UnetConfig) -> Result<Self> {
        let level = &config.levels[config.levels.len() - 1];
        let shape = resnet_shape(config, level.channels, level.channels);
        Ok(Self {
            first: Layer::load(weights, 0, shape, Some((config, level, config.mid_depth)))?,
            second: Layer::load(weights, 1, shape, None)?,
        })
    }

    pub(super) fn forward(
        &self,
        x: &FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
    ) -> Result<FeatureMap> {
        let x = self.first.forward(vec![x.clone()], time, contexts)?;
        self.second.forward(vec![x], time, contexts)
    }

    pub(super) fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.first.transformer.iter()
    }
}

/// One up block.
pub(super) struct UpStage {
    layers: Vec<Layer>,
    up: Option<Conv2d>,
}

impl UpStage {
    /// Loads up block `i`, counted from the lowest resolution.
    pub(super) fn load(weights: &Weights, config: &UnetConfig, i: usize) -> Result<Self> {
        let n = config.levels.len();
        let at = |i: usize| &config.levels[n - 1 - i.min(n - 1)];
        let (level, before, after) = (at(i), at(i.saturating_sub(1)), at(i + 1));
        let layers = (0..=level.layers)
            .map(|j| {
                let input = if j == 0 {
                    before.channels
                } else {
                    level.channels
                };
                let skip = if j == level.layers {
                    after.channels
                } else {
                    level.channels
                };
                let shape = resnet_shape(config, input + skip, level.channels);
                let depth = (level.up_depth > 0).then_some((config, level, level.up_depth));
                Layer::load(weights, j, shape, depth)
            })
            .collect::<Result<Vec<_>>>()?;
        let shape = ConvShape::same(level.channels, level.channels);
        let up = (i + 1 < n)
            .then(|| Conv2d::load(&weights.pp("upsamplers.0.conv"), shape))
            .transpose()?;
        Ok(Self { layers, up })
    }

    /// Applies the block, which takes its skip connections from the end of `skips`.
    pub(super) fn forward(
        &self,
        x: FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
        skips: &mut Vec<FeatureMap>,
    ) -> Result<FeatureMap> {
        let x = self.begin(x, time, contexts, skips)?;
        let x = self.end(x, time, contexts, skips)?;
        match (&self.up, skips.last()) {
            // Up to the size of the next skip, which is not always twice this one.
            (Some(up), Some(skip)) => {
                let size = skip.shape();
                up.on(&[&x]).upsample((size.h, size.w)).run()
            }
            _ => Ok(x),
        }
    }

    /// Applies all layers but the last two.
    pub(super) fn begin(
        &self,
        x: FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
        skips: &mut Vec<FeatureMap>,
    ) -> Result<FeatureMap> {
        climb(&self.layers[..self.shallow()], x, time, (contexts, skips))
    }

    /// Applies the last two layers.
    pub(super) fn end(
        &self,
        x: FeatureMap,
        time: &Tokens,
        contexts: &mut Contexts<'_>,
        skips: &mut Vec<FeatureMap>,
    ) -> Result<FeatureMap> {
        climb(&self.layers[self.shallow()..], x, time, (contexts, skips))
    }

    fn shallow(&self) -> usize {
        self.layers.len().saturating_sub(2)
    }

    /// Number of cross-attentions in the last two layers.
    pub(super) fn contexts_at_end(&self) -> usize {
        let transformers = self.layers[self.shallow()..]
            .iter()
            .filter_map(|layer| layer.transformer.as_ref());
        transformers.flat_map(Transformer::cross_attentions).count()
    }

    pub(super) fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.layers
            .iter()
            .filter_map(|layer| layer.transformer.as_ref())
    }
}

/// Applies layers of an up block, each to the concatenation with the last of the skips.
fn climb(
    layers: &[Layer],
    mut x: FeatureMap,
    time: &Tokens,
    (contexts, skips): (&mut Contexts<'_>, &mut Vec<FeatureMap>),
) -> Result<FeatureMap> {
    for layer in layers {
        let skip = skips
            .pop()
            .ok_or_else(|| Error::internal("fewer skips than layers on the way up"))?;
        x = layer.forward(vec![x, skip], time, contexts)?;
    }
    Ok(x)
}

/// Prepares the input of the first down block, and the first skip connection.
///
/// The images of a batch for which the latents are repeated (classifier-free guidance) are equal
/// until the first cross-attention with their prompts, and are computed as one until then; with
/// SDXL's added conditioning they differ from the first layer on.
pub(super) fn begin(
    x: FeatureMap,
    conditioning: &Conditioning,
) -> Result<(FeatureMap, Vec<FeatureMap>)> {
    let all = x.clone().repeat_batch(conditioning.batch)?;
    let first = if conditioning.added.is_some() {
        all.clone()
    } else {
        x
    };
    Ok((first, vec![all]))
}
