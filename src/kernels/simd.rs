//! Owns the vocabulary of vector operations: every kernel is written once over `Simd`; the
//! instruction sets implement it elsewhere. The crates for it (pulp, wide) lack the bf16 and 8-bit
//! dot products.

use half::{bf16, f16};

/// Most f32 lanes any instruction set here has (AVX-512).
pub(super) const MAX_WIDTH: usize = 16;
/// Most rows any register tile here has.
pub(super) const MAX_TILE_ROWS: usize = 12;

/// Prefetches the cache line at `p`, valid or not.
#[inline(always)]
pub(super) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the address is not accessed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A computation written over any instruction set; its `run` is `#[inline(always)]` so that it is
/// compiled into the `#[target_feature]` function of each set.
pub(super) trait Kernel {
    /// Result of the computation.
    type Output;
    /// Runs the computation with the operations of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Operations of a `Simd` that are a single expression over registers.
macro_rules! lane_operations {
    ($($name:ident($($arg:ident: $type:ty),+) = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $type),+) -> Self::V {
            // SAFETY: registers only; the token proves the features.
            unsafe { $body }
        }
    )+};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use lane_operations;

/// One instruction set. A value of the type is the proof that the machine has it.
///
/// A *lane* is 32 bits: one f32, a pair of bf16, or four 8-bit integers.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// f32 lanes of a vector; at most `MAX_WIDTH`.
    const WIDTH: usize;
    /// Rows of the register tile: TILE_ROWS x 2 accumulators and three operands fit in the
    /// registers.
    const TILE_ROWS: usize;
    /// A vector of `WIDTH` lanes.
    type V: Copy;

    /// Runs `kernel` in a function compiled for this instruction set; a real call, never inlined
    /// into the caller.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Lane by lane a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane a * b + c, fused where the set has it.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane by lane c - a * b, fused where the set has it.
    fn neg_fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane by lane maximum.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane minimum.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane absolute value.
    fn abs(self, a: Self::V) -> Self::V;
    /// Rounds to the nearest whole number.
    fn round(self, a: Self::V) -> Self::V;
    /// `negative` where `sign` < 0, else `other`.
    fn where_negative(self, sign: Self::V, negative: Self::V, other: Self::V) -> Self::V;
    /// p * 2^n for whole n in [-126, 127]; smaller n give 0.
    fn scale_pow2(self, p: Self::V, n: Self::V) -> Self::V;
    /// Each lane, an i32 in its bits, as f32.
    fn int_to_float(self, a: Self::V) -> Self::V;

    /// 1 / a to about one unit in the last place.
    #[inline(always)]
    fn reciprocal(self, a: Self::V) -> Self::V {
        self.div(self.splat(1.0), a)
    }

    /// WIDTH consecutive f32 from `p`, of any alignment.
    ///
    /// # Safety
    /// `p` is valid for reading WIDTH f32.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// WIDTH consecutive f32 to `p`, of any alignment.
    ///
    /// # Safety
    /// `p` is valid for writing WIDTH f32.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// The first `n` <= WIDTH lanes from `p`, the others zero.
    ///
    /// # Safety
    /// `p` is valid for reading `n` f32.
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        let mut lanes = [0f32; MAX_WIDTH];
        // SAFETY: n <= WIDTH <= MAX_WIDTH lanes are copied, which the caller vouches for.
        unsafe {
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            self.load(lanes.as_ptr())
        }
    }

    /// As [`Self::load_first`], in one piece where `n` is WIDTH.
    ///
    /// # Safety
    /// `p` is valid for reading `n` f32.
    #[inline(always)]
    unsafe fn load_up_to(self, p: *const f32, n: usize) -> Self::V {
        // SAFETY: as the caller vouches.
        unsafe {
            if n == Self::WIDTH {
                self.load(p)
            } else {
                self.load_first(p, n)
            }
        }
    }

    /// The first `n` <= WIDTH lanes to `p`.
    ///
    /// # Safety
    /// `p` is valid for writing `n` f32.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
        let lanes = self.lanes(v);
        // SAFETY: n <= WIDTH lanes are copied to where the caller vouches for.
        unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n) };
    }

    /// WIDTH consecutive f16 from `p`, widened.
    ///
    /// # Safety
    /// `p` is valid for reading WIDTH u16.
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Self::V {
        let mut lanes = [0f32; MAX_WIDTH];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::WIDTH) {
            // SAFETY: i < WIDTH.
            *lane = f16::from_bits(unsafe { p.add(i).read_unaligned() }).to_f32();
        }
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// WIDTH consecutive bf16 from `p`, widened.
    ///
    /// # Safety
    /// `p` is valid for reading WIDTH u16.
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::V {
        let mut lanes = [0f32; MAX_WIDTH];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::WIDTH) {
            // SAFETY: i < WIDTH.
            *lane = bf16::from_bits(unsafe { p.add(i).read_unaligned() }).to_f32();
        }
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// WIDTH lanes rounded to bf16 (to nearest, ties to even) at `p`.
    ///
    /// # Safety
    /// `p` is valid for writing WIDTH u16.
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: Self::V) {
        // SAFETY: as the caller vouches.
        unsafe { self.store_bf16_first(p, v, Self::WIDTH) };
    }

    /// The first `n` <= WIDTH lanes rounded to bf16 at `p`.
    ///
    /// # Safety
    /// `p` is valid for writing `n` u16.
    #[inline(always)]
    unsafe fn store_bf16_first(self, p: *mut u16, v: Self::V, n: usize) {
        let lanes = self.lanes(v);
        for (i, lane) in lanes.iter().enumerate().take(n) {
            // SAFETY: i < n.
            unsafe { p.add(i).write_unaligned(bf16::from_f32(*lane).to_bits()) };
        }
    }

    /// `acc`, i32 in its bits, plus the products of four unsigned bytes of `a` and four signed
    /// bytes of `b`, lane by lane.
    #[inline(always)]
    fn dot_u8_i8(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V {
        let (mut sums, a, b) = (self.lanes(acc), self.lanes(a), self.lanes(b));
        for i in 0..Self::WIDTH {
            let (a, b) = (a[i].to_bits().to_le_bytes(), b[i].to_bits().to_le_bytes());
            let mut sum = sums[i].to_bits() as i32;
            for q in 0..4 {
                sum += i32::from(a[q]) * i32::from(b[q] as i8);
            }
            sums[i] = f32::from_bits(sum as u32);
        }
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(sums.as_ptr()) }
    }

    /// `acc` plus the products of the two bf16 of `a` and of `b`, lane by lane.
    #[inline(always)]
    fn dot_bf16(self, acc: Self::V, a: Self::V, b: Self::V) -> Self::V {
        let (mut sums, a, b) = (self.lanes(acc), self.lanes(a), self.lanes(b));
        for i in 0..Self::WIDTH {
            let (a, b) = (a[i].to_bits(), b[i].to_bits());
            let half = |x: u32| f32::from_bits(x & 0xffff_0000);
            sums[i] += half(a << 16) * half(b << 16) + half(a) * half(b);
        }
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(sums.as_ptr()) }
    }

    /// Two vectors rounded to bf16 (to nearest, ties to even), in the lower and upper halves of
    /// one.
    #[inline(always)]
    fn pair_bf16(self, low: Self::V, high: Self::V) -> Self::V {
        let round = |v| {
            self.lanes(v)
                .map(|x| u32::from(bf16::from_f32(x).to_bits()))
        };
        let (low, high) = (round(low), round(high));
        let paired: [f32; MAX_WIDTH] =
            std::array::from_fn(|i| f32::from_bits(low[i] | high[i] << 16));
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(paired.as_ptr()) }
    }

    /// The upper halves of two vectors, as bf16 cut off without rounding, in the lower and upper
    /// halves of one.
    #[inline(always)]
    fn join_bf16(self, low: Self::V, high: Self::V) -> Self::V {
        let (low, high) = (self.lanes(low), self.lanes(high));
        let join =
            |i: usize| f32::from_bits(low[i].to_bits() >> 16 | high[i].to_bits() & 0xffff_0000);
        let joined: [f32; MAX_WIDTH] = std::array::from_fn(join);
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.load(joined.as_ptr()) }
    }

    /// Returns true if any lane of `a` is greater than that of `b`.
    #[inline(always)]
    fn any_greater(self, a: Self::V, b: Self::V) -> bool {
        self.greatest(self.sub(a, b)) > 0.0
    }

    /// Copies a WIDTH x WIDTH block of lanes from rows of `src` to columns of `dst`; strides in
    /// lanes.
    ///
    /// # Safety
    /// The blocks are valid for reading and writing, and do not overlap.
    #[inline(always)]
    unsafe fn transpose(
        self,
        src: *const f32,
        src_stride: usize,
        dst: *mut f32,
        dst_stride: usize,
    ) {
        for i in 0..Self::WIDTH {
            for j in 0..Self::WIDTH {
                // SAFETY: i, j < WIDTH.
                unsafe { *dst.add(j * dst_stride + i) = *src.add(i * src_stride + j) };
            }
        }
    }

    /// The lanes as an array; those past WIDTH are zero.
    #[inline(always)]
    fn lanes(self, v: Self::V) -> [f32; MAX_WIDTH] {
        let mut lanes = [0f32; MAX_WIDTH];
        // SAFETY: the array has MAX_WIDTH >= WIDTH lanes.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        lanes
    }

    /// Sum of the lanes.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        self.lanes(v)[..Self::WIDTH].iter().sum()
    }

    /// Greatest lane.
    #[inline(always)]
    fn greatest(self, v: Self::V) -> f32 {
        self.lanes(v)[..Self::WIDTH]
            .iter()
            .fold(f32::NEG_INFINITY, |a, b| a.max(*b))
    }
}

/// Content of a 32-bit lane, and the product of two vectors of lanes added to an accumulator.
pub(super) trait Lane: Copy + Send + Sync + 'static {
    /// Numbers in a lane.
    const COUNT: usize;
    /// acc + a . b, lane by lane.
    fn multiply_add<S: Simd>(simd: S, a: S::V, b: S::V, acc: S::V) -> S::V;
}

/// One f32 per lane.
#[derive(Clone, Copy)]
pub(super) struct F32Lane;
/// Two bf16 per lane, products accumulated in f32.
#[derive(Clone, Copy)]
pub(super) struct Bf16Lane;
/// Four 8-bit integers per lane (left unsigned, right signed), products accumulated in i32.
#[derive(Clone, Copy)]
pub(super) struct Int8Lane;

impl Lane for F32Lane {
    const COUNT: usize = 1;
    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::V, b: S::V, acc: S::V) -> S::V {
        simd.fma(a, b, acc)
    }
}

impl Lane for Bf16Lane {
    const COUNT: usize = 2;
    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::V, b: S::V, acc: S::V) -> S::V {
        simd.dot_bf16(acc, a, b)
    }
}

impl Lane for Int8Lane {
    const COUNT: usize = 4;
    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::V, b: S::V, acc: S::V) -> S::V {
        simd.dot_u8_i8(acc, a, b)
    }
}
