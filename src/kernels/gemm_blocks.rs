//! Owns the blocking of a matrix product: the rows, panels and depths that a task multiplies, so
//! that operands stay in cache.

use super::Cpu;
use super::arena::Aligned;
use super::epilogue::{Finish, OutputPtr, ResidualPtr, Scales, finish};
use super::isa::Isa;
use super::math::Activation;
use super::panels::{LaneKind, Panels, Slab};
use super::simd::{Bf16Lane, F32Lane, Int8Lane, Kernel, Lane, Simd};
use super::tile::{Product, Start, multiply};
use std::marker::PhantomData;

/// Rows a task multiplies: with 640 lanes of depth, half a megabyte of the second-level cache.
const ROWS: usize = 192;
/// Panels a task multiplies, 320 columns of AVX-512.
const PANELS: usize = 10;
/// Most lanes of depth at a time: a panel of them is 80 KiB.
const DEPTH: usize = 640;
/// Tasks a thread should have, for the last ones to end together.
const TASKS_PER_THREAD: usize = 4;

/// A left operand in lanes: row i from `a + i * stride` on, `depth` long.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) a: *const f32,
    pub(super) stride: usize,
    pub(super) depth: usize,
}

// SAFETY: operands are only read while the caller of `run_blocks` keeps them alive.
unsafe impl Send for Operand {}
// SAFETY: as above.
unsafe impl Sync for Operand {}

/// Per-channel scales of 8-bit weights, padded to whole panels.
pub(super) struct WeightScales {
    pub(super) scales: Aligned<f32>,
    /// -128 times the sum of a column: subtracts at the start the contribution of the offset 128 of
    /// unsigned inputs. i32 in the bits.
    pub(super) offsets: Aligned<u32>,
}

/// Everything about a product but its left operand.
pub(super) struct Block<'a> {
    pub(super) panels: &'a Panels,
    /// Padded to whole panels.
    pub(super) bias: &'a [f32],
    /// Scales of 8-bit weights, and of the rows of the input.
    pub(super) scales: Option<(&'a WeightScales, &'a [f32])>,
    pub(super) gated: bool,
    /// Numbers in an output row.
    pub(super) outputs: usize,
    pub(super) activation: Activation,
    pub(super) residual: Option<ResidualPtr>,
    pub(super) target: OutputPtr,
}

/// A range of depth inside one operand.
#[derive(Clone, Copy)]
struct DepthRange {
    operand: Operand,
    /// First lane of the panel.
    from: usize,
    depth: usize,
}

/// Multiplies `rows` rows of operands (side by side) with the panels and writes the finished
/// output.
///
/// # Safety
/// The operands are readable for `rows` rows and together as deep as the panels; target and
/// residual are good for `rows` rows of `block.outputs` numbers.
pub(super) unsafe fn run_blocks(cpu: &Cpu, rows: usize, operands: &[Operand], block: &Block<'_>) {
    let ranges = depth_ranges(operands);
    let threads = cpu.pool().threads();
    let least = rows.div_ceil(ROWS).max(1);
    let wanted = (TASKS_PER_THREAD * threads).div_ceil(least);
    let task_panels = block.panels.count.div_ceil(wanted).clamp(1, PANELS);
    let panel_blocks = block.panels.count.div_ceil(task_panels);
    // As many tasks for each thread, all of a size.
    let even = if least > threads {
        least.next_multiple_of(threads)
    } else {
        least
    };
    let task_rows = rows.div_ceil(even).max(1);
    let row_blocks = rows.div_ceil(task_rows);
    cpu.pool().run(row_blocks * panel_blocks, |task| {
        let (first_row, first_panel) = (
            task % row_blocks * task_rows,
            task / row_blocks * task_panels,
        );
        let task = BlockTask {
            cpu,
            block,
            ranges: &ranges,
            first_row,
            rows: task_rows.min(rows - first_row),
            first_panel,
            panels: task_panels.min(block.panels.count - first_panel),
        };
        task.run();
    });
}

/// Splits each operand into ranges of at most DEPTH lanes, as even as they can be.
fn depth_ranges(operands: &[Operand]) -> Vec<DepthRange> {
    let mut all = Vec::new();
    let mut from = 0;
    for operand in operands {
        let pieces = operand.depth.div_ceil(DEPTH);
        let mut done = 0;
        for piece in 0..pieces {
            let depth = (operand.depth - done).div_ceil(pieces - piece);
            let shifted = Operand {
                a: operand.a.wrapping_add(done),
                ..*operand
            };
            all.push(DepthRange {
                operand: shifted,
                from: from + done,
                depth,
            });
            done += depth;
        }
        from += operand.depth;
    }
    all
}

/// The rows and panels of one task.
struct BlockTask<'a> {
    cpu: &'a Cpu,
    block: &'a Block<'a>,
    ranges: &'a [DepthRange],
    first_row: usize,
    rows: usize,
    first_panel: usize,
    panels: usize,
}

impl BlockTask<'_> {
    fn run(self) {
        let panels = self.block.panels;
        // Sums are held for the next range of depth; with a single one they are written out at once, and
        // the memory of one panel is enough.
        let held = if self.ranges.len() > 1 {
            self.panels
        } else {
            1
        };
        let mut sums = self
            .cpu
            .arena()
            .take::<f32>(held * self.rows * panels.columns);
        let deepest = self.ranges.iter().map(|s| s.depth).max().unwrap_or(0);
        let mut wide = self.cpu.arena().take::<f32>(panels.widened_len(1, deepest));
        for (i, range) in self.ranges.iter().enumerate() {
            let (first, last) = (i == 0, i + 1 == self.ranges.len());
            for p in 0..self.panels {
                let panel = self.first_panel + p;
                let slab = Slab {
                    first_tap: 0,
                    taps: 1,
                    from: range.from,
                    depth: range.depth,
                };
                let (b, tap_stride) = panels.slab(panel, slab, &mut wide);
                let held_at = if held > 1 {
                    p * self.rows * panels.columns
                } else {
                    0
                };
                let operand = range.operand;
                let product = Product {
                    a: operand.a.wrapping_add(self.first_row * operand.stride),
                    row_stride: operand.stride,
                    taps: &[0],
                    depth: range.depth,
                    b,
                    tap_stride,
                    sums: sums[held_at..].as_mut_ptr(),
                    sums_stride: panels.columns,
                    start: self.start(panel, first),
                };
                let finish = last.then(|| self.finish(panel));
                run_panel(
                    panels.isa,
                    panels.kind,
                    PanelStep {
                        rows: self.rows,
                        product,
                        finish,
                    },
                );
            }
        }
    }

    fn start(&self, panel: usize, first: bool) -> Start {
        match self.block.scales {
            _ if !first => Start::Sums,
            None => Start::Zero,
            Some((weights, _)) => Start::Row(
                weights.offsets[panel * self.block.panels.columns..]
                    .as_ptr()
                    .cast(),
            ),
        }
    }

    fn finish(&self, panel: usize) -> Finish {
        let (block, padded) = (self.block, self.block.panels.columns);
        let written = if block.gated { padded / 2 } else { padded };
        let column = panel * written;
        let first = panel * padded;
        Finish {
            rows: self.rows,
            bias: block.bias[first..].as_ptr(),
            scales: block.scales.map(|(weights, rows)| Scales {
                rows: rows[self.first_row..].as_ptr(),
                columns: weights.scales[first..].as_ptr(),
            }),
            activation: block.activation,
            gated: block.gated,
            target: block.target,
            index: self.first_row * block.outputs + column,
            stride: block.outputs,
            columns: written.min(block.outputs - column),
            residual: block
                .residual
                .map(|residual| residual.from(self.first_row, column)),
        }
    }
}

/// One panel over one range of depth, and the epilogue when the sums are complete.
pub(super) struct PanelStep<'a> {
    pub(super) rows: usize,
    pub(super) product: Product<'a>,
    pub(super) finish: Option<Finish>,
}

/// Runs a step whose pointers its maker vouches for, as for `multiply` and `finish`.
pub(super) fn run_panel(isa: Isa, kind: LaneKind, step: PanelStep<'_>) {
    match kind {
        LaneKind::F32 => isa.run(LaneStep::<F32Lane>(step, PhantomData)),
        LaneKind::Bf16 => isa.run_bf16(LaneStep::<Bf16Lane>(step, PhantomData)),
        LaneKind::Int8 => isa.run_int8(LaneStep::<Int8Lane>(step, PhantomData)),
    }
}

struct LaneStep<'a, L>(PanelStep<'a>, PhantomData<L>);

impl<L: Lane> Kernel for LaneStep<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PanelStep {
            rows,
            product,
            finish: last,
        } = self.0;
        let Some(last) = last else {
            // SAFETY: the maker of the step vouches for its pointers.
            return unsafe { multiply::<S, L>(s, rows, product) };
        };
        let tiles = rows.div_ceil(S::TILE_ROWS);
        let mut row = 0;
        for tile in 0..tiles {
            let height = (rows - row).div_ceil(tiles - tile);
            let mut part = product.tail(row);
            if !matches!(product.start, Start::Sums) {
                // Nothing was held and nothing will be: the memory of one tile serves all.
                part.sums = product.sums;
            }
            // A tile at a time: its stores drain while the next one multiplies.
            // SAFETY: as above, for these rows.
            unsafe {
                multiply::<S, L>(s, height, part);
                finish(s, part.sums, &last.tail(row, height));
            }
            row += height;
        }
    }
}
