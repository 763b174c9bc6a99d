use super::super::Isa;
use super::super::testing::{Random, every_isa, relative_rms};
use super::*;

struct Case {
    shape: AttentionShape,
    queries: usize,
    keys: usize,
    mask: Mask,
    q: Vec<f32>,
    /// Keys and values in one matrix, as a fused projection leaves them.
    kv: Vec<f32>,
}

impl Case {
    fn new(
        (batch, heads, head_dim): (usize, usize, usize),
        queries: usize,
        keys: usize,
        mask: Mask,
    ) -> Case {
        let shape = AttentionShape {
            batch,
            heads,
            head_dim,
        };
        let mut random = Random::new(head_dim * 1000 + keys);
        let q = random
            .normal(batch * queries * shape.columns())
            .iter()
            .map(|x| x * 2.0)
            .collect();
        let kv = random.normal(batch * keys * 2 * shape.columns());
        Case {
            shape,
            queries,
            keys,
            mask,
            q,
            kv,
        }
    }

    fn key_values(&self) -> (Rows<'_>, Rows<'_>) {
        let c = self.shape.columns();
        (
            Rows::strided(&self.kv, c, 2 * c),
            Rows::strided(&self.kv[c..], c, 2 * c),
        )
    }

    fn reference(&self) -> Vec<f64> {
        let (
            AttentionShape {
                batch,
                heads,
                head_dim,
            },
            c,
        ) = (self.shape, self.shape.columns());
        let (k, v) = self.key_values();
        let mut out = vec![0f64; batch * self.queries * c];
        for (b, h, i) in (0..batch * heads * self.queries).map(|n| {
            (
                n / (heads * self.queries),
                n / self.queries % heads,
                n % self.queries,
            )
        }) {
            let q = &self.q[(b * self.queries + i) * c + h * head_dim..][..head_dim];
            let seen = if self.mask == Mask::Causal {
                self.keys.min(i + 1)
            } else {
                self.keys
            };
            let score = |j: usize| {
                let k = &k.row(b * self.keys + j)[h * head_dim..];
                q.iter()
                    .zip(k)
                    .map(|(q, k)| f64::from(*q) * f64::from(*k))
                    .sum::<f64>()
                    / (head_dim as f64).sqrt()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let greatest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - greatest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..head_dim {
                let value = |j: usize| f64::from(v.row(b * self.keys + j)[h * head_dim + d]);
                out[(b * self.queries + i) * c + h * head_dim + d] =
                    (0..seen).map(|j| weights[j] * value(j)).sum::<f64>() / sum;
            }
        }
        out
    }

    fn run(&self, cpu: &Cpu, precision: Precision) -> Vec<f32> {
        let (k, v) = self.key_values();
        let kv = PackedKv::pack(cpu, self.shape, self.keys, k, v, precision);
        let mut out = vec![f32::NAN; self.shape.batch * self.queries * self.shape.columns()];
        attend(
            cpu,
            self.queries,
            Rows::new(&self.q, self.shape.columns()),
            &kv,
            self.mask,
            Output::F32(&mut out),
        );
        out
    }
}

#[test]
fn attention_matches_float64_for_any_head_and_any_number_of_keys() {
    let cases = [
        Case::new((2, 2, 40), 70, 77, Mask::None),
        Case::new((1, 3, 5), 9, 1, Mask::None),
        Case::new((1, 1, 8), 33, 300, Mask::None),
        Case::new((2, 1, 64), 77, 77, Mask::Causal),
        Case::new((1, 2, 7), 150, 150, Mask::Causal),
        Case::new((1, 1, 512), 17, 154, Mask::None),
        Case::new((1, 2, 80), 1, 129, Mask::None),
        Case::new((1, 1, 160), 64, 256, Mask::None),
    ];
    for case in cases {
        let expected = case.reference();
        every_isa(|cpu| {
            for (precision, tolerance) in [(Precision::F32, 2e-6), (Precision::Bf16, 1.5e-2)] {
                // Measured at most: f32 4e-7, bf16 6e-3.
                let error = relative_rms(&case.run(cpu, precision), &expected);
                assert!(
                    error < tolerance,
                    "{} {precision:?} {:?} {} keys: {error:e}",
                    cpu.isa(),
                    case.shape,
                    case.keys
                );
            }
        });
    }
}

#[test]
fn scores_far_apart_neither_overflow_nor_vanish() {
    every_isa(|cpu| {
        let mut case = Case::new((1, 1, 4), 3, 200, Mask::None);
        case.q.iter_mut().for_each(|x| *x *= 1e3);
        assert!(relative_rms(&case.run(cpu, Precision::F32), &case.reference()) < 1e-3);
    });
}

#[test]
fn packed_keys_serve_many_queries_and_bf16_outputs_are_rounded() {
    let case = Case::new((2, 2, 16), 40, 77, Mask::None);
    every_isa(|cpu| {
        let (k, v) = case.key_values();
        let kv = PackedKv::pack(cpu, case.shape, case.keys, k, v, Precision::F32);
        let full = case.run(cpu, Precision::F32);
        for _ in 0..2 {
            let mut out = vec![half::bf16::ZERO; full.len()];
            attend(
                cpu,
                case.queries,
                Rows::new(&case.q, 32),
                &kv,
                Mask::None,
                Output::Bf16(&mut out),
            );
            assert!(
                out.iter()
                    .zip(&full)
                    .all(|(h, x)| *h == half::bf16::from_f32(*x))
            );
        }
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = Case::new((2, 3, 24), 100, 300, Mask::None);
    for precision in [Precision::F32, Precision::Bf16] {
        let run = |threads| case.run(&Cpu::new(Isa::detect(), threads), precision);
        let one = run(1);
        assert!([2, 5].into_iter().all(|threads| run(threads) == one));
    }
}
