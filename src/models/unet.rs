//! The denoising network (UNet2DConditionModel): any list of blocks that unet/config.json describes.

use candle_core::Tensor;

use super::conditioning::{Added, Conditioning, TimeEmbedding};
use super::controlnet::Residuals;
use super::ip_adapter::IpAdapter;
use super::unet_blocks::{Contexts, DownStage, MidStage, Transformer, UpStage};
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
    /// Loads the network and complains about tensors that it has no place for.
    ///
    /// # Errors
    /// A tensor that is missing, left over or of another shape.
    pub(crate) fn load(weights: Weights, config: &UnetConfig) -> Result<Self> {
        let first = config.levels[0].channels;
        let stages = 0..config.levels.len();
        let (side, lowest) = (weights.side(), config.levels.len() - 1);
        let unet = Self {
            conv_in: Conv2d::load(&weights.pp("conv_in"), ConvShape::same(config.in_channels, first))?,
            time: TimeEmbedding::load(&weights, config)?,
            downs: stages
                .clone()
                .map(|i| DownStage::load(&weights.pp("down_blocks").pp(i).at(side >> i), config, i))
                .collect::<Result<Vec<_>>>()?,
            mid: MidStage::load(&weights.pp("mid_block").at(side >> lowest), config)?,
            ups: stages
                .map(|i| UpStage::load(&weights.pp("up_blocks").pp(i).at(side >> (lowest - i)), config, i))
                .collect::<Result<Vec<_>>>()?,
            norm_out: GroupNorm::load(&weights.pp("conv_norm_out"), config.groups, first, config.eps)?,
            conv_out: Conv2d::load(&weights.pp("conv_out"), ConvShape::same(first, config.out_channels))?,
            config: config.clone(),
            backend: weights.backend().clone(),
        };
        weights.finish(&[])?;
        Ok(unet)
    }

    /// Prepares the conditioning of a batch: context `[b, n, context]`, and `added` where the network wants it.
    ///
    /// # Errors
    /// A context of another width than the network's; missing `added`; tensor arithmetic.
    pub(crate) fn condition(&self, context: &Tensor, added: Option<&Added<'_>>) -> Result<Conditioning> {
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
        Conditioning::new(&self.time, self.transformers(), context, added)
    }

    /// Its sizes.
    pub(crate) fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// Channels of the latents that it takes.
    pub(crate) fn channels(&self) -> usize {
        self.config.in_channels
    }

    /// Channels of the context that it reads.
    pub(crate) fn context(&self) -> usize {
        self.config.levels[0].context
    }

    /// Whether the network takes the guidance scale as an input.
    pub(crate) fn takes_guidance(&self) -> bool {
        self.time.takes_guidance()
    }

    /// Adds the guidance scale as an input, for networks distilled to take it.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub(crate) fn guided(&self, conditioning: Conditioning, scale: f64) -> Result<Conditioning> {
        Ok(Conditioning { guidance: self.time.guidance(scale)?, ..conditioning })
    }

    /// Adds a picture's tokens `[b, n, context]`, which count `scale` as much as the text.
    ///
    /// # Errors
    /// Tensor arithmetic.
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
        let contexts = both.map(|((layer, text), picture)| layer.with_picture(text, picture, scale));
        Ok(Conditioning { contexts: contexts.collect::<Result<_>>()?, ..conditioning })
    }

    /// In the order in which the network meets them.
    fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        let down = self.downs.iter().flat_map(DownStage::transformers);
        let up = self.ups.iter().flat_map(UpStage::transformers);
        down.chain(self.mid.transformers()).chain(up)
    }

    /// The output for latents `[b, in, h, w]` at `timestep`: `[b, out, h, w]` in single precision. What control
    /// networks say is added to what the way up reads.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        controls: &[Residuals],
    ) -> Result<Tensor> {
        let time = self.time.at(timestep, conditioning)?;
        let mut contexts = Contexts::new(&conditioning.contexts);
        let mut x = self.conv_in.on(&[&FeatureMap::from_nchw(latents, &self.backend)?]).run()?;
        let mut skips = vec![x.clone()];
        for stage in &self.downs {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        x = self.mid.forward(&x, &time, &mut contexts)?;
        for control in controls {
            control.add_to(&mut skips, &mut x)?;
        }
        for stage in &self.ups {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        self.conv_out.on(&[&x]).norm_silu(&self.norm_out).run()?.to_nchw()
    }
}
