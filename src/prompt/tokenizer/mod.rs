//! CLIP's byte-pair encoding: prompts to token ids, in chunks of the length that the text encoder
//! takes.

mod a1111;
mod files;
mod ftfy;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Pretokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::catalog::ModelFiles;
use crate::error::{Error, Kind, Result};
use crate::prompt::{
    Capacity, LongPrompt, Prompt, Reading, Run, Segment, Syntax, Token, TokenChunks, Word,
    split_at_words, split_into_chunks,
};
use a1111::{Ends, WebUi};
use files::Definition;
pub(crate) use vocabulary::standard_files;
use vocabulary::{Vocabulary, standard};

/// Regular expression by which OpenAI's CLIP splits text into words before the byte-pair encoding.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A prompt in chunks, each of which is one run of the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunked {
    /// One chunk at least; content alone, without start, end and padding.
    pub(crate) chunks: Vec<Vec<Token>>,
    /// The part of the prompt that did not fit, as the user wrote it; empty if all of it did.
    pub(crate) dropped: String,
}

/// Sizes and kind of a text encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Ids of a chunk, with start, end and padding.
    pub(crate) length: usize,
    /// Rows of the token embedding table.
    pub(crate) rows: usize,
    /// True for an OpenCLIP encoder, for which A1111 has another tokenizer.
    pub(crate) open_clip: bool,
}

impl Shape {
    /// OpenAI's text encoder.
    pub(crate) const CLIP: Self = Self {
        length: 77,
        rows: 49408,
        open_clip: false,
    };
}

/// A tokenizer of one text encoder.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    web_ui: WebUi,
    ends: Ends,
    length: usize,
    rows: usize,
    comma: Option<u32>,
    /// Added tokens of several vectors (`<word>`, `<word>_1`, ...), each with all of them in order.
    vectors: Vec<(String, String)>,
    /// The id after the last one.
    first_word: u32,
    /// Warning for the user about what the tokenizer of the model lacks.
    notice: Option<String>,
}

impl Tokenizer {
    /// The tokenizer in `folder` of the model, or CLIP's own where the model has none, for an
    /// encoder of `shape`.
    pub(crate) fn load(files: &ModelFiles, folder: &str, shape: Shape) -> Result<Self> {
        let mut definition = Definition::read(files, folder)?;
        let (vocabulary, own) = match definition.vocabulary.take() {
            Some(vocabulary) => (vocabulary, true),
            None => (standard()?, false),
        };
        let place = || format!("`{}`", files.display(folder));
        let mut tokenizer =
            Self::build(vocabulary, definition, shape).map_err(|e| e.context(place()))?;
        tokenizer.notice = tokenizer
            .fit(files, folder, own)
            .map_err(|e| e.context(place()))?;
        Ok(tokenizer)
    }

    fn build(vocabulary: Vocabulary, definition: Definition, shape: Shape) -> Result<Self> {
        let broken = |e: tokenizers::Error| {
            Error::new(Kind::ModelFile, format!("not a CLIP vocabulary: {e}"))
        };
        let largest = vocabulary.0.values().max().copied().unwrap_or_default();
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary.0, vocabulary.1)
            .unk_token(definition.unknown)
            .end_of_word_suffix("</w>".to_owned())
            .build()
            .map_err(broken)?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        let _ = inner.with_normalizer(Some(normalizer().map_err(broken)?));
        let _ = inner.with_pre_tokenizer(Some(pretokenizer().map_err(broken)?));
        inner.set_encode_special_tokens(definition.splits_special);
        inner.add_tokens(definition.added).map_err(broken)?;
        let id = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| {
                Error::new(
                    Kind::ModelFile,
                    format!("the vocabulary has no token `{token}`"),
                )
            })
        };
        let ends = Ends {
            start: id(&definition.start)?,
            end: id(&definition.end)?,
            pad: id(&definition.pad)?,
        };
        let added = added(&inner);
        let vectors = several_vectors(added.values());
        let tokens = added.values().cloned().collect();
        let web_ui =
            WebUi::new(inner.get_model(), tokens, ends, shape.open_clip).map_err(broken)?;
        let last = added.keys().max().copied().unwrap_or_default().max(largest);
        Ok(Self {
            web_ui,
            ends,
            length: definition.length.unwrap_or(shape.length).min(shape.length),
            rows: shape.rows,
            comma: inner.token_to_id(",</w>"),
            vectors,
            first_word: last + 1,
            notice: None,
            inner,
        })
    }

    /// Returns true if `folder` of the model has a vocabulary.
    pub(crate) fn is_in(files: &ModelFiles, folder: &str) -> Result<bool> {
        Ok(Definition::read(files, folder)?.vocabulary.is_some())
    }

    /// Checks that the vocabulary, the model's `own` or not, is this encoder's; returns a warning
    /// for the user.
    fn fit(&self, files: &ModelFiles, folder: &str, own: bool) -> Result<Option<String>> {
        let (rows, known) = (self.rows, self.first_word as usize);
        let sizes =
            format!("the text encoder's table has {rows} rows, and {known} tokens have a name");
        let none = format!("`{}` has no vocabulary in `{folder}/`", files.origin);
        let absent = !own && files.root().is_some();
        if absent && rows != known {
            return Err(Error::new(
                Kind::ModelFile,
                format!("{none}, and CLIP's is not this model's: {sizes}"),
            )
            .hint(format!(
                "expected `{folder}/tokenizer.json`, or vocab.json and merges.txt there"
            )));
        }
        let Ends { start, end, pad } = self.ends;
        if let Some(id) = [start, end, pad]
            .into_iter()
            .find(|id| *id as usize >= rows)
        {
            return Err(self.beyond(id));
        }
        let files = "neither tokenizer.json nor vocab.json with merges.txt";
        let notice = match (absent, rows > known) {
            (true, _) => format!("{none} ({files}); CLIP's own of {known} tokens is used"),
            (false, true) => {
                format!("{sizes}: the tokenizer in `{folder}/` may lack words that were added")
            }
            (false, false) => return Ok(None),
        };
        Ok(Some(notice))
    }

    /// Error of a token beyond the rows of the embedding table.
    fn beyond(&self, id: u32) -> Error {
        let (token, rows) = (self.piece(id, &[]), self.rows);
        let message =
            format!("`{token}` is token {id}, and the text encoder's table has {rows} rows");
        Error::new(Kind::ModelFile, message)
            .hint("the tokenizer is another encoder's: save both together, after `resize_token_embeddings`")
    }

    /// Warning for the user about what the tokenizer of the model lacks.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Returns true if it equals the tokenizer of a single-file model: CLIP's own without added
    /// tokens, and with the usual padding.
    pub(crate) fn is_usual(&self) -> Result<bool> {
        let (vocab, _) = standard()?;
        let same = |(token, id): (&String, &u32)| self.inner.token_to_id(token) == Some(*id);
        let padded = self.ends.pad == self.web_ui.padding(self.ends);
        Ok(padded && self.first_word as usize == vocab.len() && vocab.iter().all(same))
    }

    /// A prompt in chunks. `words` are those with vectors of their own; their ids follow the
    /// vocabulary's.
    pub(crate) fn chunks(
        &self,
        prompt: &Prompt<'_>,
        reading: Reading,
        words: &[Word],
    ) -> Result<Chunked> {
        self.own_words(words)?;
        let mut sections = prompt.sections(reading.syntax)?;
        if reading.syntax == Syntax::Weighted {
            let clean = |run: &mut Run| run.text = self.web_ui.cleaned(&run.text);
            sections.iter_mut().flatten().for_each(clean);
        }
        for run in sections.iter_mut().flatten() {
            self.write_vectors_out(&mut run.text, reading.syntax)?;
        }
        let capacity = Capacity {
            tokens: self.capacity(),
            comma: self.comma,
            first_word: self.first_word,
            long: reading.long,
        };
        let mut chunked = Chunked {
            chunks: Vec::new(),
            dropped: String::new(),
        };
        for (i, section) in sections.iter().enumerate() {
            let tokens = self.tokens(section, words, reading.syntax)?;
            if tokens.is_empty() && i > 0 && i + 1 == sections.len() {
                break;
            }
            let TokenChunks { chunks, dropped } = split_into_chunks(&tokens, &capacity);
            chunked.chunks.extend(chunks);
            if let Some(first) = dropped {
                if reading.long == LongPrompt::Error {
                    return Err(prompt.too_long(
                        tokens.len(),
                        capacity.tokens,
                        word(section, first),
                    ));
                }
                chunked.dropped += &rest(section, first, chunked.dropped.is_empty());
            }
        }
        Ok(chunked)
    }

    /// Checks that no word is a token of the model itself.
    fn own_words(&self, words: &[Word]) -> Result<()> {
        let names = words.iter().flat_map(|word| &word.names);
        let taken = |name: &&String| {
            self.inner
                .get_added_vocabulary()
                .get_vocab()
                .contains_key(*name)
        };
        match names.into_iter().find(taken) {
            None => Ok(()),
            Some(name) => Err(Error::field(
                "embedding",
                format!("`{name}` is a token of the model's own"),
            )
            .hint("leave the embedding out, or give it another name")),
        }
    }

    /// The tokens of runs, each run on its own.
    fn tokens(&self, runs: &[Run], words: &[Word], syntax: Syntax) -> Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            let token = |id, at| Token {
                id,
                weight: run.weight,
                at: (i, at),
            };
            for segment in split_at_words(&run.text, words) {
                match segment {
                    Segment::Word(word, at) => {
                        tokens.extend(self.word_ids(word, words).map(|id| token(id, at)));
                    }
                    Segment::Text(text, from) => {
                        let encoding = self.encode(text, syntax)?;
                        let ids = encoding.get_ids();
                        if let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) {
                            return Err(self.beyond(*id));
                        }
                        let places = ids.iter().zip(encoding.get_offsets());
                        tokens.extend(places.map(|(&id, &(start, _))| token(id, from + start)));
                    }
                }
            }
        }
        Ok(tokens)
    }

    fn encode(&self, text: &str, syntax: Syntax) -> Result<tokenizers::Encoding> {
        let encoding = match syntax {
            Syntax::Plain => self.inner.encode(text, false),
            Syntax::Weighted => self.web_ui.encode(self.inner.get_model(), text),
        };
        encoding.map_err(|e| Error::internal(format!("the tokenizer failed: {e}")))
    }

    /// Replaces each word of several vectors in the text by the words of all its vectors, as
    /// diffusers' `maybe_convert_prompt` does with a pipeline that was saved after textual
    /// inversion.
    fn write_vectors_out(&self, text: &mut String, syntax: Syntax) -> Result<()> {
        if !self.vectors.iter().any(|(word, _)| text.contains(word)) {
            return Ok(());
        }
        let encoding = self.encode(text, syntax)?;
        for (word, all) in &self.vectors {
            let id = self.inner.token_to_id(word);
            if id.is_some_and(|id| encoding.get_ids().contains(&id)) {
                *text = text.replace(word, all);
            }
        }
        Ok(())
    }

    /// The id of the first vector of the first word: the one after the vocabulary's last.
    pub(crate) fn first_word(&self) -> u32 {
        self.first_word
    }

    /// The ids of a word's vectors.
    fn word_ids(&self, word: usize, words: &[Word]) -> impl Iterator<Item = u32> + use<> {
        let before: usize = words.iter().take(word).map(|word| word.vectors).sum();
        let from = self.first_word() + before as u32;
        from..from + words.get(word).map_or(0, |word| word.vectors as u32)
    }

    /// The ids of a chunk as the encoder takes them: start, content, end, padding.
    pub(crate) fn ids(&self, chunk: &[Token], syntax: Syntax) -> Vec<u32> {
        let pad = match syntax {
            Syntax::Plain => self.ends.pad,
            Syntax::Weighted => self.web_ui.padding(self.ends),
        };
        let content = chunk.iter().map(|token| token.id);
        let mut ids: Vec<u32> = std::iter::once(self.ends.start).chain(content).collect();
        ids.push(self.ends.end);
        ids.resize(self.length, pad);
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
    pub(crate) fn capacity(&self) -> usize {
        self.length.saturating_sub(2)
    }

    /// The vocabulary's text of an id; the vectors of a word after its first one are numbered.
    pub(crate) fn piece(&self, id: u32, words: &[Word]) -> String {
        let mut rows = words.iter().flat_map(|word| {
            let name = word.names.first().map_or("", String::as_str);
            (0..word.vectors).map(move |i| {
                if i == 0 {
                    name.to_owned()
                } else {
                    format!("{name}_{i}")
                }
            })
        });
        match id.checked_sub(self.first_word()) {
            Some(place) => rows.nth(place as usize).unwrap_or_default(),
            // The library stores added tokens as it searches for them, not as the model writes
            // them.
            None => match self
                .inner
                .get_added_vocabulary()
                .get_added_tokens_decoder()
                .get(&id)
            {
                Some(token) => token.content.clone(),
                None => self.inner.id_to_token(id).unwrap_or_default(),
            },
        }
    }
}

/// The word that holds a token.
fn word(runs: &[Run], token: Token) -> &str {
    let (run, start) = token.at;
    let Some((before, after)) = runs
        .get(run)
        .and_then(|run| run.text.split_at_checked(start))
    else {
        return "";
    };
    let length = after.find(char::is_whitespace).unwrap_or(after.len());
    let from = before
        .rfind(char::is_whitespace)
        .map_or(0, |place| place + 1);
    runs.get(run)
        .and_then(|run| run.text.get(from..start + length))
        .unwrap_or(after)
        .trim()
}

/// The text from a token to the end of its section; another section's rest goes on after a blank.
fn rest(runs: &[Run], token: Token, first: bool) -> String {
    let (run, start) = token.at;
    let mut texts = runs.iter().skip(run).map(|run| run.text.as_str());
    let head = texts
        .next()
        .and_then(|text| text.get(start..))
        .unwrap_or_default();
    let blank = if first { "" } else { " " };
    let text: String = std::iter::once(blank).chain([head]).chain(texts).collect();
    text.trim_end().to_owned()
}

/// Added tokens that continue as `WORD_1`, `WORD_2`, ..., each with all of them, separated by
/// spaces.
fn several_vectors<'a>(added: impl Iterator<Item = &'a AddedToken>) -> Vec<(String, String)> {
    let names: BTreeSet<&str> = added.map(|token| token.content.as_str()).collect();
    let all = |word: &str| {
        let further = (1..).map(|i| format!("{word}_{i}"));
        let further = further.take_while(|name| names.contains(name.as_str()));
        further.fold(word.to_owned(), |all, name| all + " " + &name)
    };
    let words = names.iter().map(|word| ((*word).to_owned(), all(word)));
    words.filter(|(word, all)| word != all).collect()
}

/// The added tokens, by their ids.
fn added(inner: &tokenizers::Tokenizer) -> BTreeMap<u32, AddedToken> {
    let size = inner.get_vocab_size(false) as u32;
    inner
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(id, _)| *id >= size)
        .collect()
}

fn normalizer() -> tokenizers::Result<NormalizerWrapper> {
    let spaces = Replace::new(
        tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned()),
        " ",
    )?;
    Ok(NormalizerWrapper::Sequence(Sequence::new(vec![
        NFC.into(),
        spaces.into(),
        Lowercase.into(),
    ])))
}

fn pretokenizer() -> tokenizers::Result<PreTokenizerWrapper> {
    let words = SplitPattern::Regex(WORDS.to_owned());
    let split = Split::new(words, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    Ok(PreTokenizerWrapper::Sequence(Pretokenizers::new(vec![
        split.into(),
        bytes.into(),
    ])))
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
