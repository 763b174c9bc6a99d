//! ControlNet (Zhang et al. 2023, diffusers' ControlNetModel): a copy of the down and middle blocks
//! of the UNet that reads a control image in addition to the latents, and returns residuals for the
//! skip connections and the middle block of the UNet.

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::conditioning::{Added, Conditioning, TimeEmbedding};
use super::unet_blocks::{Contexts, DownStage, MidStage, begin, key_values};
use super::unet_config::UnetConfig;
use crate::error::{Error, Kind, Result};
use crate::nn::{Backend, Conv2d, ConvShape, FeatureMap, Weights};

/// Configuration of a ControlNet (config.json).
#[derive(Clone, Debug)]
pub(crate) struct ControlConfig {
    unet: UnetConfig,
    hint: HintConfig,
}

/// Keys of config.json about the embedding of the control image.
#[derive(Clone, Debug, Deserialize)]
struct HintConfig {
    #[serde(default = "three")]
    conditioning_channels: usize,
    #[serde(default = "default_widths")]
    conditioning_embedding_out_channels: Vec<usize>,
    #[serde(default = "rgb")]
    controlnet_conditioning_channel_order: String,
    #[serde(default)]
    global_pool_conditions: bool,
}

impl Default for HintConfig {
    fn default() -> Self {
        Self {
            conditioning_channels: three(),
            conditioning_embedding_out_channels: default_widths(),
            controlnet_conditioning_channel_order: rgb(),
            global_pool_conditions: false,
        }
    }
}

fn three() -> usize {
    3
}

fn default_widths() -> Vec<usize> {
    vec![16, 32, 96, 256]
}

fn rgb() -> String {
    "rgb".to_owned()
}

impl ControlConfig {
    /// Reads config.json, which `file` names in messages.
    pub(crate) fn parse(file: &str, mut json: Value) -> Result<Self> {
        let broken = |what: &str| Error::new(Kind::ModelFile, format!("{file}: {what}"));
        let hint: HintConfig =
            HintConfig::deserialize(&json).map_err(|e| broken(&e.to_string()))?;
        if hint.global_pool_conditions {
            return Err(broken(
                "`global_pool_conditions` is true, which sdgen does not do",
            ));
        }
        if hint.conditioning_channels != 3 || hint.controlnet_conditioning_channel_order != "rgb" {
            return Err(broken(
                "expected a picture of the channels red, green and blue",
            ));
        }
        if hint.conditioning_embedding_out_channels.is_empty() {
            return Err(broken("`conditioning_embedding_out_channels` is empty"));
        }
        // A ControlNet has no up blocks; the parser of the UNet asks for them.
        let levels = json["block_out_channels"].as_array().map_or(0, Vec::len);
        if let Some(keys) = json.as_object_mut() {
            keys.insert("up_block_types".into(), json!(vec!["UpBlock2D"; levels]));
        }
        Ok(Self {
            unet: UnetConfig::parse_as(file, json)?,
            hint,
        })
    }

    /// Configuration of a file without config.json, from the shapes of its tensors, for a copy of
    /// the network `base`: the number of transformer blocks of each level, and the widths of the
    /// embedding of the control image. Everything else is as in `base`.
    pub(crate) fn of_file(weights: &Weights, base: &UnetConfig) -> Result<Self> {
        let first = |name: &str| {
            weights
                .shape(name)
                .map(|shape| (shape[0], shape.get(1).copied().unwrap_or(0)))
        };
        let conv_in =
            first("conv_in.weight").zip(first("controlnet_cond_embedding.conv_in.weight"));
        let Some(((_, in_channels), (width, _))) = conv_in else {
            let what = format!("`{}` is no control network", weights.label());
            return Err(Error::new(Kind::ModelFile, what).hint(
                "expected tensors named as in diffusers' ControlNetModel, or `control_model.*`",
            ));
        };
        let mut unet = UnetConfig {
            in_channels,
            guidance_width: None,
            ..base.clone()
        };
        let block = |at: &str, i: usize| {
            format!("{at}.attentions.0.transformer_blocks.{i}.attn2.to_k.weight")
        };
        let depth = |at: &str| (0..).take_while(|i| weights.has(&block(at, *i))).count();
        let context = |at: &str| first(&block(at, 0)).map(|(_, context)| context);
        unet.mid_depth = depth("mid_block");
        for (i, level) in unet.levels.iter_mut().enumerate() {
            level.down_depth = depth(&format!("down_blocks.{i}"));
            level.context = context("mid_block").unwrap_or(level.context);
        }
        let halved = |i: usize| {
            first(&format!(
                "controlnet_cond_embedding.blocks.{}.weight",
                2 * i + 1
            ))
        };
        let widths = (0..).map_while(|i| halved(i).map(|(width, _)| width));
        let widths = std::iter::once(width).chain(widths).collect();
        Ok(Self {
            unet,
            hint: HintConfig {
                conditioning_embedding_out_channels: widths,
                ..HintConfig::default()
            },
        })
    }

    /// Channels of the context that the network was made for.
    pub(crate) fn context(&self) -> usize {
        self.unet.levels[0].context
    }
}

/// The network.
pub(crate) struct ControlNet {
    conv_in: Conv2d,
    hint: HintEmbedding,
    time: TimeEmbedding,
    downs: Vec<DownStage>,
    mid: MidStage,
    /// 1×1 convolutions on the outputs of the down blocks and of the middle; zero before training.
    outs: Vec<Conv2d>,
    backend: Backend,
}

/// Conditioning scale of a ControlNet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strength {
    /// Factor of all residuals (`controlnet_conditioning_scale`).
    pub(crate) scale: f64,
    /// Guess mode: the factors rise from a tenth on the first map (the highest resolution) to the
    /// whole in the middle, as powers of ten.
    pub(crate) rising: bool,
}

/// Residuals of a ControlNet, each with its factor: a map for each output of the down blocks, and
/// one for the middle.
pub(crate) struct Residuals(Vec<(f64, FeatureMap)>);

impl Residuals {
    /// The maps times their factors, `[b, c, h, w]`.
    #[cfg(test)]
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        self.0
            .iter()
            .map(|(scale, map)| (map.to_nchw().unwrap() * *scale).unwrap())
            .collect()
    }

    /// Adds the residuals to the skip connections and to the middle; where they have fewer images,
    /// to the last of these.
    pub(super) fn add_to(&self, skips: &mut [FeatureMap], mid: &mut FeatureMap) -> Result<()> {
        if self.0.len() != skips.len() + 1 {
            return Err(Error::internal(
                "a control network of another shape than the network",
            ));
        }
        for (map, (scale, residual)) in skips.iter_mut().chain([mid]).zip(&self.0) {
            *map = map.plus(*scale, residual)?;
        }
        Ok(())
    }
}

impl ControlNet {
    /// Loads the network and rejects tensors that no layer uses.
    pub(crate) fn load(weights: &Weights, config: &ControlConfig) -> Result<Self> {
        let unet = &config.unet;
        let levels = &unet.levels;
        let first = levels[0].channels;
        let down = |i: usize| DownStage::load(&weights.pp("down_blocks").pp(i), unet, i);
        let lowest = levels.len() - 1;
        // The first map, one for each layer, and one for each halving.
        let mut left = vec![first];
        for (i, level) in levels.iter().enumerate() {
            left.extend(vec![level.channels; level.layers]);
            left.extend((i < lowest).then_some(level.channels));
        }
        let out = |weights: Weights, channels: usize| {
            Conv2d::load(&weights, ConvShape::pointwise(channels, channels))
        };
        let names = (0..left.len()).map(|i| weights.pp("controlnet_down_blocks").pp(i));
        let names = names.chain([weights.pp("controlnet_mid_block")]);
        let network = Self {
            conv_in: Conv2d::load(
                &weights.pp("conv_in"),
                ConvShape::same(unet.in_channels, first),
            )?,
            hint: HintEmbedding::load(
                &weights.pp("controlnet_cond_embedding"),
                &config.hint,
                first,
            )?,
            time: TimeEmbedding::load(weights, unet)?,
            downs: (0..levels.len()).map(down).collect::<Result<Vec<_>>>()?,
            mid: MidStage::load(&weights.pp("mid_block"), unet)?,
            outs: names
                .zip(left.iter().copied().chain([levels[lowest].channels]))
                .map(|(weights, channels)| out(weights, channels))
                .collect::<Result<Vec<_>>>()?,
            backend: weights.backend().clone(),
        };
        weights.finish(&[])?;
        Ok(network)
    }

    /// Prepares the conditioning of a batch: context `[b, n, context]`, and `added` where the
    /// network needs it.
    pub(crate) fn condition(
        &self,
        context: &Tensor,
        added: Option<&Added<'_>>,
    ) -> Result<Conditioning> {
        let transformers = self
            .downs
            .iter()
            .flat_map(DownStage::transformers)
            .chain(self.mid.transformers());
        let contexts = key_values(transformers, context, &self.backend)?;
        Conditioning::new(&self.time, contexts, context.dim(0)?, added)
    }

    /// Embedding of a control image `[1, 3, 8h, 8w]` in 0..1, which is added to the latents and is
    /// the same at every step.
    pub(crate) fn hint(&self, picture: &Tensor) -> Result<FeatureMap> {
        self.hint
            .forward(&FeatureMap::from_nchw(picture, &self.backend)?)
    }

    /// Residuals for latents `[b, in, h, w]` at `timestep`, with the embedding `hint` of the
    /// control image. The latents are repeated for all images of the conditioning.
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        hint: &FeatureMap,
        strength: Strength,
    ) -> Result<Residuals> {
        let time = self.time.at(timestep, conditioning)?;
        let mut contexts = Contexts::new(conditioning);
        let hint = hint.clone().repeat_batch(latents.dim(0)?)?;
        let x = self
            .conv_in
            .on(&[&FeatureMap::from_nchw(latents, &self.backend)?])
            .add(hint)
            .run()?;
        let (mut x, mut maps) = begin(x, conditioning)?;
        for stage in &self.downs {
            x = stage.forward(x, &time, &mut contexts, &mut maps)?;
        }
        maps.push(self.mid.forward(&x, &time, &mut contexts)?);
        let last = maps.len() - 1;
        let said = maps.iter().zip(&self.outs).enumerate();
        let said = said.map(|(i, (map, out))| Ok((strength.of(i, last), out.on(&[map]).run()?)));
        Ok(Residuals(said.collect::<Result<_>>()?))
    }
}

impl Strength {
    /// Factor of map `i` of 0..=`last`; the last one is the middle.
    fn of(self, i: usize, last: usize) -> f64 {
        let share = if self.rising {
            10f64.powf(i as f64 / last as f64 - 1.0)
        } else {
            1.0
        };
        self.scale * share
    }
}

/// Embedding of the control image at the size of the latents (diffusers'
/// `ControlNetConditioningEmbedding`).
struct HintEmbedding {
    conv_in: Conv2d,
    blocks: Vec<Conv2d>,
    conv_out: Conv2d,
}

impl HintEmbedding {
    fn load(weights: &Weights, config: &HintConfig, output: usize) -> Result<Self> {
        let widths = &config.conditioning_embedding_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let steps = widths.windows(2).flat_map(|w| {
            [
                ConvShape::same(w[0], w[0]),
                ConvShape::halving_to(w[0], w[1], 1),
            ]
        });
        let block =
            |(i, shape): (usize, ConvShape)| Conv2d::load(&weights.pp("blocks").pp(i), shape);
        Ok(Self {
            conv_in: Conv2d::load(
                &weights.pp("conv_in"),
                ConvShape::same(config.conditioning_channels, first),
            )?,
            blocks: steps.enumerate().map(block).collect::<Result<Vec<_>>>()?,
            conv_out: Conv2d::load(&weights.pp("conv_out"), ConvShape::same(last, output))?,
        })
    }

    fn forward(&self, picture: &FeatureMap) -> Result<FeatureMap> {
        let mut x = self.conv_in.on(&[picture]).run()?;
        for block in self.blocks.iter().chain([&self.conv_out]) {
            x = block.on(&[&x]).silu().run()?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_rises_by_the_tenth_logarithm_from_a_tenth_to_the_whole() {
        let strength = Strength {
            scale: 2.0,
            rising: true,
        };
        assert!((strength.of(0, 12) - 0.2).abs() < 1e-12);
        assert!((strength.of(6, 12) - 2.0 * 10f64.powf(-0.5)).abs() < 1e-12);
        assert!((strength.of(12, 12) - 2.0).abs() < 1e-12);
        let even = Strength {
            scale: 0.5,
            rising: false,
        };
        assert_eq!((even.of(0, 12), even.of(12, 12)), (0.5, 0.5));
    }

    #[test]
    fn what_is_not_implemented_is_refused_with_the_files_name() {
        let config = |change: Value| {
            let mut json = json!({
                "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "block_out_channels": [32, 64],
                "layers_per_block": 2, "cross_attention_dim": 64, "attention_head_dim": 8,
            });
            json.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            ControlConfig::parse("net/config.json", json)
        };
        assert_eq!(config(json!({})).unwrap().context(), 64);
        for change in [
            json!({"global_pool_conditions": true}),
            json!({"controlnet_conditioning_channel_order": "bgr"}),
            json!({"class_embed_type": "timestep"}),
        ] {
            let error = config(change).unwrap_err().to_string();
            assert!(error.starts_with("net/config.json: "), "{error}");
        }
    }
}
