//! Prompts: the syntax of brackets (`parse.rs`), CLIP's tokenizer, and the division of tokens into
//! chunks of the text encoder's length (`chunks.rs`). Networks are not part of this module.

mod chunks;
mod foreign_syntax;
mod parse;
mod references;
pub(crate) mod tokenizer;
mod words;

pub(crate) use chunks::{Capacity, Token, TokenChunks, split_into_chunks};
pub use words::Word;
pub(crate) use words::{Segment, split_at_words};

use crate::error::{Error, Result};
use crate::named_enum::named_enum;

named_enum! {
    /// Syntax of brackets in a prompt.
    #[derive(Default)]
    pub enum Syntax("prompt syntax") {
        /// As the text that they are, as diffusers does.
        #[default]
        Plain = "plain",
        /// `(word:1.3)`, `((word))`, `[word]` and `BREAK`, as A1111 does.
        Weighted = "weighted",
    }
}

named_enum! {
    /// Treatment of a prompt that is longer than the text encoder's context.
    #[derive(Default)]
    pub enum LongPrompt("way with long prompts") {
        /// Encoded chunk by chunk, as A1111 does.
        Chunk = "chunk",
        /// Cut, with a warning that names what is left out, as diffusers does.
        #[default]
        Truncate = "truncate",
        /// Refused.
        Error = "error",
    }
}

/// A part of a prompt. Another kind of part, such as a reference in angle brackets, is another
/// variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text that is encoded.
    Run(Run),
    /// The next text begins a new chunk.
    Break,
}

/// Text of one weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) text: String,
    /// 1 for text without brackets.
    pub(crate) weight: f64,
}

/// A prompt and the field that it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt<'a> {
    pub(crate) field: &'static str,
    pub(crate) text: &'a str,
}

/// Syntax and length rule of a request's prompts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) syntax: Syntax,
    pub(crate) long: LongPrompt,
}

impl Prompt<'_> {
    /// The parts of the prompt, one run at least.
    pub(crate) fn pieces(&self, syntax: Syntax) -> Result<Vec<Piece>> {
        match syntax {
            Syntax::Plain => Ok(vec![Piece::Run(Run {
                text: self.text.to_owned(),
                weight: 1.0,
            })]),
            Syntax::Weighted => parse::weighted(self),
        }
    }

    /// The runs between two breaks, for every part of the prompt that begins a new chunk.
    pub(crate) fn sections(&self, syntax: Syntax) -> Result<Vec<Vec<Run>>> {
        let mut sections = vec![Vec::new()];
        for piece in self.pieces(syntax)? {
            match (piece, sections.last_mut()) {
                (Piece::Run(run), Some(section)) => section.push(run),
                (Piece::Run(_), None) | (Piece::Break, _) => sections.push(Vec::new()),
            }
        }
        Ok(sections)
    }

    /// The error of a prompt of `tokens` tokens that does not fit into `room`; `word` is the first
    /// one too many.
    pub(crate) fn too_long(&self, tokens: usize, room: usize, word: &str) -> Error {
        let message = format!(
            "{tokens} tokens, and the text encoder takes {room}; `{word}` is the first word too many"
        );
        Error::field(self.field, message).hint(
            "shorten it, or let `--long-prompt chunk` encode it in parts, or `truncate` cut it",
        )
    }

    /// The field's name with blanks for underscores, for messages.
    pub(crate) fn name(&self) -> String {
        self.field.replace('_', " ")
    }

    /// The error of a weight out of its range, at the byte `at`.
    fn wrong_weight(&self, weight: &str, at: usize) -> Error {
        let before = self.text.get(..at).unwrap_or_default();
        let place = before.chars().count() + 1;
        let shown: String = self
            .text
            .get(at..)
            .unwrap_or_default()
            .chars()
            .take(24)
            .collect();
        let message = format!(
            "expected a weight from -{LARGEST} to {LARGEST}, got `{weight}` at character {place}: `{shown}`"
        );
        Error::field(self.field, message)
            .hint("write `\\(` for a bracket that is text, or take `--prompt-syntax plain`")
    }
}

/// Largest weight; beyond it every image is noise.
const LARGEST: f64 = 10.0;
