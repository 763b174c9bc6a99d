//! cuDNN's convolution with sums in single precision. candle's own call has cuDNN add up f16 in
//! f16, where a sum over thousands of products loses bits and may overflow, lets it round f32 to
//! TensorFloat-32, and fills the workspace with zeros before every call.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::cudnn::sys::{
    cudnnConvolutionFwdAlgo_t as Algorithm, cudnnConvolutionMode_t as Mode,
    cudnnMathType_t as MathType, cudnnTensorFormat_t as Format,
};
use candle_core::cuda::cudarc::cudnn::{ConvForward, Cudnn, CudnnDataType};
use candle_core::cuda::cudarc::driver::DeviceRepr;
use candle_core::cuda::{CudaDType, CudaDevice, CudaStorage, DeviceId};
use candle_core::{CpuStorage, CustomOp2, DType, Error, Layout, Result, Shape, WithDType, bail};
use half::{bf16, f16};

/// Workspace in bytes from which on the algorithm that takes little is used.
const WORKSPACE: usize = 1 << 30;

/// The convolution of x `[b, in, h, w]` with kernels `[out, in, k, k]`, both without gaps.
pub(super) struct Convolution {
    pub(super) padding: usize,
    pub(super) stride: usize,
    /// True if single precision may be rounded to TensorFloat-32 before the multiplication.
    pub(super) tf32: bool,
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "cudnn-conv2d"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("cuDNN on the processor")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let call = Call {
            options: self,
            x,
            x_layout,
            weight,
            weight_layout,
        };
        #[allow(clippy::wildcard_enum_match_arm)] // Networks are computed in these three.
        match x.dtype() {
            DType::F16 => call.run::<f16>(MathType::CUDNN_TENSOR_OP_MATH),
            DType::BF16 => call.run::<bf16>(MathType::CUDNN_TENSOR_OP_MATH),
            DType::F32 if self.tf32 => call.run::<f32>(MathType::CUDNN_DEFAULT_MATH),
            DType::F32 => call.run::<f32>(MathType::CUDNN_FMA_MATH),
            other => bail!("a convolution of {other:?}"),
        }
    }
}

struct Call<'a> {
    options: &'a Convolution,
    x: &'a CudaStorage,
    x_layout: &'a Layout,
    weight: &'a CudaStorage,
    weight_layout: &'a Layout,
}

impl Call<'_> {
    fn run<T>(&self, math: MathType) -> Result<(CudaStorage, Shape)>
    where
        T: CudaDType + CudnnDataType + DeviceRepr + WithDType,
    {
        let device = self.x.device();
        let cudnn = handle(device)?;
        let Self {
            options: &Convolution {
                padding, stride, ..
            },
            ..
        } = *self;
        let sizes @ (_, _, h, w) = self.x_layout.shape().dims4()?;
        let kernels @ (outputs, _, rows, columns) = self.weight_layout.shape().dims4()?;
        let size = |size: usize, kernel: usize| (size + 2 * padding - kernel) / stride + 1;
        let shape = (sizes.0, outputs, size(h, rows), size(w, columns));

        let both = |n: usize| [n as i32; 2];
        let mut conv = cudnn
            .create_conv2d::<f32>(
                both(padding),
                both(stride),
                [1, 1],
                Mode::CUDNN_CROSS_CORRELATION,
            )
            .map_err(Error::wrap)?;
        conv.set_math_type(math).map_err(Error::wrap)?;
        let tensor = |sizes| cudnn.create_4d_tensor::<T>(Format::CUDNN_TENSOR_NCHW, dims(sizes));
        let filter = cudnn.create_4d_filter::<T>(Format::CUDNN_TENSOR_NCHW, dims(kernels));
        let forward = ConvForward {
            conv: &conv,
            x: &tensor(sizes).map_err(Error::wrap)?,
            w: &filter.map_err(Error::wrap)?,
            y: &tensor(shape).map_err(Error::wrap)?,
        };
        let (algorithm, bytes) = algorithm(&forward)?;

        let x = self
            .x
            .as_cuda_slice::<T>()?
            .slice(self.x_layout.start_offset()..);
        let weight = self
            .weight
            .as_cuda_slice::<T>()?
            .slice(self.weight_layout.start_offset()..);
        let shape = Shape::from(shape);
        // SAFETY: the convolution writes all of the output, and reads of the workspace only what it
        // has written.
        let (mut workspace, mut out) = unsafe {
            (
                device.alloc::<u8>(bytes.max(1))?,
                device.alloc::<T>(shape.elem_count())?,
            )
        };
        let factors = (T::from_f64(1.0), T::from_f64(0.0));
        // SAFETY: the descriptors were made from these tensors' types and sizes, both of which lie
        // in rows without gaps.
        unsafe {
            forward.launch(
                algorithm,
                Some(&mut workspace),
                factors,
                &x,
                &weight,
                &mut out,
            )
        }
        .map_err(Error::wrap)?;
        Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), shape))
    }
}

fn dims((a, b, c, d): (usize, usize, usize, usize)) -> [i32; 4] {
    [a, b, c, d].map(|n| n as i32)
}

/// The algorithm that cuDNN considers the fastest, and the bytes of its workspace; an algorithm
/// with little workspace if that one needs more than `WORKSPACE`.
fn algorithm<T: CudnnDataType>(forward: &ConvForward<'_, T, f32, T>) -> Result<(Algorithm, usize)> {
    let fastest = forward.pick_algorithm().map_err(Error::wrap)?;
    let bytes = |algorithm| forward.get_workspace_size(algorithm).map_err(Error::wrap);
    let needed = bytes(fastest)?;
    if needed <= WORKSPACE {
        return Ok((fastest, needed));
    }
    let modest = Algorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    Ok((modest, bytes(modest)?))
}

thread_local! {
    /// Handle of this thread; handles may not leave their thread.
    static HANDLE: RefCell<Option<(DeviceId, Arc<Cudnn>)>> = const { RefCell::new(None) };
}

/// This thread's handle for the device.
fn handle(device: &CudaDevice) -> Result<Arc<Cudnn>> {
    HANDLE.with_borrow_mut(|kept| match kept {
        Some((id, cudnn)) if *id == device.id() => Ok(cudnn.clone()),
        _ => {
            let cudnn = Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?;
            Ok(kept.insert((device.id(), cudnn)).1.clone())
        }
    })
}
