//! Owns attention without the score matrix: keys and values packed per head, queries taken a block
//! at a time.
//!
//! Dao et al., "FlashAttention" (2022), algorithm 1, with everything transposed: scores are
//! [keys][queries], so that the softmax runs down the registers and every product has the tile's
//! shape.

use super::Cpu;
use super::arena::Buffer;
use super::epilogue::{Output, OutputPtr};
use super::math::{exp2, exp2_bf16};
use super::panels::{LaneKind, Precision};
use super::rows::Rows;
use super::simd::{Bf16Lane, F32Lane, Kernel, Lane, MAX_WIDTH, Simd};
use super::tile::{Product, Start, multiply};
use std::marker::PhantomData;

/// Keys of a block: their scores against 2 x WIDTH queries take 16 KiB, a third of the first-level
/// cache.
const KEYS: usize = 128;
/// A lane of two ones in bf16.
const BF16_ONES: u32 = 0x3f80_3f80;
/// Score below that of any key, whose exponential is 0.
const NEVER: f32 = -1e30;
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
    shape: AttentionShape,
    /// Keys of a sequence.
    keys: usize,
    kind: LaneKind,
    k: Buffer<f32>,
    v: Buffer<f32>,
    /// Lanes of a key.
    key_lanes: usize,
    /// Lanes of a row of transposed values: all keys, and a cache line more, so that rows do not
    /// fall on the same cache sets.
    value_stride: usize,
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
        k: Rows<'_>,
        v: Rows<'_>,
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
            k: cpu.arena().take(heads * padded * key_lanes),
            v: cpu.arena().take(heads * shape.head_dim * value_stride),
            key_lanes,
            value_stride,
        };
        let targets = match kind {
            LaneKind::Bf16 => {
                [&mut packed.k, &mut packed.v].map(|b| OutputPtr::Bf16(b.as_mut_ptr().cast()))
            }
            LaneKind::F32 | LaneKind::Int8 => {
                [&mut packed.k, &mut packed.v].map(|b| OutputPtr::F32(b.as_mut_ptr()))
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
    fn padded_keys(&self) -> usize {
        self.keys.next_multiple_of(2)
    }
}

/// Packs a range of keys of one head, which no other task writes; keys past the last are zero.
struct PackHead<'a> {
    kv: &'a PackedKv,
    head: usize,
    range: std::ops::Range<usize>,
    rows: (Rows<'a>, Rows<'a>),
    targets: [OutputPtr; 2],
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
                let v = s.load_up_to(row.as_ptr().wrapping_add(d), n);
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
    cpu.count_work(2 * shape.batch * queries * kv.keys * shape.columns());
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
        let mut work = cpu.arena().take::<f32>(block * (3 * dim + KEYS));
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

/// A block of queries and the memory to work in.
struct QueryBlock<'a> {
    q: Rows<'a>,
    kv: &'a PackedKv,
    mask: Mask,
    target: OutputPtr,
    /// Queries of a sequence.
    queries: usize,
    /// Index of the head among those of all sequences.
    head: usize,
    /// First query of the block and number of its queries, at most 2 x WIDTH.
    first: usize,
    count: usize,
    /// Scaled queries, [lane][query].
    panel: &'a mut [f32],
    /// Sums of values, [dimension][query].
    outputs: &'a mut [f32],
    /// Queries or outputs with rows and columns exchanged.
    transposed: &'a mut [f32],
    /// [key][query], scores and then their exponentials.
    scores: &'a mut [f32],
}

impl<'a> QueryBlock<'a> {
    /// The block over the lanes of `L`.
    fn over<L: Lane>(self) -> Over<'a, L> {
        Over(self, PhantomData)
    }
}

/// A block whose keys and values are packed in lanes of `L`.
struct Over<'a, L>(QueryBlock<'a>, PhantomData<L>);

/// The running softmax of 2 x WIDTH queries: greatest score and sum of exponentials.
struct Softmax<V> {
    greatest: [V; 2],
    sum: [V; 2],
}

impl<L: Lane> Kernel for Over<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.pack_queries(s);
        let (keys, nr) = (self.0.kv.keys, 2 * S::WIDTH);
        let mut softmax = Softmax {
            greatest: [s.splat(NEVER); 2],
            sum: [s.splat(0.0); 2],
        };
        let end = match self.0.mask {
            Mask::None => keys,
            Mask::Causal => keys.min(self.0.first + self.0.count),
        };
        for first in (0..end).step_by(KEYS) {
            let count = KEYS.min(end - first);
            // Rows to a whole number of lanes: a missing odd one counts as never seen.
            let padded = count.next_multiple_of(L::COUNT);
            self.score(s, first, count);
            self.0.scores[count * nr..padded * nr].fill(NEVER);
            if self.0.mask == Mask::Causal {
                self.hide_later_keys(first, count, nr);
            }
            let shrink = softmax.absorb::<S, L>(s, &mut self.0.scores[..padded * nr]);
            if let Some(shrink) = shrink.filter(|_| first > 0) {
                self.rescale(s, shrink);
            }
            self.add_values(s, first / L::COUNT, padded / L::COUNT);
        }
        self.finish(s, &softmax);
    }
}

impl<L: Lane> Over<'_, L> {
    /// Queries times 1 / sqrt(head_dim) and log2(e) (the softmax is taken in powers of two), to
    /// [lane][query].
    #[inline(always)]
    fn pack_queries<S: Simd>(&mut self, s: S) {
        let b = &mut self.0;
        let shape = b.kv.shape;
        let (sequence, head) = (b.head / shape.heads, b.head % shape.heads);
        let scale = (std::f64::consts::LOG2_E / (shape.head_dim as f64).sqrt()) as f32;
        let lanes = b.kv.key_lanes.next_multiple_of(S::WIDTH);
        let to = b.transposed[..2 * S::WIDTH * lanes].as_mut_ptr();
        for i in 0..b.count {
            let row = &b.q.row(sequence * b.queries + b.first + i)[head * shape.head_dim..]
                [..shape.head_dim];
            for (chunk, from) in row.chunks(S::WIDTH).enumerate() {
                let at = chunk * S::WIDTH;
                // SAFETY: the chunk has at most WIDTH numbers; a row of `lanes` lanes has room for
                // whole vectors of either kind.
                unsafe {
                    let v = s.load_up_to(from.as_ptr(), from.len());
                    let v = s.mul(v, s.splat(scale));
                    if L::COUNT == 1 {
                        s.store(to.add(i * lanes + at), v);
                    } else {
                        s.store_bf16(to.add(i * lanes).cast::<u16>().add(at), v);
                    }
                }
            }
        }
        b.transposed[b.count * lanes..2 * S::WIDTH * lanes].fill(0.0);
        for lane in (0..lanes).step_by(S::WIDTH) {
            for half in 0..2 {
                // SAFETY: WIDTH lanes of WIDTH queries, in both places.
                unsafe {
                    let from = b.transposed.as_ptr().add(half * S::WIDTH * lanes + lane);
                    s.transpose(
                        from,
                        lanes,
                        b.panel
                            .as_mut_ptr()
                            .add(lane * 2 * S::WIDTH + half * S::WIDTH),
                        2 * S::WIDTH,
                    );
                }
            }
        }
    }

    /// Scores of `count` keys from `first` on.
    #[inline(always)]
    fn score<S: Simd>(&mut self, s: S, first: usize, count: usize) {
        let b = &mut self.0;
        let product = Product {
            a: b.kv.k[(b.head * b.kv.padded_keys() + first) * b.kv.key_lanes..].as_ptr(),
            row_stride: b.kv.key_lanes,
            taps: &[0],
            depth: b.kv.key_lanes,
            b: b.panel.as_ptr(),
            tap_stride: 0,
            sums: b.scores.as_mut_ptr(),
            sums_stride: 2 * S::WIDTH,
            start: Start::Zero,
        };
        // SAFETY: `count` keys are packed from `first` on, and the scores hold KEYS of them.
        unsafe { multiply::<S, L>(s, count, product) };
    }

    fn hide_later_keys(&mut self, first: usize, count: usize, nr: usize) {
        for (key, row) in self.0.scores.chunks_exact_mut(nr).enumerate().take(count) {
            let visible_from = (first + key).saturating_sub(self.0.first).min(nr);
            row[..visible_from].fill(NEVER);
        }
    }

    /// Multiplies the sums of values by the factor of each query.
    #[inline(always)]
    fn rescale<S: Simd>(&mut self, s: S, factor: [S::V; 2]) {
        let used = self.0.kv.shape.head_dim * 2 * S::WIDTH;
        for row in self.0.outputs[..used].chunks_exact_mut(2 * S::WIDTH) {
            // SAFETY: a row is two vectors.
            unsafe {
                let low = row.as_mut_ptr();
                let high = low.add(S::WIDTH);
                s.store(low, s.mul(s.load(low), factor[0]));
                s.store(high, s.mul(s.load(high), factor[1]));
            }
        }
    }

    /// Adds values times exponentials, `lanes` lanes of keys from lane `first` on.
    #[inline(always)]
    fn add_values<S: Simd>(&mut self, s: S, first: usize, lanes: usize) {
        let b = &mut self.0;
        let dim = b.kv.shape.head_dim;
        let product = Product {
            a: b.kv.v[b.head * dim * b.kv.value_stride + first..].as_ptr(),
            row_stride: b.kv.value_stride,
            taps: &[0],
            depth: lanes,
            b: b.scores.as_ptr(),
            tap_stride: 0,
            sums: b.outputs.as_mut_ptr(),
            sums_stride: 2 * S::WIDTH,
            start: if first == 0 { Start::Zero } else { Start::Sums },
        };
        // SAFETY: head_dim rows of values, and as many of sums.
        unsafe { multiply::<S, L>(s, dim, product) };
    }

    /// Divides by the sums of exponentials and writes the rows out.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, softmax: &Softmax<S::V>) {
        self.rescale(
            s,
            [s.reciprocal(softmax.sum[0]), s.reciprocal(softmax.sum[1])],
        );
        let b = &mut self.0;
        let shape = b.kv.shape;
        let padded = shape.head_dim.next_multiple_of(S::WIDTH);
        for d in (0..padded).step_by(S::WIDTH) {
            for half in 0..2 {
                // SAFETY: WIDTH dimensions of WIDTH queries, in both places, which are padded to
                // whole vectors.
                unsafe {
                    let from = b.outputs.as_ptr().add(d * 2 * S::WIDTH + half * S::WIDTH);
                    s.transpose(
                        from,
                        2 * S::WIDTH,
                        b.transposed.as_mut_ptr().add(half * S::WIDTH * padded + d),
                        padded,
                    );
                }
            }
        }
        let (sequence, head) = (b.head / shape.heads, b.head % shape.heads);
        for i in 0..b.count {
            let row =
                (sequence * b.queries + b.first + i) * shape.columns() + head * shape.head_dim;
            for d in (0..shape.head_dim).step_by(S::WIDTH) {
                // SAFETY: these numbers of the output are this head's and query's alone.
                unsafe {
                    let v = s.load(b.transposed.as_ptr().add(i * padded + d));
                    b.target
                        .put(s, row + d, v, (shape.head_dim - d).min(S::WIDTH));
                }
            }
        }
    }
}

impl<V: Copy> Softmax<V> {
    /// Turns scores into exponentials of their distance to the greatest so far, and adds them up.
    /// Returns the factor for earlier sums when the greatest has grown.
    #[inline(always)]
    fn absorb<S: Simd<V = V>, L: Lane>(&mut self, s: S, scores: &mut [f32]) -> Option<[V; 2]> {
        let mut greatest = self.greatest;
        for row in scores.chunks_exact(2 * S::WIDTH) {
            // SAFETY: a row is two vectors.
            let row = unsafe { [s.load(row.as_ptr()), s.load(row.as_ptr().add(S::WIDTH))] };
            greatest = [s.max(greatest[0], row[0]), s.max(greatest[1], row[1])];
        }
        let grown = s.any_greater(greatest[0], self.greatest[0])
            || s.any_greater(greatest[1], self.greatest[1]);
        let shrink = [
            exp2(s, s.sub(self.greatest[0], greatest[0])),
            exp2(s, s.sub(self.greatest[1], greatest[1])),
        ];
        self.greatest = greatest;
        let sums = if L::COUNT == 1 {
            exponentials(s, scores, greatest)
        } else {
            exponentials_bf16::<S, L>(s, scores, greatest)
        };
        for j in 0..2 {
            self.sum[j] = s.fma(self.sum[j], shrink[j], sums[j]);
        }
        grown.then_some(shrink)
    }
}

/// Exponentials in place of scores, and their sums.
#[inline(always)]
fn exponentials<S: Simd>(s: S, scores: &mut [f32], greatest: [S::V; 2]) -> [S::V; 2] {
    let mut sums = [s.splat(0.0); 2];
    for row in scores.chunks_exact_mut(2 * S::WIDTH) {
        for j in 0..2 {
            // SAFETY: a row is two vectors.
            unsafe {
                let p = row.as_mut_ptr().add(j * S::WIDTH);
                let e = exp2(s, s.sub(s.load(p), greatest[j]));
                sums[j] = s.add(sums[j], e);
                s.store(p, e);
            }
        }
    }
    sums
}

/// As `exponentials`, two keys to a lane of bf16, written over the first half of the scores. The
/// sums are those of the cut-off exponentials, so that the weights still add up to one.
#[inline(always)]
fn exponentials_bf16<S: Simd, L: Lane>(s: S, scores: &mut [f32], greatest: [S::V; 2]) -> [S::V; 2] {
    let (mut sums, ones) = ([s.splat(0.0); 2], s.splat(f32::from_bits(BF16_ONES)));
    let (nr, start) = (2 * S::WIDTH, scores.as_mut_ptr());
    for pair in 0..scores.len() / (2 * nr) {
        for j in 0..2 {
            // SAFETY: rows 2 pair and 2 pair + 1 are inside the scores; row `pair` has been read
            // already.
            unsafe {
                let scores = start.add(2 * pair * nr + j * S::WIDTH);
                let (even, odd) = (s.load(scores), s.load(scores.add(nr)));
                let (even, odd) = (
                    exp2_bf16(s, s.sub(even, greatest[j])),
                    exp2_bf16(s, s.sub(odd, greatest[j])),
                );
                let both = s.join_bf16(even, odd);
                sums[j] = L::multiply_add(s, both, ones, sums[j]);
                s.store(start.add(pair * nr + j * S::WIDTH), both);
            }
        }
    }
    sums
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
