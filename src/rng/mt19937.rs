//! PyTorch's CPU generator: MT19937 (Matsumoto & Nishimura 1998) and the order in which
//! `torch.randn` uses it.

use super::{Normal, box_muller};

const N: usize = 624;
const M: usize = 397;

/// Numbers equal to `torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed))`, up to
/// float rounding (PyTorch's vectorised logarithm and cosine are approximations; the largest
/// difference seen is 4.8e-7).
pub struct TorchCpu {
    state: [u32; N],
    next: usize,
    /// The second number of the last scalar pair, which PyTorch keeps for the next scalar call.
    kept: Option<f64>,
}

/// Numbers that PyTorch makes together; shorter requests take its scalar path.
const LANES: usize = 16;

impl TorchCpu {
    /// The generator after `manual_seed(seed)`; PyTorch seeds MT19937 with the low 32 bits.
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32
                .wrapping_mul(before ^ (before >> 30))
                .wrapping_add(i as u32);
        }
        Self {
            state,
            next: N,
            kept: None,
        }
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in [0, 1) with 24 bits.
    fn single(&mut self) -> f32 {
        (self.word() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// Uniform in [0, 1) with 53 bits.
    fn double(&mut self) -> f64 {
        let bits = (u64::from(self.word()) << 32) | u64::from(self.word());
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
        let last = (0..10_000).map(|_| generator.word()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
