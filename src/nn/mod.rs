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
mod norm;
mod survey;
mod tensor;
mod weights;

pub(crate) use attention::{CrossAttention, KeyValues, Projections, SelfAttention};
pub(crate) use backend::{Backend, Choice};
pub(crate) use conv::{Conv2d, ConvShape};
pub(crate) use embed::{Embedding, Sinusoid};
pub(crate) use linear::{Activation, Geglu, Linear};
pub(crate) use map::{FeatureMap, Tokens, Width};
pub(crate) use norm::{GroupNorm, LayerNorm};
pub(crate) use survey::{Survey, survey};
pub(crate) use weights::{Weights, encoded};

use crate::error::{Error, Kind};

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
