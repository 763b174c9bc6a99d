//! Working memory of the autoencoder: the buffers that its layers take and give back, in their
//! order. Follows the forward passes in `vae.rs` and `resnet.rs`.

use super::vae::VaeConfig;
use crate::nn::{ArenaSize, CountedBuffer};

/// A map: its pixels, its channels.
struct Map {
    pixels: usize,
    channels: usize,
    buffer: CountedBuffer,
}

/// Layers that take buffers.
#[derive(Default)]
struct Walk(ArenaSize);

impl VaeConfig {
    /// Bytes for decoding `cells` latent cells at once, without the scratch memory of the kernels
    /// themselves.
    pub(crate) fn decoding(&self, cells: usize) -> u64 {
        let mut walk = Walk::default();
        let mut widths = self.block_out_channels.iter().rev().copied().peekable();
        let mut x = walk.convolved(None, cells, self.latent_channels);
        if let Some(first) = widths.peek() {
            x = walk.convolved(Some(x), cells, *first);
        }
        x = walk.middle(x);
        while let Some(width) = widths.next() {
            for _ in 0..self.layers_per_block() + 1 {
                x = walk.residual(x, width);
            }
            if widths.peek().is_some() {
                let pixels = x.pixels.saturating_mul(4);
                x = walk.convolved(Some(x), pixels, width);
            }
        }
        let pixels = x.pixels;
        walk.convolved(Some(x), pixels, PICTURE);
        walk.0.bytes()
    }

    /// Bytes for encoding an image of `cells` latent cells, without the scratch memory of the
    /// kernels themselves.
    pub(crate) fn encoding(&self, cells: usize) -> u64 {
        let mut walk = Walk::default();
        let pixels = cells.saturating_mul(self.factor() * self.factor());
        let mut x = walk.convolved(None, pixels, PICTURE);
        let mut widths = self.block_out_channels.iter().copied().peekable();
        if let Some(first) = widths.peek() {
            x = walk.convolved(Some(x), pixels, *first);
        }
        while let Some(width) = widths.next() {
            for _ in 0..self.layers_per_block() {
                x = walk.residual(x, width);
            }
            if widths.peek().is_some() {
                let pixels = x.pixels / 4;
                x = walk.convolved(Some(x), pixels, width);
            }
        }
        x = walk.middle(x);
        walk.convolved(Some(x), cells, 2 * self.latent_channels);
        walk.0.bytes()
    }
}

/// Channels of an image.
const PICTURE: usize = 3;

impl Walk {
    fn map(&mut self, pixels: usize, channels: usize) -> Map {
        Map {
            pixels,
            channels,
            buffer: self.0.take(pixels.saturating_mul(channels)),
        }
    }

    /// A convolution of `x`, which is freed afterwards.
    fn convolved(&mut self, x: Option<Map>, pixels: usize, channels: usize) -> Map {
        let out = self.map(pixels, channels);
        x.into_iter().for_each(|x| self.0.give(x.buffer));
        out
    }

    /// A residual block: its result takes the place of the input, or of the output of the shortcut.
    fn residual(&mut self, x: Map, width: usize) -> Map {
        let inner = self.map(x.pixels, width);
        let out = if x.channels == width {
            x
        } else {
            self.convolved(Some(x), inner.pixels, width)
        };
        self.0.give(inner.buffer);
        out
    }

    /// Two residual blocks and an attention between.
    fn middle(&mut self, x: Map) -> Map {
        let width = x.channels;
        let x = self.residual(x, width);
        let pixels = x.pixels;
        let mut all = vec![x];
        // The norm; queries, keys and values; the latter two packed; what they give; the result.
        for maps in [1, 3, 1, 1, 1, 1] {
            all.push(self.map(pixels, maps * width));
        }
        let out = all.pop();
        all.into_iter().for_each(|map| self.0.give(map.buffer));
        match out {
            Some(map) => self.residual(map, width),
            None => self.map(pixels, width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_counts_the_maps_of_every_level() {
        // Two levels of 8 and 16 channels, with one residual block per down block and two per up
        // block.
        let config: VaeConfig = serde_json::from_value(serde_json::json!({
            "down_block_types": [], "up_block_types": [], "block_out_channels": [8, 16],
        }))
        .unwrap();
        let cells = 1 << 12;
        // The large level: what the small one gives it in 16 channels, and two maps of 8 that the
        // attention left no buffer for.
        assert!(config.decoding(cells) > 4 * (4 * cells as u64) * (16 + 2 * 8));
        assert!(config.decoding(cells) < 4 * (4 * cells as u64) * (16 + 2 * 8 + 16 * 8));
        assert_eq!(config.decoding(4 * cells), 4 * config.decoding(cells));
        assert!(config.encoding(cells) < config.decoding(cells));
    }
}
