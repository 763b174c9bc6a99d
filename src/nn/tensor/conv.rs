//! Convolution and what comes before and after it, one operation after the other.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::conv::ConvShape;

/// A convolution's parameters.
pub(in crate::nn) struct ConvTensors {
    /// `[out, in, k, k]`.
    pub(in crate::nn) weight: Tensor,
    /// `[1, out, 1, 1]`.
    pub(in crate::nn) bias: Tensor,
}

/// What surrounds a convolution.
pub(in crate::nn) struct ConvOptions<'a> {
    /// First to `(h, w)` by nearest neighbour.
    pub(in crate::nn) upsample: Option<(usize, usize)>,
    /// Added to every pixel, `[b, out]` or `[1, out]`.
    pub(in crate::nn) image_bias: Option<Tensor>,
    /// Added last.
    pub(in crate::nn) residual: Option<&'a Tensor>,
}

impl ConvTensors {
    /// The convolution of `x` `[b, in, h, w]`.
    pub(in crate::nn) fn forward(
        &self,
        x: Tensor,
        shape: ConvShape,
        options: &ConvOptions<'_>,
    ) -> Result<Tensor> {
        let mut x = x;
        if let Some((h, w)) = options.upsample {
            x = x.upsample_nearest2d(h, w)?;
        }
        let (head, tail) = (shape.padding, shape.tail_padding);
        let padding = if head == tail {
            head
        } else {
            x = x.pad_with_zeros(2, head, tail)?.pad_with_zeros(3, head, tail)?;
            0
        };
        let mut y = x.conv2d(&self.weight, padding, shape.stride, 1, 1)?.broadcast_add(&self.bias)?;
        if let Some(bias) = &options.image_bias {
            y = y.broadcast_add(&bias.to_dtype(y.dtype())?.unsqueeze(2)?.unsqueeze(3)?)?;
        }
        match options.residual {
            Some(residual) => Ok((y + residual)?),
            None => Ok(y),
        }
    }
}
