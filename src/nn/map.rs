//! The two shapes of activations: a feature map (an image of channels) and a token sequence. Their memory layout is
//! this module's secret; networks see only names and sizes.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// Activations over a plane: `b` images of `c` channels, `h × w`.
#[derive(Clone)]
pub(crate) struct FeatureMap {
    /// `[b, c, h, w]`.
    pub(super) tensor: Tensor,
}

/// Activations over a sequence: `b` sequences of `n` tokens of `c` channels.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// `[b, n, c]`, contiguous.
    pub(super) tensor: Tensor,
}

/// The sizes of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapShape {
    pub(crate) b: usize,
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl FeatureMap {
    /// From latents or pixels `[b, c, h, w]`.
    pub(crate) fn from_nchw(tensor: &Tensor, dtype: DType) -> Result<Self> {
        Ok(Self { tensor: tensor.to_dtype(dtype)?.contiguous()? })
    }

    /// As `[b, c, h, w]` in single precision.
    pub(crate) fn to_nchw(&self) -> Result<Tensor> {
        Ok(self.tensor.to_dtype(DType::F32)?)
    }

    /// The sizes.
    pub(crate) fn shape(&self) -> MapShape {
        let dims = self.tensor.dims();
        MapShape { b: dims[0], c: dims[1], h: dims[2], w: dims[3] }
    }

    /// The plane as a sequence of `h·w` tokens, row by row.
    pub(crate) fn tokens(&self) -> Result<Tokens> {
        let MapShape { b, c, h, w } = self.shape();
        Ok(Tokens { tensor: self.tensor.reshape((b, c, h * w))?.transpose(1, 2)?.contiguous()? })
    }

    /// The maps' channels one after the other.
    pub(super) fn concat(parts: &[&Self]) -> Result<Self> {
        if let [only] = parts {
            return Ok((*only).clone());
        }
        let tensors: Vec<&Tensor> = parts.iter().map(|part| &part.tensor).collect();
        Ok(Self { tensor: Tensor::cat(&tensors, 1)? })
    }
}

impl Tokens {
    /// From `[b, n, c]`.
    pub(crate) fn new(tensor: &Tensor, dtype: DType) -> Result<Self> {
        Ok(Self { tensor: tensor.to_dtype(dtype)?.contiguous()? })
    }

    /// As `[b, n, c]` in single precision.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        Ok(self.tensor.to_dtype(DType::F32)?)
    }

    /// (b, n, c).
    pub(crate) fn dims(&self) -> (usize, usize, usize) {
        let dims = self.tensor.dims();
        (dims[0], dims[1], dims[2])
    }

    /// The sequence as a plane of `h × w`.
    pub(crate) fn to_map(&self, h: usize, w: usize) -> Result<FeatureMap> {
        let (b, _, c) = self.dims();
        Ok(FeatureMap { tensor: self.tensor.transpose(1, 2)?.reshape((b, c, h, w))?.contiguous()? })
    }

    /// Element-wise sum.
    pub(crate) fn add(&self, other: &Self) -> Result<Self> {
        Ok(Self { tensor: (&self.tensor + &other.tensor)? })
    }

    /// The only token `n` times over, `[1, n, c]`.
    pub(crate) fn repeat(&self, n: usize) -> Result<Self> {
        Ok(Self { tensor: self.tensor.repeat((1, n, 1))? })
    }

    /// x · sigmoid(x).
    pub(crate) fn silu(&self) -> Result<Self> {
        Ok(Self { tensor: self.tensor.silu()? })
    }
}
