//! peft's training record of a LoRA, for files that store alpha nowhere else: in the header of
//! diffusers' own files (`lora_adapter_metadata`), or in `adapter_config.json` next to a file that
//! peft saved.

use std::fmt;
use std::path::Path;

use fancy_regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::{Error, Kind, Result};

/// Key of the record in a safetensors header.
pub(super) const HEADER: &str = "lora_adapter_metadata";
/// Name of the record next to a file that peft saved.
const CONFIG: &str = "adapter_config.json";
/// peft's default of both rank and alpha.
const DEFAULT: f64 = 8.0;

/// The training record.
#[derive(Clone, Debug, Default)]
pub(super) struct PeftConfig(Vec<Network>);

/// Training settings of one network.
#[derive(Clone, Debug)]
struct Network {
    /// Name of the network in diffusers; empty for `adapter_config.json`, which describes one
    /// network.
    name: String,
    rank: f64,
    alpha: f64,
    /// True if alpha is divided by the square root of the rank (Kalajdzievski 2023, rsLoRA).
    root: bool,
    ranks: Patterns,
    alphas: Patterns,
}

/// Numbers for some modules: the first pattern that matches the end of a module's name wins.
#[derive(Clone, Debug, Default)]
struct Patterns(Vec<(Regex, f64)>);

/// A JSON value whose objects keep their order; kinds that are not needed are ignored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Number(f64),
    Flag(bool),
    Table(Table),
    Other(IgnoredAny),
}

struct Table(Vec<(String, Item)>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = map.next_entry()? {
                    rows.push(row);
                }
                Ok(Table(rows))
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

impl PeftConfig {
    /// Reads the record in the header of a file.
    pub(super) fn of_header(text: &str) -> Result<Self> {
        let table = Table::parse(text, HEADER)?;
        let mut names: Vec<&str> = table
            .0
            .iter()
            .filter_map(|(key, _)| Some(key.split_once('.')?.0))
            .collect();
        names.dedup();
        names
            .into_iter()
            .map(|name| table.network(name, HEADER))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Reads the record next to the file at `path`, if there is one.
    pub(super) fn next_to(path: &Path) -> Result<Option<Self>> {
        let config = path.with_file_name(CONFIG);
        if !config.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&config).map_err(|e| {
            Error::new(Kind::ModelFile, format!("cannot read its `{CONFIG}`")).source(e)
        })?;
        let network = Table::parse(&text, CONFIG)?.network("", CONFIG)?;
        Ok(Some(Self(vec![network])))
    }

    /// alpha / rank of a module (alpha / √rank with rsLoRA), by its network and its name in
    /// diffusers; 1 if the record lacks the network.
    pub(super) fn scale(&self, network: &str, module: &str, rank: Option<usize>) -> f64 {
        let Some(of) = self
            .0
            .iter()
            .find(|of| of.name.is_empty() || of.name == network)
        else {
            return 1.0;
        };
        let alpha = of.alphas.find(module).unwrap_or(of.alpha);
        // Factors stored whole have no rank of their own.
        let rank = rank.map_or_else(
            || of.ranks.find(module).unwrap_or(of.rank),
            |rank| rank as f64,
        );
        alpha / if of.root { rank.sqrt() } else { rank }
    }
}

impl Table {
    fn parse(text: &str, what: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| wrong(what, &format!("is no table in JSON: {e}")))
    }

    fn network(&self, name: &str, what: &str) -> Result<Network> {
        let item = |key: &str| {
            let full = if name.is_empty() {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            };
            self.0
                .iter()
                .rev()
                .find(|row| row.0 == full)
                .map(|row| &row.1)
        };
        let number = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| item(key));
            if let Some(Item::Number(number)) = found {
                *number
            } else {
                DEFAULT
            }
        };
        let patterns = |key: &str| match item(key) {
            Some(Item::Table(rows)) => rows.patterns(what),
            _ => Ok(Patterns::default()),
        };
        Ok(Network {
            name: name.to_owned(),
            rank: number(&["r"]),
            // `lora_alpha` for LoRA, `alpha` for the other methods.
            alpha: number(&["lora_alpha", "alpha"]),
            root: matches!(item("use_rslora"), Some(Item::Flag(true))),
            ranks: patterns("rank_pattern")?,
            alphas: patterns("alpha_pattern")?,
        })
    }

    /// peft's patterns are regular expressions for the end of a module's name, from a dot on.
    fn patterns(&self, what: &str) -> Result<Patterns> {
        let numbers = self.0.iter().filter_map(|(pattern, item)| match item {
            Item::Number(number) => Some((pattern, *number)),
            Item::Flag(_) | Item::Table(_) | Item::Other(_) => None,
        });
        let compiled = numbers.map(|(pattern, number)| {
            let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"));
            let regex =
                regex.map_err(|_| wrong(what, &format!("has `{pattern}`, which is no pattern")))?;
            Ok((regex, number))
        });
        compiled.collect::<Result<_>>().map(Patterns)
    }
}

impl Patterns {
    fn find(&self, module: &str) -> Option<f64> {
        // Older versions of transformers have text encoders below `text_model.`.
        let bare = module.strip_prefix("text_model.").unwrap_or(module);
        let fits = |regex: &Regex, name: &str| regex.is_match(name).unwrap_or(false);
        let mut rows = self.0.iter();
        rows.find(|(regex, _)| fits(regex, module) || fits(regex, bare))
            .map(|row| row.1)
    }
}

fn wrong(what: &str, how: &str) -> Error {
    Error::new(Kind::ModelFile, format!("its `{what}` {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen with `peft.utils.other.get_pattern_key` of peft 0.21.2.
    #[test]
    fn patterns_are_those_of_peft() {
        let module = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q";
        for (pattern, fits) in [
            ("to_q", true),
            ("q", false),
            ("attn1.to_q", true),
            ("attn.*", true),
            ("attn[12]\\.to_(q|k)", true),
            ("to_k|to_q", true),
            ("down_blocks", false),
            ("down_blocks.*", true),
            ("^down_blocks.0.*", true),
            ("^attn1.to_q", false),
            ("(?!.*attn2).*to_q", true),
            ("to_", false),
            (".*attn1.*to_q$", true),
            ("blocks.0.*", false),
        ] {
            let text =
                format!(r#"{{"unet.alpha_pattern": {{{pattern:?}: 3}}, "unet.lora_alpha": 8}}"#);
            let scale = PeftConfig::of_header(&text)
                .unwrap()
                .scale("unet", module, Some(4));
            assert_eq!(scale, if fits { 0.75 } else { 2.0 }, "{pattern}");
        }
    }

    #[test]
    fn the_first_pattern_counts_in_the_order_of_the_file() {
        let text = r#"{"unet.alpha_pattern": {"to_q": 2, "a.*": 16}, "unet.r": 4, "text_encoder.alpha": 1}"#;
        let training = PeftConfig::of_header(text).unwrap();
        assert_eq!(training.scale("unet", "a.to_q", Some(4)), 0.5);
        assert_eq!(training.scale("unet", "a.to_k", Some(4)), 4.0);
        // peft's alpha where the record has none.
        assert_eq!(training.scale("unet", "b.to_k", Some(4)), 2.0);
        assert_eq!(training.scale("text_encoder", "b", Some(2)), 0.5);
        assert_eq!(training.scale("text_encoder_2", "b", Some(2)), 1.0);
    }

    #[test]
    fn ranks_count_where_the_tensors_have_none_and_roots_where_they_are_asked_for() {
        let text = r#"{"unet.r": 16, "unet.alpha": 8, "unet.rank_pattern": {"to_q": 2}, "unet.use_rslora": false,
            "text_encoder.lora_alpha": 8, "text_encoder.use_rslora": true, "text_encoder.x": [null, {}]}"#;
        let training = PeftConfig::of_header(text).unwrap();
        assert_eq!(training.scale("unet", "a.to_q", None), 4.0);
        assert_eq!(training.scale("unet", "a.to_k", None), 0.5);
        assert_eq!(training.scale("text_encoder", "a", Some(16)), 2.0);
    }

    #[test]
    fn records_that_cannot_be_understood_are_refused() {
        for (text, what) in [
            ("[]", "no table"),
            ("{", "no table"),
            (r#"{"unet.alpha_pattern": {"(": 1}}"#, "`(`, which"),
        ] {
            let error = PeftConfig::of_header(text).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
