//! Noise levels by a curve instead of by timesteps: Karras, exponential, beta and the others of
//! `--schedule`. The timestep of each level is chosen in `schedule.rs`.

use super::types::{Config, Level, Schedule};

/// `n` falling levels; `range` is (σ_max, σ_min) of the curves that run between two ends.
pub(super) fn sigmas(
    config: &Config,
    range: (f64, f64),
    n: usize,
    train_sigmas: &[f64],
) -> Vec<f64> {
    let last = train_sigmas.len() - 1;
    let level = |i: usize| match config.schedule {
        Schedule::Normal => blend(range, ramp(i, n), |x| x, |x| x),
        // Karras et al. 2022, equation 5, ρ = 7.
        Schedule::Karras => blend(range, ramp(i, n), |x| x.powf(1.0 / 7.0), |x| x.powf(7.0)),
        Schedule::Exponential | Schedule::Lu => blend(range, ramp(i, n), f64::ln, f64::exp),
        Schedule::Beta => range.1 + beta_quantile(1.0 - ramp(i, n)) * (range.0 - range.1),
        Schedule::SgmUniform => between(train_sigmas, last as f64 * (1.0 - i as f64 / n as f64)),
        Schedule::Simple => train_sigmas[last - i * train_sigmas.len() / n],
        Schedule::Ays => aligned(config, train_sigmas, i as f64 / n as f64),
    };
    (0..n).map(level).collect()
}

/// Fraction of the way from the first to the last at which level `i` of `n` lies.
fn ramp(i: usize, n: usize) -> f64 {
    if n < 2 {
        0.0
    } else {
        i as f64 / (n - 1) as f64
    }
}

/// Linear from end to end in the scale of `f`, whose inverse is `g`.
fn blend(range: (f64, f64), share: f64, f: fn(f64) -> f64, g: fn(f64) -> f64) -> f64 {
    g(f(range.0) + share * (f(range.1) - f(range.0)))
}

/// σ at a fractional timestep, linear in log σ between whole ones (k-diffusion's `t_to_sigma`).
fn between(train_sigmas: &[f64], timestep: f64) -> f64 {
    let low = timestep.floor() as usize;
    let high = (low + 1).min(train_sigmas.len() - 1);
    blend(
        (train_sigmas[low], train_sigmas[high]),
        timestep - low as f64,
        f64::ln,
        f64::exp,
    )
}

/// The published levels at `share` of the way, linear in log σ between them (Sabour et al. 2024,
/// appendix).
fn aligned(config: &Config, train_sigmas: &[f64], share: f64) -> f64 {
    let table = config.aligned_steps;
    // For a model with another number of training steps the timesteps are scaled in proportion.
    let scale = (train_sigmas.len() - 1) as f64 / table[0];
    let sigma = |k: usize| Level::at(train_sigmas, table[k] * scale).sigma;
    let place = share * (table.len() - 1) as f64;
    let low = (place.floor() as usize).min(table.len() - 2);
    blend(
        (sigma(low), sigma(low + 1)),
        place - low as f64,
        f64::ln,
        f64::exp,
    )
}

/// Both shape parameters of the beta schedule.
const SHAPE: f64 = 0.6;
/// B(0.6, 0.6) = Γ(0.6)² / Γ(1.2).
const BETA_FUNCTION: f64 = 2.415_344_208_002_471_4;

/// The quantile of Beta(0.6, 0.6): x with I_x(0.6, 0.6) = p, by symmetry from the half below ½.
fn beta_quantile(p: f64) -> f64 {
    if p > 0.5 {
        1.0 - lower_quantile(1.0 - p)
    } else {
        lower_quantile(p)
    }
}

/// Newton's method in u = x^a, in which I_x is nearly linear; for p ≤ ½.
fn lower_quantile(p: f64) -> f64 {
    let mut u = p * SHAPE * BETA_FUNCTION;
    for _ in 0..20 {
        let x = u.powf(1.0 / SHAPE);
        let slope = (1.0 - x).powf(SHAPE - 1.0) / (SHAPE * BETA_FUNCTION);
        let step = (cumulative(u, x) - p) / slope;
        u = (u - step).clamp(0.0, 0.7);
        if step.abs() < 1e-16 {
            break;
        }
    }
    u.powf(1.0 / SHAPE)
}

/// I_x(a, b) = x^a / (a B(a, b)) ₂F₁(a, 1 − b; a + 1; x) (Abramowitz & Stegun 26.5.4, 15.1.1), for
/// x ≤ ½.
fn cumulative(u: f64, x: f64) -> f64 {
    let (mut power, mut sum) = (1.0, 1.0);
    for n in 1..80 {
        let n = f64::from(n);
        power *= (n - SHAPE) / n * x;
        sum += power * SHAPE / (SHAPE + n);
    }
    u * sum / (SHAPE * BETA_FUNCTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17 `beta.ppf(p, 0.6, 0.6)` is what diffusers' golden tables hold; here the function
    /// against itself.
    #[test]
    fn the_quantile_of_the_beta_distribution_inverts_its_cumulative() {
        assert_eq!((beta_quantile(0.0), beta_quantile(1.0)), (0.0, 1.0));
        assert!((beta_quantile(0.5) - 0.5).abs() < 1e-15);
        for p in [1e-6, 0.01, 0.1, 0.3, 0.49] {
            let x = beta_quantile(p);
            assert!((cumulative(x.powf(SHAPE), x) - p).abs() < 1e-14, "{p}");
            assert!((beta_quantile(1.0 - p) - (1.0 - x)).abs() < 1e-13, "{p}");
        }
    }
}
