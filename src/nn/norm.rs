//! Group and layer normalisation, always in single precision.

use candle_core::{DType, Tensor};

use super::map::{ActivationDtype, FeatureMap, Host, MapShape, Store, Tokens};
use super::tensor;
use super::weights::Weights;
use crate::error::{Error, Kind, Result};
use crate::kernels::{self, Activation, Affine, ConvInput, Cpu, Rows, transform};

/// One scale and one shift a channel.
enum Scales {
    Host(Cpu, Vec<f32>, Vec<f32>),
    Device(Tensor, Tensor),
}

impl Scales {
    /// Loads both; on a device as tensors of `dtype`.
    fn load(weights: &Weights, channels: usize, dtype: DType) -> Result<Self> {
        let (weight, bias) = (
            weights.floats("weight", channels)?,
            weights.floats("bias", channels)?,
        );
        let backend = weights.backend();
        if let Some(host) = &backend.host {
            return Ok(Self::Host(host.cpu.clone(), weight, bias));
        }
        let upload = |values| Ok::<_, Error>(backend.upload(values, channels)?.to_dtype(dtype)?);
        Ok(Self::Device(upload(weight)?, upload(bias)?))
    }
}

/// Group normalisation over channels (Wu & He 2018), y = (x − μ)/√(var + ε) · γ + β per group.
pub(crate) struct GroupNorm {
    scales: Scales,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Loads `weight` and `bias` of `channels` values.
    pub(crate) fn load(
        weights: &Weights,
        groups: usize,
        channels: usize,
        eps: f64,
    ) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "config.json: `norm_num_groups` {groups} does not divide {channels} channels"
                ),
            ));
        }
        Ok(Self {
            scales: Scales::load(weights, channels, DType::F32)?,
            groups,
            eps,
        })
    }

    /// The normalised map.
    pub(crate) fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        let shape = x.shape();
        let store = match &self.scales {
            Scales::Device(..) => Store::Device(self.on_tensor(x.store.tensor()?, false)?),
            Scales::Host(cpu, ..) => {
                let parts = [(x.store.host()?.as_f32()?, shape.c)];
                let affine = self.affine(&parts, shape)?;
                let mut input = ConvInput::plain(&parts, shape.b, shape.h, shape.w);
                input.affine = Some(&affine);
                input.activation = Activation::None;
                Store::Host(Host::filled(cpu, parts[0].0.len(), |out| {
                    transform(cpu, &input, out);
                }))
            }
        };
        Ok(FeatureMap::new(store, shape))
    }

    /// The norm of `[b, c, h, w]`; with `silu`, also through x · sigmoid(x).
    pub(super) fn on_tensor(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        match &self.scales {
            Scales::Device(weight, bias) => {
                tensor::group_norm(x, weight, bias, self.groups, self.eps, silu)
            }
            Scales::Host(..) => Err(Error::internal("a norm of the processor on a tensor")),
        }
    }

    /// The norm as one scale and shift for each image and channel of the joined `parts`, for a
    /// kernel to apply.
    pub(super) fn affine(&self, parts: &[(&[f32], usize)], shape: MapShape) -> Result<Affine> {
        match &self.scales {
            Scales::Host(cpu, weight, bias) => {
                let norm = kernels::GroupNorm {
                    groups: self.groups,
                    eps: self.eps,
                    weight,
                    bias,
                };
                Ok(kernels::group_norm(
                    cpu,
                    &ConvInput::plain(parts, shape.b, shape.h, shape.w),
                    &norm,
                ))
            }
            Scales::Device(..) => Err(Error::internal(
                "a norm of a device in a kernel of the processor",
            )),
        }
    }
}

/// Layer normalisation over a token's channels (Ba et al. 2016).
pub(crate) struct LayerNorm {
    scales: Scales,
    eps: f64,
}

impl LayerNorm {
    /// Loads `weight` and `bias` of `channels` values.
    pub(crate) fn load(weights: &Weights, channels: usize, eps: f64) -> Result<Self> {
        let dtype = weights.backend().dtype;
        Ok(Self {
            scales: Scales::load(weights, channels, dtype)?,
            eps,
        })
    }

    /// The normalised tokens, of type `dtype`.
    pub(crate) fn forward(&self, x: &Tokens, dtype: ActivationDtype) -> Result<Tokens> {
        let (b, n, c) = x.dims();
        let store = match &self.scales {
            Scales::Device(weight, bias) => Store::Device(tensor::layer_norm(
                x.store.tensor()?,
                weight,
                bias,
                self.eps,
            )?),
            Scales::Host(cpu, weight, bias) => {
                let input = x.store.host()?.as_f32()?;
                let norm = kernels::LayerNorm {
                    eps: self.eps as f32,
                    weight,
                    bias,
                };
                Store::Host(Host::written(cpu, input.len(), dtype, |out| {
                    kernels::layer_norm(cpu, b * n, Rows::new(input, c), &norm, out);
                }))
            }
        };
        Ok(Tokens::from_store(store, (b, n, c)))
    }
}
