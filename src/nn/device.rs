//! Which device and which precision: the choice of a request against what this build and this machine have.

use candle_core::{DType, Device};

use crate::error::{Error, Kind, Result};
use crate::request::{DeviceChoice, Dtype};

/// Where and in which precision networks run.
#[derive(Clone, Debug)]
pub(crate) struct Compute {
    /// The device.
    pub(crate) device: Device,
    /// Precision of activations.
    pub(crate) dtype: DType,
}

impl Compute {
    /// The device and precision of a request.
    ///
    /// # Errors
    /// A device that this build or this machine does not have; a precision that it cannot compute in.
    pub(crate) fn choose(device: DeviceChoice, dtype: Dtype) -> Result<Self> {
        let device = match device {
            DeviceChoice::Auto => best(),
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda(index) => cuda(index)?,
            DeviceChoice::Metal => metal()?,
        };
        let dtype = match (dtype, device.is_cpu()) {
            (Dtype::F32, _) | (Dtype::Auto, true) => DType::F32,
            (Dtype::F16, false) | (Dtype::Auto, false) => DType::F16,
            (Dtype::Bf16, false) => DType::BF16,
            (Dtype::F16 | Dtype::Bf16, true) => {
                return Err(Error::expected("dtype", "f32 on the CPU", dtype)
                    .hint("leave `--dtype` away, or use f32; 16-bit weights load all the same"));
            }
        };
        Ok(Self { device, dtype })
    }
}

fn best() -> Device {
    cuda(0).or_else(|_| metal()).unwrap_or(Device::Cpu)
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    Device::new_cuda(index).map_err(|e| {
        Error::new(Kind::Device, format!("no CUDA device {index}"))
            .source(e)
            .hint("check the driver with `nvidia-smi`, or use `--device cpu`")
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(missing("CUDA", "cuda"))
}

#[cfg(feature = "metal")]
fn metal() -> Result<Device> {
    Device::new_metal(0)
        .map_err(|e| Error::new(Kind::Device, "no Metal device").source(e).hint("use `--device cpu`"))
}

#[cfg(not(feature = "metal"))]
fn metal() -> Result<Device> {
    Err(missing("Metal", "metal"))
}

#[cfg(not(all(feature = "cuda", feature = "metal")))]
fn missing(name: &str, feature: &str) -> Error {
    Error::new(Kind::Device, format!("this build of sdgen has no {name} support"))
        .hint(format!("build it with `cargo build --release --features {feature}`, or use `--device cpu`"))
}
