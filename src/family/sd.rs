//! Stable Diffusion 1.x and 2.x: the last state of one text encoder.

use super::{FamilySpec, LatentFormat, LatentRgb, LoraMarks, TextRecipe, TextState};
use crate::schedulers::ALIGNED_STEPS;

pub(super) static SPEC: FamilySpec = FamilySpec {
    name: "sd",
    title: "Stable Diffusion 1 or 2",
    pipelines: &["StableDiffusion", "LatentConsistencyModel"],
    text: TextRecipe {
        state: TextState::LastNormed,
        second_encoder: false,
        micro_conditioning: false,
    },
    latents: LatentFormat {
        scaling_factor: 0.18215,
        reads_statistics: false,
        reads_force_upcast: false,
        // J. Turner's fit ("Decoding latents to RGB without upscaling", Hugging Face forum, 2022),
        // whose result lies in −1..1, in 255ths.
        rgb: LatentRgb {
            factors: &[
                [0.298 * 127.5, 0.207 * 127.5, 0.208 * 127.5],
                [0.187 * 127.5, 0.286 * 127.5, 0.173 * 127.5],
                [-0.158 * 127.5, 0.189 * 127.5, 0.264 * 127.5],
                [-0.184 * 127.5, -0.271 * 127.5, -0.473 * 127.5],
            ],
            bias: [127.5; 3],
        },
    },
    cfg_scale: None,
    aligned_steps: &ALIGNED_STEPS,
    repairs_scheduler: true,
    has_refiners: false,
    tiny_autoencoder: "madebyollin/taesd",
    ip_adapters: &[
        "models/ip-adapter_sd15.safetensors",
        "ip-adapter_sd15.safetensors",
    ],
    lora: LoraMarks {
        prefixes: &[],
        fragments: &[],
        starts: &["sd_", "stable-diffusion-v"],
    },
};
