//! What candle leaves to others on CUDA: the allocator's pool, TensorFloat-32 where it costs
//! nothing, and cuDNN's arithmetic.
#![allow(unsafe_code)]

use candle_core::Tensor;
use candle_core::cuda::cudarc::driver::{result, sys};

use crate::error::Result;

/// The pool that tensors of device `index` are allocated from.
fn pool(index: usize) -> std::result::Result<sys::CUmemoryPool, result::DriverError> {
    let device = result::device::get(i32::try_from(index).unwrap_or(i32::MAX))?;
    // SAFETY: the device is one that the driver has just given.
    unsafe { result::device::get_default_mem_pool(device) }
}

/// Keeps memory that tensors leave for the tensors to come: the pool would give it back to the
/// driver at every synchronisation, which is once a step, and ask for it again.
pub(in crate::nn) fn keep_memory(index: usize) {
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    if let Ok(pool) = pool(index) {
        // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits. A card
        // without pools costs time alone.
        let _ = unsafe {
            result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast())
        };
    }
}

/// Gives what no tensor uses back to the driver.
pub(in crate::nn) fn trim_memory(index: usize) {
    if let Ok(pool) = pool(index) {
        // SAFETY: the pool is the device's own; what is in use stays.
        let _ = unsafe { result::mem_pool::trim_to(pool, 0) };
    }
}

/// a · b in single precision for numbers that have been halves: TensorFloat-32 has f16's ten bits
/// of mantissa, more than bf16's, and more exponent than f16. The switch is the program's; nobody
/// else computes on a device meanwhile.
pub(super) fn product_of_halves(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use candle_core::cuda::{gemm_reduced_precision_f32, set_gemm_reduced_precision_f32};
    let before = gemm_reduced_precision_f32();
    set_gemm_reduced_precision_f32(true);
    let product = a.matmul(b);
    set_gemm_reduced_precision_f32(before);
    Ok(product?)
}
