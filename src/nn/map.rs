//! The two shapes of activations: a feature map (an image of channels) and a token sequence. Their
//! memory layout is private to `nn`; networks see only names and sizes. On the CPU both are
//! channels-last, so that the conversion between them costs nothing.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use half::slice::HalfBitsSliceExt;

use super::backend::Backend;
use crate::error::{Error, Result};
use crate::kernels::{Activation, Buffer, Cpu, Output, activate};

/// Activations over a plane: `b` images of `c` channels, `h × w`.
#[derive(Clone)]
pub(crate) struct FeatureMap {
    pub(super) store: Store,
    shape: MapShape,
}

/// Activations over a sequence: `b` sequences of `n` tokens of `c` channels.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(super) store: Store,
    dims: (usize, usize, usize),
}

/// The sizes of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapShape {
    pub(crate) b: usize,
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

/// Numbers that one thread adds at a time.
const CHUNK: usize = 1 << 14;

/// Storage of activations: host memory or a tensor of a device.
#[derive(Clone)]
pub(super) enum Store {
    /// `[b, h, w, c]` or `[b, n, c]` in single precision.
    Host(Host),
    /// `[b, c, h, w]` or `[b, n, c]`.
    Device(Tensor),
}

/// Activations in host memory, with the threads and kernels that compute on them.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) cpu: Cpu,
    data: Arc<Numbers>,
}

enum Numbers {
    F32(Buffer<f32>),
    /// Bits of bf16, for the one linear layer that reads them.
    Bf16(Buffer<u16>),
}

/// Type of activations on the CPU, as the next layer prefers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActivationDtype {
    /// Single precision.
    F32,
    /// bfloat16.
    Bf16,
}

impl Host {
    /// A buffer of `len` numbers, all of them written by `fill`.
    pub(super) fn filled(cpu: &Cpu, len: usize, fill: impl FnOnce(&mut [f32])) -> Self {
        let mut data = cpu.arena().take::<f32>(len);
        fill(&mut data);
        Self::from_buffer(cpu, data)
    }

    /// Numbers in single precision.
    pub(super) fn from_buffer(cpu: &Cpu, data: Buffer<f32>) -> Self {
        Self {
            cpu: cpu.clone(),
            data: Arc::new(Numbers::F32(data)),
        }
    }

    /// The buffer in single precision, if it is not shared.
    pub(super) fn unshared(self) -> std::result::Result<Buffer<f32>, Self> {
        let Self { cpu, data } = self;
        match Arc::try_unwrap(data) {
            Ok(Numbers::F32(data)) => Ok(data),
            Ok(other @ Numbers::Bf16(_)) => Err(Self {
                cpu,
                data: Arc::new(other),
            }),
            Err(data) => Err(Self { cpu, data }),
        }
    }

    /// A buffer of `len` numbers written by `fill`, in the precision that the next layer prefers.
    pub(super) fn written(
        cpu: &Cpu,
        len: usize,
        dtype: ActivationDtype,
        write: impl FnOnce(Output<'_>),
    ) -> Self {
        if dtype == ActivationDtype::F32 {
            return Self::filled(cpu, len, |out| write(Output::F32(out)));
        }
        let mut data = cpu.arena().take::<u16>(len);
        write(Output::Bf16(data.reinterpret_cast_mut()));
        Self {
            cpu: cpu.clone(),
            data: Arc::new(Numbers::Bf16(data)),
        }
    }

    /// Applies `activation`, in place where the numbers are not shared.
    fn activate(&mut self, activation: Activation) -> Result<()> {
        if let Some(Numbers::F32(data)) = Arc::get_mut(&mut self.data) {
            activate(&self.cpu, activation, data);
            return Ok(());
        }
        let values = self.as_f32()?;
        *self = Self::filled(&self.cpu, values.len(), |out| {
            out.copy_from_slice(values);
            activate(&self.cpu, activation, out);
        });
        Ok(())
    }

    /// The numbers in single precision.
    pub(super) fn as_f32(&self) -> Result<&[f32]> {
        match &*self.data {
            Numbers::F32(data) => Ok(data),
            Numbers::Bf16(_) => Err(Error::internal(
                "numbers in bf16 where single precision is read",
            )),
        }
    }

    /// Returns true if every number is finite.
    pub(super) fn finite(&self) -> bool {
        match &*self.data {
            Numbers::F32(data) => data.iter().all(|x| x.is_finite()),
            Numbers::Bf16(data) => data
                .reinterpret_cast::<bf16>()
                .iter()
                .all(|x| x.is_finite()),
        }
    }

    /// The numbers as bf16; `None` where they are f32.
    pub(super) fn as_bf16(&self) -> Option<&[bf16]> {
        match &*self.data {
            Numbers::F32(_) => None,
            Numbers::Bf16(data) => Some(data.reinterpret_cast()),
        }
    }
}

impl Store {
    pub(super) fn host(&self) -> Result<&Host> {
        match self {
            Self::Host(host) => Ok(host),
            Self::Device(_) => Err(Error::internal(
                "activations of a device in a kernel of the processor",
            )),
        }
    }

    pub(super) fn tensor(&self) -> Result<&Tensor> {
        match self {
            Self::Device(tensor) => Ok(tensor),
            Self::Host(_) => Err(Error::internal(
                "activations of the processor in an operation of a device",
            )),
        }
    }

    /// Repeats `some` images, sequences or tokens until there are `all`, along dimension `dim`,
    /// before which every dimension is 1.
    fn repeat_batch(self, dim: usize, some: usize, all: usize) -> Result<Self> {
        if some == all {
            return Ok(self);
        }
        if !all.is_multiple_of(some) {
            return Err(Error::internal(format!("{all} images of {some}")));
        }
        match self {
            Self::Device(tensor) => Ok(Self::Device(Tensor::cat(&vec![tensor; all / some], dim)?)),
            Self::Host(host) => {
                let values = host.as_f32()?;
                Ok(Self::Host(Host::filled(
                    &host.cpu,
                    all / some * values.len(),
                    |out| {
                        out.chunks_exact_mut(values.len())
                            .for_each(|copy| copy.copy_from_slice(values));
                    },
                )))
            }
        }
    }
}

impl FeatureMap {
    pub(super) fn new(store: Store, shape: MapShape) -> Self {
        Self { store, shape }
    }

    /// The storage in host memory; an error for a tensor of a device.
    pub(super) fn into_host(self) -> Result<Host> {
        match self.store {
            Store::Host(host) => Ok(host),
            Store::Device(_) => Err(Error::internal(
                "activations of a device in a kernel of the processor",
            )),
        }
    }

    /// Converts latents or pixels `[b, c, h, w]`.
    pub(crate) fn from_nchw(tensor: &Tensor, backend: &Backend) -> Result<Self> {
        let (b, c, h, w) = tensor.dims4()?;
        let shape = MapShape { b, c, h, w };
        let store = match &backend.host {
            None => Store::Device(tensor.to_dtype(backend.dtype)?.contiguous()?),
            Some(host) => {
                let values = tensor
                    .to_dtype(DType::F32)?
                    .permute((0, 2, 3, 1))?
                    .flatten_all()?
                    .to_vec1::<f32>()?;
                Store::Host(Host::filled(&host.cpu, values.len(), |out| {
                    out.copy_from_slice(&values);
                }))
            }
        };
        Ok(Self { store, shape })
    }

    /// Converts to `[b, c, h, w]` in single precision.
    pub(crate) fn to_nchw(&self) -> Result<Tensor> {
        let MapShape { b, c, h, w } = self.shape;
        match &self.store {
            Store::Device(tensor) => Ok(tensor.to_dtype(DType::F32)?),
            Store::Host(host) => {
                let rows = Tensor::from_slice(host.as_f32()?, (b, h, w, c), &Device::Cpu)?;
                Ok(rows.permute((0, 3, 1, 2))?.contiguous()?)
            }
        }
    }

    /// The sizes.
    pub(crate) fn shape(&self) -> MapShape {
        self.shape
    }

    /// max(x, 0), in place where the map is not shared.
    pub(crate) fn relu(mut self) -> Result<Self> {
        match &mut self.store {
            Store::Device(tensor) => *tensor = tensor.relu()?,
            Store::Host(host) => host.activate(Activation::Relu)?,
        }
        Ok(self)
    }

    /// The maps repeated until there are `images` images.
    pub(crate) fn repeat_batch(self, images: usize) -> Result<Self> {
        let store = self.store.repeat_batch(0, self.shape.b, images)?;
        Ok(Self {
            store,
            shape: MapShape {
                b: images,
                ..self.shape
            },
        })
    }

    /// This map plus `scale` × `other`, which is added to the last images of this map where it has
    /// fewer; those before are unchanged.
    pub(crate) fn plus(&self, scale: f64, other: &Self) -> Result<Self> {
        let (all, some) = (self.shape, other.shape);
        if (all.c, all.h, all.w) != (some.c, some.h, some.w) || all.b < some.b {
            return Err(Error::internal(format!("a map {all:?} plus {some:?}")));
        }
        let store = match &self.store {
            Store::Device(tensor) => {
                let others = all.b - some.b;
                let sum = (tensor.narrow(0, others, some.b)? + (other.store.tensor()? * scale)?)?;
                Store::Device(match others {
                    0 => sum,
                    _ => Tensor::cat(&[&tensor.narrow(0, 0, others)?, &sum], 0)?,
                })
            }
            Store::Host(host) => {
                let (left, right) = (host.as_f32()?, other.store.host()?.as_f32()?);
                let scale = scale as f32;
                let others = left.len() - right.len();
                Store::Host(Host::filled(&host.cpu, left.len(), |out| {
                    out[..others].copy_from_slice(&left[..others]);
                    host.cpu
                        .pool()
                        .for_chunks(&mut out[others..], CHUNK, |i, sums| {
                            let terms = left[others + i * CHUNK..].iter().zip(&right[i * CHUNK..]);
                            sums.iter_mut()
                                .zip(terms)
                                .for_each(|(sum, (a, b))| *sum = a + scale * b);
                        });
                }))
            }
        };
        Ok(Self { store, shape: all })
    }

    /// This map plus tokens `[b, h·w, c]` of a device, which are transposed to the layout of a map.
    pub(super) fn plus_tokens(&self, tokens: &Tokens) -> Result<Self> {
        let MapShape { b, c, h, w } = self.shape;
        let rows = tokens.store.tensor()?.transpose(1, 2)?;
        let sum = (self.store.tensor()?.reshape((b, c, h * w))? + rows)?.reshape((b, c, h, w))?;
        Ok(Self {
            store: Store::Device(sum),
            shape: self.shape,
        })
    }

    /// Concatenates the channels of `parts` into one map on a device; on the CPU, whose kernels
    /// read several parts, the parts are returned as they are.
    pub(crate) fn joined(parts: Vec<Self>) -> Result<Vec<Self>> {
        match parts.first().map(|first| (&first.store, first.shape)) {
            Some((Store::Device(_), shape)) if parts.len() > 1 => {
                let tensors = parts
                    .iter()
                    .map(|part| part.store.tensor())
                    .collect::<Result<Vec<_>>>()?;
                let c = parts.iter().map(|part| part.shape.c).sum();
                let store = Store::Device(Tensor::cat(&tensors, 1)?);
                Ok(vec![Self {
                    store,
                    shape: MapShape { c, ..shape },
                }])
            }
            _ => Ok(parts),
        }
    }

    /// The plane as a sequence of `h·w` tokens, row by row. On a device the numbers stay as they
    /// lie.
    pub(crate) fn tokens(&self) -> Result<Tokens> {
        let MapShape { b, c, h, w } = self.shape;
        let store = match &self.store {
            Store::Host(host) => Store::Host(host.clone()),
            Store::Device(tensor) => Store::Device(tensor.reshape((b, c, h * w))?.transpose(1, 2)?),
        };
        Ok(Tokens {
            store,
            dims: (b, h * w, c),
        })
    }
}

impl Tokens {
    pub(super) fn from_store(store: Store, dims: (usize, usize, usize)) -> Self {
        Self { store, dims }
    }

    /// Converts a tensor `[b, n, c]`.
    pub(crate) fn new(tensor: &Tensor, backend: &Backend) -> Result<Self> {
        let dims = tensor.dims3()?;
        let store = match &backend.host {
            None => Store::Device(tensor.to_dtype(backend.dtype)?.contiguous()?),
            Some(host) => {
                let values = tensor
                    .to_dtype(DType::F32)?
                    .flatten_all()?
                    .to_vec1::<f32>()?;
                Store::Host(Host::filled(&host.cpu, values.len(), |out| {
                    out.copy_from_slice(&values);
                }))
            }
        };
        Ok(Self { store, dims })
    }

    /// Converts to `[b, n, c]` in single precision.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        match &self.store {
            Store::Device(tensor) => Ok(tensor.to_dtype(DType::F32)?),
            Store::Host(host) => Ok(Tensor::from_slice(host.as_f32()?, self.dims, &Device::Cpu)?),
        }
    }

    /// (b, n, c).
    pub(crate) fn dims(&self) -> (usize, usize, usize) {
        self.dims
    }

    /// The sequence as a plane of `h × w`.
    pub(crate) fn to_map(&self, h: usize, w: usize) -> Result<FeatureMap> {
        let (b, _, c) = self.dims;
        let store = match &self.store {
            Store::Host(host) => Store::Host(host.clone()),
            Store::Device(tensor) => Store::Device(
                tensor
                    .transpose(1, 2)?
                    .reshape((b, c, h, w))?
                    .contiguous()?,
            ),
        };
        Ok(FeatureMap {
            store,
            shape: MapShape { b, c, h, w },
        })
    }

    /// Element-wise sum.
    pub(crate) fn add(&self, other: &Self) -> Result<Self> {
        self.plus(1.0, other)
    }

    /// This plus `scale` × `other`.
    pub(crate) fn plus(&self, scale: f64, other: &Self) -> Result<Self> {
        let store = match &self.store {
            Store::Device(tensor) => Store::Device((tensor + (other.store.tensor()? * scale)?)?),
            Store::Host(host) => {
                let (left, right) = (host.as_f32()?, other.store.host()?.as_f32()?);
                let scale = scale as f32;
                Store::Host(Host::filled(&host.cpu, left.len(), |out| {
                    for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
                        *out = a + scale * b;
                    }
                }))
            }
        };
        Ok(Self {
            store,
            dims: self.dims,
        })
    }

    /// The sequences repeated until there are `b`.
    pub(crate) fn repeat_batch(self, b: usize) -> Result<Self> {
        let (some, n, c) = self.dims;
        Ok(Self {
            store: self.store.repeat_batch(0, some, b)?,
            dims: (b, n, c),
        })
    }

    /// The only token `n` times over, `[1, n, c]`.
    pub(crate) fn repeat(self, n: usize) -> Result<Self> {
        let (_, some, c) = self.dims;
        Ok(Self {
            store: self.store.repeat_batch(1, some, n)?,
            dims: (1, n, c),
        })
    }

    /// x · sigmoid(x).
    pub(crate) fn silu(&self) -> Result<Self> {
        let store = match &self.store {
            Store::Device(tensor) => Store::Device(tensor.silu()?),
            Store::Host(host) => {
                let values = host.as_f32()?;
                Store::Host(Host::filled(&host.cpu, values.len(), |out| {
                    out.copy_from_slice(values);
                    activate(&host.cpu, Activation::Silu, out);
                }))
            }
        };
        Ok(Self {
            store,
            dims: self.dims,
        })
    }
}
