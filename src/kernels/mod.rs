//! Owns the SIMD kernels of the CPU: pure functions and packed weights over slices, f32 activations
//! channels-last; no tensor type.
#![allow(unsafe_code)] // The one place for SIMD; every unsafe block has its SAFETY line.

mod allocator;
mod attention;
mod attention_block;
#[doc(hidden)]
pub mod bench;
pub(crate) mod cgroup;
mod conv;
mod conv_direct;
mod conv_input;
mod conv_plan;
mod cores;
mod epilogue;
mod gemm;
mod gemm_blocks;
mod isa;
mod ledger;
mod math;
mod norm;
mod panels;
mod pool;
mod rows;
mod scratch;
mod simd;
#[cfg(target_arch = "x86_64")]
mod simd_avx2;
#[cfg(target_arch = "x86_64")]
mod simd_avx512;
#[cfg(target_arch = "aarch64")]
mod simd_neon;
mod simd_portable;
mod source;
#[cfg(test)]
mod testing;
mod tile;
mod winograd;
mod winograd_kernels;
mod winograd_tiles;

pub(crate) use allocator::return_large_buffers;
pub(crate) use attention::{AttentionShape, Mask, PackedKv, attend};
pub(crate) use conv::{ConvEpilogue, ConvWeights, Geometry, PackedConv, Padding};
pub(crate) use conv_input::{Affine, ConvInput};
pub(crate) use conv_plan::{Passes, plan};
pub(crate) use cores::physical_cores;
pub(crate) use epilogue::{Epilogue, Output, Residual};
pub(crate) use gemm::{Gating, LinearInput, LinearWeights, PackedLinear};
pub(crate) use isa::{ISA_NAMES, Isa};
pub(crate) use ledger::{Entry, Ledger};
pub(crate) use math::{Activation, activate};
pub(crate) use norm::{GroupNorm, LayerNorm, group_norm, layer_norm, transform};
pub(crate) use pool::Pool;
pub(crate) use rows::Rows;
pub(crate) use scratch::{Buffer, OutOfMemory, Scratch};
pub(crate) use source::{Precision, WeightSlice};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Resources of a kernel: an instruction set, threads, and scratch memory. Cloning shares all
/// three.
#[derive(Clone)]
pub(crate) struct Cpu {
    isa: Isa,
    pool: Arc<Pool>,
    scratch: Scratch,
    work: Arc<AtomicU64>,
}

impl Cpu {
    /// A context with `threads` threads of its own; [`physical_cores`] is the usual number.
    pub(crate) fn new(isa: Isa, threads: usize) -> Cpu {
        Cpu {
            isa,
            pool: Arc::new(Pool::new(threads)),
            scratch: Scratch::new(),
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
    fn asked(&self, multiply_adds: usize) {
        self.work
            .fetch_add(2 * multiply_adds as u64, Ordering::Relaxed);
    }

    /// Arithmetic operations of convolutions, products and attention so far. Those of Winograd
    /// count as the direct convolution that they replace.
    pub(crate) fn work(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// The buffers.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}
