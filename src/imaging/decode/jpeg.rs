//! JPEG by libjpeg-turbo's own code (in mozjpeg), byte by byte as Pillow decodes it. Data that
//! libjpeg reports as corrupt is an error here, not a grey area.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use libc::c_int;
use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys as ffi;

use super::exif::{EXIF_SIGNATURE, orientation};
use super::{Decoder, Fault, cmyk_to_rgb};

/// Signature of a segment with XMP.
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A JPEG file whose headers up to the first scan have been read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    frame: Frame,
    orientation: Orientation,
    /// True if all coefficients are kept in memory until the last scan.
    buffered: bool,
}

/// Contents of a frame header.
struct Frame {
    size: [u32; 2],
    progressive: bool,
    /// Horizontal and vertical sampling factors.
    sampling: Vec<[u32; 2]>,
}

impl<'a> Jpeg<'a> {
    /// Reads the headers.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (mut frame, mut exif, mut xmp) = (None, None::<Vec<u8>>, None);
        let mut rest = &bytes[2..];
        loop {
            let (marker, body, behind) = segment(rest).ok_or_else(ends_early)?;
            rest = behind;
            match marker {
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    let read = Frame::read(body, marker).ok_or_else(damaged)??;
                    frame = Some(read);
                }
                // EXIF goes on from segment to segment; the last packet of XMP counts.
                0xe1 => match (body.strip_prefix(EXIF_SIGNATURE), body.strip_prefix(XMP)) {
                    (Some(more), _) => exif.get_or_insert_default().extend(more),
                    (None, Some(packet)) => xmp = Some(packet),
                    (None, None) => {}
                },
                0xda => {
                    let frame: Frame = frame.ok_or_else(damaged)?;
                    let components = usize::from(*body.first().ok_or_else(damaged)?);
                    let buffered = frame.progressive || components < frame.sampling.len();
                    let orientation = orientation(exif.as_deref(), xmp);
                    return Ok(Self {
                        bytes,
                        frame,
                        orientation,
                        buffered,
                    });
                }
                _ => {}
            }
        }
    }

    /// Samples of a pixel.
    pub(super) fn channels(&self) -> usize {
        self.frame.sampling.len()
    }

    /// The samples, interleaved by pixel, in the colour space `space` or in the file's own.
    pub(super) fn samples(&self, space: Option<ColorSpace>) -> Result<Vec<u8>, Fault> {
        let decode = || -> std::io::Result<Vec<u8>> {
            let image = Decompress::builder()
                .with_err(strict())
                .from_mem(self.bytes)?;
            let own = image.color_space();
            let mut started = image.to_colorspace(space.unwrap_or(own))?;
            let samples = started.read_scanlines()?;
            // Up to the end-of-image marker, which is missing in a truncated file.
            started.finish()?;
            Ok(samples)
        };
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(Ok(samples)) => Ok(samples),
            Ok(Err(error)) => Err(Fault::Broken(error.to_string())),
            Err(cause) => Err(fault_of_panic(cause)),
        }
    }
}

impl Decoder for Jpeg<'_> {
    fn size(&self) -> [u32; 2] {
        self.frame.size
    }

    fn cost(&self) -> u64 {
        let samples = self.frame.sampling.len() as u64;
        let most = |axis: usize| {
            self.frame
                .sampling
                .iter()
                .map(|factors| factors[axis])
                .max()
                .unwrap_or(1)
        };
        let all = u64::from(most(0) * most(1)).max(1);
        let kept = self
            .frame
            .sampling
            .iter()
            .map(|[h, v]| u64::from(h * v))
            .sum::<u64>();
        let coefficients = if self.buffered {
            (2 * kept).div_ceil(all)
        } else {
            0
        };
        samples + coefficients
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(self: Box<Self>) -> Result<DynamicImage, Fault> {
        let [width, height] = self.frame.size;
        let image = match self.frame.sampling.len() {
            1 => {
                let grey = GrayImage::from_raw(
                    width,
                    height,
                    self.samples(Some(ColorSpace::JCS_GRAYSCALE))?,
                );
                grey.map(DynamicImage::from)
            }
            3 => RgbImage::from_raw(width, height, self.samples(Some(ColorSpace::JCS_RGB))?)
                .map(DynamicImage::from),
            4 => {
                // Stored inverted, as Adobe does and as every reader expects.
                let cmyk_inverted = self.samples(Some(ColorSpace::JCS_CMYK))?;
                let rgb = cmyk_inverted
                    .chunks_exact(4)
                    .flat_map(|p| cmyk_to_rgb([0, 1, 2, 3].map(|i| 255 - p[i])));
                RgbImage::from_raw(width, height, rgb.collect()).map(DynamicImage::from)
            }
            others => {
                return Err(Fault::Broken(format!(
                    "a JPEG of {others} channels is not read"
                )));
            }
        };
        image.ok_or_else(damaged)
    }
}

impl Frame {
    fn read(body: &[u8], marker: u8) -> Option<Result<Self, Fault>> {
        let &[precision, h1, h0, w1, w0, ..] = body else {
            return None;
        };
        if precision != 8 {
            return Some(Err(Fault::Broken(format!(
                "a JPEG of {precision} bits is not read"
            ))));
        }
        let side = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
        let sampling = body.get(6..)?.chunks_exact(3);
        let factors = |component: &[u8]| [component[1] >> 4, component[1] & 15].map(u32::from);
        Some(Ok(Self {
            size: [side(w1, w0), side(h1, h0)],
            progressive: matches!(marker, 0xc2 | 0xca),
            sampling: sampling.map(factors).collect(),
        }))
    }
}

/// The next marker, its segment's body, and what comes behind.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == 0xff)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd9 => at += 2,
            _ => {
                let length = usize::from(u16::from_be_bytes([
                    *bytes.get(at + 2)?,
                    *bytes.get(at + 3)?,
                ]));
                return Some((
                    marker,
                    bytes.get(at + 4..at + 2 + length)?,
                    bytes.get(at + 2 + length..)?,
                ));
            }
        }
    }
}

fn ends_early() -> Fault {
    Fault::Broken("the file ends early".to_owned())
}

fn damaged() -> Fault {
    Fault::Broken("its data is damaged".to_owned())
}

/// A message of libjpeg by its number, which unwinds to [`Jpeg::samples`].
struct Message(c_int);

/// The fault for the payload of an unwinding, a [`Message`] as a rule.
fn fault_of_panic(cause: Box<dyn Any + Send>) -> Fault {
    match cause.downcast_ref::<Message>().map(|message| message.0) {
        Some(ffi::JWRN_JPEG_EOF | ffi::JERR_FILE_READ | ffi::JERR_INPUT_EOF) => ends_early(),
        Some(ffi::JERR_SOF_UNSUPPORTED) => {
            Fault::Broken("a lossless or hierarchical JPEG is not read".to_owned())
        }
        Some(ffi::JERR_OUT_OF_MEMORY) => Fault::Broken("memory ran out".to_owned()),
        _ => damaged(),
    }
}

/// libjpeg's error manager: it unwinds on errors, and on warnings after which libjpeg would make up
/// pixels.
fn strict() -> ffi::jpeg_error_mgr {
    ffi::jpeg_error_mgr {
        error_exit: Some(fail),
        emit_message: Some(refuse_damage),
        output_message: Some(ignore),
        format_message: None,
        reset_error_mgr: Some(ignore),
        msg_code: 0,
        msg_parm: ffi::msg_parm_union::default(),
        trace_level: 0,
        num_warnings: 0,
        jpeg_message_table: std::ptr::null(),
        last_jpeg_message: 0,
        addon_message_table: std::ptr::null(),
        first_addon_message: 0,
        last_addon_message: 0,
    }
}

extern "C-unwind" fn ignore(_: &mut ffi::jpeg_common_struct) {}

extern "C-unwind" fn fail(info: &mut ffi::jpeg_common_struct) {
    resume_unwind(Box::new(Message(code(info))));
}

/// A warning that is missing in the crate's list of messages: the second of two codes of arithmetic
/// coding that follow `JERR_BAD_CROP_SPEC` in libjpeg-turbo's.
const JWRN_ARITH_BAD_CODE: c_int = ffi::JERR_BAD_CROP_SPEC + 2;

/// Unwinds on warnings (levels below 0) about data that is missing or makes no sense; levels from 0
/// on are trace messages.
extern "C-unwind" fn refuse_damage(info: &mut ffi::jpeg_common_struct, level: c_int) {
    const GRAVE: [c_int; 5] = [
        ffi::JWRN_JPEG_EOF,
        ffi::JWRN_HIT_MARKER,
        ffi::JWRN_HUFF_BAD_CODE,
        JWRN_ARITH_BAD_CODE,
        ffi::JWRN_MUST_RESYNC,
    ];
    if level < 0 && GRAVE.contains(&code(info)) {
        fail(info);
    }
}

/// The number of the message that libjpeg is about to report.
#[expect(
    unsafe_code,
    reason = "libjpeg hands its message over behind a pointer"
)]
fn code(info: &ffi::jpeg_common_struct) -> c_int {
    // SAFETY: libjpeg calls with the error manager that it was created with, which outlives the
    // decoder.
    unsafe { (*info.err).msg_code }
}
