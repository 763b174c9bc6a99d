//! CLIP's byte-pair encoding: prompts to token ids, in chunks of the length that the text encoder takes.

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
use crate::models::clip::ClipConfig;
use crate::prompt::{
    Layout, LongPrompt, Prompt, Reading, Room, Run, Stretch, Token, Word, lay_out, stretches,
};
use crate::registry::{Component, ModelFiles};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// How OpenAI's CLIP cuts text into words before the byte pairs.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A prompt in chunks, each of which is one run of the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunked {
    /// One chunk at least; content alone, without start, end and padding.
    pub(crate) chunks: Vec<Vec<Token>>,
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
    comma: Option<u32>,
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
        let (start, end, pad) = (id(START)?, id(END)?, id(pad)?);
        let comma = inner.token_to_id(",</w>");
        Ok(Self { start, end, pad, comma, inner, length })
    }

    /// A prompt in chunks. `words` are those with vectors of their own; their ids follow the vocabulary's.
    ///
    /// # Errors
    /// A wrong weight; a prompt that is too long where that is not allowed; the tokenizer fails.
    pub(crate) fn chunks(&self, prompt: &Prompt<'_>, reading: Reading, words: &[Word]) -> Result<Chunked> {
        let sections = prompt.sections(reading.syntax)?;
        let (tokens, first_word) = (self.room(), self.first_word());
        let room = Room { tokens, comma: self.comma, first_word, long: reading.long };
        let mut chunked = Chunked { chunks: Vec::new(), dropped: String::new() };
        for (i, section) in sections.iter().enumerate() {
            let tokens = self.tokens(section, words)?;
            if tokens.is_empty() && i > 0 && i + 1 == sections.len() {
                break;
            }
            let Layout { chunks, dropped } = lay_out(&tokens, &room);
            chunked.chunks.extend(chunks);
            if let Some(first) = dropped {
                if reading.long == LongPrompt::Error {
                    return Err(prompt.too_long(tokens.len(), room.tokens, word(section, first)));
                }
                chunked.dropped += &rest(section, first, chunked.dropped.is_empty());
            }
        }
        Ok(chunked)
    }

    /// The tokens of runs, each run on its own.
    fn tokens(&self, runs: &[Run], words: &[Word]) -> Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            let token = |id, at| Token { id, weight: run.weight, at: (i, at) };
            for stretch in stretches(&run.text, words) {
                match stretch {
                    Stretch::Word(word, at) => {
                        tokens.extend(self.word_ids(word, words).map(|id| token(id, at)));
                    }
                    Stretch::Text(text, from) => {
                        let encoding = self.inner.encode(text, false);
                        let encoding =
                            encoding.map_err(|e| Error::internal(format!("the tokenizer failed: {e}")))?;
                        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
                        tokens.extend(places.map(|(&id, &(start, _))| token(id, from + start)));
                    }
                }
            }
        }
        Ok(tokens)
    }

    /// The id of the first vector of the first word: the one after the vocabulary's last.
    pub(crate) fn first_word(&self) -> u32 {
        self.inner.get_vocab_size(true) as u32
    }

    /// The ids of a word's vectors.
    fn word_ids(&self, word: usize, words: &[Word]) -> impl Iterator<Item = u32> + use<> {
        let before: usize = words.iter().take(word).map(|word| word.vectors).sum();
        let from = self.first_word() + before as u32;
        from..from + words.get(word).map_or(0, |word| word.vectors as u32)
    }

    /// The ids of a chunk as the encoder takes them: start, content, end, padding.
    pub(crate) fn ids(&self, chunk: &[Token]) -> Vec<u32> {
        let content = chunk.iter().map(|token| token.id);
        let mut ids: Vec<u32> = std::iter::once(self.start).chain(content).collect();
        ids.push(self.end);
        ids.resize(self.length, self.pad);
        ids
    }

    /// The weight of each of [`Tokenizer::ids`]: start, end and padding have 1.
    pub(crate) fn weights(&self, chunk: &[Token]) -> Vec<f64> {
        let content = chunk.iter().map(|token| token.weight);
        let mut weights: Vec<f64> = std::iter::once(1.0).chain(content).collect();
        weights.resize(self.length, 1.0);
        weights
    }

    /// Content tokens of a chunk.
    pub(crate) fn room(&self) -> usize {
        self.length.saturating_sub(2)
    }

    /// The vocabulary's text of an id; the vectors of a word after its first one are numbered.
    pub(crate) fn piece(&self, id: u32, words: &[Word]) -> String {
        let mut rows = words.iter().flat_map(|word| {
            let name = word.names.first().map_or("", String::as_str);
            (0..word.vectors).map(move |i| if i == 0 { name.to_owned() } else { format!("{name}_{i}") })
        });
        match id.checked_sub(self.first_word()) {
            Some(place) => rows.nth(place as usize).unwrap_or_default(),
            None => self.inner.id_to_token(id).unwrap_or_default(),
        }
    }
}

/// The word that holds a token.
fn word(runs: &[Run], token: Token) -> &str {
    let (run, start) = token.at;
    let Some((before, after)) = runs.get(run).and_then(|run| run.text.split_at_checked(start)) else {
        return "";
    };
    let length = after.find(char::is_whitespace).unwrap_or(after.len());
    let from = before.rfind(char::is_whitespace).map_or(0, |place| place + 1);
    runs.get(run).and_then(|run| run.text.get(from..start + length)).unwrap_or(after).trim()
}

/// The text from a token to the end of its section; another section's rest goes on after a blank.
fn rest(runs: &[Run], token: Token, first: bool) -> String {
    let (run, start) = token.at;
    let mut texts = runs.iter().skip(run).map(|run| run.text.as_str());
    let head = texts.next().and_then(|text| text.get(start..)).unwrap_or_default();
    let blank = if first { "" } else { " " };
    let text: String = std::iter::once(blank).chain([head]).chain(texts).collect();
    text.trim_end().to_owned()
}

/// The text encoders that a model may have, each with the folder of its tokenizer. XL's refiner has the second alone.
const ENCODERS: [(Component, &str); 2] =
    [(Component::TextEncoder, "tokenizer"), (Component::TextEncoder2, "tokenizer_2")];

/// A text encoder's tokenizer, with the encoder's configuration.
pub(crate) struct Reader {
    pub(crate) component: Component,
    pub(crate) config: ClipConfig,
    pub(crate) tokenizer: Tokenizer,
}

/// The tokenizers of a model's text encoders.
///
/// # Errors
/// A model without a text encoder; a configuration or vocabulary that does not parse.
pub(crate) fn readers(files: &ModelFiles) -> Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for (component, folder) in ENCODERS.into_iter().filter(|(part, _)| files.has(&part.config())) {
        let config: ClipConfig = files.json(&component.config())?;
        let tokenizer = Tokenizer::load(files, folder, config.max_position_embeddings)?;
        readers.push(Reader { component, config, tokenizer });
    }
    if readers.is_empty() {
        return Err(Error::new(Kind::ModelFile, format!("`{}` has no text encoder", files.origin)));
    }
    Ok(readers)
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
