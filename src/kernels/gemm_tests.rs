use super::super::testing::{Random, every_isa, relative_rms};
use super::super::{Activation, Epilogue, Output};
use super::*;
use half::f16;

/// x W^T + bias in f64.
fn reference(x: &[f32], w: &[f32], bias: &[f32], k: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks_exact(k) {
        for (column, b) in w.chunks_exact(k).zip(bias) {
            y.push(
                row.iter()
                    .zip(column)
                    .map(|(x, w)| f64::from(*x) * f64::from(*w))
                    .sum::<f64>()
                    + f64::from(*b),
            );
        }
    }
    y
}

const SHAPES: [(usize, usize, usize); 9] = [
    (1, 4, 4),
    (2, 3, 5),
    (13, 33, 7),
    (77, 40, 24),
    (29, 320, 64),
    (5, 100, 1300),
    (200, 31, 129),
    (64, 64, 641),
    (3, 352, 960),
];

#[test]
fn products_match_float64_on_ragged_shapes_in_every_precision() {
    // Measured relative rms errors: f32 and f16 weights 6.1e-7 at k = 1300, bf16 2.4e-3, int8
    // 9.2e-3.
    let tolerances = [
        (Precision::F32, 1e-6),
        (Precision::F16Weights, 1e-6),
        (Precision::Bf16, 5e-3),
        (Precision::Int8, 2e-2),
    ];
    every_isa(|cpu| {
        for (m, n, k) in SHAPES {
            let mut random = Random::new(m * n + k);
            let (x, bias) = (random.normal(m * k), random.normal(n));
            // Values that f16 holds exactly, so that F16Weights loses nothing.
            let w: Vec<f32> = random
                .normal(n * k)
                .iter()
                .map(|v| f16::from_f32(*v).to_f32())
                .collect();
            let expected = reference(&x, &w, &bias, k);
            for (precision, tolerance) in tolerances {
                let matrices = [WeightSlice::F32(&w)];
                let weights = LinearWeights {
                    matrices: &matrices,
                    inputs: k,
                    bias: Some(&bias),
                    gating: Gating::None,
                };
                let layer = PackedLinear::pack(cpu, &weights, precision);
                let mut y = vec![f32::NAN; m * n];
                layer.forward(
                    cpu,
                    m,
                    LinearInput::F32(&[Rows::new(&x, k)]),
                    Epilogue::default(),
                    Output::F32(&mut y),
                );
                let error = relative_rms(&y, &expected);
                assert!(
                    error < tolerance,
                    "{} {precision:?} {m}x{n}x{k}: {error:e}",
                    cpu.isa()
                );
            }
        }
    });
}

#[test]
fn stacked_matrices_of_any_type_pack_as_one() {
    every_isa(|cpu| {
        let (m, k) = (7, 24);
        let mut random = Random::new(5);
        let x = random.normal(m * k);
        let w: Vec<f32> = random
            .normal(60 * k)
            .iter()
            .map(|v| half::bf16::from_f32(*v).to_f32())
            .collect();
        let (a, rest) = w.split_at(20 * k);
        let (b, c) = rest.split_at(9 * k);
        let b: Vec<half::bf16> = b.iter().map(|v| half::bf16::from_f32(*v)).collect();
        let matrices = [
            WeightSlice::F32(a),
            WeightSlice::Bf16(&b),
            WeightSlice::F32(c),
        ];
        let weights = LinearWeights {
            matrices: &matrices,
            inputs: k,
            bias: None,
            gating: Gating::None,
        };
        let layer = PackedLinear::pack(cpu, &weights, Precision::F32);
        let mut y = vec![0f32; m * 60];
        layer.forward(
            cpu,
            m,
            LinearInput::F32(&[Rows::new(&x, k)]),
            Epilogue::default(),
            Output::F32(&mut y),
        );
        assert!(relative_rms(&y, &reference(&x, &w, &[0.0; 60], k)) < 5e-7);
    });
}

#[test]
fn column_slices_side_by_side_and_a_residual_are_read_in_place() {
    every_isa(|cpu| {
        let (m, n, k1, k2) = (19, 37, 20, 13);
        let k = k1 + k2;
        let mut random = Random::new(6);
        let (wide, other) = (random.normal(m * 60), random.normal(m * k2));
        let (w, bias, residual) = (
            random.normal(n * k),
            random.normal(n),
            random.normal(m * 50),
        );
        let parts = [Rows::strided(&wide[11..], k1, 60), Rows::new(&other, k2)];
        let x: Vec<f32> = (0..m)
            .flat_map(|i| [parts[0].row(i), parts[1].row(i)].concat())
            .collect();
        let epilogue = Epilogue {
            activation: Activation::Silu,
            residual: super::super::Residual::Rows(Rows::strided(&residual[3..], n, 50)),
        };
        let mut expected = reference(&x, &w, &bias, k);
        for (i, y) in expected.iter_mut().enumerate() {
            *y = *y / (1.0 + (-*y).exp()) + f64::from(residual[3 + i / n * 50 + i % n]);
        }
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let matrices = [WeightSlice::F32(&w)];
            let weights = LinearWeights {
                matrices: &matrices,
                inputs: k,
                bias: Some(&bias),
                gating: Gating::None,
            };
            let layer = PackedLinear::pack(cpu, &weights, precision);
            let mut y = vec![0f32; m * n];
            layer.forward(
                cpu,
                m,
                LinearInput::F32(&parts),
                epilogue,
                Output::F32(&mut y),
            );
            let tolerance = if precision == Precision::F32 {
                5e-7
            } else {
                2e-2
            };
            assert!(
                relative_rms(&y, &expected) < tolerance,
                "{} {precision:?}",
                cpu.isa()
            );
        }
    });
}

#[test]
fn gated_outputs_multiply_values_with_gelu_of_their_gates() {
    every_isa(|cpu| {
        for (m, half, k) in [(5, 7, 12), (33, 80, 20), (14, 16, 9)] {
            let mut random = Random::new(m);
            let (x, w, bias) = (
                random.normal(m * k),
                random.normal(2 * half * k),
                random.normal(2 * half),
            );
            let both = reference(&x, &w, &bias, k);
            let gelu = |x: f64| 0.5 * x * (1.0 + super::super::testing::erf(x / 2f64.sqrt()));
            let expected: Vec<f64> = (0..m * half)
                .map(|i| {
                    both[i / half * 2 * half + i % half]
                        * gelu(both[i / half * 2 * half + half + i % half])
                })
                .collect();
            let matrices = [WeightSlice::F32(&w)];
            let weights = LinearWeights {
                matrices: &matrices,
                inputs: k,
                bias: Some(&bias),
                gating: Gating::Geglu,
            };
            let layer = PackedLinear::pack(cpu, &weights, Precision::F32);
            let mut y = vec![0f32; m * half];
            layer.forward(
                cpu,
                m,
                LinearInput::F32(&[Rows::new(&x, k)]),
                Epilogue::default(),
                Output::F32(&mut y),
            );
            // Measured 2.6e-7.
            assert!(relative_rms(&y, &expected) < 1e-6, "{}", cpu.isa());
        }
    });
}

#[test]
fn bf16_inputs_and_outputs_are_rounded_once() {
    every_isa(|cpu| {
        for (m, n, k) in [(9, 21, 14), (4, 40, 33)] {
            let mut random = Random::new(k);
            let x: Vec<half::bf16> = random
                .normal(m * k)
                .iter()
                .map(|v| half::bf16::from_f32(*v))
                .collect();
            let w: Vec<f32> = random
                .normal(n * k)
                .iter()
                .map(|v| half::bf16::from_f32(*v).to_f32())
                .collect();
            let full: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
            let expected = reference(&full, &w, &vec![0.0; n], k);
            for precision in [Precision::F32, Precision::Bf16] {
                let matrices = [WeightSlice::F32(&w)];
                let weights = LinearWeights {
                    matrices: &matrices,
                    inputs: k,
                    bias: None,
                    gating: Gating::None,
                };
                let layer = PackedLinear::pack(cpu, &weights, precision);
                let mut y = vec![half::bf16::ZERO; m * n];
                layer.forward(
                    cpu,
                    m,
                    LinearInput::Bf16(Rows::new(&x, k)),
                    Epilogue::default(),
                    Output::Bf16(&mut y),
                );
                let y: Vec<f32> = y.iter().map(|v| v.to_f32()).collect();
                // Only the output's rounding is left: 1.6e-3 measured.
                assert!(
                    relative_rms(&y, &expected) < 3e-3,
                    "{} {precision:?}",
                    cpu.isa()
                );
            }
        }
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (m, n, k) = (300, 200, 1500);
    let mut random = Random::new(1);
    let (x, w) = (random.normal(m * k), random.normal(n * k));
    let run = |threads: usize, precision: Precision| {
        let cpu = Cpu::new(super::super::Isa::detect(), threads);
        let matrices = [WeightSlice::F32(&w)];
        let weights = LinearWeights {
            matrices: &matrices,
            inputs: k,
            bias: None,
            gating: Gating::None,
        };
        let layer = PackedLinear::pack(&cpu, &weights, precision);
        let mut y = vec![0f32; m * n];
        layer.forward(
            &cpu,
            m,
            LinearInput::F32(&[Rows::new(&x, k)]),
            Epilogue::default(),
            Output::F32(&mut y),
        );
        y
    };
    for precision in [
        Precision::F32,
        Precision::F16Weights,
        Precision::Bf16,
        Precision::Int8,
    ] {
        let one = run(1, precision);
        assert!(
            [2, 3, 7]
                .iter()
                .all(|threads| run(*threads, precision) == one)
        );
    }
}
