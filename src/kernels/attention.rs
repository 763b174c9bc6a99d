//! Owns attention without the score matrix: keys and values packed per head, queries taken a block
//! at a time.
//!
//! Dao et al., "FlashAttention" (2022), algorithm 1, with everything transposed: scores are
//! [keys][queries], so that the softmax runs down the registers and every product has the tile's
//! shape.

use super::Cpu;
use super::attention_block::{KEYS, QueryBlock};
use super::epilogue::{Output, Target};
use super::panels::LaneKind;
use super::rows::Rows;
use super::scratch::Buffer;
use super::simd::{Bf16Lane, F32Lane, Kernel, MAX_WIDTH, Simd};
use super::source::Precision;

/// Keys packed by one task.
const PACK: usize = 256;

/// Keys that a query attends to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mask {
    /// All keys.
    #[default]
    None,
    /// Keys up to the position of the query (a text encoder).
    Causal,
}

/// The heads of an attention. Head h of a row is its columns h * head_dim on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttentionShape {
    /// Sequences.
    pub batch: usize,
    /// Heads of each.
    pub heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

impl AttentionShape {
    /// Columns of queries, keys, values and output.
    pub(crate) fn columns(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// Keys and values in the order attention reads them: keys [batch * heads][keys][head_dim], values
/// transposed.
///
/// Made once per prompt for cross-attention, whose keys and values do not change from step to step.
pub(crate) struct PackedKv {
    pub(super) shape: AttentionShape,
    /// Keys of a sequence.
    pub(super) keys: usize,
    pub(super) kind: LaneKind,
    pub(super) k: Buffer<f32>,
    pub(super) v: Buffer<f32>,
    /// Lanes of a key.
    pub(super) key_lanes: usize,
    /// Lanes of a row of transposed values: all keys, and a cache line lest rows fall on the same
    /// cache sets.
    pub(super) value_stride: usize,
}

impl PackedKv {
    /// Packs `keys` keys and values of every sequence; row b * keys + i is key i of sequence b.
    /// Products are in bf16 with `Bf16` or `Int8` where the machine has them, else in f32.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub(crate) fn pack(
        cpu: &Cpu,
        shape: AttentionShape,
        keys: usize,
        (k, v): (Rows<'_>, Rows<'_>),
        precision: Precision,
    ) -> PackedKv {
        assert!(
            k.columns() == shape.columns() && v.columns() == shape.columns(),
            "columns of {shape:?}"
        );
        assert!(keys > 0 && shape.head_dim > 0, "an attention to nothing");
        k.check(shape.batch * keys);
        v.check(shape.batch * keys);
        let narrow = matches!(precision, Precision::Bf16 | Precision::Int8) && cpu.isa().has_bf16();
        let kind = if narrow {
            LaneKind::Bf16
        } else {
            LaneKind::F32
        };
        let key_lanes = shape.head_dim.div_ceil(kind.count());
        let padded = keys.next_multiple_of(2);
        let value_stride = padded / kind.count() + MAX_WIDTH;
        let heads = shape.batch * shape.heads;
        let mut packed = PackedKv {
            shape,
            keys,
            kind,
            k: cpu.scratch().take(heads * padded * key_lanes),
            v: cpu.scratch().take(heads * shape.head_dim * value_stride),
            key_lanes,
            value_stride,
        };
        let targets = match kind {
            LaneKind::Bf16 => {
                [&mut packed.k, &mut packed.v].map(|b| Target::Bf16(b.as_mut_ptr().cast()))
            }
            LaneKind::F32 | LaneKind::Int8 => {
                [&mut packed.k, &mut packed.v].map(|b| Target::F32(b.as_mut_ptr()))
            }
        };
        let blocks = padded.div_ceil(PACK);
        let packed_ref = &packed;
        cpu.pool().run(heads * blocks, |task| {
            let (head, first) = (task / blocks, task % blocks * PACK);
            let range = first..padded.min(first + PACK);
            cpu.isa().run_bf16(PackHead {
                kv: packed_ref,
                head,
                range,
                rows: (k, v),
                targets,
            });
        });
        packed
    }

    /// Keys of a head with their padding.
    pub(super) fn padded_keys(&self) -> usize {
        self.keys.next_multiple_of(2)
    }
}

/// Packs a range of keys of one head, which no other task writes; keys past the last are zero.
struct PackHead<'a> {
    kv: &'a PackedKv,
    head: usize,
    range: std::ops::Range<usize>,
    rows: (Rows<'a>, Rows<'a>),
    targets: [Target; 2],
}

impl Kernel for PackHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for key in self.range.clone() {
            self.pack_key(s, key);
        }
        for first in self.range.clone().step_by(S::WIDTH) {
            for d in (0..self.kv.shape.head_dim).step_by(S::WIDTH) {
                self.pack_values(s, first, d);
            }
        }
    }
}

impl PackHead<'_> {
    /// The numbers of this head in row `key`.
    #[inline(always)]
    fn row<'a>(&self, rows: &Rows<'a>, key: usize) -> &'a [f32] {
        let shape = self.kv.shape;
        let (sequence, head) = (self.head / shape.heads, self.head % shape.heads);
        &rows.row(sequence * self.kv.keys + key)[head * shape.head_dim..][..shape.head_dim]
    }

    #[inline(always)]
    fn pack_key<S: Simd>(&self, s: S, key: usize) {
        let (kv, dim) = (self.kv, self.kv.shape.head_dim);
        let numbers = kv.key_lanes * kv.kind.count();
        let at = (self.head * kv.padded_keys() + key) * numbers;
        let row = if key < kv.keys {
            self.row(&self.rows.0, key)
        } else {
            &[]
        };
        for d in (0..numbers).step_by(S::WIDTH) {
            let n = row.len().saturating_sub(d).min(S::WIDTH);
            let written = (numbers - d).min(S::WIDTH);
            debug_assert!(numbers <= dim + 1);
            // SAFETY: n numbers are inside the row, and `written` inside the packed key, which is
            // this task's.
            unsafe {
                let v = if n == S::WIDTH {
                    s.load(row.as_ptr().add(d))
                } else {
                    s.load_first(row.as_ptr().wrapping_add(d), n)
                };
                self.targets[0].put(s, at + d, v, written);
            }
        }
    }

    /// Transposes the values of WIDTH keys and dimensions.
    #[inline(always)]
    fn pack_values<S: Simd>(&self, s: S, first: usize, d: usize) {
        let (kv, dim) = (self.kv, self.kv.shape.head_dim);
        let (dims, keys) = (
            (dim - d).min(S::WIDTH),
            self.range.end.min(first + S::WIDTH) - first,
        );
        let real = kv.keys.min(first + keys).saturating_sub(first);
        let mut block = [0f32; MAX_WIDTH * MAX_WIDTH];
        if dims == S::WIDTH && real == S::WIDTH {
            let from = self.row(&self.rows.1, first)[d..].as_ptr();
            // SAFETY: WIDTH rows of WIDTH numbers are there, the last as the first; the block is
            // large enough.
            unsafe { s.transpose(from, self.rows.1.stride(), block.as_mut_ptr(), S::WIDTH) };
        } else {
            for key in 0..real {
                let row = &self.row(&self.rows.1, first + key)[d..][..dims];
                row.iter()
                    .enumerate()
                    .for_each(|(i, x)| block[i * S::WIDTH + key] = *x);
            }
        }
        let stride = kv.value_stride * kv.kind.count();
        for i in 0..dims {
            // SAFETY: `keys` numbers of row d + i are this task's.
            unsafe {
                let v = s.load(block.as_ptr().add(i * S::WIDTH));
                self.targets[1].put(s, (self.head * dim + d + i) * stride + first, v, keys);
            }
        }
    }
}

/// softmax(q k^T / sqrt(head_dim)) v: `queries` queries of every sequence, row b * queries + i of
/// `q` and of the output [batch * queries, heads * head_dim].
///
/// # Panics
/// If a shape does not fit.
pub(crate) fn attend(
    cpu: &Cpu,
    queries: usize,
    q: Rows<'_>,
    kv: &PackedKv,
    mask: Mask,
    mut out: Output<'_>,
) {
    let shape = kv.shape;
    cpu.asked(2 * shape.batch * queries * kv.keys * shape.columns());
    assert_eq!(q.columns(), shape.columns(), "columns of {shape:?}");
    q.check(shape.batch * queries);
    assert_eq!(
        out.len(),
        shape.batch * queries * shape.columns(),
        "an output of {queries} queries of {shape:?}"
    );
    let target = out.target();
    let block = 2 * cpu.isa().width();
    let blocks = queries.div_ceil(block);
    cpu.pool().run(shape.batch * shape.heads * blocks, |task| {
        let (head, first) = (task / blocks, task % blocks * block);
        let dim = shape.head_dim.next_multiple_of(MAX_WIDTH);
        // Queries, outputs and their transposition, and the scores of a block of keys.
        let mut work = cpu.scratch().take::<f32>(block * (3 * dim + KEYS));
        let (queries_at, rest) = work.split_at_mut(block * dim);
        let (outputs, rest) = rest.split_at_mut(block * dim);
        let (transposed, scores) = rest.split_at_mut(block * dim);
        let count = block.min(queries - first);
        let work = QueryBlock {
            q,
            kv,
            mask,
            target,
            queries,
            head,
            first,
            count,
            panel: queries_at,
            outputs,
            transposed,
            scores,
        };
        match kv.kind {
            LaneKind::Bf16 => cpu.isa().run_bf16(work.over::<Bf16Lane>()),
            LaneKind::F32 | LaneKind::Int8 => cpu.isa().run(work.over::<F32Lane>()),
        }
    });
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
