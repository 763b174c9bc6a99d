//! A model's scheduler_config.json: its keys as diffusers writes them, and their conversion to
//! types of sdgen. The choice of the keys that apply to a sampler is up to `Config`.

use serde::Deserialize;

use super::types::{Algorithm, Betas, Prediction, Schedule, Spacing};
use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;

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
    pub(super) sigma_min: Option<f64>,
    pub(super) sigma_max: Option<f64>,
    pub(super) sigma_data: Option<f64>,
    pub(super) sigma_schedule: Option<String>,
    pub(super) rho: Option<f64>,
    pub(super) use_flow_sigmas: Option<bool>,
    pub(super) use_dynamic_shifting: Option<bool>,
    pub(super) lambda_min_clipped: Option<f64>,
    pub(super) solver_p: Option<serde_json::Value>,
}

impl SchedulerFile {
    /// Prediction type of the network; none if the file names an unknown one.
    pub fn predicts(&self) -> Option<Prediction> {
        self.prediction().ok()
    }

    /// Sets the values that diffusers' pipelines of 1.x and 2.x set whatever the file says: files
    /// older than these keys lack them, and their classes assume the opposite. Inpainting networks
    /// were never trained for a Runge-Kutta warm-up.
    pub(crate) fn apply_pipeline_overrides(&mut self, inpainting: bool) {
        self.steps_offset = Some(1);
        self.clip_sample = Some(false);
        if inpainting {
            self.skip_prk_steps = Some(true);
        }
    }

    /// Returns true if the file rescales β to zero terminal SNR.
    pub fn rescales(&self) -> bool {
        self.rescale_betas_zero_snr == Some(true)
    }

    /// diffusers' class; the oldest files name none.
    pub(super) fn class(&self) -> &str {
        self.class_name.as_deref().unwrap_or("PNDMScheduler")
    }

    /// Reads the file as one of `class`; returns the class that it names itself, if another.
    pub fn read_as(&mut self, class: String) -> Option<String> {
        let own = self.class_name.replace(class);
        own.filter(|own| self.class_name.as_ref() != Some(own))
    }

    /// Returns true if the class is one for networks with EDM preconditioning.
    pub fn is_edm(&self) -> bool {
        matches!(
            self.class(),
            "EDMEulerScheduler" | "EDMDPMSolverMultistepScheduler"
        )
    }

    /// Returns true if a network with v-prediction gets ¼ ln σ as its timestep.
    pub(super) fn has_continuous_time(&self) -> bool {
        self.class() == "EulerDiscreteScheduler"
            && self.timestep_type.as_deref() == Some("continuous")
    }

    /// The schedule that the file turns on, as `class` reads it.
    pub(super) fn schedule(&self, class: Option<&str>) -> Result<Schedule> {
        let lu = self
            .use_lu_lambdas
            .filter(|_| class == Some("DPMSolverMultistepScheduler"));
        let rows = [
            (
                "use_karras_sigmas",
                self.use_karras_sigmas,
                Schedule::Karras,
            ),
            ("use_lu_lambdas", lu, Schedule::Lu),
            (
                "use_exponential_sigmas",
                self.use_exponential_sigmas,
                Schedule::Exponential,
            ),
            ("use_beta_sigmas", self.use_beta_sigmas, Schedule::Beta),
        ];
        let on: Vec<_> = rows
            .iter()
            .filter(|(_, key, _)| *key == Some(true))
            .collect();
        match on.as_slice() {
            [] => Ok(Schedule::Normal),
            [first] => Ok(first.2),
            // diffusers allows `use_lu_lambdas` together with another.
            [first, _] if lu == Some(true) => Ok(first.2),
            [first, second, ..] => Err(Error::new(
                Kind::ModelFile,
                format!(
                    "scheduler_config.json: `{}` and `{}` exclude each other",
                    first.0, second.0
                ),
            )
            .hint("choose a schedule with `--schedule`")),
        }
    }

    /// The schedule of a file for networks with EDM preconditioning.
    pub(super) fn sigma_schedule(&self) -> Result<Schedule> {
        match self.sigma_schedule.as_deref() {
            None | Some("karras") => Ok(Schedule::Karras),
            Some("exponential") => Ok(Schedule::Exponential),
            Some(other) => Err(unsupported("sigma_schedule", other)),
        }
    }

    /// `sigma_max` and `sigma_min`, between which respaced levels lie.
    pub(super) fn sigma_range(&self) -> Result<[Option<f64>; 2]> {
        let (high, low) = (self.sigma_max, self.sigma_min);
        let bad =
            |sigma: Option<f64>| sigma.is_some_and(|sigma| !(sigma > 0.0 && sigma.is_finite()));
        if bad(high) || bad(low) || high.zip(low).is_some_and(|(high, low)| low >= high) {
            let shown = |sigma: Option<f64>| {
                sigma.map_or_else(|| "nothing".to_owned(), |sigma| sigma.to_string())
            };
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "scheduler_config.json: `sigma_min` {} and `sigma_max` {} are no range of noise",
                    shown(low),
                    shown(high)
                ),
            ));
        }
        Ok([high, low])
    }

    /// `algorithm_type` and `solver_order`; where the class does not read the algorithm, it counts
    /// as dpmsolver++.
    pub(super) fn variant(&self, reads_algorithm: bool) -> Result<(Algorithm, usize)> {
        // diffusers reads DEIS's own name as dpmsolver++ too.
        let named = self
            .algorithm_type
            .as_deref()
            .filter(|name| reads_algorithm && *name != "deis");
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

    /// The curve of β; with `scaled`, a missing key means `scaled_linear`, else `linear`.
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

pub(super) fn unsupported(key: &str, value: &str) -> Error {
    Error::new(
        Kind::ModelFile,
        format!("scheduler_config.json: `{key}` is `{value}`, which sdgen does not implement"),
    )
}
