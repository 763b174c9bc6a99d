//! Default values of options that the user leaves out: from a preset, from a known version's row of
//! models.toml, or else from the model's family.

use super::Params;
use crate::registry::{Inputs, ModelSpec, Preset, RepoConfig};
use crate::schedulers::Grid;
use crate::schedulers::{Sampler, Schedule, Spacing};

/// Recommended values; those that are absent are left to the model's own files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) size: Option<u32>,
    pub(super) steps: Option<usize>,
    pub(super) cfg_scale: Option<f64>,
    sampler: Option<Sampler>,
    schedule: Option<Schedule>,
    timestep_spacing: Option<Spacing>,
}

impl From<&ModelSpec> for Defaults {
    fn from(spec: &ModelSpec) -> Self {
        Self {
            size: Some(spec.size),
            steps: Some(spec.steps),
            cfg_scale: Some(spec.cfg_scale),
            sampler: spec.sampler,
            schedule: spec.schedule,
            timestep_spacing: spec.timestep_spacing,
        }
    }
}

/// Defaults of diffusers' pipelines, for a model that no row describes.
impl From<&RepoConfig> for Defaults {
    fn from(repo: &RepoConfig) -> Self {
        let (steps, cfg_scale) = match (repo.latent_consistency, repo.inputs) {
            (true, _) => (Some(4), Some(8.5)),
            (false, Inputs::Latents) => (None, repo.family.cfg_scale),
            (false, Inputs::Inpainting) => (None, None),
        };
        Self {
            steps,
            cfg_scale,
            ..Self::default()
        }
    }
}

impl From<&Preset> for Defaults {
    fn from(preset: &Preset) -> Self {
        Self {
            size: preset.size,
            steps: Some(preset.steps),
            cfg_scale: Some(preset.cfg_scale),
            sampler: Some(preset.sampler),
            schedule: preset.schedule,
            timestep_spacing: preset.timestep_spacing,
        }
    }
}

impl Defaults {
    /// `params` with the recommended sampler, schedule and timestep spacing where the user gave
    /// none. The recommended schedule does not apply to a sampler or a list of levels of the user's
    /// own, nor the recommended spacing to samplers on a distillation grid.
    pub(super) fn fill(&self, params: &Params) -> Params {
        let mut params = params.clone();
        if params.sampler.is_none() {
            params.sampler = self.sampler.map(|sampler| sampler.to_string());
            let listed = params.sigmas.is_some() || params.timesteps.is_some();
            let schedule = self
                .schedule
                .filter(|_| !listed)
                .map(|schedule| schedule.to_string());
            params.schedule = params.schedule.or(schedule);
        }
        let sampler = params
            .sampler
            .as_deref()
            .and_then(|name| Sampler::parse("sampler", name).ok());
        let distilled = sampler.is_some_and(|sampler| sampler.row().grid == Grid::Distilled);
        let spacing = self
            .timestep_spacing
            .filter(|_| !distilled)
            .map(|spacing| spacing.to_string());
        params.timestep_spacing = params.timestep_spacing.or(spacing);
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::models;

    fn filled(model: &str, params: &Params) -> Params {
        let spec = models().iter().find(|spec| spec.name == model).unwrap();
        Defaults::from(spec).fill(params)
    }

    #[test]
    fn a_row_fills_what_the_user_left_open() {
        let turbo = filled("sdxl-turbo", &Params::default());
        assert_eq!(turbo.sampler.as_deref(), Some("euler_a"));
        assert_eq!(turbo.timestep_spacing.as_deref(), Some("trailing"));
        let own = Params {
            sampler: Some("lcm".into()),
            ..Params::default()
        };
        assert_eq!(filled("sdxl-turbo", &own), own);
        assert_eq!(filled("sd15", &Params::default()), Params::default());
    }

    #[test]
    fn a_preset_does_what_the_row_of_the_same_model_does() {
        let preset = Defaults::from(Preset::parse("turbo").unwrap());
        assert_eq!(
            preset.fill(&Params::default()),
            filled("sdxl-turbo", &Params::default())
        );
        assert_eq!(
            (preset.size, preset.steps, preset.cfg_scale),
            (Some(512), Some(1), Some(0.0))
        );
    }
}
