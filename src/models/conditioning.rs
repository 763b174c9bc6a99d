//! Conditioning of the denoising network and of its ControlNets: the timestep, the keys and values
//! of the context, SDXL's sizes and pooled prompt, and the guidance scale of distilled networks.

use candle_core::{DType, Tensor};

use super::unet_config::{TextTime, UnetConfig};
use crate::error::{Error, Result};
use crate::nn::{Backend, KeyValues, Linear, Sinusoid, Tokens, Weights};

/// SDXL's added conditioning (`added_cond_kwargs` of diffusers).
#[derive(Clone, Copy)]
pub(crate) struct Added<'a> {
    /// Pooled prompt `[b, pooled]`.
    pub(crate) pooled: &'a Tensor,
    /// Sizes and crops of each image, `b` rows.
    pub(crate) time_ids: &'a [Vec<f64>],
}

/// Conditioning that is constant over all steps of a run: keys and values of the context, SDXL's
/// added embedding, the embedding of the guidance scale.
pub(crate) struct Conditioning {
    pub(super) contexts: Vec<KeyValues>,
    pub(super) added: Option<Tokens>,
    pub(super) guidance: Option<Tokens>,
    pub(super) batch: usize,
    /// Share of the tokens that self-attention merges on the largest maps.
    pub(super) merge: f64,
}

impl Conditioning {
    /// The same conditioning with token merging: self-attention on the largest maps merges `share`
    /// of its tokens.
    pub(crate) fn merging(self, share: f64) -> Self {
        Self {
            merge: share,
            ..self
        }
    }

    /// Conditioning of a batch of `batch` prompts with the keys and values of each cross-attention,
    /// in the order of the forward pass.
    pub(super) fn new(
        time: &TimeEmbedding,
        contexts: Vec<KeyValues>,
        batch: usize,
        added: Option<&Added<'_>>,
    ) -> Result<Self> {
        Ok(Self {
            contexts,
            added: time.added(added)?,
            guidance: None,
            batch,
            merge: 0.0,
        })
    }
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

/// Embedding of the timestep: its sinusoid, the layers over it, and the embeddings added to it.
pub(super) struct TimeEmbedding {
    wave: Sinusoid,
    mlp: Mlp,
    /// Layer for the guidance scale, and the width of its sinusoid, of networks distilled to take
    /// it as an input.
    guidance: Option<(Linear, usize)>,
    /// SDXL's `add_embedding`.
    added: Option<(Mlp, TextTime)>,
    backend: Backend,
}

impl TimeEmbedding {
    /// Loads `time_embedding` and `add_embedding`.
    pub(super) fn load(weights: &Weights, config: &UnetConfig) -> Result<Self> {
        let first = config.levels[0].channels;
        let width = config.time_width();
        let layers = weights.pp("time_embedding");
        let guidance = config.guidance_width.map(|input| {
            Ok::<_, Error>((
                Linear::load(&layers.pp("cond_proj"), input, first, false)?,
                input,
            ))
        });
        let added = config.text_time.map(|text_time| {
            Ok::<_, Error>((
                Mlp::load(&weights.pp("add_embedding"), text_time.input, width)?,
                text_time,
            ))
        });
        Ok(Self {
            wave: Sinusoid {
                width: first,
                cosine_first: config.cosine_first,
                shift: config.freq_shift,
            },
            mlp: Mlp::load(&layers, first, width)?,
            guidance: guidance.transpose()?,
            added: added.transpose()?,
            backend: weights.backend().clone(),
        })
    }

    /// SDXL's embedding of sizes and pooled prompt; `None` where the network has none.
    pub(super) fn added(&self, added: Option<&Added<'_>>) -> Result<Option<Tokens>> {
        let Some((mlp, text_time)) = &self.added else {
            return Ok(None);
        };
        let added =
            added.ok_or_else(|| Error::internal("this network wants a pooled prompt and sizes"))?;
        let wave = Sinusoid {
            width: text_time.time_width,
            cosine_first: self.wave.cosine_first,
            shift: 0.0,
        };
        let rows: Vec<f32> = added
            .time_ids
            .iter()
            .flatten()
            .flat_map(|&id| wave.of(id))
            .collect();
        let waves = self.backend.upload(rows, (added.time_ids.len(), ()))?;
        let input = Tensor::cat(&[&added.pooled.to_dtype(DType::F32)?, &waves], 1)?.unsqueeze(0)?;
        Ok(Some(mlp.forward(&Tokens::new(&input, &self.backend)?)?))
    }

    /// Embedding of the guidance scale as an input (Meng et al. 2023): w = (scale − 1) · 1000 in a
    /// sinusoid with the sines first.
    pub(super) fn guidance(&self, scale: f64) -> Result<Option<Tokens>> {
        let Some((linear, width)) = &self.guidance else {
            return Ok(None);
        };
        let wave = Sinusoid {
            width: *width,
            cosine_first: false,
            shift: 1.0,
        }
        .of((scale - 1.0) * 1000.0);
        let wave = self.backend.upload(wave, (1, 1, *width))?;
        Ok(Some(linear.forward(&Tokens::new(&wave, &self.backend)?)?))
    }

    /// silu(time embedding + added embeddings): `[1, b, width]` where something is added, else
    /// `[1, 1, width]` for all images.
    pub(super) fn at(&self, timestep: f64, conditioning: &Conditioning) -> Result<Tokens> {
        let wave = self
            .backend
            .upload(self.wave.of(timestep), (1, 1, self.wave.width))?;
        let mut wave = Tokens::new(&wave, &self.backend)?;
        if let Some(guidance) = &conditioning.guidance {
            wave = wave.add(guidance)?;
        }
        let time = self.mlp.forward(&wave)?;
        match &conditioning.added {
            Some(added) => time.repeat(conditioning.batch)?.add(added)?.silu(),
            None => time.silu(),
        }
    }
}
