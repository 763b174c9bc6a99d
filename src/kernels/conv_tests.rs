use super::super::testing::{Random, every_isa, relative_rms};
use super::super::{Activation, Affine, Isa, WeightSlice};
use super::*;
use half::f16;

/// A layer, its input and the terms added, with the convolution computed in f64.
struct Case {
    geometry: Geometry,
    parts: Vec<(Vec<f32>, usize)>,
    batch: usize,
    size: (usize, usize),
    upsample_to: Option<(usize, usize)>,
    affine: Option<Affine>,
    activation: Activation,
    weights: Vec<f32>,
    bias: Vec<f32>,
    image_bias: Option<Vec<f32>>,
    residual: Option<Vec<f32>>,
}

impl Case {
    fn new(geometry: Geometry, parts: &[usize], batch: usize, size: (usize, usize)) -> Case {
        let g = geometry;
        assert_eq!(parts.iter().sum::<usize>(), g.inputs);
        let mut random = Random::new(g.inputs * 7 + g.outputs * 3 + size.0 * 31 + size.1);
        Case {
            geometry,
            parts: parts
                .iter()
                .map(|c| (random.normal(batch * size.0 * size.1 * c), *c))
                .collect(),
            batch,
            size,
            upsample_to: None,
            affine: None,
            activation: Activation::None,
            weights: random.normal(g.outputs * g.inputs * g.kernel * g.kernel),
            bias: random.normal(g.outputs),
            image_bias: None,
            residual: None,
        }
    }

    /// Everything fused that can be.
    fn with_everything(mut self, upsample_to: Option<(usize, usize)>) -> Case {
        let (g, mut random) = (self.geometry, Random::new(99));
        self.upsample_to = upsample_to;
        self.affine = Some(Affine {
            scale: random.normal(self.batch * g.inputs),
            shift: random.normal(self.batch * g.inputs),
        });
        self.activation = Activation::Silu;
        self.image_bias = Some(random.normal(self.batch * g.outputs));
        let size = self.output_size();
        self.residual = Some(random.normal(self.batch * size.0 * size.1 * g.outputs));
        self
    }

    fn output_size(&self) -> (usize, usize) {
        self.geometry
            .output_size(self.upsample_to.unwrap_or(self.size))
    }

    /// The input pixel after joining, affine, activation and upsampling; zero outside.
    fn pixel(&self, image: usize, y: isize, x: isize) -> Vec<f64> {
        let seen = self.upsample_to.unwrap_or(self.size);
        if y < 0 || x < 0 || y >= seen.0 as isize || x >= seen.1 as isize {
            return vec![0.0; self.geometry.inputs];
        }
        let (y, x) = (
            y as usize * self.size.0 / seen.0,
            x as usize * self.size.1 / seen.1,
        );
        let at = (image * self.size.0 + y) * self.size.1 + x;
        let joined = self
            .parts
            .iter()
            .flat_map(|(data, c)| &data[at * c..][..*c]);
        joined
            .enumerate()
            .map(|(c, v)| {
                let affine = |a: &Affine| {
                    (
                        f64::from(a.scale[image * self.geometry.inputs + c]),
                        f64::from(a.shift[image * self.geometry.inputs + c]),
                    )
                };
                let (scale, shift) = self.affine.as_ref().map_or((1.0, 0.0), affine);
                let v = f64::from(*v) * scale + shift;
                if self.activation == Activation::Silu {
                    v / (1.0 + (-v).exp())
                } else {
                    v
                }
            })
            .collect()
    }

    fn reference(&self) -> Vec<f64> {
        let g = self.geometry;
        let (height, width) = self.output_size();
        let mut out = Vec::new();
        for image in 0..self.batch {
            for y in 0..height {
                for x in 0..width {
                    let taps: Vec<Vec<f64>> = (0..g.kernel * g.kernel)
                        .map(|t| {
                            let at = |p: usize, k: usize, pad: usize| {
                                (p * g.stride + k) as isize - pad as isize
                            };
                            self.pixel(
                                image,
                                at(y, t / g.kernel, g.padding.top),
                                at(x, t % g.kernel, g.padding.left),
                            )
                        })
                        .collect();
                    for o in 0..g.outputs {
                        let weight = |c: usize, t: usize| {
                            f64::from(self.weights[(o * g.inputs + c) * taps.len() + t])
                        };
                        let dot = |(t, pixel): (usize, &Vec<f64>)| {
                            pixel
                                .iter()
                                .enumerate()
                                .map(|(c, v)| v * weight(c, t))
                                .sum::<f64>()
                        };
                        let image_bias = self
                            .image_bias
                            .as_ref()
                            .map_or(0.0, |b| f64::from(b[image * g.outputs + o]));
                        let residual = self
                            .residual
                            .as_ref()
                            .map_or(0.0, |r| f64::from(r[out.len()]));
                        out.push(
                            taps.iter().enumerate().map(dot).sum::<f64>()
                                + f64::from(self.bias[o])
                                + image_bias
                                + residual,
                        );
                    }
                }
            }
        }
        out
    }

    fn run(&self, cpu: &Cpu, precision: Precision, algo: Algo) -> Vec<f32> {
        self.run_with(cpu, (WeightSlice::F32(&self.weights), precision), algo)
    }

    fn run_with(
        &self,
        cpu: &Cpu,
        (kernels, precision): (WeightSlice<'_>, Precision),
        algo: Algo,
    ) -> Vec<f32> {
        let weights = ConvWeights {
            kernels,
            bias: Some(&self.bias),
            geometry: self.geometry,
        };
        let layer = PackedConv::pack(cpu, &weights, precision, algo);
        let parts: Vec<(&[f32], usize)> =
            self.parts.iter().map(|(data, c)| (&data[..], *c)).collect();
        let input = ConvInput {
            affine: self.affine.as_ref(),
            activation: self.activation,
            upsample_to: self.upsample_to,
            ..ConvInput::plain(&parts, self.batch, self.size.0, self.size.1)
        };
        let size = self.output_size();
        let mut out = vec![f32::NAN; self.batch * size.0 * size.1 * self.geometry.outputs];
        let epilogue = ConvEpilogue {
            image_bias: self.image_bias.as_deref(),
            residual: Residual::None,
        };
        let Some(residual) = &self.residual else {
            layer.forward(cpu, &input, epilogue, &mut out);
            return out;
        };
        let rows = Residual::Rows(Rows::new(residual, self.geometry.outputs));
        layer.forward(
            cpu,
            &input,
            ConvEpilogue {
                residual: rows,
                ..epilogue
            },
            &mut out,
        );
        let mut onto = residual.clone();
        layer.forward(
            cpu,
            &input,
            ConvEpilogue {
                residual: Residual::Output,
                ..epilogue
            },
            &mut onto,
        );
        assert_eq!(onto, out, "a residual that the output held");
        out
    }
}

fn same(inputs: usize, outputs: usize) -> Geometry {
    Geometry {
        inputs,
        outputs,
        kernel: 3,
        stride: 1,
        padding: Padding::all(1),
    }
}

fn cases() -> Vec<Case> {
    let down = Geometry {
        stride: 2,
        ..same(10, 12)
    };
    let encoder = Geometry {
        padding: Padding {
            top: 0,
            left: 0,
            bottom: 1,
            right: 1,
        },
        ..down
    };
    let point = Geometry {
        inputs: 21,
        outputs: 34,
        kernel: 1,
        stride: 1,
        padding: Padding::default(),
    };
    vec![
        Case::new(same(4, 5), &[4], 1, (7, 9)),
        Case::new(same(9, 33), &[9], 2, (17, 19)),
        Case::new(same(3, 40), &[3], 1, (5, 30)).with_everything(None),
        Case::new(same(50, 36), &[20, 30], 2, (8, 8)).with_everything(None),
        Case::new(same(33, 64), &[33], 1, (5, 6)).with_everything(Some((10, 12))),
        Case::new(same(16, 16), &[16], 2, (5, 6)).with_everything(Some((9, 11))),
        Case::new(down, &[10], 2, (13, 10)),
        Case::new(encoder, &[10], 1, (12, 13)).with_everything(None),
        Case::new(point, &[21], 2, (6, 5)),
        Case::new(point, &[8, 13], 2, (6, 5)).with_everything(None),
        Case::new(
            Geometry {
                padding: Padding {
                    top: 0,
                    left: 2,
                    bottom: 2,
                    right: 0,
                },
                ..same(6, 7)
            },
            &[6],
            1,
            (6, 9),
        ),
    ]
}

/// The algorithms that can compute a geometry.
fn algos(g: &Geometry) -> Vec<Algo> {
    let mut all = vec![Algo::Direct];
    if g.kernel == 3 && g.stride == 1 {
        all.extend(Tile::ALL.map(Algo::Winograd));
    }
    if g.kernel == 1 && g.stride == 1 {
        all.push(Algo::Pointwise);
    }
    all
}

#[test]
fn every_algorithm_matches_float64_on_ragged_shapes_with_everything_fused() {
    for case in cases() {
        let expected = case.reference();
        every_isa(|cpu| {
            for algo in algos(&case.geometry) {
                for precision in [
                    Precision::F32,
                    Precision::F16Weights,
                    Precision::Bf16,
                    Precision::Int8,
                ] {
                    let error = relative_rms(&case.run(cpu, precision, algo), &expected);
                    // Measured at most: f32 direct and F(2x4) 4e-7, F(2x2) 3e-7, F(4x4) 6e-7; f16
                    // weights 3e-4; bf16 direct 2.5e-3, F(2x2) 4e-3, F(2x4) 8e-3, F(4x4) 1.4e-2;
                    // int8 (pointwise only) 1e-2.
                    let four = Algo::Winograd(Tile::FourByFour);
                    let tolerance = match (precision, algo) {
                        (Precision::F32, _) if algo == four => 1.5e-6,
                        (Precision::Bf16 | Precision::Int8, _) if algo == four => 2e-2,
                        (Precision::Bf16, Algo::Winograd(Tile::TwoByFour)) => 1.2e-2,
                        (Precision::F32, _) => 1e-6,
                        (Precision::F16Weights, _) => 1e-3,
                        (Precision::Bf16, _) => 8e-3,
                        (Precision::Int8, _) => 2e-2,
                    };
                    assert!(
                        error < tolerance,
                        "{} {algo:?} {precision:?} {:?} {:?}: {error:e}",
                        cpu.isa(),
                        case.geometry,
                        case.size
                    );
                }
            }
        });
    }
}

#[test]
fn large_maps_go_in_bands_with_the_same_result() {
    // 200 channels at 150 x 70: several bands of Winograd and of the direct method, against each
    // other.
    let case = Case::new(same(200, 40), &[200], 1, (150, 70)).with_everything(Some((300, 140)));
    let cpu = Cpu::new(Isa::detect(), 2);
    let direct: Vec<f64> = case
        .run(&cpu, Precision::F32, Algo::Direct)
        .into_iter()
        .map(f64::from)
        .collect();
    for tile in Tile::ALL {
        let error = relative_rms(
            &case.run(&cpu, Precision::F32, Algo::Winograd(tile)),
            &direct,
        );
        assert!(
            error < if tile == Tile::TwoByTwo { 2e-6 } else { 1e-5 },
            "{tile:?} {error:e}"
        );
    }
    assert!(cpu.arena().trim() < 64 << 20);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = Case::new(same(40, 70), &[40], 2, (19, 17)).with_everything(None);
    for algo in algos(&case.geometry) {
        for precision in [Precision::F32, Precision::Bf16] {
            let run = |threads| case.run(&Cpu::new(Isa::detect(), threads), precision, algo);
            let one = run(1);
            assert!([2, 3, 7].into_iter().all(|threads| run(threads) == one));
        }
    }
}

#[test]
fn winograd_is_for_kernels_that_leave_it_products_to_save() {
    let (isa, wide) = (Isa::detect(), same(1280, 1280));
    let planned = |geometry| plan(isa, &geometry, Precision::F32, Passes::Many);
    assert_eq!(planned(wide), Algo::Winograd(Tile::FourByFour));
    assert_eq!(planned(same(4, 320)), Algo::Direct);
    assert_eq!(planned(Geometry { stride: 2, ..wide }), Algo::Direct);
    assert_eq!(
        planned(Geometry {
            kernel: 1,
            padding: Padding::default(),
            ..wide
        }),
        Algo::Pointwise
    );
    if isa.has_bf16() {
        assert_eq!(
            plan(isa, &wide, Precision::Bf16, Passes::Many),
            Algo::Winograd(Tile::TwoByFour)
        );
        assert_eq!(
            plan(isa, &wide, Precision::Bf16, Passes::Once),
            Algo::Winograd(Tile::FourByFour)
        );
    }
}

#[test]
fn kernels_of_sixteen_bits_are_as_good_as_the_same_numbers_in_f32() {
    let mut case = Case::new(same(40, 70), &[40], 2, (19, 17));
    let narrow: Vec<f16> = case.weights.iter().map(|w| f16::from_f32(*w)).collect();
    case.weights = narrow.iter().map(|w| w.to_f32()).collect();
    every_isa(|cpu| {
        for algo in algos(&case.geometry) {
            let wide = case.run(cpu, Precision::F32, algo);
            assert_eq!(
                case.run_with(cpu, (WeightSlice::F16(&narrow), Precision::F32), algo),
                wide
            );
            assert_eq!(case.run(cpu, Precision::F16Weights, algo), wide);
        }
    });
}
