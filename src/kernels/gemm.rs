//! Owns the linear layer: weights packed once, and the blocked multi-threaded product with
//! everything fused behind it.

use super::Cpu;
use super::arena::{Aligned, Buffer};
use super::epilogue::{Epilogue, Output};
use super::gemm_blocks::{Block, Operand, WeightScales, run_blocks};
use super::panels::{LaneKind, PanelFormat, PanelShape, Panels, Precision, WeightSlice};
use super::rows::{self, Rows};
use half::bf16;

/// The stored weights of a linear layer.
#[derive(Clone, Copy)]
pub(crate) struct LinearWeights<'a> {
    /// [n_i, inputs] row-major matrices, one below another: query, key and value of an attention
    /// become one layer.
    pub matrices: &'a [WeightSlice<'a>],
    /// Columns of each matrix.
    pub inputs: usize,
    /// One number per output row.
    pub bias: Option<&'a [f32]>,
    /// Meaning of the rows.
    pub gating: Gating,
}

/// Gating of the outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Gating {
    /// One output per row.
    #[default]
    None,
    /// The first half of the rows are values, the second their gates: out = value * gelu(gate),
    /// half as many outputs.
    Geglu,
}

/// The input of a linear layer.
#[derive(Clone, Copy)]
pub(crate) enum LinearInput<'a> {
    /// Matrices side by side, read as one without being joined.
    F32(&'a [Rows<'a>]),
    /// One matrix already in bf16.
    Bf16(Rows<'a, bf16>),
}

/// A linear layer with packed weights: y = x W^T + bias.
pub(crate) struct PackedLinear {
    panels: Panels,
    inputs: usize,
    outputs: usize,
    gating: Gating,
    /// Padded to whole panels.
    bias: Aligned<f32>,
    quantization: Option<WeightScales>,
}

/// Largest 8-bit weight.
const INT8_MAX: f32 = 127.0;

impl PackedLinear {
    /// Packs `weights` for the instruction set of `cpu`.
    ///
    /// # Panics
    /// If a matrix is not a whole number of rows, or the bias is not as long as the rows.
    pub(crate) fn pack(
        cpu: &Cpu,
        weights: &LinearWeights<'_>,
        precision: Precision,
    ) -> PackedLinear {
        let rows = weights.rows();
        assert!(
            weights.bias.is_none_or(|b| b.len() == rows),
            "a bias for each of {rows} rows"
        );
        let map = ColumnMap {
            width: cpu.isa().width(),
            rows,
            gating: weights.gating,
        };
        let count = map.panels();
        let columns = count * 2 * map.width;
        let mut bias = Aligned::zeroed(columns);
        for (c, b) in bias.iter_mut().enumerate() {
            *b = map
                .row(c)
                .zip(weights.bias)
                .map_or(0.0, |(row, values)| values[row]);
        }
        let quantization =
            (precision == Precision::Int8).then(|| WeightScales::of(cpu, weights, &map));
        let shape = PanelShape {
            count,
            taps: 1,
            inputs: weights.inputs,
        };
        let panels = Panels::pack(
            cpu,
            shape,
            PanelFormat::of(precision, cpu.isa()),
            |panel, j, out| {
                let column = panel * 2 * map.width + j;
                if let Some(row) = map.row(column) {
                    weights.widen_row(row, out);
                    if let Some(quantization) = &quantization {
                        let inverse = 1.0 / quantization.scales[column];
                        out.iter_mut().for_each(|w| *w = (*w * inverse).round());
                    }
                }
            },
        );
        let outputs = map.outputs();
        PackedLinear {
            panels,
            inputs: weights.inputs,
            outputs,
            gating: weights.gating,
            bias,
            quantization,
        }
    }

    /// Numbers in an output row.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Returns true if products take bf16 inputs, so that the previous layer may as well write
    /// bf16.
    pub(crate) fn wants_bf16(&self) -> bool {
        self.panels.kind == LaneKind::Bf16
    }

    /// y [rows, outputs] from x [rows, inputs].
    ///
    /// # Panics
    /// If a shape does not fit.
    pub(crate) fn forward(
        &self,
        cpu: &Cpu,
        rows: usize,
        input: LinearInput<'_>,
        epilogue: Epilogue<'_>,
        mut out: Output<'_>,
    ) {
        let columns = if self.gating == Gating::Geglu {
            2 * self.outputs
        } else {
            self.outputs
        };
        cpu.count_work(rows * columns * self.inputs);
        assert_eq!(
            out.len(),
            rows * self.outputs,
            "an output of {rows} rows of {}",
            self.outputs
        );
        assert_eq!(input.columns(), self.inputs, "input columns");
        input.check(rows);
        let prepared = Prepared::new(cpu, rows, &input, self.panels.kind);
        let target = out.target();
        let block = Block {
            panels: &self.panels,
            bias: &self.bias,
            scales: self.quantization.as_ref().zip(prepared.scales.as_deref()),
            gated: self.gating == Gating::Geglu,
            outputs: self.outputs,
            activation: epilogue.activation,
            residual: epilogue.residual.find(rows, self.outputs, target),
            target,
        };
        // SAFETY: shapes were checked above; operands point into the input or into `prepared`, both
        // alive.
        unsafe { run_blocks(cpu, rows, &prepared.operands, &block) };
    }
}

impl LinearInput<'_> {
    fn columns(&self) -> usize {
        match self {
            LinearInput::F32(parts) => parts.iter().map(Rows::columns).sum(),
            LinearInput::Bf16(rows) => rows.columns(),
        }
    }

    fn check(&self, rows: usize) {
        match self {
            LinearInput::F32(parts) => parts.iter().for_each(|p| p.check(rows)),
            LinearInput::Bf16(part) => part.check(rows),
        }
    }
}

/// The input in the lanes of the weights: in place, or a converted copy.
struct Prepared {
    operands: Vec<Operand>,
    scales: Option<Buffer<f32>>,
    _half: Option<Buffer<u16>>,
    _full: Option<Buffer<f32>>,
    _bytes: Option<Buffer<u8>>,
}

impl Prepared {
    fn new(cpu: &Cpu, rows: usize, input: &LinearInput<'_>, kind: LaneKind) -> Prepared {
        let mut prepared = Prepared {
            operands: Vec::new(),
            scales: None,
            _half: None,
            _full: None,
            _bytes: None,
        };
        let columns = input.columns();
        let even = columns.next_multiple_of(2);
        let one = |a: *const f32, stride: usize, depth: usize| vec![Operand { a, stride, depth }];
        match (kind, input) {
            (LaneKind::F32, LinearInput::F32(parts)) => {
                let operand = |p: &Rows<'_>| Operand {
                    a: p.as_ptr(),
                    stride: p.stride(),
                    depth: p.columns(),
                };
                prepared.operands = parts.iter().map(operand).collect();
            }
            (LaneKind::F32, LinearInput::Bf16(part)) => {
                let full = rows::to_f32(cpu, rows, *part);
                prepared.operands = one(full.as_ptr(), columns, columns);
                prepared._full = Some(full);
            }
            (LaneKind::Bf16, LinearInput::Bf16(part))
                if part.columns() % 2 == 0 && part.stride() % 2 == 0 =>
            {
                prepared.operands = one(part.as_ptr().cast(), part.stride() / 2, columns / 2);
            }
            (LaneKind::Bf16, _) => {
                let half = match input {
                    LinearInput::F32(parts) => rows::to_bf16(cpu, rows, parts, even),
                    LinearInput::Bf16(part) => rows::copy_bf16(cpu, rows, *part, even),
                };
                prepared.operands = one(half.as_ptr().cast(), even / 2, even / 2);
                prepared._half = Some(half);
            }
            (LaneKind::Int8, LinearInput::F32(parts)) => prepared.quantize(cpu, rows, parts),
            (LaneKind::Int8, LinearInput::Bf16(part)) => {
                let full = rows::to_f32(cpu, rows, *part);
                prepared.quantize(cpu, rows, &[Rows::new(&full, columns)]);
            }
        }
        prepared
    }

    fn quantize(&mut self, cpu: &Cpu, rows: usize, parts: &[Rows<'_>]) {
        let quantized = rows::quantize(cpu, rows, parts);
        let lanes = quantized.stride / 4;
        self.operands = vec![Operand {
            a: quantized.bytes.as_ptr().cast(),
            stride: lanes,
            depth: lanes,
        }];
        self.scales = Some(quantized.scales);
        self._bytes = Some(quantized.bytes);
    }
}

/// Map from each packed column to its stored row.
struct ColumnMap {
    width: usize,
    rows: usize,
    gating: Gating,
}

impl ColumnMap {
    fn outputs(&self) -> usize {
        match self.gating {
            Gating::None => self.rows,
            Gating::Geglu => self.rows / 2,
        }
    }

    fn panels(&self) -> usize {
        match self.gating {
            Gating::None => self.rows.div_ceil(2 * self.width),
            Gating::Geglu => self.outputs().div_ceil(self.width),
        }
    }

    /// Stored row of a packed `column`; `None` for padding. A gated panel is WIDTH values next to
    /// their WIDTH gates, so that both come out of one tile.
    fn row(&self, column: usize) -> Option<usize> {
        match self.gating {
            Gating::None => (column < self.rows).then_some(column),
            Gating::Geglu => {
                let (panel, j) = (column / (2 * self.width), column % (2 * self.width));
                let output = panel * self.width + j % self.width;
                (output < self.outputs()).then_some(output + j / self.width * self.outputs())
            }
        }
    }
}

impl LinearWeights<'_> {
    fn rows(&self) -> usize {
        let rows = |m: &WeightSlice<'_>| {
            assert_eq!(
                m.len() % self.inputs,
                0,
                "a matrix of rows of {}",
                self.inputs
            );
            m.len() / self.inputs
        };
        self.matrices.iter().map(rows).sum()
    }

    /// Row `row` of the stacked matrices as f32.
    fn widen_row(&self, row: usize, out: &mut [f32]) {
        let mut start = row * self.inputs;
        for matrix in self.matrices {
            if start < matrix.len() {
                return matrix.widen(start, out);
            }
            start -= matrix.len();
        }
    }
}

impl WeightScales {
    fn of(cpu: &Cpu, weights: &LinearWeights<'_>, map: &ColumnMap) -> WeightScales {
        let columns = map.panels() * 2 * map.width;
        let mut pairs = vec![(1f32, 0i32); columns];
        cpu.pool().for_chunks(&mut pairs, 16, |block, chunk| {
            let mut row = vec![0f32; weights.inputs];
            for (i, pair) in chunk.iter_mut().enumerate() {
                let Some(r) = map.row(block * 16 + i) else {
                    continue;
                };
                weights.widen_row(r, &mut row);
                let scale = (row.iter().fold(0f32, |a, w| a.max(w.abs())) / INT8_MAX).max(1e-30);
                let inverse = 1.0 / scale;
                *pair = (
                    scale,
                    row.iter().map(|w| (w * inverse).round() as i32).sum(),
                );
            }
        });
        let mut scales = Aligned::zeroed(columns);
        let mut offsets = Aligned::zeroed(columns);
        for (c, (scale, sum)) in pairs.into_iter().enumerate() {
            scales[c] = scale;
            offsets[c] = (-128 * sum) as u32;
        }
        WeightScales { scales, offsets }
    }
}

#[cfg(test)]
#[path = "gemm_tests.rs"]
mod tests;
