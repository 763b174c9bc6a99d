//! Alternatives in prompts: `{red|blue}` and `{@colors.txt}`, chosen by the seed or written out one
//! by one. Braces without `|` or `@` are text; `\{` and `\}` are braces in any case.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A parsed prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// A group of alternatives.
    OneOf(Vec<Pattern>),
}

/// Maximum nesting depth of groups.
const MAX_DEPTH: usize = 32;

/// Wildcard files, each read once. Blank lines and lines that begin with `#` are ignored.
#[derive(Default)]
pub(super) struct Wildcards(HashMap<PathBuf, Vec<String>>);

impl Wildcards {
    /// Returns the lines of the wildcard file `name` in `folder`.
    fn lines(&mut self, name: &str, folder: &Path) -> Result<Vec<String>> {
        let path = folder.join(name);
        if let Some(lines) = self.0.get(&path) {
            return Ok(lines.clone());
        }
        let text = crate::text::read(&path).map_err(|e| {
            Error::new(
                crate::error::Kind::Usage,
                format!("cannot read the wildcards `{}`", path.display()),
            )
            .source(e)
        })?;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        if lines.is_empty() {
            let message = format!("the wildcards `{}` have no line", path.display());
            return Err(Error::new(crate::error::Kind::Usage, message));
        }
        self.0.insert(path, lines.clone());
        Ok(lines)
    }
}

impl Pattern {
    /// Parses a prompt; the names of wildcard files are relative to `folder`.
    pub(super) fn parse(text: &str, folder: &Path, wildcards: &mut Wildcards) -> Result<Self> {
        Self::parse_at_depth(0, text, folder, wildcards)
    }

    fn parse_at_depth(
        depth: usize,
        text: &str,
        folder: &Path,
        wildcards: &mut Wildcards,
    ) -> Result<Self> {
        if depth > MAX_DEPTH {
            let message = format!("alternatives are more than {MAX_DEPTH} deep inside one another");
            return Err(Error::new(crate::error::Kind::Usage, message));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(brace) = rest
                .strip_prefix('\\')
                .and_then(|after| after.chars().next())
                .filter(|c| "{}".contains(*c))
            {
                plain.push(brace);
                rest = &rest[2..];
            } else if let Some((options, after)) = split_group(rest) {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                let options = match options.as_slice() {
                    [only] => wildcards
                        .lines(only.trim_start_matches('@').trim(), folder)?
                        .into_iter()
                        .map(Self::text)
                        .collect(),
                    several => {
                        let parse = |option: &&str| {
                            Self::parse_at_depth(depth + 1, option, folder, wildcards)
                        };
                        several.iter().map(parse).collect::<Result<_>>()?
                    }
                };
                pieces.push(Piece::OneOf(options));
                rest = after;
            } else {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    fn text(text: String) -> Self {
        Self(vec![Piece::Text(text)])
    }

    /// Returns true if the prompt has no alternatives to choose from.
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Returns the prompt that a seed selects; the same seed selects the same on every machine.
    pub(super) fn chosen(&self, seed: u64) -> String {
        self.choose(&mut SplitMix(seed))
    }

    fn choose(&self, numbers: &mut SplitMix) -> String {
        let choice = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::OneOf(options) => {
                let at = numbers.next() % options.len() as u64;
                // Nested choices draw numbers only if their option is the chosen one.
                options[at as usize].choose(numbers)
            }
        };
        self.0.iter().map(choice).collect()
    }

    /// Number of prompts that [`Self::expanded`] returns, at most `usize::MAX`.
    pub(super) fn count(&self) -> usize {
        self.0.iter().fold(1, |all, piece| match piece {
            Piece::Text(_) => all,
            Piece::OneOf(options) => {
                let here = options
                    .iter()
                    .fold(0, |sum: usize, option| sum.saturating_add(option.count()));
                all.saturating_mul(here)
            }
        })
    }

    /// Returns every prompt, with the last alternative varying fastest.
    pub(super) fn expanded(&self) -> Vec<String> {
        self.0.iter().fold(vec![String::new()], |texts, piece| {
            let ends: Vec<String> = match piece {
                Piece::Text(text) => vec![text.clone()],
                Piece::OneOf(options) => options.iter().flat_map(Self::expanded).collect(),
            };
            texts
                .iter()
                .flat_map(|text| ends.iter().map(move |end| format!("{text}{end}")))
                .collect()
        })
    }
}

/// Splits a group off the start of `text`: its options, and the text after it. A single option is a
/// wildcard file.
fn split_group(text: &str) -> Option<(Vec<&str>, &str)> {
    let inside = text.strip_prefix('{')?;
    let (mut depth, mut from, mut escaped) = (0usize, 0, false);
    let mut options = Vec::new();
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '|' if depth == 0 => {
                options.push(&inside[from..at]);
                from = at + 1;
            }
            '}' => {
                options.push(&inside[from..at]);
                let is_group = options.len() > 1 || options[0].trim_start().starts_with('@');
                return is_group.then(|| (options, &inside[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// SplitMix64 (Steele, Lea & Flood 2014): random numbers for choices, independent of the noise.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, Path::new("."), &mut Wildcards::default()).unwrap()
    }

    #[test]
    fn alternatives_are_written_out_in_order() {
        let all = pattern("a {red|{dark|pale} blue} {cat|dog}").expanded();
        assert_eq!(
            (
                all.len(),
                pattern("a {red|{dark|pale} blue} {cat|dog}").count()
            ),
            (6, 6)
        );
        assert_eq!(
            (all[0].as_str(), all[2].as_str(), all[5].as_str()),
            ("a red cat", "a dark blue cat", "a pale blue dog")
        );
    }

    #[test]
    fn braces_without_a_choice_are_text() {
        for (text, plain) in [
            ("a {b} c", "a {b} c"),
            ("{", "{"),
            ("a}b|c", "a}b|c"),
            (r"\{a|b\}", "{a|b}"),
            (r"(a\)", r"(a\)"),
        ] {
            let pattern = pattern(text);
            assert!(pattern.is_plain(), "{text}");
            assert_eq!(pattern.expanded(), [plain]);
        }
    }

    #[test]
    fn a_seed_chooses_always_the_same_and_seeds_choose_all() {
        let pattern = pattern("{a|b|c} {1|2}");
        let chosen: Vec<String> = (0..60).map(|seed| pattern.chosen(seed)).collect();
        assert_eq!(
            chosen[..4],
            ["b 1", "c 2", "b 1", "a 2"].map(str::to_owned),
            "a promise across versions"
        );
        let all: std::collections::BTreeSet<&String> = chosen.iter().collect();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn alternatives_without_end_are_counted_and_depth_is_bounded() {
        assert_eq!(pattern(&"{a|b}".repeat(200)).count(), usize::MAX);
        let deep = |depth: usize| format!("{}{}", "{a|".repeat(depth), "}".repeat(depth));
        assert_eq!(pattern(&deep(MAX_DEPTH)).count(), MAX_DEPTH + 1);
        let error =
            Pattern::parse(&deep(100_000), Path::new("."), &mut Wildcards::default()).unwrap_err();
        assert!(error.to_string().contains("deep"), "{error}");
    }

    #[test]
    fn wildcard_files_give_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("colors.txt"), "# colours\nred\n\nblue\n").unwrap();
        let mut wildcards = Wildcards::default();
        let pattern = Pattern::parse("a {@colors.txt} cat", folder.path(), &mut wildcards).unwrap();
        assert_eq!(pattern.expanded(), ["a red cat", "a blue cat"]);
        let error = Pattern::parse("{@none.txt}", folder.path(), &mut wildcards).unwrap_err();
        assert!(error.to_string().contains("none.txt"), "{error}");
    }
}
