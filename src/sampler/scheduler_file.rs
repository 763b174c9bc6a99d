//! What a model's scheduler_config.json says: its keys as diffusers writes them, and their readings as our types.
//! Which of them count for a sampler is `Config`'s business.

use serde::Deserialize;

use super::config::{Algorithm, Betas, Prediction, Schedule, Spacing};
use crate::error::{Error, Kind, Result};
use crate::named::Named;

/// The keys of a scheduler_config.json that matter here; each may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SchedulerFile {
    /// diffusers' class name.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    pub(super) num_train_timesteps: Option<usize>,
    pub(super) beta_start: Option<f64>,
    pub(super) beta_end: Option<f64>,
    pub(super) beta_schedule: Option<String>,
    pub(super) trained_betas: Option<Vec<f64>>,
    pub(super) prediction_type: Option<String>,
    pub(super) timestep_spacing: Option<Spacing>,
    pub(super) steps_offset: Option<usize>,
    pub(super) set_alpha_to_one: Option<bool>,
    pub(super) clip_sample: Option<bool>,
    pub(super) clip_sample_range: Option<f64>,
    pub(super) thresholding: Option<bool>,
    pub(super) rescale_betas_zero_snr: Option<bool>,
    pub(super) skip_prk_steps: Option<bool>,
    pub(super) use_karras_sigmas: Option<bool>,
    pub(super) use_exponential_sigmas: Option<bool>,
    pub(super) use_beta_sigmas: Option<bool>,
    pub(super) use_lu_lambdas: Option<bool>,
    pub(super) algorithm_type: Option<String>,
    pub(super) solver_order: Option<usize>,
    pub(super) solver_type: Option<String>,
    pub(super) lower_order_final: Option<bool>,
    pub(super) euler_at_final: Option<bool>,
    pub(super) final_sigmas_type: Option<String>,
    pub(super) predict_x0: Option<bool>,
    pub(super) disable_corrector: Option<Vec<usize>>,
    pub(super) variance_type: Option<String>,
    pub(super) original_inference_steps: Option<usize>,
    pub(super) timestep_scaling: Option<f64>,
    pub(super) interpolation_type: Option<String>,
    pub(super) timestep_type: Option<String>,
}

impl SchedulerFile {
    /// What the network predicts, as far as the file is right.
    pub fn predicts(&self) -> Option<Prediction> {
        self.prediction().ok()
    }

    /// Sets what diffusers' pipelines of 1.x and 2.x set whatever the file says: files older than these keys lack them,
    /// and their classes assume the opposite. Inpainting networks were never trained for a Runge-Kutta warm-up.
    pub(crate) fn put_right(&mut self, inpainting: bool) {
        self.steps_offset = Some(1);
        self.clip_sample = Some(false);
        if inpainting {
            self.skip_prk_steps = Some(true);
        }
    }

    /// Options that change the numbers and that no sampler here has.
    pub(super) fn check(&self) -> Result<()> {
        if self.thresholding == Some(true) {
            return Err(unsupported("thresholding", "true"));
        }
        match self.interpolation_type.as_deref() {
            None | Some("linear") => {}
            Some(other) => return Err(unsupported("interpolation_type", other)),
        }
        match self.variance_type.as_deref() {
            None | Some("fixed_small" | "fixed_small_log" | "fixed_large") => Ok(()),
            Some(other) => Err(unsupported("variance_type", other)),
        }
    }

    /// The schedule that the file turns on.
    pub(super) fn schedule(&self) -> Schedule {
        let rows = [
            (self.use_karras_sigmas, Schedule::Karras),
            (self.use_exponential_sigmas, Schedule::Exponential),
            (self.use_beta_sigmas, Schedule::Beta),
            (self.use_lu_lambdas, Schedule::Lu),
        ];
        rows.iter().find(|(key, _)| *key == Some(true)).map_or(Schedule::Normal, |row| row.1)
    }

    /// `algorithm_type` and `solver_order`; where the class does not read the algorithm, it counts as dpmsolver++.
    pub(super) fn variant(&self, reads_algorithm: bool) -> Result<(Algorithm, usize)> {
        // diffusers reads DEIS's own name as dpmsolver++ too.
        let named = self.algorithm_type.as_deref().filter(|name| reads_algorithm && *name != "deis");
        let algorithm = match named {
            None => Algorithm::DpmPlusPlus,
            Some(name) => Algorithm::parse("algorithm_type", name)
                .map_err(|error| unsupported("algorithm_type", name).source(error))?,
        };
        match self.solver_order.unwrap_or(2) {
            order @ 1..=3 => Ok((algorithm, order)),
            order => Err(unsupported("solver_order", &order.to_string())),
        }
    }

    pub(super) fn prediction(&self) -> Result<Prediction> {
        match self.prediction_type.as_deref() {
            None | Some("epsilon") => Ok(Prediction::Epsilon),
            Some("v_prediction") => Ok(Prediction::V),
            Some("sample") => Ok(Prediction::Sample),
            Some(other) => Err(unsupported("prediction_type", other)
                .hint("override it with `--prediction epsilon|v|sample`")),
        }
    }

    /// The curve of β; `scaled` is what a missing key means.
    pub(super) fn betas(&self, scaled: bool) -> Result<Betas> {
        if let Some(betas) = &self.trained_betas {
            return Ok(Betas::Trained(betas.clone()));
        }
        match self.beta_schedule.as_deref() {
            None if scaled => Ok(Betas::ScaledLinear),
            None | Some("linear") => Ok(Betas::Linear),
            Some("scaled_linear") => Ok(Betas::ScaledLinear),
            Some("squaredcos_cap_v2") => Ok(Betas::SquaredCosine),
            Some(other) => Err(unsupported("beta_schedule", other)),
        }
    }
}

fn unsupported(key: &str, value: &str) -> Error {
    Error::new(
        Kind::ModelFile,
        format!("scheduler_config.json: `{key}` is `{value}`, which sdgen does not implement"),
    )
}
