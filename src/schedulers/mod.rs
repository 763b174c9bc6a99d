//! Samplers: the table, the trait and the one loop. A sampler is a formula over (x, x₀, σ),
//! independent of models, prompts and guidance. Every sample here is x = x₀ + σ n; the loop scales
//! the network's input.
//!
//! Adding a sampler: one file with a `SPEC` and a `Solver`, its `mod` line and its line in
//! `SAMPLERS`.

mod config;
mod ddim;
mod ddpm;
mod deis;
mod dpm2;
mod dpm2_a;
mod dpm_solver;
mod dpmpp_2s_a;
mod dpmpp_multistep;
mod dpmpp_sde;
mod dpmpp_singlestep;
mod edm;
mod euler;
mod euler_a;
mod heun;
mod ipndm;
mod keys;
mod lcm;
mod lms;
mod pndm;
pub mod schedule;
mod scheduler_file;
mod sigmas;
mod spec;
mod tcd;
mod train_sigmas;
mod unipc;

use candle_core::Tensor;

pub use config::{Algorithm, Betas, Config, Levels, Overrides, Prediction, Schedule, Spacing};
pub use edm::Edm;
pub use keys::unknown_keys;
use schedule::SigmaSchedule;
pub use scheduler_file::SchedulerFile;
pub use sigmas::{ALIGNED_STEPS, AlignedSteps};
use spec::{DISCRETE_DEFAULTS, SD_BETAS, SIGMA_DEFAULTS};
pub use spec::{
    Defaults, EvalOrder, Key, Sampler, SamplerSpec, names, schedule_names, spacing_names,
};

use crate::error::{Error, Result};

/// Every sampler, in the order that help shows them.
pub static SAMPLERS: &[&SamplerSpec] = &[
    &ddpm::SPEC,
    &ddim::SPEC,
    &pndm::SPEC,
    &ipndm::SPEC,
    &lms::SPEC,
    &euler::SPEC,
    &euler_a::SPEC,
    &heun::SPEC,
    &dpm2::SPEC,
    &dpm2_a::SPEC,
    &dpmpp_2s_a::SPEC,
    &dpmpp_sde::SPEC,
    &dpmpp_multistep::SECOND,
    &dpmpp_multistep::SECOND_SDE,
    &dpmpp_multistep::THIRD,
    &dpmpp_multistep::THIRD_SDE,
    &dpmpp_singlestep::SPEC,
    &unipc::SPEC,
    &deis::SPEC,
    &lcm::SPEC,
    &tcd::SPEC,
];

/// A sample and its noise level: x = x₀ + σ n.
#[derive(Clone)]
pub struct Sample {
    /// Latents `[b, c, h, w]`.
    pub x: Tensor,
    /// σ.
    pub sigma: f64,
}

/// Output of the network for a sample.
pub struct Denoised<'a> {
    /// The sample from which the network's input was made.
    pub sample: &'a Sample,
    /// Its estimate of the clean latents.
    pub x0: Tensor,
    /// Its raw output, after guidance.
    pub output: Tensor,
}

impl Denoised<'_> {
    /// The estimate of x₀ within ± `range`.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn clipped(&self, range: Option<f64>) -> Result<Tensor> {
        match range {
            Some(range) => Ok(self.x0.clamp(-range, range)?),
            None => Ok(self.x0.clone()),
        }
    }

    /// dx/dσ, which is the estimated noise: (x − x₀)/σ.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn derivative(&self) -> Result<Tensor> {
        combine(&[
            (1.0 / self.sample.sigma, &self.sample.x),
            (-1.0 / self.sample.sigma, &self.x0),
        ])
    }
}

/// Unit noise in the shape of the latents, drawn when asked.
pub type Draw<'a> = &'a mut dyn FnMut() -> Result<Tensor>;

/// The formula of a sampler, with the state that it keeps between calls.
pub trait Solver {
    /// The sample after call `i` of the network.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn step(&mut self, i: usize, denoised: &Denoised<'_>, noise: Draw<'_>) -> Result<Sample>;
}

/// Earlier estimates of a multistep sampler with the σ of each, newest last.
pub(crate) type History = Vec<(Tensor, f64)>;

/// Adds an entry to a history of at most `most` entries.
fn remember(history: &mut History, entry: (Tensor, f64), most: usize) {
    history.push(entry);
    if history.len() > most {
        history.remove(0);
    }
}

/// Σ coefficient × tensor, in the tensors' precision.
///
/// # Errors
/// Tensor arithmetic (out of memory), or no term at all.
pub fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (coefficient, tensor) in terms {
        let term = (*tensor * *coefficient)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| Error::internal("a sum without terms"))
}

impl Prediction {
    /// The clean latents that `output` stands for, at `sample`.
    ///
    /// With α = 1/√(σ²+1): ε gives x − σε; v gives α²x − σα v (Salimans & Ho 2022, appendix D, in x
    /// = x₀ + σn).
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn x0(self, sample: &Sample, output: &Tensor) -> Result<Tensor> {
        let sigma = sample.sigma;
        let alpha = alpha(sigma);
        match self {
            Self::Epsilon => combine(&[(1.0, &sample.x), (-sigma, output)]),
            Self::V => combine(&[(alpha * alpha, &sample.x), (-sigma * alpha, output)]),
            Self::Sample => Ok(output.clone()),
        }
    }
}

impl Config {
    /// The clean latents that `output` stands for, at `sample`.
    fn x0(&self, sample: &Sample, output: &Tensor) -> Result<Tensor> {
        let Some(edm) = self.edm else {
            return self.prediction.x0(sample, output);
        };
        let (skip, out) = edm.output(self.prediction, sample.sigma);
        combine(&[(skip, &sample.x), (out, output)])
    }

    /// Factor of x = x₀ + σn in the network's input: α, which makes its variance 1, or c_in of a
    /// network with EDM preconditioning.
    fn input_scale(&self, sigma: f64) -> f64 {
        self.edm
            .map_or_else(|| alpha(sigma), |edm| edm.input(sigma))
    }
}

/// α of x = αx₀ + σ'n with α² + σ'² = 1, from σ = σ'/α.
pub fn alpha(sigma: f64) -> f64 {
    1.0 / (sigma * sigma + 1.0).sqrt()
}

/// Callbacks of the loop: the network, the noise, and hooks between the calls.
pub trait Model {
    /// The guided output for latents `x` (scaled to unit variance) at `timestep`; call `i` of the
    /// run.
    ///
    /// # Errors
    /// Whatever the network reports, or that the user cancelled.
    fn output(&mut self, i: usize, x: &Tensor, timestep: f64) -> Result<Tensor>;

    /// Unit noise in the shape of the latents.
    ///
    /// # Errors
    /// Whatever the generator reports.
    fn noise(&mut self) -> Result<Tensor>;

    /// Receives the estimate `x0` of the clean latents at call `i`; returns true if the run is to
    /// end with this estimate.
    ///
    /// # Errors
    /// Whatever the caller reports.
    fn estimated(&mut self, i: usize, x0: &Tensor) -> Result<bool> {
        let _ = (i, x0);
        Ok(false)
    }

    /// Changes the sample before it is given to the network (inpainting keeps the part outside its
    /// mask, with noise of level `kept`).
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn between(&mut self, sample: Sample, kept: f64) -> Result<Sample> {
        let _ = kept;
        Ok(sample)
    }

    /// Changes the finished latents, as [`Self::between`] does the samples.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn finish(&mut self, latents: Tensor) -> Result<Tensor> {
        Ok(latents)
    }
}

/// Runs a sampler along its noise schedule from the call `sigmas.start`, where `x` is x₀ + σ n:
/// noise × `init_noise_sigma` for a whole run. Returns latents `[b, c, h, w]` as the decoder takes
/// them (before the VAE's scale); those of a schedule that ends early still hold noise, in the form
/// that [`resumed`] takes. Returns the last estimate if the model ends the run
/// ([`Model::estimated`]).
///
/// # Errors
/// Whatever `model` reports.
pub fn sample(
    config: &Config,
    sigmas: &SigmaSchedule,
    x: Tensor,
    model: &mut dyn Model,
) -> Result<Tensor> {
    let mut solver = (config.sampler.row().solver)(config, sigmas);
    let first = sigmas
        .levels
        .get(sigmas.start)
        .map_or(0.0, |level| level.sigma);
    let mut sample = Sample { x, sigma: first };
    for (i, level) in sigmas
        .levels
        .iter()
        .enumerate()
        .take(sigmas.end)
        .skip(sigmas.start)
    {
        if i > sigmas.start {
            sample = model.between(read_as(sample, level.sigma)?, level.kept)?;
        }
        let seen = (&sample.x * config.input_scale(level.sigma))?;
        let output = model.output(i - sigmas.start, &seen, level.timestep)?;
        let x0 = config.x0(&sample, &output)?;
        if model.estimated(i - sigmas.start, &x0)? {
            return model.finish(x0);
        }
        let denoised = Denoised {
            sample: &sample,
            x0,
            output,
        };
        sample = solver.step(i, &denoised, &mut || model.noise())?;
    }
    // diffusers hands these over as x₀ + σn, whatever noise is left in them.
    let latents = if config.scales_input() {
        sample.x
    } else {
        (&sample.x * alpha(sample.sigma))?
    };
    if sigmas.end < sigmas.levels.len() {
        Ok(latents)
    } else {
        model.finish(latents)
    }
}

/// The first sample x₀ + σn of a run that continues, at the call `sigmas.start`, from the latents
/// of a run that ended before that call.
///
/// # Errors
/// Tensor arithmetic (out of memory).
pub fn resumed(config: &Config, sigmas: &SigmaSchedule, latents: Tensor) -> Result<Tensor> {
    match sigmas.levels.get(sigmas.start) {
        Some(level) if !config.scales_input() => Ok((latents / alpha(level.sigma))?),
        _ => Ok(latents),
    }
}

/// Discrete samplers may leave a sample at another level than that of the next call; diffusers then
/// takes αx₀ + σ'n as it stands, and so does this function.
fn read_as(sample: Sample, sigma: f64) -> Result<Sample> {
    if sample.sigma == sigma {
        return Ok(sample);
    }
    let x = (sample.x * (alpha(sample.sigma) / alpha(sigma)))?;
    Ok(Sample { x, sigma })
}
