//! Multiplication speed of the processor, measured on a linear layer of made-up numbers.

use std::time::{Duration, Instant};

use super::backend::Backend;
use crate::kernels::{
    Epilogue, Gating, LinearInput, LinearWeights, Output, PackedLinear, Rows, WeightSlice,
};

/// Inputs and outputs of the layer, as in the middle of a UNet.
const SIDE: usize = 640;
/// Tokens of the input.
const TOKENS: usize = 1024;
/// Duration of the measurement; the fastest run counts.
const WHILE: Duration = Duration::from_millis(300);

/// Arithmetic operations per second; `None` on devices other than the CPU.
pub(crate) fn pace(backend: &Backend) -> Option<f64> {
    let host = backend.host.as_ref()?;
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i % 17) as f32 * 0.01 - 0.08)
            .collect::<Vec<f32>>()
    };
    let (weights, x) = (numbers(SIDE * SIDE), numbers(TOKENS * SIDE));
    let matrices = [WeightSlice::F32(&weights)];
    let packing = LinearWeights {
        matrices: &matrices,
        inputs: SIDE,
        bias: None,
        gating: Gating::None,
    };
    let layer = PackedLinear::pack(&host.cpu, &packing, host.precision.for_layer(SIDE * SIDE));
    let mut out = vec![0.0; TOKENS * SIDE];
    let rows = [Rows::new(&x, SIDE)];
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < WHILE {
        let run = Instant::now();
        let input = LinearInput::F32(&rows);
        layer.forward(
            &host.cpu,
            TOKENS,
            input,
            Epilogue::default(),
            Output::F32(&mut out),
        );
        best = best.min(run.elapsed());
    }
    Some((2 * TOKENS * SIDE * SIDE) as f64 / best.as_secs_f64())
}
