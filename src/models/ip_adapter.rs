//! IP-Adapter (Ye et al. 2023): an image as part of the prompt. Its embedding becomes a few tokens,
//! to which every cross-attention of the network attends in addition to those of the text.

use candle_core::Tensor;

use super::unet_config::UnetConfig;
use crate::error::{Error, Kind, Result};
use crate::nn::{ActivationDtype, Backend, LayerNorm, Linear, Tokens, Weights};

const EPS: f64 = 1e-5;

/// The adapter.
pub(crate) struct IpAdapter {
    projection: Linear,
    norm: LayerNorm,
    width: usize,
    /// Projections to keys and values of each cross-attention, in the order of the forward pass.
    layers: Vec<Linear>,
    backend: Backend,
}

impl IpAdapter {
    /// Loads the adapter for a network of `config` and an image encoder with embeddings of
    /// `embedding` channels.
    pub(crate) fn load(weights: &Weights, config: &UnetConfig, embedding: usize) -> Result<Self> {
        let width = config.levels[0].context;
        let projection = weights.pp("image_proj.proj");
        let Some(&[rows, _]) = projection.shape("weight") else {
            let error = Error::new(
                Kind::ModelFile,
                format!("`{}` is no plain IP-Adapter", weights.label()),
            );
            return Err(error.hint(
                "sdgen takes those with `image_proj.proj`; \"plus\" and \"faceid\" are of another make",
            ));
        };
        if let Some(&[made_for]) = weights
            .shape("image_proj.norm.weight")
            .filter(|shape| **shape != [width])
        {
            let what = format!(
                "the adapter was made for prompts of {made_for} channels, this model's have {width}"
            );
            return Err(Error::field("ip_adapter", what).hint(
                "it is for another family of models: SD 1.x has 768, SD 2.x 1024, SDXL 2048",
            ));
        }
        let count = rows / width;
        let layer = |(id, channels): (usize, usize)| {
            let names = weights.pp("ip_adapter").pp(2 * id + 1);
            Linear::stacked(
                &[names.pp("to_k_ip"), names.pp("to_v_ip")],
                width,
                channels,
                false,
            )
        };
        let adapter = Self {
            projection: Linear::load(&projection, embedding, count * width, true)?,
            norm: LayerNorm::load(&weights.pp("image_proj.norm"), width, EPS)?,
            width,
            layers: numbered(config)
                .into_iter()
                .map(layer)
                .collect::<Result<Vec<_>>>()?,
            backend: weights.backend().clone(),
        };
        weights.finish(&[])?;
        Ok(adapter)
    }

    /// The tokens `[1, n, context]` of an image embedding `[1, e]`.
    pub(crate) fn tokens(&self, embedding: &Tensor) -> Result<Tensor> {
        let row = Tokens::new(&embedding.unsqueeze(0)?, &self.backend)?;
        let tokens = self
            .projection
            .forward(&row)?
            .to_tensor()?
            .reshape((1, (), self.width))?;
        self.norm
            .forward(&Tokens::new(&tokens, &self.backend)?, ActivationDtype::F32)?
            .to_tensor()
    }

    /// Keys and values of tokens `[b, n, context]`, side by side, for each cross-attention.
    pub(super) fn key_values(&self, tokens: &Tensor) -> Result<Vec<Tokens>> {
        let tokens = Tokens::new(tokens, &self.backend)?;
        self.layers
            .iter()
            .map(|layer| layer.forward(&tokens))
            .collect()
    }
}

/// Number in the file and channels of each cross-attention, in the order of the forward pass. Files
/// number the down blocks first, then the up blocks, and the middle last.
fn numbered(config: &UnetConfig) -> Vec<(usize, usize)> {
    let levels = &config.levels;
    let down = levels
        .iter()
        .flat_map(|level| vec![level.channels; level.layers * level.down_depth]);
    let up = levels
        .iter()
        .rev()
        .flat_map(|level| vec![level.channels; (level.layers + 1) * level.up_depth]);
    let (down, up): (Vec<usize>, Vec<usize>) = (down.collect(), up.collect());
    let middle = vec![levels[levels.len() - 1].channels; config.mid_depth];
    let place = |from: usize, widths: Vec<usize>| {
        widths
            .into_iter()
            .enumerate()
            .map(move |(i, c)| (from + i, c))
    };
    let (behind_down, behind_up) = (down.len(), down.len() + up.len());
    place(0, down)
        .chain(place(behind_up, middle))
        .chain(place(behind_down, up))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_numbered_last_and_met_between() {
        let config = UnetConfig::parse(serde_json::json!({
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
            "block_out_channels": [32, 64], "layers_per_block": 1, "cross_attention_dim": 64,
            "attention_head_dim": 8,
        }));
        assert_eq!(
            numbered(&config.unwrap()),
            [(0, 32), (3, 64), (1, 32), (2, 32)]
        );
    }
}
