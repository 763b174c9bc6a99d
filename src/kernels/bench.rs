//! Owns the interface of benches/kernels.rs to the kernels: layers over made-up numbers, ready to
//! run.

use half::bf16;

use super::arena::Aligned;
use super::conv::Algo;
use super::gemm_blocks::{PanelStep, run_panel};
use super::panels::LaneKind;
use super::tile::{Product, Start};
use super::winograd_tiles::Tile;
use super::{
    Activation, Affine, AttentionShape, ConvEpilogue, ConvInput, ConvWeights, Cpu, Epilogue,
    Gating, Geometry, GroupNorm, Isa, LayerNorm, LinearInput, LinearWeights, Mask, Output,
    PackedConv, PackedKv, PackedLinear, Padding, Passes, Precision, Rows, WeightSlice, attend,
    group_norm, layer_norm, physical_cores, plan,
};

/// Arithmetic of a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arithmetic {
    /// Single precision.
    F32,
    /// bfloat16 with sums in single precision.
    Bf16,
    /// 8-bit integers, in linear layers.
    Int8,
}

impl Arithmetic {
    fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
        }
    }

    fn lanes(self) -> LaneKind {
        match self {
            Self::F32 => LaneKind::F32,
            Self::Bf16 => LaneKind::Bf16,
            Self::Int8 => LaneKind::Int8,
        }
    }
}

/// Algorithm of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The choice of `plan` for a UNet of full size.
    Planned,
    /// The choice of `plan` for an autoencoder.
    PlannedOnce,
    /// Implicit matrix product.
    Direct,
    /// Winograd F(2x2).
    TwoByTwo,
    /// Winograd F(2x4).
    TwoByFour,
    /// Winograd F(4x4).
    FourByFour,
}

/// A kernel with its operands.
pub struct Case {
    /// Multiplications and additions of the direct method.
    pub operations: u64,
    /// Bytes of operands and result, each once.
    pub bytes: u64,
    run: Box<dyn FnMut()>,
}

impl Case {
    /// Computes once.
    pub fn run(&mut self) {
        (self.run)();
    }
}

/// This machine's kernels.
pub struct Kernels(Cpu);

impl Default for Kernels {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernels {
    /// The best instruction set on all physical cores.
    pub fn new() -> Self {
        Self(Cpu::new(Isa::detect(), physical_cores()))
    }

    /// A 3x3 convolution of `inputs` to `outputs` channels over `batch` maps of `side`, SiLU and an
    /// affine before it, a residual after.
    pub fn conv(
        &self,
        inputs: usize,
        outputs: usize,
        batch: usize,
        side: usize,
        arithmetic: Arithmetic,
        method: Method,
    ) -> Case {
        let cpu = self.0.clone();
        let padding = Padding {
            top: 1,
            left: 1,
            bottom: 1,
            right: 1,
        };
        let geometry = Geometry {
            inputs,
            outputs,
            kernel: 3,
            stride: 1,
            padding,
        };
        let weights = numbers(outputs * inputs * 9, 0.02);
        let packing = ConvWeights {
            kernels: WeightSlice::F32(&weights),
            bias: None,
            geometry,
        };
        let precision = arithmetic.precision();
        let algo = match method {
            Method::Planned => plan(cpu.isa(), &geometry, precision, Passes::Many),
            Method::PlannedOnce => plan(cpu.isa(), &geometry, precision, Passes::Once),
            Method::Direct => Algo::Direct,
            Method::TwoByTwo => Algo::Winograd(Tile::TwoByTwo),
            Method::TwoByFour => Algo::Winograd(Tile::TwoByFour),
            Method::FourByFour => Algo::Winograd(Tile::FourByFour),
        };
        let layer = PackedConv::pack(&cpu, &packing, precision, algo);
        let pixels = batch * side * side;
        let x = numbers(pixels * inputs, 1.0);
        let affine = Affine {
            scale: vec![1.0; batch * inputs],
            shift: vec![0.0; batch * inputs],
        };
        let mut out = Aligned::<f32>::zeroed(pixels * outputs);
        Case {
            operations: (2 * pixels * outputs * inputs * 9) as u64,
            bytes: (4 * (pixels * (inputs + outputs) + weights.len())) as u64,
            run: Box::new(move || {
                let parts = [(&x[..], inputs)];
                let input = ConvInput {
                    affine: Some(&affine),
                    activation: Activation::Silu,
                    ..ConvInput::plain(&parts, batch, side, side)
                };
                layer.forward(&cpu, &input, ConvEpilogue::default(), &mut out);
            }),
        }
    }

    /// A linear layer of `rows` tokens from `inputs` to `outputs` channels; with `gated`, GEGLU of
    /// twice the outputs.
    pub fn linear(
        &self,
        rows: usize,
        inputs: usize,
        outputs: usize,
        gated: bool,
        arithmetic: Arithmetic,
    ) -> Case {
        let cpu = self.0.clone();
        let columns = if gated { 2 * outputs } else { outputs };
        let weights = numbers(columns * inputs, 0.02);
        let gating = if gated { Gating::Geglu } else { Gating::None };
        let packing = LinearWeights {
            matrices: &[WeightSlice::F32(&weights)],
            inputs,
            bias: None,
            gating,
        };
        let layer = PackedLinear::pack(&cpu, &packing, arithmetic.precision());
        let x = numbers(rows * inputs, 1.0);
        let half: Vec<bf16> = x.iter().map(|x| bf16::from_f32(*x)).collect();
        let mut out = Aligned::<f32>::zeroed(rows * outputs);
        Case {
            operations: (2 * rows * columns * inputs) as u64,
            bytes: (4 * (rows * (inputs + outputs) + weights.len())) as u64,
            run: Box::new(move || {
                let parts = [Rows::new(&x, inputs)];
                let input = match arithmetic {
                    Arithmetic::Bf16 => LinearInput::Bf16(Rows::new(&half, inputs)),
                    Arithmetic::F32 | Arithmetic::Int8 => LinearInput::F32(&parts),
                };
                layer.forward(
                    &cpu,
                    rows,
                    input,
                    Epilogue::default(),
                    Output::F32(&mut out),
                );
            }),
        }
    }

    /// Attention of `queries` to `keys` in `heads` heads (of all images) of `head_dim`.
    pub fn attention(
        &self,
        queries: usize,
        keys: usize,
        heads: usize,
        head_dim: usize,
        arithmetic: Arithmetic,
    ) -> Case {
        let cpu = self.0.clone();
        let shape = AttentionShape {
            batch: 1,
            heads,
            head_dim,
        };
        let columns = heads * head_dim;
        let (q, k) = (
            numbers(queries * columns, 1.0),
            numbers(keys * columns, 1.0),
        );
        let rows = Rows::new(&k, columns);
        let kv = PackedKv::pack(&cpu, shape, keys, rows, rows, arithmetic.precision());
        let mut out = Aligned::<f32>::zeroed(queries * columns);
        Case {
            operations: (4 * queries * keys * columns) as u64,
            bytes: (4 * columns * 2 * (queries + keys)) as u64,
            run: Box::new(move || {
                attend(
                    &cpu,
                    queries,
                    Rows::new(&q, columns),
                    &kv,
                    Mask::None,
                    Output::F32(&mut out),
                );
            }),
        }
    }

    /// The statistics of a group norm of 32 groups over a map of `pixels`.
    pub fn group_norm(&self, pixels: usize, channels: usize) -> Case {
        let cpu = self.0.clone();
        let (x, weight, bias) = (
            numbers(pixels * channels, 1.0),
            vec![1.0; channels],
            vec![0.0; channels],
        );
        Case {
            operations: (3 * pixels * channels) as u64,
            bytes: (4 * pixels * channels) as u64,
            run: Box::new(move || {
                let parts = [(&x[..], channels)];
                let norm = GroupNorm {
                    groups: 32,
                    eps: 1e-5,
                    weight: &weight,
                    bias: &bias,
                };
                std::hint::black_box(group_norm(
                    &cpu,
                    &ConvInput::plain(&parts, 1, pixels, 1),
                    &norm,
                ));
            }),
        }
    }

    /// A layer norm of `rows` tokens.
    pub fn layer_norm(&self, rows: usize, channels: usize) -> Case {
        let cpu = self.0.clone();
        let (x, weight, bias) = (
            numbers(rows * channels, 1.0),
            vec![1.0; channels],
            vec![0.0; channels],
        );
        let mut out = Aligned::<f32>::zeroed(rows * channels);
        Case {
            operations: (8 * rows * channels) as u64,
            bytes: (8 * rows * channels) as u64,
            run: Box::new(move || {
                let norm = LayerNorm {
                    eps: 1e-5,
                    weight: &weight,
                    bias: &bias,
                };
                layer_norm(
                    &cpu,
                    rows,
                    Rows::new(&x, channels),
                    &norm,
                    Output::F32(&mut out),
                );
            }),
        }
    }

    /// Throughput of the register tile on operands in the first-level cache, on all threads: the
    /// upper bound of every kernel.
    pub fn peak(&self, arithmetic: Arithmetic) -> Case {
        /// Rows of a tile (few enough for any instruction set to have), lanes of depth, repetitions
        /// of a task.
        const SHAPE: (usize, usize, usize) = (12, 64, 4096);
        let (rows, depth, repetitions) = SHAPE;
        let (cpu, columns) = (self.0.clone(), 2 * self.0.isa().width());
        let kind = arithmetic.lanes();
        let threads = cpu.pool().threads();
        Case {
            operations: (2 * rows * columns * depth * kind.count() * repetitions * threads) as u64,
            bytes: 0,
            run: Box::new(move || {
                cpu.pool().run(threads, |_| {
                    let (a, b) = (
                        Aligned::<f32>::zeroed(rows * depth),
                        Aligned::<f32>::zeroed(columns * depth),
                    );
                    let mut sums = Aligned::<f32>::zeroed(rows * columns);
                    for _ in 0..repetitions {
                        let product = Product {
                            a: a.as_ptr(),
                            row_stride: depth,
                            taps: &[0],
                            depth,
                            b: b.as_ptr(),
                            tap_stride: 0,
                            sums: sums.as_mut_ptr(),
                            sums_stride: columns,
                            start: Start::Zero,
                        };
                        run_panel(
                            cpu.isa(),
                            kind,
                            PanelStep {
                                rows,
                                product,
                                finish: None,
                            },
                        );
                    }
                });
            }),
        }
    }
}

/// `n` numbers of a fixed sequence, uniform in plus and minus `scale`.
fn numbers(n: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x2545_f491u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 * 2.0 - 1.0) * scale
    };
    (0..n).map(|_| next()).collect()
}
