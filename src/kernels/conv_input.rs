//! Owns the input of a convolution: parts joined, normalised, activated, upsampled and padded while
//! they are copied into one canvas.

use super::Cpu;
use super::arena::Buffer;
use super::epilogue::OutputPtr;
use super::math::{Activation, gelu, quick_gelu, relu, silu};
use super::pool::Shareable;
use super::simd::{Kernel, Simd};

/// A scale and a shift for every image and channel, [batch, channels] each: x becomes scale x +
/// shift.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    /// Multiplied.
    pub scale: Vec<f32>,
    /// Added after.
    pub shift: Vec<f32>,
}

/// The input of a convolution, and the operations applied while it is read.
#[derive(Clone, Copy)]
pub(crate) struct ConvInput<'a> {
    /// Feature maps [batch, height, width, c_i] with their c_i, joined along the channels.
    pub parts: &'a [(&'a [f32], usize)],
    /// Images.
    pub batch: usize,
    /// Rows of each part.
    pub height: usize,
    /// Columns of each part.
    pub width: usize,
    /// Applied first, over the joined channels.
    pub affine: Option<&'a Affine>,
    /// Applied second.
    pub activation: Activation,
    /// Applied third: upsampling to (rows, columns), each pixel taken from the nearest one below,
    /// as PyTorch's `nearest` does.
    pub upsample_to: Option<(usize, usize)>,
}

impl<'a> ConvInput<'a> {
    /// Parts as they are.
    pub(crate) fn plain(
        parts: &'a [(&'a [f32], usize)],
        batch: usize,
        height: usize,
        width: usize,
    ) -> ConvInput<'a> {
        ConvInput {
            parts,
            batch,
            height,
            width,
            affine: None,
            activation: Activation::None,
            upsample_to: None,
        }
    }

    /// Channels of all parts.
    pub(crate) fn channels(&self) -> usize {
        self.parts.iter().map(|(_, c)| c).sum()
    }

    /// Rows and columns the convolution sees.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.upsample_to.unwrap_or((self.height, self.width))
    }

    /// Returns true if the parts are only joined, without affine, activation or upsampling.
    pub(super) fn is_plain(&self) -> bool {
        self.affine.is_none() && self.activation == Activation::None && self.upsample_to.is_none()
    }

    /// Panics unless slices and shapes agree.
    pub(super) fn check(&self) {
        for (data, channels) in self.parts {
            let expected = self.batch * self.height * self.width * channels;
            assert_eq!(
                data.len(),
                expected,
                "a part of {}x{}x{}x{channels}",
                self.batch,
                self.height,
                self.width
            );
        }
        if let Some(affine) = self.affine {
            let expected = self.batch * self.channels();
            assert!(
                affine.scale.len() == expected && affine.shift.len() == expected,
                "an affine of {expected}"
            );
        }
    }
}

/// One row of a canvas: a row of an image after upsampling, or zeros.
#[derive(Clone, Copy)]
pub(super) struct CanvasRow {
    pub(super) image: usize,
    pub(super) source: Option<usize>,
}

/// The shape of a padded copy of a part of the input: [rows][width][channels].
pub(super) struct CanvasShape {
    pub(super) rows: Vec<CanvasRow>,
    pub(super) width: usize,
    /// Columns of zeros before the image.
    pub(super) left: usize,
    /// Channels with their padding of zeros.
    pub(super) channels: usize,
    /// True if the copy is rounded to bf16.
    pub(super) bf16: bool,
}

impl CanvasShape {
    /// 32-bit lanes of a pixel.
    pub(super) fn pixel_lanes(&self) -> usize {
        if self.bf16 {
            self.channels / 2
        } else {
            self.channels
        }
    }

    /// Copies the rows out of `input`.
    pub(super) fn fill(&self, cpu: &Cpu, input: &ConvInput<'_>) -> Buffer<f32> {
        let mut canvas = cpu
            .arena()
            .take::<f32>(self.rows.len() * self.width * self.pixel_lanes());
        self.fill_into(cpu, input, &mut canvas);
        canvas
    }

    /// Fills `canvas`, a slice of as many lanes, as `fill` does.
    pub(super) fn fill_into(&self, cpu: &Cpu, input: &ConvInput<'_>, canvas: &mut [f32]) {
        let row_lanes = self.width * self.pixel_lanes();
        assert_eq!(canvas.len(), self.rows.len() * row_lanes);
        let shared = Shareable::new(canvas.as_mut_ptr());
        cpu.pool().run(self.rows.len(), |i| {
            let to = shared.get().wrapping_add(i * row_lanes);
            cpu.isa().run_bf16(FillRow {
                shape: self,
                input,
                row: self.rows[i],
                to,
            });
        });
    }
}

/// Fills one row of a canvas at `to`, which no other task writes.
struct FillRow<'a> {
    shape: &'a CanvasShape,
    input: &'a ConvInput<'a>,
    row: CanvasRow,
    to: *mut f32,
}

impl Kernel for FillRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, input) = (self.shape, self.input);
        let lanes = shape.pixel_lanes();
        let (rows, columns) = input.size();
        let zero = |from: usize, to: usize| {
            // SAFETY: from <= to <= width, and the row belongs to this task.
            unsafe { std::ptr::write_bytes(self.to.add(from * lanes), 0, (to - from) * lanes) };
        };
        let Some(source) = self.row.source else {
            return zero(0, shape.width);
        };
        let from_row = self.row.image * input.height + source * input.height / rows;
        let end = (shape.left + columns).min(shape.width);
        zero(0, shape.left.min(shape.width));
        for x in shape.left..end {
            let from = from_row * input.width + (x - shape.left) * input.width / columns;
            // SAFETY: x < width, and the row belongs to this task.
            unsafe { self.fill_pixel(s, from, self.to.add(x * lanes)) };
        }
        zero(end.max(shape.left.min(shape.width)), shape.width);
    }
}

impl FillRow<'_> {
    /// Joins the channels of pixel `from` at `to`.
    ///
    /// # Safety
    /// `to` is good for the lanes of a pixel.
    #[inline(always)]
    unsafe fn fill_pixel<S: Simd>(&self, s: S, from: usize, to: *mut f32) {
        let affine = self.input.affine.map(|a| {
            let at = self.row.image * self.input.channels();
            (&a.scale[at..], &a.shift[at..])
        });
        let mut first = 0;
        for (data, channels) in self.input.parts {
            let pixel = &data[from * channels..][..*channels];
            let mut c = 0;
            while c < *channels {
                let n = (channels - c).min(S::WIDTH);
                // SAFETY: n numbers from c on are inside the pixel, and from first + c on inside
                // the affine and the row.
                unsafe {
                    let mut v = s.load_up_to(pixel.as_ptr().add(c), n);
                    if let Some((scale, shift)) = affine {
                        let at = first + c;
                        v = s.fma(
                            v,
                            s.load_up_to(scale[at..].as_ptr(), n),
                            s.load_up_to(shift[at..].as_ptr(), n),
                        );
                    }
                    self.put(s, to, first + c, activate(s, self.input.activation, v), n);
                }
                c += n;
            }
            first += channels;
        }
        for c in first..self.shape.channels {
            // SAFETY: c < channels of the canvas.
            unsafe { self.put(s, to, c, s.splat(0.0), 1) };
        }
    }

    /// Stores the first n lanes at channel `c`.
    ///
    /// # Safety
    /// The pixel at `to` has n channels from c on.
    #[inline(always)]
    unsafe fn put<S: Simd>(&self, s: S, to: *mut f32, c: usize, v: S::V, n: usize) {
        let pixel = if self.shape.bf16 {
            OutputPtr::Bf16(to.cast())
        } else {
            OutputPtr::F32(to)
        };
        // SAFETY: as the caller vouches; two bf16 channels fill a lane.
        unsafe { pixel.put(s, c, v, n) };
    }
}

#[inline(always)]
fn activate<S: Simd>(s: S, activation: Activation, v: S::V) -> S::V {
    match activation {
        Activation::None => v,
        Activation::Silu => silu(s, v),
        Activation::Gelu => gelu(s, v),
        Activation::QuickGelu => quick_gelu(s, v),
        Activation::Relu => relu(s, v),
    }
}
