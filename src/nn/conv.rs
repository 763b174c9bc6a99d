//! Convolutions over feature maps, with the operations just before (concatenation, norm,
//! activation, upsampling) and just after (a bias per image, a residual) in one call, so that a
//! kernel may fuse them.

use candle_core::Tensor;

use super::map::{FeatureMap, Host, MapShape, Store, Tokens};
use super::nan_trace;
use super::norm::GroupNorm;
use super::shapes::ConvShape;
use super::tensor::{ConvOptions, ConvTensors};
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::kernels::{
    Activation, ConvEpilogue, ConvInput, ConvWeights, Cpu, PackedConv, Residual, Rows, plan,
};

/// A convolution.
pub(crate) struct Conv2d {
    name: Box<str>,
    body: Body,
    shape: ConvShape,
}

enum Body {
    Host(Cpu, Box<PackedConv>),
    Device(ConvTensors),
}

impl Conv2d {
    /// Loads `weight` `[out, in, k, k]` and `bias`.
    pub(crate) fn load(weights: &Weights, shape: ConvShape) -> Result<Self> {
        Self::with(weights, shape, weights.floats("bias", shape.output)?)
    }

    /// Loads `weight` `[out, in, k, k]` alone; the bias is zero.
    pub(crate) fn unbiased(weights: &Weights, shape: ConvShape) -> Result<Self> {
        Self::with(weights, shape, vec![0.0; shape.output])
    }

    fn with(weights: &Weights, shape: ConvShape, bias: Vec<f32>) -> Result<Self> {
        let ConvShape {
            input,
            output,
            kernel,
            ..
        } = shape;
        let name = weights.name();
        let full = [output, input, kernel, kernel];
        let Some(host) = &weights.backend().host else {
            let weight = weights.tensor("weight", &full)?;
            let backend = weights.backend();
            let bias = backend
                .upload(bias, (1, output, 1, 1))?
                .to_dtype(backend.dtype)?;
            return Ok(Self {
                name,
                body: Body::Device(ConvTensors {
                    weight,
                    bias,
                    tf32: backend.tf32,
                }),
                shape,
            });
        };
        let values = weights.values("weight", &full)?;
        let geometry = shape.geometry();
        let precision = host.precision.for_layer(output * input * kernel * kernel);
        let algo = plan(host.cpu.isa(), &geometry, precision, weights.passes());
        let packing = ConvWeights {
            kernels: values.slice(),
            bias: Some(&bias),
            geometry,
        };
        let packed = PackedConv::pack(&host.cpu, &packing, precision, algo);
        Ok(Self {
            name,
            body: Body::Host(host.cpu.clone(), Box::new(packed)),
            shape,
        })
    }

    /// A call on the channels of `parts`, one after the other.
    pub(crate) fn on<'a>(&'a self, parts: &'a [&'a FeatureMap]) -> ConvCall<'a> {
        let plain = Activation::None;
        ConvCall {
            conv: self,
            parts,
            norm: None,
            first: plain,
            upsample: None,
            image_bias: None,
            residual: None,
        }
    }
}

/// One application of a convolution.
pub(crate) struct ConvCall<'a> {
    conv: &'a Conv2d,
    parts: &'a [&'a FeatureMap],
    norm: Option<&'a GroupNorm>,
    first: Activation,
    upsample: Option<(usize, usize)>,
    image_bias: Option<&'a Tokens>,
    residual: Option<FeatureMap>,
}

impl<'a> ConvCall<'a> {
    /// Applies silu(norm(x)) before the convolution.
    pub(crate) fn norm_silu(self, norm: &'a GroupNorm) -> Self {
        Self {
            norm: Some(norm),
            ..self.silu()
        }
    }

    /// Applies silu(x) before the convolution.
    pub(crate) fn silu(self) -> Self {
        Self {
            first: Activation::Silu,
            ..self
        }
    }

    /// Applies max(x, 0) before the convolution.
    pub(crate) fn relu(self) -> Self {
        Self {
            first: Activation::Relu,
            ..self
        }
    }

    /// Upsamples to `(h, w)` by nearest neighbour before the convolution.
    pub(crate) fn upsample(self, size: (usize, usize)) -> Self {
        Self {
            upsample: Some(size),
            ..self
        }
    }

    /// Adds token `i` of `[1, b, out]` to every pixel of image `i`; a single token is added to all
    /// images.
    pub(crate) fn image_bias(self, bias: Option<&'a Tokens>) -> Self {
        Self {
            image_bias: bias,
            ..self
        }
    }

    /// Adds a map of the shape of the output; the result reuses its memory when the map is not
    /// shared.
    pub(crate) fn add(self, residual: FeatureMap) -> Self {
        Self {
            residual: Some(residual),
            ..self
        }
    }

    /// The result.
    pub(crate) fn run(mut self) -> Result<FeatureMap> {
        let first = self
            .parts
            .first()
            .ok_or_else(|| Error::internal("a convolution of nothing"))?;
        let MapShape { b, h, w, .. } = first.shape();
        let geometry = self.conv.shape.geometry();
        let (rows, columns) = geometry.output_size(self.upsample.unwrap_or((h, w)));
        let shape = MapShape {
            b,
            c: geometry.outputs,
            h: rows,
            w: columns,
        };
        let store = match &self.conv.body {
            Body::Host(cpu, packed) => {
                let residual = self.residual.take();
                Store::Host(self.on_host(cpu, packed, shape, residual)?)
            }
            Body::Device(tensors) => Store::Device(self.on_device(tensors)?),
        };
        nan_trace::check(&self.conv.name, &store);
        Ok(FeatureMap::new(store, shape))
    }

    fn on_host(
        &self,
        cpu: &Cpu,
        packed: &PackedConv,
        out: MapShape,
        residual: Option<FeatureMap>,
    ) -> Result<Host> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            parts.push((part.store.host()?.as_f32()?, part.shape().c));
        }
        let seen = self.parts[0].shape();
        let affine = self
            .norm
            .map(|norm| norm.affine(&parts, seen))
            .transpose()?;
        let input = ConvInput {
            affine: affine.as_ref(),
            activation: self.first,
            upsample_to: self.upsample,
            ..ConvInput::plain(&parts, seen.b, seen.h, seen.w)
        };
        let image_bias = self
            .image_bias
            .map(|bias| bias.store.host()?.as_f32())
            .transpose()?;
        let run = |residual: Residual<'_>, out: &mut [f32]| {
            packed.forward(
                cpu,
                &input,
                ConvEpilogue {
                    image_bias,
                    residual,
                },
                out,
            );
        };
        let len = out.b * out.h * out.w * out.c;
        let Some(residual) = residual else {
            return Ok(Host::filled(cpu, len, |out| run(Residual::None, out)));
        };
        match residual.into_host()?.unshared() {
            Ok(mut own) => {
                run(Residual::Output, &mut own);
                Ok(Host::from_buffer(cpu, own))
            }
            Err(shared) => {
                let rows = Rows::new(shared.as_f32()?, out.c);
                Ok(Host::filled(cpu, len, |out| run(Residual::Rows(rows), out)))
            }
        }
    }

    fn on_device(&self, tensors: &ConvTensors) -> Result<Tensor> {
        let parts = self
            .parts
            .iter()
            .map(|part| part.store.tensor())
            .collect::<Result<Vec<_>>>()?;
        let mut x = match parts[..] {
            [only] => only.clone(),
            _ => Tensor::cat(&parts, 1)?,
        };
        x = match (self.norm, self.first) {
            (Some(norm), _) => norm.on_tensor(&x, true)?,
            (None, Activation::Silu) => x.silu()?,
            (None, Activation::Relu) => x.relu()?,
            (None, Activation::None | Activation::Gelu | Activation::QuickGelu) => x,
        };
        let image_bias = match self.image_bias {
            Some(bias) => Some(bias.store.tensor()?.squeeze(0)?),
            None => None,
        };
        let residual = self
            .residual
            .as_ref()
            .map(|map| map.store.tensor())
            .transpose()?;
        tensors.forward(
            x,
            self.conv.shape,
            &ConvOptions {
                upsample: self.upsample,
                image_bias,
                residual,
            },
        )
    }
}
