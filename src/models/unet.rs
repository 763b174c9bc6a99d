//! The denoising network (UNet2DConditionModel): any list of blocks that unet/config.json describes.

use candle_core::{DType, Tensor};

use super::unet_blocks::{Contexts, DownStage, Merging, MidStage, UpStage, key_values};
use super::unet_config::UnetConfig;
use crate::error::{Error, Kind, Result};
use crate::nn::{
    Backend, Conv2d, ConvShape, FeatureMap, GroupNorm, KeyValues, Linear, Sinusoid, Tokens, Weights,
};

/// The network.
pub(crate) struct Unet {
    conv_in: Conv2d,
    time: TimeEmbedding,
    guidance: Option<Linear>,
    added: Option<Mlp>,
    downs: Vec<DownStage>,
    mid: MidStage,
    ups: Vec<UpStage>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UnetConfig,
    backend: Backend,
}

/// linear, SiLU, linear.
struct Mlp {
    linear_1: Linear,
    linear_2: Linear,
}

impl Mlp {
    fn load(weights: &Weights, input: usize, width: usize) -> Result<Self> {
        Ok(Self {
            linear_1: Linear::load(&weights.pp("linear_1"), input, width, true)?,
            linear_2: Linear::load(&weights.pp("linear_2"), width, width, true)?,
        })
    }

    fn forward(&self, x: &Tokens) -> Result<Tokens> {
        self.linear_2.forward(&self.linear_1.forward(x)?.silu()?)
    }
}

/// Sinusoid and the layers over it.
struct TimeEmbedding {
    wave: Sinusoid,
    mlp: Mlp,
}

/// SDXL's second kind of conditioning.
pub(crate) struct Added<'a> {
    /// Pooled prompt `[b, pooled]`.
    pub(crate) pooled: &'a Tensor,
    /// Sizes and crops of each image, `b` rows.
    pub(crate) time_ids: &'a [Vec<f64>],
}

/// What stays the same over all steps of a run: the context's keys and values, SDXL's added embedding.
pub(crate) struct Conditioning {
    contexts: Vec<KeyValues>,
    added: Option<Tokens>,
    guidance: Option<Tokens>,
    batch: usize,
    /// Share of merged tokens.
    merge: f64,
}

/// The features before the last two layers of a call.
pub(crate) struct Deep(FeatureMap);

impl Deep {
    /// Whether they are of a call with as many images.
    pub(crate) fn suits(&self, latents: &Tensor) -> bool {
        latents.dim(0).is_ok_and(|b| b == self.0.shape().b)
    }
}

fn no_stages() -> Error {
    Error::internal("a network without stages")
}

impl Conditioning {
    /// The same, where self-attention on the largest maps merges a share of its tokens.
    pub(crate) fn merging(self, share: f64) -> Self {
        Self { merge: share, ..self }
    }
}

impl Unet {
    /// Loads the network and complains about tensors that it has no place for.
    ///
    /// # Errors
    /// A tensor that is missing, left over or of another shape.
    pub(crate) fn load(weights: Weights, config: &UnetConfig) -> Result<Self> {
        let first = config.levels[0].channels;
        let width = config.time_width();
        let stages = 0..config.levels.len();
        let (side, lowest) = (weights.side(), config.levels.len() - 1);
        let time_weights = weights.pp("time_embedding");
        let unet = Self {
            conv_in: Conv2d::load(&weights.pp("conv_in"), ConvShape::same(config.in_channels, first))?,
            time: TimeEmbedding {
                wave: Sinusoid { width: first, cosine_first: config.cosine_first, shift: config.freq_shift },
                mlp: Mlp::load(&time_weights, first, width)?,
            },
            guidance: config
                .guidance_width
                .map(|input| Linear::load(&time_weights.pp("cond_proj"), input, first, false))
                .transpose()?,
            added: config
                .text_time
                .map(|text_time| Mlp::load(&weights.pp("add_embedding"), text_time.input, width))
                .transpose()?,
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
        let (batch, _, width) = context.dims3()?;
        let wanted = self.config.levels[0].context;
        if width != wanted {
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "the text encoder gives {width} channels, expected {wanted} as unet/config.json says"
                ),
            ));
        }
        let context = Tokens::new(context, &self.backend)?;
        let transformers = self
            .downs
            .iter()
            .flat_map(DownStage::transformers)
            .chain(self.mid.transformers())
            .chain(self.ups.iter().flat_map(UpStage::transformers));
        Ok(Conditioning {
            contexts: key_values(transformers, &context)?,
            added: self.added_embedding(added)?,
            guidance: None,
            batch,
            merge: 0.0,
        })
    }

    fn added_embedding(&self, added: Option<&Added<'_>>) -> Result<Option<Tokens>> {
        let (Some(mlp), Some(text_time)) = (&self.added, self.config.text_time) else { return Ok(None) };
        let added = added.ok_or_else(|| Error::internal("this network wants a pooled prompt and sizes"))?;
        let wave =
            Sinusoid { width: text_time.time_width, cosine_first: self.config.cosine_first, shift: 0.0 };
        let rows: Vec<f32> = added.time_ids.iter().flatten().flat_map(|&id| wave.of(id)).collect();
        let waves = self.backend.upload(rows, (added.time_ids.len(), ()))?;
        let input = Tensor::cat(&[&added.pooled.to_dtype(DType::F32)?, &waves], 1)?.unsqueeze(0)?;
        Ok(Some(mlp.forward(&Tokens::new(&input, &self.backend)?)?))
    }

    /// Whether the network takes the guidance scale as an input.
    pub(crate) fn takes_guidance(&self) -> bool {
        self.guidance.is_some()
    }

    /// Adds the guidance scale as an input, for networks distilled to take it (Meng et al. 2023):
    /// w = (scale − 1) · 1000 in a sinusoid with the sines first.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub(crate) fn guided(&self, conditioning: Conditioning, scale: f64) -> Result<Conditioning> {
        let (Some(linear), Some(width)) = (&self.guidance, self.config.guidance_width) else {
            return Ok(conditioning);
        };
        let wave = Sinusoid { width, cosine_first: false, shift: 1.0 }.of((scale - 1.0) * 1000.0);
        let wave = self.backend.upload(wave, (1, 1, width))?;
        Ok(Conditioning {
            guidance: Some(linear.forward(&Tokens::new(&wave, &self.backend)?)?),
            ..conditioning
        })
    }

    /// The output for latents `[b, in, h, w]` at `timestep`: `[b, out, h, w]` in single precision.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
    ) -> Result<Tensor> {
        Ok(self.forward_deep(latents, timestep, conditioning)?.0)
    }

    /// As [`Self::forward`], with the deep features for [`Self::forward_shallow`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub(crate) fn forward_deep(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
    ) -> Result<(Tensor, Deep)> {
        let time = self.time_embedding(timestep, conditioning)?;
        let mut contexts = self.contexts(latents, conditioning)?;
        let mut x = self.conv_in.on(&[&FeatureMap::from_nchw(latents, &self.backend)?]).run()?;
        let mut skips = vec![x.clone()];
        for stage in &self.downs {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        x = self.mid.forward(&x, &time, &mut contexts)?;
        let (last, below) = self.ups.split_last().ok_or_else(no_stages)?;
        for stage in below {
            x = stage.forward(x, &time, &mut contexts, &mut skips)?;
        }
        let deep = last.begin(x, &time, &mut contexts, &mut skips)?;
        let x = last.end(deep.clone(), &time, &mut contexts, &mut skips)?;
        Ok((self.conv_out.on(&[&x]).norm_silu(&self.norm_out).run()?.to_nchw()?, Deep(deep)))
    }

    /// The output where the deep features of an earlier call stand for those of this one: only the first layer on the
    /// way down and the last two on the way up are computed (Ma et al., "DeepCache", 2023, section 3.2, at its
    /// shallowest branch).
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub(crate) fn forward_shallow(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        deep: &Deep,
    ) -> Result<Tensor> {
        let time = self.time_embedding(timestep, conditioning)?;
        let mut contexts = self.contexts(latents, conditioning)?;
        let x = self.conv_in.on(&[&FeatureMap::from_nchw(latents, &self.backend)?]).run()?;
        let mut skips = vec![x.clone()];
        skips.push(self.downs[0].first(x, &time, &mut contexts)?);
        let last = self.ups.last().ok_or_else(no_stages)?;
        contexts.skip_to_last(last.contexts_at_end());
        let x = last.end(deep.0.clone(), &time, &mut contexts, &mut skips)?;
        self.conv_out.on(&[&x]).norm_silu(&self.norm_out).run()?.to_nchw()
    }

    /// The contexts of a call; tokens are merged on the largest maps that any self-attention sees.
    fn contexts<'a>(&self, latents: &Tensor, conditioning: &'a Conditioning) -> Result<Contexts<'a>> {
        let (_, _, h, w) = latents.dims4()?;
        let first = self.config.levels.iter().take_while(|level| level.down_depth.max(level.up_depth) == 0);
        let size = first.fold((h, w), |(h, w), _| (h.div_ceil(2), w.div_ceil(2)));
        let merge = (conditioning.merge > 0.0).then_some(Merging { share: conditioning.merge, size });
        Ok(Contexts::new(&conditioning.contexts, merge))
    }

    /// silu(embedding of the time, and of what is added to it), `[1, b, width]`.
    fn time_embedding(&self, timestep: f64, conditioning: &Conditioning) -> Result<Tokens> {
        let wave = self.time.wave.of(timestep);
        let wave = self.backend.upload(wave, (1, 1, self.time.wave.width))?;
        let mut wave = Tokens::new(&wave, &self.backend)?;
        if let Some(guidance) = &conditioning.guidance {
            wave = wave.add(guidance)?;
        }
        let time = self.time.mlp.forward(&wave)?.repeat(conditioning.batch)?;
        match &conditioning.added {
            Some(added) => time.add(added)?.silu(),
            None => time.silu(),
        }
    }
}
