//! PNDM (Liu et al. 2022): linear multistep over the network's outputs, with or without a
//! Runge-Kutta warm-up.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::schedulers::{
    A1111Label, Config, DISCRETE_DEFAULTS, Defaults, Denoised, Key, NoiseFn, Process, Sample,
    SamplerSpec, Solver, combine, read_as,
};
use crate::schedulers::{Grid, Level, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "pndm",
    about: "PNDM, also called PLMS; one call more than steps",
    a1111: A1111Label::new("PLMS", &[]).own_timesteps(),
    class: Some("PNDMScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Discrete,
    defaults: Defaults {
        set_alpha_to_one: false,
        lacks: &[Key::ClipSample, Key::ZeroSnr],
        ..DISCRETE_DEFAULTS
    },
    order: 1,
    visits: Some(visits),
    solver: |config: &Config, sigmas: &SigmaSchedule| Box::new(Pndm::new(config, sigmas)),
};

struct Pndm {
    sigmas: SigmaSchedule,
    process: Process,
    /// Calls of the Runge-Kutta warm-up at the head of the noise schedule; 0 without one.
    warm_up: usize,
    /// Calls so far in this run, which may have started in the middle of the noise schedule.
    calls: usize,
    /// Last outputs, newest last, four at most.
    outputs: Vec<Tensor>,
    /// The sample that a step of several calls started from.
    start: Option<Sample>,
    /// Weighted sum of the outputs of one Runge-Kutta step.
    sum: Option<Tensor>,
}

impl Pndm {
    fn new(config: &Config, sigmas: &SigmaSchedule) -> Self {
        Self {
            sigmas: sigmas.clone(),
            process: Process::of(config),
            warm_up: if config.skip_prk_steps {
                0
            } else {
                WARM_UP_CALLS
            },
            calls: 0,
            outputs: Vec::new(),
            start: None,
            sum: None,
        }
    }

    /// From `from` to the level of `timestep`, along the noise that `output` stands for.
    fn transfer(&self, from: &Sample, output: &Tensor, timestep: i64) -> Result<Sample> {
        let x0 = self.process.x0(from, output)?;
        let next = self.sigmas.sigma_at(timestep);
        let keep = next / from.sigma;
        Ok(Sample {
            x: combine(&[(keep, &from.x), (1.0 - keep, &x0)])?,
            sigma: next,
        })
    }

    /// One call of the fourth-order Runge-Kutta step; four of them make a step.
    fn runge_kutta(&mut self, i: usize, now: &Denoised<'_>) -> Result<Sample> {
        const WEIGHTS: [f64; 4] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0];
        let stage = self.calls % 4;
        if stage == 0 {
            self.outputs.push(now.output.clone());
            self.start = Some(now.sample.clone());
            self.sum = None;
        }
        let weighted = (&now.output * WEIGHTS[stage])?;
        let sum = match self.sum.take() {
            Some(sum) => (sum + weighted)?,
            None => weighted,
        };
        let output = if stage == 3 {
            sum.clone()
        } else {
            now.output.clone()
        };
        self.sum = Some(sum);
        let half = if stage.is_multiple_of(2) {
            self.sigmas.stride as i64 / 2
        } else {
            0
        };
        let target = self.sigmas.levels[i].timestep as i64 - half;
        let start = self.start.clone().unwrap_or_else(|| now.sample.clone());
        // diffusers counts calls, not timesteps: a run that starts in the middle reads its samples
        // as if they stood at the head of the noise schedule.
        let from = read_as(start, self.sigmas.levels[self.calls - stage].sigma)?;
        self.transfer(&from, &output, target)
    }

    /// One call of the linear multistep part (equation 12, its first step by equation 22).
    fn multistep(&mut self, i: usize, now: &Denoised<'_>) -> Result<Sample> {
        let timestep = self.sigmas.levels[i].timestep as i64;
        let stride = self.sigmas.stride as i64;
        if self.calls == 1
            && let Some(start) = self.start.take()
        {
            // The second call evaluates the result of the first, then both lead from the start
            // again.
            let output = combine(&[(0.5, &now.output), (0.5, &self.outputs[0])])?;
            let from = read_as(start, self.sigmas.sigma_at(timestep + stride))?;
            return self.transfer(&from, &output, timestep);
        }
        if self.outputs.len() > 3 {
            self.outputs.remove(0);
        }
        self.outputs.push(now.output.clone());
        if self.calls == 0 {
            self.start = Some(now.sample.clone());
        }
        let output = adams_bashforth(&self.outputs)?;
        self.transfer(now.sample, &output, timestep - stride)
    }
}

impl Solver for Pndm {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let next = if self.calls < self.warm_up {
            self.runge_kutta(i, now)
        } else {
            self.multistep(i, now)
        };
        self.calls += 1;
        next
    }
}

/// Adams-Bashforth of the order that the history allows.
pub(super) fn adams_bashforth(outputs: &[Tensor]) -> Result<Tensor> {
    const WEIGHTS: [&[f64]; 4] = [
        &[1.0],
        &[3.0 / 2.0, -1.0 / 2.0],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    let weights = WEIGHTS[outputs.len().clamp(1, 4) - 1];
    let terms: Vec<(f64, &Tensor)> = weights.iter().copied().zip(outputs.iter().rev()).collect();
    combine(&terms)
}

/// Three steps of four calls.
const WARM_UP_CALLS: usize = 12;

/// The order in which pndm visits its falling grid: the second level twice, or a Runge-Kutta
/// warm-up first.
fn visits(config: &Config, grid: &[Level], train_sigmas: &[f64]) -> Result<Vec<Level>> {
    if config.skip_prk_steps {
        let mut visits = grid.to_vec();
        if grid.len() > 1 {
            visits.insert(1, grid[1]);
        }
        return Ok(visits);
    }
    if grid.len() < 4 {
        return Err(Error::expected(
            "steps",
            "4 or more for pndm with its Runge-Kutta warm-up",
            grid.len(),
        ));
    }
    // diffusers: the four highest, each with one half a stride above it; doubled, then without both
    // ends.
    let half = (config.train_steps / grid.len() / 2) as f64;
    let rising: Vec<f64> = grid[..4]
        .iter()
        .rev()
        .flat_map(|l| [l.timestep, l.timestep + half])
        .collect();
    let doubled: Vec<f64> = rising[..rising.len() - 1]
        .iter()
        .flat_map(|&t| [t, t])
        .collect();
    let warm_up = doubled[1..doubled.len() - 1]
        .iter()
        .rev()
        .map(|&t| Level::at(train_sigmas, t));
    Ok(warm_up.chain(grid[3..].iter().copied()).collect())
}
