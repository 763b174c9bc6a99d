//! Families of models: everything that differs from one family to another, as data. No other module
//! asks which family a model is of; it reads the property that it needs.
//!
//! Adding a family: one file with its [`FamilySpec`], its `mod` line and its line in [`FAMILIES`].

mod latent_format;
mod sd;
mod sdxl;

use std::fmt;
use std::ops::Deref;

pub use latent_format::{LatentFormat, LatentRgb, LatentStatistics, Moments};

use crate::schedulers::AlignedSteps;

/// Every family.
pub static FAMILIES: &[Family] = &[Family::SD, Family::SDXL];

/// A family of models; dereferences to its data.
#[derive(Clone, Copy)]
pub struct Family(&'static FamilySpec);

/// Properties that all models of a family share.
pub struct FamilySpec {
    /// Identifier.
    pub name: &'static str,
    /// Name in messages.
    pub title: &'static str,
    /// diffusers' pipeline classes, without `Pipeline`, `Img2ImgPipeline` or `InpaintPipeline`.
    pub pipelines: &'static [&'static str],
    /// Conditioning by text.
    pub text: TextRecipe,
    /// Latents of its models.
    pub latents: LatentFormat,
    /// `guidance_scale` of diffusers' pipeline for text and for start images, if it is not the usual
    /// 7.5.
    pub cfg_scale: Option<f64>,
    /// Align Your Steps' timesteps.
    pub aligned_steps: &'static AlignedSteps,
    /// True if diffusers' pipelines replace outdated values of scheduler_config.json (`steps_offset`,
    /// `clip_sample`).
    pub repairs_scheduler: bool,
    /// True if a refiner can take over the latents of a base model, or be one.
    pub has_refiners: bool,
    /// Hugging Face repository of the tiny autoencoder (TAESD).
    pub tiny_autoencoder: &'static str,
    /// Weights of an IP-Adapter in the folders of its makers' repository, in order of preference.
    pub ip_adapters: &'static [&'static str],
    /// Marks of a LoRA that was made for this family.
    pub lora: LoraMarks,
}

/// Text to conditioning.
pub struct TextRecipe {
    /// Hidden state that the denoising network attends to.
    pub state: TextState,
    /// True if there is a second text encoder, whose states are appended channel by channel and
    /// whose pooled output conditions the network too.
    pub second_encoder: bool,
    /// True if sizes and crop, or an aesthetic score, are part of the conditioning (Podell et al.
    /// 2023, section 2.2).
    pub micro_conditioning: bool,
}

/// Hidden state of a text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextState {
    /// The last layer's, after the final norm.
    LastNormed,
    /// The last layer's but one, without the final norm.
    Penultimate,
}

/// Marks of a LoRA file by which its family is recognised.
pub struct LoraMarks {
    /// Starts of tensor names.
    pub prefixes: &'static [&'static str],
    /// Fragments of the base model's name in the header, in lower case.
    pub fragments: &'static [&'static str],
    /// Starts of the base model's name in the header, in lower case.
    pub starts: &'static [&'static str],
}

impl Family {
    /// Stable Diffusion 1.x and 2.x, and latent consistency models of them.
    pub const SD: Self = Self(&sd::SPEC);
    /// Stable Diffusion XL and its refiner.
    pub const SDXL: Self = Self(&sdxl::SPEC);

    /// The family of a pipeline class of diffusers. Text, start image or mask is the request's
    /// choice, so the ending of the class does not count.
    pub fn of_pipeline(class: &str) -> Option<Self> {
        let stem = ["InpaintPipeline", "Img2ImgPipeline", "Pipeline"]
            .iter()
            .find_map(|end| class.strip_suffix(end))?;
        FAMILIES
            .iter()
            .find(|family| family.pipelines.contains(&stem))
            .copied()
    }

    /// The family of a LoRA by the names of its tensors' modules and the base model that its header
    /// names.
    pub fn of_lora<'a>(
        mut modules: impl Iterator<Item = &'a str>,
        base_model: Option<&str>,
    ) -> Option<Self> {
        let by_name = modules.find_map(|module| {
            FAMILIES.iter().find(|family| {
                let prefixes = family.lora.prefixes;
                prefixes.iter().any(|prefix| module.starts_with(prefix))
            })
        });
        let base_model = base_model.map(str::to_lowercase);
        let by_header = || {
            let name = base_model.as_deref()?;
            let contains = |family: &&Family| {
                let fragments = family.lora.fragments;
                fragments.iter().any(|fragment| name.contains(fragment))
            };
            let starts = |family: &&Family| {
                let starts = family.lora.starts;
                starts.iter().any(|start| name.starts_with(start))
            };
            let fragment = FAMILIES.iter().find(contains);
            fragment.or_else(|| FAMILIES.iter().find(starts))
        };
        by_name.or_else(by_header).copied()
    }
}

impl Deref for Family {
    type Target = FamilySpec;

    fn deref(&self) -> &FamilySpec {
        self.0
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Family {}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_are_of_a_family_whatever_they_start_from() {
        for class in [
            "StableDiffusionPipeline",
            "StableDiffusionInpaintPipeline",
            "LatentConsistencyModelPipeline",
        ] {
            assert_eq!(Family::of_pipeline(class), Some(Family::SD), "{class}");
        }
        let xl = Family::of_pipeline("StableDiffusionXLImg2ImgPipeline");
        assert_eq!(xl, Some(Family::SDXL));
        assert_eq!(Family::of_pipeline("KandinskyPipeline"), None);
        assert_eq!(Family::of_pipeline("StableDiffusion"), None);
    }

    #[test]
    fn a_lora_tells_its_family_by_module_names_before_its_header() {
        let family =
            |modules: &[&'static str], header| Family::of_lora(modules.iter().copied(), header);
        assert_eq!(family(&["lora_te2_x"], Some("sd_1.5")), Some(Family::SDXL));
        assert_eq!(family(&["x"], Some("SDXL_base_v1-0")), Some(Family::SDXL));
        assert_eq!(
            family(&["x"], Some("stable-diffusion-v1/lora")),
            Some(Family::SD)
        );
        assert_eq!(family(&["x"], Some("stable-diffusion-3")), None);
        assert_eq!(family(&["x"], None), None);
    }
}
