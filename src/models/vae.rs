//! The autoencoder (AutoencoderKL): pixels to latents and back.

use candle_core::Tensor;
use serde::Deserialize;

use super::resnet::{ResnetBlock, ResnetShape};
use crate::error::{Error, Kind, Result};
use crate::nn::{
    Backend, Conv2d, ConvShape, FeatureMap, GroupNorm, Projections, SelfAttention, Weights,
};

/// Epsilon of every norm in the autoencoder (diffusers, `AutoencoderKL`).
const EPS: f64 = 1e-6;

/// vae/config.json.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct VaeConfig {
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "three")]
    out_channels: usize,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    pub(crate) block_out_channels: Vec<usize>,
    #[serde(default = "one")]
    layers_per_block: usize,
    #[serde(default = "four")]
    pub(crate) latent_channels: usize,
    #[serde(default = "thirty_two")]
    norm_num_groups: usize,
    /// Side in pixels of the images that it was trained on.
    #[serde(default = "usual_size")]
    pub(crate) sample_size: usize,
    /// Factor from the output of the encoder to the latents of the sampler.
    #[serde(default = "default_scale")]
    pub(crate) scaling_factor: f64,
    /// True if activations overflow half precision; only pipelines of SDXL respect it.
    #[serde(default = "yes")]
    pub(crate) force_upcast: bool,
    #[serde(default = "yes")]
    use_quant_conv: bool,
    #[serde(default = "yes")]
    use_post_quant_conv: bool,
    #[serde(default = "yes")]
    mid_block_add_attention: bool,
    #[serde(default = "silu")]
    act_fn: String,
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

fn four() -> usize {
    4
}

fn thirty_two() -> usize {
    32
}

fn usual_size() -> usize {
    512
}

fn default_scale() -> f64 {
    0.18215
}

fn yes() -> bool {
    true
}

fn silu() -> String {
    "silu".to_owned()
}

impl VaeConfig {
    /// Rejects options that the decoder and the encoder below do not implement.
    pub(crate) fn check(&self) -> Result<()> {
        let only = |key: &str, found: &[String], known: &str| match found
            .iter()
            .find(|name| *name != known)
        {
            Some(other) => Err(Error::new(
                Kind::ModelFile,
                format!("vae/config.json: `{key}` names `{other}`, expected `{known}`"),
            )),
            None => Ok(()),
        };
        only(
            "down_block_types",
            &self.down_block_types,
            "DownEncoderBlock2D",
        )?;
        only("up_block_types", &self.up_block_types, "UpDecoderBlock2D")?;
        only("act_fn", std::slice::from_ref(&self.act_fn), "silu")?;
        if self.block_out_channels.is_empty() {
            return Err(Error::new(
                Kind::ModelFile,
                "vae/config.json: `block_out_channels` is empty",
            ));
        }
        Ok(())
    }

    /// Pixels that a latent cell covers on each side.
    pub(crate) fn factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Residual blocks of a down block; an up block has one more.
    pub(super) fn layers_per_block(&self) -> usize {
        self.layers_per_block
    }

    fn resnet(&self, input: usize, output: usize) -> ResnetShape {
        ResnetShape {
            input,
            output,
            groups: self.norm_num_groups,
            eps: EPS,
            time: None,
        }
    }
}

/// Latents to pixels.
pub(crate) struct Decoder {
    post_quant: Option<Conv2d>,
    conv_in: Conv2d,
    mid: MidBlock,
    ups: Vec<Stage>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    backend: Backend,
}

/// Pixels to the mean and log variance of the latents.
pub(crate) struct Encoder {
    conv_in: Conv2d,
    downs: Vec<Stage>,
    mid: MidBlock,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    quant: Option<Conv2d>,
    backend: Backend,
}

/// Residual blocks of one resolution and the change to the next.
struct Stage {
    resnets: Vec<ResnetBlock>,
    resample: Option<Conv2d>,
}

impl Stage {
    fn load(
        weights: &Weights,
        shapes: &[ResnetShape],
        resample: Option<(&str, ConvShape)>,
    ) -> Result<Self> {
        let resnets = shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| ResnetBlock::load(&weights.pp("resnets").pp(i), *shape))
            .collect::<Result<Vec<_>>>()?;
        // Up-sampled before the convolution, down-sampled by it.
        let resample = resample
            .map(|(name, shape)| Conv2d::load(&weights.pp(name), shape))
            .transpose()?;
        Ok(Self { resnets, resample })
    }

    fn residuals(&self, mut x: FeatureMap) -> Result<FeatureMap> {
        for resnet in &self.resnets {
            x = resnet.forward(vec![x], None)?;
        }
        Ok(x)
    }
}

struct MidBlock {
    first: ResnetBlock,
    attention: Option<(GroupNorm, SelfAttention)>,
    second: ResnetBlock,
}

impl MidBlock {
    fn load(weights: &Weights, config: &VaeConfig, channels: usize) -> Result<Self> {
        let resnet = |i: usize| {
            ResnetBlock::load(
                &weights.pp("resnets").pp(i),
                config.resnet(channels, channels),
            )
        };
        let attention = config.mid_block_add_attention.then(|| {
            let block = weights.pp("attentions.0");
            let names = Projections {
                q: block.either(["to_q", "query"]),
                k: block.either(["to_k", "key"]),
                v: block.either(["to_v", "value"]),
                out: block.either(["to_out.0", "proj_attn"]),
                bias: true,
            };
            let norm = GroupNorm::load(
                &block.pp("group_norm"),
                config.norm_num_groups,
                channels,
                EPS,
            )?;
            Ok::<_, Error>((norm, SelfAttention::load(&names, channels, 1)?))
        });
        Ok(Self {
            first: resnet(0)?,
            attention: attention.transpose()?,
            second: resnet(1)?,
        })
    }

    fn forward(&self, x: FeatureMap) -> Result<FeatureMap> {
        let mut x = self.first.forward(vec![x], None)?;
        if let Some((norm, attention)) = &self.attention {
            x = attention.forward_onto(&norm.forward(&x)?.tokens()?, &x)?;
        }
        self.second.forward(vec![x], None)
    }
}

impl Decoder {
    /// Loads `decoder.*` and `post_quant_conv.*`.
    pub(crate) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self> {
        let latent = config.latent_channels;
        let weights = &weights.once();
        let root = weights.pp("decoder");
        let widths: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let ups = (0..widths.len())
            .map(|i| {
                let input = widths[i.saturating_sub(1)];
                let mut shapes =
                    vec![config.resnet(widths[i], widths[i]); config.layers_per_block + 1];
                shapes[0] = config.resnet(input, widths[i]);
                let up = ("upsamplers.0.conv", ConvShape::same(widths[i], widths[i]));
                Stage::load(
                    &root.pp("up_blocks").pp(i),
                    &shapes,
                    (i + 1 < widths.len()).then_some(up),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            post_quant: config
                .use_post_quant_conv
                .then(|| {
                    Conv2d::load(
                        &weights.pp("post_quant_conv"),
                        ConvShape::pointwise(latent, latent),
                    )
                })
                .transpose()?,
            conv_in: Conv2d::load(&root.pp("conv_in"), ConvShape::same(latent, first))?,
            mid: MidBlock::load(&root.pp("mid_block"), config, first)?,
            ups,
            norm_out: GroupNorm::load(
                &root.pp("conv_norm_out"),
                config.norm_num_groups,
                last,
                EPS,
            )?,
            conv_out: Conv2d::load(
                &root.pp("conv_out"),
                ConvShape::same(last, config.out_channels),
            )?,
            backend: weights.backend().clone(),
        })
    }

    /// Unscaled latents `[b, latent, h, w]` to pixels `[b, 3, f·h, f·w]` around −1..1.
    pub(crate) fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let mut x = FeatureMap::from_nchw(latents, &self.backend)?;
        if let Some(conv) = &self.post_quant {
            x = conv.on(&[&x]).run()?;
        }
        x = self.mid.forward(self.conv_in.on(&[&x]).run()?)?;
        for stage in &self.ups {
            x = stage.residuals(x)?;
            if let Some(conv) = &stage.resample {
                let shape = x.shape();
                x = conv.on(&[&x]).upsample((2 * shape.h, 2 * shape.w)).run()?;
            }
        }
        self.conv_out
            .on(&[&x])
            .norm_silu(&self.norm_out)
            .run()?
            .to_nchw()
    }
}

impl Encoder {
    /// Loads `encoder.*` and `quant_conv.*`.
    pub(crate) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self> {
        let moments = 2 * config.latent_channels;
        let weights = &weights.once();
        let root = weights.pp("encoder");
        let widths = &config.block_out_channels;
        let last = widths[widths.len() - 1];
        let downs = (0..widths.len())
            .map(|i| {
                let input = widths[i.saturating_sub(1)];
                let mut shapes = vec![config.resnet(widths[i], widths[i]); config.layers_per_block];
                if let Some(shape) = shapes.first_mut() {
                    *shape = config.resnet(input, widths[i]);
                }
                // Zeros on the right and bottom only.
                let down = ("downsamplers.0.conv", ConvShape::halving(widths[i], 0));
                Stage::load(
                    &root.pp("down_blocks").pp(i),
                    &shapes,
                    (i + 1 < widths.len()).then_some(down),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            conv_in: Conv2d::load(
                &root.pp("conv_in"),
                ConvShape::same(config.in_channels, widths[0]),
            )?,
            downs,
            mid: MidBlock::load(&root.pp("mid_block"), config, last)?,
            norm_out: GroupNorm::load(
                &root.pp("conv_norm_out"),
                config.norm_num_groups,
                last,
                EPS,
            )?,
            conv_out: Conv2d::load(&root.pp("conv_out"), ConvShape::same(last, moments))?,
            quant: config
                .use_quant_conv
                .then(|| {
                    Conv2d::load(
                        &weights.pp("quant_conv"),
                        ConvShape::pointwise(moments, moments),
                    )
                })
                .transpose()?,
            backend: weights.backend().clone(),
        })
    }

    /// Pixels `[b, 3, h, w]` in −1..1 to the posterior's mean and log variance, `[b, latent, h/f,
    /// w/f]` each, the latter clamped to −30..20.
    pub(crate) fn forward(&self, pixels: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut x = self
            .conv_in
            .on(&[&FeatureMap::from_nchw(pixels, &self.backend)?])
            .run()?;
        for stage in &self.downs {
            x = stage.residuals(x)?;
            if let Some(conv) = &stage.resample {
                x = conv.on(&[&x]).run()?;
            }
        }
        x = self.mid.forward(x)?;
        x = self.conv_out.on(&[&x]).norm_silu(&self.norm_out).run()?;
        if let Some(conv) = &self.quant {
            x = conv.on(&[&x]).run()?;
        }
        let halves = x.to_nchw()?.chunk(2, 1)?;
        Ok((halves[0].contiguous()?, halves[1].clamp(-30.0, 20.0)?))
    }
}
