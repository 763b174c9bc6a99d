//! Token merging (ToMe): tokens are merged into their most similar neighbours before an attention
//! and unmerged after it.
//!
//! Bolya and Hoffman, "Token Merging for Fast Stable Diffusion" (2023): the top left token of every
//! 2 × 2 is a destination. Of the other tokens, the share with the highest cosine similarity to a
//! destination is merged into it, as the mean.

use super::map::{Host, Store, Tokens};
use crate::error::{Error, Kind, Result};
use crate::kernels::{
    Cpu, Epilogue, Gating, LinearInput, LinearWeights, Output, PackedLinear, Precision, Rows,
    WeightSlice,
};

/// Map from each token of a sequence to its token in the merged sequence.
pub(crate) struct TokenMerge {
    /// Index in the merged sequence of each token, for every sequence.
    places: Vec<Vec<u32>>,
    /// Tokens of a merged sequence.
    left: usize,
}

impl TokenMerge {
    /// Plans the merge of the most similar `share` of the tokens `x`, a plane of `h × w`.
    pub(crate) fn of(x: &Tokens, size: (usize, usize), share: f64) -> Result<Self> {
        let (b, n, c) = x.dims();
        let Store::Host(host) = &x.store else {
            return Err(Error::new(
                Kind::Usage,
                "merge_tokens: tokens are merged on the processor alone",
            )
            .hint("use `--device cpu`, or leave it out"));
        };
        let data = host.as_f32()?;
        // Destinations stay: more than a quarter of the tokens where a side is odd.
        let targets = size.0.div_ceil(2) * size.1.div_ceil(2);
        let merged = ((share * n as f64) as usize).min(n - targets);
        let places = (0..b)
            .map(|i| {
                places(
                    &host.cpu,
                    &data[i * n * c..][..n * c],
                    size.0,
                    size.1,
                    merged,
                )
            })
            .collect();
        Ok(Self {
            places,
            left: n - merged,
        })
    }

    /// The merged sequences, each token the mean of the tokens merged into it.
    pub(crate) fn apply(&self, x: &Tokens) -> Result<Tokens> {
        let (b, n, c) = x.dims();
        let host = x.store.host()?;
        let (data, left) = (host.as_f32()?, self.left);
        let merged = Host::filled(&host.cpu, b * left * c, |out| {
            host.cpu.pool().for_chunks(out, left * c, |i, out| {
                let mut counts = vec![0u32; left];
                out.fill(0.0);
                for (row, &place) in data[i * n * c..].chunks_exact(c).zip(&self.places[i]) {
                    counts[place as usize] += 1;
                    let sums = &mut out[place as usize * c..][..c];
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                for (row, count) in out
                    .chunks_exact_mut(c)
                    .zip(counts)
                    .filter(|(_, count)| *count > 1)
                {
                    row.iter_mut().for_each(|x| *x /= count as f32);
                }
            });
        });
        Ok(Tokens::from_store(Store::Host(merged), (b, left, c)))
    }

    /// Unmerges and adds: `x` plus, for each of its tokens, the row of `merged` that it was merged
    /// into.
    pub(crate) fn unmerge_add(&self, merged: &Tokens, x: &Tokens) -> Result<Tokens> {
        let (b, n, c) = x.dims();
        let host = x.store.host()?;
        let (data, merged, left) = (host.as_f32()?, merged.store.host()?.as_f32()?, self.left);
        let sum = Host::filled(&host.cpu, b * n * c, |out| {
            host.cpu.pool().for_chunks(out, c, |token, out| {
                let (i, row) = (token / n, &data[token * c..][..c]);
                let place = i * left + self.places[i][token % n] as usize;
                let add = &merged[place * c..][..c];
                out.iter_mut()
                    .zip(row)
                    .zip(add)
                    .for_each(|((out, x), y)| *out = x + y);
            });
        });
        Ok(Tokens::from_store(Store::Host(sum), (b, n, c)))
    }
}

/// Index in the merged sequence of each of the tokens [h * w][c] when the `merged` most similar
/// ones are merged into a destination: first the unmerged tokens, then the destinations.
fn places(cpu: &Cpu, tokens: &[f32], h: usize, w: usize, merged: usize) -> Vec<u32> {
    let c = tokens.len() / (h * w);
    let is_target = |i: usize| (i / w).is_multiple_of(2) && (i % w).is_multiple_of(2);
    let (targets, sources): (Vec<usize>, Vec<usize>) = (0..h * w).partition(|i| is_target(*i));
    let (unit_sources, unit_targets) = (unit(tokens, c, &sources), unit(tokens, c, &targets));
    let mut similar = most_similar(cpu, &unit_sources, &unit_targets, c);
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by(|a, b| similar[*b].1.total_cmp(&similar[*a].1));
    let stay = sources.len() - merged;
    let mut places = vec![0u32; h * w];
    for (j, &target) in targets.iter().enumerate() {
        places[target] = (stay + j) as u32;
    }
    let (gone, staying) = order.split_at(sources.len() - stay);
    for &source in gone {
        places[sources[source]] = (stay + std::mem::take(&mut similar[source].0)) as u32;
    }
    for (j, &source) in staying.iter().enumerate() {
        places[sources[source]] = j as u32;
    }
    places
}

/// The rows `which`, each scaled to unit length.
fn unit(tokens: &[f32], c: usize, which: &[usize]) -> Vec<f32> {
    let mut rows = Vec::with_capacity(which.len() * c);
    for &i in which {
        let row = &tokens[i * c..][..c];
        let inverse = 1.0 / row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
        rows.extend(row.iter().map(|x| x * inverse));
    }
    rows
}

/// For each source row the destination row of the greatest product, and that product (the cosine of
/// unit rows).
fn most_similar(cpu: &Cpu, sources: &[f32], targets: &[f32], c: usize) -> Vec<(usize, f32)> {
    let (rows, columns) = (sources.len() / c, targets.len() / c);
    let weights = LinearWeights {
        matrices: &[WeightSlice::F32(targets)],
        inputs: c,
        bias: None,
        gating: Gating::None,
    };
    let products = PackedLinear::pack(cpu, &weights, Precision::F32);
    let mut scores = cpu.arena().take::<f32>(rows * columns);
    let input = [Rows::new(sources, c)];
    products.forward(
        cpu,
        rows,
        LinearInput::F32(&input),
        Epilogue::default(),
        Output::F32(&mut scores),
    );
    let mut similar = vec![(0, 0.0); rows];
    cpu.pool().for_chunks(&mut similar, 64, |block, similar| {
        for (row, best) in scores[block * 64 * columns..]
            .chunks_exact(columns)
            .zip(similar)
        {
            let greater = |best: (usize, f32), (i, x): (usize, &f32)| {
                if *x > best.1 { (i, *x) } else { best }
            };
            *best = row.iter().enumerate().fold((0, f32::NEG_INFINITY), greater);
        }
    });
    similar
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::nn::Backend;

    #[test]
    fn the_likest_tokens_meet_and_come_apart_again() {
        // A plane of 2 x 4: targets are tokens 0 and 2; 1 is like 0, 7 like 2, and the others like
        // neither.
        let tokens = [
            [2f32, 0.0],
            [4.0, 0.0],
            [0.0, 3.0],
            [-1.0, -1.0],
            [-1.0, 0.2],
            [-1.0, 0.1],
            [0.3, -1.0],
            [0.0, 5.0],
        ];
        let backend = Backend::reference();
        let x = Tensor::new(&[tokens], &Device::Cpu).unwrap();
        let x = Tokens::new(&x, &backend).unwrap();
        let merge = TokenMerge::of(&x, (2, 4), 0.25).unwrap();
        let merged = merge.apply(&x).unwrap();
        assert_eq!(merged.dims(), (1, 6, 2));
        let both = merge
            .unmerge_add(&merged, &x)
            .unwrap()
            .to_tensor()
            .unwrap()
            .to_vec3::<f32>()
            .unwrap();
        let sum = |a: [f32; 2], b: [f32; 2]| vec![a[0] + b[0], a[1] + b[1]];
        for (i, token) in tokens.into_iter().enumerate() {
            let mean = match i {
                0 | 1 => [3.0, 0.0],
                2 | 7 => [0.0, 4.0],
                _ => token,
            };
            assert_eq!(both[0][i], sum(token, mean), "token {i}");
        }
    }

    /// A plane of odd sides has more destinations than a quarter of its tokens, and no more can
    /// be merged than the rest.
    #[test]
    fn odd_planes_keep_their_destinations() {
        let tokens: [[f32; 2]; 9] = std::array::from_fn(|i| [i as f32, 1.0]);
        let backend = Backend::reference();
        let x = Tensor::new(&[tokens], &Device::Cpu).unwrap();
        let x = Tokens::new(&x, &backend).unwrap();
        let merge = TokenMerge::of(&x, (3, 3), 0.75).unwrap();
        let merged = merge.apply(&x).unwrap();
        assert_eq!(merged.dims(), (1, 4, 2));
        assert_eq!(merge.unmerge_add(&merged, &x).unwrap().dims(), (1, 9, 2));
    }
}
