//! Noise of another kind than a list of β, as files of one piece say it: Playground v2.5's keys,
//! which also hold the scale of its latents, and CosXL's. diffusers and ComfyUI know both by these
//! names.

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::family::Moments;
use crate::schedulers::{Edm, Prediction};
use crate::tensor_file::{Directory, TensorFile};

pub(super) const MEAN: &str = "edm_mean";
pub(super) const STD: &str = "edm_std";
pub(super) const SIGMA_MAX: &str = "edm_vpred.sigma_max";
pub(super) const SIGMA_MIN: &str = "edm_vpred.sigma_min";

/// A network with EDM preconditioning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Noise {
    /// Playground v2.5: its range is known, and its latents have these moments.
    Standardised(Moments),
    /// CosXL: it predicts velocities, between these levels, the lowest first.
    Velocities([f64; 2]),
}

/// Playground v2.5's range and preconditioning (diffusers, `single_file_utils.py`).
pub(super) const PLAYGROUND: Edm = Edm {
    sigma_min: 0.002,
    sigma_max: 80.0,
    sigma_data: 0.5,
    rho: 7.0,
};
/// The factor of its latents (diffusers, `PLAYGROUND_VAE_SCALING_FACTOR`).
pub(super) const PLAYGROUND_FACTOR: f64 = 0.5;
/// Deviation of CosXL's latents, as its makers and ComfyUI have it.
pub(super) const COSXL_DATA: f64 = 1.0;

impl Noise {
    /// Reads the noise keys of a file.
    pub(super) fn read(directory: &Directory, file: &TensorFile) -> Result<Option<Self>> {
        let values = |key: &str| {
            let entry = directory.tensors.get(key);
            entry
                .map(|entry| {
                    file.content
                        .floats(entry, &format!("{}: `{key}`", file.label))
                })
                .transpose()
        };
        if let Some([mean, std]) = pair([MEAN, STD], [values(MEAN)?, values(STD)?], &file.label)? {
            return Ok(Some(Self::Standardised([mean, std])));
        }
        let range = pair(
            [SIGMA_MIN, SIGMA_MAX],
            [values(SIGMA_MIN)?, values(SIGMA_MAX)?],
            &file.label,
        )?;
        match range
            .as_ref()
            .map(|[low, high]| (low.as_slice(), high.as_slice()))
        {
            None => Ok(None),
            Some((&[low], &[high])) => Ok(Some(Self::Velocities([low, high]))),
            Some(_) => {
                let message = format!(
                    "{}: `{SIGMA_MIN}` and `{SIGMA_MAX}` are no single numbers",
                    file.label
                );
                Err(Error::new(Kind::ModelFile, message))
            }
        }
    }

    /// The scheduler's file, of the class that diffusers draws such models with.
    pub(super) fn scheduler(&self, prediction: Prediction) -> Value {
        let prediction = if prediction == Prediction::V {
            "v_prediction"
        } else {
            "epsilon"
        };
        match self {
            Self::Standardised(_) => json!({
                "_class_name": "EDMDPMSolverMultistepScheduler",
                "algorithm_type": "dpmsolver++",
                "prediction_type": prediction,
                "rho": PLAYGROUND.rho,
                "sigma_data": PLAYGROUND.sigma_data,
                "sigma_max": PLAYGROUND.sigma_max,
                "sigma_min": PLAYGROUND.sigma_min,
                "solver_order": 2,
            }),
            Self::Velocities([low, high]) => json!({
                "_class_name": "EDMEulerScheduler",
                "prediction_type": prediction,
                "sigma_data": COSXL_DATA,
                "sigma_max": high,
                "sigma_min": low,
                "sigma_schedule": "exponential",
            }),
        }
    }

    /// Prediction type of the model.
    pub(super) fn prediction(&self) -> Prediction {
        match self {
            Self::Standardised(_) => Prediction::Epsilon,
            Self::Velocities(_) => Prediction::V,
        }
    }
}

/// Both values or neither.
fn pair(
    keys: [&str; 2],
    values: [Option<Vec<f64>>; 2],
    label: &str,
) -> Result<Option<[Vec<f64>; 2]>> {
    match values {
        [Some(first), Some(second)] => Ok(Some([first, second])),
        [None, None] => Ok(None),
        [first, _] => {
            let [there, missing] = if first.is_some() {
                keys
            } else {
                [keys[1], keys[0]]
            };
            Err(Error::new(
                Kind::ModelFile,
                format!("{label}: there is `{there}` and no `{missing}`"),
            ))
        }
    }
}
