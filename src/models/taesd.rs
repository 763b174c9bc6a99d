//! The tiny autoencoder (AutoencoderTiny, O. Bohan's TAESD): a few convolutions in place of the
//! whole autoencoder, for fast decoding and previews. Its latents are those of the sampler, scaled
//! only by the factor of its configuration.

use candle_core::Tensor;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::nn::{Backend, Conv2d, ConvShape, FeatureMap, Weights};

/// The config.json of the tiny autoencoder.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TinyConfig {
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "three")]
    out_channels: usize,
    #[serde(default = "four")]
    pub(crate) latent_channels: usize,
    #[serde(default = "wide")]
    encoder_block_out_channels: Vec<usize>,
    #[serde(default = "wide")]
    decoder_block_out_channels: Vec<usize>,
    #[serde(default = "encoder_blocks")]
    num_encoder_blocks: Vec<usize>,
    #[serde(default = "decoder_blocks")]
    num_decoder_blocks: Vec<usize>,
    #[serde(default = "relu")]
    act_fn: String,
    #[serde(default = "nearest")]
    upsample_fn: String,
    #[serde(default = "two")]
    upsampling_scaling_factor: usize,
    /// Factor from the output of the encoder to the latents of the sampler.
    #[serde(default = "one")]
    pub(crate) scaling_factor: f64,
}

fn one() -> f64 {
    1.0
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

fn four() -> usize {
    4
}

fn wide() -> Vec<usize> {
    vec![64; 4]
}

fn encoder_blocks() -> Vec<usize> {
    vec![1, 3, 3, 3]
}

fn decoder_blocks() -> Vec<usize> {
    vec![3, 3, 3, 1]
}

fn relu() -> String {
    "relu".to_owned()
}

fn nearest() -> String {
    "nearest".to_owned()
}

impl TinyConfig {
    /// Rejects options that the decoder and the encoder below do not implement.
    pub(crate) fn check(&self, file: &str) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(Kind::ModelFile, format!("{file}: {what}")));
        let matched = |widths: &[usize], blocks: &[usize]| {
            !widths.is_empty()
                && widths.len() == blocks.len()
                && widths.iter().all(|w| *w == widths[0])
        };
        if !matched(&self.encoder_block_out_channels, &self.num_encoder_blocks)
            || !matched(&self.decoder_block_out_channels, &self.num_decoder_blocks)
        {
            return wrong(
                "expected one width for all blocks, and as many widths as numbers of blocks",
            );
        }
        if (self.act_fn.as_str(), self.upsample_fn.as_str()) != ("relu", "nearest")
            || self.upsampling_scaling_factor != 2
        {
            return wrong("expected `act_fn` relu and `upsample_fn` nearest by 2");
        }
        Ok(())
    }

    /// Pixels that a latent cell covers on each side.
    pub(crate) fn factor(&self) -> usize {
        1 << (self.decoder_block_out_channels.len() - 1)
    }
}

/// conv(relu(conv(relu(conv(x))))) + x, through ReLU.
struct Block([Conv2d; 3]);

impl Block {
    fn load(weights: &Weights, width: usize) -> Result<Self> {
        let conv =
            |i: usize| Conv2d::load(&weights.pp("conv").pp(i), ConvShape::same(width, width));
        Ok(Self([conv(0)?, conv(2)?, conv(4)?]))
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        let [first, second, third] = &self.0;
        let inner = first.on(&[x]).run()?;
        let inner = second.on(&[&inner]).relu().run()?;
        third.on(&[&inner]).relu().add(x.clone()).run()?.relu()
    }
}

/// Blocks of one resolution, and the convolution before them (encoder) or after them (decoder).
struct Stage {
    conv: Conv2d,
    blocks: Vec<Block>,
}

impl Stage {
    fn through_blocks(&self, mut x: FeatureMap) -> Result<FeatureMap> {
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// Latents to pixels.
pub(crate) struct TinyDecoder {
    conv_in: Conv2d,
    stages: Vec<Stage>,
    backend: Backend,
}

/// Pixels to latents.
pub(crate) struct TinyEncoder {
    stages: Vec<Stage>,
    conv_out: Conv2d,
    backend: Backend,
}

/// Layers of the decoder or the encoder, which files number one after the other.
struct Layers(Weights, usize);

impl Layers {
    fn next(&mut self) -> Weights {
        self.1 += 1;
        self.0.pp(self.1 - 1)
    }

    fn blocks(&mut self, count: usize, width: usize) -> Result<Vec<Block>> {
        (0..count)
            .map(|_| Block::load(&self.next(), width))
            .collect()
    }

    /// Skips the number of a layer without tensors.
    fn skip(&mut self) {
        self.1 += 1;
    }
}

impl TinyDecoder {
    /// Loads `decoder.*`.
    pub(crate) fn load(weights: &Weights, config: &TinyConfig) -> Result<Self> {
        let mut layers = Layers(weights.pp("decoder.layers"), 0);
        let width = config.decoder_block_out_channels[0];
        let conv_in = Conv2d::load(
            &layers.next(),
            ConvShape::same(config.latent_channels, width),
        )?;
        layers.skip(); // ReLU
        let mut stages = Vec::new();
        for (i, &count) in config.num_decoder_blocks.iter().enumerate() {
            let blocks = layers.blocks(count, width)?;
            let conv = if i + 1 < config.num_decoder_blocks.len() {
                layers.skip(); // Upsampling
                Conv2d::unbiased(&layers.next(), ConvShape::same(width, width))?
            } else {
                Conv2d::load(&layers.next(), ConvShape::same(width, config.out_channels))?
            };
            stages.push(Stage { conv, blocks });
        }
        Ok(Self {
            conv_in,
            stages,
            backend: weights.backend().clone(),
        })
    }

    /// Unscaled latents `[b, latent, h, w]` to pixels `[b, 3, f·h, f·w]` around −1..1.
    pub(crate) fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = ((latents / 3.0)?.tanh()? * 3.0)?;
        let mut x = self
            .conv_in
            .on(&[&FeatureMap::from_nchw(&latents, &self.backend)?])
            .run()?
            .relu()?;
        for (i, stage) in self.stages.iter().enumerate() {
            x = stage.through_blocks(x)?;
            let shape = x.shape();
            let parts = [&x];
            let call = stage.conv.on(&parts);
            let last = i + 1 == self.stages.len();
            x = if last {
                call
            } else {
                call.upsample((2 * shape.h, 2 * shape.w))
            }
            .run()?;
        }
        Ok(x.to_nchw()?.affine(2.0, -1.0)?)
    }
}

impl TinyEncoder {
    /// Loads `encoder.*`.
    pub(crate) fn load(weights: &Weights, config: &TinyConfig) -> Result<Self> {
        let mut layers = Layers(weights.pp("encoder.layers"), 0);
        let width = config.encoder_block_out_channels[0];
        let mut stages = Vec::new();
        for (i, &count) in config.num_encoder_blocks.iter().enumerate() {
            let conv = if i == 0 {
                Conv2d::load(&layers.next(), ConvShape::same(config.in_channels, width))?
            } else {
                Conv2d::unbiased(&layers.next(), ConvShape::halving(width, 1))?
            };
            stages.push(Stage {
                conv,
                blocks: layers.blocks(count, width)?,
            });
        }
        let conv_out = Conv2d::load(
            &layers.next(),
            ConvShape::same(width, config.latent_channels),
        )?;
        Ok(Self {
            stages,
            conv_out,
            backend: weights.backend().clone(),
        })
    }

    /// Pixels `[b, 3, h, w]` in −1..1 to latents `[b, latent, h/f, w/f]`; there is no distribution
    /// to sample from.
    pub(crate) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut x = FeatureMap::from_nchw(&pixels.affine(0.5, 0.5)?, &self.backend)?;
        for stage in &self.stages {
            x = stage.through_blocks(stage.conv.on(&[&x]).run()?)?;
        }
        self.conv_out.on(&[&x]).run()?.to_nchw()
    }
}
