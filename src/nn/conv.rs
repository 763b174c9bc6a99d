//! Convolutions over feature maps, with what comes just before (concatenation, norm, SiLU, upsampling) and just
//! after (a bias per image, a residual) in one call, so that a kernel may fuse them.

use candle_core::Tensor;

use super::cpu::{
    Activation, ConvEpilogue, ConvInput, ConvWeights, Cpu, Geometry, PackedConv, Padding, plan,
};
use super::map::{FeatureMap, Host, MapShape, Store, Tokens};
use super::norm::GroupNorm;
use super::tensor::{ConvOptions, ConvTensors};
use super::weights::Weights;
use crate::error::{Error, Result};

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

impl ConvShape {
    fn geometry(self) -> Geometry {
        let (head, tail) = (self.padding, self.tail_padding);
        Geometry {
            inputs: self.input,
            outputs: self.output,
            kernel: self.kernel,
            stride: self.stride,
            padding: Padding { top: head, left: head, bottom: tail, right: tail },
        }
    }
}

/// A convolution with bias.
pub(crate) struct Conv2d {
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
        let ConvShape { input, output, kernel, .. } = shape;
        let full = [output, input, kernel, kernel];
        let Some(host) = &weights.backend().host else {
            let weight = weights.tensor("weight", &full)?;
            let bias = weights.tensor("bias", &[output])?.reshape((1, output, 1, 1))?;
            return Ok(Self { body: Body::Device(ConvTensors { weight, bias }), shape });
        };
        let values = weights.values("weight", &full)?;
        let bias = weights.floats("bias", output)?;
        let geometry = shape.geometry();
        let algo = plan(&geometry, (weights.side(), weights.side()), host.precision, weights.memory());
        let packing = ConvWeights { kernels: values.slice(), bias: Some(&bias), geometry };
        let packed = PackedConv::pack(&host.cpu, &packing, host.precision, algo);
        Ok(Self { body: Body::Host(host.cpu.clone(), Box::new(packed)), shape })
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
    image_bias: Option<&'a Tokens>,
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

    /// Adds token `i` of `[1, b, out]` to every pixel of image `i`.
    pub(crate) fn image_bias(self, bias: Option<&'a Tokens>) -> Self {
        Self { image_bias: bias, ..self }
    }

    /// Adds a map of the output's shape.
    pub(crate) fn add(self, residual: &'a FeatureMap) -> Self {
        Self { residual: Some(residual), ..self }
    }

    /// The result.
    pub(crate) fn run(self) -> Result<FeatureMap> {
        let first = self.parts.first().ok_or_else(|| Error::internal("a convolution of nothing"))?;
        let MapShape { b, h, w, .. } = first.shape();
        let geometry = self.conv.shape.geometry();
        let (rows, columns) = geometry.output_size(self.upsample.unwrap_or((h, w)));
        let shape = MapShape { b, c: geometry.outputs, h: rows, w: columns };
        let store = match &self.conv.body {
            Body::Host(cpu, packed) => Store::Host(self.on_host(cpu, packed, shape)?),
            Body::Device(tensors) => Store::Device(self.on_device(tensors)?),
        };
        Ok(FeatureMap::new(store, shape))
    }

    fn on_host(&self, cpu: &Cpu, packed: &PackedConv, out: MapShape) -> Result<Host> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            parts.push((part.store.host()?.full()?, part.shape().c));
        }
        let seen = self.parts[0].shape();
        let affine = self.norm.map(|norm| norm.affine(&parts, seen)).transpose()?;
        let input = ConvInput {
            affine: affine.as_ref(),
            activation: if affine.is_some() { Activation::Silu } else { Activation::None },
            upsample_to: self.upsample,
            ..ConvInput::plain(&parts, seen.b, seen.h, seen.w)
        };
        let epilogue = ConvEpilogue {
            image_bias: self.image_bias.map(|bias| bias.store.host()?.full()).transpose()?,
            residual: self.residual.map(|map| map.store.host()?.full()).transpose()?,
        };
        Ok(Host::filled(cpu, out.b * out.h * out.w * out.c, |out| packed.forward(cpu, &input, epilogue, out)))
    }

    fn on_device(&self, tensors: &ConvTensors) -> Result<Tensor> {
        let parts = self.parts.iter().map(|part| part.store.tensor()).collect::<Result<Vec<_>>>()?;
        let mut x = match parts[..] {
            [only] => only.clone(),
            _ => Tensor::cat(&parts, 1)?,
        };
        if let Some(norm) = self.norm {
            x = norm.on_tensor(&x, true)?;
        }
        let image_bias = match self.image_bias {
            Some(bias) => Some(bias.store.tensor()?.squeeze(0)?),
            None => None,
        };
        let residual = self.residual.map(|map| map.store.tensor()).transpose()?;
        tensors.forward(x, self.conv.shape, &ConvOptions { upsample: self.upsample, image_bias, residual })
    }
}
