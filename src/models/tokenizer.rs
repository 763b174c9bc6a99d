//! CLIP's byte-pair encoding: text to token ids, in windows of the length that the text encoder takes.

use std::borrow::Cow;
use std::io::Read;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Pretokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::error::{Error, Kind, Result};
use crate::registry::ModelFiles;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// How OpenAI's CLIP cuts text into words before the byte pairs.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A text as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// `length` ids: start, content, end, padding.
    pub(crate) ids: Vec<u32>,
    /// What did not fit, as the user wrote it; empty when all of it did.
    pub(crate) dropped: String,
}

/// A tokenizer of one text encoder.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    start: u32,
    end: u32,
    pad: u32,
    length: usize,
}

impl Tokenizer {
    /// The tokenizer in `folder` of the model, or CLIP's own where the model brings none; windows of `length` ids.
    ///
    /// # Errors
    /// A vocabulary that does not parse or lacks its special tokens.
    pub(crate) fn load(files: &ModelFiles, folder: &str, length: usize) -> Result<Self> {
        let path = |name: &str| format!("{folder}/{name}");
        let (vocab, merges) = if files.has(&path("vocab.json")) && files.has(&path("merges.txt")) {
            let vocab: Vocab = files
                .json::<std::collections::HashMap<String, u32>>(&path("vocab.json"))?
                .into_iter()
                .collect();
            (vocab, merges(&files.text(&path("merges.txt"))?))
        } else {
            builtin()?
        };
        let pad = pad_token(files, folder)?;
        Self::build(vocab, merges, pad.as_deref().unwrap_or(END), length)
            .map_err(|e| e.context(format!("`{}`", files.display(folder))))
    }

    fn build(vocab: Vocab, merges: Merges, pad: &str, length: usize) -> Result<Self> {
        let broken =
            |e: tokenizers::Error| Error::new(Kind::ModelFile, format!("not a CLIP vocabulary: {e}"));
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .unk_token(END.to_owned())
            .end_of_word_suffix("</w>".to_owned())
            .build()
            .map_err(broken)?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        let _ = inner.with_normalizer(Some(normalizer().map_err(broken)?));
        let _ = inner.with_pre_tokenizer(Some(pretokenizer().map_err(broken)?));
        let special: Vec<AddedToken> = [START, END, pad].iter().map(|t| AddedToken::from(*t, true)).collect();
        inner.add_special_tokens(special).map_err(broken)?;
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| Error::new(Kind::ModelFile, format!("the vocabulary has no token `{token}`")))
        };
        Ok(Self { start: id(START)?, end: id(END)?, pad: id(pad)?, inner, length })
    }

    /// The text in one window: what does not fit between start and end is dropped, and said.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub(crate) fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|e| Error::internal(format!("the tokenizer failed: {e}")))?;
        let room = self.length.saturating_sub(2);
        let content = encoding.get_ids();
        let kept = &content[..content.len().min(room)];
        let mut ids = vec![self.start];
        ids.extend(kept);
        ids.push(self.end);
        ids.resize(self.length, self.pad);
        let cut = encoding.get_offsets().get(room).map(|(start, _)| *start);
        let dropped = cut.and_then(|start| text.get(start..)).unwrap_or_default().to_owned();
        Ok(Encoded { ids, dropped })
    }
}

fn normalizer() -> tokenizers::Result<NormalizerWrapper> {
    let spaces =
        Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    Ok(NormalizerWrapper::Sequence(Sequence::new(vec![NFC.into(), spaces.into(), Lowercase.into()])))
}

fn pretokenizer() -> tokenizers::Result<PreTokenizerWrapper> {
    let words = SplitPattern::Regex(WORDS.to_owned());
    let split = Split::new(words, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    Ok(PreTokenizerWrapper::Sequence(Pretokenizers::new(vec![split.into(), bytes.into()])))
}

/// Lines `left right`, after a version line.
fn merges(text: &str) -> Merges {
    text.lines()
        .filter(|line| !line.starts_with("#version"))
        .filter_map(|line| line.split_once(' '))
        .map(|(left, right)| (left.to_owned(), right.trim_end().to_owned()))
        .collect()
}

/// OpenAI's vocabulary: 256 bytes, the same at a word's end, the merges in order, the two special tokens.
fn builtin() -> Result<(Vocab, Merges)> {
    let packed: &[u8] = include_bytes!("../../assets/clip/merges.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .map_err(|e| Error::internal(format!("the built-in vocabulary does not unpack: {e}")))?;
    let merges = merges(&text);
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

/// GPT-2's printable stand-ins for the 256 bytes: printable ones stand for themselves and come first.
fn byte_characters() -> Vec<char> {
    let printable =
        |b: &u32| (0x21..=0x7e).contains(b) || (0xa1..=0xac).contains(b) || (0xae..=0xff).contains(b);
    let others = (0..256u32).filter(|b| !printable(b)).count() as u32;
    (0..256u32).filter(printable).chain(256..256 + others).filter_map(char::from_u32).collect()
}

/// The padding token that the model's own files name.
fn pad_token(files: &ModelFiles, folder: &str) -> Result<Option<Cow<'static, str>>> {
    for name in ["special_tokens_map.json", "tokenizer_config.json"] {
        let path = format!("{folder}/{name}");
        if !files.has(&path) {
            continue;
        }
        let json: Value = files.json(&path)?;
        let token = json.get("pad_token");
        let text = token.and_then(|t| t.as_str().or_else(|| t.get("content")?.as_str()));
        if let Some(text) = text {
            return Ok(Some(text.to_owned().into()));
        }
    }
    Ok(None)
}
