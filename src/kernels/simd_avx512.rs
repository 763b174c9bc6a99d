//! Owns the AVX-512 implementation of `Simd`: 16 lanes, with the bf16 and 8-bit dot products where
//! the machine has them.

use super::simd::{Kernel, Simd, lane_operations};
use std::arch::x86_64::*;

/// Foundation, BW, DQ and VL.
pub(super) const BASE: u8 = 0;
/// BASE and AVX512_BF16.
pub(super) const BF16: u8 = 1;
/// BASE and AVX512_VNNI.
pub(super) const VNNI: u8 = 2;

/// Numbers 0, 16, 1, 17, ... of two halves.
const IN_TURN: __m512i = {
    let mut at = [0u16; 32];
    let mut i = 0;
    while i < 32 {
        at[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    // SAFETY: as many bits, of which any are valid.
    unsafe { std::mem::transmute::<[u16; 32], __m512i>(at) }
};

/// Proof that the machine has AVX-512 with the extension `X` (`BASE`, `BF16` or `VNNI`).
#[derive(Clone, Copy)]
pub(super) struct Avx512<const X: u8>(());

impl<const X: u8> Avx512<X> {
    /// # Safety
    /// The machine has avx512f, avx512bw, avx512dq, avx512vl, fma, f16c and the extension `X`.
    pub(super) unsafe fn assume() -> Self {
        Avx512(())
    }
}

/// # Safety
/// The machine has the features named.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
#[inline(never)]
unsafe fn enter_base<K: Kernel, const X: u8>(simd: Avx512<X>, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// # Safety
/// The machine has the features named.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c")]
#[inline(never)]
unsafe fn enter_bf16<K: Kernel, const X: u8>(simd: Avx512<X>, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// # Safety
/// The machine has the features named.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c")]
#[inline(never)]
unsafe fn enter_vnni<K: Kernel, const X: u8>(simd: Avx512<X>, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// Bits of the first `n` <= 16 lanes.
#[inline(always)]
fn mask(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

impl<const X: u8> Simd for Avx512<X> {
    const WIDTH: usize = 16;
    const TILE_ROWS: usize = 12;
    type V = __m512;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves the features of X.
        unsafe {
            match X {
                BF16 => enter_bf16(self, kernel),
                VNNI => enter_vnni(self, kernel),
                _ => enter_base(self, kernel),
            }
        }
    }

    lane_operations! {
        splat(x: f32) = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) = _mm512_fmadd_ps(a, b, c);
        neg_fma(a: __m512, b: __m512, c: __m512) = _mm512_fnmadd_ps(a, b, c);
        max(a: __m512, b: __m512) = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) = _mm512_min_ps(a, b);
        abs(a: __m512) = _mm512_abs_ps(a);
        round(a: __m512) = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        scale_pow2(p: __m512, n: __m512) = _mm512_scalef_ps(p, n);
        int_to_float(a: __m512) = _mm512_cvtepi32_ps(_mm512_castps_si512(a));
    }
    #[inline(always)]
    fn where_negative(self, sign: __m512, negative: __m512, other: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(sign, _mm512_setzero_ps());
            _mm512_mask_blend_ps(below, other, negative)
        }
    }
    /// 14 bits from the table, doubled by one Newton step.
    #[inline(always)]
    fn reciprocal(self, a: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let r = _mm512_rcp14_ps(a);
            _mm512_fmadd_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(1.0)), r)
        }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller vouches for p.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for p.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m512, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller vouches for p.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller vouches for p.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: __m512) {
        // SAFETY: the caller vouches for p.
        unsafe { _mm256_storeu_si256(p.cast(), self.narrow_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_first(self, p: *mut u16, v: __m512, n: usize) {
        // SAFETY: masked lanes are not touched; the caller vouches for the others.
        unsafe { _mm256_mask_storeu_epi16(p.cast(), mask(n), self.narrow_bf16(v)) }
    }

    #[inline(always)]
    fn dot_u8_i8(self, acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let (acc, a, b) = (
                _mm512_castps_si512(acc),
                _mm512_castps_si512(a),
                _mm512_castps_si512(b),
            );
            if X == VNNI {
                return _mm512_castsi512_ps(_mm512_dpbusd_epi32(acc, a, b));
            }
            // Even and odd bytes as 16-bit numbers: exact, where maddubs would saturate.
            let low = _mm512_set1_epi16(0xff);
            let even = _mm512_madd_epi16(
                _mm512_and_si512(a, low),
                _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(b)),
            );
            let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(a), _mm512_srai_epi16::<8>(b));
            _mm512_castsi512_ps(_mm512_add_epi32(acc, _mm512_add_epi32(even, odd)))
        }
    }
    #[inline(always)]
    fn dot_bf16(self, acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            if X == BF16 {
                return _mm512_dpbf16_ps(
                    acc,
                    std::mem::transmute::<__m512, __m512bh>(a),
                    std::mem::transmute::<__m512, __m512bh>(b),
                );
            }
            let high = _mm512_castsi512_ps(_mm512_set1_epi32(0xffff_0000_u32 as i32));
            let low = |v| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v)));
            let sum = _mm512_fmadd_ps(low(a), low(b), acc);
            _mm512_fmadd_ps(_mm512_and_ps(a, high), _mm512_and_ps(b, high), sum)
        }
    }

    #[inline(always)]
    fn pair_bf16(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            if X == BF16 {
                // Both halves of 32 numbers, then one of each in turn.
                let halves =
                    std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                return _mm512_castsi512_ps(_mm512_permutexvar_epi16(IN_TURN, halves));
            }
            let low = _mm512_cvtepu16_epi32(self.narrow_bf16(low));
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(self.narrow_bf16(high)));
            _mm512_castsi512_ps(_mm512_or_si512(low, high))
        }
    }

    #[inline(always)]
    fn join_bf16(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            let low = _mm512_srli_epi32::<16>(_mm512_castps_si512(low));
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let high = _mm512_and_si512(_mm512_castps_si512(high), upper);
            _mm512_castsi512_ps(_mm512_or_si512(low, high))
        }
    }
    #[inline(always)]
    fn any_greater(self, a: __m512, b: __m512) -> bool {
        // SAFETY: registers only; the token proves the features.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) != 0 }
    }

    #[inline(always)]
    unsafe fn transpose(
        self,
        src: *const f32,
        src_stride: usize,
        dst: *mut f32,
        dst_stride: usize,
    ) {
        // SAFETY: rows 0..16 of both blocks are valid as the caller vouches.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(src.add(i * src_stride));
            }
            for (i, row) in transpose_16(rows).into_iter().enumerate() {
                _mm512_storeu_ps(dst.add(i * dst_stride), row);
            }
        }
    }
}

impl<const X: u8> Avx512<X> {
    #[inline(always)]
    fn narrow_bf16(self, v: __m512) -> __m256i {
        // SAFETY: registers only; the token proves the features.
        unsafe {
            if X == BF16 {
                return std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
            }
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
        }
    }
}

/// Rows to columns in four rounds of exchanges: pairs, quads, then 128-bit blocks twice.
///
/// # Safety
/// The machine has avx512f.
#[inline(always)]
unsafe fn transpose_16(rows: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: registers only; the caller vouches for the feature.
    unsafe {
        let mut r = rows;
        let mut t = rows;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        for i in 0..4 {
            let (a, b) = (_mm512_castps_pd(t[4 * i]), _mm512_castps_pd(t[4 * i + 1]));
            let (c, d) = (
                _mm512_castps_pd(t[4 * i + 2]),
                _mm512_castps_pd(t[4 * i + 3]),
            );
            r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
            r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
            r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
            r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
        }
        for i in 0..4 {
            t[i] = _mm512_shuffle_f32x4::<0x88>(r[i], r[4 + i]);
            t[4 + i] = _mm512_shuffle_f32x4::<0xdd>(r[i], r[4 + i]);
            t[8 + i] = _mm512_shuffle_f32x4::<0x88>(r[8 + i], r[12 + i]);
            t[12 + i] = _mm512_shuffle_f32x4::<0xdd>(r[8 + i], r[12 + i]);
        }
        for i in 0..4 {
            r[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[8 + i]);
            r[8 + i] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[8 + i]);
            r[4 + i] = _mm512_shuffle_f32x4::<0x88>(t[4 + i], t[12 + i]);
            r[12 + i] = _mm512_shuffle_f32x4::<0xdd>(t[4 + i], t[12 + i]);
        }
        r
    }
}
