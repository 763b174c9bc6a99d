//! A1111's brackets: `(word)` 1.1, `[word]` 1/1.1, `(word:1.3)`, nested ones multiplied, `\(` for a
//! bracket that is text, `BREAK` for a new chunk. Brackets without a partner are read as in A1111:
//! one that is never closed counts to the end, one that was never opened is text.

use super::{LARGEST, Piece, Prompt, Run};
use crate::error::Result;

/// Factors of one pair of brackets.
const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;

const BREAK: &str = "BREAK";

/// The parts of `prompt`, neighbours of one weight joined.
pub(super) fn weighted(prompt: &Prompt<'_>) -> Result<Vec<Piece>> {
    let mut reader = Reader {
        prompt,
        parts: Vec::new(),
        round: Vec::new(),
        square: Vec::new(),
    };
    let mut at = 0;
    while let Some(rest) = prompt.text.get(at..).filter(|rest| !rest.is_empty()) {
        at += reader.symbol(rest, at)?;
    }
    reader.finish()
}

/// A part with its place in the prompt.
struct Part {
    text: Option<String>,
    weight: f64,
    at: usize,
}

struct Reader<'a> {
    prompt: &'a Prompt<'a>,
    parts: Vec<Part>,
    /// Number of parts before each bracket that is open.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Reader<'_> {
    /// Takes the symbol that `rest` begins with; returns its length.
    fn symbol(&mut self, rest: &str, at: usize) -> Result<usize> {
        let mut characters = rest.chars();
        match (characters.next(), characters.next()) {
            (Some('\\'), Some(next)) if "()[]\\".contains(next) => {
                self.text(&next.to_string(), at);
                return Ok(2);
            }
            (Some('('), _) => self.round.push(self.parts.len()),
            (Some('['), _) => self.square.push(self.parts.len()),
            (Some(')'), _) => match self.round.pop() {
                Some(from) => self.multiply(from, ROUND),
                None => self.text(")", at),
            },
            (Some(']'), _) => match self.square.pop() {
                Some(from) => self.multiply(from, SQUARE),
                None => self.text("]", at),
            },
            (Some(':'), _) => return self.colon(rest, at),
            // A backslash before anything else vanishes, as in A1111.
            (Some('\\'), _) => {}
            _ => {
                let length = rest
                    .find(['\\', '(', ')', '[', ']', ':'])
                    .unwrap_or(rest.len());
                self.words(&rest[..length], at);
                return Ok(length);
            }
        }
        Ok(1)
    }

    /// `:1.3)` closes a bracket with a weight; any other colon is text.
    fn colon(&mut self, rest: &str, at: usize) -> Result<usize> {
        let (Some((number, length)), Some(&from)) = (number(rest), self.round.last()) else {
            self.text(":", at);
            return Ok(1);
        };
        let weight = number
            .parse()
            .ok()
            .filter(|weight: &f64| weight.abs() <= LARGEST);
        let place = self.parts.get(from).map_or(at, |part| part.at);
        let weight = weight.ok_or_else(|| self.prompt.wrong_weight(number, place))?;
        let _ = self.round.pop();
        self.multiply(from, weight);
        Ok(length)
    }

    /// Text without symbols, with the breaks in it.
    fn words(&mut self, text: &str, at: usize) {
        let mut from = 0;
        for place in breaks(text) {
            self.text(text[from..place].trim_end(), at + from);
            self.parts.push(Part {
                text: None,
                weight: 1.0,
                at: at + place,
            });
            let after = &text[place + BREAK.len()..];
            from = text.len() - after.trim_start().len();
        }
        self.text(&text[from..], at + from);
    }

    fn text(&mut self, text: &str, at: usize) {
        if !text.is_empty() {
            self.parts.push(Part {
                text: Some(text.to_owned()),
                weight: 1.0,
                at,
            });
        }
    }

    fn multiply(&mut self, from: usize, by: f64) {
        self.parts[from..]
            .iter_mut()
            .for_each(|part| part.weight *= by);
    }

    /// Closes what is still open and joins neighbours.
    fn finish(mut self) -> Result<Vec<Piece>> {
        while let Some(from) = self.round.pop() {
            self.multiply(from, ROUND);
        }
        while let Some(from) = self.square.pop() {
            self.multiply(from, SQUARE);
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for Part { text, weight, at } in self.parts {
            if weight.abs() > LARGEST {
                return Err(self.prompt.wrong_weight(&weight.to_string(), at));
            }
            match (text, pieces.last_mut()) {
                (None, _) => pieces.push(Piece::Break),
                (Some(text), Some(Piece::Run(run))) if run.weight == weight => {
                    run.text.push_str(&text);
                }
                (Some(text), _) => pieces.push(Piece::Run(Run { text, weight })),
            }
        }
        if pieces.is_empty() {
            pieces.push(Piece::Run(Run {
                text: String::new(),
                weight: 1.0,
            }));
        }
        Ok(pieces)
    }
}

/// The number in `:1.3)` at the beginning of `text`, and the length of the whole.
pub(super) fn number(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix(':')?;
    let end = inside.find(')')?;
    let number = inside[..end].trim();
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let numeric = !digits.is_empty() && digits.chars().all(|c| c == '.' || c.is_ascii_digit());
    numeric.then_some((number, end + 2))
}

/// Byte offsets of `BREAK` as a word of its own.
pub(super) fn breaks(text: &str) -> impl Iterator<Item = usize> + '_ {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(BREAK)
        .map(|(place, _)| place)
        .filter(move |&place| {
            !text[..place].ends_with(in_word) && !text[place + BREAK.len()..].starts_with(in_word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Syntax;

    fn read(text: &str) -> Vec<(String, f64)> {
        let pieces = Prompt {
            field: "prompt",
            text,
        }
        .pieces(Syntax::Weighted)
        .unwrap();
        let pair = |piece| match piece {
            Piece::Run(Run { text, weight }) => (text, (weight * 1e6).round() / 1e6),
            Piece::Break => ("BREAK".to_owned(), -1.0),
        };
        pieces.into_iter().map(pair).collect()
    }

    #[test]
    fn brackets_are_read_as_a1111_documents_them() {
        let table: &[(&str, &[(&str, f64)])] = &[
            ("normal text", &[("normal text", 1.0)]),
            (
                "an (important) word",
                &[("an ", 1.0), ("important", 1.1), (" word", 1.0)],
            ),
            ("(unbalanced", &[("unbalanced", 1.1)]),
            (r"\(literal\]", &[("(literal]", 1.0)]),
            ("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]),
            (
                "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
                &[
                    ("a ", 1.0),
                    ("house", 1.573),
                    (" ", 1.1),
                    ("on", 1.0),
                    (" a ", 1.1),
                    ("hill", 0.55),
                    (", sun, ", 1.1),
                    ("sky", 1.4641),
                    (".", 1.1),
                ],
            ),
            ("((word))", &[("word", 1.21)]),
            ("[word]", &[("word", 0.909091)]),
            ("[[word]", &[("word", 0.826446)]),
            ("a) b] c:1.3) d", &[("a) b] c:1.3) d", 1.0)]),
            ("(a:b)", &[("a:b", 1.1)]),
            ("(a: -0.5 )", &[("a", -0.5)]),
            ("(a:+.5)(b:2.)", &[("a", 0.5), ("b", 2.0)]),
            ("([a)]", &[("a", 1.0)]),
            (r"a \\ b \c", &[(r"a \ b c", 1.0)]),
            (
                "<lora:name:0.8> (a:1.2)",
                &[("<lora:name:0.8> ", 1.0), ("a", 1.2)],
            ),
            ("", &[("", 1.0)]),
            ("()", &[("", 1.0)]),
            ("(灯台:1.2) é", &[("灯台", 1.2), (" é", 1.0)]),
        ];
        for (text, expected) in table {
            let expected: Vec<(String, f64)> = expected
                .iter()
                .map(|(t, w)| ((*t).to_owned(), *w))
                .collect();
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn break_is_a_word_on_its_own() {
        let br = ("BREAK".to_owned(), -1.0);
        let run = |text: &str, weight| (text.to_owned(), weight);
        assert_eq!(
            read("a BREAK b"),
            [run("a", 1.0), br.clone(), run("b", 1.0)]
        );
        assert_eq!(
            read("BREAKFAST break _BREAK"),
            [run("BREAKFAST break _BREAK", 1.0)]
        );
        assert_eq!(
            read("(a BREAK, b:1.2)"),
            [run("a", 1.2), br.clone(), run(", b", 1.2)]
        );
        assert_eq!(read("BREAK BREAK"), [br.clone(), br]);
    }

    #[test]
    fn a_weight_out_of_range_is_named_with_its_place() {
        for (text, weight, place) in [
            ("é, (a:11)", "11", 5),
            ("(a:1.2.3)", "1.2.3", 2),
            ("((a:9):9)", "81", 3),
            ("(b:-99)", "-99", 2),
        ] {
            let prompt = Prompt {
                field: "negative_prompt",
                text,
            };
            let error = prompt.pieces(Syntax::Weighted).unwrap_err();
            assert_eq!(error.field_name(), Some("negative_prompt"));
            let expected = format!("got `{weight}` at character {place}:");
            assert!(error.message().contains(&expected), "{error}");
            assert!(prompt.pieces(Syntax::Plain).is_ok());
        }
    }
}
