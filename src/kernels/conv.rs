//! Owns the convolution layer: its weights packed for one of three algorithms, and the code that
//! these share.

use super::Cpu;
use super::conv_direct::{self, DirectRun};
use super::conv_input::{CanvasRow, CanvasShape, ConvInput};
use super::conv_plan::Algo;
use super::epilogue::{Epilogue, Output, Residual, Target};
use super::gemm::{Gating, LinearInput, LinearWeights, PackedLinear};
use super::panels::{Form, PanelShape, Panels};
use super::rows::Rows;
use super::scratch::Aligned;
use super::source::{Precision, WeightSlice};
use super::winograd::{self, WinogradRun};
use super::winograd_kernels::Kernels;
use super::winograd_tiles::Tile;

/// Bytes of scratch a convolution works in; larger images go in bands of rows. The level-3 cache of
/// a small server part.
const SCRATCH: usize = 28 << 20;

/// Zeros around an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns before.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns after.
    pub right: usize,
}

impl Padding {
    /// The same padding on all sides.
    #[cfg(test)]
    pub(crate) fn all(n: usize) -> Padding {
        Padding {
            top: n,
            left: n,
            bottom: n,
            right: n,
        }
    }
}

/// The shape of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Rows and columns from one output to the next.
    pub stride: usize,
    /// Around the (upsampled) input.
    pub padding: Padding,
}

impl Geometry {
    /// Rows and columns of the output for a (padded by `padding`) input of (rows, columns).
    pub(crate) fn output_size(&self, (rows, columns): (usize, usize)) -> (usize, usize) {
        let size = |n: usize| (n - self.kernel) / self.stride + 1;
        let p = self.padding;
        (
            size(rows + p.top + p.bottom),
            size(columns + p.left + p.right),
        )
    }
}

/// The stored weights of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct ConvWeights<'a> {
    /// [outputs, inputs, kernel, kernel], as checkpoints store them.
    pub kernels: WeightSlice<'a>,
    /// One number per output channel.
    pub bias: Option<&'a [f32]>,
    /// Shape of the convolution.
    pub geometry: Geometry,
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
    Winograd(Tile, Kernels),
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
        let form = Form::of(
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
            Algo::Direct => Body::Direct(weights.pack(cpu, g.inputs, form)),
            Algo::Winograd(largest) => {
                assert!(g.kernel == 3 && g.stride == 1, "Winograd for {g:?}");
                Body::Winograd(largest, Kernels::pack(cpu, weights, precision))
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
        let target = Target::F32(out.as_mut_ptr());
        let residual = epilogue
            .residual
            .find((input.batch * size.0 * size.1, g.outputs), target);
        assert!(
            residual.is_none_or(|r| r.stride == g.outputs),
            "a residual with gaps"
        );
        // A pointwise body counts for itself.
        if !matches!(self.body, Body::Pointwise(_)) {
            cpu.asked(out.len() * g.inputs * g.kernel * g.kernel);
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
            SCRATCH / (4 * columns * input.channels()),
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

/// 0..units in even ranges of at most `most` (but at least one) units.
pub(super) fn bands(units: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = units.div_ceil(most.max(1));
    (0..count).map(move |i| units * i / count..units * (i + 1) / count)
}

/// Units of rows that fit the scratch when each takes `bytes`.
pub(super) fn units_in_scratch(bytes: usize) -> usize {
    (SCRATCH / bytes.max(1)).max(1)
}

impl ConvWeights<'_> {
    /// Panels [panel][tap][input] of `inputs` numbers, those beyond the layer's zero.
    pub(super) fn pack(&self, cpu: &Cpu, inputs: usize, form: Form) -> Panels {
        let (g, width) = (self.geometry, 2 * cpu.isa().width());
        let taps = g.kernel * g.kernel;
        let shape = PanelShape {
            count: g.outputs.div_ceil(width),
            taps,
            inputs,
        };
        Panels::pack(cpu, shape, form, |panel, j, out| {
            let output = panel * width + j;
            if output < g.outputs {
                // From the arena: a vector of this size would come from the system and go back to
                // it every time.
                let mut kernels = cpu.scratch().take::<f32>(g.inputs * taps);
                self.kernels.widen(output * kernels.len(), &mut kernels);
                for (tap, row) in out.chunks_exact_mut(inputs).enumerate() {
                    row.iter_mut()
                        .zip(kernels[tap..].iter().step_by(taps))
                        .for_each(|(to, w)| *to = *w);
                }
            }
        })
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
