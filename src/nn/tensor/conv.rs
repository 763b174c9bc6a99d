//! Convolution with the operations before and after it, one after the other.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::shapes::ConvShape;

/// A convolution's parameters.
pub(in crate::nn) struct ConvTensors {
    /// `[out, in, k, k]`.
    pub(in crate::nn) weight: Tensor,
    /// `[1, out, 1, 1]`.
    pub(in crate::nn) bias: Tensor,
    /// True if single precision may be rounded to TensorFloat-32 before the multiplication.
    #[cfg_attr(not(feature = "cudnn"), allow(dead_code))]
    pub(in crate::nn) tf32: bool,
}

/// Operations before and after a convolution.
pub(in crate::nn) struct ConvOptions<'a> {
    /// Size `(h, w)` of the upsampling before the convolution, by nearest neighbour.
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
            x = x
                .pad_with_zeros(2, head, tail)?
                .pad_with_zeros(3, head, tail)?;
            0
        };
        let y = match (shape.kernel, shape.stride, padding) {
            (1, 1, 0) => self.pointwise(&x)?,
            _ => self.convolved(&x, padding, shape.stride)?,
        };
        let y = match &options.image_bias {
            None => y.broadcast_add(&self.bias)?,
            // Both at once: two small tensors are added sooner than a large one twice.
            Some(bias) => {
                y.broadcast_add(&bias.unsqueeze(2)?.unsqueeze(3)?.broadcast_add(&self.bias)?)?
            }
        };
        match options.residual {
            Some(residual) => Ok((y + residual)?),
            None => Ok(y),
        }
    }

    /// Computes a 1×1 convolution as a matrix product, which needs no copy of the pixels.
    fn pointwise(&self, x: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let weight = self.weight.reshape(((), c))?.broadcast_left(b)?;
        Ok(weight
            .matmul(&x.reshape((b, c, h * w))?)?
            .reshape((b, (), h, w))?)
    }

    fn convolved(&self, x: &Tensor, padding: usize, stride: usize) -> Result<Tensor> {
        #[cfg(feature = "cudnn")]
        if x.device().is_cuda() {
            let options = super::cudnn::Convolution {
                padding,
                stride,
                tf32: self.tf32,
            };
            return Ok(x.contiguous()?.apply_op2_no_bwd(&self.weight, &options)?);
        }
        Ok(x.conv2d(&self.weight, padding, stride, 1, 1)?)
    }
}
