//! `Params`: the user's options, every one of them optional. One struct for the command line, TOML
//! and HTTP; [`super::Request`] resolves defaults, files and devices.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Adapter, Control, DeepCache, FromText, Interval, Memory, Pair, Parsed, Posterior, Seed,
    StrengthSteps, VaeTiling,
};
use crate::catalog::Preset;
use crate::device::{DeviceChoice, Dtype, Rng};
use crate::image::ImageSource;
use crate::imaging::{Extend, Fit, MaskedContent, Thresholds};
use crate::prompt::{LongPrompt, Syntax};
use crate::schedulers::{self, Prediction, Sampler, Schedule, Spacing};

/// Layers of optional values, such as flags over a file of defaults.
pub trait Combine {
    /// These values, and those of `other` where there are none.
    #[must_use]
    fn combine(self, other: Self) -> Self;
}

/// Other names of fields, as diffusers has them.
const ALIASES: [(&str, &str); 1] = [("guidance_scale", "cfg_scale")];

/// Parser of a flag whose values are a closed list.
fn named<T>(names: PossibleValuesParser) -> impl TypedValueParser<Value = Parsed<T>>
where
    T: FromText + Send + Sync + 'static,
{
    names.map(Parsed::from)
}

/// Declares the struct of options: the positional prompt, then the options under their headings in
/// `--help`. Each is optional and a long flag; a doc comment is its help text.
macro_rules! options {
    (
        $(#[$meta:meta])*
        $name:ident:
        $(#[$prompt_meta:meta])* $prompt:ident: $prompt_type:ty;
        $($heading:literal: $($(#[$field_meta:meta])* $field:ident: $type:ty),+;)+
    ) => {
        $(#[$meta])*
        #[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(#[$prompt_meta])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $prompt: Option<$prompt_type>,
            $($(
                $(#[$field_meta])*
                #[arg(long, help_heading = $heading)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+)+
        }

        impl Combine for $name {
            fn combine(self, other: Self) -> Self {
                Self {
                    $prompt: self.$prompt.or(other.$prompt),
                    $($($field: self.$field.or(other.$field),)+)+
                }
            }
        }

        impl $name {
            /// Name of every field.
            pub const FIELDS: &[&str] = &[stringify!($prompt), $($(stringify!($field)),+),+];

            /// Returns true if a field has a value.
            pub fn has(&self, field: &str) -> bool {
                match field {
                    stringify!($prompt) => self.$prompt.is_some(),
                    $($(stringify!($field) => self.$field.is_some(),)+)+
                    _ => false,
                }
            }

            /// Removes the value of a field.
            pub fn clear(&mut self, field: &str) {
                match field {
                    stringify!($prompt) => self.$prompt = None,
                    $($(stringify!($field) => self.$field = None,)+)+
                    _ => {}
                }
            }

            /// Sets a field to a JSON value; null removes its value.
            ///
            /// # Errors
            /// There is no such field, or it has another type.
            pub fn set(&mut self, field: &str, value: Value) -> serde_json::Result<()> {
                match field {
                    stringify!($prompt) => self.$prompt = serde_json::from_value(value)?,
                    $($(stringify!($field) => self.$field = serde_json::from_value(value)?,)+)+
                    _ => return Err(serde_json::Error::custom(format!("unknown field `{field}`"))),
                }
                Ok(())
            }
        }
    };
}

options! {
    /// The user's options. A missing one is decided by the model or by [`super::Request::resolve`].
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets stand in help texts as they are")]
    Params:

    /// Prompt; `-` reads it from stdin
    #[arg(value_name = "PROMPT")]
    prompt: String;

    "Picture":

    /// Negative prompt
    #[arg(short, value_name = "TEXT", allow_hyphen_values = true)]
    negative_prompt: String,

    /// SDXL: prompt for the second text encoder [default: the prompt]
    #[arg(value_name = "TEXT")]
    prompt_2: String,

    /// SDXL: negative prompt for the second text encoder [default: the negative prompt]
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    negative_prompt_2: String,

    /// Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as
    /// A1111) [default: plain]
    #[arg(value_name = "HOW")]
    prompt_syntax: Parsed<Syntax>,

    /// Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error
    /// [default: truncate]
    #[arg(value_name = "HOW")]
    long_prompt: Parsed<LongPrompt>,

    /// Width in pixels, a multiple of 8 [default: the model's own]
    #[arg(short = 'W', value_name = "PX")]
    width: u32,

    /// Height in pixels, a multiple of 8 [default: the model's own]
    #[arg(short = 'H', value_name = "PX")]
    height: u32,

    /// Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always
    /// printed]
    #[arg(value_name = "N", allow_negative_numbers = true)]
    seed: Seed,

    /// Number of images [default: 1]
    #[arg(value_name = "N")]
    count: u64,

    /// Images per forward pass; changes speed and memory, never an image [default: 1]
    #[arg(value_name = "N")]
    batch_size: usize;

    "Output":

    /// Decode the latents in this file, which a failed run kept with the rest of the request
    #[arg(value_name = "PATH")]
    from_latents: String;

    "Start picture":

    /// Initial image, to start from instead of noise alone
    #[arg(short = 'i', value_name = "PATH")]
    init_image: ImageSource,

    /// Denoising strength: share of the steps that change the initial image, above 0 to 1 [default:
    /// 0.8; with a mask 1]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    strength: f64,

    /// Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111
    /// [default: down]
    #[arg(value_name = "HOW")]
    strength_steps: Parsed<StrengthSteps>,

    /// Resize mode for an input image of another aspect ratio: cover, contain or stretch [default:
    /// cover]
    #[arg(value_name = "HOW")]
    fit: Parsed<Fit>,

    /// Latents of the initial image: sample (from the VAE's distribution with the seed, as
    /// diffusers) or mode (its mean) [default: sample]
    #[arg(value_name = "KIND")]
    posterior: Parsed<Posterior>,

    /// Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of
    /// the initial image
    #[arg(value_name = "PATH")]
    mask: ImageSource,

    /// Standard deviation of a Gaussian blur of the mask, in pixels
    #[arg(value_name = "PX")]
    mask_blur: f64,

    /// Blur of the mask along columns, in pixels [default: as --mask-blur]
    #[arg(value_name = "PX")]
    mask_blur_y: f64,

    /// Initial content of the masked area: original, fill (the colours around it), latent_noise or
    /// latent_nothing [default: original]
    #[arg(value_name = "KIND")]
    masked_content: Parsed<MaskedContent>,

    /// Grow the mask by this many pixels
    #[arg(value_name = "PX")]
    mask_grow: u32,

    /// Repaint where the mask is black
    #[arg(num_args = 0, default_missing_value = "true")]
    invert_mask: bool,

    /// Restore the pixels outside the mask from the initial image
    #[arg(num_args = 0, default_missing_value = "true")]
    keep_unmasked: bool,

    /// Inpaint the masked area only: this many pixels around it are rendered at full size and
    /// pasted back
    #[arg(value_name = "PX")]
    mask_padding: u32,

    /// Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8
    #[arg(value_name = "SIDE=PX,...")]
    extend: Parsed<Extend>;

    "Control":

    /// ControlNet with its conditioning image, or with the image's edges (canny:IMAGE); may be
    /// repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by
    /// default
    #[arg(value_name = "MODEL=[canny:]IMAGE[:SCALE[:START-END]]", allow_hyphen_values = true)]
    control: Vec<Parsed<Control>>,

    /// Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks
    /// are weighted less
    #[arg(num_args = 0, default_missing_value = "true")]
    control_guess: bool,

    /// Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]
    #[arg(value_name = "LOW,HIGH")]
    canny: Parsed<Thresholds>,

    /// IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or
    /// ORG/REPO[@REV]
    #[arg(value_name = "ADAPTER")]
    ip_adapter: String,

    /// Image prompt of the IP-Adapter
    #[arg(value_name = "PATH")]
    ip_image: ImageSource,

    /// Weight of the image prompt relative to the text prompt [default: 1]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    ip_scale: f64;

    "Model":

    /// Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the
    /// Hugging Face hub [default: sd15]
    #[arg(short, value_name = "MODEL")]
    model: String,

    /// For a model in one file: folder, name or repository whose config files are used where the
    /// tensors are ambiguous, and whose weights replace missing parts
    #[arg(value_name = "MODEL")]
    config: String,

    /// Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm
    #[arg(value_name = "NAME")]
    preset: Parsed<&'static Preset>,

    /// SDXL: model for the last steps, such as sdxl-refiner
    #[arg(value_name = "MODEL")]
    refiner: String,

    /// Share of the noise that the base model removes before the refiner takes over, 0 to 1
    /// [default: 0.8]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    refiner_start: f64,

    /// Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the
    /// model's own]
    #[arg(value_name = "VAE")]
    vae: String,

    /// Prediction type, where the model's own files are wrong: epsilon, v or sample
    #[arg(value_name = "KIND")]
    prediction: Parsed<Prediction>,

    /// Skip the last N layers of the text encoder (diffusers' count: 1 is A1111's "clip skip 2")
    #[arg(value_name = "N")]
    clip_skip: usize,

    /// SDXL: `original_size` micro-conditioning [default: the image's size]
    #[arg(value_name = "WxH")]
    original_size: Parsed<Pair<'x'>>,

    /// SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]
    #[arg(value_name = "TOP,LEFT")]
    crop: Parsed<Pair<','>>,

    /// SDXL: `target_size` micro-conditioning [default: the image's size]
    #[arg(value_name = "WxH")]
    target_size: Parsed<Pair<'x'>>,

    /// SDXL: --original-size for the negative prompt [default: the same]
    #[arg(value_name = "WxH")]
    negative_original_size: Parsed<Pair<'x'>>,

    /// SDXL: --crop for the negative prompt [default: the same]
    #[arg(value_name = "TOP,LEFT")]
    negative_crop: Parsed<Pair<','>>,

    /// SDXL: --target-size for the negative prompt [default: the same]
    #[arg(value_name = "WxH")]
    negative_target_size: Parsed<Pair<'x'>>;

    "Adapters":

    /// LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default
    /// weight: 1]
    #[arg(value_name = "FILE[:WEIGHT]")]
    lora: Vec<Parsed<Adapter>>,

    /// Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts
    #[arg(value_name = "DIR")]
    lora_dir: String,

    /// Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated
    #[arg(value_name = "PATH")]
    embedding: Vec<String>;

    "Model":

    /// Use the cache only, and open no connection
    #[arg(num_args = 0, default_missing_value = "true")]
    offline: bool,

    /// Write the revision and the hash of every file of the models into a lock file
    #[arg(value_name = "FILE", conflicts_with = "locked")]
    lock: String,

    /// Use the files that a lock file names, and refuse any other
    #[arg(value_name = "FILE")]
    locked: String;

    "Sampling":

    /// Denoising steps, 1 to 1000 [default: the model's own]
    #[arg(value_name = "N")]
    steps: usize,

    /// Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model's own]
    #[arg(visible_alias = "guidance-scale", value_name = "X", allow_negative_numbers = true)]
    #[serde(alias = "guidance_scale")]
    cfg_scale: f64,

    /// Sampler [default: from the model's scheduler_config.json]
    #[arg(value_name = "NAME", value_parser = named::<Sampler>(schedulers::names()))]
    sampler: Parsed<Sampler>,

    /// Noise schedule [default: the model's own]
    #[arg(value_name = "NAME", value_parser = named::<Schedule>(schedulers::schedule_names()))]
    schedule: Parsed<Schedule>,

    /// Spacing of the timesteps [default: the model's own, or that of the sampler's class]
    #[arg(value_name = "NAME", value_parser = named::<Spacing>(schedulers::spacing_names()))]
    timestep_spacing: Parsed<Spacing>,

    /// Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set
    /// --steps
    #[arg(value_name = "X,...", value_delimiter = ',')]
    sigmas: Vec<f64>,

    /// Timesteps of all steps: 999,749,499,249; they set --steps
    #[arg(value_name = "N,...", value_delimiter = ',')]
    timesteps: Vec<usize>,

    /// Rescale the noise schedule to zero terminal SNR [default: the model's own]
    #[arg(num_args = 0, default_missing_value = "true")]
    zero_terminal_snr: bool,

    /// Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1
    /// [default: 0]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    guidance_rescale: f64,

    /// Part of the run with guidance, as fractions; the rest runs without the unconditional pass
    /// [default: 0..1]
    #[arg(value_name = "A..B", allow_hyphen_values = true)]
    cfg_interval: Parsed<Interval>,

    /// Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the
    /// others [default: off; N: 3]
    #[arg(value_name = "HOW")]
    cache: Parsed<DeepCache>,

    /// Faster, less exact: merge this share of the largest maps' tokens in self-attention, 0 to
    /// 0.75; CPU only [default: 0]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    merge_tokens: f64,

    /// Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]
    #[arg(value_name = "X", allow_negative_numbers = true)]
    eta: f64,

    /// Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]
    #[arg(value_name = "NAME")]
    rng: Parsed<Rng>;

    "Machine":

    /// Device: auto, cpu, cuda[:N] or metal [default: auto]
    #[arg(value_name = "DEVICE")]
    device: Parsed<DeviceChoice>,

    /// Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16
    /// elsewhere]
    #[arg(value_name = "TYPE")]
    dtype: Parsed<Dtype>,

    /// Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB"
    /// [default: auto]
    #[arg(value_name = "HOW")]
    memory: Parsed<Memory>,

    /// Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]
    #[arg(value_name = "HOW")]
    vae_tiling: Parsed<VaeTiling>,

    /// CPU threads [default: the physical cores this process may use]
    #[arg(value_name = "N")]
    threads: usize;

    "Output":

    /// Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout
    /// [default: {model}-{seed}.png]
    #[arg(short, value_name = "PATH")]
    output: String,

    /// Save a small preview after every N steps [default with --preview-dir: 1]
    #[arg(value_name = "N")]
    preview_every: usize,

    /// Folder for previews, as {seed}-{step}.png
    #[arg(value_name = "DIR")]
    preview_dir: String,

    /// Replace an existing file instead of choosing the next free name
    #[arg(num_args = 0, default_missing_value = "true")]
    overwrite: bool,

    /// Write images without prompt and settings
    #[arg(num_args = 0, default_missing_value = "true")]
    no_metadata: bool;
}

/// Fields that no image depends on: where and how it is computed, and where it goes.
const EXECUTION: &[&str] = &[
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

impl Params {
    /// The field with this name or alias.
    pub fn field(name: &str) -> Option<&'static str> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, field)| field);
        Self::FIELDS.iter().copied().find(|field| *field == name)
    }

    /// The fields that have a value.
    pub fn given(&self) -> impl Iterator<Item = &'static str> {
        let fields = Self::FIELDS.iter().copied();
        fields.filter(|field| self.has(field))
    }

    /// These options without those whose field is not in `fields`.
    #[must_use]
    pub fn only(mut self, fields: &[&str]) -> Self {
        for field in Self::FIELDS.iter().filter(|field| !fields.contains(field)) {
            self.clear(field);
        }
        self
    }

    /// The options that no image depends on: where and how it is computed, and where it goes.
    #[must_use]
    pub fn execution(&self) -> Self {
        self.clone().only(EXECUTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combining_keeps_the_lower_layer_where_the_upper_one_is_silent() {
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
        let both = top.combine(base);
        assert_eq!(
            (both.prompt.as_deref(), both.steps, both.cfg_scale),
            (Some("a"), Some(4), Some(1.5))
        );
    }

    #[test]
    fn a_field_is_set_and_cleared_by_its_name() {
        let mut params = Params::default();
        params.set("steps", 3.into()).unwrap();
        assert_eq!(params.given().collect::<Vec<_>>(), ["steps"]);
        assert!(params.set("steps", "many".into()).is_err());
        params.clear("steps");
        assert_eq!(params, Params::default());
        assert_eq!(Params::field("guidance_scale"), Some("cfg_scale"));
        assert_eq!(Params::field("stepz"), None);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = toml::from_str::<Params>("stepz = 4").unwrap_err();
        assert!(error.to_string().contains("stepz"), "{error}");
    }
}
