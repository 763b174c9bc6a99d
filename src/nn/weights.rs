//! Tensors by name out of safetensors files, whole or in shards, mapped into memory. Every tensor that a network
//! asks for is checked against the shape it expects, and what nobody asked for is an error too.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::fs::File;
use std::rc::Rc;

use candle_core::{DType, Device, Tensor};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;

use super::backend::Backend;
use super::cpu::{Memory, Passes, Trade, WeightSlice};
use crate::error::{Error, Kind, Result};
use crate::registry::{Component, ModelFiles};

/// The tensors of one component below a prefix, delivered in one precision on one device.
#[derive(Clone)]
pub(crate) struct Weights {
    source: Rc<Source>,
    prefix: String,
    side: usize,
    passes: Passes,
}

struct Source {
    shards: Vec<Shard>,
    index: BTreeMap<String, usize>,
    backend: Backend,
    used: RefCell<HashSet<String>>,
    /// Bytes handed out since mapped pages were last given back.
    touched: Cell<usize>,
}

struct Shard {
    /// The file's name in messages.
    label: String,
    bytes: Bytes,
    metadata: Metadata,
    /// Where tensor data begins.
    data: usize,
}

enum Bytes {
    Mapped(memmap2::Mmap),
    Embedded(&'static [u8]),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

/// One tensor as it lies in the file.
pub(crate) struct Raw<'a> {
    /// Storage type.
    pub(crate) dtype: DType,
    /// Little-endian values, row by row.
    pub(crate) bytes: &'a [u8],
}

/// A tensor's numbers in place, or copied where the file keeps them unaligned or in a type no kernel reads.
pub(crate) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [u16]>),
    Bf16(Cow<'a, [u16]>),
}

impl<'a> Raw<'a> {
    /// The numbers.
    ///
    /// # Errors
    /// A storage type that is no float.
    #[allow(clippy::wildcard_enum_match_arm)] // Types that other crates add are refused as well.
    pub(crate) fn values(&self) -> Result<Values<'a>> {
        match self.dtype {
            DType::F32 => Ok(Values::F32(cast(self.bytes, f32::from_le_bytes))),
            DType::F16 => Ok(Values::F16(cast(self.bytes, u16::from_le_bytes))),
            DType::BF16 => Ok(Values::Bf16(cast(self.bytes, u16::from_le_bytes))),
            DType::F64 => {
                let wide = cast(self.bytes, f64::from_le_bytes);
                Ok(Values::F32(wide.iter().map(|&x| x as f32).collect::<Vec<_>>().into()))
            }
            // Invariant: `Shard::raw` lets no other type pass.
            other => Err(Error::internal(format!("weights of type {other:?}"))),
        }
    }
}

impl Values<'_> {
    /// As the kernels take them.
    pub(crate) fn slice(&self) -> WeightSlice<'_> {
        match self {
            Self::F32(values) => WeightSlice::F32(values),
            Self::F16(bits) => WeightSlice::F16(bits.reinterpret_cast::<f16>()),
            Self::Bf16(bits) => WeightSlice::Bf16(bits.reinterpret_cast::<bf16>()),
        }
    }

    /// Widened to single precision.
    pub(crate) fn floats(&self) -> Vec<f32> {
        match self.slice() {
            WeightSlice::F32(values) => values.to_vec(),
            WeightSlice::F16(values) => values.to_f32_vec(),
            WeightSlice::Bf16(values) => values.to_f32_vec(),
        }
    }
}

/// Bytes as numbers: in place where the machine is little-endian and the bytes are aligned, else one by one.
fn cast<T: bytemuck::Pod, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) if cfg!(target_endian = "little") => Cow::Borrowed(numbers),
        _ => bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect::<Vec<_>>().into(),
    }
}

/// A sharded model's index file.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weights of `component`, in whichever of its file layouts the model has.
    ///
    /// # Errors
    /// No weights file, or one that is truncated or malformed.
    pub(crate) fn open(files: &ModelFiles, component: Component, backend: &Backend) -> Result<Self> {
        let candidates = component.weights();
        let path = candidates.iter().find(|path| files.has(path)).ok_or_else(|| {
            Error::new(Kind::ModelFile, format!("`{}` has no weights for {component}", files.origin))
                .hint(format!("expected one of {}", candidates.join(", ")))
        })?;
        let shards = shard_paths(files, path)?
            .iter()
            .map(|path| Shard::open(files, path))
            .collect::<Result<Vec<_>>>()?;
        let mut index = BTreeMap::new();
        for (i, shard) in shards.iter().enumerate() {
            index.extend(shard.metadata.tensors().into_keys().map(|name| (name, i)));
        }
        let source = Source {
            shards,
            index,
            backend: backend.clone(),
            used: RefCell::default(),
            touched: Cell::new(0),
        };
        Ok(Self { source: Rc::new(source), prefix: String::new(), side: DEFAULT_SIDE, passes: Passes::Many })
    }

    /// The tensors below `name`.
    pub(crate) fn pp(&self, name: impl Display) -> Self {
        Self { prefix: self.full(name), ..self.clone() }
    }

    fn full(&self, name: impl Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// The same tensors for layers that will see maps of about `side` pixels a side: kernels are chosen by it.
    pub(crate) fn at(&self, side: usize) -> Self {
        Self { side, ..self.clone() }
    }

    /// The side of the maps that layers will see.
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// The same tensors for a network that a picture goes through once: its errors do not come back.
    pub(crate) fn once(&self) -> Self {
        Self { passes: Passes::Once, ..self.clone() }
    }

    /// What packed convolutions may cost: no memory is spared for a component whose weights are small.
    pub(super) fn trade(&self) -> Trade {
        let bytes: usize = self.source.shards.iter().map(|shard| shard.bytes.get().len()).sum();
        let memory = if bytes < SMALL_COMPONENT { Memory::Fast } else { Memory::Balanced };
        Trade { memory, passes: self.passes }
    }

    /// What computes with these weights.
    pub(crate) fn backend(&self) -> &Backend {
        &self.source.backend
    }

    /// Whether the file has this tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.index.contains_key(&self.full(name))
    }

    /// The first of `names` whose `.weight` the file has: some parts were renamed over the years.
    pub(crate) fn either(&self, names: [&str; 2]) -> Self {
        let old = self.has(&format!("{}.weight", names[1]));
        self.pp(if old { names[1] } else { names[0] })
    }

    /// The tensor `name` as stored, if its shape is one of `shapes` (some files keep 1×1 convolutions where
    /// others keep matrices).
    ///
    /// # Errors
    /// The tensor is missing or has another shape or type; the message names file, tensor and both shapes.
    pub(crate) fn raw(&self, name: &str, shapes: &[&[usize]]) -> Result<Raw<'_>> {
        let full = self.full(name);
        let Some(&shard) = self.source.index.get(&full) else {
            let file = self.source.shards.first().map_or("", |shard| shard.label.as_str());
            return Err(Error::new(Kind::ModelFile, format!("`{file}`: tensor `{full}` is missing"))
                .hint(format!("expected shape {:?}; is config.json of the same model?", shapes[0])));
        };
        let shard = &self.source.shards[shard];
        self.source.release_now_and_then();
        let raw = shard.raw(&full, shapes)?;
        self.source.touched.set(self.source.touched.get() + raw.bytes.len());
        self.source.used.borrow_mut().insert(full);
        Ok(raw)
    }

    /// The tensor `name` of `shape` on the device, in the wanted precision.
    ///
    /// # Errors
    /// As [`Self::raw`]; the device runs out of memory.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.reshaped(name, &[shape])
    }

    /// As [`Self::tensor`] in whichever of `shapes` it is stored; delivered in the first.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub(crate) fn reshaped(&self, name: &str, shapes: &[&[usize]]) -> Result<Tensor> {
        let raw = self.raw(name, shapes)?;
        let tensor = Tensor::from_raw_buffer(raw.bytes, raw.dtype, shapes[0], &Device::Cpu)?;
        let backend = self.backend();
        Ok(tensor.to_dtype(backend.dtype)?.to_device(&backend.device)?)
    }

    /// The vector `name` of `length` numbers in single precision.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub(crate) fn floats(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        Ok(self.raw(name, &[&[length]])?.values()?.floats())
    }

    /// Complains about tensors that no layer asked for: they mean that config.json describes another network.
    /// Those below one of `spared` are left for another time.
    ///
    /// # Errors
    /// The first of them, with its file.
    pub(crate) fn finish(&self, spared: &[&str]) -> Result<()> {
        self.source.release();
        let used = self.source.used.borrow();
        let expected = |name: &str| {
            used.contains(name) || ignorable(name) || spared.iter().any(|prefix| name.starts_with(prefix))
        };
        let left = self.source.index.iter().find(|(name, _)| !expected(name));
        match left {
            None => Ok(()),
            Some((name, &shard)) => Err(Error::new(
                Kind::ModelFile,
                format!("`{}`: unexpected tensor `{name}`", self.source.shards[shard].label),
            )
            .hint("config.json describes a network without it; are both of the same model?")),
        }
    }
}

/// Side of the maps where nobody says.
const DEFAULT_SIDE: usize = 64;
/// A component of fewer bytes than this may take several times as many.
const SMALL_COMPONENT: usize = 256 << 20;
/// Mapped bytes that loading keeps resident at the most.
const RESIDENT: usize = 128 << 20;

impl Source {
    /// Gives mapped pages back once enough were read: packed copies of the weights are what stays.
    fn release_now_and_then(&self) {
        if self.touched.get() > RESIDENT {
            self.release();
        }
    }

    #[cfg(not(unix))]
    fn release(&self) {
        self.touched.set(0);
    }

    #[cfg(unix)]
    #[allow(unsafe_code)]
    fn release(&self) {
        self.touched.set(0);
        for shard in &self.shards {
            if let Bytes::Mapped(map) = &shard.bytes {
                // SAFETY: the map is of a file and read-only: pages given back are read again, with the same
                // content, on the next access. A failure costs memory, nothing else.
                let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            }
        }
    }
}

/// Buffers that old files carry along and no network needs.
fn ignorable(name: &str) -> bool {
    name.ends_with("position_ids") || name == "logit_scale"
}

fn shard_paths(files: &ModelFiles, path: &str) -> Result<Vec<String>> {
    if !path.ends_with(".json") {
        return Ok(vec![path.to_owned()]);
    }
    let index: ShardIndex = files.json(path)?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    match names.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(Error::new(
            Kind::ModelFile,
            format!("`{}`: shard `{name}` is not a plain file name", files.display(path)),
        )),
        None => Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect()),
    }
}

impl Shard {
    fn open(files: &ModelFiles, path: &str) -> Result<Self> {
        let label = files.display(path);
        let bytes = match files.embedded_bytes(path) {
            Some(bytes) => Bytes::Embedded(bytes),
            None => Bytes::Mapped(map(files, path, &label)?),
        };
        let (header, metadata) = safetensors::SafeTensors::read_metadata(bytes.get()).map_err(|e| {
            Error::new(Kind::ModelFile, format!("`{label}` is no valid safetensors file: {e}"))
                .hint("the file may be cut short; download or copy it again")
        })?;
        let data = header + size_of::<u64>();
        if data + metadata.data_len() != bytes.get().len() {
            return Err(Error::new(
                Kind::ModelFile,
                format!(
                    "`{label}` is {} bytes long, expected {}",
                    bytes.get().len(),
                    data + metadata.data_len()
                ),
            )
            .hint("the file is cut short; download or copy it again"));
        }
        Ok(Self { label, bytes, metadata, data })
    }

    #[allow(clippy::wildcard_enum_match_arm)] // Types that other crates add are refused as well.
    fn raw(&self, name: &str, shapes: &[&[usize]]) -> Result<Raw<'_>> {
        let wrong =
            |what: String| Error::new(Kind::ModelFile, format!("`{}`: tensor `{name}` {what}", self.label));
        let info: &TensorInfo = self.metadata.info(name).ok_or_else(|| wrong("is missing".to_owned()))?;
        if !shapes.contains(&info.shape.as_slice()) {
            return Err(wrong(format!("has shape {:?}, expected {:?}", info.shape, shapes[0]))
                .hint("config.json and weights are not of the same model"));
        }
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => return Err(wrong(format!("has type {other:?}, expected F32, F16 or BF16"))),
        };
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.get().get(self.data + start..self.data + end);
        bytes.map(|bytes| Raw { dtype, bytes }).ok_or_else(|| wrong("lies outside the file".to_owned()))
    }
}

#[allow(unsafe_code)]
fn map(files: &ModelFiles, path: &str, label: &str) -> Result<memmap2::Mmap> {
    let unreadable =
        |e: std::io::Error| Error::new(Kind::ModelFile, format!("cannot read `{label}`")).source(e);
    let file = File::open(files.path(path).unwrap_or_default()).map_err(unreadable)?;
    // SAFETY: the map is read-only; like every program that maps weights we rely on nobody shortening the file
    // while it is in use.
    unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)
}
