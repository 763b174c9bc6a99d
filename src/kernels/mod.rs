//! Owns the SIMD kernels of the CPU: pure functions and packed weights over slices, f32 activations
//! channels-last; no tensor type.
#![allow(unsafe_code)] // The one place for SIMD; every unsafe block has its SAFETY line.

mod arena;
mod attention;
#[doc(hidden)]
pub mod bench;
mod conv;
mod conv_direct;
mod conv_input;
mod cores;
mod epilogue;
mod gemm;
mod gemm_blocks;
mod geometry;
mod isa;
mod math;
mod norm;
mod panels;
mod pool;
mod rows;
mod simd;
#[cfg(target_arch = "x86_64")]
mod simd_avx2;
#[cfg(target_arch = "x86_64")]
mod simd_avx512;
#[cfg(target_arch = "aarch64")]
mod simd_neon;
mod simd_portable;
#[cfg(test)]
mod testing;
mod tile;
mod winograd;
mod winograd_kernels;
mod winograd_tiles;

pub(crate) use arena::{
    Arena, ArenaSize, Buffer, CountedBuffer, OutOfMemory, return_large_buffers,
};
pub(crate) use attention::{AttentionShape, Mask, PackedKv, attend};
pub(crate) use conv::{ConvEpilogue, PackedConv, Passes, plan};
pub(crate) use conv_input::{Affine, ConvInput};
pub(crate) use cores::physical_cores;
pub(crate) use epilogue::{Epilogue, Output, Residual};
pub(crate) use gemm::{Gating, LinearInput, LinearWeights, PackedLinear};
pub(crate) use geometry::{ConvWeights, Geometry, Padding};
pub(crate) use isa::{ISA_NAMES, Isa};
pub(crate) use math::{Activation, activate};
pub(crate) use norm::{GroupNorm, LayerNorm, group_norm, layer_norm, transform};
pub(crate) use panels::{Precision, WeightSlice};
pub(crate) use pool::Pool;
pub(crate) use rows::Rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Resources of a kernel: an instruction set, threads, and an arena of buffers. Cloning shares all
/// three.
#[derive(Clone)]
pub(crate) struct Cpu {
    isa: Isa,
    pool: Arc<Pool>,
    arena: Arena,
    work: Arc<AtomicU64>,
}

impl Cpu {
    /// A context with `threads` threads of its own; [`physical_cores`] is the usual number.
    pub(crate) fn new(isa: Isa, threads: usize) -> Cpu {
        Cpu {
            isa,
            pool: Arc::new(Pool::new(threads)),
            arena: Arena::new(),
            work: Arc::default(),
        }
    }

    /// The instruction set of kernels and of weights packed from now on.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Counts `multiply_adds` of a kernel.
    fn count_work(&self, multiply_adds: usize) {
        self.work
            .fetch_add(2 * multiply_adds as u64, Ordering::Relaxed);
    }

    /// Arithmetic operations of convolutions, products and attention so far. Those of Winograd
    /// count as the direct convolution that they replace.
    pub(crate) fn work(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// The buffers.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}
