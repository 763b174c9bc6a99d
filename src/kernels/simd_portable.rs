//! Owns the implementation of `Simd` for any machine: eight f32 in an array, for the compiler to
//! vectorise.

use super::simd::{Kernel, Simd};

/// No instruction set in particular.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Lanes([f32; 8]);

#[inline(never)]
fn enter<K: Kernel>(simd: Portable, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes(std::array::from_fn(|i| f(a.0[i], b.0[i])))
}

impl Simd for Portable {
    const WIDTH: usize = 8;
    const TILE_ROWS: usize = 4;
    type V = Lanes;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        enter(self, kernel)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; 8])
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        Lanes(a.0.map(f32::abs))
    }
    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        // Adding 1.5 x 2^23 leaves no room for a fraction; exact below 2^22, and no call of the C
        // library.
        Lanes(a.0.map(|x| {
            if x.abs() < 4_194_304.0 {
                x + 12_582_912.0 - 12_582_912.0
            } else {
                x
            }
        }))
    }
    #[inline(always)]
    fn where_negative(self, sign: Lanes, negative: Lanes, other: Lanes) -> Lanes {
        Lanes(std::array::from_fn(|i| {
            if sign.0[i] < 0.0 {
                negative.0[i]
            } else {
                other.0[i]
            }
        }))
    }
    /// 2^n through the exponent bits; n = -127 makes the bits of zero.
    #[inline(always)]
    fn scale_pow2(self, p: Lanes, n: Lanes) -> Lanes {
        zip(p, n, |p, n| {
            p * f32::from_bits(((n.clamp(-127.0, 127.0) as i32 + 127) as u32) << 23)
        })
    }
    #[inline(always)]
    fn int_to_float(self, a: Lanes) -> Lanes {
        Lanes(a.0.map(|x| x.to_bits() as i32 as f32))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Lanes {
        // SAFETY: the caller vouches for p.
        Lanes(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Lanes) {
        // SAFETY: the caller vouches for p.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v.0) }
    }
}
