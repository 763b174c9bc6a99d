//! `sdgen tokens PROMPT`: the tokens of a prompt for each text encoder of a model, from the tokenizers'
//! files alone.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::local_models::{find_local_model, offline_hub};
use super::terminal;
use crate::adapters::{self, Embedding};
use crate::catalog::{self, Component, DEFAULT_MODEL, ModelFiles, ModelRef, models};
use crate::error::Result;
use crate::models::text_encoders::{EncoderTokenizer, encoder_tokenizers};
use crate::named_enum::Named;
use crate::prompt::tokenizer::{Shape, Tokenizer};
use crate::prompt::{LongPrompt, Prompt, Reading, Syntax, Token, Word};

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The prompt
    #[arg(value_name = "PROMPT", allow_hyphen_values = true)]
    prompt: String,

    /// Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP's
    /// own vocabulary]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,

    /// Brackets: plain or weighted [default: plain]
    #[arg(long, value_name = "HOW")]
    prompt_syntax: Option<String>,

    /// Prompts beyond 75 tokens: chunk, truncate or error [default: chunk, which shows every token]
    #[arg(long, value_name = "HOW")]
    long_prompt: Option<String>,

    /// Textual inversion: a file or a folder of them
    #[arg(long, value_name = "PATH")]
    embedding: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A text encoder's name, its tokenizer, and words with vectors of their own.
struct Encoder {
    name: &'static str,
    tokenizer: Tokenizer,
    words: Vec<Word>,
}

/// A prompt as one text encoder reads it.
#[derive(Serialize)]
struct Shown {
    encoder: &'static str,
    /// Content tokens in all.
    tokens: usize,
    /// Content tokens that a chunk takes.
    room: usize,
    chunks: Vec<Chunk>,
    /// Part of the prompt that did not fit.
    left_out: String,
}

#[derive(Serialize)]
struct Chunk {
    /// Start, content, end and padding.
    ids: Vec<u32>,
    /// The content.
    tokens: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: u32,
    piece: String,
    weight: f64,
}

/// Prints the tokens.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let prompt = Prompt {
        field: "prompt",
        text: &arguments.prompt,
    };
    let reading = Reading {
        syntax: parse_or(
            "prompt_syntax",
            arguments.prompt_syntax.as_deref(),
            Syntax::default(),
        )?,
        long: parse_or(
            "long_prompt",
            arguments.long_prompt.as_deref(),
            LongPrompt::Chunk,
        )?,
    };
    let embeddings = embeddings(arguments)?;
    let encoders = encoders(arguments.model.as_deref(), &embeddings)?;
    let shown = encoders
        .iter()
        .map(|encoder| show(encoder, &prompt, reading));
    let shown = shown.collect::<Result<Vec<_>>>()?;
    if arguments.json {
        return terminal::write_json(&shown);
    }
    let text: String = shown.iter().map(lines).collect();
    terminal::write_data(terminal::sanitize(&text).as_bytes())?;
    Ok(())
}

/// The embeddings that the prompt uses.
fn embeddings(arguments: &Arguments) -> Result<Vec<Arc<Embedding>>> {
    let paths = arguments
        .embedding
        .iter()
        .map(|text| adapters::find_embeddings(text));
    let paths = paths.collect::<Result<Vec<_>>>()?.concat();
    Embedding::read_used(&paths, &[&arguments.prompt])
}

fn parse_or<T: Named>(field: &str, name: Option<&str>, default: T) -> Result<T> {
    match name {
        Some(name) => T::parse(field, name),
        None => Ok(default),
    }
}

/// The tokenizers of a model that is on this machine. Nothing is fetched: weights would come along.
fn encoders(model: Option<&str>, embeddings: &[Arc<Embedding>]) -> Result<Vec<Encoder>> {
    let hub = offline_hub()?;
    let known = models().iter().find(|spec| spec.name == DEFAULT_MODEL);
    if model.is_none() && !known.is_some_and(|spec| catalog::is_cached(spec, &hub)) {
        let none = ModelFiles::embedded("clip", &[]);
        let words = embeddings
            .iter()
            .filter_map(|embedding| embedding.word(Component::TextEncoder));
        let tokenizer = Tokenizer::load(&none, "tokenizer", Shape::CLIP)?;
        return Ok(vec![Encoder {
            name: "clip",
            tokenizer,
            words: words.collect(),
        }]);
    }
    let name = model.unwrap_or(DEFAULT_MODEL);
    ModelRef::parse(name)?;
    let files = find_local_model(name).map_err(|error| {
        error.hint("`sdgen tokens` fetches nothing; without `-m` CLIP's own vocabulary serves")
    })?;
    embeddings
        .iter()
        .try_for_each(|embedding| embedding.fits(&files))?;
    let encoder = |reader: EncoderTokenizer| {
        let words = embeddings
            .iter()
            .filter_map(|embedding| embedding.word(reader.component));
        Encoder {
            name: reader.component.name(),
            words: words.collect(),
            tokenizer: reader.tokenizer,
        }
    };
    let readers = encoder_tokenizers(&files)?;
    let notices = readers
        .iter()
        .filter_map(|reader| reader.tokenizer.notice());
    notices.for_each(|notice| terminal::print_message(&format!("warning: {notice}")));
    Ok(readers.into_iter().map(encoder).collect())
}

fn show(encoder: &Encoder, prompt: &Prompt<'_>, reading: Reading) -> Result<Shown> {
    let Encoder {
        name,
        tokenizer,
        words,
    } = encoder;
    let chunked = tokenizer.chunks(prompt, reading, words)?;
    let piece = |token: &Token| tokenizer.piece(token.id, words);
    let row = |token: &Token| Row {
        id: token.id,
        piece: piece(token),
        weight: token.weight,
    };
    let chunk = |tokens: &Vec<Token>| Chunk {
        ids: tokenizer.ids(tokens, reading.syntax),
        tokens: tokens.iter().map(row).collect(),
    };
    Ok(Shown {
        encoder: name,
        tokens: chunked.chunks.iter().map(Vec::len).sum(),
        room: tokenizer.capacity(),
        chunks: chunked.chunks.iter().map(chunk).collect(),
        left_out: chunked.dropped,
    })
}

/// One line for each token, chunk by chunk. Writing to a string cannot fail.
fn lines(shown: &Shown) -> String {
    let Shown {
        encoder,
        tokens,
        room,
        ..
    } = shown;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{encoder}: tokens {tokens}, chunks {} of up to {room}",
        shown.chunks.len()
    );
    for (i, chunk) in shown.chunks.iter().enumerate() {
        let _ = writeln!(text, "chunk {}: tokens {}", i + 1, chunk.tokens.len());
        for (j, row) in chunk.tokens.iter().enumerate() {
            // Four digits are more than a weight is ever written with.
            let weight = (row.weight * 1e4).round() / 1e4;
            let _ = writeln!(
                text,
                "{:>4} {:>6}  {weight:<7} {}",
                j + 1,
                row.id,
                row.piece
            );
        }
    }
    if !shown.left_out.is_empty() {
        let _ = writeln!(text, "left out: `{}`", shown.left_out);
    }
    text
}
