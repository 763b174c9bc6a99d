//! Layers, kernels, weights and devices: the one place that knows memory layouts, candle features and hardware.

mod attention;
mod backend;
mod conv;
pub(crate) mod cpu;
#[doc(hidden)]
pub use cpu::bench as kernels;
mod embed;
mod linear;
mod map;
mod memory;
mod merge;
mod norm;
mod survey;
mod tensor;
mod token_merge;
mod watch;
mod weights;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(crate) use attention::{CrossAttention, KeyValues, Projections, SelfAttention};
pub(crate) use backend::{Backend, Choice};
pub(crate) use conv::{Conv2d, ConvShape};
pub(crate) use cpu::{Entry, Ledger, return_large_buffers};
pub(crate) use embed::{Embedding, Extra, Sinusoid};
pub(crate) use linear::{Activation, Geglu, Linear};
pub(crate) use map::{FeatureMap, Tokens, Width};
pub(crate) use memory::available as available_memory;
pub(crate) use merge::Merge;
pub(crate) use norm::{GroupNorm, LayerNorm};
pub(crate) use survey::{Survey, survey};
pub(crate) use token_merge::TokenMerge;
pub(crate) use watch::{first_broken, is_finite};
pub(crate) use weights::{Weights, encoded, explain_lost_files};

use crate::error::{Error, Kind, Result};

/// What `work` gives; memory that ran out on the way is an error like any other.
///
/// # Errors
/// Those of `work`; `Kind::Device` when the system refuses memory.
pub(crate) fn within_memory<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is left half done is dropped: networks hold no state, buffers go back to their arena.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        match payload.downcast::<cpu::OutOfMemory>() {
            Ok(refused) => {
                Err(Error::new(Kind::Device, format!("memory ran out: the system refuses {refused} more"))
                    .hint("try `--memory low`, `--vae-tiling on`, a smaller size or `--batch-size 1`"))
            }
            Err(payload) => resume_unwind(payload),
        }
    })
}

impl From<candle_core::Error> for Error {
    /// Arithmetic that fails is a bug here, unless the device says that it ran out of memory.
    fn from(error: candle_core::Error) -> Self {
        let text = first_line(&error);
        let lower = text.to_lowercase();
        if lower.contains("out of memory") || lower.contains("out_of_memory") {
            return Self::new(Kind::Device, format!("the device ran out of memory: {text}"))
                .hint("use a smaller size or `--batch-size 1`");
        }
        Self::internal(format!("tensor arithmetic failed: {text}"))
    }
}

/// What candle says without the backtrace that may follow.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
