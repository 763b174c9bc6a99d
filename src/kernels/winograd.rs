//! Owns the Winograd convolution F(2x2, 3x3), F(2x4, 3x3) and F(4x4, 3x3): transform tiles and
//! kernels, multiply point by point, transform back.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), equations 12 and
//! following.

use super::Cpu;
use super::arena::Buffer;
use super::conv_input::{CanvasRow, CanvasShape, ConvInput};
use super::epilogue::ResidualPtr;
use super::gemm_blocks::{PanelStep, run_panel};
use super::geometry::{Geometry, bands, units_in_working_set};
use super::isa::Isa;
use super::panels::LaneKind;
use super::pool::Shareable;
use super::simd::MAX_TILE_ROWS;
use super::tile::{Product, Start};
use super::winograd_kernels::WinogradKernels;
use super::winograd_tiles::{Tile, TilesIn, TilesOut};
use std::ops::Range;

/// Most lanes of depth multiplied at a time where kernels are transformed already.
const DEPTH: usize = 640;
/// Tiles transformed by one task.
const TILES: usize = 8;

/// Bytes up to which all transformed kernels are made once a call and read again for every block of
/// tiles that a thread keeps in its second-level cache; larger ones are made piece by piece, and the
/// transformed tiles of a band go through the third level.
const RESIDENT: usize = 5 << 20;
/// Bytes of the second-level cache for a block of tiles.
const BLOCK: usize = 704 << 10;
/// Bytes of the second-level cache for a piece of the kernels.
const PIECE: usize = 448 << 10;
/// Bytes of the second-level cache for the products of a group of tiles.
const PRODUCTS: usize = 448 << 10;
/// A thread's part of the third-level cache for the canvas and the transformed tiles of a band, of
/// one group at least: processes that share the cache leave that much of it, and more threads need
/// more tiles to share.
const BAND: usize = 4 << 20;
/// Lanes added to the distance of points, one cache line more than a power of two, so that the
/// points of one tile do not compete for the same cache sets.
const SKEW: usize = 16;

/// One call of the layer.
pub(super) struct WinogradRun<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) geometry: &'a Geometry,
    pub(super) kernels: &'a WinogradKernels,
    pub(super) tile: Tile,
    pub(super) input: &'a ConvInput<'a>,
    /// Rows and columns of the output.
    pub(super) size: (usize, usize),
    /// [batch][padded outputs].
    pub(super) bias: &'a [f32],
    /// One row per pixel.
    pub(super) residual: Option<ResidualPtr>,
}

/// A row of tiles, and the canvas row of its first pixels.
#[derive(Clone, Copy)]
struct TileRow {
    image: usize,
    /// First output row.
    y: usize,
    canvas_row: usize,
}

/// Tiles side by side.
struct Strip {
    row: TileRow,
    /// First output column.
    x: usize,
    /// Index of the first tile, counted from the first one asked for.
    first: usize,
    tiles: usize,
}

/// Some rows of tiles: few enough for working memory, enough that the weights are read few times.
struct Band<'a> {
    run: &'a WinogradRun<'a>,
    rows: Vec<TileRow>,
    /// Most tiles that are multiplied with a piece of the kernels.
    group: usize,
    tiles_across: usize,
    canvas_width: usize,
    canvas: Buffer<f32>,
    out: Shareable<f32>,
}

/// Computes the convolution, whose shapes the caller has checked.
pub(super) fn forward(run: &WinogradRun<'_>, out: &mut [f32]) {
    let ((tile_rows, tile_columns), points, kernels) =
        (run.tile.size(), run.tile.points(), run.kernels);
    let (down, across) = (
        run.size.0.div_ceil(tile_rows),
        run.size.1.div_ceil(tile_columns),
    );
    let canvas_width = across * tile_columns + 2;
    let transformed = points * kernels.depth() * kernels.outputs();
    // Few tiles meet a kernel too rarely for all transformed kernels to be stored first.
    let resident = 4 * transformed <= RESIDENT && run.input.batch * down * across > MAX_TILE_ROWS;
    let resident = resident.then(|| transform_all(run));
    let point_lanes = if resident.is_some() {
        0
    } else {
        kernels.depth()
    };
    let bytes = 4 * (across * points * point_lanes + tile_rows * canvas_width * kernels.inputs());
    let group = whole_tiles(PRODUCTS / (4 * points * kernels.columns()));
    let most = (BAND * run.cpu.pool().threads() / bytes)
        .min(units_in_working_set(bytes))
        .max(group.div_ceil(across));
    for band in bands(run.input.batch * down, most) {
        let (rows, canvas_rows) = lay_out(run, down, band);
        // The canvas stays f32: the transform loses bits that bf16 does not have.
        let shape = CanvasShape {
            rows: canvas_rows,
            width: canvas_width,
            left: run.geometry.padding.left,
            channels: kernels.inputs(),
            bf16: false,
        };
        let canvas = shape.fill(run.cpu, run.input);
        let out = Shareable::new(out.as_mut_ptr());
        let band = Band {
            run,
            rows,
            group,
            tiles_across: across,
            canvas_width,
            canvas,
            out,
        };
        match &resident {
            Some(kernels) => band.compute_in_blocks(kernels),
            None => band.compute(),
        }
    }
}

/// All kernels as [panel][point][lane][column].
fn transform_all(run: &WinogradRun<'_>) -> Buffer<f32> {
    let (points, kernels) = (run.tile.points(), run.kernels);
    let stride = kernels.depth() * kernels.columns();
    let mut all = run
        .cpu
        .arena()
        .take::<f32>(kernels.panels() * points * stride);
    run.cpu
        .pool()
        .for_chunks(&mut all, points * stride, |panel, out| {
            kernels.transform(run.tile, panel, &(0..kernels.depth()), stride, out);
        });
    all
}

/// The tile rows of a band, and the canvas rows they read; tile rows of one image share theirs.
fn lay_out(
    run: &WinogradRun<'_>,
    down: usize,
    band: Range<usize>,
) -> (Vec<TileRow>, Vec<CanvasRow>) {
    let ((side, _), top) = (run.tile.size(), run.geometry.padding.top);
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
        canvas.extend(range.map(|r| CanvasRow {
            image,
            source: source(r),
        }));
        unit += count;
    }
    (rows, canvas)
}

impl Band<'_> {
    /// Transforms all tiles; then runs a task for every panel and group of tiles, which transforms
    /// its kernels piece by piece.
    fn compute(&self) {
        let (run, kernels, points) = (self.run, self.run.kernels, self.run.tile.points());
        let tiles = self.rows.len() * self.tiles_across;
        let stride = tiles * kernels.depth() + SKEW;
        let mut inside = run.cpu.arena().take::<f32>(points * stride);
        let inside = Points {
            at: &Shareable::new(inside.as_mut_ptr()),
            stride,
        };
        run.cpu.pool().run(tiles.div_ceil(TILES), |task| {
            let first = task * TILES;
            self.transform_in(first..tiles.min(first + TILES), first, inside);
        });
        let groups: Vec<Range<usize>> = bands(tiles, self.group).collect();
        // The panels of a group one after the other: its tiles stay in the third-level cache.
        run.cpu.pool().run(groups.len() * kernels.panels(), |task| {
            self.compute_panel(
                &groups[task / kernels.panels()],
                task % kernels.panels(),
                inside,
            );
        });
    }

    /// One panel of a group of tiles, transformed kernels and products in the second-level cache.
    fn compute_panel(&self, group: &Range<usize>, panel: usize, inside: Points<'_>) {
        let (run, kernels, points) = (self.run, self.run.kernels, self.run.tile.points());
        let columns = kernels.columns();
        let most = (PIECE / (4 * points * columns)).min(kernels.depth());
        let (stride, kernel_stride) = (group.len() * columns + SKEW, most * columns + SKEW);
        let mut products = run.cpu.arena().take::<f32>(points * stride);
        let mut transformed = run.cpu.arena().take::<f32>(points * kernel_stride);
        let products = Points {
            at: &Shareable::new(products.as_mut_ptr()),
            stride,
        };
        for piece in bands(kernels.depth(), most) {
            kernels.transform(run.tile, panel, &piece, kernel_stride, &mut transformed);
            for point in 0..points {
                let left = inside.at.get().wrapping_add(point * inside.stride);
                self.multiply(PointStep {
                    tiles: group.len(),
                    piece: &piece,
                    inside: left.wrapping_add(group.start * kernels.depth()),
                    kernels: transformed[point * kernel_stride..].as_ptr(),
                    products: products.at.get().wrapping_add(point * stride),
                });
            }
        }
        self.transform_out(group.clone(), products, panel);
    }

    /// Computes block by block of tiles, one thread each: transforms them, multiplies them with one
    /// panel of every point at a time, and transforms the products back.
    fn compute_in_blocks(&self, transformed: &[f32]) {
        let (run, kernels, points) = (self.run, self.run.kernels, self.run.tile.points());
        let (depth, columns) = (kernels.depth(), kernels.columns());
        let tiles = self.rows.len() * self.tiles_across;
        let size = whole_tiles(BLOCK / (4 * points * (depth + columns)));
        let (in_stride, out_stride) = (size * depth + SKEW, size * columns + SKEW);
        run.cpu.pool().run(tiles.div_ceil(size), |block| {
            let first = block * size;
            let count = size.min(tiles - first);
            let mut memory = run
                .cpu
                .arena()
                .take::<f32>(points * (in_stride + out_stride));
            let (inside, products) = memory.split_at_mut(points * in_stride);
            let inside = Points {
                at: &Shareable::new(inside.as_mut_ptr()),
                stride: in_stride,
            };
            let products = Points {
                at: &Shareable::new(products.as_mut_ptr()),
                stride: out_stride,
            };
            self.transform_in(first..first + count, 0, inside);
            for panel in 0..kernels.panels() {
                for point in 0..points {
                    for piece in bands(depth, DEPTH) {
                        let at = ((panel * points + point) * depth + piece.start) * columns;
                        self.multiply(PointStep {
                            tiles: count,
                            piece: &piece,
                            inside: inside.at.get().wrapping_add(point * in_stride),
                            kernels: transformed[at..].as_ptr(),
                            products: products.at.get().wrapping_add(point * out_stride),
                        });
                    }
                }
                self.transform_out(first..first + count, products, panel);
            }
        });
    }

    /// The instruction set that the kernels were packed for, since channels are padded to its
    /// vectors.
    fn isa(&self) -> Isa {
        self.run.kernels.isa()
    }

    /// Parts of `tiles` that lie in one row.
    fn strips(&self, tiles: Range<usize>) -> impl Iterator<Item = Strip> {
        let (across, (_, side)) = (self.tiles_across, self.run.tile.size());
        (tiles.start / across..tiles.end.div_ceil(across)).map(move |row| {
            let first = tiles.start.max(row * across);
            Strip {
                row: self.rows[row],
                x: (first - row * across) * side,
                first: first - tiles.start,
                tiles: tiles.end.min((row + 1) * across) - first,
            }
        })
    }

    /// Transforms `tiles` to the places from `at` on in every point.
    fn transform_in(&self, tiles: Range<usize>, at: usize, points: Points<'_>) {
        let kernels = self.run.kernels;
        for strip in self.strips(tiles) {
            let pixel = strip.row.canvas_row * self.canvas_width + strip.x;
            self.isa().run_bf16(TilesIn {
                tile: self.run.tile,
                tiles: strip.tiles,
                bf16: kernels.kind() == LaneKind::Bf16,
                channels: kernels.inputs(),
                from: self.canvas[pixel * kernels.inputs()..].as_ptr(),
                row_stride: self.canvas_width * kernels.inputs(),
                to: points
                    .at
                    .get()
                    .wrapping_add((at + strip.first) * kernels.depth()),
                depth: kernels.depth(),
                point_stride: points.stride,
            });
        }
    }

    /// Tiles by a panel's columns in one point.
    fn multiply(&self, step: PointStep<'_>) {
        let kernels = self.run.kernels;
        let product = Product {
            a: step.inside.wrapping_add(step.piece.start),
            row_stride: kernels.depth(),
            taps: &[0],
            depth: step.piece.len(),
            b: step.kernels,
            tap_stride: 0,
            sums: step.products,
            sums_stride: kernels.columns(),
            start: if step.piece.start == 0 {
                Start::Zero
            } else {
                Start::Sums
            },
        };
        run_panel(
            self.isa(),
            kernels.kind(),
            PanelStep {
                rows: step.tiles,
                product,
                finish: None,
            },
        );
    }

    /// Transforms a panel's `products` back, the first of which are those of the first of `tiles`.
    fn transform_out(&self, tiles: Range<usize>, products: Points<'_>, panel: usize) {
        let (run, columns) = (self.run, self.run.kernels.columns());
        let ((height, width), outputs) = (run.size, run.geometry.outputs);
        let channels = panel * columns..outputs.min((panel + 1) * columns);
        for Strip {
            row,
            x,
            first,
            tiles,
        } in self.strips(tiles)
        {
            let pixel = (row.image * height + row.y) * width + x;
            self.isa().run(TilesOut {
                tile: run.tile,
                tiles,
                channels: channels.len(),
                pixel_stride: outputs,
                rows: height - row.y,
                columns: width - x,
                from: products.at.get().wrapping_add(first * columns),
                depth: columns,
                point_stride: products.stride,
                bias: run.bias[row.image * run.kernels.outputs() + channels.start..].as_ptr(),
                residual: run
                    .residual
                    .map(|residual| residual.from(pixel, channels.start)),
                to: self
                    .out
                    .get()
                    .wrapping_add(pixel * outputs + channels.start),
                row_stride: width * outputs,
            });
        }
    }
}

/// Tiles rounded down to whole register tiles of the greatest height of any instruction set; one
/// register tile at least.
fn whole_tiles(most: usize) -> usize {
    (most / MAX_TILE_ROWS * MAX_TILE_ROWS).max(MAX_TILE_ROWS)
}

/// A product of one point.
struct PointStep<'a> {
    /// Tiles, one row each.
    tiles: usize,
    /// The lanes multiplied; later ones are added to the products of those before.
    piece: &'a Range<usize>,
    /// [tile][lane].
    inside: *const f32,
    /// [lane of the piece][column].
    kernels: *const f32,
    /// [tile][column].
    products: *mut f32,
}

/// Transformed tiles: where they are, and the lanes from a point to the next.
#[derive(Clone, Copy)]
struct Points<'a> {
    at: &'a Shareable<f32>,
    stride: usize,
}
