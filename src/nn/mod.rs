//! Layers, kernels, weights and devices: the only module that knows memory layouts, features of
//! candle and hardware.

mod attention;
mod backend;
mod conv;
mod embed;
mod hardware;
mod linear;
mod map;
mod memory;
mod nan_trace;
mod norm;
mod shapes;
mod tensor;
mod token_merge;
mod weights;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(crate) use crate::kernels::{ArenaSize, CountedBuffer, return_large_buffers};
pub(crate) use attention::{CrossAttention, KeyValues, Projections, SelfAttention};
pub(crate) use backend::{Backend, BackendOptions};
pub(crate) use conv::Conv2d;
pub(crate) use embed::{Embedding, ExtraRows, Sinusoid};
pub(crate) use hardware::{Hardware, detect_hardware, operations_per_second};
pub(crate) use linear::{Geglu, Linear};
pub(crate) use map::{ActivationDtype, FeatureMap, Tokens};
pub(crate) use memory::{available_memory, peak_resident_memory, resident_memory};
pub(crate) use nan_trace::{first_nonfinite_layer, is_finite};
pub(crate) use norm::{GroupNorm, LayerNorm};
pub(crate) use shapes::{Activation, ConvShape};
pub(crate) use token_merge::TokenMerge;
pub(crate) use weights::{Patch, Weights, encoded, explain_lost_files};

use crate::error::{Error, Kind, Result};

/// Runs `work`, with an out-of-memory condition returned as an ordinary error.
pub(crate) fn within_memory<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is left half done is dropped: networks hold no state, buffers go back to their arena.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| match payload
        .downcast::<crate::kernels::OutOfMemory>(
    ) {
        Ok(refused) => Err(Error::new(
            Kind::Device,
            format!("memory ran out: the system refuses {refused} more"),
        )
        .hint("try `--memory low`, `--vae-tiling on`, a smaller size or `--batch-size 1`")),
        Err(payload) => resume_unwind(payload),
    })
}

impl From<candle_core::Error> for Error {
    /// Converts an error of candle: failed arithmetic is a bug here, unless the device reports that
    /// it ran out of memory.
    fn from(error: candle_core::Error) -> Self {
        let text = first_line(&error);
        let lower = text.to_lowercase();
        if REFUSALS.iter().any(|refusal| lower.contains(refusal)) {
            return Self::new(Kind::Device, format!("the device ran out of memory: {text}")).hint(
                "try `--dtype f16`, `--memory low`, `--vae-tiling on`, a smaller size or `--batch-size 1`",
            );
        }
        Self::internal(format!("tensor arithmetic failed: {text}"))
    }
}

/// Fragments, in lower case, of the out-of-memory messages of drivers and libraries:
/// `CUDA_ERROR_OUT_OF_MEMORY` of CUDA, `CUBLAS_STATUS_ALLOC_FAILED` of cuBLAS and its counterpart
/// of cuDNN, and the text of candle on Metal.
const REFUSALS: &[&str] = &[
    "out of memory",
    "out_of_memory",
    "alloc_failed",
    "failed to create metal resource",
];

/// First line of candle's message, without the backtrace that may follow.
fn first_line(error: &candle_core::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of cudarc 0.19 for the three libraries, and of candle-metal-kernels.
    #[test]
    fn a_device_that_runs_out_of_memory_says_what_saves_some() {
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "CudnnError(CUDNN_STATUS_ALLOC_FAILED)",
            "Failed to create metal resource: Buffer",
        ] {
            let error = Error::from(candle_core::Error::Cuda(text.into()).bt());
            assert_eq!(error.kind(), Kind::Device, "{text}");
            assert!(error.message().ends_with(text), "{error}");
            let hints = error.hints().join(" ");
            for flag in [
                "--dtype f16",
                "--memory low",
                "--vae-tiling on",
                "--batch-size 1",
            ] {
                assert!(hints.contains(flag), "{text}: {hints}");
            }
        }
        let other = Error::from(candle_core::Error::Cuda("CUDA_ERROR_LAUNCH_FAILED".into()));
        assert_eq!(other.kind(), Kind::Internal);
    }

    /// Uses the text of candle's own error.
    #[cfg(feature = "cuda")]
    #[test]
    fn the_driver_is_understood() {
        use candle_core::cuda::WrapErr;
        use candle_core::cuda::cudarc::driver::{DriverError, sys::CUresult};
        let refused: std::result::Result<(), _> =
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
        assert_eq!(Error::from(refused.w().unwrap_err()).kind(), Kind::Device);
    }
}
