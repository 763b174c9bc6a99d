//! Canny edge detection (Canny 1986), the input on which edge ControlNets were trained. Written by
//! hand because its pixels equal OpenCV's one by one, which no crate's do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::imaging::Pixels;

/// Hysteresis thresholds of the gradient, as the sum of the absolute Sobel derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Thresholds {
    /// Steeper edges are kept where they connect to edges that are kept.
    pub low: u32,
    /// Steeper edges are kept in any case.
    pub high: u32,
}

impl Default for Thresholds {
    /// OpenCV's usual thresholds, with which the edge ControlNets were trained.
    fn default() -> Self {
        Self {
            low: 100,
            high: 200,
        }
    }
}

impl Thresholds {
    /// Reads `LOW,HIGH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once(',')?;
        let thresholds = Self {
            low: low.trim().parse().ok()?,
            high: high.trim().parse().ok()?,
        };
        (thresholds.low <= thresholds.high && thresholds.high <= STEEPEST).then_some(thresholds)
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.low, self.high)
    }
}

impl From<Thresholds> for String {
    fn from(thresholds: Thresholds) -> Self {
        thresholds.to_string()
    }
}

impl TryFrom<String> for Thresholds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no `LOW,HIGH`"))
    }
}

/// Largest gradient of 8-bit pixels: two Sobel derivatives of 4 · 255.
const STEEPEST: u32 = 2040;

/// tan 22.5° in fixed point, with 15 bits behind the point.
const TAN_22: i64 = 13_573;
const SHIFT: u32 = 15;

/// Gradient at a pixel, in the channel in which it is steepest.
#[derive(Clone, Copy, Default)]
struct Slope {
    dx: i32,
    dy: i32,
}

impl Slope {
    fn steepness(self) -> i32 {
        self.dx.abs() + self.dy.abs()
    }

    /// The neighbours across the edge, as offsets (x, y) of the one before and the one behind; and
    /// true if an equally steep neighbour behind suppresses the pixel.
    fn neighbours_across(self) -> ([(i32, i32); 2], bool) {
        let (x, y) = (i64::from(self.dx.abs()), i64::from(self.dy.abs()) << SHIFT);
        let (flat, steep) = (x * TAN_22, x * TAN_22 + (x << (SHIFT + 1)));
        if y < flat {
            return ([(-1, 0), (1, 0)], false);
        }
        if y > steep {
            return ([(0, -1), (0, 1)], false);
        }
        let side = if (self.dx ^ self.dy) < 0 { -1 } else { 1 };
        ([(-side, -1), (side, 1)], true)
    }
}

/// The edges of an image, white on black.
pub(super) fn detect_edges(picture: &Pixels, thresholds: Thresholds) -> Pixels {
    let (width, height) = (picture.width as i32, picture.height as i32);
    let slopes: Vec<Slope> = (0..height)
        .flat_map(|y| (0..width).map(move |x| sobel(picture, x, y)))
        .collect();
    let inside = |x: i32, y: i32| (0..width).contains(&x) && (0..height).contains(&y);
    let at = |x: i32, y: i32| (y * width + x) as usize;
    let steepness = |x: i32, y: i32| {
        if inside(x, y) {
            slopes[at(x, y)].steepness()
        } else {
            0
        }
    };
    let ridge = |x: i32, y: i32| {
        let slope = slopes[at(x, y)];
        let m = slope.steepness();
        let ([(ax, ay), (bx, by)], strict) = slope.neighbours_across();
        let (before, behind) = (steepness(x + ax, y + ay), steepness(x + bx, y + by));
        m > thresholds.low as i32 && m > before && if strict { m > behind } else { m >= behind }
    };
    let ridges: Vec<bool> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| ridge(x, y))
        .collect();
    let mut lit = vec![false; ridges.len()];
    let strong = |i: usize| ridges[i] && slopes[i].steepness() > thresholds.high as i32;
    let mut open: Vec<usize> = (0..ridges.len()).filter(|&i| strong(i)).collect();
    open.iter().for_each(|&i| lit[i] = true);
    while let Some(i) = open.pop() {
        let (x, y) = (i as i32 % width, i as i32 / width);
        for (x, y) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (x + dx, y + dy))) {
            if inside(x, y) && ridges[at(x, y)] && !lit[at(x, y)] {
                lit[at(x, y)] = true;
                open.push(at(x, y));
            }
        }
    }
    let rgb = lit
        .iter()
        .flat_map(|&on| [if on { 255 } else { 0 }; 3])
        .collect();
    Pixels {
        width: picture.width,
        height: picture.height,
        rgb,
        alpha: None,
    }
}

/// Sobel derivatives over 3×3 pixels, the border pixels repeated beyond the image.
fn sobel(picture: &Pixels, x: i32, y: i32) -> Slope {
    let (width, height) = (picture.width as i32, picture.height as i32);
    let value = |channel: usize, dx: i32, dy: i32| {
        let (x, y) = ((x + dx).clamp(0, width - 1), (y + dy).clamp(0, height - 1));
        i32::from(picture.rgb[(y * width + x) as usize * 3 + channel])
    };
    let mut steepest = Slope::default();
    for channel in 0..3 {
        let v = |dx: i32, dy: i32| value(channel, dx, dy);
        let slope = Slope {
            dx: v(1, -1) + 2 * v(1, 0) + v(1, 1) - v(-1, -1) - 2 * v(-1, 0) - v(-1, 1),
            dy: v(-1, 1) + 2 * v(0, 1) + v(1, 1) - v(-1, -1) - 2 * v(0, -1) - v(1, -1),
        };
        if channel == 0 || slope.steepness() > steepest.steepness() {
            steepest = slope;
        }
    }
    steepest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::imaging::Transparency;

    #[test]
    fn edges_are_those_of_opencv() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for (name, low, high) in [
            ("init_128", 100, 200),
            ("init_128", 20, 60),
            ("ip_96", 50, 150),
        ] {
            let read = |path: String| {
                Pixels::read(
                    "control",
                    &golden.join(path).to_str().unwrap().into(),
                    Transparency::Dropped,
                )
                .unwrap()
            };
            let ours = detect_edges(
                &read(format!("inputs/{name}.png")),
                Thresholds { low, high },
            );
            let opencv = read(format!("canny/{name}-{low}-{high}.png"));
            let wrong = ours
                .rgb
                .iter()
                .zip(&opencv.rgb)
                .filter(|(a, b)| a != b)
                .count();
            assert_eq!(
                (ours.width, wrong),
                (opencv.width, 0),
                "{name} {low} {high}"
            );
        }
    }
}
