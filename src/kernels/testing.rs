//! Owns the helpers of the kernel tests: random numbers, error measures, and the loop over
//! instruction sets.

use super::{Cpu, Isa};

/// Runs `test` on every instruction set of this machine, with two threads.
pub(super) fn every_isa(test: impl Fn(&Cpu)) {
    for isa in Isa::available() {
        test(&Cpu::new(isa, 2));
    }
}

/// A xorshift generator.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: usize) -> Random {
        Random(seed as u64 * 0x9e37_79b9 + 0x1234_5678_9abc_def1)
    }

    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// `n` numbers of the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self, n: usize) -> Vec<f32> {
        let draw = |_| {
            ((-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos())
                as f32
        };
        (0..n).map(draw).collect()
    }
}

/// Root mean square of the error over that of the expected values; infinite when something is not
/// finite.
pub(super) fn relative_rms(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let (mut error, mut size) = (0.0, 0.0);
    for (g, e) in got.iter().zip(expected) {
        if !g.is_finite() {
            return f64::INFINITY;
        }
        error += (f64::from(*g) - e).powi(2);
        size += e * e;
    }
    (error / size).sqrt()
}

/// erf by its series, to 1e-9.
pub(super) fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
