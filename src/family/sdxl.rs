//! Stable Diffusion XL: the last states but one of two text encoders, a pooled prompt, and sizes.

use super::{FamilySpec, LatentFormat, LatentRgb, LoraMarks, TextRecipe, TextState};
use crate::schedulers::AlignedSteps;

pub(super) static SPEC: FamilySpec = FamilySpec {
    name: "sdxl",
    title: "SDXL",
    pipelines: &["StableDiffusionXL"],
    text: TextRecipe {
        state: TextState::Penultimate,
        second_encoder: true,
        micro_conditioning: true,
    },
    latents: LatentFormat {
        scaling_factor: 0.13025,
        reads_statistics: true,
        reads_force_upcast: true,
        // T. A. Vass's fit ("Explaining the SDXL latent space", Hugging Face blog, 2023).
        rgb: LatentRgb {
            factors: &[
                [60.0, 60.0, 60.0],
                [-60.0, -5.0, 10.0],
                [25.0, 15.0, -5.0],
                [-70.0, -50.0, -35.0],
            ],
            bias: [150.0, 140.0, 130.0],
        },
    },
    cfg_scale: Some(5.0),
    aligned_steps: &ALIGNED_STEPS,
    repairs_scheduler: false,
    has_refiners: true,
    tiny_autoencoder: "madebyollin/taesdxl",
    ip_adapters: &[
        "sdxl_models/ip-adapter_sdxl.safetensors",
        "ip-adapter_sdxl.safetensors",
    ],
    lora: LoraMarks {
        prefixes: &["lora_te2_", "text_encoder_2.", "text_encoders.clip_g."],
        fragments: &["xl"],
        starts: &[],
    },
};

/// Align Your Steps for SDXL (Sabour et al. 2024, appendix).
static ALIGNED_STEPS: AlignedSteps = [
    999.0, 845.0, 730.0, 587.0, 443.0, 310.0, 193.0, 116.0, 53.0, 13.0, 0.0,
];
