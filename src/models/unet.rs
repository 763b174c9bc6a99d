//! The denoising network (UNet2DConditionModel): any list of blocks that unet/config.json
//! describes.

use candle_core::Tensor;

use super::conditioning::{Added, Conditioning, TimeEmbedding};
use super::controlnet::Residuals;
use super::denoiser::{Conditioned, Denoiser, DenoiserInputs, ImagePrompt};
use super::ip_adapter::IpAdapter;
use super::unet_blocks::{
    Contexts, DownStage, Merging, MidStage, Transformer, UpStage, begin, key_values,
};
use super::unet_config::UnetConfig;
use crate::error::{Error, Kind, Result};
use crate::nn::{Backend, Conv2d, ConvShape, FeatureMap, GroupNorm, Weights};

/// The network.
pub(crate) struct Unet {
    conv_in: Conv2d,
    time: TimeEmbedding,
    downs: Vec<DownStage>,
    mid: MidStage,
    ups: Vec<UpStage>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UnetConfig,
    backend: Backend,
}

impl Unet {
    /// Loads the network and rejects tensors that no layer uses.
    pub(crate) fn load(weights: Weights, config: &UnetConfig) -> Result<Self> {
        let first = config.levels[0].channels;
        let stages = 0..config.levels.len();
        let unet = Self {
            conv_in: Conv2d::load(
                &weights.pp("conv_in"),
                ConvShape::same(config.in_channels, first),
            )?,
            time: TimeEmbedding::load(&weights, config)?,
            downs: stages
                .clone()
                .map(|i| DownStage::load(&weights.pp("down_blocks").pp(i), config, i))
                .collect::<Result<Vec<_>>>()?,
            mid: MidStage::load(&weights.pp("mid_block"), config)?,
            ups: stages
                .map(|i| UpStage::load(&weights.pp("up_blocks").pp(i), config, i))
                .collect::<Result<Vec<_>>>()?,
            norm_out: GroupNorm::load(
                &weights.pp("conv_norm_out"),
                config.groups,
                first,
                config.eps,
            )?,
            conv_out: Conv2d::load(
                &weights.pp("conv_out"),
                ConvShape::same(first, config.out_channels),
            )?,
            config: config.clone(),
            backend: weights.backend().clone(),
        };
        weights.finish(&[])?;
        Ok(unet)
    }

    /// Prepares the conditioning of a batch: context `[b, n, context]`, and `added` where the
    /// network needs it.
    pub(crate) fn condition(
        &self,
        context: &Tensor,
        added: Option<&Added<'_>>,
    ) -> Result<Conditioning> {
        let width = context.dim(2)?;
        let wanted = self.config.levels[0].context;
        if width != wanted {
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "the text encoder gives {width} channels, expected {wanted} as unet/config.json says"
                ),
            ));
        }
        let contexts = key_values(self.transformers(), context, &self.backend)?;
        Conditioning::new(&self.time, contexts, context.dim(0)?, added)
    }

    /// Adds the guidance scale as an input, for networks distilled to take it.
    pub(crate) fn guided(&self, conditioning: Conditioning, scale: f64) -> Result<Conditioning> {
        Ok(Conditioning {
            guidance: self.time.guidance(scale)?,
            ..conditioning
        })
    }

    /// Adds the tokens `[b, n, context]` of an image prompt (IP-Adapter), whose attention is scaled
    /// by `scale`.
    pub(crate) fn with_picture(
        &self,
        conditioning: Conditioning,
        adapter: &IpAdapter,
        tokens: &Tensor,
        scale: f64,
    ) -> Result<Conditioning> {
        let pictures = adapter.key_values(tokens)?;
        let layers = self.transformers().flat_map(Transformer::cross_attentions);
        let both = layers.zip(conditioning.contexts).zip(&pictures);
        let contexts =
            both.map(|((layer, text), picture)| layer.with_picture(text, picture, scale));
        Ok(Conditioning {
            contexts: contexts.collect::<Result<_>>()?,
            ..conditioning
        })
    }

    /// The transformers in the order of the forward pass.
    fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        let down = self.downs.iter().flat_map(DownStage::transformers);
        let up = self.ups.iter().flat_map(UpStage::transformers);
        down.chain(self.mid.transformers()).chain(up)
    }

    /// The output for latents `[b, in, h, w]` at `timestep`: `[n, out, h, w]` in single precision
    /// for the `n` images of the conditioning, for which the latents are repeated; and the deep
    /// features for [`Self::forward_shallow`].
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        controls: &[Residuals],
    ) -> Result<(Tensor, Deep)> {
        let time = self.time.at(timestep, conditioning)?;
        let mut contexts = self.contexts(latents, conditioning)?;
        let x = self
            .conv_in
            .on(&[&FeatureMap::from_nchw(latents, &self.backend)?])
            .run()?;
        let (mut x, mut skips) = begin(x, conditioning)?;
        for stage in &self.downs {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        x = self.mid.forward(&x, &time, &mut contexts)?;
        for control in controls {
            control.add_to(&mut skips, &mut x)?;
        }
        let (last, below) = self.ups.split_last().ok_or_else(no_stages)?;
        for stage in below {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        let deep = last.begin(x, &time, &mut contexts, &mut skips)?;
        let x = last.end(deep.clone(), &time, &mut contexts, &mut skips)?;
        Ok((
            self.conv_out
                .on(&[&x])
                .norm_silu(&self.norm_out)
                .run()?
                .to_nchw()?,
            Deep(deep),
        ))
    }

    /// The output with the deep features of an earlier call in place of those of this one: only the
    /// first layer of the down blocks and the last two of the up blocks are computed (Ma et al.,
    /// "DeepCache", 2023, section 3.2, at its shallowest branch).
    pub(crate) fn forward_shallow(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        deep: &Deep,
    ) -> Result<Tensor> {
        let time = self.time.at(timestep, conditioning)?;
        let mut contexts = self.contexts(latents, conditioning)?;
        let x = self
            .conv_in
            .on(&[&FeatureMap::from_nchw(latents, &self.backend)?])
            .run()?;
        let (x, mut skips) = begin(x, conditioning)?;
        skips.push(self.downs[0].first(x, &time, &mut contexts)?);
        let last = self.ups.last().ok_or_else(no_stages)?;
        contexts.skip_to_last(last.contexts_at_end());
        let x = last.end(deep.0.clone(), &time, &mut contexts, &mut skips)?;
        self.conv_out
            .on(&[&x])
            .norm_silu(&self.norm_out)
            .run()?
            .to_nchw()
    }

    /// The contexts of a call; tokens are merged on the largest maps with self-attention.
    fn contexts<'a>(
        &self,
        latents: &Tensor,
        conditioning: &'a Conditioning,
    ) -> Result<Contexts<'a>> {
        let (_, _, h, w) = latents.dims4()?;
        let first = self
            .config
            .levels
            .iter()
            .take_while(|level| level.down_depth.max(level.up_depth) == 0);
        let size = first.fold((h, w), |(h, w), _| (h.div_ceil(2), w.div_ceil(2)));
        let merge = (conditioning.merge > 0.0).then_some(Merging {
            share: conditioning.merge,
            size,
        });
        Ok(Contexts::new(conditioning).merging(merge))
    }
}

impl Denoiser for Unet {
    fn channels(&self) -> usize {
        self.config.in_channels
    }

    fn context_width(&self) -> usize {
        self.config.levels[0].context
    }

    fn conditioned<'n>(&'n self, inputs: &DenoiserInputs<'_>) -> Result<Box<dyn Conditioned + 'n>> {
        let conditioning = self.condition(inputs.context, inputs.added.as_ref())?;
        let mut conditioning = self
            .guided(conditioning, inputs.guidance_scale)?
            .merging(inputs.merge_tokens);
        if let Some(ImagePrompt {
            adapter,
            tokens,
            scale,
        }) = inputs.image_prompt
        {
            conditioning = self.with_picture(conditioning, adapter, tokens, scale)?;
        }
        Ok(Box::new(ConditionedUnet {
            unet: self,
            conditioning,
            cache: inputs.cache,
            deep: None,
        }))
    }
}

/// The network with the conditioning of a batch.
struct ConditionedUnet<'n> {
    unet: &'n Unet,
    conditioning: Conditioning,
    /// Calls for which deep features are used again.
    cache: Option<usize>,
    /// Deep features, and the call that made them.
    deep: Option<(usize, Deep)>,
}

impl Conditioned for ConditionedUnet<'_> {
    fn predict(
        &mut self,
        i: usize,
        latents: &Tensor,
        timestep: f64,
        controls: &mut dyn FnMut() -> Result<Vec<Residuals>>,
    ) -> Result<Tensor> {
        if let (Some(every), Some((made, deep))) = (self.cache, &self.deep)
            && i < made + every
        {
            return self
                .unet
                .forward_shallow(latents, timestep, &self.conditioning, deep);
        }
        let controls = controls()?;
        let (output, deep) = self
            .unet
            .forward(latents, timestep, &self.conditioning, &controls)?;
        self.deep = self.cache.map(|_| (i, deep));
        Ok(output)
    }
}

/// The features before the last two layers of a call.
pub(crate) struct Deep(FeatureMap);

fn no_stages() -> Error {
    Error::internal("a network without stages")
}
