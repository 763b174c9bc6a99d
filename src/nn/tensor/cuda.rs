//! CUDA settings outside of candle: the memory pool of the allocator, TensorFloat-32 where it costs
//! no accuracy, and cuDNN's convolutions.
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

/// Keeps freed memory in the pool for later tensors: by default the pool would return it to the
/// driver at every synchronisation, which is once a step, and request it again.
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

/// Returns unused memory of the pool to the driver.
pub(in crate::nn) fn trim_memory(index: usize) {
    if let Ok(pool) = pool(index) {
        // SAFETY: the pool is the device's own; what is in use stays.
        let _ = unsafe { result::mem_pool::trim_to(pool, 0) };
    }
}

/// a · b in single precision for numbers that were f16 or bf16: TensorFloat-32 has the ten bits of
/// mantissa of f16, more than bf16, and more exponent than f16. The switch is global to the
/// program; no other thread computes on a device meanwhile.
pub(super) fn product_of_halves(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use candle_core::cuda::{gemm_reduced_precision_f32, set_gemm_reduced_precision_f32};
    let before = gemm_reduced_precision_f32();
    set_gemm_reduced_precision_f32(true);
    let product = a.matmul(b);
    set_gemm_reduced_precision_f32(before);
    Ok(product?)
}
