//! Owns the steps after finished sums: scale, bias, activation or gate, residual, rounding.

use super::math::{Activation, Elementwise, Gelu, Identity, QuickGelu, Relu, Silu, gelu};
use super::rows::Rows;
use super::simd::Simd;
use half::bf16;

/// Steps after the sums of a product: out = activation(sums + bias) + residual.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Applied after the bias.
    pub activation: Activation,
    /// Added last.
    pub residual: Residual<'a>,
}

/// Residual that is added to an output, row by row.
#[derive(Clone, Copy, Default)]
pub(crate) enum Residual<'a> {
    /// Nothing.
    #[default]
    None,
    /// A matrix of the shape of the output.
    Rows(Rows<'a>),
    /// The values that the output, in f32, already holds.
    Output,
}

impl Residual<'_> {
    /// Address of the residual for `rows` rows of `columns` numbers at `target`; `None` if there is
    /// none.
    ///
    /// # Panics
    /// If it has another shape, or is an output in bf16.
    pub(super) fn find(
        self,
        rows: usize,
        columns: usize,
        target: OutputPtr,
    ) -> Option<ResidualPtr> {
        match (self, target) {
            (Residual::None, _) => None,
            (Residual::Rows(residual), _) => {
                assert_eq!(residual.columns(), columns, "residual columns");
                residual.check(rows);
                Some(ResidualPtr {
                    at: residual.as_ptr(),
                    stride: residual.stride(),
                })
            }
            (Residual::Output, OutputPtr::F32(out)) => Some(ResidualPtr {
                at: out.cast_const(),
                stride: columns,
            }),
            (Residual::Output, OutputPtr::Bf16(_)) => panic!("a residual in bf16"),
        }
    }
}

/// The address of a residual, whose rows are read by the task that writes the same rows of the
/// output.
#[derive(Clone, Copy)]
pub(super) struct ResidualPtr {
    pub(super) at: *const f32,
    pub(super) stride: usize,
}

// SAFETY: an element is read by the one task that then writes its counterpart in the output.
unsafe impl Send for ResidualPtr {}
// SAFETY: as above.
unsafe impl Sync for ResidualPtr {}

impl ResidualPtr {
    /// The residual from `row` and `column` on.
    pub(super) fn from(self, row: usize, column: usize) -> ResidualPtr {
        ResidualPtr {
            at: self.at.wrapping_add(row * self.stride + column),
            ..self
        }
    }
}

/// Output of a kernel: contiguous rows of f32, or of bf16 for a following product in bf16.
pub(crate) enum Output<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Rounded to nearest.
    Bf16(&'a mut [bf16]),
}

impl Output<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Output::F32(out) => out.len(),
            Output::Bf16(out) => out.len(),
        }
    }

    pub(super) fn target(&mut self) -> OutputPtr {
        match self {
            Output::F32(out) => OutputPtr::F32(out.as_mut_ptr()),
            Output::Bf16(out) => OutputPtr::Bf16(out.as_mut_ptr().cast()),
        }
    }
}

/// The address of an output, shared by tasks that write disjoint rows or columns.
#[derive(Clone, Copy)]
pub(super) enum OutputPtr {
    F32(*mut f32),
    Bf16(*mut u16),
}

// SAFETY: tasks write disjoint elements, as each promises at its unsafe block.
unsafe impl Send for OutputPtr {}
// SAFETY: as above.
unsafe impl Sync for OutputPtr {}

impl OutputPtr {
    /// Stores the first `n` lanes at element `index`.
    ///
    /// # Safety
    /// Elements `index..index + n` are inside the output, and no other task accesses them.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd>(self, s: S, index: usize, v: S::V, n: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            match (self, n == S::WIDTH) {
                (OutputPtr::F32(p), true) => s.store(p.add(index), v),
                (OutputPtr::F32(p), false) => s.store_first(p.add(index), v, n),
                (OutputPtr::Bf16(p), true) => s.store_bf16(p.add(index), v),
                (OutputPtr::Bf16(p), false) => s.store_bf16_first(p.add(index), v, n),
            }
        }
    }
}

/// Scales of an 8-bit product.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// One per row of the block.
    pub(super) rows: *const f32,
    /// 2 x WIDTH scales, one per column of the panel.
    pub(super) columns: *const f32,
}

/// Destination of the sums of a block of rows by one panel, and the steps before they are written.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    pub(super) rows: usize,
    /// 2 x WIDTH numbers.
    pub(super) bias: *const f32,
    /// Scales of an 8-bit product, whose sums are i32.
    pub(super) scales: Option<Scales>,
    pub(super) activation: Activation,
    /// The first vector of columns is a value, the second its gate; one vector is written.
    pub(super) gated: bool,
    pub(super) target: OutputPtr,
    /// Element of the output at the first row and column of the block.
    pub(super) index: usize,
    pub(super) stride: usize,
    /// Columns written; the others are padding.
    pub(super) columns: usize,
    /// Residual from the first row and column of the block on.
    pub(super) residual: Option<ResidualPtr>,
}

impl Finish {
    /// The part of the block that is `rows` rows from `row` on, of `padded` sums each.
    #[inline(always)]
    pub(super) fn tail(&self, row: usize, rows: usize) -> Finish {
        Finish {
            rows,
            scales: self.scales.map(|s| Scales {
                rows: s.rows.wrapping_add(row),
                ..s
            }),
            index: self.index + row * self.stride,
            residual: self.residual.map(|residual| residual.from(row, 0)),
            ..*self
        }
    }
}

/// Writes out a block of `sums`, [rows][2 x WIDTH].
///
/// # Safety
/// Every pointer of `f` is good for the rows and columns it describes, and no other task accesses
/// the written elements.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(s: S, sums: *const f32, f: &Finish) {
    // SAFETY: as the caller vouches.
    unsafe {
        match (f.gated, f.activation) {
            (true, _) => finish_gated(s, sums, f),
            (false, Activation::None) => finish_with::<S, Identity>(s, sums, f),
            (false, Activation::Silu) => finish_with::<S, Silu>(s, sums, f),
            (false, Activation::Gelu) => finish_with::<S, Gelu>(s, sums, f),
            (false, Activation::QuickGelu) => finish_with::<S, QuickGelu>(s, sums, f),
            (false, Activation::Relu) => finish_with::<S, Relu>(s, sums, f),
        }
    }
}

/// # Safety
/// As for `finish`.
#[inline(always)]
unsafe fn finish_gated<S: Simd>(s: S, sums: *const f32, f: &Finish) {
    for i in 0..f.rows {
        // SAFETY: as the caller vouches.
        unsafe {
            let (value, gate) = (
                biased(s, f, sums.add(i * 2 * S::WIDTH), i, 0),
                biased(s, f, sums.add(i * 2 * S::WIDTH), i, 1),
            );
            let mut v = s.mul(value, gelu(s, gate));
            if let Some(residual) = f.residual {
                v = s.add(v, s.load_first(residual.from(i, 0).at, f.columns));
            }
            f.target.put(s, f.index + i * f.stride, v, f.columns);
        }
    }
}

/// # Safety
/// As for `finish`.
#[inline(always)]
unsafe fn finish_with<S: Simd, A: Elementwise>(s: S, sums: *const f32, f: &Finish) {
    for half in 0..2 {
        let offset = half * S::WIDTH;
        let n = f.columns.saturating_sub(offset).min(S::WIDTH);
        if n == 0 {
            break;
        }
        for i in 0..f.rows {
            // SAFETY: as the caller vouches.
            unsafe {
                let mut v = A::apply(s, biased(s, f, sums.add(i * 2 * S::WIDTH), i, half));
                if let Some(residual) = f.residual {
                    let from = residual.from(i, offset).at;
                    v = s.add(v, s.load_up_to(from, n));
                }
                f.target.put(s, f.index + i * f.stride + offset, v, n);
            }
        }
    }
}

/// The sums `row` of row i, of one half of the panel, scaled, plus bias.
///
/// # Safety
/// As for `finish`.
#[inline(always)]
unsafe fn biased<S: Simd>(s: S, f: &Finish, row: *const f32, i: usize, half: usize) -> S::V {
    let offset = half * S::WIDTH;
    // SAFETY: as the caller vouches.
    unsafe {
        let sums = s.load(row.add(offset));
        let bias = s.load(f.bias.add(offset));
        match f.scales {
            None => s.add(sums, bias),
            Some(scales) => {
                let scale = s.mul(
                    s.splat(*scales.rows.add(i)),
                    s.load(scales.columns.add(offset)),
                );
                s.fma(s.int_to_float(sums), scale, bias)
            }
        }
    }
}
