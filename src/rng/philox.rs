//! PyTorch's CUDA generator: Philox 4x32-10 (Salmon et al. 2011) as cuRAND's `curand_normal4` uses
//! it.

use super::{Normal, box_muller};

/// Numbers equal to `torch.randn` on a CUDA device for up to about 100,000 numbers a call: number i
/// is made by thread i, which takes the first of the four it could make; each call moves the
/// counter on by one.
pub struct TorchCuda {
    seed: u64,
    calls: u32,
}

impl TorchCuda {
    /// The generator after `manual_seed(seed)`.
    pub fn new(seed: u64) -> Self {
        Self { seed, calls: 0 }
    }
}

impl Normal for TorchCuda {
    fn normal(&mut self, n: usize) -> Vec<f32> {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let numbers = (0..n as u64)
            .map(|thread| {
                let [x, y, ..] = philox([self.calls, 0, thread as u32, (thread >> 32) as u32], key);
                // curand_box_muller: u in (0, 1], and the sine comes first.
                box_muller(uniform(x), uniform(y)).1 as f32
            })
            .collect();
        self.calls = self.calls.wrapping_add(1);
        numbers
    }
}

/// cuRAND's uniform in (0, 1): the middle of the word's interval.
fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

/// Ten rounds.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let wide0 = u64::from(counter[0]) * 0xd251_1f53;
        let wide1 = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (wide1 >> 32) as u32 ^ counter[1] ^ key[0],
            wide1 as u32,
            (wide0 >> 32) as u32 ^ counter[3] ^ key[1],
            wide0 as u32,
        ];
        key = [
            key[0].wrapping_add(0x9e37_79b9),
            key[1].wrapping_add(0xbb67_ae85),
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_give_the_published_vectors() {
        // Random123's known-answer file kat_vectors, philox4x32 10.
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
