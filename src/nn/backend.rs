//! Device, precision and threads of the networks: the choice of a request against the abilities of
//! this build and this machine.

use std::sync::Arc;

#[cfg(feature = "cuda")]
use candle_core::DeviceLocation;
use candle_core::{DType, Device, Tensor};

use crate::device::{DeviceChoice, Dtype};
use crate::error::{Error, Kind, Result};
use crate::kernels::{Cpu, ISA_NAMES, Isa, Precision, physical_cores};

/// A device and the arithmetic on it. Cloning shares threads and buffers.
#[derive(Clone)]
pub(crate) struct Backend {
    /// Device of latents and noise.
    pub(crate) device: Device,
    /// Precision of tensors on a device other than the CPU.
    pub(crate) dtype: DType,
    /// Our own kernels; `None` on other devices.
    pub(super) host: Option<HostBackend>,
    /// True if convolutions in single precision may round their operands to TensorFloat-32, which
    /// has the mantissa of f16.
    pub(super) tf32: bool,
    /// Reasons that `--device auto` chose the CPU, one for each device that this build supports and
    /// this machine lacks.
    passed_over: Arc<[String]>,
}

/// Kernels and precision of the CPU.
#[derive(Clone)]
pub(super) struct HostBackend {
    pub(super) cpu: Cpu,
    pub(super) precision: Precision,
}

/// Options that select a backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackendOptions<'a> {
    pub(crate) device: DeviceChoice,
    pub(crate) dtype: Dtype,
    /// Threads on the CPU; all physical cores when absent.
    pub(crate) threads: Option<usize>,
    /// An instruction set to use instead of the best (`SDGEN_CPU`).
    pub(crate) isa: Option<&'a str>,
}

impl Backend {
    /// The backend of a request.
    pub(crate) fn choose(options: &BackendOptions<'_>) -> Result<Self> {
        let (device, passed_over) = match options.device {
            DeviceChoice::Auto => best(),
            DeviceChoice::Cpu => (Device::Cpu, Arc::default()),
            DeviceChoice::Cuda(index) => (cuda(index)?, Arc::default()),
            DeviceChoice::Metal => (metal()?, Arc::default()),
        };
        if !device.is_cpu() {
            return Ok(Self {
                device,
                dtype: tensor_dtype(options.dtype)?,
                host: None,
                tf32: false,
                passed_over,
            });
        }
        let isa = match options.isa {
            None => Isa::detect(),
            Some(name) => Isa::parse(name).ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("SDGEN_CPU: unknown instruction set `{name}`"),
                )
                .hint(format!(
                    "expected one of {}, as far as this machine has it",
                    ISA_NAMES.join(", ")
                ))
            })?,
        };
        let precision = match options.dtype {
            Dtype::Auto | Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16Weights,
            Dtype::Bf16 => Precision::Bf16,
            Dtype::Int8 => Precision::Int8,
        };
        let cpu = Cpu::new(isa, options.threads.unwrap_or_else(physical_cores));
        let host = HostBackend { cpu, precision };
        Ok(Self {
            device,
            dtype: DType::F32,
            host: Some(host),
            tf32: false,
            passed_over,
        })
    }

    /// The processor at full precision, for tests.
    #[cfg(test)]
    pub(crate) fn reference() -> Self {
        let cpu = Cpu::new(Isa::detect(), physical_cores());
        let host = HostBackend {
            cpu,
            precision: Precision::F32,
        };
        Self {
            host: Some(host),
            ..Self::tensors()
        }
    }

    /// candle's own operations on the CPU: to read weights without packing them, and for tests of
    /// the path that other devices take.
    pub(crate) fn tensors() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            host: None,
            tf32: false,
            passed_over: Arc::default(),
        }
    }

    /// Reasons that `--device auto` chose the CPU, one for each device that this build supports and
    /// this machine lacks.
    pub(crate) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Returns true if activations are f16, whose largest value is 65504.
    pub(crate) fn overflows(&self) -> bool {
        self.host.is_none() && self.dtype == DType::F16
    }

    /// The same backend for networks that suffer from 8-bit arithmetic (text encoders, the
    /// autoencoder): int8 becomes bf16.
    pub(crate) fn no_int8(&self) -> Self {
        let mut backend = self.clone();
        if let Some(host) = &mut backend.host
            && host.precision == Precision::Int8
        {
            host.precision = Precision::Bf16;
        }
        backend
    }

    /// Returns true for the CPU, whose memory can be estimated.
    pub(crate) fn is_host(&self) -> bool {
        self.host.is_some()
    }

    /// The same backend in single precision; `None` where it computes in single precision already.
    /// After half precision on a device the range is wanted, not more digits, so that
    /// TensorFloat-32 is allowed.
    pub(crate) fn full_precision(&self) -> Option<Self> {
        let mut backend = self.clone();
        match &mut backend.host {
            Some(host) if host.precision != Precision::F32 => host.precision = Precision::F32,
            None if self.dtype != DType::F32 => (backend.dtype, backend.tf32) = (DType::F32, true),
            Some(_) | None => return None,
        }
        Some(backend)
    }

    /// `values` as a tensor of `shape` on the device.
    pub(crate) fn upload(
        &self,
        values: Vec<f32>,
        shape: impl candle_core::shape::ShapeWithOneHole,
    ) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    /// Description of instruction set and threads of the CPU; `None` on other devices.
    pub(crate) fn processor(&self) -> Option<String> {
        self.host
            .as_ref()
            .map(|host| format!("{}, {} threads", host.cpu.isa(), host.cpu.pool().threads()))
    }

    /// Arithmetic operations asked for so far, as far as they are counted.
    pub(crate) fn work(&self) -> u64 {
        self.host.as_ref().map_or(0, |host| host.cpu.work())
    }

    /// Returns memory that loading left behind to the system.
    pub(crate) fn trim(&self) {
        if let Some(host) = &self.host {
            host.cpu.arena().trim();
        }
        #[cfg(feature = "cuda")]
        if let DeviceLocation::Cuda { gpu_id } = self.device.location() {
            super::tensor::cuda::trim_memory(gpu_id);
        }
    }
}

fn tensor_dtype(dtype: Dtype) -> Result<DType> {
    match dtype {
        Dtype::F32 => Ok(DType::F32),
        Dtype::F16 | Dtype::Auto => Ok(DType::F16),
        Dtype::Bf16 => Ok(DType::BF16),
        Dtype::Int8 => Err(
            Error::expected("dtype", "f32, f16 or bf16 on this device", dtype)
                .hint("int8 is for `--device cpu`"),
        ),
    }
}

/// The best device, and the reasons that the better ones of this build cannot be used.
fn best() -> (Device, Arc<[String]>) {
    let mut passed_over = Vec::new();
    let known = [
        cfg!(feature = "cuda").then(|| cuda(0)),
        cfg!(feature = "metal").then(metal),
    ];
    for device in known.into_iter().flatten() {
        match device {
            Ok(device) => return (device, Arc::default()),
            Err(error) => passed_over.push(error.to_string()),
        }
    }
    (Device::Cpu, passed_over.into())
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    let device = Device::new_cuda(index).map_err(|error| {
        let text = super::first_line(&error);
        let known = CUDA_HINTS.iter().find(|(code, _)| text.contains(code));
        Error::new(Kind::Device, format!("no CUDA device {index}: {text}"))
            .hint(known.map_or("check the driver with `nvidia-smi`", |(_, hint)| hint))
            .hint("`--device cpu` needs none")
    })?;
    super::tensor::cuda::keep_memory(index);
    Ok(device)
}

/// Hints for errors of the CUDA driver (CUDA Driver API, `CUresult`), by name.
#[cfg(feature = "cuda")]
const CUDA_HINTS: &[(&str, &str)] = &[
    (
        "CUDA_ERROR_NO_DEVICE",
        "the driver sees no GPU: check `nvidia-smi` and CUDA_VISIBLE_DEVICES",
    ),
    (
        "CUDA_ERROR_INVALID_DEVICE",
        "there are fewer GPUs than that: `nvidia-smi -L` lists them, from 0",
    ),
    (
        "CUDA_ERROR_STUB_LIBRARY",
        "the program found a stub of libcuda.so.1 in place of the driver's own",
    ),
    (
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "the driver's parts are of different versions: restart the machine",
    ),
    (
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        "the driver is older than CUDA 13: update it",
    ),
    (
        "CUDA_ERROR_INVALID_PTX",
        "the GPU is older than what this program was built for: build it with its CUDA_COMPUTE_CAP",
    ),
    (
        "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "the GPU is another than what this program was built for: build it with its CUDA_COMPUTE_CAP",
    ),
    (
        "CUDA_ERROR_DEVICES_UNAVAILABLE",
        "another program has the GPU for itself",
    ),
    (
        "CUDA_ERROR_OUT_OF_MEMORY",
        "other programs hold the GPU's memory: `nvidia-smi` lists them",
    ),
];

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(missing("CUDA", "cuda"))
}

#[cfg(feature = "metal")]
fn metal() -> Result<Device> {
    Device::new_metal(0).map_err(|error| {
        Error::new(
            Kind::Device,
            format!("no Metal device: {}", super::first_line(&error)),
        )
        .hint("`--device cpu` needs none")
    })
}

#[cfg(not(feature = "metal"))]
fn metal() -> Result<Device> {
    Err(missing("Metal", "metal"))
}

#[cfg(not(all(feature = "cuda", feature = "metal")))]
fn missing(name: &str, feature: &str) -> Error {
    Error::new(
        Kind::Device,
        format!("this build of sdgen has no {name} support"),
    )
    .hint(format!(
        "build it with `cargo build --release --features {feature}`, or use `--device cpu`"
    ))
}
