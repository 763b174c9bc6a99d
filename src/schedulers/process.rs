//! Noise processes: the form of a noisy sample, the network's input made from it, and the clean
//! latents that the network's output stands for. Samplers see only (x, x₀, σ), so that one formula
//! serves every process whose dx/dσ is (x − x₀)/σ.

use candle_core::Tensor;

use super::edm;
use super::solver::{Sample, combine};
use super::types::{Config, Edm, Prediction};
use crate::error::Result;

/// Noise process that a network was trained on, with the form of its output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Process {
    /// Diffusion, x = x₀ + σn; the output is the noise ε.
    Epsilon,
    /// Diffusion; the output is v = αε − σ'x₀ (Salimans & Ho 2022).
    V,
    /// Diffusion; the output is x₀.
    Sample,
    /// Diffusion with the preconditioning of Karras et al. 2022.
    Edm(Edm, Prediction),
    /// Rectified flow, x = (1 − σ)x₀ + σn with σ in 0..1; the output is the velocity n − x₀ (Liu et
    /// al. 2022). No scheduler file that is read here leads to it yet.
    Flow,
}

impl Process {
    /// Process of a run's network.
    pub fn of(config: &Config) -> Self {
        match (config.edm, config.prediction) {
            (Some(edm), prediction) => Self::Edm(edm, prediction),
            (None, Prediction::Epsilon) => Self::Epsilon,
            (None, Prediction::V) => Self::V,
            (None, Prediction::Sample) => Self::Sample,
        }
    }

    /// The clean latents that `output` stands for, at `sample`.
    ///
    /// With α = 1/√(σ²+1): ε gives x − σε; v gives α²x − σα v (Salimans & Ho 2022, appendix D, in x
    /// = x₀ + σn).
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn x0(self, sample: &Sample, output: &Tensor) -> Result<Tensor> {
        let Sample { x, sigma } = sample;
        match self {
            Self::Epsilon | Self::Flow => combine(&[(1.0, x), (-sigma, output)]),
            Self::V => {
                let alpha = alpha(*sigma);
                combine(&[(alpha * alpha, x), (-sigma * alpha, output)])
            }
            Self::Sample => Ok(output.clone()),
            Self::Edm(edm, prediction) => {
                let (skip, out) = edm::skip_and_out(edm, prediction, *sigma);
                combine(&[(skip, x), (out, output)])
            }
        }
    }

    /// Factor of a sample in the network's input: α, which makes its variance 1; c_in of a network
    /// with EDM preconditioning; 1 for a flow.
    pub fn input_scale(self, sigma: f64) -> f64 {
        match self {
            Self::Epsilon | Self::V | Self::Sample => alpha(sigma),
            Self::Edm(edm, _) => edm.input(sigma),
            Self::Flow => 1.0,
        }
    }

    /// The sample of clean latents with unit noise at `sigma`.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub fn noised(self, x0: &Tensor, noise: &Tensor, sigma: f64) -> Result<Tensor> {
        let signal = if self == Self::Flow { 1.0 - sigma } else { 1.0 };
        combine(&[(signal, x0), (sigma, noise)])
    }
}

/// α of x = αx₀ + σ'n with α² + σ'² = 1, from σ = σ'/α.
pub fn alpha(sigma: f64) -> f64 {
    1.0 / (sigma * sigma + 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::solver::Denoised;
    use super::*;

    fn row(values: [f64; 2]) -> Tensor {
        Tensor::new(&values, &Device::Cpu).unwrap()
    }

    fn near(a: &Tensor, b: [f64; 2]) -> bool {
        let a: Vec<f64> = a.to_vec1().unwrap();
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    /// For every process: noise goes in, the network's ideal output comes, the clean latents are
    /// found, and dx/dσ is the difference quotient of the noised samples.
    #[test]
    fn the_clean_latents_are_found_behind_the_noise() {
        let (clean, noise) = ([0.5, -2.0], [1.5, 0.25]);
        let edm = Edm {
            sigma_min: 0.002,
            sigma_max: 80.0,
            sigma_data: 0.5,
            rho: 7.0,
        };
        for process in [
            Process::Epsilon,
            Process::V,
            Process::Sample,
            Process::Edm(edm, Prediction::Epsilon),
            Process::Edm(edm, Prediction::V),
            Process::Flow,
        ] {
            let sigma = 0.8;
            let x = process.noised(&row(clean), &row(noise), sigma).unwrap();
            let values: Vec<f64> = x.to_vec1().unwrap();
            let output = |k: usize| match process {
                Process::Epsilon => noise[k],
                Process::V => alpha(sigma) * (noise[k] - sigma * clean[k]),
                Process::Sample => clean[k],
                Process::Edm(edm, prediction) => {
                    let (skip, out) = edm::skip_and_out(edm, prediction, sigma);
                    (clean[k] - skip * values[k]) / out
                }
                Process::Flow => noise[k] - clean[k],
            };
            let output = row([output(0), output(1)]);
            let sample = Sample { x, sigma };
            let x0 = process.x0(&sample, &output).unwrap();
            assert!(near(&x0, clean), "{process:?}: {x0}");
            let later = process.noised(&row(clean), &row(noise), 0.3).unwrap();
            let slope = ((&sample.x - later).unwrap() / 0.5).unwrap();
            let derivative = Denoised {
                sample: &sample,
                x0,
                output,
            }
            .derivative();
            let slope: Vec<f64> = slope.to_vec1().unwrap();
            assert!(
                near(&derivative.unwrap(), [slope[0], slope[1]]),
                "{process:?}"
            );
        }
    }
}
