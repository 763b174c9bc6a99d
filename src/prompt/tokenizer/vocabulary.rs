//! Vocabularies of CLIP: OpenAI's own, which is compiled in, and the file formats of others.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::{Merges, Vocab};

use crate::error::{Error, Result};

pub(super) const START: &str = "<|startoftext|>";
pub(super) const END: &str = "<|endoftext|>";

/// Ids of tokens, and the merges of the byte-pair encoding, the first merge first.
pub(super) type Vocabulary = (Vocab, Merges);

/// The object `model` of tokenizer.json.
#[derive(Deserialize)]
pub(super) struct Pairs {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Pair>,
}

/// A pair as old and new versions of the tokenizers library write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pair {
    Line(String),
    Two(String, String),
}

impl Pairs {
    /// The vocabulary; an error with the type of the model if it is not a byte-pair encoding.
    pub(super) fn vocabulary(self) -> std::result::Result<Vocabulary, String> {
        match self.kind {
            Some(kind) if kind != "BPE" => return Err(kind),
            Some(_) | None => {}
        }
        let merges = self.merges.into_iter().filter_map(Pair::two).collect();
        Ok((self.vocab.into_iter().collect(), merges))
    }
}

impl Pair {
    fn two(self) -> Option<(String, String)> {
        match self {
            Self::Two(left, right) => Some((left, right)),
            Self::Line(line) => line
                .split_once(' ')
                .map(|(left, right)| (left.to_owned(), right.to_owned())),
        }
    }
}

/// Lines `left right`, after a version line.
pub(super) fn merges(text: &str) -> Merges {
    text.lines()
        .filter(|line| !line.starts_with("#version"))
        .filter_map(|line| line.split_once(' '))
        .map(|(left, right)| (left.to_owned(), right.trim_end().to_owned()))
        .collect()
}

/// OpenAI's vocabulary: 256 bytes, the same at a word's end, the merges in order, the two special
/// tokens.
pub(super) fn standard() -> Result<Vocabulary> {
    let merges = merges(&standard_merges()?);
    let bytes = byte_characters();
    let ends = bytes.iter().map(|byte| format!("{byte}</w>"));
    let tokens = bytes
        .iter()
        .map(char::to_string)
        .chain(ends)
        .chain(merges.iter().map(|(left, right)| format!("{left}{right}")))
        .chain([START.to_owned(), END.to_owned()]);
    Ok((tokens.zip(0..).collect(), merges))
}

/// The vocab.json and merges.txt of OpenAI's vocabulary.
pub(crate) fn standard_files() -> Result<[String; 2]> {
    let tokens: BTreeMap<u32, String> = standard()?
        .0
        .into_iter()
        .map(|(token, id)| (id, token))
        .collect();
    let pair = |(id, token): (&u32, &String)| format!("{}:{id}", Value::from(token.as_str()));
    let pairs: Vec<String> = tokens.iter().map(pair).collect();
    Ok([
        format!("{{{}}}", pairs.join(",")),
        format!("#version: 0.2\n{}", standard_merges()?),
    ])
}

fn standard_merges() -> Result<String> {
    let packed: &[u8] = include_bytes!("../../../assets/clip/merges.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .map_err(|e| Error::internal(format!("the built-in vocabulary does not unpack: {e}")))?;
    Ok(text)
}

/// GPT-2's printable stand-ins for the 256 bytes: printable ones stand for themselves and come
/// first.
fn byte_characters() -> Vec<char> {
    let printable = |b: &u32| {
        (0x21..=0x7e).contains(b) || (0xa1..=0xac).contains(b) || (0xae..=0xff).contains(b)
    };
    let others = (0..256u32).filter(|b| !printable(b)).count() as u32;
    (0..256u32)
        .filter(printable)
        .chain(256..256 + others)
        .filter_map(char::from_u32)
        .collect()
}
