//! The numbers of a tensor: in place where the file keeps them as a kernel reads them, else
//! converted. The block-quantised types of ggml (GGUF) go through candle, to single precision and
//! back.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::vec::HalfFloatVecExt;
use half::{bf16, f16};

use crate::error::{Error, Kind, Result};
use crate::kernels::WeightSlice;
use crate::tensor_file::{Entry, StoredDtype};

/// A tensor's numbers, row by row.
pub(crate) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [u16]>),
    Bf16(Cow<'a, [u16]>),
}

impl<'a> Values<'a> {
    /// The numbers of `entry` in a file of `bytes`.
    pub(super) fn read(file: &'a [u8], entry: &Entry) -> Result<Self> {
        let bytes = file
            .get(entry.bytes.clone())
            .ok_or_else(|| Error::new(Kind::ModelFile, "lies outside the file"))?;
        let values = Self::stored(bytes, entry.storage)?;
        Ok(match &entry.strides {
            None => values,
            Some(strides) => values.gathered(&entry.shape, strides),
        })
    }

    #[allow(clippy::wildcard_enum_match_arm)] // Types without blocks are refused there.
    fn stored(bytes: &'a [u8], storage: StoredDtype) -> Result<Self> {
        match storage {
            StoredDtype::F32 => Ok(Self::F32(cast(bytes, f32::from_le_bytes))),
            StoredDtype::F16 => Ok(Self::F16(cast(bytes, u16::from_le_bytes))),
            StoredDtype::Bf16 => Ok(Self::Bf16(cast(bytes, u16::from_le_bytes))),
            StoredDtype::F64 => {
                let wide = cast(bytes, f64::from_le_bytes);
                Ok(Self::F32(
                    wide.iter().map(|&x| x as f32).collect::<Vec<_>>().into(),
                ))
            }
            StoredDtype::F8E4M3 => {
                let halves: [u16; 256] = std::array::from_fn(|bits| e4m3(bits as u8).to_bits());
                Ok(Self::F16(
                    bytes
                        .iter()
                        .map(|&byte| halves[usize::from(byte)])
                        .collect::<Vec<_>>()
                        .into(),
                ))
            }
            // Eight bits that are the upper half of an f16.
            StoredDtype::F8E5M2 => Ok(Self::F16(
                bytes
                    .iter()
                    .map(|&byte| u16::from(byte) << 8)
                    .collect::<Vec<_>>()
                    .into(),
            )),
            blocks => Ok(Self::F32(dequantised(bytes, blocks)?.into())),
        }
    }

    /// Each row's numbers times its factor, or all of them times the only one, in single precision.
    pub(super) fn scaled(&self, factors: &[f32]) -> Self {
        let mut floats = self.floats();
        let row = (floats.len() / factors.len().max(1)).max(1);
        for (row, factor) in floats.chunks_mut(row).zip(factors) {
            row.iter_mut().for_each(|value| *value *= factor);
        }
        Self::F32(floats.into())
    }

    /// The numbers in the order of `shape`.
    fn gathered(&self, shape: &[usize], strides: &[usize]) -> Self {
        match self {
            Self::F32(values) => Self::F32(gather(values, shape, strides).into()),
            Self::F16(values) => Self::F16(gather(values, shape, strides).into()),
            Self::Bf16(values) => Self::Bf16(gather(values, shape, strides).into()),
        }
    }

    /// View of the numbers for the kernels.
    pub(crate) fn slice(&self) -> WeightSlice<'_> {
        match self {
            Self::F32(values) => WeightSlice::F32(values),
            Self::F16(bits) => WeightSlice::F16(bits.reinterpret_cast::<f16>()),
            Self::Bf16(bits) => WeightSlice::Bf16(bits.reinterpret_cast::<bf16>()),
        }
    }

    /// The numbers widened to single precision.
    pub(crate) fn floats(&self) -> Vec<f32> {
        match self.slice() {
            WeightSlice::F32(values) => values.to_vec(),
            WeightSlice::F16(values) => values.to_f32_vec(),
            WeightSlice::Bf16(values) => values.to_f32_vec(),
        }
    }

    /// Tensor of type `dtype` on `device`: straight from the file where the numbers are of that
    /// type, else converted on the CPU, since not every device converts every type and the smaller
    /// type uploads faster.
    pub(super) fn tensor(&self, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = match (self.slice(), dtype) {
            (WeightSlice::F32(values), DType::F32) => Tensor::from_slice(values, shape, device),
            (WeightSlice::F16(values), DType::F16) => Tensor::from_slice(values, shape, device),
            (WeightSlice::Bf16(values), DType::BF16) => Tensor::from_slice(values, shape, device),
            (WeightSlice::F32(values), DType::F16) => {
                Tensor::from_vec(Vec::<f16>::from_f32_slice(values), shape, device)
            }
            (WeightSlice::F32(values), DType::BF16) => {
                Tensor::from_vec(Vec::<bf16>::from_f32_slice(values), shape, device)
            }
            (WeightSlice::Bf16(_), DType::F16) => {
                Tensor::from_vec(Vec::<f16>::from_f32_slice(&self.floats()), shape, device)
            }
            (WeightSlice::F16(_), DType::BF16) => {
                Tensor::from_vec(Vec::<bf16>::from_f32_slice(&self.floats()), shape, device)
            }
            _ => Tensor::from_vec(self.floats(), shape, device)?.to_dtype(dtype),
        };
        Ok(tensor?)
    }

    /// Returns true if no number is NaN or infinite, which are the numbers whose exponent is all
    /// ones.
    pub(super) fn finite(&self) -> bool {
        let largest = |bits: &[u16], mask: u16| bits.iter().fold(0, |most, x| most.max(x & mask));
        match self {
            Self::F32(values) => {
                let mask = f32::INFINITY.to_bits();
                values
                    .iter()
                    .fold(0, |most, x| most.max(x.to_bits() & mask))
                    < mask
            }
            Self::F16(bits) => largest(bits, f16::INFINITY.to_bits()) < f16::INFINITY.to_bits(),
            Self::Bf16(bits) => largest(bits, bf16::INFINITY.to_bits()) < bf16::INFINITY.to_bits(),
        }
    }
}

/// The one number of `entry`, of any type but those in blocks.
#[allow(clippy::wildcard_enum_match_arm)] // Floats are read as everywhere.
pub(super) fn number(file: &[u8], entry: &Entry) -> Result<f64> {
    let bytes = file.get(entry.bytes.clone()).unwrap_or_default();
    let mut wide = [0; 8];
    let mut whole = || {
        wide.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        let empty = 64 - 8 * bytes.len().clamp(1, 8) as u32;
        (
            u64::from_le_bytes(wide),
            i64::from_le_bytes(wide) << empty >> empty,
        )
    };
    Ok(match entry.storage {
        StoredDtype::F64 => cast(bytes, f64::from_le_bytes)
            .first()
            .copied()
            .unwrap_or(f64::NAN),
        StoredDtype::I64 | StoredDtype::I32 | StoredDtype::I16 | StoredDtype::I8 => {
            whole().1 as f64
        }
        StoredDtype::U64
        | StoredDtype::U32
        | StoredDtype::U16
        | StoredDtype::U8
        | StoredDtype::Bool => whole().0 as f64,
        _ => Values::read(file, entry)?
            .floats()
            .first()
            .copied()
            .map_or(f64::NAN, f64::from),
    })
}

/// A number of 4 bits of exponent and 3 of mantissa, without infinities (Micikevicius et al. 2022,
/// "FP8 formats for deep learning"). Half precision holds all of them.
fn e4m3(bits: u8) -> f16 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f64::NAN,
        (0, _) => mantissa * 2f64.powi(-9),
        _ => (8.0 + mantissa) * 2f64.powi(exponent - 10),
    };
    f16::from_f64(if bits >> 7 == 1 {
        -magnitude
    } else {
        magnitude
    })
}

/// Bytes as numbers: in place where the machine is little-endian and the bytes are aligned, else
/// one by one.
fn cast<T: bytemuck::Pod, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) if cfg!(target_endian = "little") => Cow::Borrowed(numbers),
        _ => bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|chunk| read(*chunk))
            .collect::<Vec<_>>()
            .into(),
    }
}

/// The values of a tensor whose neighbours along each axis are `strides` apart, row by row.
fn gather<T: Copy>(values: &[T], shape: &[usize], strides: &[usize]) -> Vec<T> {
    let mut places = vec![0];
    for (&count, &stride) in shape.iter().zip(strides) {
        places = places
            .iter()
            .flat_map(|start| (0..count).map(move |i| start + i * stride))
            .collect();
    }
    // Invariant: an entry's strides stay within its bytes.
    places
        .into_iter()
        .filter_map(|place| values.get(place).copied())
        .collect()
}

/// The type in candle of a block-quantised type.
#[allow(clippy::wildcard_enum_match_arm)] // Most types have no blocks.
fn ggml_dtype(storage: StoredDtype) -> Option<GgmlDType> {
    Some(match storage {
        StoredDtype::Q4_0 => GgmlDType::Q4_0,
        StoredDtype::Q4_1 => GgmlDType::Q4_1,
        StoredDtype::Q5_0 => GgmlDType::Q5_0,
        StoredDtype::Q5_1 => GgmlDType::Q5_1,
        StoredDtype::Q8_0 => GgmlDType::Q8_0,
        StoredDtype::Q2K => GgmlDType::Q2K,
        StoredDtype::Q3K => GgmlDType::Q3K,
        StoredDtype::Q4K => GgmlDType::Q4K,
        StoredDtype::Q5K => GgmlDType::Q5K,
        StoredDtype::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

/// The values of whole blocks, which lie on a boundary of eight bytes or follow others that do.
fn dequantised(bytes: &[u8], storage: StoredDtype) -> Result<Vec<f32>> {
    let dtype = ggml_dtype(storage).ok_or_else(|| {
        Error::new(Kind::ModelFile, format!("has type {storage}, which sdgen does not compute with"))
            .hint("expected floats, or blocks such as q8_0 and q4_k; convert the file with the program that made it")
    })?;
    let count = bytes.len() / dtype.type_size() * dtype.block_size();
    let blocks = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, dtype)?;
    Ok(QTensor::new(blocks, count)?
        .dequantize(&Device::Cpu)?
        .to_vec1()?)
}

/// Values as the bytes of a type that can be written. Those in blocks are whole ones.
#[allow(clippy::wildcard_enum_match_arm)] // Types without blocks are refused there.
pub(crate) fn encoded(values: Vec<f32>, storage: StoredDtype) -> Result<Vec<u8>> {
    match storage {
        StoredDtype::F32 => Ok(values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()),
        StoredDtype::F16 => {
            if let Some(value) = values
                .iter()
                .find(|value| !f16::from_f32(**value).is_finite())
            {
                return Err(Error::new(
                    Kind::ModelFile,
                    format!("f16 does not hold the value {value}"),
                )
                .hint("use bf16 or f32"));
            }
            Ok(values
                .iter()
                .flat_map(|value| f16::from_f32(*value).to_le_bytes())
                .collect())
        }
        StoredDtype::Bf16 => Ok(values
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect()),
        blocks => {
            let dtype = ggml_dtype(blocks).ok_or_else(|| {
                Error::internal(format!("weights of type {blocks} are not written"))
            })?;
            let count = values.len();
            let tensor = QTensor::quantize(&Tensor::from_vec(values, count, &Device::Cpu)?, dtype)?;
            Ok(tensor.data()?.into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_lie_apart_are_gathered_row_by_row() {
        let bytes: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let entry = Entry {
            storage: StoredDtype::F32,
            shape: vec![2, 3],
            bytes: 0..24,
            strides: None,
        };
        let turned = Values::read(&bytes, &entry.transposed().unwrap()).unwrap();
        assert_eq!(turned.floats(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let row = Values::read(&bytes, &entry.rows(1..2).unwrap()).unwrap();
        assert_eq!(row.floats(), [3.0, 4.0, 5.0]);
    }

    /// Values checked against torch's float8_e4m3fn and float8_e5m2.
    #[test]
    fn numbers_of_eight_bits_are_widened() {
        let read = |bytes: &[u8], storage| {
            let entry = Entry {
                storage,
                shape: vec![bytes.len()],
                bytes: 0..bytes.len(),
                strides: None,
            };
            Values::read(bytes, &entry).unwrap().floats()
        };
        let bytes = [0x00, 0x01, 0x07, 0x08, 0x38, 0x39, 0xb8, 0x7e, 0xfe, 0x80];
        let e4m3 = [
            0.0,
            0.001953125,
            0.013671875,
            0.015625,
            1.0,
            1.125,
            -1.0,
            448.0,
            -448.0,
            -0.0,
        ];
        assert_eq!(read(&bytes, StoredDtype::F8E4M3), e4m3);
        let bytes = [0x00, 0x01, 0x04, 0x3c, 0x3d, 0xbc, 0x7b, 0xfb];
        let e5m2 = [
            0.0,
            2f32.powi(-16),
            2f32.powi(-14),
            1.0,
            1.25,
            -1.0,
            57344.0,
            -57344.0,
        ];
        assert_eq!(read(&bytes, StoredDtype::F8E5M2), e5m2);
        assert!(
            read(&[0x7f, 0xff], StoredDtype::F8E4M3)
                .iter()
                .all(|value| value.is_nan())
        );
        assert_eq!(
            read(&[0x7c, 0xfc], StoredDtype::F8E5M2),
            [f32::INFINITY, f32::NEG_INFINITY]
        );
    }

    #[test]
    fn a_file_of_torch_holds_the_values_that_it_was_given() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickles");
        let path = folder.join("checkpoint.ckpt");
        let directory = crate::tensor_file::ByteSource::Disk(path.clone())
            .directory("x")
            .unwrap();
        assert_eq!(
            (
                &*directory.metadata["global_step"],
                &*directory.metadata["epoch"]
            ),
            ("875000", "3")
        );
        let bytes = std::fs::read(path).unwrap();
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("checkpoint.json")).unwrap())
                .unwrap();
        let golden = golden["values"].as_object().unwrap();
        assert!(golden.keys().eq(directory.tensors.keys()));
        for (name, values) in golden.iter().filter(|(name, _)| *name != "whole") {
            let ours = Values::read(&bytes, &directory.tensors[name])
                .unwrap()
                .floats();
            let values: Vec<f32> = values
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap() as f32)
                .collect();
            assert_eq!(ours, values, "{name}");
        }
        assert!(Values::read(&bytes, &directory.tensors["whole"]).is_err());
    }

    #[test]
    fn storages_of_bytes_hold_numbers_of_eight_bits_and_leftovers_are_told() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/pickles/eight-bits.ckpt");
        let directory = crate::tensor_file::ByteSource::Disk(path.clone())
            .directory("x")
            .unwrap();
        let bytes = std::fs::read(path).unwrap();
        let read = |name: &str| Values::read(&bytes, &directory.tensors[name]);
        assert_eq!(
            read("e4m3").unwrap().floats(),
            [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
        );
        assert_eq!(read("e5m2").unwrap().floats(), [0.25, -3.0]);
        let error = read("complex").err().unwrap();
        assert!(
            error
                .to_string()
                .contains("has type c64, which sdgen does not compute with"),
            "{error}"
        );
        assert_eq!(
            directory.other_data,
            ["optimizer_states", "callbacks", "inner"]
        );
        assert_eq!(directory.metadata["global_step"], "7");
    }

    /// Values checked against torch's `item`.
    #[test]
    fn one_number_of_any_type_is_read() {
        let read = |storage, bytes: &[u8]| {
            number(
                bytes,
                &Entry {
                    storage,
                    shape: vec![],
                    bytes: 0..bytes.len(),
                    strides: None,
                },
            )
        };
        for (storage, bytes, value) in [
            (StoredDtype::I64, (-7i64).to_le_bytes().to_vec(), -7.0),
            (StoredDtype::I32, (-7i32).to_le_bytes().to_vec(), -7.0),
            (StoredDtype::I16, (-300i16).to_le_bytes().to_vec(), -300.0),
            (StoredDtype::I8, vec![0xf9], -7.0),
            (StoredDtype::U64, 7u64.to_le_bytes().to_vec(), 7.0),
            (StoredDtype::U16, 65535u16.to_le_bytes().to_vec(), 65535.0),
            (StoredDtype::U8, vec![200], 200.0),
            (StoredDtype::Bool, vec![1], 1.0),
            (StoredDtype::F64, 0.1f64.to_le_bytes().to_vec(), 0.1),
            (
                StoredDtype::F16,
                f16::from_f32(2.5).to_le_bytes().to_vec(),
                2.5,
            ),
            (StoredDtype::F8E5M2, vec![0x3c], 1.0),
        ] {
            assert_eq!(read(storage, &bytes).unwrap(), value, "{storage}");
        }
        assert!(read(StoredDtype::C64, &[0; 8]).is_err());
        assert!(read(StoredDtype::I64, &[]).unwrap_or(f64::NAN) == 0.0);
    }

    #[test]
    fn nan_and_infinity_are_found_in_every_type() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let half = [f16::from_f32(1.0).to_bits(), f16::from_f32(bad).to_bits()];
            let brain = [bf16::from_f32(1.0).to_bits(), bf16::from_f32(bad).to_bits()];
            assert!(!Values::F32(vec![1.0, bad].into()).finite());
            assert!(!Values::F16(half.to_vec().into()).finite());
            assert!(!Values::Bf16(brain.to_vec().into()).finite());
        }
        assert!(Values::F32(vec![f32::MAX, -f32::MAX, 0.0].into()).finite());
        assert!(Values::F16(vec![f16::MAX.to_bits(), f16::MIN.to_bits()].into()).finite());
    }

    /// Checked against stable-diffusion.cpp (tests/golden/blocks.py).
    #[test]
    fn every_type_is_read_as_stable_diffusion_cpp_reads_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blocks");
        let read = |name: &str| {
            let path = folder.join(name);
            let directory = crate::tensor_file::ByteSource::Disk(path.clone())
                .directory(name)
                .unwrap();
            let bytes = std::fs::read(path).unwrap();
            let values = |entry| Values::read(&bytes, entry).unwrap().floats();
            directory
                .tensors
                .iter()
                .map(|(name, entry)| (name.clone(), entry.storage, values(entry)))
                .collect::<Vec<_>>()
        };
        let (blocks, golden) = (read("blocks.gguf"), read("blocks.safetensors"));
        assert_eq!(blocks.len(), 12);
        for ((name, storage, values), (_, _, golden)) in blocks.iter().zip(&golden) {
            assert!(
                name.contains(&format!("_{storage}.").replace("_k.", "_K.")),
                "{name} is {storage}"
            );
            let far = values
                .iter()
                .zip(golden)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                values.len() == 512 && golden.len() == 512 && far <= 1e-6,
                "{storage}: {far}"
            );
        }
    }

    #[test]
    fn blocks_of_eight_bits_err_by_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) / 7.0).collect();
        let bytes = encoded(values.clone(), StoredDtype::Q8_0).unwrap();
        let back = dequantised(&bytes, StoredDtype::Q8_0).unwrap();
        for (block, back) in values.chunks(32).zip(back.chunks(32)) {
            let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
            // Half a step, and the rounding of the step itself to half precision.
            let most = largest / 127.0 * 0.5 + largest / 2048.0;
            assert!(block.iter().zip(back).all(|(a, b)| (a - b).abs() <= most));
        }
    }
}
