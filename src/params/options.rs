//! `Params`: the user's options, every field optional. One struct for the command line, TOML and
//! HTTP; `Request` resolves defaults, files and devices.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Seed;

/// The user's options. A field's doc comment is its help text; a missing field is decided by the
/// model or by [`super::Request::resolve`].
#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "brackets stand in help texts as they are"
)]
pub struct Params {
    /// Prompt; `-` reads it from stdin
    #[arg(value_name = "PROMPT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,

    /// Negative prompt
    #[arg(
        short,
        long,
        value_name = "TEXT",
        help_heading = "Picture",
        allow_hyphen_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,

    /// SDXL: what the second text encoder reads [default: the prompt]
    #[arg(long, value_name = "TEXT", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_2: Option<String>,

    /// SDXL: negative prompt for the second text encoder [default: the negative prompt]
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Picture",
        allow_hyphen_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt_2: Option<String>,

    /// Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as
    /// A1111) [default: plain]
    #[arg(long, value_name = "HOW", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_syntax: Option<String>,

    /// Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error
    /// [default: truncate]
    #[arg(long, value_name = "HOW", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<String>,

    /// Width in pixels, a multiple of 8 [default: the model's own]
    #[arg(short = 'W', long, value_name = "PX", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,

    /// Height in pixels, a multiple of 8 [default: the model's own]
    #[arg(short = 'H', long, value_name = "PX", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,

    /// Seed of the noise; image i uses seed + i; -1 is a random one [default: random, always
    /// printed]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Picture",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,

    /// Number of pictures [default: 1]
    #[arg(long, value_name = "N", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,

    /// Pictures per forward pass; changes speed and memory, never a picture [default: 1]
    #[arg(long, value_name = "N", help_heading = "Picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,

    /// Decode the latents that were kept in this file when a picture failed; the rest of the
    /// request is in it
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_latents: Option<String>,

    /// Start from this picture instead of noise alone
    #[arg(short = 'i', long, value_name = "PATH", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_image: Option<String>,

    /// Share of the steps that repaint it, above 0 to 1 [default: 0.8; with a mask 1]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Start picture"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,

    /// Steps that a strength leaves: their share rounded down, as diffusers, or one_more, as A1111
    /// [default: down]
    #[arg(long, value_name = "HOW", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength_steps: Option<String>,

    /// Fit of a picture of another shape: cover, contain or stretch [default: cover]
    #[arg(long, value_name = "HOW", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<String>,

    /// Latents of the picture: sample (drawn with the seed, as diffusers) or mode (the mean)
    /// [default: sample]
    #[arg(long, value_name = "KIND", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior: Option<String>,

    /// Repaint only where this picture is white, or `alpha`: where the start picture is transparent
    #[arg(long, value_name = "PATH", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,

    /// Blur the mask's edge by this many pixels
    #[arg(long, value_name = "PX", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_blur: Option<f64>,

    /// Blur it along columns by this many pixels [default: as --mask-blur]
    #[arg(long, value_name = "PX", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_blur_y: Option<f64>,

    /// Begin behind the mask with the original, a fill of the colours around, latent_noise or
    /// latent_nothing [default: original]
    #[arg(long, value_name = "KIND", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked_content: Option<String>,

    /// Grow the mask by this many pixels
    #[arg(long, value_name = "PX", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_grow: Option<u32>,

    /// Repaint where the mask is black instead
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Start picture"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invert_mask: Option<bool>,

    /// Put the pixels outside the mask back as they were
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Start picture"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_unmasked: Option<bool>,

    /// Render only the mask's surroundings, this many pixels around it, at full size, and paste
    /// them back
    #[arg(long, value_name = "PX", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_padding: Option<u32>,

    /// Paint beyond the start picture's edges: left=128,top=64; multiples of 8
    #[arg(long, value_name = "SIDE=PX,...", help_heading = "Start picture")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend: Option<String>,

    /// Let a control network look at a picture, or at its edges (canny:IMAGE); may be repeated.
    /// MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 where they are not
    /// given
    #[arg(
        long,
        value_name = "MODEL=[canny:]IMAGE[:SCALE[:START-END]]",
        help_heading = "Control",
        allow_hyphen_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Vec<String>>,

    /// Control by the picture more than by the prompt: the unconditional pass goes without, and
    /// fine details count less
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Control"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_guess: Option<bool>,

    /// Low and high threshold of canny:IMAGE, as OpenCV's [default: 100,200]
    #[arg(long, value_name = "LOW,HIGH", help_heading = "Control")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canny: Option<String>,

    /// IP-Adapter that reads --ip-image: a file with image_encoder/ beside it, a folder, or
    /// ORG/REPO[@REV]
    #[arg(long, value_name = "ADAPTER", help_heading = "Control")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_adapter: Option<String>,

    /// Picture that counts as a part of the prompt
    #[arg(long, value_name = "PATH", help_heading = "Control")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_image: Option<String>,

    /// Weight of the image prompt relative to the text prompt [default: 1]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Control",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_scale: Option<f64>,

    /// Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the
    /// Hugging Face hub [default: sd15]
    #[arg(short, long, value_name = "MODEL", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,

    /// For a model in one file: a folder, name or repository whose small files say what shapes do
    /// not, and whose weights stand in for parts that the file has not
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,

    /// For a distilled model whose files do not say so: turbo, lightning, hyper or lcm
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,

    /// SDXL: a model that draws the last steps, such as sdxl-refiner
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refiner: Option<String>,

    /// Share of the noise that the base model takes away before the refiner goes on, 0 to 1
    /// [default: 0.8]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Model",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refiner_start: Option<f64>,

    /// Another autoencoder: taesd (tiny and quick), a folder, a file, or ORG/REPO[@REV] [default:
    /// the model's own]
    #[arg(long, value_name = "VAE", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae: Option<String>,

    /// Prediction type, where the model's own files are wrong: epsilon, v or sample
    #[arg(long, value_name = "KIND", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,

    /// Skip the last N layers of the text encoder (diffusers' count: 1 is A1111's "clip skip 2")
    #[arg(long, value_name = "N", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<usize>,

    /// SDXL: `original_size` micro-conditioning [default: the picture's size]
    #[arg(long, value_name = "WxH", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_size: Option<String>,

    /// SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]
    #[arg(long, value_name = "TOP,LEFT", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,

    /// SDXL: `target_size` micro-conditioning [default: the picture's size]
    #[arg(long, value_name = "WxH", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_size: Option<String>,

    /// SDXL: --original-size for the negative prompt [default: the same]
    #[arg(long, value_name = "WxH", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_original_size: Option<String>,

    /// SDXL: --crop for the negative prompt [default: the same]
    #[arg(long, value_name = "TOP,LEFT", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_crop: Option<String>,

    /// SDXL: --target-size for the negative prompt [default: the same]
    #[arg(long, value_name = "WxH", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_target_size: Option<String>,

    /// LoRA merged into the model, repeated for several: a file, or ORG/REPO/FILE on the hub
    /// [default weight: 1]
    #[arg(long, value_name = "FILE[:WEIGHT]", help_heading = "Adapters")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Vec<String>>,

    /// Folder of the LoRAs that `<lora:NAME:WEIGHT>` in the prompt names
    #[arg(long, value_name = "DIR", help_heading = "Adapters")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_dir: Option<String>,

    /// Textual inversion, repeated for several: a file, or a folder of them; its name in a prompt
    /// is the word
    #[arg(long, value_name = "PATH", help_heading = "Adapters")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<String>>,

    /// Use what is in the cache and open no connection
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Model"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,

    /// Write the revision and the hash of every file of the models into a lock file
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Model",
        conflicts_with = "locked"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,

    /// Draw with the files that a lock file names, and refuse any other
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,

    /// Denoising steps, 1 to 1000 [default: the model's own]
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,

    /// Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model's own]
    #[arg(
        long,
        visible_alias = "guidance-scale",
        value_name = "X",
        help_heading = "Sampling",
        allow_negative_numbers = true
    )]
    #[serde(alias = "guidance_scale", skip_serializing_if = "Option::is_none")]
    pub cfg_scale: Option<f64>,

    /// Sampler [default: as the model's scheduler_config.json says]
    #[arg(long, value_name = "NAME", help_heading = "Sampling", value_parser = crate::schedulers::names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,

    /// Noise schedule [default: as the model says]
    #[arg(long, value_name = "NAME", help_heading = "Sampling", value_parser = crate::schedulers::schedule_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,

    /// Spacing of the timesteps [default: as the model or the sampler's class says]
    #[arg(long, value_name = "NAME", help_heading = "Sampling", value_parser = crate::schedulers::spacing_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_spacing: Option<String>,

    /// Noise levels one by one, the last being where the run ends: 14.6,5,1.5,0; steps follow from
    /// them
    #[arg(
        long,
        value_name = "X,...",
        help_heading = "Sampling",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,

    /// Timesteps one by one: 999,749,499,249; steps follow from them
    #[arg(
        long,
        value_name = "N,...",
        help_heading = "Sampling",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<usize>>,

    /// Rescale the model's noise so that its last timestep holds no signal [default: as the model
    /// says]
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Sampling"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_terminal_snr: Option<bool>,

    /// Pull the guided output back to the contrast of the unguided one, 0 to 1 [default: 0]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Sampling",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_rescale: Option<f64>,

    /// Part of the run with guidance, as fractions; the rest runs the prompt alone [default: 0..1]
    #[arg(
        long,
        value_name = "A..B",
        help_heading = "Sampling",
        allow_hyphen_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cfg_interval: Option<String>,

    /// Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the
    /// others [default: off; N: 3]
    #[arg(long, value_name = "HOW", help_heading = "Sampling")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,

    /// Faster, less exact: merge this share of the largest maps' tokens in self-attention, 0 to
    /// 0.75; CPU only [default: 0]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Sampling",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_tokens: Option<f64>,

    /// Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Sampling",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,

    /// Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]
    #[arg(long, value_name = "NAME", help_heading = "Sampling")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rng: Option<String>,

    /// Device: auto, cpu, cuda[:N] or metal [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,

    /// Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16
    /// elsewhere]
    #[arg(long, value_name = "TYPE", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,

    /// Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB"
    /// [default: auto]
    #[arg(long, value_name = "HOW", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,

    /// Decode in overlapping tiles: auto (where memory would not do), on or off [default: auto]
    #[arg(long, value_name = "HOW", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae_tiling: Option<String>,

    /// CPU threads [default: the physical cores this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,

    /// Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout
    /// [default: {model}-{seed}.png]
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,

    /// Show a small picture of what is coming after every N steps [default with --preview-dir: 1]
    #[arg(long, value_name = "N", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_every: Option<usize>,

    /// Folder for them, as {seed}-{step}.png
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_dir: Option<String>,

    /// Replace an existing file instead of choosing the next free name
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Output"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,

    /// Write no prompt and settings into the PNG
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Output"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_metadata: Option<bool>,
}

/// `top` over `base`: a field that `top` names wins.
///
/// Works on the serialised form, so that a new field needs no line here; numbers have to be finite
/// ([`not_finite`]).
pub fn overlay(base: &Params, top: &Params) -> Params {
    let (mut under, over) = (as_object(base), as_object(top));
    under.extend(over);
    // Invariant: both maps came out of `Params`, so the union goes back in.
    serde_json::from_value(under.into()).unwrap_or_default()
}

/// The first field with a number that is not finite, which the serialised form would lose.
pub fn not_finite(params: &Params) -> Option<String> {
    let lost = |value: &serde_json::Value| {
        value.is_null()
            || value
                .as_array()
                .is_some_and(|list| list.iter().any(serde_json::Value::is_null))
    };
    as_object(params)
        .into_iter()
        .find(|(_, value)| lost(value))
        .map(|(field, _)| field)
}

/// Returns true if a field has a value.
pub fn given(params: &Params, field: &str) -> bool {
    as_object(params).contains_key(field)
}

/// Fields that no image depends on: where and how it is computed, and where it goes.
const BYSTANDERS: &[&str] = &[
    "batch_size",
    "offline",
    "lock",
    "locked",
    "device",
    "memory",
    "threads",
    "output",
    "preview_every",
    "preview_dir",
    "overwrite",
    "no_metadata",
];

/// The part of `params` that no image depends on.
pub fn bystanders(params: &Params) -> Params {
    let kept = as_object(params)
        .into_iter()
        .filter(|(field, _)| BYSTANDERS.contains(&field.as_str()));
    let kept: serde_json::Map<_, _> = kept.collect();
    // Invariant: a part of what came out of `Params` goes back in.
    serde_json::from_value(kept.into()).unwrap_or_default()
}

pub(super) fn as_object(params: &Params) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(params) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_keeps_the_base_where_the_top_is_silent() {
        let base = Params {
            prompt: Some("a".into()),
            steps: Some(9),
            ..Params::default()
        };
        let top = Params {
            steps: Some(4),
            cfg_scale: Some(1.5),
            ..Params::default()
        };
        let both = overlay(&base, &top);
        assert_eq!(
            (both.prompt.as_deref(), both.steps, both.cfg_scale),
            (Some("a"), Some(4), Some(1.5))
        );
    }

    #[test]
    fn a_number_that_is_none_is_found() {
        let nan = Params {
            eta: Some(f64::NAN),
            ..Params::default()
        };
        assert_eq!(not_finite(&nan).as_deref(), Some("eta"));
        let listed = Params {
            sigmas: Some(vec![1.0, f64::INFINITY]),
            ..Params::default()
        };
        assert_eq!(not_finite(&listed).as_deref(), Some("sigmas"));
        assert_eq!(
            not_finite(&Params {
                eta: Some(1.0),
                ..Params::default()
            }),
            None
        );
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = toml::from_str::<Params>("stepz = 4").unwrap_err();
        assert!(error.to_string().contains("stepz"), "{error}");
    }
}
