//! Noise: seeded on the CPU, the same numbers on every device, one generator per image.

mod mt19937;
mod philox;

pub use mt19937::TorchCpu;
pub use philox::TorchCuda;

use crate::device::Rng;

/// A source of standard normal numbers.
pub trait Normal: Send {
    /// The next `n` numbers, as one call of `torch.randn(n)` would give them.
    fn normal(&mut self, n: usize) -> Vec<f32>;
}

/// The noise of a batch: image i has a generator seeded with seed + i, so that an image is the same
/// alone and in a batch.
pub struct Noise {
    generators: Vec<Box<dyn Normal>>,
}

impl Noise {
    /// Generators for `images` pictures from `first_seed` on.
    pub fn new(rng: Rng, first_seed: u64, images: usize) -> Self {
        Self::seeded(rng, (0..images as u64).map(|i| first_seed.wrapping_add(i)))
    }

    /// A generator for each of `seeds`.
    pub fn seeded(rng: Rng, seeds: impl Iterator<Item = u64>) -> Self {
        let generator = |seed: u64| -> Box<dyn Normal> {
            match rng {
                Rng::Torch => Box::new(TorchCpu::new(seed)),
                Rng::Philox => Box::new(TorchCuda::new(seed)),
            }
        };
        Self {
            generators: seeds.map(generator).collect(),
        }
    }

    /// `n` numbers for each image, one image after the other.
    pub fn draw(&mut self, n: usize) -> Vec<f32> {
        self.generators
            .iter_mut()
            .flat_map(|generator| generator.normal(n))
            .collect()
    }
}

/// Two normal numbers from two uniform ones (Box & Muller 1958): radius √(−2 ln u), angle 2πv.
fn box_muller(u: f64, v: f64) -> (f64, f64) {
    let radius = (-2.0 * u.ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
    (radius * cos, radius * sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_batch_has_the_noise_it_has_alone() {
        for rng in [Rng::Torch, Rng::Philox] {
            let both = Noise::new(rng, 7, 2).draw(64);
            let second = Noise::new(rng, 8, 1).draw(64);
            assert_eq!(both[64..], second[..]);
        }
    }
}
