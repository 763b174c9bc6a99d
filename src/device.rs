//! Compute settings of a request: device, data type, noise generator.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::named_enum::named_enum;

named_enum! {
    /// Random number generator of the noise.
    pub enum Rng("generator") {
        /// PyTorch's CPU generator: MT19937.
        Torch = "torch",
        /// PyTorch's CUDA generator: Philox 4x32-10.
        Philox = "philox",
    }
}

named_enum! {
    /// Data type of the networks.
    pub enum Dtype("data type") {
        /// The best for the device.
        Auto = "auto",
        /// Single precision, the reference.
        F32 = "f32",
        /// IEEE half precision.
        F16 = "f16",
        /// bfloat16.
        Bf16 = "bf16",
        /// 8-bit weights and activations, on the CPU.
        Int8 = "int8",
    }
}

/// Device of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The best device that is present.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card by number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        match (name, index.parse::<usize>(), text.contains(':')) {
            ("auto", _, false) => Ok(Self::Auto),
            ("cpu", _, false) => Ok(Self::Cpu),
            ("metal", _, false) => Ok(Self::Metal),
            ("cuda", Ok(index), _) => Ok(Self::Cuda(index)),
            _ => Err(Error::unknown(
                "device",
                "device",
                text,
                ["auto", "cpu", "cuda", "cuda:N", "metal"],
            )),
        }
    }
}
