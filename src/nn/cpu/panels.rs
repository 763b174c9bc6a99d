//! Owns packed weights: panels of 2 x WIDTH output columns in the order the register tile reads them.

use super::Cpu;
use super::isa::Isa;
use super::scratch::{Aligned, Buffer, Number, Scratch};
use super::simd::{Kernel, Simd};
use super::source::Precision;
use half::{bf16, f16};

/// What the lanes of a product hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LaneKind {
    F32,
    Bf16,
    Int8,
}

impl LaneKind {
    /// Numbers in a lane.
    pub(super) fn count(self) -> usize {
        match self {
            LaneKind::F32 => 1,
            LaneKind::Bf16 => 2,
            LaneKind::Int8 => 4,
        }
    }
}

/// How numbers lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// An f32 a lane.
    F32,
    /// f16, widened to f32 where it is used.
    F16,
    /// bf16, widened likewise.
    Bf16,
    /// Two bf16 a lane, multiplied as they are.
    Bf16Pairs,
    /// Four 8-bit integers a lane.
    Int8,
}

impl Form {
    /// What is multiplied in `precision` on `isa`.
    pub(super) fn of(precision: Precision, isa: Isa) -> Form {
        match precision {
            Precision::F32 => Form::F32,
            Precision::F16Weights => Form::F16,
            Precision::Bf16 if isa.has_bf16() => Form::Bf16Pairs,
            Precision::Bf16 => Form::Bf16,
            Precision::Int8 => Form::Int8,
        }
    }
}

/// Numbers as they lie in memory.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    F32(*const f32),
    F16(*const u16),
    Bf16(*const u16),
}

/// The lanes stored as they are multiplied, or narrow f32 widened panel by panel.
enum Data {
    Lanes(Aligned<u32>),
    F16(Aligned<u16>),
    Bf16(Aligned<u16>),
}

/// Weights as [panel][tap][depth][2 x WIDTH] lanes, padded with zeros.
pub(super) struct Panels {
    pub(super) isa: Isa,
    pub(super) kind: LaneKind,
    /// How many panels.
    pub(super) count: usize,
    pub(super) taps: usize,
    /// Lanes of a column in one tap.
    pub(super) depth: usize,
    /// Columns of a panel, 2 x WIDTH.
    pub(super) columns: usize,
    data: Data,
}

/// How many panels of what size.
#[derive(Clone, Copy)]
pub(super) struct PanelShape {
    pub(super) count: usize,
    pub(super) taps: usize,
    /// Numbers (not lanes) of a column in one tap.
    pub(super) inputs: usize,
}

impl Panels {
    /// Packs columns: `column(panel, j, out)` writes column j of a panel as [tap][input] f32; int8 comes
    /// already scaled to whole numbers. Columns it leaves alone stay zero.
    pub(super) fn pack(
        cpu: &Cpu,
        shape: PanelShape,
        form: Form,
        column: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Panels {
        let isa = cpu.isa();
        let kind = match form {
            Form::F32 | Form::F16 | Form::Bf16 => LaneKind::F32,
            Form::Bf16Pairs => LaneKind::Bf16,
            Form::Int8 => LaneKind::Int8,
        };
        let (columns, depth) = (2 * isa.width(), shape.inputs.div_ceil(kind.count()));
        let grid = Grid { shape, columns, depth };
        let data = match form {
            Form::F16 => Data::F16(grid.pack(cpu, &column, |[w]| f16::from_f32(w).to_bits())),
            Form::Bf16 => Data::Bf16(grid.pack(cpu, &column, |[w]| bf16::from_f32(w).to_bits())),
            Form::F32 => Data::Lanes(grid.pack(cpu, &column, |[w]| w.to_bits())),
            Form::Bf16Pairs => Data::Lanes(grid.pack(cpu, &column, bf16_pair)),
            Form::Int8 => Data::Lanes(grid.pack(cpu, &column, int8_quad)),
        };
        Panels { isa, kind, count: shape.count, taps: shape.taps, depth, columns, data }
    }

    /// Lanes of a buffer that `slab` can widen into, for `taps` taps of `depth` lanes; zero when nothing is
    /// widened.
    pub(super) fn widened_len(&self, taps: usize, depth: usize) -> usize {
        match self.data {
            Data::Lanes(_) => 0,
            Data::F16(_) | Data::Bf16(_) => taps * depth * self.columns,
        }
    }

    /// Lanes `from..from + depth` of `taps` taps from `first_tap` on, of one panel: where they begin, and the
    /// stride between taps. Narrow weights are widened into `wide` first.
    pub(super) fn slab(&self, panel: usize, slab: Slab, wide: &mut Buffer<f32>) -> (*const f32, usize) {
        let (stored, stride) = self.stored(panel, slab);
        let wide_stride = slab.depth * self.columns;
        let (is_f16, narrow) = match stored {
            Stored::F32(lanes) => return (lanes, stride),
            Stored::F16(narrow) => (true, narrow),
            Stored::Bf16(narrow) => (false, narrow),
        };
        for tap in 0..slab.taps {
            // SAFETY: `stored` vouches for the slab.
            let from = unsafe { std::slice::from_raw_parts(narrow.wrapping_add(tap * stride), wide_stride) };
            self.isa.run(Widen { is_f16, from, to: &mut wide[tap * wide_stride..][..wide_stride] });
        }
        (wide.as_ptr(), wide_stride)
    }

    /// A slab as it lies in memory: its first number (or lane of several), and the stride between taps.
    ///
    /// # Panics
    /// When the panels have no such slab.
    pub(super) fn stored(&self, panel: usize, slab: Slab) -> (Stored, usize) {
        assert!(
            panel < self.count
                && slab.first_tap + slab.taps <= self.taps
                && slab.from + slab.depth <= self.depth
        );
        let start = ((panel * self.taps + slab.first_tap) * self.depth + slab.from) * self.columns;
        let stored = match &self.data {
            Data::Lanes(data) => Stored::F32(data[start..].as_ptr().cast()),
            Data::F16(data) => Stored::F16(data[start..].as_ptr()),
            Data::Bf16(data) => Stored::Bf16(data[start..].as_ptr()),
        };
        (stored, self.depth * self.columns)
    }
}

/// A part of a panel: `depth` lanes from lane `from` on, of `taps` taps.
#[derive(Clone, Copy)]
pub(super) struct Slab {
    pub(super) first_tap: usize,
    pub(super) taps: usize,
    pub(super) from: usize,
    pub(super) depth: usize,
}

struct Widen<'a> {
    is_f16: bool,
    from: &'a [u16],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pairs = self.from.chunks_exact(S::WIDTH).zip(self.to.chunks_exact_mut(S::WIDTH));
        for (from, to) in pairs {
            // SAFETY: both chunks have WIDTH elements.
            unsafe {
                let v = if self.is_f16 { s.load_f16(from.as_ptr()) } else { s.load_bf16(from.as_ptr()) };
                s.store(to.as_mut_ptr(), v);
            }
        }
    }
}

struct Grid {
    shape: PanelShape,
    columns: usize,
    depth: usize,
}

impl Grid {
    /// All panels, a task each; N numbers are joined to a lane by `lane`.
    fn pack<T: Number, const N: usize>(
        &self,
        cpu: &Cpu,
        column: &(impl Fn(usize, usize, &mut [f32]) + Sync),
        lane: impl Fn([f32; N]) -> T + Sync,
    ) -> Aligned<T> {
        let panel = self.shape.taps * self.depth * self.columns;
        let mut data = Aligned::zeroed(self.shape.count * panel);
        cpu.pool().for_chunks(&mut data, panel, |p, out| {
            self.scatter(cpu.scratch(), out, |j, row| column(p, j, row), &lane);
        });
        data
    }

    /// Writes each column [tap][input] into the panel [tap][depth][columns].
    fn scatter<T, const N: usize>(
        &self,
        scratch: &Scratch,
        out: &mut [T],
        column: impl Fn(usize, &mut [f32]),
        lane: impl Fn([f32; N]) -> T,
    ) {
        let numbers = self.shape.taps * self.shape.inputs;
        // A line more than a power of two would be, or all columns would share a few cache sets.
        let stride = numbers.next_multiple_of(16) + 16;
        let mut rows = scratch.take_zeroed::<f32>(self.columns * stride);
        for (j, row) in rows.chunks_exact_mut(stride).enumerate() {
            column(j, &mut row[..numbers]);
        }
        for (tap, out) in out.chunks_exact_mut(self.depth * self.columns).enumerate() {
            // Sixteen lanes of depth at a time: the lines written stay in the first-level cache until they
            // are full.
            for (block, out) in out.chunks_mut(16 * self.columns).enumerate() {
                for (j, row) in rows.chunks_exact(stride).enumerate() {
                    let row = &row[tap * self.shape.inputs..][..self.shape.inputs];
                    let (groups, rest) = row[block * 16 * N..].as_chunks::<N>();
                    let mut places = out[j..].iter_mut().step_by(self.columns);
                    for (group, to) in groups.iter().zip(places.by_ref()) {
                        *to = lane(*group);
                    }
                    if let (Some(to), false) = (places.next(), rest.is_empty()) {
                        let mut group = [0f32; N];
                        group[..rest.len()].copy_from_slice(rest);
                        *to = lane(group);
                    }
                }
            }
        }
    }
}

/// Two numbers in a lane, the first in its lower half.
fn bf16_pair([low, high]: [f32; 2]) -> u32 {
    let bits = |x: f32| u32::from(bf16::from_f32(x).to_bits());
    bits(low) | bits(high) << 16
}

/// Four whole numbers in a lane, the first in its lowest byte.
fn int8_quad([a, b, c, d]: [f32; 4]) -> u32 {
    let byte = |x: f32| x as i8 as u8;
    u32::from_le_bytes([byte(a), byte(b), byte(c), byte(d)])
}
