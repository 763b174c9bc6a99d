//! Division of tokens into chunks of the text encoder's length, with A1111's rule for where a chunk
//! ends.

use super::LongPrompt;

/// A token of a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) weight: f64,
    /// Index of the run in its section, and byte offset of the token in that run.
    pub(crate) at: (usize, usize),
}

/// Limits of a chunk, from the text encoder and the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Content tokens of a chunk.
    pub(crate) tokens: usize,
    /// The token of a comma, where the vocabulary has one.
    pub(crate) comma: Option<u32>,
    /// First id of embedding vectors (textual inversion); those of one word have the same place.
    pub(crate) first_word: u32,
    pub(crate) long: LongPrompt,
}

/// A section in chunks.
#[derive(Debug, PartialEq)]
pub(crate) struct TokenChunks {
    /// One chunk at least, each of at most as many tokens as the capacity.
    pub(crate) chunks: Vec<Vec<Token>>,
    /// The first token that did not fit.
    pub(crate) dropped: Option<Token>,
}

/// A1111's "comma padding backtrack": as many tokens after a comma may move into the next chunk, so
/// that no phrase is split.
const BACKTRACK: usize = 20;

/// The tokens between two breaks in chunks.
pub(crate) fn split_into_chunks(tokens: &[Token], capacity: &Capacity) -> TokenChunks {
    match capacity.long {
        LongPrompt::Chunk => TokenChunks {
            chunks: chunked(tokens, capacity),
            dropped: None,
        },
        LongPrompt::Truncate | LongPrompt::Error => {
            let kept = tokens.len().min(capacity.tokens);
            TokenChunks {
                chunks: vec![tokens[..kept].to_vec()],
                dropped: tokens.get(kept).copied(),
            }
        }
    }
}

fn chunked(tokens: &[Token], capacity: &Capacity) -> Vec<Vec<Token>> {
    let full = capacity.tokens.max(1);
    let mut chunks = Vec::new();
    let mut chunk: Vec<Token> = Vec::new();
    let mut after_comma = None;
    let together = |a: &Token, b: &Token| a.at == b.at && a.id.min(b.id) >= capacity.first_word;
    for unit in tokens.chunk_by(together).flat_map(|word| word.chunks(full)) {
        let comma = unit.iter().any(|token| Some(token.id) == capacity.comma);
        if chunk.len() == full {
            // A comma itself opens the next chunk rather than moving the phrase before it.
            let near = |from: &usize| !comma && chunk.len() + 1 - from <= BACKTRACK;
            let rest = chunk.split_off(after_comma.filter(near).unwrap_or(full));
            chunks.push(std::mem::replace(&mut chunk, rest));
            after_comma = None;
        } else if comma {
            after_comma = Some(chunk.len() + 1);
        }
        // The vectors of a word stay together; no phrase moves with them.
        if chunk.len() + unit.len() > full {
            chunks.push(std::mem::take(&mut chunk));
            after_comma = None;
        }
        chunk.extend(unit);
    }
    if !chunk.is_empty() || chunks.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMA: u32 = 267;
    const WORD: u32 = 49408;

    fn capacity(long: LongPrompt) -> Capacity {
        Capacity {
            tokens: 75,
            comma: Some(COMMA),
            first_word: WORD,
            long,
        }
    }

    /// `n` words, with commas in these places.
    fn tokens(n: usize, commas: &[usize]) -> Vec<Token> {
        let id = |i: usize| if commas.contains(&i) { COMMA } else { 1000 };
        (0..n)
            .map(|i| Token {
                id: id(i),
                weight: 1.0,
                at: (0, i),
            })
            .collect()
    }

    fn lengths(n: usize, commas: &[usize]) -> Vec<usize> {
        let split = split_into_chunks(&tokens(n, commas), &capacity(LongPrompt::Chunk));
        let places: Vec<usize> = split
            .chunks
            .iter()
            .flatten()
            .map(|token| token.at.1)
            .collect();
        assert_eq!(places, (0..n).collect::<Vec<_>>());
        split.chunks.iter().map(Vec::len).collect()
    }

    #[test]
    fn chunks_end_where_they_are_full() {
        for (n, expected) in [
            (0, vec![0]),
            (1, vec![1]),
            (75, vec![75]),
            (76, vec![75, 1]),
            (150, vec![75, 75]),
            (151, vec![75, 75, 1]),
        ] {
            assert_eq!(lengths(n, &[]), expected);
        }
    }

    #[test]
    fn a_phrase_after_a_comma_moves_into_the_next_chunk() {
        for (commas, expected) in [
            (&[70][..], vec![71, 9]),
            // 75 - 55 = 20 tokens back, and one more than that.
            (&[55], vec![56, 24]),
            (&[54], vec![75, 5]),
            (&[60, 70], vec![71, 9]),
            (&[74], vec![75, 5]),
            // A comma that opens a chunk.
            (&[70, 75], vec![75, 5]),
        ] {
            assert_eq!(lengths(80, commas), expected, "{commas:?}");
        }
        assert_eq!(lengths(75, &[70]), [75]);
    }

    #[test]
    fn the_vectors_of_a_word_stay_together() {
        // Tokens before the word, vectors, tokens after it; a comma before the last ten of the
        // first.
        for (before, vectors, after, expected) in [
            (70, 5, 1, &[61, 15][..]),
            (70, 6, 1, &[70, 7]),
            (75, 3, 0, &[66, 12]),
            (10, 80, 0, &[10, 75, 5]),
            (0, 75, 1, &[75, 1]),
        ] {
            let comma = usize::saturating_sub(before, 10);
            let mut prompt = tokens(before, &[comma]);
            prompt.extend((0..vectors).map(|i| Token {
                id: WORD + i,
                weight: 1.0,
                at: (0, before),
            }));
            prompt.extend(tokens(after, &[]));
            let split = split_into_chunks(&prompt, &capacity(LongPrompt::Chunk));
            let lengths: Vec<usize> = split.chunks.iter().map(Vec::len).collect();
            assert_eq!(lengths, expected, "{before} {vectors} {after}");
            assert_eq!(split.chunks.concat(), prompt);
        }
    }

    #[test]
    fn what_is_cut_is_said() {
        let split = split_into_chunks(&tokens(76, &[70]), &capacity(LongPrompt::Truncate));
        assert_eq!(
            (split.chunks[0].len(), split.dropped.map(|token| token.at.1)),
            (75, Some(75))
        );
        assert_eq!(
            split_into_chunks(&tokens(75, &[]), &capacity(LongPrompt::Error)).dropped,
            None
        );
    }
}
