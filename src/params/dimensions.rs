//! Size of the image, and the check that the model gets the inputs it needs (initial image, mask).

use super::{Control, Params, Parsed, StartImage};
use crate::catalog::{Inputs, ModelFiles, RepoConfig};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::imaging::SIDE_UNIT;

/// Longest side that is accepted; beyond it no Stable Diffusion model gives a usable image.
const MAX_SIDE: u32 = 8192;

/// Returns the size at which the request is rendered: as asked for, else that of the initial image,
/// rounded down to whole units and extended, else that of the first conditioning image, else the
/// model's. If only the mask's surroundings are rendered, an initial image does not count.
pub(super) fn rendered_size(
    params: &Params,
    init: Option<&StartImage>,
    controls: &[Control],
    native: u32,
) -> Result<Size> {
    let mask = init.and_then(|init| init.mask.as_ref());
    let is_inset = mask.is_some_and(|mask| mask.padding.is_some());
    let is_given = params.width.is_some() && params.height.is_some();
    let whole = |pixels: u32| whole_units(pixels).min(MAX_SIDE);
    let added = init.and_then(StartImage::extension).unwrap_or_default();
    let [added_width, added_height] = added.added();
    let own = match (init, controls.first()) {
        _ if is_given || is_inset => Size::new(native, native),
        (Some(init), _) => {
            let (width, height) = crate::imaging::size_of("init_image", &init.image)?;
            Size::new(whole(width) + added_width, whole(height) + added_height)
        }
        (None, Some(control)) => {
            let (width, height) = crate::imaging::size_of("control", &control.image)?;
            Size::new(whole(width), whole(height))
        }
        (None, None) => Size::new(native, native),
    };
    let width = params.width.unwrap_or(own.width);
    let height = params.height.unwrap_or(own.height);
    check_side("width", Some(width))?;
    check_side("height", Some(height))?;
    if is_inset || (width > added_width && height > added_height) {
        return Ok(Size::new(width, height));
    }
    let message = format!("{width}x{height} leaves no room for the picture itself");
    Err(Error::field("extend", message)
        .hint("width and height are those of the extended picture; leave them out"))
}

/// Returns the size for an initial image of size `own` that has more than `pixels` pixels: the
/// largest one of its shape that has not. None if the request gives width and height, renders a
/// part of the image only, or the image's own size fits.
pub fn scaled_down(params: &Params, own: Size, pixels: u64) -> Option<Size> {
    let extend = params.extend.as_ref().and_then(Parsed::value);
    let [added_width, added_height] = extend.copied().unwrap_or_default().added();
    let fits = |size: &Size| u64::from(size.width) * u64::from(size.height) <= pixels;
    let extended = |width: u32, height: u32| Size {
        width: params.width.unwrap_or(width + added_width),
        height: params.height.unwrap_or(height + added_height),
    };
    let is_given = params.width.is_some() && params.height.is_some();
    let widest = whole_units(own.width);
    let full_size = extended(widest, whole_units(own.height));
    if is_given || params.mask_padding.is_some() || fits(&full_size) {
        return None;
    }
    let of_width = |width: u32| {
        let height = u64::from(width) * u64::from(own.height) / u64::from(own.width.max(1));
        let height = u32::try_from(height).unwrap_or(own.height).min(own.height);
        extended(width, whole_units(height))
    };
    let widths = (1..=widest / SIDE_UNIT).rev();
    widths.map(|units| of_width(units * SIDE_UNIT)).find(fits)
}

/// The side rounded down to whole units, at least one.
fn whole_units(pixels: u32) -> u32 {
    (pixels / SIDE_UNIT * SIDE_UNIT).max(SIDE_UNIT)
}

/// Checks that the model gets the inputs it needs: a mask for inpainting networks, an initial image
/// for refiners.
pub(super) fn check_inputs(
    repo: &RepoConfig,
    init: Option<&StartImage>,
    files: &ModelFiles,
) -> Result<()> {
    let masked = init.is_some_and(|init| init.mask.is_some());
    if repo.inputs == Inputs::Inpainting && !masked {
        return Err(Error::field(
            "mask",
            format!(
                "`{}` is an inpainting model and needs a picture and a mask",
                files.origin
            ),
        )
        .hint("give them with `--init-image` and `--mask`"));
    }
    if repo.aesthetic_score && init.is_none() {
        return Err(Error::field(
            "model",
            format!("`{}` is a refiner: it finishes pictures and starts none", files.origin),
        )
        .hint("draw with `--model sdxl --refiner sdxl-refiner`, or give it a picture with `--init-image`"));
    }
    Ok(())
}

/// Checks that a side is a multiple of 8 from 8 to 8192.
pub(super) fn check_side(field: &str, value: Option<u32>) -> Result<()> {
    let Some(pixels) = value else { return Ok(()) };
    if pixels % SIDE_UNIT == 0 && (SIDE_UNIT..=MAX_SIDE).contains(&pixels) {
        return Ok(());
    }
    let nearest =
        ((pixels.saturating_add(SIDE_UNIT / 2) / SIDE_UNIT) * SIDE_UNIT).clamp(SIDE_UNIT, MAX_SIDE);
    Err(Error::expected(
        field,
        format!("a multiple of {SIDE_UNIT} from {SIDE_UNIT} to {MAX_SIDE}"),
        pixels,
    )
    .hint(format!("the nearest legal size is {nearest}")))
}
