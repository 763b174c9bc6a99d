//! Owns the elementary functions of the kernels: exp, SiLU, GELU and its approximation, ReLU,
//! written once over `Simd`.

use super::Cpu;
use super::simd::{Kernel, Simd};

/// A function applied to every element.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Activation {
    /// x
    #[default]
    None,
    /// x / (1 + e^-x)
    Silu,
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
    /// x / (1 + e^(-1.702 x)), the GELU of the first CLIP models
    QuickGelu,
    /// max(x, 0)
    Relu,
}

/// 2^x. Relative error below 1.5e-7 for x in [-126, 127]; 0 below.
///
/// Minimax polynomial of degree 6 on [-1/2, 1/2] (its own error 1.9e-9), constant term exactly 1 so
/// that exp2(0) = 1.
#[inline(always)]
pub(super) fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    let whole = s.round(x);
    let f = s.sub(x, whole);
    let p = s.fma(f, s.splat(0.000_153_458_12), s.splat(0.001_339_993_1));
    let p = s.fma(f, p, s.splat(0.009_618_489));
    let p = s.fma(f, p, s.splat(0.055_503_286));
    let p = s.fma(f, p, s.splat(0.240_226_46));
    let p = s.fma(f, p, s.splat(std::f32::consts::LN_2));
    s.scale_pow2(s.fma(f, p, s.splat(1.0)), whole)
}

/// 2^x for bf16 results: degree 3, relative error 7.5e-5, a sixtieth of bf16's own rounding.
#[inline(always)]
pub(super) fn exp2_bf16<S: Simd>(s: S, x: S::V) -> S::V {
    let whole = s.round(x);
    let f = s.sub(x, whole);
    let p = s.fma(f, s.splat(0.055_171_67), s.splat(0.242_611_13));
    let p = s.fma(f, p, s.splat(0.693_260_97));
    s.scale_pow2(s.fma(f, p, s.splat(0.999_928_06)), whole)
}

/// e^x. The product x log2(e) is kept in two parts, or its rounding would cost |x| 6e-8 of relative
/// error.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // 2^-n for the largest |x| that matters; beyond it the result is 0 or infinite in f32 anyway.
    let x = s.min(s.max(x, s.splat(-88.0)), s.splat(88.0));
    let whole = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 = 0.693359375 - 2.12194440e-4, the first part exact in few bits (Cody and Waite).
    let r = s.neg_fma(whole, s.splat(0.693_359_4), x);
    let r = s.fma(whole, s.splat(2.121_944_4e-4), r);
    let p = s.fma(r, s.splat(1.0 / 720.0), s.splat(1.0 / 120.0));
    let p = s.fma(r, p, s.splat(1.0 / 24.0));
    let p = s.fma(r, p, s.splat(1.0 / 6.0));
    let p = s.fma(r, p, s.splat(0.5));
    let p = s.fma(r, p, s.splat(1.0));
    s.scale_pow2(s.fma(r, p, s.splat(1.0)), whole)
}

/// x / (1 + e^(-slope x)).
#[inline(always)]
fn sigmoid_gate<S: Simd>(s: S, x: S::V, slope: f32) -> S::V {
    let e = exp(s, s.mul(x, s.splat(-slope)));
    s.mul(x, s.reciprocal(s.add(e, s.splat(1.0))))
}

/// SiLU.
#[inline(always)]
pub(super) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    sigmoid_gate(s, x, 1.0)
}

/// GELU's sigmoid approximation.
#[inline(always)]
pub(super) fn quick_gelu<S: Simd>(s: S, x: S::V) -> S::V {
    sigmoid_gate(s, x, 1.702)
}

/// ReLU; a NaN stays one.
#[inline(always)]
pub(super) fn relu<S: Simd>(s: S, x: S::V) -> S::V {
    s.max(s.splat(0.0), x)
}

/// GELU through erf: Abramowitz and Stegun 7.1.26, absolute error of erf below 1.5e-7.
#[inline(always)]
pub(super) fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let z = s.abs(s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    let t = s.reciprocal(s.fma(z, s.splat(0.327_591_1), s.splat(1.0)));
    let p = s.fma(t, s.splat(1.061_405_4), s.splat(-1.453_152));
    let p = s.fma(t, p, s.splat(1.421_413_8));
    let p = s.fma(t, p, s.splat(-0.284_496_74));
    let p = s.mul(t, s.fma(t, p, s.splat(0.254_829_6)));
    // q = 1 - erf|z|, and 0.5 x (1 + erf z) is x - 0.5 x q right of zero, 0.5 x q left of it.
    let q = s.mul(p, exp(s, s.neg_fma(z, z, s.splat(0.0))));
    let half = s.mul(x, s.splat(0.5));
    s.where_negative(x, s.mul(half, q), s.neg_fma(half, q, x))
}

/// A function of one variable as a type. Not a closure: one of many vector operations used at two
/// places is not inlined, and a function left outside has none of the instruction set's features.
pub(super) trait Elementwise {
    /// The function.
    fn apply<S: Simd>(s: S, x: S::V) -> S::V;
}

macro_rules! elementwise {
    ($($name:ident = $function:expr;)*) => {$(
        pub(super) struct $name;
        impl Elementwise for $name {
            #[inline(always)]
            fn apply<S: Simd>(s: S, x: S::V) -> S::V {
                $function(s, x)
            }
        }
    )*};
}

elementwise! {
    Identity = |_, x| x;
    Silu = silu;
    Gelu = gelu;
    QuickGelu = quick_gelu;
    Relu = relu;
}

/// Applies `activation` to every element of `data`.
pub(crate) fn activate(cpu: &Cpu, activation: Activation, data: &mut [f32]) {
    cpu.pool().for_chunks(data, 1 << 14, |_, chunk| {
        cpu.isa().run(Activate {
            activation,
            data: chunk,
        });
    });
}

struct Activate<'a> {
    activation: Activation,
    data: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.activation {
            Activation::None => {}
            Activation::Silu => map::<S, Silu>(s, self.data),
            Activation::Gelu => map::<S, Gelu>(s, self.data),
            Activation::QuickGelu => map::<S, QuickGelu>(s, self.data),
            Activation::Relu => map::<S, Relu>(s, self.data),
        }
    }
}

#[inline(always)]
fn map<S: Simd, F: Elementwise>(s: S, data: &mut [f32]) {
    let mut chunks = data.chunks_exact_mut(S::WIDTH);
    for chunk in &mut chunks {
        // SAFETY: the chunk has WIDTH elements.
        unsafe { s.store(chunk.as_mut_ptr(), F::apply(s, s.load(chunk.as_ptr()))) };
    }
    let rest = chunks.into_remainder();
    // SAFETY: the remainder has `rest.len()` < WIDTH elements.
    unsafe {
        s.store_first(
            rest.as_mut_ptr(),
            F::apply(s, s.load_first(rest.as_ptr(), rest.len())),
            rest.len(),
        );
    };
}

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::super::testing::erf;
    use super::*;

    struct Map<'a, F: Fn(f64) -> f64>(&'a [f32], F, u8);

    impl<F: Fn(f64) -> f64> Kernel for Map<'_, F> {
        /// Greatest relative error.
        type Output = f64;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f64 {
            let mut worst = 0f64;
            for chunk in self.0.chunks_exact(S::WIDTH) {
                // SAFETY: the chunk has WIDTH elements.
                let x = unsafe { s.load(chunk.as_ptr()) };
                let y = match self.2 {
                    0 => exp2(s, x),
                    1 => exp2_bf16(s, x),
                    _ => exp(s, x),
                };
                for (x, y) in chunk.iter().zip(s.lanes(y)) {
                    let expected = self.1(f64::from(*x));
                    worst = worst.max((f64::from(y) - expected).abs() / expected);
                }
            }
            worst
        }
    }

    #[test]
    fn exponentials_are_exact_to_their_stated_error() {
        let x: Vec<f32> = (0..100_000)
            .map(|i| (i as f32 - 50_000.0) * 0.0017)
            .collect();
        for isa in Isa::available() {
            // Measured: 1.2e-7 (avx512, avx2), 1.3e-7 (portable, no fused multiply-add).
            assert!(isa.run(Map(&x, f64::exp2, 0)) < 1.5e-7, "{isa}");
            assert!(isa.run(Map(&x, f64::exp2, 1)) < 8e-5, "{isa}");
            // Measured: 1.6e-7.
            assert!(isa.run(Map(&x, f64::exp, 2)) < 2.5e-7, "{isa}");
        }
    }

    #[test]
    fn far_below_zero_exp2_is_zero() {
        struct AtMinus(f32);
        impl Kernel for AtMinus {
            type Output = f32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> f32 {
                s.greatest(exp2(s, s.splat(-self.0)))
            }
        }
        for isa in Isa::available() {
            assert_eq!(isa.run(AtMinus(1e30)), 0.0, "{isa}");
            assert_eq!(isa.run(AtMinus(0.0)), 1.0, "{isa}");
        }
    }

    #[test]
    fn activations_match_their_formulas() {
        let x: Vec<f32> = (0..20_011).map(|i| (i as f32 - 10_000.0) * 0.001).collect();
        type Formula = fn(f64) -> f64;
        let reference: [(Activation, Formula); 4] = [
            (Activation::Silu, |x| x / (1.0 + (-x).exp())),
            (Activation::Gelu, |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))),
            (Activation::QuickGelu, |x| x / (1.0 + (-1.702 * x).exp())),
            (Activation::Relu, |x| x.max(0.0)),
        ];
        for isa in Isa::available() {
            let cpu = Cpu::new(isa, 2);
            for (activation, f) in reference {
                let mut y = x.clone();
                activate(&cpu, activation, &mut y);
                let error = |(x, y): (&f32, &f32)| {
                    (f64::from(*y) - f(f64::from(*x))).abs() / (1.0 + f64::from(x.abs()))
                };
                // Measured: 1.2e-7 (SiLU), 1.5e-7 (GELU).
                let worst = x.iter().zip(&y).map(error).fold(0.0, f64::max);
                assert!(worst < 3e-7, "{isa} {activation:?} {worst:e}");
            }
        }
    }
}
