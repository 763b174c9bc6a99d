//! Owns the convolution layer: the choice of one of three algorithms by time, memory and rounding
//! error, and the weights packed for it.

use super::Cpu;
use super::arena::Aligned;
use super::conv_direct::{self, DirectRun};
use super::conv_input::{CanvasRow, CanvasShape, ConvInput};
use super::epilogue::{Epilogue, Output, OutputPtr, Residual};
use super::gemm::{Gating, LinearInput, LinearWeights, PackedLinear};
use super::geometry::{ConvWeights, Geometry, Padding, WORKING_SET, bands};
use super::isa::Isa;
use super::panels::{PanelFormat, Panels, Precision};
use super::rows::Rows;
use super::winograd::{self, WinogradRun};
use super::winograd_kernels::WinogradKernels;
use super::winograd_tiles::Tile;

/// Algorithm of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algo {
    /// A matrix product over pixels: kernel 1, stride 1, no padding.
    Pointwise,
    /// Implicit matrix product over a padded copy: any kernel and stride.
    Direct,
    /// Winograd's, in tiles of at most these errors. F(2x2, 3x3): 2.25 times fewer products;
    /// relative error 7e-7 in f32, 4e-3 in bf16. F(2x4, 3x3): 3 times fewer; 6e-3 in bf16. F(4x4,
    /// 3x3): 4 times fewer; 2e-6 in f32, 9e-3 in bf16, four times that of a direct convolution.
    Winograd(Tile),
}

/// Number of passes of an image through a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Passes {
    /// One per step: rounding errors come back as input.
    #[default]
    Many,
    /// One: a layer in bf16 may round as coarsely as the eye allows.
    Once,
}

/// The algorithm for a layer on `isa`.
///
/// Winograd for 3x3 kernels wherever it saves products, which it does not with few channels.
/// Kernels are transformed during the convolution, so that they cost no memory. Where the machine
/// multiplies bf16, F(2x4) in bf16 is faster than F(4x4) in f32; a network that runs once takes
/// F(4x4) in bf16.
pub(crate) fn plan(isa: Isa, geometry: &Geometry, precision: Precision, passes: Passes) -> Algo {
    let g = geometry;
    if g.kernel == 1 && g.stride == 1 && g.padding == Padding::default() {
        return Algo::Pointwise;
    }
    if g.kernel != 3 || g.stride != 1 || g.inputs < 32 || g.outputs < 32 {
        return Algo::Direct;
    }
    let narrow = matches!(precision, Precision::Bf16 | Precision::Int8) && isa.has_bf16();
    let many = narrow && passes == Passes::Many;
    Algo::Winograd(if many {
        Tile::TwoByFour
    } else {
        Tile::FourByFour
    })
}

/// Terms added to the sums of a convolution in addition to the bias of the layer.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConvEpilogue<'a> {
    /// [batch, outputs], or [outputs] for all images: the same for every pixel of an image (a time
    /// embedding).
    pub image_bias: Option<&'a [f32]>,
    /// One row per pixel.
    pub residual: Residual<'a>,
}

/// A convolution with packed weights, channels-last in and out.
pub(crate) struct PackedConv {
    geometry: Geometry,
    body: Body,
    /// Padded to whole panels; a pointwise body has its own.
    bias: Aligned<f32>,
}

enum Body {
    Pointwise(PackedLinear),
    /// Panels [panel][tap][input]: tap (i, j) is kernel row i, column j.
    Direct(Panels),
    /// The largest tile that may be used.
    Winograd(Tile, WinogradKernels),
}

impl PackedConv {
    /// Packs `weights` for `algo` (see [`plan`]) and the instruction set of `cpu`.
    ///
    /// # Panics
    /// If lengths do not fit the geometry, or `algo` cannot compute it.
    pub(crate) fn pack(
        cpu: &Cpu,
        weights: &ConvWeights<'_>,
        precision: Precision,
        algo: Algo,
    ) -> PackedConv {
        let g = weights.geometry;
        assert_eq!(
            weights.kernels.len(),
            g.outputs * g.inputs * g.kernel * g.kernel,
            "weights of {g:?}"
        );
        assert!(
            weights.bias.is_none_or(|b| b.len() == g.outputs),
            "a bias of {}",
            g.outputs
        );
        let eight_bits = precision == Precision::Int8;
        let format = PanelFormat::of(
            if eight_bits {
                Precision::Bf16
            } else {
                precision
            },
            cpu.isa(),
        );
        let body = match algo {
            Algo::Pointwise => {
                let plain = g.kernel == 1 && g.stride == 1 && g.padding == Padding::default();
                assert!(plain, "a matrix product for {g:?}");
                let matrices = [weights.kernels];
                let linear = LinearWeights {
                    matrices: &matrices,
                    inputs: g.inputs,
                    bias: weights.bias,
                    gating: Gating::None,
                };
                Body::Pointwise(PackedLinear::pack(cpu, &linear, precision))
            }
            Algo::Direct => Body::Direct(weights.pack(cpu, g.inputs, format)),
            Algo::Winograd(largest) => {
                assert!(g.kernel == 3 && g.stride == 1, "Winograd for {g:?}");
                Body::Winograd(largest, WinogradKernels::pack(cpu, weights, precision))
            }
        };
        let mut bias = Aligned::zeroed(g.outputs.next_multiple_of(2 * cpu.isa().width()));
        if let Some(values) = weights.bias {
            bias[..values.len()].copy_from_slice(values);
        }
        PackedConv {
            geometry: g,
            body,
            bias,
        }
    }

    /// y [batch, rows, columns, outputs] of `output_size` from the input.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub(crate) fn forward(
        &self,
        cpu: &Cpu,
        input: &ConvInput<'_>,
        epilogue: ConvEpilogue<'_>,
        out: &mut [f32],
    ) {
        let g = &self.geometry;
        input.check();
        assert_eq!(input.channels(), g.inputs, "input channels");
        let size = g.output_size(input.size());
        assert_eq!(
            out.len(),
            input.batch * size.0 * size.1 * g.outputs,
            "an output of {size:?}"
        );
        assert!(
            epilogue
                .image_bias
                .is_none_or(|b| [1, input.batch].contains(&(b.len() / g.outputs))),
            "a bias for every image, or one for all"
        );
        let target = OutputPtr::F32(out.as_mut_ptr());
        let residual = epilogue
            .residual
            .find(input.batch * size.0 * size.1, g.outputs, target);
        assert!(
            residual.is_none_or(|r| r.stride == g.outputs),
            "a residual with gaps"
        );
        // A pointwise body counts for itself.
        if !matches!(self.body, Body::Pointwise(_)) {
            cpu.count_work(out.len() * g.inputs * g.kernel * g.kernel);
        }
        match &self.body {
            Body::Pointwise(linear) => forward_pointwise(cpu, linear, input, epilogue, out),
            Body::Direct(panels) => {
                let bias = self.image_bias(input.batch, epilogue.image_bias);
                let run = DirectRun {
                    cpu,
                    geometry: g,
                    panels,
                    input,
                    size,
                    bias: &bias,
                    residual,
                };
                conv_direct::forward(&run, out);
            }
            Body::Winograd(largest, kernels) => {
                let bias = self.image_bias(input.batch, epilogue.image_bias);
                let tile = largest.for_map(size);
                let run = WinogradRun {
                    cpu,
                    geometry: g,
                    kernels,
                    tile,
                    input,
                    size,
                    bias: &bias,
                    residual,
                };
                winograd::forward(&run, out);
            }
        }
    }

    /// [batch][padded outputs]: the layer's bias plus each image's.
    fn image_bias(&self, batch: usize, image_bias: Option<&[f32]>) -> Vec<f32> {
        let mut all = self.bias.repeat(batch);
        if let Some(image_bias) = image_bias {
            let images = image_bias.chunks_exact(self.geometry.outputs).cycle();
            for (to, from) in all.chunks_exact_mut(self.bias.len()).zip(images) {
                to.iter_mut().zip(from).for_each(|(b, x)| *b += x);
            }
        }
        all
    }
}

/// A 1x1 convolution: parts are multiplied in place, or copied in bands when an affine, an
/// activation or an upsampling is applied first.
fn forward_pointwise(
    cpu: &Cpu,
    linear: &PackedLinear,
    input: &ConvInput<'_>,
    epilogue: ConvEpilogue<'_>,
    out: &mut [f32],
) {
    let n = linear.outputs();
    let (rows, columns) = input.size();
    let finish = |first: usize| {
        let residual = match epilogue.residual {
            Residual::Rows(rows) => Residual::Rows(rows.tail(first)),
            other @ (Residual::None | Residual::Output) => other,
        };
        Epilogue {
            residual,
            ..Epilogue::default()
        }
    };
    if input.is_plain() {
        let parts: Vec<Rows<'_>> = input
            .parts
            .iter()
            .map(|(data, c)| Rows::new(data, *c))
            .collect();
        linear.forward(
            cpu,
            input.batch * rows * columns,
            LinearInput::F32(&parts),
            finish(0),
            Output::F32(out),
        );
    } else {
        for band in bands(
            input.batch * rows,
            WORKING_SET / (4 * columns * input.channels()),
        ) {
            let row = |r: usize| CanvasRow {
                image: r / rows,
                source: Some(r % rows),
            };
            let canvas_rows: Vec<CanvasRow> = band.clone().map(row).collect();
            let pixels = canvas_rows.len() * columns;
            let shape = CanvasShape {
                rows: canvas_rows,
                width: columns,
                left: 0,
                channels: input.channels(),
                bf16: false,
            };
            let canvas = shape.fill(cpu, input);
            let first = band.start * columns;
            let part = [Rows::new(&canvas, input.channels())];
            let to = Output::F32(&mut out[first * n..][..pixels * n]);
            linear.forward(cpu, pixels, LinearInput::F32(&part), finish(first), to);
        }
    }
    if let Some(bias) = epilogue.image_bias {
        cpu.pool()
            .for_chunks(out, rows * columns * n, |image, pixels| {
                let bias = &bias[image * n % bias.len()..][..n];
                pixels
                    .chunks_exact_mut(n)
                    .for_each(|p| p.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
            });
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
