//! Abilities of this build and this machine: devices, instruction sets, cores, the automatic choice
//! and the processor's speed.

use std::time::{Duration, Instant};

use super::backend::{Backend, BackendOptions};
use crate::device::{DeviceChoice, Dtype};
use crate::error::Result;
use crate::kernels::{
    Epilogue, Gating, Isa, LinearInput, LinearWeights, Output, PackedLinear, Rows, WeightSlice,
    physical_cores,
};

/// Hardware that can be used, and the choice for a request that names no device or data type.
pub(crate) struct Hardware {
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

/// Looks at build and machine; `isa` is the instruction set that the user asks for.
pub(crate) fn detect_hardware(isa: Option<&str>) -> Hardware {
    let features = [
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("flash-attn", cfg!(feature = "flash-attn")),
        ("metal", cfg!(feature = "metal")),
    ];
    let options = BackendOptions {
        device: DeviceChoice::Auto,
        dtype: Dtype::Auto,
        threads: None,
        isa,
    };
    Hardware {
        features: features
            .into_iter()
            .filter(|feature| feature.1)
            .map(|feature| feature.0)
            .collect(),
        instruction_sets: Isa::available().iter().map(ToString::to_string).collect(),
        cores: physical_cores(),
        choice: Backend::choose(&options).map(|backend| chosen(&backend)),
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

/// Inputs and outputs of the layer, as in the middle of a UNet.
const CHANNELS: usize = 640;
/// Tokens of the input.
const TOKENS: usize = 1024;
/// Duration of the measurement; the fastest run counts.
const MEASURED: Duration = Duration::from_millis(300);

/// Arithmetic operations per second, measured on a linear layer of made-up numbers; `None` on devices
/// other than the CPU.
pub(crate) fn operations_per_second(backend: &Backend) -> Option<f64> {
    let host = backend.host.as_ref()?;
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i % 17) as f32 * 0.01 - 0.08)
            .collect::<Vec<f32>>()
    };
    let (weights, x) = (numbers(CHANNELS * CHANNELS), numbers(TOKENS * CHANNELS));
    let matrices = [WeightSlice::F32(&weights)];
    let packing = LinearWeights {
        matrices: &matrices,
        inputs: CHANNELS,
        bias: None,
        gating: Gating::None,
    };
    let layer = PackedLinear::pack(
        &host.cpu,
        &packing,
        host.precision.for_layer(CHANNELS * CHANNELS),
    );
    let mut out = vec![0.0; TOKENS * CHANNELS];
    let rows = [Rows::new(&x, CHANNELS)];
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < MEASURED {
        let run = Instant::now();
        let input = LinearInput::F32(&rows);
        layer.forward(
            &host.cpu,
            TOKENS,
            input,
            Epilogue::default(),
            Output::F32(&mut out),
        );
        best = best.min(run.elapsed());
    }
    Some((2 * TOKENS * CHANNELS * CHANNELS) as f64 / best.as_secs_f64())
}
