//! Latent consistency models (Luo et al. 2023, algorithm 3): every call leads to the end, and all
//! but the last back up to the next level by fresh noise.

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, DISCRETE_DEFAULTS, Defaults, Denoised, Key, NoiseFn, SD_BETAS, Sample,
    SamplerSpec, Solver, alpha, combine,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "lcm",
    about: "latent consistency, for models distilled so; 1 to 8 steps",
    a1111: A1111Label::new("LCM", &["k_lcm"]),
    class: Some("LCMScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Distilled,
    defaults: DEFAULTS,
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(Lcm {
            sigmas: sigmas.clone(),
            scaling: config.timestep_scaling,
            clip: config.clip_sample,
        })
    },
};

/// Defaults of the distilled classes.
pub(super) const DEFAULTS: Defaults = Defaults {
    betas: SD_BETAS,
    scaled_betas: true,
    lacks: &[Key::Spacing],
    ..DISCRETE_DEFAULTS
};

struct Lcm {
    sigmas: SigmaSchedule,
    scaling: f64,
    clip: Option<f64>,
}

impl Solver for Lcm {
    fn step(&mut self, i: usize, now: &Denoised<'_>, noise: NoiseFn<'_>) -> Result<Sample> {
        // f(x, t) = c_skip x + c_out x₀ with σ_data = ½ and time s = t × scaling, on x of unit
        // variance.
        const DATA: f64 = 0.25;
        let time = self.sigmas.levels[i].timestep * self.scaling;
        let (skip, out) = (
            DATA / (time * time + DATA),
            time / (time * time + DATA).sqrt(),
        );
        let unit = alpha(now.sample.sigma);
        let x = combine(&[
            (out, &now.clipped(self.clip)?),
            (skip * unit, &now.sample.x),
        ])?;
        if i + 1 == self.sigmas.levels.len() {
            return Ok(Sample { x, sigma: 0.0 });
        }
        let next = self.sigmas.sigma_after(i);
        Ok(Sample {
            x: combine(&[(1.0, &x), (next, &noise()?)])?,
            sigma: next,
        })
    }
}
