//! Attention layers: projections, heads and the softmax between. The whole score matrix is never in
//! memory.

use super::linear::Linear;
use super::map::{ActivationDtype, FeatureMap, Host, Store, Tokens};
use super::tensor;
use super::weights::Weights;
use crate::error::{Error, Kind, Result};
use crate::kernels::{AttentionShape, Mask, PackedKv, Precision, Rows, attend};

/// Weights of the four projections.
pub(crate) struct Projections {
    pub(crate) q: Weights,
    pub(crate) k: Weights,
    pub(crate) v: Weights,
    pub(crate) out: Weights,
    /// True if q, k and v have a bias; the output projection always has one.
    pub(crate) bias: bool,
}

/// Number of heads, causal mask and precision of an attention.
#[derive(Clone, Copy)]
struct Heads {
    count: usize,
    causal: bool,
    precision: Precision,
}

impl Heads {
    fn new(names: &Projections, count: usize, channels: usize) -> Result<Self> {
        if count == 0 || !channels.is_multiple_of(count) {
            return Err(Error::new(
                Kind::ModelFile,
                format!("config.json: {count} heads do not divide {channels} channels"),
            ));
        }
        let host = names.q.backend().host.as_ref();
        let precision = match host.map(|host| host.precision.for_layer(channels * channels)) {
            Some(Precision::Bf16 | Precision::Int8) => Precision::Bf16,
            Some(Precision::F32 | Precision::F16Weights) | None => Precision::F32,
        };
        Ok(Self {
            count,
            causal: false,
            precision,
        })
    }

    fn shape(self, batch: usize, channels: usize) -> AttentionShape {
        AttentionShape {
            batch,
            heads: self.count,
            head_dim: channels / self.count,
        }
    }
}

/// Attention of a sequence to itself.
pub(crate) struct SelfAttention {
    qkv: Linear,
    out: Linear,
    heads: Heads,
}

impl SelfAttention {
    /// Loads the projections of `channels` channels in `heads` heads.
    pub(crate) fn load(names: &Projections, channels: usize, heads: usize) -> Result<Self> {
        let parts = [names.q.clone(), names.k.clone(), names.v.clone()];
        Ok(Self {
            heads: Heads::new(names, heads, channels)?,
            qkv: Linear::stacked(&parts, channels, channels, names.bias)?,
            out: Linear::load(&names.out, channels, channels, true)?,
        })
    }

    /// The same layer with a causal mask: a token attends only to itself and to those before it.
    pub(crate) fn causal(self) -> Self {
        Self {
            heads: Heads {
                causal: true,
                ..self.heads
            },
            ..self
        }
    }

    /// Type in which the layer prefers its input.
    pub(crate) fn input_dtype(&self) -> ActivationDtype {
        self.qkv.input_dtype()
    }

    /// out(attention(x)).
    pub(crate) fn forward(&self, x: &Tokens) -> Result<Tokens> {
        self.out.forward(&self.attend(x)?)
    }

    /// out(attention(x)) + residual.
    pub(crate) fn forward_add(&self, x: &Tokens, residual: &Tokens) -> Result<Tokens> {
        self.out.forward_add(&self.attend(x)?, residual)
    }

    /// out(attention(x)) as a plane, added to `map`.
    pub(crate) fn forward_onto(&self, x: &Tokens, map: &FeatureMap) -> Result<FeatureMap> {
        self.out.forward_onto(&self.attend(x)?, map)
    }

    fn attend(&self, x: &Tokens) -> Result<Tokens> {
        let qkv = self.qkv.forward(x)?;
        let (b, n, c) = x.dims();
        let store = match &qkv.store {
            Store::Device(tensor) => {
                let Heads { count, causal, .. } = self.heads;
                Store::Device(tensor::self_attention(tensor, count, causal)?)
            }
            Store::Host(host) => {
                let (cpu, data) = (&host.cpu, host.as_f32()?);
                let part = |i: usize| Rows::strided(&data[i * c..], c, 3 * c);
                let shape = self.heads.shape(b, c);
                let kv = PackedKv::pack(cpu, shape, n, part(1), part(2), self.heads.precision);
                let mask = if self.heads.causal {
                    Mask::Causal
                } else {
                    Mask::None
                };
                Store::Host(Host::written(
                    cpu,
                    b * n * c,
                    self.out.input_dtype(),
                    |out| {
                        attend(cpu, n, part(0), &kv, mask, out);
                    },
                ))
            }
        };
        Ok(Tokens::from_store(store, (b, n, c)))
    }
}

/// Attention of a sequence to another.
pub(crate) struct CrossAttention {
    q: Linear,
    kv: Linear,
    out: Linear,
    heads: Heads,
}

/// Keys and values of a context, made once for all steps.
pub(crate) struct KeyValues {
    text: Packed,
    /// Scale, keys and values of an image prompt (IP-Adapter).
    picture: Option<(f64, Packed)>,
}

enum Packed {
    Host(PackedKv),
    Device(tensor::KeyValues),
}

impl CrossAttention {
    /// Loads the projections: queries of `channels`, keys and values from `context` channels.
    pub(crate) fn load(
        names: &Projections,
        channels: usize,
        context: usize,
        heads: usize,
    ) -> Result<Self> {
        Ok(Self {
            heads: Heads::new(names, heads, channels)?,
            q: Linear::load(&names.q, channels, channels, names.bias)?,
            kv: Linear::stacked(
                &[names.k.clone(), names.v.clone()],
                context,
                channels,
                names.bias,
            )?,
            out: Linear::load(&names.out, channels, channels, true)?,
        })
    }

    /// Keys and values of `context`.
    pub(crate) fn key_values(&self, context: &Tokens) -> Result<KeyValues> {
        Ok(KeyValues {
            text: self.packed(&self.kv.forward(context)?)?,
            picture: None,
        })
    }

    /// Adds the keys and values of an image prompt to those of the text: `kv` holds both side by
    /// side, `[b, n, 2 · channels]`.
    pub(crate) fn with_picture(
        &self,
        text: KeyValues,
        kv: &Tokens,
        scale: f64,
    ) -> Result<KeyValues> {
        Ok(KeyValues {
            picture: Some((scale, self.packed(kv)?)),
            ..text
        })
    }

    fn packed(&self, kv: &Tokens) -> Result<Packed> {
        let (b, m, both) = kv.dims();
        let c = both / 2;
        match &kv.store {
            Store::Device(tensor) => Ok(Packed::Device(tensor::KeyValues::new(
                tensor,
                self.heads.count,
            )?)),
            Store::Host(host) => {
                let (cpu, data) = (&host.cpu, host.as_f32()?);
                let part = |i: usize| Rows::strided(&data[i * c..], c, both);
                let shape = self.heads.shape(b, c);
                Ok(Packed::Host(PackedKv::pack(
                    cpu,
                    shape,
                    m,
                    part(0),
                    part(1),
                    self.heads.precision,
                )))
            }
        }
    }

    /// Type in which the layer prefers its input.
    pub(crate) fn input_dtype(&self) -> ActivationDtype {
        self.q.input_dtype()
    }

    /// out(attention(x, text) + scale · attention(x, image prompt)) + residual.
    pub(crate) fn forward_add(
        &self,
        x: &Tokens,
        context: &KeyValues,
        residual: &Tokens,
    ) -> Result<Tokens> {
        let q = self.q.forward(x)?;
        let mixed = match &context.picture {
            None => self.attend(&q, &context.text, self.out.input_dtype())?,
            Some((scale, picture)) => {
                let text = self.attend(&q, &context.text, ActivationDtype::F32)?;
                text.plus(*scale, &self.attend(&q, picture, ActivationDtype::F32)?)?
            }
        };
        self.out.forward_add(&mixed, residual)
    }

    fn attend(&self, q: &Tokens, kv: &Packed, dtype: ActivationDtype) -> Result<Tokens> {
        let (b, n, c) = q.dims();
        let store = match (&q.store, kv) {
            (Store::Device(q), Packed::Device(kv)) => Store::Device(kv.answer(q)?),
            (Store::Host(host), Packed::Host(kv)) => {
                let (cpu, q) = (&host.cpu, Rows::new(host.as_f32()?, c));
                Store::Host(Host::written(cpu, b * n * c, dtype, |out| {
                    attend(cpu, n, q, kv, Mask::None, out);
                }))
            }
            _ => return Err(Error::internal("queries and keys of different devices")),
        };
        Ok(Tokens::from_store(store, (b, n, c)))
    }
}
