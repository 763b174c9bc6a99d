//! Shapes and kinds of layers, as networks ask for them.

use crate::kernels::{Activation as KernelActivation, Geometry, Padding};
use crate::named_enum::named_enum;

named_enum! {
    /// Activation after a linear layer; the names are those of `hidden_act` in config.json.
    pub enum Activation("activation") {
        /// x · sigmoid(1.702 x), OpenAI's CLIP.
        QuickGelu = "quick_gelu",
        /// x · Φ(x), exact.
        Gelu = "gelu",
    }
}

impl Activation {
    pub(super) fn kernel(self) -> KernelActivation {
        match self {
            Self::QuickGelu => KernelActivation::QuickGelu,
            Self::Gelu => KernelActivation::Gelu,
        }
    }
}

/// Size, stride and padding of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// Side of the square kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros on the left and top; as many on the right and bottom unless `tail_padding` says
    /// otherwise.
    pub(crate) padding: usize,
    /// Zeros on the right and bottom.
    pub(crate) tail_padding: usize,
}

impl ConvShape {
    fn square(input: usize, output: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            input,
            output,
            kernel,
            stride,
            padding,
            tail_padding: padding,
        }
    }

    /// 3×3 that keeps the size.
    pub(crate) fn same(input: usize, output: usize) -> Self {
        Self::square(input, output, 3, 1, 1)
    }

    /// 1×1.
    pub(crate) fn pointwise(input: usize, output: usize) -> Self {
        Self::square(input, output, 1, 1, 0)
    }

    /// Squares of `size` pixels side by side.
    pub(crate) fn patches(input: usize, output: usize, size: usize) -> Self {
        Self::square(input, output, size, size, 0)
    }

    /// 3×3 with stride 2 that halves the size.
    pub(crate) fn halving(channels: usize, padding: usize) -> Self {
        Self::halving_to(channels, channels, padding)
    }

    /// 3×3 with stride 2 that halves the size, to another number of channels.
    pub(crate) fn halving_to(input: usize, output: usize, padding: usize) -> Self {
        Self {
            tail_padding: 1,
            ..Self::square(input, output, 3, 2, padding)
        }
    }

    pub(super) fn geometry(self) -> Geometry {
        let (head, tail) = (self.padding, self.tail_padding);
        Geometry {
            inputs: self.input,
            outputs: self.output,
            kernel: self.kernel,
            stride: self.stride,
            padding: Padding {
                top: head,
                left: head,
                bottom: tail,
                right: tail,
            },
        }
    }
}
