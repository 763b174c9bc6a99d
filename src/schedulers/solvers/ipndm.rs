//! Improved PNDM (Zhang & Chen 2022, equation 19) in the form of ComfyUI and stable-diffusion.cpp:
//! Adams-Bashforth weights of even steps on dx/dσ, up to fourth order, over any noise schedule.

use candle_core::Tensor;

use super::pndm::adams_bashforth;
use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Denoised, NoiseFn, SIGMA_DEFAULTS, Sample, SamplerSpec, Solver, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "ipndm",
    about: "improved PNDM over sigmas, fourth order",
    a1111: A1111Label::new("IPNDM", &[]),
    class: None,
    edm: None,
    variant: None,
    grid: Grid::Continuous,
    defaults: SIGMA_DEFAULTS,
    order: 1,
    visits: None,
    solver: |_: &Config, sigmas: &SigmaSchedule| {
        Box::new(Ipndm {
            sigmas: sigmas.clone(),
            slopes: Vec::new(),
        })
    },
};

const ORDER: usize = 4;

struct Ipndm {
    sigmas: SigmaSchedule,
    /// dx/dσ of the last calls, newest last.
    slopes: Vec<Tensor>,
}

impl Solver for Ipndm {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let next = self.sigmas.sigma_after(i);
        if next == 0.0 {
            return Ok(Sample {
                x: now.x0.clone(),
                sigma: next,
            });
        }
        self.slopes.push(now.derivative()?);
        if self.slopes.len() > ORDER {
            self.slopes.remove(0);
        }
        let slope = adams_bashforth(&self.slopes)?;
        let x = combine(&[(1.0, &now.sample.x), (next - now.sample.sigma, &slope)])?;
        Ok(Sample { x, sigma: next })
    }
}
