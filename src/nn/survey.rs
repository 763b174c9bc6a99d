//! Survey of this build and this machine: devices, instruction sets, cores and the automatic
//! choice.

use super::backend::{Backend, Choice};
use crate::device::{DeviceChoice, Dtype};
use crate::error::Result;
use crate::kernels::{Isa, physical_cores};

/// Hardware that can be used, and the choice for a request that names no device or data type.
pub(crate) struct Survey {
    /// Optional device features compiled into this build: `cuda`, `cudnn`, `flash-attn`, `metal`.
    pub(crate) features: Vec<&'static str>,
    /// Instruction sets of the processor, best first.
    pub(crate) instruction_sets: Vec<String>,
    /// Physical cores that this process may use.
    pub(crate) cores: usize,
    /// Result of `--device auto` and `--dtype auto`.
    pub(crate) choice: Result<Chosen>,
}

/// Device and data type of a request that names neither.
pub(crate) struct Chosen {
    pub(crate) device: &'static str,
    pub(crate) dtype: &'static str,
    /// Instruction set and threads, on the processor.
    pub(crate) processor: Option<String>,
    /// Reasons that no accelerator of this build is used; empty unless the device is the CPU.
    pub(crate) passed_over: Vec<String>,
}

/// Surveys build and machine; `isa` is the instruction set that the user asks for.
pub(crate) fn survey(isa: Option<&str>) -> Survey {
    let features = [
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("flash-attn", cfg!(feature = "flash-attn")),
        ("metal", cfg!(feature = "metal")),
    ];
    let choice = Choice {
        device: DeviceChoice::Auto,
        dtype: Dtype::Auto,
        threads: None,
        isa,
    };
    Survey {
        features: features
            .into_iter()
            .filter(|feature| feature.1)
            .map(|feature| feature.0)
            .collect(),
        instruction_sets: Isa::available().iter().map(ToString::to_string).collect(),
        cores: physical_cores(),
        choice: Backend::choose(&choice).map(|backend| chosen(&backend)),
    }
}

fn chosen(backend: &Backend) -> Chosen {
    let device = &backend.device;
    let name = if device.is_cpu() {
        "cpu"
    } else if device.is_cuda() {
        "cuda"
    } else {
        "metal"
    };
    let dtype = if device.is_cpu() {
        "f32"
    } else {
        backend.dtype.as_str()
    };
    let passed_over = backend.passed_over().to_vec();
    Chosen {
        device: name,
        dtype,
        processor: backend.processor(),
        passed_over,
    }
}
