//! ggml's types in blocks, through candle: to single precision and back.

use std::borrow::Cow;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};

use crate::checkpoint::Storage;
use crate::error::{Error, Kind, Result};

/// candle's name of a type in blocks.
#[allow(clippy::wildcard_enum_match_arm)] // Most types have no blocks.
fn dtype(storage: Storage) -> Option<GgmlDType> {
    Some(match storage {
        Storage::Q4_0 => GgmlDType::Q4_0,
        Storage::Q4_1 => GgmlDType::Q4_1,
        Storage::Q5_0 => GgmlDType::Q5_0,
        Storage::Q5_1 => GgmlDType::Q5_1,
        Storage::Q8_0 => GgmlDType::Q8_0,
        Storage::Q2K => GgmlDType::Q2K,
        Storage::Q3K => GgmlDType::Q3K,
        Storage::Q4K => GgmlDType::Q4K,
        Storage::Q5K => GgmlDType::Q5K,
        Storage::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

/// The values of whole blocks, which lie on a boundary of eight bytes or follow others that do.
///
/// # Errors
/// A type that is no float.
pub(super) fn dequantised(bytes: &[u8], storage: Storage) -> Result<Vec<f32>> {
    let dtype = dtype(storage).ok_or_else(|| {
        Error::new(Kind::ModelFile, format!("has type {storage}, expected floats or their blocks"))
    })?;
    let count = bytes.len() / dtype.type_size() * dtype.block_size();
    let blocks = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, dtype)?;
    Ok(QTensor::new(blocks, count)?.dequantize(&Device::Cpu)?.to_vec1()?)
}
