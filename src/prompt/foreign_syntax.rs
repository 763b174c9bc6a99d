//! Parts of a prompt that are syntax in other programs and encoded as plain text here.

use super::parse::{breaks, number};
use super::{Prompt, Syntax};

/// Most characters of a part that a warning shows.
const SHOWN: usize = 40;

impl Prompt<'_> {
    /// Warnings about parts of the prompt that other programs read as syntax, one for each kind.
    pub(crate) fn foreign_syntax(&self, syntax: Syntax) -> Vec<String> {
        let text = self.text;
        let plain = syntax == Syntax::Plain;
        let weight = || {
            weight(text)
                .or(doubled(text))
                .or(breaks(text).next().map(|at| &text[at..at + 5]))
        };
        let weight = if plain { weight() } else { None };
        let kinds = [
            (
                weight,
                "`prompt_syntax` weighted reads it as a weight or a break",
            ),
            (
                between(text, '{', '}', |inside| {
                    inside.contains('|') || inside.starts_with('@')
                }),
                "a batch chooses one of several",
            ),
            (
                between(text, '[', ']', is_edit),
                "prompts do not change along the way here",
            ),
            (
                between(text, '<', '>', is_network),
                "`<lora:NAME:WEIGHT>` is the only network that a prompt names",
            ),
        ];
        let told = kinds.into_iter().filter_map(|(part, why)| {
            let part: String = part?.chars().take(SHOWN).collect();
            Some(format!(
                "{}: `{part}` is drawn as the text that it is; {why}",
                self.field
            ))
        });
        told.collect()
    }
}

/// `(word:1.3)`.
fn weight(text: &str) -> Option<&str> {
    text.match_indices(':').find_map(|(colon, _)| {
        let (_, length) = number(&text[colon..])?;
        let open = text[..colon]
            .rfind('(')
            .filter(|at| !text[..*at].ends_with('\\'))?;
        (!text[open..colon].contains(')')).then(|| &text[open..colon + length])
    })
}

/// `((word))` or `[[word]]`.
fn doubled(text: &str) -> Option<&str> {
    [("((", "))"), ("[[", "]]")]
        .into_iter()
        .find_map(|(open, close)| {
            let from = text.find(open).filter(|at| !text[..*at].ends_with('\\'))?;
            let to = text[from..].find(close)?;
            Some(&text[from..from + to + close.len()])
        })
}

/// The first innermost part in a pair of brackets whose content satisfies `is`.
fn between(text: &str, open: char, close: char, is: fn(&str) -> bool) -> Option<&str> {
    text.match_indices(close).find_map(|(end, _)| {
        let start = text[..end]
            .rfind(open)
            .filter(|at| !text[..*at].ends_with('\\'))?;
        is(&text[start + 1..end]).then(|| &text[start..=end])
    })
}

/// A1111's `[from:to:when]` and `[a|b]`.
fn is_edit(inside: &str) -> bool {
    let when = inside.rsplit_once(':').filter(|(from, _)| !from.is_empty());
    inside.contains('|') || when.is_some_and(|(_, when)| when.trim().parse::<f64>().is_ok())
}

/// A1111's `<lyco:name:1>` and other references in this form.
fn is_network(inside: &str) -> bool {
    let kind = inside.split_once(':').filter(|(_, name)| !name.is_empty());
    kind.is_some_and(|(kind, _)| {
        kind != "lora" && !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, syntax: Syntax) -> Vec<String> {
        Prompt {
            field: "prompt",
            text,
        }
        .foreign_syntax(syntax)
    }

    #[test]
    fn what_means_something_elsewhere_is_told_by_its_text() {
        let table = [
            ("a (cat:1.3) b", "(cat:1.3)"),
            ("é (灯台: .5 )", "(灯台: .5 )"),
            ("a ((cat)) b", "((cat))"),
            ("a [[cat]]", "[[cat]]"),
            ("a BREAK b", "BREAK"),
            ("a {red|blue} cat", "{red|blue}"),
            ("a {@colors.txt} cat", "{@colors.txt}"),
            ("a [cat:dog:0.5]", "[cat:dog:0.5]"),
            ("a [cat|dog]", "[cat|dog]"),
            ("a <lyco:x:1>", "<lyco:x:1>"),
            ("<hypernet:y>", "<hypernet:y>"),
        ];
        for (text, part) in table {
            let told = told(text, Syntax::Plain);
            assert!(
                told.len() == 1 && told[0].starts_with(&format!("prompt: `{part}` is drawn")),
                "{told:?}"
            );
        }
        assert_eq!(told("a (b:1.2) [c|d] <lyco:x:1>", Syntax::Plain).len(), 3);
    }

    #[test]
    fn ordinary_texts_and_what_the_syntax_reads_are_not() {
        for text in [
            "a cat (on a mat)",
            "at 10:30) he (left",
            r"\(a:1.2)",
            "a {b} c",
            "[x]",
            "x < y: z > w",
            "a: b",
            "BREAKFAST",
            "<lora:x:1>",
        ] {
            assert_eq!(told(text, Syntax::Plain), Vec::<String>::new(), "{text}");
        }
        for text in ["(cat:1.3) ((dog)) BREAK [[x]]", r"\{a\}"] {
            assert_eq!(told(text, Syntax::Weighted), Vec::<String>::new(), "{text}");
        }
        assert_eq!(told("[a:b:0.5]", Syntax::Weighted).len(), 1);
    }
}
