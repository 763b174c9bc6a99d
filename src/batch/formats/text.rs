//! Batches of one prompt per line: `a cat --seed 3 --steps 10`. Blank lines and lines that begin
//! with `#` are ignored.

use std::sync::Arc;

use clap::Parser;

use super::super::draft::{Draft, Source};
use super::super::fields::{Diagnostic, Fields, Place};
use crate::error::{Error, Kind, Result};
use crate::params::Params;

/// The flags of a line.
#[derive(Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = true)]
struct Line {
    /// Name of the job
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    params: Params,
}

/// Reads the jobs of `text` into `source`.
pub(super) fn read(text: &str, file: &Arc<str>, source: &mut Source) {
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = Place::new(file, number + 1);
        match parse_line(line) {
            Ok((name, params)) => {
                source.drafts.push(Draft::plain(
                    name,
                    Fields::of(&params, &place),
                    place.clone(),
                ));
            }
            Err(error) => source.diagnostics.push(Diagnostic::new(&place, error)),
        }
    }
}

/// Parses a line: a prompt up to the first word that is a flag, then flags.
fn parse_line(line: &str) -> Result<(Option<String>, Params)> {
    let mut dashes = line.match_indices('-').map(|(at, _)| at);
    let is_word = |at: &usize| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    let at = dashes.find(|at| is_word(at) && is_flag(&line[*at..]));
    let (prompt, flags) = line.split_at(at.unwrap_or(line.len()));
    let parsed = Line::try_parse_from(split_words(flags)?).map_err(|error| clap_error(&error))?;
    if parsed.params.prompt.is_some() {
        let stray = parsed.params.prompt.unwrap_or_default();
        return Err(
            Error::new(Kind::Usage, format!("`{stray}` stands behind the flags"))
                .hint("the prompt comes first; a value of several words stands in quotes"),
        );
    }
    let prompt = Some(prompt.trim().to_owned()).filter(|prompt| !prompt.is_empty());
    Ok((
        parsed.name,
        Params {
            prompt,
            ..parsed.params
        },
    ))
}

/// Returns true if the text begins with `--name`, with `-x` as a word, or with `-x` and a number or
/// `=`.
fn is_flag(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    if let Some(name) = word.strip_prefix("--") {
        return is_letter(name.chars().next());
    }
    let mut letters = word.chars().skip(1);
    is_letter(letters.next())
        && letters
            .next()
            .is_none_or(|c| c == '=' || c.is_ascii_digit())
}

/// Clap's message without its wrapping.
fn clap_error(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned();
    let tip = lines.find_map(|line| line.strip_prefix("tip: ").map(str::to_owned));
    let error = Error::new(Kind::Usage, message);
    match tip {
        // A prompt with a word that only looks like a flag needs another batch format.
        Some(tip) if tip.starts_with("to pass") => error
            .hint("a prompt with such a word in it goes into a batch of another form: .csv, .jsonl or .toml"),
        Some(tip) => error.hint(tip),
        None => error,
    }
}

/// The words of a line, with single and double quotes and backslashes as in a shell.
fn split_words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::new(Kind::Usage, "a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_prompt_and_flags() {
        let text = "# head\n\na cat -- on a mat --seed 3 --steps 10\na dog\n  --name x --negative-prompt 'two words'\n";
        let mut source = Source::default();
        read(text, &"p.txt".into(), &mut source);
        assert!(source.diagnostics.is_empty(), "{:?}", source.diagnostics);
        let params: Vec<Params> = source
            .drafts
            .iter()
            .map(|draft| draft.fields.params().clone())
            .collect();
        assert_eq!(params[0].prompt.as_deref(), Some("a cat -- on a mat"));
        assert_eq!(
            (params[0].seed, params[0].steps),
            (Some(3.into()), Some(10))
        );
        assert_eq!(
            (params[1].prompt.as_deref(), source.drafts[1].place.line),
            (Some("a dog"), 4)
        );
        assert_eq!(
            (
                source.drafts[2].name.as_deref(),
                params[2].prompt.as_deref()
            ),
            (Some("x"), None)
        );
        assert_eq!(params[2].negative_prompt.as_deref(), Some("two words"));
    }

    #[test]
    fn short_flags_are_read_and_no_part_of_the_prompt() {
        let read = |line: &str| parse_line(line).unwrap().1;
        let short = read("a cat -n 'two words' -W 64 -H=32 -o a.png");
        assert_eq!(
            (short.prompt.as_deref(), short.negative_prompt.as_deref()),
            (Some("a cat"), Some("two words"))
        );
        assert_eq!(
            (short.width, short.height, short.output.as_deref()),
            (Some(64), Some(32), Some("a.png"))
        );
        assert_eq!(
            (read("a -W64 --seed -1").width, read("-i a.png").init_image),
            (Some(64), Some("a.png".into()))
        );
        for text in [
            "a t-shirt - blue",
            "a red-ish -very soft light",
            "at -5 degrees",
            "a - b -- c",
        ] {
            assert_eq!(read(text).prompt.as_deref(), Some(text));
        }
        for text in ["a cat -s 50", "a cat -C7.5", "a -x"] {
            assert!(
                parse_line(text)
                    .unwrap_err()
                    .message()
                    .contains("unexpected argument"),
                "{text}"
            );
        }
    }

    #[test]
    fn every_wrong_line_is_told() {
        let mut source = Source::default();
        read(
            "a --stepz 4\nb --steps many\nc --name \"x\nd --steps 4 e f",
            &"p.txt".into(),
            &mut source,
        );
        let messages: Vec<String> = source
            .diagnostics
            .iter()
            .map(|f| format!("{}: {}", f.place, f.error))
            .collect();
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert!(
            messages[0].starts_with("p.txt:1: unexpected argument '--stepz'"),
            "{messages:?}"
        );
        assert!(
            messages[1].contains("invalid value 'many' for '--steps <N>'"),
            "{messages:?}"
        );
        assert!(
            messages[2].ends_with("a quote is not closed"),
            "{messages:?}"
        );
        assert!(messages[3].starts_with("p.txt:4: "), "{messages:?}");
    }
}
