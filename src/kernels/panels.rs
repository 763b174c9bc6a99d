//! Owns weights: slices as they are stored (f32, f16 or bf16), and packed ones, panels of 2 x WIDTH
//! output columns in the order the register tile reads them.

use super::Cpu;
use super::arena::{Aligned, Arena, Buffer, Number};
use super::isa::Isa;
use super::simd::{Kernel, MAX_WIDTH, Simd};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

/// Stored numbers of one of three types.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WeightSlice<'a> {
    /// 32 bits.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of an f32.
    Bf16(&'a [bf16]),
}

impl WeightSlice<'_> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            WeightSlice::F32(w) => w.len(),
            WeightSlice::F16(w) => w.len(),
            WeightSlice::Bf16(w) => w.len(),
        }
    }

    /// The numbers from `start` on, as many as `out` has, as f32.
    pub(super) fn widen(&self, start: usize, out: &mut [f32]) {
        let range = start..start + out.len();
        match self {
            WeightSlice::F32(w) => out.copy_from_slice(&w[range]),
            WeightSlice::F16(w) => w[range].convert_to_f32_slice(out),
            WeightSlice::Bf16(w) => w[range].convert_to_f32_slice(out),
        }
    }
}

/// Precision of weights in memory and of their products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Precision {
    /// f32 throughout.
    F32,
    /// Weights f16 in memory, widened a panel at a time next to the multiplication; arithmetic in
    /// f32.
    F16Weights,
    /// Weights and inputs of products rounded to bf16, sums in f32. Without a bf16 dot product in
    /// the machine only the weights are rounded.
    Bf16,
    /// Weights 8-bit with a scale per output channel, inputs 8-bit with a scale per row.
    /// Convolutions use `Bf16` instead.
    Int8,
}

/// Number of weights below which rounding is not worthwhile: no network of full size spends a
/// hundredth of its time in such layers, and the first and the last convolution of a network are
/// where it loses most.
const SMALL_LAYER: usize = 100_000;

impl Precision {
    /// Precision of a layer of `weights` weights.
    pub(crate) fn for_layer(self, weights: usize) -> Precision {
        match self {
            Precision::Bf16 | Precision::Int8 if weights < SMALL_LAYER => Precision::F32,
            Precision::F32 | Precision::F16Weights | Precision::Bf16 | Precision::Int8 => self,
        }
    }
}

/// Content of the 32-bit lanes of a product.
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

/// Layout of numbers in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PanelFormat {
    /// One f32 per lane.
    F32,
    /// f16, widened to f32 where it is used.
    F16,
    /// bf16, widened to f32 where it is used.
    Bf16,
    /// Two bf16 per lane, multiplied without widening.
    Bf16Pairs,
    /// Four 8-bit integers per lane.
    Int8,
}

impl PanelFormat {
    /// Format of the weights of a product in `precision` on `isa`.
    pub(super) fn of(precision: Precision, isa: Isa) -> PanelFormat {
        match precision {
            Precision::F32 => PanelFormat::F32,
            Precision::F16Weights => PanelFormat::F16,
            Precision::Bf16 if isa.has_bf16() => PanelFormat::Bf16Pairs,
            Precision::Bf16 => PanelFormat::Bf16,
            Precision::Int8 => PanelFormat::Int8,
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
    /// Number of panels.
    pub(super) count: usize,
    pub(super) taps: usize,
    /// Lanes of a column in one tap.
    pub(super) depth: usize,
    /// Columns of a panel, 2 x WIDTH.
    pub(super) columns: usize,
    data: Data,
}

/// Number and size of panels.
#[derive(Clone, Copy)]
pub(super) struct PanelShape {
    pub(super) count: usize,
    pub(super) taps: usize,
    /// Numbers (not lanes) of a column in one tap.
    pub(super) inputs: usize,
}

impl Panels {
    /// Packs columns: `column(panel, j, out)` writes column j of a panel as [tap][input] f32; int8
    /// comes already scaled to whole numbers. Columns it leaves alone stay zero.
    pub(super) fn pack(
        cpu: &Cpu,
        shape: PanelShape,
        format: PanelFormat,
        column: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Panels {
        let isa = cpu.isa();
        let kind = match format {
            PanelFormat::F32 | PanelFormat::F16 | PanelFormat::Bf16 => LaneKind::F32,
            PanelFormat::Bf16Pairs => LaneKind::Bf16,
            PanelFormat::Int8 => LaneKind::Int8,
        };
        let (columns, depth) = (2 * isa.width(), shape.inputs.div_ceil(kind.count()));
        let grid = Grid {
            shape,
            columns,
            depth,
        };
        let data = match format {
            PanelFormat::F16 => {
                Data::F16(
                    grid.pack(cpu, &column, one_a_lane, |lanes, out: &mut [u16]| {
                        out.reinterpret_cast_mut::<f16>()
                            .convert_from_f32_slice(lanes);
                    }),
                )
            }
            PanelFormat::Bf16 => {
                Data::Bf16(
                    grid.pack(cpu, &column, one_a_lane, |lanes, out: &mut [u16]| {
                        out.reinterpret_cast_mut::<bf16>()
                            .convert_from_f32_slice(lanes);
                    }),
                )
            }
            PanelFormat::F32 => Data::Lanes(grid.pack(cpu, &column, one_a_lane, as_they_are)),
            PanelFormat::Bf16Pairs => {
                let pairs =
                    |numbers: &[f32], lanes: &mut [f32]| isa.run_bf16(Bf16Pairs { numbers, lanes });
                Data::Lanes(grid.pack(cpu, &column, pairs, as_they_are))
            }
            PanelFormat::Int8 => Data::Lanes(grid.pack(cpu, &column, int8_quads, as_they_are)),
        };
        Panels {
            isa,
            kind,
            count: shape.count,
            taps: shape.taps,
            depth,
            columns,
            data,
        }
    }

    /// Lanes of a buffer that `slab` can widen into, for `taps` taps of `depth` lanes; zero when
    /// nothing is widened.
    pub(super) fn widened_len(&self, taps: usize, depth: usize) -> usize {
        match self.data {
            Data::Lanes(_) => 0,
            Data::F16(_) | Data::Bf16(_) => taps * depth * self.columns,
        }
    }

    /// Lanes `from..from + depth` of `taps` taps from `first_tap` on, of one panel: where they
    /// begin, and the stride between taps. Narrow weights are widened into `wide` first.
    pub(super) fn slab(
        &self,
        panel: usize,
        slab: Slab,
        wide: &mut Buffer<f32>,
    ) -> (*const f32, usize) {
        let (stored, stride) = self.stored(panel, slab);
        let wide_stride = slab.depth * self.columns;
        let (is_f16, narrow) = match stored {
            Stored::F32(lanes) => return (lanes, stride),
            Stored::F16(narrow) => (true, narrow),
            Stored::Bf16(narrow) => (false, narrow),
        };
        for tap in 0..slab.taps {
            // SAFETY: `stored` vouches for the slab.
            let from = unsafe {
                std::slice::from_raw_parts(narrow.wrapping_add(tap * stride), wide_stride)
            };
            self.isa.run(Widen {
                is_f16,
                from,
                to: &mut wide[tap * wide_stride..][..wide_stride],
            });
        }
        (wide.as_ptr(), wide_stride)
    }

    /// A slab as it lies in memory: its first number (or lane of several), and the stride between
    /// taps.
    ///
    /// # Panics
    /// If the panels have no such slab.
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
        let pairs = self
            .from
            .chunks_exact(S::WIDTH)
            .zip(self.to.chunks_exact_mut(S::WIDTH));
        for (from, to) in pairs {
            // SAFETY: both chunks have WIDTH elements.
            unsafe {
                let v = if self.is_f16 {
                    s.load_f16(from.as_ptr())
                } else {
                    s.load_bf16(from.as_ptr())
                };
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
    /// All panels, a task each. `join` makes lanes of a column's numbers in one tap, `store` writes
    /// lanes as they are kept.
    fn pack<T: Number>(
        &self,
        cpu: &Cpu,
        column: &(impl Fn(usize, usize, &mut [f32]) + Sync),
        join: impl Fn(&[f32], &mut [f32]) + Sync,
        store: impl Fn(&[f32], &mut [T]) + Sync,
    ) -> Aligned<T> {
        let panel = self.shape.taps * self.depth * self.columns;
        let mut data = Aligned::zeroed(self.shape.count * panel);
        cpu.pool().for_chunks(&mut data, panel, |p, out| {
            let (lanes, stride) = self.lanes(cpu.arena(), |j, row| column(p, j, row), &join);
            let (taps, depth) = (self.shape.taps, self.depth);
            cpu.isa().run(Exchange {
                lanes: &lanes,
                stride,
                taps,
                depth,
                out,
                store: &store,
            });
        });
        data
    }

    /// The lanes of a panel's columns as [column][tap][depth], and the stride between columns.
    fn lanes(
        &self,
        arena: &Arena,
        column: impl Fn(usize, &mut [f32]),
        join: impl Fn(&[f32], &mut [f32]),
    ) -> (Buffer<f32>, usize) {
        let (taps, inputs) = (self.shape.taps, self.shape.inputs);
        // One cache line more than a power of two, or all columns would share a few cache sets;
        // whole vectors are read beyond the last lane.
        let stride = (taps * self.depth).next_multiple_of(MAX_WIDTH) + MAX_WIDTH;
        let mut lanes = arena.take_zeroed::<f32>(self.columns * stride);
        let mut numbers = arena.take::<f32>(taps * inputs);
        for (j, row) in lanes.chunks_exact_mut(stride).enumerate() {
            numbers.fill(0.0);
            column(j, &mut numbers);
            for (numbers, lanes) in numbers
                .chunks_exact(inputs)
                .zip(row.chunks_exact_mut(self.depth))
            {
                join(numbers, lanes);
            }
        }
        (lanes, stride)
    }
}

/// Writes columns [column][tap][depth] as [tap][depth][column].
struct Exchange<'a, T, F> {
    lanes: &'a [f32],
    /// Lanes between columns, of which there are 2 x WIDTH; a vector more than they hold.
    stride: usize,
    taps: usize,
    depth: usize,
    out: &'a mut [T],
    store: &'a F,
}

impl<T, F: Fn(&[f32], &mut [T])> Kernel for Exchange<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = 2 * S::WIDTH;
        let mut block = [0f32; 2 * MAX_WIDTH * MAX_WIDTH];
        let mut out = self.out;
        for tap in 0..self.taps {
            for first in (0..self.depth).step_by(S::WIDTH) {
                for half in [0, S::WIDTH] {
                    let from = &self.lanes[half * self.stride + tap * self.depth + first..];
                    assert!(from.len() >= (S::WIDTH - 1) * self.stride + S::WIDTH);
                    // SAFETY: WIDTH lanes of as many columns are there, and the block has room for
                    // them.
                    unsafe {
                        let to = block.as_mut_ptr().add(half);
                        s.transpose(from.as_ptr(), self.stride, to, columns);
                    }
                }
                let (to, rest) = out.split_at_mut((self.depth - first).min(S::WIDTH) * columns);
                (self.store)(&block[..to.len()], to);
                out = rest;
            }
        }
    }
}

/// One number per lane.
fn one_a_lane(numbers: &[f32], lanes: &mut [f32]) {
    lanes.copy_from_slice(numbers);
}

/// Lanes as they are.
fn as_they_are(lanes: &[f32], out: &mut [u32]) {
    out.iter_mut()
        .zip(lanes)
        .for_each(|(to, lane)| *to = lane.to_bits());
}

/// Two numbers per lane, the first in its lower half.
struct Bf16Pairs<'a> {
    numbers: &'a [f32],
    lanes: &'a mut [f32],
}

impl Kernel for Bf16Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.numbers.len() <= 2 * self.lanes.len());
        if let Some(last) = self.lanes.last_mut() {
            *last = 0.0;
        }
        let to = self.lanes.as_mut_ptr().cast::<u16>();
        for (i, numbers) in self.numbers.chunks(S::WIDTH).enumerate() {
            // SAFETY: a lane has room for two numbers.
            unsafe {
                let v = s.load_first(numbers.as_ptr(), numbers.len());
                s.store_bf16_first(to.add(i * S::WIDTH), v, numbers.len());
            }
        }
    }
}

/// Four whole numbers per lane, the first in its lowest byte.
fn int8_quads(numbers: &[f32], lanes: &mut [f32]) {
    for (numbers, lane) in numbers.chunks(4).zip(lanes) {
        let mut bytes = [0; 4];
        bytes
            .iter_mut()
            .zip(numbers)
            .for_each(|(byte, x)| *byte = *x as i8 as u8);
        *lane = f32::from_bits(u32::from_le_bytes(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_layers_of_full_size_are_rounded_and_smaller_ones_are_not() {
        assert_eq!(Precision::Bf16.for_layer(320 * 320), Precision::Bf16);
        assert_eq!(Precision::Int8.for_layer(320 * 4 * 9), Precision::F32);
        assert_eq!(Precision::F16Weights.for_layer(1), Precision::F16Weights);
    }
}
