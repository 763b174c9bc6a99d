//! Configuration files of a single-file model: derived from tensor shapes, the rest as published
//! for its family.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::noise::{Noise, PLAYGROUND_FACTOR};
use crate::catalog::Component;
use crate::named_enum::named_enum;
use crate::schedulers::Prediction;
use crate::tensor_file::TensorSpan;

named_enum! {
    /// Stable Diffusion version of a model.
    pub enum Version("version") {
        /// 1.x.
        Sd1 = "Stable Diffusion 1.x",
        /// 2.x.
        Sd2 = "Stable Diffusion 2.x",
        /// XL, with its fine-tuned and distilled kin.
        Xl = "Stable Diffusion XL",
        /// XL's refiner.
        Refiner = "Stable Diffusion XL refiner",
    }
}

/// Inputs from which the configuration files are generated.
pub(super) struct Facts<'a> {
    pub(super) version: Version,
    pub(super) tensors: &'a BTreeMap<Component, BTreeMap<String, TensorSpan>>,
    pub(super) open_clip: bool,
    pub(super) prediction: Prediction,
    pub(super) noise: Option<&'a Noise>,
    pub(super) zero_terminal_snr: bool,
}

/// Channels of a head, where it is not the number of heads that is fixed.
const HEAD: usize = 64;
/// Heads of 1.x at every level.
const HEADS: usize = 8;
/// Channels of each of XL's sinusoids.
const TIME_WIDTH: usize = 256;

impl Facts<'_> {
    /// Path → content of the configuration files: of the parts in the file, and of the VAE in any
    /// case.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut keep = |path: &str, json: Value| files.insert(path.to_owned(), json.to_string());
        keep("model_index.json", self.index());
        keep("scheduler/scheduler_config.json", self.scheduler());
        for (component, tensors) in self.tensors {
            let part = Part(tensors);
            let config = match component {
                Component::Unet => self.unet(&part),
                Component::Vae => self.scaled(vae(&part, self.version)),
                Component::TextEncoder | Component::TextEncoder2 => self.text(&part, *component),
            };
            keep(&component.config(), config);
        }
        if !self.tensors.contains_key(&Component::Vae) {
            keep(
                &Component::Vae.config(),
                self.scaled(usual_vae(self.version)),
            );
        }
        let exclamation = json!({ "pad_token": "!" });
        if self.version == Version::Sd2 {
            keep("tokenizer/special_tokens_map.json", exclamation.clone());
        }
        keep("tokenizer_2/special_tokens_map.json", exclamation);
        files
    }

    /// The VAE's config with the moments of its latents, if the model gives them.
    fn scaled(&self, mut vae: Value) -> Value {
        if let Some(Noise::Standardised([mean, std])) = self.noise {
            vae["latents_mean"] = json!(mean);
            vae["latents_std"] = json!(std);
            vae["scaling_factor"] = PLAYGROUND_FACTOR.into();
        }
        vae
    }

    /// Returns true if the UNet takes the guidance scale as an input, like latent consistency
    /// models of 1.x.
    fn latent_consistency(&self) -> bool {
        let unet = self.tensors.get(&Component::Unet);
        let has_input = |unet| Part(unet).has("time_embedding.cond_proj.weight");
        self.version == Version::Sd1 && unet.is_some_and(has_input)
    }

    fn index(&self) -> Value {
        let (class, refiner) = match self.version {
            Version::Sd1 if self.latent_consistency() => ("LatentConsistencyModelPipeline", false),
            Version::Sd1 | Version::Sd2 => ("StableDiffusionPipeline", false),
            Version::Xl => ("StableDiffusionXLPipeline", false),
            Version::Refiner => ("StableDiffusionXLImg2ImgPipeline", true),
        };
        let part = |component, library: &str, class: &str| {
            if self.tensors.contains_key(&component) {
                json!([library, class])
            } else {
                json!([null, null])
            }
        };
        json!({
            "_class_name": class,
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "scheduler": ["diffusers", self.scheduler()["_class_name"]],
            "text_encoder": part(Component::TextEncoder, "transformers", "CLIPTextModel"),
            "tokenizer": part(Component::TextEncoder, "transformers", "CLIPTokenizer"),
            "text_encoder_2": part(Component::TextEncoder2, "transformers", "CLIPTextModelWithProjection"),
            "tokenizer_2": part(Component::TextEncoder2, "transformers", "CLIPTokenizer"),
            "force_zeros_for_empty_prompt": self.version == Version::Xl,
            "requires_aesthetics_score": refiner,
        })
    }

    /// scheduler_config.json as published on the hub: PNDM for epsilon, DDIM for v-prediction,
    /// Euler for XL, LCM for latent consistency models. Those of 1.x and 2.x name no spacing: each
    /// sampler takes its own.
    fn scheduler(&self) -> Value {
        if let Some(noise) = self.noise {
            return noise.scheduler(self.prediction);
        }
        let xl = matches!(self.version, Version::Xl | Version::Refiner);
        let velocities = self.prediction == Prediction::V;
        let class = match (xl, velocities) {
            _ if self.latent_consistency() => "LCMScheduler",
            (true, _) => "EulerDiscreteScheduler",
            (false, true) => "DDIMScheduler",
            (false, false) => "PNDMScheduler",
        };
        let spacing = match (self.zero_terminal_snr, xl) {
            (true, _) => Some("trailing"),
            (false, true) => Some("leading"),
            (false, false) => None,
        };
        json!({
            "_class_name": class,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "clip_sample": false,
            "set_alpha_to_one": false,
            "skip_prk_steps": true,
            "steps_offset": 1,
            "prediction_type": if velocities { "v_prediction" } else { "epsilon" },
            "timestep_spacing": spacing,
            "rescale_betas_zero_snr": self.zero_terminal_snr,
        })
    }

    fn unet(&self, part: &Part<'_>) -> Value {
        let levels = part.count(|i| format!("down_blocks.{i}.resnets.0.norm1.weight"));
        let channels: Vec<usize> = (0..levels)
            .map(|i| part.size(&format!("down_blocks.{i}.resnets.0.conv1.weight"), 0))
            .collect();
        let layers: Vec<usize> = (0..levels)
            .map(|i| part.count(|j| format!("down_blocks.{i}.resnets.{j}.norm1.weight")))
            .collect();
        let depth = |module: &str| {
            part.count(|k| format!("{module}.attentions.0.transformer_blocks.{k}.norm1.weight"))
        };
        let down: Vec<usize> = (0..levels)
            .map(|i| depth(&format!("down_blocks.{i}")))
            .collect();
        let up: Vec<usize> = (0..levels)
            .map(|i| depth(&format!("up_blocks.{i}")))
            .collect();
        // The lowest level lends its depth to the middle, whether it has transformers or not.
        let mut depths: Vec<usize> = (0..levels)
            .map(|i| down[i].max(up[levels - 1 - i]).max(1))
            .collect();
        if let Some(lowest) = depths.last_mut() {
            *lowest = depth("mid_block");
        }
        let heads: Vec<usize> = channels
            .iter()
            .map(|width| {
                if self.version == Version::Sd1 {
                    HEADS
                } else {
                    (width / HEAD).max(1)
                }
            })
            .collect();
        let kind = |depth: &usize, way: &str| match depth {
            0 => format!("{way}Block2D"),
            _ => format!("CrossAttn{way}Block2D"),
        };
        let xl = part.has("add_embedding.linear_1.weight");
        json!({
            "_class_name": "UNet2DConditionModel",
            "use_linear_projection": self.version != Version::Sd1,
            "sample_size": self.native_cells(),
            "in_channels": part.size("conv_in.weight", 1),
            "out_channels": part.size("conv_out.weight", 0),
            "block_out_channels": channels,
            "layers_per_block": layers,
            "down_block_types": down.iter().map(|depth| kind(depth, "Down")).collect::<Vec<_>>(),
            "up_block_types": up.iter().map(|depth| kind(depth, "Up")).collect::<Vec<_>>(),
            "transformer_layers_per_block": depths,
            "attention_head_dim": heads,
            "cross_attention_dim": context(part),
            "norm_num_groups": 32,
            "time_cond_proj_dim": part.has("time_embedding.cond_proj.weight")
                .then(|| part.size("time_embedding.cond_proj.weight", 1)),
            "addition_embed_type": xl.then_some("text_time"),
            "addition_time_embed_dim": xl.then_some(TIME_WIDTH),
            "projection_class_embeddings_input_dim": xl.then(|| part.size("add_embedding.linear_1.weight", 1)),
        })
    }

    /// Side of the native picture in latent cells.
    fn native_cells(&self) -> usize {
        match (self.version, self.prediction) {
            (Version::Xl | Version::Refiner, _) => 128,
            (Version::Sd2, Prediction::V) => 96,
            (Version::Sd1 | Version::Sd2, _) => 64,
        }
    }

    fn text(&self, part: &Part<'_>, component: Component) -> Value {
        let root = if part.has("text_model.final_layer_norm.weight") {
            "text_model."
        } else {
            ""
        };
        let size = |name: &str, axis| part.size(&format!("{root}{name}"), axis);
        let open_clip = component == Component::TextEncoder2 || self.open_clip;
        let width = size("final_layer_norm.weight", 0);
        json!({
            "model_type": "clip_text_model",
            "hidden_act": if open_clip { "gelu" } else { "quick_gelu" },
            "hidden_size": width,
            "intermediate_size": size("encoder.layers.0.mlp.fc1.weight", 0),
            "num_attention_heads": (width / HEAD).max(1),
            "num_hidden_layers": part.count(|i| format!("{root}encoder.layers.{i}.layer_norm1.weight")),
            "max_position_embeddings": size("embeddings.position_embedding.weight", 0),
            "vocab_size": size("embeddings.token_embedding.weight", 0),
            "projection_dim": part.size("text_projection.weight", 0),
        })
    }
}

/// vae/config.json of the autoencoder that all these models were trained with, for a file without
/// one.
fn usual_vae(version: Version) -> Value {
    json!({
        "_class_name": "AutoencoderKL",
        "down_block_types": vec!["DownEncoderBlock2D"; 4],
        "up_block_types": vec!["UpDecoderBlock2D"; 4],
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": scale(version),
    })
}

/// Scaling factor of the VAE: latents are the encoder's output times this factor.
fn scale(version: Version) -> f64 {
    match version {
        Version::Sd1 | Version::Sd2 => 0.18215,
        Version::Xl | Version::Refiner => 0.13025,
    }
}

/// vae/config.json of an autoencoder with these tensors.
fn vae(part: &Part<'_>, version: Version) -> Value {
    let mut json = sizes_of_vae(part);
    json["scaling_factor"] = scale(version).into();
    json["norm_num_groups"] = 32.into();
    json
}

/// The entries of vae/config.json that follow from the shapes of tensors.
pub(super) fn sizes_of_vae(part: &Part<'_>) -> Value {
    let levels = part.count(|i| format!("decoder.up_blocks.{i}.resnets.0.norm1.weight"));
    let channels: Vec<usize> = (0..levels)
        .rev()
        .map(|i| part.size(&format!("decoder.up_blocks.{i}.resnets.0.conv1.weight"), 0))
        .collect();
    let layers = part.count(|j| format!("decoder.up_blocks.0.resnets.{j}.norm1.weight"));
    json!({
        "_class_name": "AutoencoderKL",
        "down_block_types": vec!["DownEncoderBlock2D"; levels],
        "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "block_out_channels": channels,
        "layers_per_block": layers.saturating_sub(1),
        "latent_channels": part.size("decoder.conv_in.weight", 1),
        "use_quant_conv": part.has("quant_conv.weight"),
        "use_post_quant_conv": part.has("post_quant_conv.weight"),
    })
}

/// Channels of the context that a UNet reads.
pub(super) fn context(part: &Part<'_>) -> usize {
    let name = part
        .0
        .keys()
        .find(|name| name.ends_with("attn2.to_k.weight"));
    name.map_or(0, |name| part.size(name, 1))
}

/// The tensors of a part and their shapes.
pub(super) struct Part<'a>(pub(super) &'a BTreeMap<String, TensorSpan>);

impl Part<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|place| !place.optional)
    }

    /// The length of an axis; 0 where the tensor or the axis is missing, which the network will
    /// say.
    pub(super) fn size(&self, name: &str, axis: usize) -> usize {
        self.0
            .get(name)
            .and_then(|place| place.entry.shape.get(axis))
            .copied()
            .unwrap_or(0)
    }

    fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|i| self.has(&name(*i))).count()
    }
}
