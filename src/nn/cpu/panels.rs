//! Owns packed weights: panels of 2 x WIDTH output columns in the order the register tile reads them.

use super::Cpu;
use super::isa::Isa;
use super::scratch::{Aligned, Buffer};
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
    /// Packs columns: `column(panel, j, out)` writes column j of a panel as [tap][input] f32; int8 comes already scaled to
    /// whole numbers. Columns it leaves alone stay zero.
    pub(super) fn pack(cpu: &Cpu, shape: PanelShape, precision: Precision, column: impl Fn(usize, usize, &mut [f32]) + Sync) -> Panels {
        let isa = cpu.isa();
        let kind = match precision {
            Precision::F32 | Precision::F16Weights => LaneKind::F32,
            Precision::Bf16 if isa.has_bf16() => LaneKind::Bf16,
            Precision::Bf16 => LaneKind::F32,
            Precision::Int8 => LaneKind::Int8,
        };
        let (columns, depth) = (2 * isa.width(), shape.inputs.div_ceil(kind.count()));
        let panel = shape.taps * depth * columns;
        let total = shape.count * panel;
        let grid = Grid { shape, columns, depth, per_lane: kind.count() };
        let data = match (kind, precision) {
            (LaneKind::F32, Precision::F16Weights) => {
                let mut data = Aligned::<u16>::zeroed(total);
                cpu.pool().for_chunks(&mut data, panel, |p, out| grid.scatter(out, |j, row| column(p, j, row), |v| f16::from_f32(v[0]).to_bits()));
                Data::F16(data)
            }
            (LaneKind::F32, Precision::Bf16) => {
                let mut data = Aligned::<u16>::zeroed(total);
                cpu.pool().for_chunks(&mut data, panel, |p, out| grid.scatter(out, |j, row| column(p, j, row), |v| bf16::from_f32(v[0]).to_bits()));
                Data::Bf16(data)
            }
            _ => {
                let mut data = Aligned::<u32>::zeroed(total);
                cpu.pool().for_chunks(&mut data, panel, |p, out| {
                    let fill = |j: usize, row: &mut [f32]| column(p, j, row);
                    match kind {
                        LaneKind::F32 => grid.scatter(out, fill, |v| v[0].to_bits()),
                        LaneKind::Bf16 => grid.scatter(out, fill, bf16_pair),
                        LaneKind::Int8 => grid.scatter(out, fill, int8_quad),
                    }
                });
                Data::Lanes(data)
            }
        };
        Panels { isa, kind, count: shape.count, taps: shape.taps, depth, columns, data }
    }

    /// Bytes the weights take.
    pub(super) fn bytes(&self) -> usize {
        match &self.data {
            Data::Lanes(data) => data.len() * 4,
            Data::F16(data) | Data::Bf16(data) => data.len() * 2,
        }
    }

    /// Lanes of a buffer that `slab` can widen into, for `taps` taps of `depth` lanes; zero when nothing is widened.
    pub(super) fn widened_len(&self, taps: usize, depth: usize) -> usize {
        match self.data {
            Data::Lanes(_) => 0,
            Data::F16(_) | Data::Bf16(_) => taps * depth * self.columns,
        }
    }

    /// Lanes `from..from + depth` of `taps` taps from `first_tap` on, of one panel: where they begin, and the stride between taps.
    /// Narrow weights are widened into `wide` first.
    pub(super) fn slab(&self, panel: usize, slab: Slab, wide: &mut Buffer<f32>) -> (*const f32, usize) {
        assert!(panel < self.count && slab.first_tap + slab.taps <= self.taps && slab.from + slab.depth <= self.depth);
        let start = ((panel * self.taps + slab.first_tap) * self.depth + slab.from) * self.columns;
        let (stride, wide_stride) = (self.depth * self.columns, slab.depth * self.columns);
        let narrow: &[u16] = match &self.data {
            Data::Lanes(data) => return (data[start..].as_ptr().cast(), stride),
            Data::F16(data) | Data::Bf16(data) => data,
        };
        let is_f16 = matches!(self.data, Data::F16(_));
        for tap in 0..slab.taps {
            let from = &narrow[start + tap * stride..][..wide_stride];
            self.isa.run(Widen { is_f16, from, to: &mut wide[tap * wide_stride..][..wide_stride] });
        }
        (wide.as_ptr(), wide_stride)
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
    per_lane: usize,
}

impl Grid {
    /// Writes each column [tap][input] into the panel [tap][depth][columns], numbers joined to lanes by `lane`.
    fn scatter<T>(&self, out: &mut [T], column: impl Fn(usize, &mut [f32]), lane: impl Fn(&[f32; 4]) -> T) {
        let inputs = self.shape.inputs;
        let mut row = vec![0f32; self.shape.taps * inputs];
        for j in 0..self.columns {
            row.fill(0.0);
            column(j, &mut row);
            for (tap, numbers) in row.chunks_exact(inputs).enumerate() {
                let to = out[tap * self.depth * self.columns + j..].iter_mut().step_by(self.columns);
                for (to, group) in to.zip(numbers.chunks(self.per_lane)) {
                    let mut padded = [0f32; 4];
                    padded[..group.len()].copy_from_slice(group);
                    *to = lane(&padded);
                }
            }
        }
    }
}

fn bf16_pair(v: &[f32; 4]) -> u32 {
    u32::from(bf16::from_f32(v[0]).to_bits()) | u32::from(bf16::from_f32(v[1]).to_bits()) << 16
}

fn int8_quad(v: &[f32; 4]) -> u32 {
    u32::from_le_bytes(v.map(|x| x as i8 as u8))
}
