//! PyTorch's CPU generator: MT19937 (Matsumoto & Nishimura 1998), in the order in which
//! `torch.randn` uses it.

use rand_mt::Mt;

use super::{Normal, box_muller};

/// Numbers equal to `torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed))`, up to
/// float rounding (PyTorch's vectorised logarithm and cosine are approximations; the largest
/// difference seen is 4.8e-7).
pub struct TorchCpu {
    words: Mt,
    /// The second number of the last scalar pair, which PyTorch keeps for the next scalar call.
    kept: Option<f64>,
}

/// Numbers that PyTorch makes together; shorter requests take its scalar path.
const LANES: usize = 16;

impl TorchCpu {
    /// The generator after `manual_seed(seed)`; PyTorch seeds MT19937 with the low 32 bits.
    pub fn new(seed: u64) -> Self {
        Self {
            words: Mt::new(seed as u32),
            kept: None,
        }
    }

    /// Uniform in [0, 1) with 24 bits.
    fn single(&mut self) -> f32 {
        (self.words.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// Uniform in [0, 1) with 53 bits.
    fn double(&mut self) -> f64 {
        let bits = (u64::from(self.words.next_u32()) << 32) | u64::from(self.words.next_u32());
        (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    fn scalar(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let (angle, radius) = (self.double(), self.double());
        let (first, second) = box_muller(1.0 - radius, angle);
        self.kept = Some(second);
        first
    }

    /// Sixteen uniform numbers become sixteen normal ones: the first eight are radii, the last
    /// eight angles.
    fn fill(lanes: &mut [f32]) {
        let (radii, angles) = lanes.split_at_mut(LANES / 2);
        for (u, v) in radii.iter_mut().zip(angles) {
            let (first, second) = box_muller(f64::from(1.0 - *u), f64::from(*v));
            (*u, *v) = (first as f32, second as f32);
        }
    }
}

impl Normal for TorchCpu {
    fn normal(&mut self, n: usize) -> Vec<f32> {
        if n < LANES {
            return (0..n).map(|_| self.scalar() as f32).collect();
        }
        let mut numbers: Vec<f32> = (0..n).map(|_| self.single()).collect();
        numbers.chunks_exact_mut(LANES).for_each(Self::fill);
        if !n.is_multiple_of(LANES) {
            // The tail is drawn again as a full group that overlaps the group before it.
            let tail = &mut numbers[n - LANES..];
            tail.iter_mut().for_each(|x| *x = self.single());
            Self::fill(tail);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_stream_is_mt19937() {
        // C++ standard, [rand.predef]: the 10000th word of a default-seeded mt19937.
        let mut generator = TorchCpu::new(5489);
        let last = (0..10_000).map(|_| generator.words.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
