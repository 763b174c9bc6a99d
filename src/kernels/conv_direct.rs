//! Owns the direct convolution: an implicit matrix product whose rows are pixels of a padded copy,
//! with one tap per kernel position.

use super::Cpu;
use super::arena::Buffer;
use super::conv_input::{CanvasRow, CanvasShape, ConvInput};
use super::epilogue::{Finish, OutputPtr, ResidualPtr};
use super::gemm_blocks::{PanelStep, run_panel};
use super::geometry::{Geometry, bands, units_in_working_set};
use super::math::Activation;
use super::panels::{LaneKind, Panels, Slab};
use super::tile::{Product, Start};
use std::ops::Range;

/// Output pixels of a task: with DEPTH lanes of sums and inputs, as many as the second-level cache
/// holds next to a panel.
const PIXELS: usize = 512;
/// Panels of a task.
const PANELS: usize = 5;
/// Most lanes of a tap multiplied at a time: nine taps of a panel are then 360 KiB.
const DEPTH: usize = 320;
/// Tasks a thread should have, for the last ones to end together.
const TASKS_PER_THREAD: usize = 4;

/// One call of the layer.
pub(super) struct DirectRun<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) geometry: &'a Geometry,
    pub(super) panels: &'a Panels,
    pub(super) input: &'a ConvInput<'a>,
    /// Rows and columns of the output.
    pub(super) size: (usize, usize),
    /// [batch][padded outputs].
    pub(super) bias: &'a [f32],
    /// One row per pixel.
    pub(super) residual: Option<ResidualPtr>,
}

/// A row of output pixels, and the canvas row of its first tap.
#[derive(Clone, Copy)]
struct OutputRow {
    image: usize,
    /// Index among the rows of all images.
    index: usize,
    canvas_row: usize,
}

/// A band of output rows and the padded input under it.
struct Band<'a> {
    run: &'a DirectRun<'a>,
    rows: Vec<OutputRow>,
    shape: &'a CanvasShape,
    canvas: &'a Buffer<f32>,
    /// Lane offset of each tap from the first.
    taps: Vec<usize>,
    target: OutputPtr,
}

/// Computes the convolution, whose shapes the caller has checked.
pub(super) fn forward(run: &DirectRun<'_>, out: &mut [f32]) {
    let g = run.geometry;
    let width = (run.size.1 - 1) * g.stride + g.kernel;
    let lanes = run.panels.depth;
    let most = units_in_working_set(width * g.stride * lanes * 4);
    for band in bands(run.input.batch * run.size.0, most) {
        let (rows, canvas_rows) = lay_out(run, band);
        let shape = CanvasShape {
            rows: canvas_rows,
            width,
            left: g.padding.left,
            channels: lanes * run.panels.kind.count(),
            bf16: run.panels.kind == LaneKind::Bf16,
        };
        let canvas = shape.fill(run.cpu, run.input);
        let tap = |t: usize| (t / g.kernel * width + t % g.kernel) * lanes;
        let taps = (0..g.kernel * g.kernel).map(tap).collect();
        let target = OutputPtr::F32(out.as_mut_ptr());
        Band {
            run,
            rows,
            shape: &shape,
            canvas: &canvas,
            taps,
            target,
        }
        .compute();
    }
}

/// The output rows of a band, and the canvas rows they read; rows of one image share theirs.
fn lay_out(run: &DirectRun<'_>, band: Range<usize>) -> (Vec<OutputRow>, Vec<CanvasRow>) {
    let (g, height) = (run.geometry, run.size.0);
    let (mut rows, mut canvas) = (Vec::new(), Vec::new());
    let mut index = band.start;
    while index < band.end {
        let (image, y) = (index / height, index % height);
        let count = (height - y).min(band.end - index);
        let base = canvas.len();
        rows.extend((0..count).map(|i| OutputRow {
            image,
            index: index + i,
            canvas_row: base + i * g.stride,
        }));
        let first = y * g.stride;
        let last = first + (count - 1) * g.stride + g.kernel;
        let source = |r: usize| {
            r.checked_sub(g.padding.top)
                .filter(|r| *r < run.input.size().0)
        };
        canvas.extend((first..last).map(|r| CanvasRow {
            image,
            source: source(r),
        }));
        index += count;
    }
    (rows, canvas)
}

impl Band<'_> {
    fn compute(&self) {
        let threads = self.run.cpu.pool().threads();
        let panels = self.run.panels.count;
        let task_rows = (PIXELS / self.run.size.1).clamp(1, self.rows.len());
        let row_tasks = self.rows.len().div_ceil(task_rows);
        let wanted = (TASKS_PER_THREAD * threads).div_ceil(row_tasks);
        let task_panels = panels.div_ceil(wanted).clamp(1, PANELS);
        self.run
            .cpu
            .pool()
            .run(row_tasks * panels.div_ceil(task_panels), |task| {
                let (r, p) = (task % row_tasks * task_rows, task / row_tasks * task_panels);
                let rows = &self.rows[r..(r + task_rows).min(self.rows.len())];
                self.compute_block(rows, p..(p + task_panels).min(panels));
            });
    }

    /// Some rows by some panels, depth by depth; the sums are kept in working memory in between.
    fn compute_block(&self, rows: &[OutputRow], range: Range<usize>) {
        let (panels, pixels) = (self.run.panels, self.run.size.1);
        let arena = self.run.cpu.arena();
        let mut sums = arena.take::<f32>(range.len() * rows.len() * pixels * panels.columns);
        let mut wide = arena.take::<f32>(panels.widened_len(panels.taps, panels.depth.min(DEPTH)));
        let pieces = bands(panels.depth, DEPTH);
        for piece in pieces {
            let slab = Slab {
                first_tap: 0,
                taps: panels.taps,
                from: piece.start,
                depth: piece.len(),
            };
            for (p, panel) in range.clone().enumerate() {
                let (b, tap_stride) = panels.slab(panel, slab, &mut wide);
                for (i, row) in rows.iter().enumerate() {
                    let at = (p * rows.len() + i) * pixels * panels.columns;
                    let product = Product {
                        a: self.canvas
                            [row.canvas_row * self.shape.width * panels.depth + piece.start..]
                            .as_ptr(),
                        row_stride: self.run.geometry.stride * panels.depth,
                        taps: &self.taps,
                        depth: piece.len(),
                        b,
                        tap_stride,
                        sums: sums[at..].as_mut_ptr(),
                        sums_stride: panels.columns,
                        start: if piece.start == 0 {
                            Start::Zero
                        } else {
                            Start::Sums
                        },
                    };
                    let finish = (piece.end == panels.depth).then(|| self.finish(*row, panel));
                    run_panel(
                        panels.isa,
                        panels.kind,
                        PanelStep {
                            rows: pixels,
                            product,
                            finish,
                        },
                    );
                }
            }
        }
    }

    fn finish(&self, row: OutputRow, panel: usize) -> Finish {
        let (outputs, columns) = (self.run.geometry.outputs, self.run.panels.columns);
        let column = panel * columns;
        let index = row.index * self.run.size.1 * outputs + column;
        Finish {
            rows: self.run.size.1,
            bias: self.run.bias
                [row.image * self.run.panels.count * self.run.panels.columns + column..]
                .as_ptr(),
            scales: None,
            activation: Activation::None,
            gated: false,
            target: self.target,
            index,
            stride: outputs,
            columns: columns.min(outputs - column),
            residual: self
                .run
                .residual
                .map(|residual| residual.from(row.index * self.run.size.1, column)),
        }
    }
}
