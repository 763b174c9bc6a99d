//! CLIP's image encoder (Radford et al. 2021), for adapters that take an image prompt (IP-Adapter).

use candle_core::Tensor;
use serde::Deserialize;

use super::clip::{Layer, LayerShape, activation};
use crate::error::{Error, Kind, Result};
use crate::nn::{
    ActivationDtype, Backend, Conv2d, ConvShape, FeatureMap, LayerNorm, Linear, Tokens, Weights,
};

/// image_encoder/config.json.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct VisionConfig {
    #[serde(default = "quick_gelu")]
    hidden_act: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    /// Side of the input images, in pixels.
    pub(crate) image_size: usize,
    patch_size: usize,
    /// Channels of the image embedding.
    pub(crate) projection_dim: usize,
}

fn quick_gelu() -> String {
    "quick_gelu".to_owned()
}

fn default_eps() -> f64 {
    1e-5
}

/// Mean and deviation of red, green and blue that the encoder was trained with.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The encoder.
pub(crate) struct ClipVision {
    patches: Conv2d,
    /// `[1, 1, c]`, before the patches.
    class: Tensor,
    /// `[1, n + 1, c]`.
    positions: Tensor,
    pre_norm: LayerNorm,
    layers: Vec<Layer>,
    post_norm: LayerNorm,
    projection: Linear,
    backend: Backend,
}

impl ClipVision {
    /// Loads the encoder.
    pub(crate) fn load(weights: &Weights, config: &VisionConfig) -> Result<Self> {
        let file = "image_encoder/config.json";
        let (width, patch) = (config.hidden_size, config.patch_size);
        if patch == 0 || !config.image_size.is_multiple_of(patch) {
            let what = format!(
                "{file}: `patch_size` {patch} does not divide `image_size` {}",
                config.image_size
            );
            return Err(Error::new(Kind::ModelFile, what));
        }
        let side = config.image_size / patch;
        let count = side * side + 1;
        let root = weights.pp("vision_model");
        let embeddings = root.pp("embeddings");
        let shape = LayerShape {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps,
            activation: activation(file, &config.hidden_act)?,
            causal: false,
        };
        let backend = weights.backend();
        let floats = |name: &str, shape: &[usize]| {
            let values = embeddings.values(name, shape)?.floats();
            backend.upload(values, (1, (), width))
        };
        let norm = |name: &str| LayerNorm::load(&root.pp(name), width, config.layer_norm_eps);
        let encoder = Self {
            patches: Conv2d::unbiased(
                &embeddings.pp("patch_embedding"),
                ConvShape::patches(3, width, patch),
            )?,
            class: floats("class_embedding", &[width])?,
            positions: floats("position_embedding.weight", &[count, width])?,
            pre_norm: norm("pre_layrnorm")?, // Spelled so in the files.
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(&root.pp("encoder.layers").pp(i), shape))
                .collect::<Result<Vec<_>>>()?,
            post_norm: norm("post_layernorm")?,
            projection: Linear::load(
                &weights.pp("visual_projection"),
                width,
                config.projection_dim,
                false,
            )?,
            backend: backend.clone(),
        };
        weights.finish(&[])?;
        Ok(encoder)
    }

    /// The embedding `[1, projection_dim]` of an image `[1, 3, image_size, image_size]` of
    /// normalised values.
    pub(crate) fn forward(&self, picture: &Tensor) -> Result<Tensor> {
        let patches = self
            .patches
            .on(&[&FeatureMap::from_nchw(picture, &self.backend)?])
            .run()?;
        let patches = patches.tokens()?.to_tensor()?;
        let embedded = (Tensor::cat(&[&self.class, &patches], 1)? + &self.positions)?;
        let mut x = self.pre_norm.forward(
            &Tokens::new(&embedded, &self.backend)?,
            ActivationDtype::F32,
        )?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        let first = Tokens::new(&x.to_tensor()?.narrow(1, 0, 1)?, &self.backend)?;
        let pooled = self
            .post_norm
            .forward(&first, self.projection.input_dtype())?;
        Ok(self.projection.forward(&pooled)?.to_tensor()?.squeeze(0)?)
    }

    /// The pixels of an image, `3 · side · side` bytes, as a normalised tensor for the encoder.
    pub(crate) fn normalised(&self, rgb: &[u8], side: usize) -> Result<Tensor> {
        let channels = MEAN.into_iter().zip(DEVIATION).cycle();
        let values = rgb
            .iter()
            .zip(channels)
            .map(|(&byte, (mean, deviation))| (f32::from(byte) / 255.0 - mean) / deviation);
        let rows = self.backend.upload(values.collect(), (side, side, 3))?;
        Ok(rows.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?)
    }
}
