//! The sampling loop: the network and the formula of a sampler in turn, along a noise schedule.

use candle_core::Tensor;

use super::process::{Process, alpha};
use super::solver::{Denoised, Sample};
use super::types::{Config, SigmaSchedule};
use crate::error::Result;

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
    fn on_x0(&mut self, i: usize, x0: &Tensor) -> Result<bool> {
        let _ = (i, x0);
        Ok(false)
    }

    /// Changes the sample before it is given to the network (inpainting keeps the part outside its
    /// mask, with noise of level `kept`).
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    fn before_denoise(&mut self, sample: Sample, kept: f64) -> Result<Sample> {
        let _ = kept;
        Ok(sample)
    }

    /// Changes the finished latents, as [`Self::before_denoise`] does the samples.
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
/// ([`Model::on_x0`]).
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
    let process = Process::of(config);
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
            sample = model.before_denoise(read_as(sample, level.sigma)?, level.kept)?;
        }
        let input = (&sample.x * process.input_scale(level.sigma))?;
        let output = model.output(i - sigmas.start, &input, level.timestep)?;
        let x0 = process.x0(&sample, &output)?;
        if model.on_x0(i - sigmas.start, &x0)? {
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
pub(super) fn read_as(sample: Sample, sigma: f64) -> Result<Sample> {
    if sample.sigma == sigma {
        return Ok(sample);
    }
    let x = (sample.x * (alpha(sample.sigma) / alpha(sigma)))?;
    Ok(Sample { x, sigma })
}
