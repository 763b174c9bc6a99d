//! UniPC (Zhao et al. 2023, algorithms 5 to 8, B₁ and B₂): a multistep predictor, and at the next
//! call a corrector that uses the estimate made there. Over x₀ or over the noise, order 1 to 3.

use candle_core::Tensor;

use crate::error::Result;
use crate::schedulers::{
    A1111Label, Config, Defaults, Denoised, History, Key, NoiseFn, SIGMA_DEFAULTS, Sample,
    SamplerSpec, Solver, combine, remember,
};
use crate::schedulers::{Grid, SigmaSchedule};

pub(super) static SPEC: SamplerSpec = SamplerSpec {
    name: "unipc",
    about: "UniPC multistep predictor and corrector, second order",
    a1111: A1111Label::new("UniPC", &["uni_pc"]).own_timesteps(),
    class: Some("UniPCMultistepScheduler"),
    edm: None,
    variant: None,
    grid: Grid::Multistep,
    defaults: Defaults {
        repeats_last: true,
        lacks: &[Key::ClipSample],
        ..SIGMA_DEFAULTS
    },
    order: 1,
    visits: None,
    solver: |config: &Config, sigmas: &SigmaSchedule| {
        Box::new(UniPc {
            sigmas: sigmas.clone(),
            config: config.clone(),
            history: History::new(),
            predicted: None,
        })
    },
};

struct UniPc {
    sigmas: SigmaSchedule,
    config: Config,
    /// Estimates at earlier calls, the newest at the level that `predicted` starts from.
    history: History,
    /// The sample that the last prediction started from, and its order.
    predicted: Option<(Sample, usize)>,
}

impl Solver for UniPc {
    fn step(&mut self, i: usize, now: &Denoised<'_>, _noise: NoiseFn<'_>) -> Result<Sample> {
        let estimate = if self.config.predict_x0 {
            now.x0.clone()
        } else {
            now.derivative()?
        };
        let entry = (estimate, now.sample.sigma);
        let from = match self.predicted.take() {
            Some((start, order)) if !self.config.disable_corrector.contains(&(i - 1)) => {
                self.update(&start, entry.1, order, Some(&entry.0))?
            }
            _ => now.sample.clone(),
        };
        remember(&mut self.history, entry, 3);
        let order = self.order(i).min(self.history.len());
        let next = self.update(&from, self.sigmas.sigma_after(i), order, None)?;
        self.predicted = Some((from, order));
        Ok(next)
    }
}

impl UniPc {
    /// The order of the prediction of call `i`: never more than the steps that are left, when the
    /// run ends in lower order.
    fn order(&self, i: usize) -> usize {
        let left = self.sigmas.levels.len() - i;
        let to_zero = left == 1 && self.sigmas.final_sigma == 0.0;
        if self.config.lower_order_final || to_zero {
            self.config.order.min(left)
        } else {
            self.config.order
        }
    }

    /// The predictor, or with the estimate at the target the corrector, of `order` from `start` to
    /// the level `next`:
    ///
    /// x' = keep x − s (e^hh − 1) m₀ − s B(h) Σ ρₖ (mₖ − m₀)/rₖ, where over x₀ hh = −h, s = 1 and
    /// keep = σ'/σ, and over the noise hh = h, s = σ' and keep = 1.
    fn update(
        &self,
        start: &Sample,
        next: f64,
        order: usize,
        reached: Option<&Tensor>,
    ) -> Result<Sample> {
        let h = (start.sigma / next).ln();
        let Some((latest, _)) = self.history.last().filter(|_| h != 0.0) else {
            return Ok(Sample {
                sigma: next,
                ..start.clone()
            });
        };
        let (hh, scale, keep) = if self.config.predict_x0 {
            (-h, 1.0, next / start.sigma)
        } else {
            (h, next, 1.0)
        };
        let growth = hh.exp_m1();
        let b = if self.config.bh1 { hh } else { growth };
        // Earlier estimates, newest first, at rₖ < 0; the one at the target is at r = 1.
        let earlier = self.history.iter().rev().skip(1).take(order - 1);
        let mut nodes: Vec<(f64, &Tensor)> = earlier
            .map(|(estimate, sigma)| ((start.sigma / sigma).ln() / h, estimate))
            .collect();
        nodes.extend(reached.map(|estimate| (1.0, estimate)));
        let places: Vec<f64> = nodes.iter().map(|node| node.0).collect();
        let weights = weights(&places, hh, b);
        let mut terms = vec![(keep, &start.x)];
        let mut rest = -scale * growth;
        for (rho, (place, estimate)) in weights.iter().zip(&nodes) {
            let weight = -scale * b * rho / place;
            terms.push((weight, estimate));
            rest -= weight;
        }
        terms.push((rest, latest));
        Ok(Sample {
            x: combine(&terms)?,
            sigma: next,
        })
    }
}

/// ρ with Σₖ ρₖ rₖ^(j−1) = j! φ_{j+1}(hh) hh / B(h) for j = 1 … (equation 12, theorem 3.1); a
/// single ρ is ½, as the paper advises.
fn weights(places: &[f64], hh: f64, b: f64) -> Vec<f64> {
    if places.len() < 2 {
        return vec![0.5; places.len()];
    }
    let (mut phi, mut factorial) = (hh.exp_m1() / hh - 1.0, 1.0);
    let mut rows = Vec::new();
    for j in 0..places.len() {
        let mut row: Vec<f64> = places.iter().map(|place| place.powi(j as i32)).collect();
        row.push(phi * factorial / b);
        rows.push(row);
        factorial *= (j + 2) as f64;
        phi = phi / hh - 1.0 / factorial;
    }
    solved(rows)
}

/// The solution of a small regular system, each row with its right side last: Gauss-Jordan with row
/// pivots.
fn solved(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let pivot =
            (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        let head: Vec<f64> = rows[column]
            .iter()
            .map(|value| value / rows[column][column])
            .collect();
        for (i, row) in rows.iter_mut().enumerate() {
            let times = row[column];
            if i != column {
                row.iter_mut()
                    .zip(&head)
                    .for_each(|(value, unit)| *value -= times * unit);
            }
        }
        rows[column] = head;
    }
    rows.into_iter()
        .filter_map(|row| row.last().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved_even_with_a_zero_pivot() {
        let rows = vec![vec![0.0, 2.0, 4.0], vec![3.0, 1.0, 5.0]];
        assert_eq!(solved(rows), [1.0, 2.0]);
    }
}
