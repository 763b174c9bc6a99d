//! Keys of scheduler_config.json that change the numbers and that no sampler here implements: the
//! classes of diffusers that read them, and the values that are refused. Keys that the running
//! class does not read are leftovers of other classes.

use super::scheduler_file::{SchedulerFile, unsupported};
use super::types::Sampler;
use crate::error::{Error, Kind, Result};

/// A key and the value that is refused for the classes that read the key.
struct Refusal {
    key: &'static str,
    classes: &'static [&'static str],
    value: fn(&SchedulerFile) -> Option<String>,
}

const DPM: &str = "DPMSolverMultistepScheduler";
const SINGLE: &str = "DPMSolverSinglestepScheduler";
const UNIPC: &str = "UniPCMultistepScheduler";
const DEIS: &str = "DEISMultistepScheduler";
const EULER: &str = "EulerDiscreteScheduler";
const EDM_DPM: &str = "EDMDPMSolverMultistepScheduler";
/// Classes that support flow matching.
const FLOWS: &[&str] = &[DPM, SINGLE, UNIPC, DEIS];
/// Names of solvers; each class reads those of the others as its own first one.
const SOLVERS: &[&str] = &["midpoint", "heun", "logrho", "bh1", "bh2"];

const REFUSALS: &[Refusal] = &[
    Refusal {
        key: "thresholding",
        classes: &[
            "DDIMScheduler",
            "DDPMScheduler",
            "LCMScheduler",
            DPM,
            SINGLE,
            UNIPC,
            DEIS,
            EDM_DPM,
        ],
        value: |file| on(file.thresholding),
    },
    Refusal {
        key: "use_flow_sigmas",
        classes: FLOWS,
        value: |file| on(file.use_flow_sigmas),
    },
    Refusal {
        key: "use_dynamic_shifting",
        classes: &[UNIPC],
        value: |file| on(file.use_dynamic_shifting),
    },
    Refusal {
        key: "lambda_min_clipped",
        classes: &[DPM, SINGLE],
        value: |file| file.lambda_min_clipped.map(|value| value.to_string()),
    },
    Refusal {
        key: "variance_type",
        classes: &["DDPMScheduler"],
        value: |file| {
            other(
                &file.variance_type,
                &["fixed_small", "fixed_small_log", "fixed_large"],
            )
        },
    },
    Refusal {
        key: "variance_type",
        classes: &[DPM, SINGLE],
        value: |file| {
            file.variance_type
                .clone()
                .filter(|value| value.starts_with("learned"))
        },
    },
    Refusal {
        key: "interpolation_type",
        classes: &[EULER],
        value: |file| other(&file.interpolation_type, &["linear"]),
    },
    Refusal {
        key: "timestep_type",
        classes: &[EULER],
        value: |file| other(&file.timestep_type, &["discrete", "continuous"]),
    },
    Refusal {
        key: "solver_p",
        classes: &[UNIPC],
        value: |file| file.solver_p.as_ref().map(ToString::to_string),
    },
    Refusal {
        key: "solver_type",
        classes: &[DPM, SINGLE, UNIPC, DEIS, EDM_DPM],
        value: |file| other(&file.solver_type, SOLVERS),
    },
    Refusal {
        key: "algorithm_type",
        classes: &[SINGLE],
        value: |file| {
            file.algorithm_type
                .clone()
                .filter(|value| value == "sde-dpmsolver")
        },
    },
    Refusal {
        key: "final_sigmas_type",
        classes: &[EULER, DPM, SINGLE, UNIPC, "EDMEulerScheduler", EDM_DPM],
        value: |file| other(&file.final_sigmas_type, &["zero", "sigma_min"]),
    },
];

fn on(switch: Option<bool>) -> Option<String> {
    switch.filter(|on| *on).map(|on| on.to_string())
}

fn other(value: &Option<String>, known: &[&str]) -> Option<String> {
    value
        .clone()
        .filter(|value| !known.contains(&value.as_str()))
}

/// Classes whose noise does not come from a list of β, so that no other sampler can run their
/// models.
const FOREIGN: &[&str] = &[
    "FlowMatch",
    "CosineDPMSolver",
    "ScoreSde",
    "CMStochastic",
    "KarrasVe",
    "SCM",
    "CogVideoX",
];

/// Refuses files that no sampler can run, whichever is asked for.
pub(super) fn foreign(file: &SchedulerFile) -> Result<()> {
    let class = file.class();
    if FOREIGN.iter().any(|start| class.starts_with(start)) {
        let message = format!(
            "scheduler_config.json: `{class}` has noise of a kind that sdgen does not draw"
        );
        return Err(Error::new(Kind::ModelFile, message));
    }
    // Flow matching is the network's, not the sampler's.
    match on(file.use_flow_sigmas).filter(|_| FLOWS.contains(&class)) {
        Some(value) => Err(unsupported("use_flow_sigmas", &value)),
        None => Ok(()),
    }
}

/// Refuses values that the class of `sampler` would read and `sampler` does not implement.
pub(super) fn check(file: &SchedulerFile, sampler: Sampler) -> Result<()> {
    let row = sampler.row();
    let Some(class) = (if file.is_edm() { row.edm } else { row.class }) else {
        return Ok(());
    };
    let read = REFUSALS
        .iter()
        .filter(|refusal| refusal.classes.contains(&class));
    match read
        .filter_map(|refusal| Some((refusal.key, (refusal.value)(file)?)))
        .next()
    {
        Some((key, value)) => Err(unsupported(key, &value)),
        None => Ok(()),
    }
}

/// Keys of diffusers' classes that the samplers here reproduce; other keys are unknown unless they
/// begin with `_`.
const KEYS: &[&str] = &[
    "algorithm_type",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "clip_sample",
    "clip_sample_range",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "num_train_timesteps",
    "original_inference_steps",
    "predict_x0",
    "prediction_type",
    "rescale_betas_zero_snr",
    "rho",
    "sample_max_value",
    "set_alpha_to_one",
    "shift_terminal",
    "sigma_data",
    "sigma_max",
    "sigma_min",
    "sigma_schedule",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "thresholding",
    "time_shift_type",
    "timestep_scaling",
    "timestep_spacing",
    "timestep_type",
    "trained_betas",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
];

/// The keys of a file that none of those classes has.
pub fn unknown_keys(file: &serde_json::Value) -> Vec<String> {
    let keys = file.as_object().into_iter().flat_map(|keys| keys.keys());
    keys.filter(|key| !key.starts_with('_') && !KEYS.contains(&key.as_str()))
        .cloned()
        .collect()
}
