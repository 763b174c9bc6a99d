//! Outpainting: the pixels added on each side, and their content before they are painted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Pixels, SIDE_UNIT};
use crate::error::{Error, Result};

/// Pixels by which a picture grows on each side: multiples of [`SIDE_UNIT`], so that it keeps its
/// place among the latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extend {
    /// Pixels.
    pub left: u32,
    /// Pixels.
    pub top: u32,
    /// Pixels.
    pub right: u32,
    /// Pixels.
    pub bottom: u32,
}

impl fmt::Display for Extend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [
            ("left", self.left),
            ("top", self.top),
            ("right", self.right),
            ("bottom", self.bottom),
        ];
        let sides = sides.iter().filter(|(_, pixels)| *pixels != 0);
        let sides: Vec<String> = sides
            .map(|(side, pixels)| format!("{side}={pixels}"))
            .collect();
        f.write_str(&sides.join(","))
    }
}

/// Largest number of pixels added on a side.
const MOST: u32 = 4096;

impl Extend {
    /// Reads `left=128,top=64`.
    ///
    /// # Errors
    /// An unknown side, a side named twice, a number that is no multiple of 8, or nothing at all.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let mut all = Self::default();
        for part in text.split(',') {
            let (side, pixels) = part
                .split_once('=')
                .ok_or_else(|| invalid_side(field, part))?;
            let pixels: u32 = pixels
                .trim()
                .parse()
                .map_err(|_| invalid_side(field, part))?;
            if pixels == 0 || !pixels.is_multiple_of(SIDE_UNIT) || pixels > MOST {
                return Err(invalid_side(field, part));
            }
            let place = all.side(side.trim()).ok_or_else(|| {
                Error::unknown(
                    field,
                    "side",
                    side.trim(),
                    ["left", "top", "right", "bottom"],
                )
            })?;
            if std::mem::replace(place, pixels) != 0 {
                return Err(Error::field(
                    field,
                    format!("`{}` is given twice", side.trim()),
                ));
            }
        }
        Ok(all)
    }

    fn side(&mut self, name: &str) -> Option<&mut u32> {
        match name {
            "left" => Some(&mut self.left),
            "top" => Some(&mut self.top),
            "right" => Some(&mut self.right),
            "bottom" => Some(&mut self.bottom),
            _ => None,
        }
    }

    /// Pixels added to the width and to the height.
    pub fn added(self) -> [u32; 2] {
        [self.left + self.right, self.top + self.bottom]
    }

    /// The image on its larger canvas, each new pixel a copy of the nearest one of its border.
    pub(super) fn extend_image(self, picture: &Pixels) -> Pixels {
        let size = self.canvas_size([picture.width, picture.height]);
        picture.place_on_canvas([self.left, self.top].map(i64::from), size)
    }

    /// A mask of the picture on the larger canvas, where all that is new is `fill`.
    pub(super) fn extend_mask(self, inner: &[u8], [width, height]: [u32; 2], fill: u8) -> Vec<u8> {
        let [wide, high] = self.canvas_size([width, height]);
        let mut plane = vec![fill; (wide * high) as usize];
        for (row, values) in inner.chunks_exact(width as usize).enumerate() {
            let start = (row + self.top as usize) * wide as usize + self.left as usize;
            plane[start..start + values.len()].copy_from_slice(values);
        }
        plane
    }

    /// The size of the canvas for a picture of this size.
    pub(super) fn canvas_size(self, [width, height]: [u32; 2]) -> [u32; 2] {
        let [more_width, more_height] = self.added();
        [width + more_width, height + more_height]
    }
}

fn invalid_side(field: &str, part: &str) -> Error {
    Error::expected(
        field,
        format!("`SIDE=PX` with a multiple of {SIDE_UNIT} from {SIDE_UNIT} to {MOST}"),
        part,
    )
    .hint("sides are left, top, right and bottom: `--extend left=128,top=64`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_and_wrong_ones_are_named() {
        let all = Extend::parse("extend", "left=128, bottom=64").unwrap();
        assert_eq!(
            all,
            Extend {
                left: 128,
                bottom: 64,
                ..Extend::default()
            }
        );
        assert_eq!(all.added(), [128, 64]);
        for text in [
            "",
            "left",
            "left=12",
            "left=0",
            "left=8,left=8",
            "lft=8",
            "left=-8",
            "left=99992",
        ] {
            assert_eq!(
                Extend::parse("extend", text).unwrap_err().field_name(),
                Some("extend"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_new_area_repeats_the_border_and_is_masked() {
        let picture = Pixels {
            width: 2,
            height: 1,
            rgb: vec![1, 2, 3, 4, 5, 6],
            alpha: None,
        };
        let extend = Extend {
            left: 1,
            bottom: 1,
            ..Extend::default()
        };
        let canvas = extend.extend_image(&picture);
        assert_eq!((canvas.width, canvas.height), (3, 2));
        assert_eq!(canvas.rgb, [[1, 2, 3, 1, 2, 3, 4, 5, 6]; 2].concat());
        assert_eq!(
            extend.extend_mask(&[0, 9], [2, 1], 255),
            [255, 0, 9, 255, 255, 255]
        );
    }
}
