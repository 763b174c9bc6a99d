//! Tokenizers of A1111. Its first encoder of 1.x and XL has transformers 4's tokenizer, which
//! repairs the text with ftfy; the encoder of 2.x and the second of XL have OpenCLIP's, which also
//! decodes HTML character references and has no padding token: `!` is a word there.

use tokenizers::normalizers::Lowercase;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, AddedVocabulary, Encoding, Model, ModelWrapper, NormalizedString, OffsetType,
    PreTokenizer, SplitDelimiterBehavior, Token,
};

use super::ftfy::{fix_text, unescape};
use super::vocabulary::{END, START};

/// Regular expression by which both split text into words before the byte-pair encoding; it follows
/// their names of the start and end tokens.
const WORDS: &str = r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// OpenCLIP's names.
const OPEN_CLIP: [&str; 2] = ["<start_of_text>", "<end_of_text>"];

/// The start, end and padding tokens.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
}

/// A tokenizer of A1111 over a vocabulary that is CLIP's.
pub(super) struct WebUi {
    open_clip: bool,
    words: Split,
    bytes: ByteLevel,
    /// Added tokens of the model, which A1111 itself does not have.
    added: AddedVocabulary,
    /// Names of the start and end tokens in a prompt, with their ids.
    ends: [(&'static str, u32); 2],
}

impl WebUi {
    /// Makes the tokenizer; `added` are the added tokens of `model`, by their ids.
    pub(super) fn new(
        model: &ModelWrapper,
        added: Vec<AddedToken>,
        ends: Ends,
        open_clip: bool,
    ) -> tokenizers::Result<Self> {
        let [start, end] = if open_clip { OPEN_CLIP } else { [START, END] };
        let mut own = AddedVocabulary::new();
        own.add_tokens(added, model, Some(&Lowercase))?;
        if !open_clip {
            // transformers looks for them before it cuts text into words.
            let known = [start, end]
                .into_iter()
                .filter(|name| model.token_to_id(name).is_some());
            own.add_tokens(
                known.map(|name| AddedToken::from(name, true)),
                model,
                Some(&Lowercase),
            )?;
        }
        let pattern = format!(
            "(?i){}|{}",
            start.replace('|', r"\|"),
            end.replace('|', r"\|")
        ) + WORDS;
        Ok(Self {
            open_clip,
            words: Split::new(
                SplitPattern::Regex(pattern),
                SplitDelimiterBehavior::Removed,
                true,
            )?,
            bytes: ByteLevel::new(false, true, false),
            added: own,
            ends: [(start, ends.start), (end, ends.end)],
        })
    }

    /// The padding token of A1111, whatever the files of the model say.
    pub(super) fn padding(&self, ends: Ends) -> u32 {
        if self.open_clip { 0 } else { ends.end }
    }

    /// The text as the byte-pair encoding takes it, except for its case; spaces at its ends stay,
    /// so that texts can be joined.
    pub(super) fn cleaned(&self, text: &str) -> String {
        let mut text = fix_text(text);
        if self.open_clip {
            text = unescape(&unescape(&text));
        }
        if text.contains('Σ') {
            // The one letter whose small form depends on its place.
            text = text.to_lowercase();
        }
        let mut output = String::new();
        for c in text.chars() {
            if !c.is_whitespace() {
                output.push(c);
            } else if !output.ends_with(' ') {
                output.push(' ');
            }
        }
        output
    }

    /// The ids of cleaned text, each with the byte at which it begins.
    pub(super) fn encode(&self, model: &ModelWrapper, text: &str) -> tokenizers::Result<Encoding> {
        let mut text = self.added.extract_and_normalize(Some(&Lowercase), text);
        self.words.pre_tokenize(&mut text)?;
        self.bytes.pre_tokenize(&mut text)?;
        text.tokenize(|word| self.tokens(model, word))?;
        text.into_encoding(None, 0, OffsetType::Byte)
    }

    fn tokens(
        &self,
        model: &ModelWrapper,
        word: &NormalizedString,
    ) -> tokenizers::Result<Vec<Token>> {
        let word = word.get();
        match self.ends.iter().find(|(name, _)| *name == word) {
            Some((_, id)) => Ok(vec![Token {
                id: *id,
                value: word.to_owned(),
                offsets: (0, word.len()),
            }]),
            None => model.tokenize(word),
        }
    }
}
