//! Owns the vocabulary of convolutions: shapes, stored weights and their packing, and the bands of
//! rows in which large images are computed.

use super::Cpu;
use super::panels::{PanelFormat, PanelShape, Panels, WeightSlice};

/// Bytes of buffers that a convolution works in; larger images go in bands of rows. The level-3
/// cache of a small server part.
pub(super) const WORKING_SET: usize = 28 << 20;

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

/// 0..units in even ranges of at most `most` (but at least one) units.
pub(super) fn bands(units: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = units.div_ceil(most.max(1));
    (0..count).map(move |i| units * i / count..units * (i + 1) / count)
}

/// Units of rows that fit [`WORKING_SET`] when each takes `bytes`.
pub(super) fn units_in_working_set(bytes: usize) -> usize {
    (WORKING_SET / bytes.max(1)).max(1)
}

impl ConvWeights<'_> {
    /// Panels [panel][tap][input] of `inputs` numbers, those beyond the layer's zero.
    pub(super) fn pack(&self, cpu: &Cpu, inputs: usize, format: PanelFormat) -> Panels {
        let (g, width) = (self.geometry, 2 * cpu.isa().width());
        let taps = g.kernel * g.kernel;
        let shape = PanelShape {
            count: g.outputs.div_ceil(width),
            taps,
            inputs,
        };
        Panels::pack(cpu, shape, format, |panel, j, out| {
            let output = panel * width + j;
            if output < g.outputs {
                // From the arena: a vector of this size would come from the system and go back to
                // it every time.
                let mut kernels = cpu.arena().take::<f32>(g.inputs * taps);
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
