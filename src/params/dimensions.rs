//! Size of the image, and the check that the model gets the inputs it needs (initial image, mask).

use super::{Control, Params, StartImage};
use crate::error::{Error, Result};
use crate::imaging::SIDE_UNIT;
use crate::registry::{Inputs, ModelFiles, RepoConfig};

/// Longest side that is accepted; beyond it no Stable Diffusion model gives a usable image.
const MAX_SIDE: u32 = 8192;

/// Width and height: as asked for, else the start picture's own rounded down to whole units and
/// extended, else those of the first picture of a control network, else the model's. Where only the
/// mask's surroundings are rendered, this is the size at which they are.
pub(super) fn size(
    params: &Params,
    init: Option<&StartImage>,
    controls: &[Control],
    native: u32,
) -> Result<(u32, u32)> {
    let part = init
        .and_then(|init| init.mask.as_ref())
        .is_some_and(|mask| mask.padding.is_some());
    let whole = |pixels: u32| (pixels / SIDE_UNIT * SIDE_UNIT).clamp(SIDE_UNIT, MAX_SIDE);
    let own = match (init, params.width, params.height) {
        (_, Some(_), Some(_)) => (native, native),
        _ if part => (native, native),
        (None, ..) => match controls.first() {
            None => (native, native),
            Some(control) => {
                let (width, height) = crate::imaging::size_of("control", &control.image)?;
                (whole(width), whole(height))
            }
        },
        (Some(init), ..) => {
            let (width, height) = crate::imaging::size_of("init_image", &init.image)?;
            let [more_width, more_height] =
                init.extension().map_or([0; 2], |extend| extend.added());
            (whole(width) + more_width, whole(height) + more_height)
        }
    };
    let (width, height) = (
        params.width.unwrap_or(own.0),
        params.height.unwrap_or(own.1),
    );
    check_side("width", Some(width))?;
    check_side("height", Some(height))?;
    let room = |size: u32, added: u32| part || size > added;
    let [more_width, more_height] = init
        .and_then(StartImage::extension)
        .map_or([0; 2], |extend| extend.added());
    if room(width, more_width) && room(height, more_height) {
        return Ok((width, height));
    }
    Err(Error::field(
        "extend",
        format!("{width}x{height} leaves no room for the picture itself"),
    )
    .hint("width and height are those of the extended picture; leave them out"))
}

/// The size for an initial image of size `own` that has more than `pixels` pixels: the largest one
/// of its shape that has not. None if the request gives width and height, renders a part of the
/// image only, or the image's own size fits.
pub fn scaled_down(params: &Params, own: (u32, u32), pixels: u64) -> Option<[u32; 2]> {
    let extend = params.extend.as_ref().and_then(|extend| extend.value());
    let [more_width, more_height] = extend.copied().unwrap_or_default().added();
    let whole = |pixels: u32| (pixels / SIDE_UNIT * SIDE_UNIT).max(SIDE_UNIT);
    let fits = |[width, height]: &[u32; 2]| u64::from(*width) * u64::from(*height) <= pixels;
    let size = |width: u32| {
        let height = u64::from(width) * u64::from(own.1) / u64::from(own.0.max(1));
        let height = whole(u32::try_from(height).unwrap_or(own.1).min(own.1));
        [
            params.width.unwrap_or(width + more_width),
            params.height.unwrap_or(height + more_height),
        ]
    };
    let widest = whole(own.0);
    let own_size = [
        params.width.unwrap_or(widest + more_width),
        params.height.unwrap_or(whole(own.1) + more_height),
    ];
    let said = params.width.is_some() && params.height.is_some();
    if said || params.mask_padding.is_some() || fits(&own_size) {
        return None;
    }
    (1..=widest / SIDE_UNIT)
        .rev()
        .map(|units| size(units * SIDE_UNIT))
        .find(fits)
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
