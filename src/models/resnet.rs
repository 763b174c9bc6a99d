//! The residual block that UNet and autoencoder share.

use crate::error::{Error, Result};
use crate::nn::{Conv2d, ConvShape, FeatureMap, GroupNorm, Linear, Tokens, Weights};

/// Sizes of a residual block.
#[derive(Clone, Copy)]
pub(crate) struct ResnetShape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    /// Channels of the time embedding; `None` in the autoencoder.
    pub(crate) time: Option<usize>,
}

/// conv(silu(norm(x))) twice, the time embedding added between, plus the input.
pub(crate) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    /// Loads the block.
    pub(crate) fn load(weights: &Weights, shape: ResnetShape) -> Result<Self> {
        let ResnetShape {
            input,
            output,
            groups,
            eps,
            time,
        } = shape;
        Ok(Self {
            norm1: GroupNorm::load(&weights.pp("norm1"), groups, input, eps)?,
            conv1: Conv2d::load(&weights.pp("conv1"), ConvShape::same(input, output))?,
            time: time
                .map(|width| Linear::load(&weights.pp("time_emb_proj"), width, output, true))
                .transpose()?,
            norm2: GroupNorm::load(&weights.pp("norm2"), groups, output, eps)?,
            conv2: Conv2d::load(&weights.pp("conv2"), ConvShape::same(output, output))?,
            shortcut: (input != output)
                .then(|| {
                    Conv2d::load(
                        &weights.pp("conv_shortcut"),
                        ConvShape::pointwise(input, output),
                    )
                })
                .transpose()?,
        })
    }

    /// Applies the block to the concatenated channels of `parts`; `time` is silu(time embedding)
    /// `[1, b, time]`.
    pub(crate) fn forward(
        &self,
        parts: Vec<FeatureMap>,
        time: Option<&Tokens>,
    ) -> Result<FeatureMap> {
        let shift = self.shift(time)?;
        let parts = FeatureMap::joined(parts)?;
        let seen: Vec<&FeatureMap> = parts.iter().collect();
        let inner = self
            .conv1
            .on(&seen)
            .norm_silu(&self.norm1)
            .image_bias(shift.as_ref())
            .run()?;
        let residual = match &self.shortcut {
            Some(shortcut) => shortcut.on(&seen).run()?,
            None => only(parts)?,
        };
        self.conv2
            .on(&[&inner])
            .norm_silu(&self.norm2)
            .add(residual)
            .run()
    }

    /// Projection of the time embedding that is added to the map: `[1, b, output]`.
    fn shift(&self, time: Option<&Tokens>) -> Result<Option<Tokens>> {
        match (&self.time, time) {
            (Some(linear), Some(time)) => Ok(Some(linear.forward(time)?)),
            _ => Ok(None),
        }
    }
}

/// The one map that a block without a shortcut takes.
fn only(parts: Vec<FeatureMap>) -> Result<FeatureMap> {
    match <[FeatureMap; 1]>::try_from(parts) {
        Ok([map]) => Ok(map),
        Err(_) => Err(Error::internal(
            "a residual block over joined maps needs a shortcut",
        )),
    }
}
