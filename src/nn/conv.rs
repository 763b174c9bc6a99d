//! Convolutions over feature maps, with what comes just before (concatenation, norm, SiLU, upsampling) and just
//! after (a bias per image, a residual) in one call, so that a kernel may fuse them.

use candle_core::Tensor;

use super::map::FeatureMap;
use super::norm::GroupNorm;
use super::weights::Weights;
use crate::error::Result;

/// Size, stride and padding of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// Side of the square kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros on the left and top; as many on the right and bottom unless `tail_padding` says otherwise.
    pub(crate) padding: usize,
    /// Zeros on the right and bottom.
    pub(crate) tail_padding: usize,
}

impl ConvShape {
    /// 3×3 that keeps the size.
    pub(crate) fn same(input: usize, output: usize) -> Self {
        Self { input, output, kernel: 3, stride: 1, padding: 1, tail_padding: 1 }
    }

    /// 1×1.
    pub(crate) fn pointwise(input: usize, output: usize) -> Self {
        Self { input, output, kernel: 1, stride: 1, padding: 0, tail_padding: 0 }
    }

    /// 3×3 with stride 2 that halves the size.
    pub(crate) fn halving(channels: usize, padding: usize) -> Self {
        Self { input: channels, output: channels, kernel: 3, stride: 2, padding, tail_padding: 1 }
    }
}

/// A convolution with bias.
pub(crate) struct Conv2d {
    /// `[out, in, k, k]`.
    weight: Tensor,
    /// `[1, out, 1, 1]`.
    bias: Tensor,
    shape: ConvShape,
}

impl Conv2d {
    /// Loads `weight` `[out, in, k, k]` (a matrix will do for 1×1) and `bias`.
    pub(crate) fn load(weights: &Weights, shape: ConvShape) -> Result<Self> {
        let ConvShape { input, output, kernel, .. } = shape;
        let full: &[usize] = &[output, input, kernel, kernel];
        let matrix: &[usize] = &[output, input];
        let shapes: &[&[usize]] = if kernel == 1 { &[full, matrix] } else { &[full] };
        Ok(Self {
            weight: weights.reshaped("weight", shapes)?,
            bias: weights.tensor("bias", &[output])?.reshape((1, output, 1, 1))?,
            shape,
        })
    }

    /// A call on the channels of `parts`, one after the other.
    pub(crate) fn on<'a>(&'a self, parts: &'a [&'a FeatureMap]) -> ConvCall<'a> {
        ConvCall { conv: self, parts, norm: None, upsample: None, image_bias: None, residual: None }
    }
}

/// One application of a convolution.
pub(crate) struct ConvCall<'a> {
    conv: &'a Conv2d,
    parts: &'a [&'a FeatureMap],
    norm: Option<&'a GroupNorm>,
    upsample: Option<(usize, usize)>,
    image_bias: Option<&'a Tensor>,
    residual: Option<&'a FeatureMap>,
}

impl<'a> ConvCall<'a> {
    /// First silu(norm(x)).
    pub(crate) fn norm_silu(self, norm: &'a GroupNorm) -> Self {
        Self { norm: Some(norm), ..self }
    }

    /// First to `(h, w)` by nearest neighbour.
    pub(crate) fn upsample(self, size: (usize, usize)) -> Self {
        Self { upsample: Some(size), ..self }
    }

    /// Adds `[b, out]` to every pixel.
    pub(crate) fn image_bias(self, bias: Option<&'a Tensor>) -> Self {
        Self { image_bias: bias, ..self }
    }

    /// Adds a map of the output's shape.
    pub(crate) fn add(self, residual: &'a FeatureMap) -> Self {
        Self { residual: Some(residual), ..self }
    }

    /// The result.
    pub(crate) fn run(self) -> Result<FeatureMap> {
        let ConvShape { kernel: _, stride, padding, tail_padding, .. } = self.conv.shape;
        let mut x = FeatureMap::concat(self.parts)?;
        if let Some(norm) = self.norm {
            x = norm.forward(&x, true)?;
        }
        let mut x = x.tensor;
        if let Some((h, w)) = self.upsample {
            x = x.upsample_nearest2d(h, w)?;
        }
        let padding = if padding == tail_padding {
            padding
        } else {
            x = x.pad_with_zeros(2, padding, tail_padding)?.pad_with_zeros(3, padding, tail_padding)?;
            0
        };
        let mut y = x.conv2d(&self.conv.weight, padding, stride, 1, 1)?.broadcast_add(&self.conv.bias)?;
        if let Some(bias) = self.image_bias {
            y = y.broadcast_add(&bias.to_dtype(y.dtype())?.unsqueeze(2)?.unsqueeze(3)?)?;
        }
        if let Some(residual) = self.residual {
            y = (y + &residual.tensor)?;
        }
        Ok(FeatureMap { tensor: y })
    }
}
