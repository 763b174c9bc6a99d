//! Files of a tokenizer, read as transformers 5 reads them for diffusers: the vocabulary, the added
//! tokens, and the start, end and padding tokens.
//!
//! The vocabulary of tokenizer.json comes before vocab.json with merges.txt. Added tokens are those
//! of `added_tokens_decoder` in tokenizer_config.json alone where that exists, else those of
//! added_tokens.json and of tokenizer.json, of which the latter wins. They get their ids in the
//! order of the ids in the files.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::vocabulary::{END, Pairs, START, Vocabulary, merges};
use crate::catalog::ModelFiles;
use crate::error::{Error, Kind, Result};

/// Special tokens with a role, in transformers' order; the others of its list have no role here.
const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// Lists of further special tokens, by their new and their old name.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// A tokenizer as its files define it.
pub(super) struct Definition {
    /// Vocabulary; absent where the model has none.
    pub(super) vocabulary: Option<Vocabulary>,
    /// Added tokens, including tokens of the vocabulary with options of their own, in the order in
    /// which they get their ids.
    pub(super) added: Vec<AddedToken>,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) pad: String,
    pub(super) unknown: String,
    /// Length of a chunk in ids (`model_max_length`), where the files state it.
    pub(super) length: Option<usize>,
    /// True if special tokens in a prompt are ordinary text.
    pub(super) splits_special: bool,
}

/// tokenizer.json, as far as CLIP's tokenizer reads it.
#[derive(serde::Deserialize)]
struct Whole {
    model: Value,
    #[serde(default)]
    added_tokens: Vec<Value>,
}

/// Added tokens by their ids and by their names.
#[derive(Default)]
struct Added {
    by_place: BTreeMap<u64, AddedToken>,
    by_name: HashMap<String, AddedToken>,
}

/// The files of one tokenizer.
struct Folder<'a> {
    files: &'a ModelFiles,
    name: &'a str,
}

impl Definition {
    /// Reads the tokenizer in `folder`.
    pub(super) fn read(files: &ModelFiles, folder: &str) -> Result<Self> {
        let folder = Folder {
            files,
            name: folder,
        };
        let mut config = folder.object("tokenizer_config.json")?.unwrap_or_default();
        let whole: Option<Whole> = folder.json("tokenizer.json")?;
        let added = folder.added(&mut config, whole.as_ref())?;
        folder.refuse_left(&config)?;
        let token = |key: &str| token(config.get(key)?).map(|token| token.content);
        let or_end = |key: &str| token(key).unwrap_or_else(|| END.to_owned());
        let length = ["model_max_length", "max_len"]
            .iter()
            .find_map(|key| config.get(*key)?.as_f64());
        Ok(Self {
            start: token("bos_token").unwrap_or_else(|| START.to_owned()),
            end: or_end("eos_token"),
            pad: or_end("pad_token"),
            unknown: or_end("unk_token"),
            length: length.map(|length| length as usize),
            splits_special: config.get("split_special_tokens") == Some(&Value::Bool(true)),
            added: added.in_order(&config),
            vocabulary: folder.vocabulary(whole)?,
        })
    }
}

impl Folder<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        if self.files.has(&path) {
            self.files.json(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    fn object(&self, name: &str) -> Result<Option<Map<String, Value>>> {
        self.json(name)
    }

    fn vocabulary(&self, whole: Option<Whole>) -> Result<Option<Vocabulary>> {
        if let Some(whole) = whole {
            let broken = |what: String| {
                let path = self.files.display(&self.path("tokenizer.json"));
                Error::new(Kind::ModelFile, format!("`{path}`: {what}"))
                    .hint("expected CLIP's byte pair encoding: `model` with `vocab` and `merges`")
            };
            let pairs: Pairs =
                serde_json::from_value(whole.model).map_err(|e| broken(e.to_string()))?;
            let vocabulary = pairs
                .vocabulary()
                .map_err(|kind| broken(format!("a model of type `{kind}`")));
            return vocabulary.map(Some);
        }
        let merged = self.path("merges.txt");
        match self.json::<HashMap<String, u32>>("vocab.json")? {
            Some(vocab) if self.files.has(&merged) => Ok(Some((
                vocab.into_iter().collect(),
                merges(&self.files.text(&merged)?),
            ))),
            Some(_) | None => Ok(None),
        }
    }

    /// The added tokens; where the configuration does not list them, special_tokens_map.json is
    /// merged into it.
    fn added(&self, config: &mut Map<String, Value>, whole: Option<&Whole>) -> Result<Added> {
        let mut added = Added::default();
        if let Some(decoder) = config
            .get("added_tokens_decoder")
            .and_then(Value::as_object)
        {
            for (place, value) in decoder {
                let read = place.parse().ok().zip(token(value));
                let (place, token) =
                    read.ok_or_else(|| self.no_token("tokenizer_config.json", value))?;
                added.put(place, token);
            }
            return Ok(added);
        }
        for (key, value) in self.object("special_tokens_map.json")?.unwrap_or_default() {
            config.insert(key, special(value));
        }
        let specials: Vec<String> = specials(config)
            .into_iter()
            .map(|token| token.content)
            .collect();
        for (content, place) in self
            .json::<HashMap<String, u64>>("added_tokens.json")?
            .unwrap_or_default()
        {
            let special = specials.contains(&content);
            added.put(place, AddedToken::from(content, special));
        }
        for value in whole.iter().flat_map(|whole| &whole.added_tokens) {
            let read = value.get("id").and_then(Value::as_u64).zip(token(value));
            let (place, token) = read.ok_or_else(|| self.no_token("tokenizer.json", value))?;
            added.put(place, token);
        }
        Ok(added)
    }

    fn no_token(&self, name: &str, value: &Value) -> Error {
        let path = self.files.display(&self.path(name));
        Error::new(
            Kind::ModelFile,
            format!("`{path}`: `{value}` is no added token"),
        )
        .hint("expected an id and `content`")
    }

    /// Rejects padding or truncation on the left, which puts words at positions that CLIP was not
    /// trained with.
    fn refuse_left(&self, config: &Map<String, Value>) -> Result<()> {
        let left = |key: &&str| config.get(*key).and_then(Value::as_str) == Some("left");
        let Some(key) = ["padding_side", "truncation_side"]
            .into_iter()
            .find(|key| left(key))
        else {
            return Ok(());
        };
        let path = self.files.display(&self.path("tokenizer_config.json"));
        Err(Error::new(
            Kind::ModelFile,
            format!("`{path}`: `{key}` is `left`, which sdgen does not do"),
        )
        .hint("CLIP's own is `right`; take the line out if the model was trained so"))
    }
}

impl Added {
    fn put(&mut self, place: u64, token: AddedToken) {
        self.by_name.insert(token.content.clone(), token.clone());
        self.by_place.insert(place, token);
    }

    /// The added tokens by their ids, then the special ones without an id.
    fn in_order(self, config: &Map<String, Value>) -> Vec<AddedToken> {
        let Self { by_place, by_name } = self;
        let mut tokens: Vec<AddedToken> = by_place.into_values().collect();
        let mut defaults = Map::new();
        for (key, content) in [
            ("bos_token", START),
            ("eos_token", END),
            ("unk_token", END),
            ("pad_token", END),
        ] {
            defaults.insert(key.to_owned(), content.into());
        }
        let said = config.iter().filter(|(_, value)| !value.is_null());
        defaults.extend(said.map(|(key, value)| (key.clone(), value.clone())));
        for token in specials(&defaults) {
            let token = by_name.get(&token.content).cloned().unwrap_or(token);
            if !tokens.iter().any(|other| other.content == token.content) {
                tokens.push(token);
            }
        }
        tokens
    }
}

/// The special tokens that a configuration names: those with a role, others of the same form, and
/// lists.
fn specials(config: &Map<String, Value>) -> Vec<AddedToken> {
    let named = NAMED.iter().filter_map(|key| token(config.get(*key)?));
    let others = config
        .iter()
        .filter(|(key, _)| key.ends_with("_token") && !NAMED.contains(&key.as_str()));
    let others = others.filter_map(|(_, value)| token(value));
    let list = LISTS
        .iter()
        .find_map(|key| config.get(*key))
        .and_then(Value::as_array);
    named
        .chain(others)
        .chain(list.into_iter().flatten().filter_map(token))
        .collect()
}

/// A token as the files write it: its text, which makes it a special one, or an object.
fn token(value: &Value) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content, true));
    }
    let content = value.get("content")?.as_str()?;
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    Some(AddedToken {
        single_word: flag("single_word").unwrap_or(false),
        lstrip: flag("lstrip").unwrap_or(false),
        rstrip: flag("rstrip").unwrap_or(false),
        normalized: flag("normalized").unwrap_or(!special),
        ..AddedToken::from(content, special)
    })
}

/// An entry of special_tokens_map.json: its objects are special without saying so.
fn special(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("special".to_owned(), true.into());
    }
    value
}
