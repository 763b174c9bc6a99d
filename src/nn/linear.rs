//! Linear layers over tokens, with the activation or the residual that follows.

use candle_core::Tensor;

use super::map::{ActivationDtype, FeatureMap, Host, MapShape, Store, Tokens};
use super::shapes::Activation;
use super::weights::{Values, Weights};
use super::{nan_trace, tensor};
use crate::error::Result;
use crate::kernels::{
    self, Cpu, Epilogue, Gating, LinearInput, LinearWeights, PackedLinear, Residual, Rows,
};

/// y = x Wᵀ + b.
pub(crate) struct Linear {
    name: Box<str>,
    body: Body,
    outputs: usize,
}

enum Body {
    Host(Cpu, Box<PackedLinear>),
    /// Weight `[out, in]`.
    Device(Tensor, Option<Tensor>),
}

impl Linear {
    /// Loads `weight` `[output, input]` and, with `bias`, `bias`.
    pub(crate) fn load(weights: &Weights, input: usize, output: usize, bias: bool) -> Result<Self> {
        Self::stacked(std::slice::from_ref(weights), input, output, bias)
    }

    /// Several layers over the same input as one, outputs side by side; each of `output` channels.
    pub(crate) fn stacked(
        parts: &[Weights],
        input: usize,
        output: usize,
        bias: bool,
    ) -> Result<Self> {
        Self::gated(parts, input, output, bias, Gating::None)
    }

    fn gated(
        parts: &[Weights],
        input: usize,
        output: usize,
        bias: bool,
        gating: Gating,
    ) -> Result<Self> {
        let shape = [output, input];
        let outputs = parts.len() * output;
        let name = parts.first().map(Weights::name).unwrap_or_default();
        let Some(host) = parts.first().and_then(|w| w.backend().host.clone()) else {
            let matrices = parts
                .iter()
                .map(|w| w.tensor("weight", &shape))
                .collect::<Result<Vec<_>>>()?;
            let bias = if bias {
                let vectors = parts.iter().map(|w| w.tensor("bias", &[output]));
                Some(Tensor::cat(&vectors.collect::<Result<Vec<_>>>()?, 0)?)
            } else {
                None
            };
            let weight = Tensor::cat(&matrices, 0)?;
            return Ok(Self {
                name,
                body: Body::Device(weight, bias),
                outputs,
            });
        };
        let values = parts
            .iter()
            .map(|w| w.values("weight", &shape))
            .collect::<Result<Vec<_>>>()?;
        let matrices: Vec<_> = values.iter().map(Values::slice).collect();
        let bias = if bias {
            let vectors = parts.iter().map(|w| w.floats("bias", output));
            Some(vectors.collect::<Result<Vec<_>>>()?.concat())
        } else {
            None
        };
        let weights = LinearWeights {
            matrices: &matrices,
            inputs: input,
            bias: bias.as_deref(),
            gating,
        };
        let packed = PackedLinear::pack(
            &host.cpu,
            &weights,
            host.precision.for_layer(outputs * input),
        );
        let outputs = packed.outputs();
        Ok(Self {
            name,
            body: Body::Host(host.cpu, Box::new(packed)),
            outputs,
        })
    }

    /// x Wᵀ + b.
    pub(crate) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        self.run(x, None, None, ActivationDtype::F32)
    }

    /// x Wᵀ + b + residual.
    pub(crate) fn forward_add(&self, x: &Tokens, residual: &Tokens) -> Result<Tokens> {
        self.run(x, None, Some(residual), ActivationDtype::F32)
    }

    /// x Wᵀ + b as a plane, added to `map`.
    pub(crate) fn forward_onto(&self, x: &Tokens, map: &FeatureMap) -> Result<FeatureMap> {
        match &self.body {
            Body::Host(..) => {
                let MapShape { h, w, .. } = map.shape();
                self.forward_add(x, &map.tokens()?)?.to_map(h, w)
            }
            Body::Device(..) => map.plus_tokens(&self.forward(x)?),
        }
    }

    /// activation(x Wᵀ + b), of type `dtype`.
    pub(crate) fn forward_act(
        &self,
        x: &Tokens,
        activation: Activation,
        dtype: ActivationDtype,
    ) -> Result<Tokens> {
        self.run(x, Some(activation), None, dtype)
    }

    /// Type in which the layer prefers its input.
    pub(crate) fn input_dtype(&self) -> ActivationDtype {
        match &self.body {
            Body::Host(_, packed) if packed.wants_bf16() => ActivationDtype::Bf16,
            Body::Host(..) | Body::Device(..) => ActivationDtype::F32,
        }
    }

    fn run(
        &self,
        x: &Tokens,
        activation: Option<Activation>,
        residual: Option<&Tokens>,
        dtype: ActivationDtype,
    ) -> Result<Tokens> {
        let (b, n, c) = x.dims();
        let store = match &self.body {
            Body::Device(weight, bias) => {
                let y = tensor::linear(x.store.tensor()?, weight, bias.as_ref(), activation)?;
                Store::Device(match residual {
                    Some(residual) => (y + residual.store.tensor()?)?,
                    None => y,
                })
            }
            Body::Host(cpu, packed) => {
                let input = x.store.host()?;
                let residual = residual.map(|r| r.store.host()?.as_f32()).transpose()?;
                let epilogue = Epilogue {
                    activation: activation.map_or(kernels::Activation::None, Activation::kernel),
                    residual: residual.map_or(Residual::None, |data| {
                        Residual::Rows(Rows::new(data, self.outputs))
                    }),
                };
                let rows;
                let matrix = if let Some(bf16) = input.as_bf16() {
                    LinearInput::Bf16(Rows::new(bf16, c))
                } else {
                    rows = [Rows::new(input.as_f32()?, c)];
                    LinearInput::F32(&rows)
                };
                let len = b * n * self.outputs;
                Store::Host(Host::written(cpu, len, dtype, |out| {
                    packed.forward(cpu, b * n, matrix, epilogue, out);
                }))
            }
        };
        nan_trace::check(&self.name, &store);
        Ok(Tokens::from_store(store, (b, n, self.outputs)))
    }
}

/// Gated linear unit with an exact GELU gate (Shazeer 2020): split x Wᵀ + b into a, g; a · gelu(g).
pub(crate) struct Geglu(Linear);

impl Geglu {
    /// Loads `weight` `[2·output, input]` and `bias`.
    pub(crate) fn load(weights: &Weights, input: usize, output: usize) -> Result<Self> {
        Linear::gated(
            std::slice::from_ref(weights),
            input,
            2 * output,
            true,
            Gating::Geglu,
        )
        .map(Self)
    }

    /// Type in which the layer prefers its input.
    pub(crate) fn input_dtype(&self) -> ActivationDtype {
        self.0.input_dtype()
    }

    /// a · gelu(g), of type `dtype`.
    pub(crate) fn forward(&self, x: &Tokens, dtype: ActivationDtype) -> Result<Tokens> {
        let y = self.0.run(x, None, None, dtype)?;
        match &y.store {
            Store::Host(_) => Ok(y),
            Store::Device(both) => {
                let (b, n, c) = y.dims();
                Ok(Tokens::from_store(
                    Store::Device(tensor::gate(both)?),
                    (b, n, c / 2),
                ))
            }
        }
    }
}
