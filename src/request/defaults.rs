//! What a known version's row of models.toml says where the user says nothing.

use super::Params;
use crate::registry::ModelSpec;
use crate::sampler::Sampler;
use crate::sampler::schedule::Grid;

/// `params` with the sampling that the row asks for. What the user chose leads: a schedule or spacing of the row
/// counts with lists of levels or samplers that have their own as little as with the user's own wish.
pub(super) fn with_defaults(params: &Params, spec: Option<&ModelSpec>) -> Params {
    let mut params = params.clone();
    let Some(spec) = spec else { return params };
    if params.sampler.is_none() {
        params.sampler = spec.sampler.map(|sampler| sampler.to_string());
        let listed = params.sigmas.is_some() || params.timesteps.is_some();
        let schedule = spec.schedule.filter(|_| !listed).map(|schedule| schedule.to_string());
        params.schedule = params.schedule.or(schedule);
    }
    let sampler = params.sampler.as_deref().and_then(|name| Sampler::parse("sampler", name).ok());
    let distilled = sampler.is_some_and(|sampler| sampler.row().grid == Grid::Distilled);
    let spacing = spec.timestep_spacing.filter(|_| !distilled).map(|spacing| spacing.to_string());
    params.timestep_spacing = params.timestep_spacing.or(spacing);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::models;

    fn filled(model: &str, params: &Params) -> Params {
        with_defaults(params, models().iter().find(|spec| spec.name == model))
    }

    #[test]
    fn a_row_fills_what_the_user_left_open() {
        let turbo = filled("sdxl-turbo", &Params::default());
        assert_eq!(turbo.sampler.as_deref(), Some("euler_a"));
        assert_eq!(turbo.timestep_spacing.as_deref(), Some("trailing"));
        let own = Params { sampler: Some("lcm".into()), ..Params::default() };
        assert_eq!(filled("sdxl-turbo", &own), own);
        assert_eq!(filled("sd15", &Params::default()), Params::default());
    }
}
