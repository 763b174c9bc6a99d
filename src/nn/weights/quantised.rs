//! Block-quantised types of ggml (GGUF), through candle: to single precision and back.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use half::{bf16, f16};

use crate::error::{Error, Kind, Result};
use crate::tensor_file::StoredDtype;

/// The type in candle of a block-quantised type.
#[allow(clippy::wildcard_enum_match_arm)] // Most types have no blocks.
fn dtype(storage: StoredDtype) -> Option<GgmlDType> {
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
///
/// # Errors
/// A type that is no float.
pub(super) fn dequantised(bytes: &[u8], storage: StoredDtype) -> Result<Vec<f32>> {
    let dtype = dtype(storage).ok_or_else(|| {
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
///
/// # Errors
/// A value that half precision does not hold; a type that cannot be written.
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
            let dtype = dtype(blocks).ok_or_else(|| {
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
    use std::path::Path;

    use super::*;
    use crate::nn::weights::Values;
    use crate::tensor_file::ByteSource;

    /// Checked against stable-diffusion.cpp (tests/golden/blocks.py).
    #[test]
    fn every_type_is_read_as_stable_diffusion_cpp_reads_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blocks");
        let read = |name: &str| {
            let path = folder.join(name);
            let directory = ByteSource::Disk(path.clone()).directory(name).unwrap();
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
