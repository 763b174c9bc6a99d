//! Schedulers of diffusers: a model's scheduler file and a request's options to a configuration
//! (`config`), its noise schedule (`schedule`), samplers as formulas (`solvers`), and the one loop
//! over them (`sampling`). Samples of diffusion are x = x₀ + σ n; the loop scales the network's
//! input.

mod config;
mod edm;
mod keys;
mod process;
mod sampling;
pub mod schedule;
mod scheduler_file;
mod sigmas;
mod solver;
mod solvers;
mod train_sigmas;
mod types;

pub use keys::unknown_keys;
pub use process::{Process, alpha};
pub(in crate::schedulers) use sampling::read_as;
pub use sampling::{Model, resumed, sample};
pub(in crate::schedulers) use schedule::timestep_of;
pub use scheduler_file::SchedulerFile;
pub(crate) use solver::History;
pub(in crate::schedulers) use solver::remember;
pub use solver::{Denoised, NoiseFn, Sample, Solver, combine};
pub use solvers::{SAMPLERS, names, schedule_names, spacing_names};
pub use types::{
    A1111Label, ALIGNED_STEPS, Algorithm, AlignedSteps, Betas, Config, Defaults, Edm, EvalOrder,
    Grid, Key, Level, Levels, Overrides, Prediction, Sampler, SamplerSpec, Schedule, SigmaSchedule,
    Spacing,
};
use types::{DISCRETE_DEFAULTS, SD_BETAS, SIGMA_DEFAULTS};
