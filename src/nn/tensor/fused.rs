//! Attention kernels that keep scores out of memory, where a device and this build have one:
//! FlashAttention (Dao 2023) on CUDA with the feature `flash-attn`, candle's steel attention on
//! Metal.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;

/// A fused kernel, and the width of the heads that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Takes `[b, n, heads, d]`.
    #[cfg_attr(not(feature = "flash-attn"), allow(dead_code))]
    Flash,
    /// Takes `[b, heads, n, width]`: narrower heads are filled up with zeros.
    #[cfg_attr(not(feature = "metal"), allow(dead_code))]
    Sdpa { width: usize },
}

/// The kernel for queries and keys like `[b, m, heads, d]`, if there is one.
pub(super) fn kernel(keys: &Tensor) -> Result<Option<Kernel>> {
    let (_, m, _, d) = keys.dims4()?;
    Ok(match keys.device() {
        Device::Cpu => None,
        Device::Cuda(_) => flash(keys.dtype(), d),
        Device::Metal(_) => sdpa(keys.dtype(), m, d),
    })
}

/// FlashAttention has half precision and heads of up to 256 channels.
#[cfg(feature = "flash-attn")]
fn flash(dtype: DType, d: usize) -> Option<Kernel> {
    let half = matches!(dtype, DType::F16 | DType::BF16);
    (half && d.is_multiple_of(8) && d <= 256).then_some(Kernel::Flash)
}

#[cfg(not(feature = "flash-attn"))]
fn flash(_: DType, _: usize) -> Option<Kernel> {
    None
}

/// Steel attention has heads of some widths, and from 256 channels on half precision alone: single
/// precision does not fit into a threadgroup's memory. It is for two queries or more, so that a
/// single token is left out.
#[cfg(any(feature = "metal", test))]
fn sdpa(dtype: DType, m: usize, d: usize) -> Option<Kernel> {
    const WIDTHS: [usize; 8] = [32, 64, 72, 80, 96, 128, 256, 512];
    const WIDEST_SINGLE: usize = 128;
    let widest = if dtype == DType::F32 {
        WIDEST_SINGLE
    } else {
        512
    };
    let width = WIDTHS
        .into_iter()
        .find(|width| *width >= d)
        .filter(|width| *width <= widest && m > 1)?;
    Some(Kernel::Sdpa { width })
}

#[cfg(not(any(feature = "metal", test)))]
fn sdpa(_: DType, _: usize, _: usize) -> Option<Kernel> {
    None
}

impl Kernel {
    /// Keys and values `[b, m, heads, d]` in the kernel's form. FlashAttention takes them as they
    /// lie.
    pub(super) fn prepared(self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(match self {
            Self::Flash => (keys.clone(), values.clone()),
            Self::Sdpa { width } => (widened(keys, width)?, widened(values, width)?),
        })
    }

    /// softmax(scale · q kᵀ) v for q `[b, n, heads, d]` and prepared keys and values, `[b, n, heads
    /// · d]`.
    pub(super) fn mixed(
        self,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        scale: f32,
        causal: bool,
    ) -> Result<Tensor> {
        match self {
            Self::Flash => Ok(flash_attn(q, keys, values, scale, causal)?.flatten_from(2)?),
            Self::Sdpa { width } => {
                let mixed = candle_nn::ops::sdpa(
                    &widened(q, width)?,
                    keys,
                    values,
                    None,
                    causal,
                    scale,
                    1.0,
                )?;
                Ok(mixed
                    .narrow(3, 0, q.dim(3)?)?
                    .transpose(1, 2)?
                    .flatten_from(2)?)
            }
        }
    }
}

#[cfg(feature = "flash-attn")]
fn flash_attn(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    scale: f32,
    causal: bool,
) -> Result<Tensor> {
    Ok(candle_flash_attn::flash_attn(
        q, keys, values, scale, causal,
    )?)
}

#[cfg(not(feature = "flash-attn"))]
fn flash_attn(_: &Tensor, _: &Tensor, _: &Tensor, _: f32, _: bool) -> Result<Tensor> {
    Err(crate::error::Error::internal(
        "FlashAttention in a build without it",
    ))
}

/// `[b, n, heads, d]` as `[b, heads, n, width]`; the padding of zeros changes no product and yields
/// columns of zeros.
fn widened(x: &Tensor, width: usize) -> Result<Tensor> {
    let x = x.transpose(1, 2)?;
    Ok(match width - x.dim(3)? {
        0 => x,
        more => x.contiguous()?.pad_with_zeros(3, 0, more)?,
    })
}

/// q kᵀ in single precision, of numbers that were of type `dtype`.
pub(super) fn scores(q: &Tensor, keys: &Tensor, dtype: DType) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if q.device().is_cuda() && dtype != DType::F32 {
        return super::cuda::product_of_halves(q, keys);
    }
    let _ = dtype;
    Ok(q.matmul(keys)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_take_the_next_width_that_a_kernel_has() {
        let width = |dtype, m, d| match sdpa(dtype, m, d) {
            Some(Kernel::Sdpa { width }) => Some(width),
            Some(Kernel::Flash) | None => None,
        };
        for (d, half, single) in [
            (40, Some(64), Some(64)),
            (64, Some(64), Some(64)),
            (80, Some(80), Some(80)),
            (160, Some(256), None),
            (512, Some(512), None),
            (513, None, None),
        ] {
            let found = [DType::F16, DType::BF16, DType::F32].map(|dtype| width(dtype, 77, d));
            assert_eq!(found, [half, half, single], "{d}");
        }
        assert_eq!(width(DType::F16, 1, 64), None);
    }

    #[test]
    fn zeros_beside_a_head_change_no_score_and_no_sum() {
        let (b, n, heads, d) = (2, 5, 3, 4);
        let draw = || Tensor::randn(0f32, 1.0, (b, n, heads, d), &Device::Cpu).unwrap();
        let (q, keys, values) = (draw(), draw(), draw());
        let mix = |width: usize| {
            let [q, keys, values] =
                [&q, &keys, &values].map(|x| widened(x, width).unwrap().contiguous().unwrap());
            let scores = q.matmul(&keys.t().unwrap()).unwrap();
            let mixed = candle_nn::ops::softmax_last_dim(&scores)
                .unwrap()
                .matmul(&values)
                .unwrap();
            mixed
                .narrow(3, 0, d)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        };
        let far = mix(d)
            .into_iter()
            .zip(mix(16))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(far < 1e-6, "{far}");
    }
}
