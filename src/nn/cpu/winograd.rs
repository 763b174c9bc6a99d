//! Owns the Winograd convolution F(2x2, 3x3) and F(4x4, 3x3): transform tiles, multiply point by point,
//! transform back.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), equations 12 and following.

use super::Cpu;
use super::conv::{Filter, Geometry, bands, units_in_scratch};
use super::conv_input::{CanvasRow, CanvasShape, ConvInput};
use super::epilogue::Addend;
use super::gemm_blocks::{PanelStep, run_panel};
use super::isa::Isa;
use super::panels::Slab;
use super::pool::Shareable;
use super::scratch::Buffer;
use super::simd::{Kernel, MAX_TILE_ROWS, Simd};
use super::tile::{Product, Start};
use super::winograd_tiles::{TileIn, TileOut};
use std::ops::Range;

/// Most lanes of depth multiplied at a time.
const DEPTH: usize = 640;
/// Tiles transformed by one task.
const TILES: usize = 4;
/// Tasks a thread should have, for the last ones to end together.
const TASKS_PER_THREAD: usize = 8;

/// F(4x4) interpolates at 0, plus and minus each of these, and infinity. The usual 1 and 2 lose 2.6 times more bits:
/// of all pairs of small fractions these are within a tenth of the best (Barabasz et al., "Error Analysis and Improving
/// the Accuracy of Winograd Convolution for Deep Neural Networks", 2020), and their products are exact in f32.
pub(super) const POINTS: [f32; 2] = [0.75, 1.5];

/// Transformed kernels of at most so many bytes are read again for every block of tiles that a thread keeps in its
/// second-level cache; larger ones are read once a band, whose transformed tiles then go through the third level.
const RESIDENT: usize = 5 << 20;
/// Bytes of the second-level cache for a block of tiles.
const BLOCK: usize = 704 << 10;

/// The output tile of a transform.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tile {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

impl Tile {
    /// Output rows and columns.
    pub(super) fn side(self) -> usize {
        match self {
            Tile::Two => 2,
            Tile::Four => 4,
        }
    }

    /// Points of the transformed tile.
    pub(super) fn points(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }

    /// The matrix G of the kernel transform U = G g G^T, its first side + 2 rows.
    fn kernel_matrix(self) -> [[f64; 3]; 6] {
        const UNUSED: [f64; 3] = [0.0; 3];
        match self {
            Tile::Two => {
                [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0], UNUSED, UNUSED]
            }
            Tile::Four => {
                let (a, b) = (f64::from(POINTS[0]), f64::from(POINTS[1]));
                let row = |p: f64, q: f64| {
                    let n = 2.0 * p * p * (p * p - q * q);
                    [1.0 / n, p / n, p * p / n]
                };
                let zero = [1.0 / (a * a * b * b), 0.0, 0.0];
                [zero, row(a, b), row(-a, b), row(b, a), row(-b, a), [0.0, 0.0, 1.0]]
            }
        }
    }
}

/// Transforms the kernels of one output channel, [input][3][3], to [point][padded input].
pub(super) fn transform_kernels(isa: Isa, tile: Tile, kernels: &[f32], padded: usize, out: &mut [f32]) {
    isa.run(TransformKernels { tile, kernels, padded, out });
}

struct TransformKernels<'a> {
    tile: Tile,
    kernels: &'a [f32],
    padded: usize,
    out: &'a mut [f32],
}

impl Kernel for TransformKernels<'_> {
    type Output = ();

    /// In f64 and one matrix after the other; loops over channels, which the compiler vectorises.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        const CHANNELS: usize = 64;
        let (g, side) = (self.tile.kernel_matrix(), self.tile.side() + 2);
        for (block, kernels) in self.kernels.chunks(9 * CHANNELS).enumerate() {
            let n = kernels.len() / 9;
            let mut tap = [[0f64; CHANNELS]; 9];
            for (c, kernel) in kernels.chunks_exact(9).enumerate() {
                (0..9).for_each(|t| tap[t][c] = f64::from(kernel[t]));
            }
            for row in g.iter().take(side).enumerate() {
                let mut half = [[0f64; CHANNELS]; 3];
                for (j, half) in half.iter_mut().enumerate() {
                    for (c, h) in half.iter_mut().enumerate() {
                        *h = row.1[0] * tap[j][c] + row.1[1] * tap[3 + j][c] + row.1[2] * tap[6 + j][c];
                    }
                }
                for (column, w) in g.iter().take(side).enumerate() {
                    let at = (row.0 * side + column) * self.padded + block * CHANNELS;
                    for (c, to) in self.out[at..][..n].iter_mut().enumerate() {
                        *to = (w[0] * half[0][c] + w[1] * half[1][c] + w[2] * half[2][c]) as f32;
                    }
                }
            }
        }
    }
}

/// One call of the layer.
pub(super) struct WinogradRun<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) geometry: &'a Geometry,
    pub(super) filter: &'a Filter,
    pub(super) tile: Tile,
    pub(super) input: &'a ConvInput<'a>,
    /// Rows and columns of the output.
    pub(super) size: (usize, usize),
    /// [batch][padded outputs].
    pub(super) bias: &'a [f32],
    /// A row a pixel.
    pub(super) residual: Option<Addend>,
}

/// A row of tiles, and the canvas row of its first pixels.
#[derive(Clone, Copy)]
struct TileRow {
    image: usize,
    /// First output row.
    y: usize,
    canvas_row: usize,
}

/// Some rows of tiles: small enough for scratch, large enough that the weights are read few times.
struct Band<'a> {
    run: &'a WinogradRun<'a>,
    rows: Vec<TileRow>,
    tiles_across: usize,
    canvas_width: usize,
    canvas: Buffer<f32>,
    out: Shareable<f32>,
}

/// Computes the convolution, whose shapes the caller has checked.
pub(super) fn forward(run: &WinogradRun<'_>, out: &mut [f32]) {
    let (side, panels) = (run.tile.side(), &run.filter.panels);
    let (down, across) = (run.size.0.div_ceil(side), run.size.1.div_ceil(side));
    let canvas_width = across * side + 2;
    let channels = run.filter.canvas_channels();
    let in_blocks = panels.bytes() <= RESIDENT;
    let point_lanes = if in_blocks { 0 } else { panels.depth + panels.count * panels.columns };
    let bytes = 4 * (across * run.tile.points() * point_lanes + side * canvas_width * channels);
    for band in bands(run.input.batch * down, units_in_scratch(bytes)) {
        let (rows, canvas_rows) = lay_out(run, down, band);
        // The canvas stays f32: the transform loses bits that bf16 does not have.
        let shape = CanvasShape {
            rows: canvas_rows,
            width: canvas_width,
            left: run.geometry.padding.left,
            channels,
            bf16: false,
        };
        let canvas = shape.fill(run.cpu, run.input);
        let out = Shareable::new(out.as_mut_ptr());
        let band = Band { run, rows, tiles_across: across, canvas_width, canvas, out };
        if in_blocks { band.compute_in_blocks() } else { band.compute() }
    }
}

/// The tile rows of a band, and the canvas rows they read; tile rows of one image share theirs.
fn lay_out(run: &WinogradRun<'_>, down: usize, band: Range<usize>) -> (Vec<TileRow>, Vec<CanvasRow>) {
    let (side, top) = (run.tile.side(), run.geometry.padding.top);
    let (mut rows, mut canvas) = (Vec::new(), Vec::new());
    let mut unit = band.start;
    while unit < band.end {
        let (image, first) = (unit / down, unit % down);
        let count = (down - first).min(band.end - unit);
        let base = canvas.len();
        rows.extend((0..count).map(|i| TileRow {
            image,
            y: (first + i) * side,
            canvas_row: base + i * side,
        }));
        let source = |r: usize| r.checked_sub(top).filter(|r| *r < run.input.size().0);
        let range = first * side..(first + count) * side + 2;
        canvas.extend(range.map(|r| CanvasRow { image, source: source(r) }));
        unit += count;
    }
    (rows, canvas)
}

impl Band<'_> {
    /// Three parallel phases; the transformed kernels are read once.
    fn compute(&self) {
        // The instruction set of the packed weights throughout: channels are padded to its vectors.
        let (run, panels) = (self.run, &self.run.filter.panels);
        let tiles = self.rows.len() * self.tiles_across;
        let outputs = panels.count * panels.columns;
        // A cache line more than a power of two would be: points of one tile do not fight for the same cache
        // sets.
        let (in_stride, out_stride) = (tiles * panels.depth + 16, tiles * outputs + 16);
        let mut points = run.cpu.scratch().take::<f32>(run.tile.points() * in_stride);
        let mut products = run.cpu.scratch().take::<f32>(run.tile.points() * out_stride);
        let (points_at, products_at) =
            (Shareable::new(points.as_mut_ptr()), Shareable::new(products.as_mut_ptr()));
        let (points_at, products_at) = ((&points_at, in_stride), (&products_at, out_stride));
        run.cpu.pool().run(tiles.div_ceil(TILES), |group| {
            for tile in group * TILES..tiles.min((group + 1) * TILES) {
                panels.isa.run_bf16(self.tile_in(tile, (tile, points_at)));
            }
        });
        self.multiply(tiles, points_at, products_at);
        run.cpu.pool().run(tiles.div_ceil(TILES), |group| {
            for tile in group * TILES..tiles.min((group + 1) * TILES) {
                panels.isa.run(self.tile_out(tile, (tile * outputs, products_at), 0..outputs));
            }
        });
    }

    /// Block by block of tiles, a thread each: in, by one panel of every point, out again.
    fn compute_in_blocks(&self) {
        let (run, panels) = (self.run, &self.run.filter.panels);
        let (tiles, points) = (self.rows.len() * self.tiles_across, run.tile.points());
        let most = BLOCK / (4 * points * (panels.depth + panels.columns));
        // Whole register tiles, as high as any instruction set has them.
        let size = (most / MAX_TILE_ROWS * MAX_TILE_ROWS).max(MAX_TILE_ROWS);
        let (in_stride, out_stride) = (size * panels.depth + 16, size * panels.columns + 16);
        run.cpu.pool().run(tiles.div_ceil(size), |block| {
            let first = block * size;
            let count = size.min(tiles - first);
            let scratch = run.cpu.scratch();
            let mut memory = scratch.take::<f32>(points * (in_stride + out_stride));
            let (inside, products) = memory.split_at_mut(points * in_stride);
            let inside = (&Shareable::new(inside.as_mut_ptr()), in_stride);
            let products = (&Shareable::new(products.as_mut_ptr()), out_stride);
            let mut wide = scratch.take::<f32>(panels.widened_len(1, panels.depth.min(DEPTH)));
            for i in 0..count {
                panels.isa.run_bf16(self.tile_in(first + i, (i, inside)));
            }
            for panel in 0..panels.count {
                for point in 0..points {
                    self.multiply_panel(
                        (point, panel, count),
                        inside,
                        (products, panels.columns, 0),
                        &mut wide,
                    );
                }
                let channels = panel * panels.columns..(panel + 1) * panels.columns;
                for i in 0..count {
                    panels.isa.run(self.tile_out(
                        first + i,
                        (i * panels.columns, products),
                        channels.clone(),
                    ));
                }
            }
        });
    }

    /// The transform of a tile to place `at` of the points.
    fn tile_in(&self, tile: usize, (at, points): (usize, Points<'_>)) -> TileIn {
        let (panels, channels) = (&self.run.filter.panels, self.run.filter.canvas_channels());
        let (row, x) = (self.rows[tile / self.tiles_across], tile % self.tiles_across * self.run.tile.side());
        TileIn {
            tile: self.run.tile,
            bf16: self.run.filter.is_bf16(),
            channels,
            from: self.canvas[(row.canvas_row * self.canvas_width + x) * channels..].as_ptr(),
            row_stride: self.canvas_width * channels,
            to: points.0.get().wrapping_add(at * panels.depth),
            point_stride: points.1,
        }
    }

    /// For every point a matrix product: [tiles][inputs] by the point's panels.
    fn multiply(&self, tiles: usize, points: Points<'_>, products: Points<'_>) {
        let (panels, count) = (&self.run.filter.panels, self.run.tile.points());
        let splits =
            (TASKS_PER_THREAD * self.run.cpu.pool().threads()).div_ceil(count).clamp(1, panels.count);
        let outputs = panels.count * panels.columns;
        self.run.cpu.pool().run(count * splits, |task| {
            let (point, split) = (task / splits, task % splits);
            let mut wide = self.run.cpu.scratch().take::<f32>(panels.widened_len(1, panels.depth.min(DEPTH)));
            for panel in panels.count * split / splits..panels.count * (split + 1) / splits {
                let to = (products, outputs, panel * panels.columns);
                self.multiply_panel((point, panel, tiles), points, to, &mut wide);
            }
        });
    }

    /// One point of `tiles` tiles by one panel; products of a tile `stride` apart, from `column` on.
    fn multiply_panel(
        &self,
        (point, panel, tiles): (usize, usize, usize),
        points: Points<'_>,
        (products, stride, column): (Points<'_>, usize, usize),
        wide: &mut Buffer<f32>,
    ) {
        let panels = &self.run.filter.panels;
        for piece in bands(panels.depth, DEPTH) {
            let slab = Slab { first_tap: point, taps: 1, from: piece.start, depth: piece.len() };
            let (b, tap_stride) = panels.slab(panel, slab, wide);
            let product = Product {
                a: points.0.get().wrapping_add(point * points.1 + piece.start),
                row_stride: panels.depth,
                taps: &[0],
                depth: piece.len(),
                b,
                tap_stride,
                sums: products.0.get().wrapping_add(point * products.1 + column),
                sums_stride: stride,
                start: if piece.start == 0 { Start::Zero } else { Start::Sums },
            };
            run_panel(panels.isa, panels.kind, PanelStep { rows: tiles, product, finish: None });
        }
    }

    /// The transform back of `channels` of a tile, whose products begin at lane `at` of every point.
    fn tile_out(&self, tile: usize, (at, products): (usize, Points<'_>), channels: Range<usize>) -> TileOut {
        let (panels, side) = (&self.run.filter.panels, self.run.tile.side());
        let (row, x) = (self.rows[tile / self.tiles_across], tile % self.tiles_across * side);
        let (height, width) = self.run.size;
        let outputs = self.run.geometry.outputs;
        let pixel = (row.image * height + row.y) * width + x;
        TileOut {
            tile: self.run.tile,
            channels: outputs.min(channels.end) - channels.start,
            pixel_stride: outputs,
            rows: side.min(height - row.y),
            columns: side.min(width - x),
            from: products.0.get().wrapping_add(at),
            point_stride: products.1,
            bias: self.run.bias[row.image * panels.count * panels.columns + channels.start..].as_ptr(),
            residual: self.run.residual.map(|residual| residual.from(pixel, channels.start)),
            to: self.out.get().wrapping_add(pixel * outputs + channels.start),
            row_stride: width * outputs,
        }
    }
}

/// Points of transformed tiles, and the lanes from one to the next.
type Points<'a> = (&'a Shareable<f32>, usize);
