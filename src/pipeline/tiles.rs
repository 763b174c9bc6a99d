//! Decoding in tiles, as diffusers' `tiled_decode` does: squares that overlap by a quarter, each
//! decoded alone, blended linearly where they meet.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::vae::VaeConfig;

/// Share of a tile that overlaps with the next one.
const OVERLAP: f64 = 0.25;

/// Size of the tiles of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    /// Side of a tile in latent cells.
    pub(super) cells: usize,
    /// Pixels of a cell.
    pub(super) factor: usize,
}

/// A decoded tile: `[3, h, w]`.
#[derive(Clone)]
struct Tile {
    h: usize,
    w: usize,
    values: Vec<f32>,
}

/// Largest side of a tile in latent cells.
const LARGEST: usize = 64;

impl Tiling {
    /// Tiles of the size of the images that the autoencoder was trained on, but of at most
    /// `LARGEST` cells, which most machines can decode.
    pub(super) fn of(vae: &VaeConfig) -> Self {
        let factor = vae.factor();
        Self {
            cells: (vae.sample_size / factor).clamp(8, LARGEST),
            factor,
        }
    }

    /// Decodes latents `[1, c, h, w]` with `decode`, tile by tile, to pixels `[1, 3, f·h, f·w]`.
    pub(super) fn decode(
        self,
        latents: &Tensor,
        mut decode: impl FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (_, _, h, w) = latents.dims4()?;
        let size = [h * self.factor, w * self.factor];
        let (stride, blend) = (self.stride(), self.blend());
        let kept = self.cells * self.factor - blend;
        let mut canvas = Tile {
            h: size[0],
            w: size[1],
            values: vec![0.0; 3 * size[0] * size[1]],
        };
        let mut above: Vec<Tile> = Vec::new();
        for top in (0..h).step_by(stride) {
            let mut row: Vec<Tile> = Vec::new();
            for left in (0..w).step_by(stride) {
                let rows = latents.narrow(2, top, self.cells.min(h - top))?;
                let part = rows
                    .narrow(3, left, self.cells.min(w - left))?
                    .contiguous()?;
                let mut tile = Tile::of(&decode(&part)?)?;
                if let Some(upper) = above.get(row.len()) {
                    tile.blend_below(upper, blend);
                }
                if let Some(neighbour) = row.last() {
                    tile.blend_right_of(neighbour, blend);
                }
                canvas.paste(&tile, [top * self.factor, left * self.factor], kept);
                row.push(tile);
            }
            above = row;
        }
        Ok(Tensor::from_vec(
            canvas.values,
            (1, 3, size[0], size[1]),
            &Device::Cpu,
        )?)
    }

    /// Cells from one tile to the next.
    fn stride(self) -> usize {
        ((self.cells as f64 * (1.0 - OVERLAP)) as usize).max(1)
    }

    /// Pixels over which two tiles are blended.
    fn blend(self) -> usize {
        ((self.cells * self.factor) as f64 * OVERLAP) as usize
    }
}

impl Tile {
    fn of(pixels: &Tensor) -> Result<Self> {
        let (_, _, h, w) = pixels.dims4()?;
        Ok(Self {
            h,
            w,
            values: pixels.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?,
        })
    }

    /// Row `y` of channel `c`.
    fn row(&self, c: usize, y: usize) -> &[f32] {
        &self.values[(c * self.h + y) * self.w..][..self.w]
    }

    fn row_mut(&mut self, c: usize, y: usize) -> &mut [f32] {
        let start = (c * self.h + y) * self.w;
        &mut self.values[start..][..self.w]
    }

    /// Fades from the last rows of `upper` into the first of this tile.
    fn blend_below(&mut self, upper: &Self, extent: usize) {
        let extent = extent.min(upper.h).min(self.h);
        for c in 0..3 {
            for y in 0..extent {
                let share = y as f32 / extent as f32;
                let from = upper.row(c, upper.h - extent + y);
                self.row_mut(c, y)
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to = mix(*from, *to, share));
            }
        }
    }

    /// Fades from the last columns of `neighbour` into the first of this tile.
    fn blend_right_of(&mut self, neighbour: &Self, extent: usize) {
        let extent = extent.min(neighbour.w).min(self.w);
        for c in 0..3 {
            for y in 0..self.h.min(neighbour.h) {
                let from = &neighbour.row(c, y)[neighbour.w - extent..];
                let to = self.row_mut(c, y).iter_mut().zip(from).enumerate();
                to.for_each(|(x, (to, from))| *to = mix(*from, *to, x as f32 / extent as f32));
            }
        }
    }

    /// Puts the first `kept` rows and columns of `tile` at `[top, left]`.
    fn paste(&mut self, tile: &Self, [top, left]: [usize; 2], kept: usize) {
        let (rows, columns) = (kept.min(tile.h), kept.min(tile.w));
        for c in 0..3 {
            for y in 0..rows {
                self.row_mut(c, top + y)[left..left + columns]
                    .copy_from_slice(&tile.row(c, y)[..columns]);
            }
        }
    }
}

fn mix(from: f32, to: f32, share: f32) -> f32 {
    from * (1.0 - share) + to * share
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoder that does not look beyond a cell: each cell becomes a square of its own value.
    fn enlarge(latents: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = latents.dims4()?;
        Ok(latents.narrow(1, 0, 3)?.upsample_nearest2d(8 * h, 8 * w)?)
    }

    #[test]
    fn tiles_of_a_decoder_that_sees_cells_alone_leave_no_trace() {
        for (h, w) in [(5, 7), (16, 16), (37, 50), (64, 17)] {
            let latents = Tensor::randn(0f32, 1.0, (1, 4, h, w), &Device::Cpu).unwrap();
            let whole = enlarge(&latents).unwrap();
            let tiled = Tiling {
                cells: 16,
                factor: 8,
            }
            .decode(&latents, enlarge)
            .unwrap();
            let far = (whole - tiled)
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!(far < 1e-6, "{h}x{w}: {far}");
        }
    }

    #[test]
    fn neighbours_fade_into_each_other() {
        let latents = Tensor::zeros((1, 4, 16, 28), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut level = -1.0;
        let decode = |part: &Tensor| {
            level += 1.0;
            let (_, _, h, w) = part.dims4()?;
            Ok(Tensor::full(level, (1, 3, 8 * h, 8 * w), &Device::Cpu)?
                .to_dtype(candle_core::DType::F32)?)
        };
        let tiled = Tiling {
            cells: 16,
            factor: 8,
        }
        .decode(&latents, decode)
        .unwrap();
        let row = tiled
            .narrow(1, 0, 1)
            .unwrap()
            .narrow(2, 40, 1)
            .unwrap()
            .flatten_all()
            .unwrap();
        let row = row.to_vec1::<f32>().unwrap();
        assert_eq!((row[95], row[96], row[112], row[128]), (0.0, 0.0, 0.5, 1.0));
        assert!(
            row.windows(2)
                .all(|pair| pair[1] - pair[0] <= 1.0 / 32.0 + 1e-6)
        );
    }
}
