//! Owns the NEON implementation of `Simd`: 4 lanes. Methods not written here are the defaults of
//! the trait.

use super::simd::{Kernel, Simd, lane_operations};
use std::arch::aarch64::*;

/// NEON, which every aarch64 machine has.
#[derive(Clone, Copy)]
pub(super) struct Neon;

#[inline(never)]
fn enter<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
    kernel.run(simd)
}

impl Simd for Neon {
    const WIDTH: usize = 4;
    const TILE_ROWS: usize = 12;
    type V = float32x4_t;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        enter(self, kernel)
    }

    lane_operations! {
        splat(x: f32) = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) = vfmaq_f32(c, a, b);
        neg_fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) = vfmsq_f32(c, a, b);
        max(a: float32x4_t, b: float32x4_t) = vmaxq_f32(a, b);
        min(a: float32x4_t, b: float32x4_t) = vminq_f32(a, b);
        abs(a: float32x4_t) = vabsq_f32(a);
        round(a: float32x4_t) = vrndnq_f32(a);
        int_to_float(a: float32x4_t) = vcvtq_f32_s32(vreinterpretq_s32_f32(a));
    }
    #[inline(always)]
    fn where_negative(
        self,
        sign: float32x4_t,
        negative: float32x4_t,
        other: float32x4_t,
    ) -> float32x4_t {
        // SAFETY: registers only; NEON is part of aarch64.
        unsafe { vbslq_f32(vcltzq_f32(sign), negative, other) }
    }
    /// 2^n through the exponent bits; n = -127 makes the bits of zero.
    #[inline(always)]
    fn scale_pow2(self, p: float32x4_t, n: float32x4_t) -> float32x4_t {
        // SAFETY: registers only; NEON is part of aarch64.
        unsafe {
            let n = vminq_f32(vmaxq_f32(n, vdupq_n_f32(-127.0)), vdupq_n_f32(127.0));
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for p.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4_t) {
        // SAFETY: the caller vouches for p.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> float32x4_t {
        // SAFETY: the caller vouches for p.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))) }
    }
}
