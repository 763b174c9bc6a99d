//! Conversion between the latents of an autoencoder and those of the sampler: one factor, or for
//! some SDXL models the mean and deviation of each channel too.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::family::{LatentFormat, Moments};

/// Factor and moments between the latents of the sampler and those of the autoencoder.
pub(super) struct LatentScale {
    factor: f64,
    /// Mean and deviation, `[1, c, 1, 1]` each.
    moments: Option<[Tensor; 2]>,
    /// Factor of the family's own autoencoder.
    usual: f64,
}

impl LatentScale {
    /// Scale of an autoencoder with `factor` and `moments`, for latents of `format`.
    pub(super) fn new(
        factor: f64,
        moments: Option<Moments>,
        format: &LatentFormat,
        device: &Device,
    ) -> Result<Self> {
        let row = |values: Vec<f64>| {
            let shape = (1, values.len(), 1, 1);
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::from_vec(values, shape, device)
        };
        let moments = match moments {
            Some([mean, std]) => Some([row(mean)?, row(std)?]),
            None => None,
        };
        Ok(Self {
            factor,
            moments,
            usual: format.scaling_factor,
        })
    }

    /// Sampler latents to decoder input: z · std / factor + mean.
    pub(super) fn decoded(&self, latents: &Tensor) -> Result<Tensor> {
        let Some(moments) = &self.moments else {
            return Ok((latents / self.factor)?);
        };
        let [mean, std] = like(moments, latents.dtype())?;
        Ok((latents.broadcast_mul(&std)? / self.factor)?.broadcast_add(&mean)?)
    }

    /// Encoder output to sampler latents, the inverse of `decoded`. With a mask diffusers uses the
    /// factor alone.
    pub(super) fn encoded(&self, latents: &Tensor, masked: bool) -> Result<Tensor> {
        let Some(moments) = self.moments.as_ref().filter(|_| !masked) else {
            return Ok((latents * self.factor)?);
        };
        let [mean, std] = like(moments, latents.dtype())?;
        Ok((latents.broadcast_sub(&mean)? * self.factor)?.broadcast_div(&std)?)
    }

    /// Sampler latents rescaled to those of a model of the family with the usual factor.
    pub(super) fn usual(&self, latents: &Tensor) -> Result<Tensor> {
        match self.moments {
            Some(_) => Ok((self.decoded(latents)? * self.usual)?),
            None => Ok(latents.clone()),
        }
    }
}

fn like(moments: &[Tensor; 2], dtype: DType) -> Result<[Tensor; 2]> {
    Ok([moments[0].to_dtype(dtype)?, moments[1].to_dtype(dtype)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn encoding_undoes_decoding_except_beside_a_mask() {
        let format = &Family::SDXL.latents;
        let moments = Some([vec![1.0, -2.0], vec![4.0, 0.5]]);
        let scale = LatentScale::new(0.5, moments, format, &Device::Cpu).unwrap();
        let latents =
            Tensor::from_vec(vec![1f32, 3.0, -1.0, 2.0], (1, 2, 1, 2), &Device::Cpu).unwrap();
        let decoded = scale.decoded(&latents).unwrap();
        assert_eq!(values(&decoded), [9.0, 25.0, -3.0, 0.0]);
        assert_eq!(
            values(&scale.encoded(&decoded, false).unwrap()),
            values(&latents)
        );
        assert_eq!(
            values(&scale.encoded(&decoded, true).unwrap()),
            [4.5, 12.5, -1.5, 0.0]
        );
        let plain = LatentScale::new(0.5, None, format, &Device::Cpu).unwrap();
        assert_eq!(
            values(&plain.decoded(&latents).unwrap()),
            [2.0, 6.0, -2.0, 4.0]
        );
        assert_eq!(values(&plain.usual(&latents).unwrap()), values(&latents));
    }
}
