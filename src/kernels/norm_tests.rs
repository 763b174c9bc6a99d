use super::super::testing::{Random, every_isa, relative_rms};
use super::super::{Activation, Isa};
use super::*;

/// Group norm of joined parts in f64, applied.
fn reference(input: &ConvInput<'_>, norm: &GroupNorm<'_>) -> Vec<f64> {
    let (channels, pixels) = (input.channels(), input.height * input.width);
    let mut joined = Vec::new();
    for pixel in 0..input.batch * pixels {
        joined.extend(
            input
                .parts
                .iter()
                .flat_map(|(data, c)| &data[pixel * c..][..*c])
                .map(|x| f64::from(*x)),
        );
    }
    let size = channels / norm.groups;
    let mut out = joined.clone();
    for image in 0..input.batch {
        for group in 0..norm.groups {
            let members: Vec<usize> = (0..pixels)
                .flat_map(|p| (0..size).map(move |c| (p, c)))
                .map(|(p, c)| (image * pixels + p) * channels + group * size + c)
                .collect();
            let mean = members.iter().map(|i| joined[*i]).sum::<f64>() / members.len() as f64;
            let variance = members
                .iter()
                .map(|i| (joined[*i] - mean).powi(2))
                .sum::<f64>()
                / members.len() as f64;
            for i in members {
                let c = i % channels;
                let scaled =
                    (joined[i] - mean) / (variance + norm.eps).sqrt() * f64::from(norm.weight[c]);
                out[i] = scaled + f64::from(norm.bias[c]);
            }
        }
    }
    out
}

#[test]
fn group_norm_of_joined_parts_matches_float64_even_far_from_zero() {
    // Measured at most: 2e-7 around zero, 1.2e-5 with a mean of 100 deviations, where x scale +
    // shift cancels.
    for (offset, tolerance) in [(0.0, 1e-6), (100.0, 3e-5)] {
        for (parts, groups, size) in [
            (vec![8, 24], 4, (17, 19)),
            (vec![6], 3, (1, 1)),
            (vec![96], 32, (30, 33)),
            (vec![70, 3], 1, (4, 5)),
        ] {
            let channels: usize = parts.iter().sum();
            let mut random = Random::new(channels);
            let mut map = |c: usize| -> Vec<f32> {
                random
                    .normal(2 * size.0 * size.1 * c)
                    .iter()
                    .map(|x| x + offset)
                    .collect()
            };
            let data: Vec<Vec<f32>> = parts.iter().map(|c| map(*c)).collect();
            let parts: Vec<(&[f32], usize)> = data
                .iter()
                .map(|d| &d[..])
                .zip(parts.iter().copied())
                .collect();
            let (weight, bias) = (random.normal(channels), random.normal(channels));
            let norm = GroupNorm {
                groups,
                eps: 1e-5,
                weight: &weight,
                bias: &bias,
            };
            let input = ConvInput::plain(&parts, 2, size.0, size.1);
            let expected = reference(&input, &norm);
            every_isa(|cpu| {
                let affine = group_norm(cpu, &input, &norm);
                let mut out = vec![0f32; expected.len()];
                transform(
                    cpu,
                    &ConvInput {
                        affine: Some(&affine),
                        ..input
                    },
                    &mut out,
                );
                let error = relative_rms(&out, &expected);
                assert!(
                    error < tolerance,
                    "{} {channels} channels, offset {offset}: {error:e}",
                    cpu.isa()
                );
            });
        }
    }
}

#[test]
fn transform_applies_affine_then_activation_then_upsampling() {
    every_isa(|cpu| {
        let data = [1.0, -2.0, 3.0, -4.0];
        let affine = Affine {
            scale: vec![2.0],
            shift: vec![1.0],
        };
        let parts: [(&[f32], usize); 1] = [(&data, 1)];
        let input = ConvInput {
            affine: Some(&affine),
            activation: Activation::Silu,
            upsample_to: Some((3, 4)),
            ..ConvInput::plain(&parts, 1, 2, 2)
        };
        let mut out = vec![0f32; 12];
        transform(cpu, &input, &mut out);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let expected: Vec<f64> = [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3]
            .map(|i: usize| silu(f64::from(data[i]) * 2.0 + 1.0))
            .to_vec();
        assert!(relative_rms(&out, &expected) < 1e-6);
    });
}

#[test]
fn layer_norm_matches_float64() {
    every_isa(|cpu| {
        for (rows, columns, stride, offset) in [
            (3, 5, 9, 0.0),
            (70, 320, 320, 0.0),
            (2, 31, 40, 50.0),
            (1, 16, 16, -3.0),
        ] {
            let mut random = Random::new(columns);
            let x: Vec<f32> = random
                .normal(rows * stride)
                .iter()
                .map(|x| x + offset)
                .collect();
            let (weight, bias) = (random.normal(columns), random.normal(columns));
            let x = Rows::strided(&x, columns, stride);
            let mut expected = Vec::new();
            for r in 0..rows {
                let row: Vec<f64> = x.row(r).iter().map(|v| f64::from(*v)).collect();
                let mean = row.iter().sum::<f64>() / columns as f64;
                let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / columns as f64;
                let normal = row.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt());
                expected.extend(
                    normal
                        .zip(&weight)
                        .zip(&bias)
                        .map(|((v, w), b)| v * f64::from(*w) + f64::from(*b)),
                );
            }
            let norm = LayerNorm {
                eps: 1e-5,
                weight: &weight,
                bias: &bias,
            };
            let mut out = vec![0f32; rows * columns];
            layer_norm(cpu, rows, x, &norm, Output::F32(&mut out));
            // Measured: 1.1e-7 around zero, 2e-6 with a mean of 50 deviations.
            let error = relative_rms(&out, &expected);
            assert!(error < 1e-5, "{} {columns}: {error:e}", cpu.isa());
            let mut half = vec![half::bf16::ZERO; rows * columns];
            layer_norm(cpu, rows, x, &norm, Output::Bf16(&mut half));
            assert!(
                half.iter()
                    .zip(&out)
                    .all(|(h, x)| *h == half::bf16::from_f32(*x))
            );
        }
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let x = Random::new(8).normal(1000 * 64);
    let parts: [(&[f32], usize); 1] = [(&x, 64)];
    let (weight, bias) = (vec![1.0; 64], vec![0.0; 64]);
    let norm = GroupNorm {
        groups: 8,
        eps: 1e-5,
        weight: &weight,
        bias: &bias,
    };
    let run = |threads| {
        group_norm(
            &Cpu::new(Isa::detect(), threads),
            &ConvInput::plain(&parts, 1, 40, 25),
            &norm,
        )
        .scale
    };
    assert_eq!(run(1), run(3));
}
