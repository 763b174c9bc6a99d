//! Owns the AVX2 + FMA implementation of `Simd`: 8 lanes.

use super::simd::{Kernel, Simd, lane_operations};
use std::arch::x86_64::*;

/// Proof that the machine has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The machine has avx2, fma and f16c.
    pub(super) unsafe fn assume() -> Self {
        Avx2(())
    }
}

/// # Safety
/// The machine has the features named.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn enter<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    kernel.run(simd)
}

impl Simd for Avx2 {
    const WIDTH: usize = 8;
    const TILE_ROWS: usize = 6;
    type V = __m256;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves the features.
        unsafe { enter(self, kernel) }
    }

    lane_operations! {
        splat(x: f32) = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) = _mm256_fmadd_ps(a, b, c);
        neg_fma(a: __m256, b: __m256, c: __m256) = _mm256_fnmadd_ps(a, b, c);
        max(a: __m256, b: __m256) = _mm256_max_ps(a, b);
        min(a: __m256, b: __m256) = _mm256_min_ps(a, b);
        abs(a: __m256) = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        round(a: __m256) = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        int_to_float(a: __m256) = _mm256_cvtepi32_ps(_mm256_castps_si256(a));
    }
    #[inline(always)]
    fn where_negative(self, sign: __m256, negative: __m256, other: __m256) -> __m256 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            _mm256_blendv_ps(
                other,
                negative,
                _mm256_cmp_ps::<_CMP_LT_OQ>(sign, _mm256_setzero_ps()),
            )
        }
    }
    /// 2^n through the exponent bits; n = -127 makes the bits of zero.
    #[inline(always)]
    fn scale_pow2(self, p: __m256, n: __m256) -> __m256 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let n = _mm256_min_ps(
                _mm256_max_ps(n, _mm256_set1_ps(-127.0)),
                _mm256_set1_ps(127.0),
            );
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller vouches for p.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for p.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller vouches for p.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller vouches for p.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    /// Even and odd bytes as 16-bit numbers: exact, where maddubs would saturate.
    #[inline(always)]
    fn dot_u8_i8(self, acc: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let (acc, a, b) = (
                _mm256_castps_si256(acc),
                _mm256_castps_si256(a),
                _mm256_castps_si256(b),
            );
            let low = _mm256_set1_epi16(0xff);
            let even = _mm256_madd_epi16(
                _mm256_and_si256(a, low),
                _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)),
            );
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(a), _mm256_srai_epi16::<8>(b));
            _mm256_castsi256_ps(_mm256_add_epi32(acc, _mm256_add_epi32(even, odd)))
        }
    }
    #[inline(always)]
    fn dot_bf16(self, acc: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let high = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32));
            let low = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(v)));
            let sum = _mm256_fmadd_ps(low(a), low(b), acc);
            _mm256_fmadd_ps(_mm256_and_ps(a, high), _mm256_and_ps(b, high), sum)
        }
    }
}
