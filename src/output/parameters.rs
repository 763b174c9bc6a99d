//! A1111's `parameters` text: prompt, `Negative prompt:` and one line of `Key: value` pairs.
//! Written for other programs; read from pictures that any of them made.

use serde::Serialize;

const NEGATIVE: &str = "Negative prompt:";

/// The text, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// Prompt.
    pub prompt: String,
    /// Negative prompt; empty if there is none.
    pub negative_prompt: String,
    /// The pairs of the last line, in order.
    #[serde(serialize_with = "as_object")]
    pub fields: Vec<(String, String)>,
}

impl Parameters {
    /// True if they say nothing at all.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.negative_prompt.is_empty() && self.fields.is_empty()
    }
}

fn as_object<S: serde::Serializer>(
    fields: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(key, value)| (key, value)))
}

/// Writes the text.
pub fn write(prompt: &str, negative_prompt: &str, fields: &[(&str, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{key}: {}", quoted(value)))
        .collect();
    let negative = match negative_prompt {
        "" => String::new(),
        text => format!("\n{NEGATIVE} {text}"),
    };
    format!("{prompt}{negative}\n{}", pairs.join(", "))
}

/// A value as text; with a comma, colon or line break it is quoted as in JSON.
fn quoted(value: &str) -> String {
    match value.contains([',', ':', '\n']) {
        true => serde_json::Value::from(value).to_string(),
        false => value.to_owned(),
    }
}

/// Parses the text as A1111 does: blanks around each line and line breaks at the end are ignored,
/// and the last line is one of pairs if it has three of them. Otherwise it belongs to the prompts,
/// so that nothing is lost.
pub fn read(text: &str) -> Parameters {
    let mut lines: Vec<&str> = text.trim().split('\n').collect();
    // A prompt of one line may hold a colon or two.
    let fields = lines
        .last()
        .map(|last| pairs(last))
        .filter(|pairs| pairs.len() >= 3);
    if fields.is_some() {
        lines.pop();
    }
    let (mut prompt, mut negative): (Vec<&str>, Option<Vec<&str>>) = (Vec::new(), None);
    for line in lines.into_iter().map(str::trim) {
        match line.strip_prefix(NEGATIVE) {
            Some(rest) => negative.get_or_insert_default().push(rest.trim()),
            None => negative.as_mut().unwrap_or(&mut prompt).push(line),
        }
    }
    let text = |lines: Vec<&str>| lines.join("\n").trim().to_owned();
    Parameters {
        prompt: text(prompt),
        negative_prompt: text(negative.unwrap_or_default()),
        fields: fields.unwrap_or_default(),
    }
}

/// The `Key: value` pairs of a line, separated by commas; anything else is skipped.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        match pair(rest.trim_start()) {
            Some((key, value, next)) => {
                pairs.push((key.to_owned(), value));
                rest = next;
            }
            None => rest = &rest[first.len_utf8()..],
        }
    }
    pairs
}

/// The pair at the head of `text`, if there is one, and what follows it. A key is of letters,
/// digits and ` _-/`, two or more, of which the first is a letter, a digit or `_`.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = text.find(|c: char| !is_word(c) && ![' ', '-', '/'].contains(&c))?;
    let (key, rest) = text.split_at(length);
    let after = rest.strip_prefix(':')?.trim_start();
    if !key.starts_with(is_word) || key.chars().nth(1).is_none() {
        return None;
    }
    let (value, next) = value(after);
    Some((key, value, next))
}

/// A value at the head of `text`, in quotes or up to the next comma, and what follows it.
fn value(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = values.next() {
            let rest = text[values.byte_offset()..].trim_start();
            if rest.is_empty() || rest.starts_with(',') {
                return (value, rest.strip_prefix(',').unwrap_or(rest));
            }
        }
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(parameters: &'a Parameters, key: &str) -> Option<&'a str> {
        parameters
            .fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_foreign_picture_is_understood() {
        let read = read(
            "masterpiece, (a cat:1.2)\nsecond line\nNegative prompt: bad, worse\nSteps: 30, Sampler: DPM++ 2M Karras, \
             CFG scale: 7, Seed: 1234, Size: 512x768, Model hash: 6ce0161689, \
             Lora hashes: \"a: 1, b: \\\"2\\\"\", Version: v1.6.0",
        );
        assert_eq!(read.prompt, "masterpiece, (a cat:1.2)\nsecond line");
        assert_eq!(read.negative_prompt, "bad, worse");
        assert_eq!(field(&read, "Sampler"), Some("DPM++ 2M Karras"));
        assert_eq!(field(&read, "Lora hashes"), Some("a: 1, b: \"2\""));
        assert_eq!(field(&read, "Version"), Some("v1.6.0"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let fields = [
            ("Steps", "4".to_owned()),
            ("Model", "odd, name: \"x\"\n\\".to_owned()),
            ("Seed", "9".to_owned()),
        ];
        for (prompt, negative) in [
            ("a", "b"),
            ("a", ""),
            ("", "b"),
            ("", ""),
            ("x: y", "two\nlines"),
        ] {
            let read = read(&write(prompt, negative, &fields));
            assert_eq!(
                (read.prompt.as_str(), read.negative_prompt.as_str()),
                (prompt, negative)
            );
            assert_eq!(field(&read, "Model"), Some("odd, name: \"x\"\n\\"));
        }
    }

    #[test]
    fn blanks_and_line_breaks_around_the_lines_say_nothing() {
        const SETTINGS: &str = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";
        for text in [
            format!("a cat\nNegative prompt: bad\n{SETTINGS}\n"),
            format!("\n a cat \n  Negative prompt: bad\n\n{SETTINGS}\n\n"),
            format!("a cat\r\nNegative prompt: bad\r\n{SETTINGS}\r\n"),
            format!("a cat\n\tNegative prompt:bad\n   {SETTINGS},  "),
        ] {
            let read = read(&text);
            assert_eq!(
                (read.prompt.as_str(), read.negative_prompt.as_str()),
                ("a cat", "bad"),
                "{text:?}"
            );
            assert_eq!(
                (read.fields.len(), field(&read, "Seed")),
                (4, Some("5")),
                "{text:?}"
            );
        }
    }

    /// Pairs that A1111 1.10's `re_param` finds.
    #[test]
    fn pairs_are_those_that_a1111_finds() {
        for (line, expected) in [
            (
                "Steps: 20, x: 1, Model: a",
                &[("Steps", "20"), ("Model", "a")][..],
            ),
            (
                "ADetailer model: \"a, b\", ControlNet 0: \"Module: canny, Weight: 1\", TI/LoRA: 3",
                &[
                    ("ADetailer model", "a, b"),
                    ("ControlNet 0", "Module: canny, Weight: 1"),
                    ("TI/LoRA", "3"),
                ],
            ),
            (
                "Model: \"a\" b, Seed: 1",
                &[("Model", "\"a\" b"), ("Seed", "1")],
            ),
            (
                "Civitai resources: [{\"type\":\"lora\",\"weight\":1}], Seed: 1",
                &[("Civitai resources", "[{\"type\":\"lora\""), ("Seed", "1")],
            ),
            ("VAE: , Seed: 1", &[("VAE", ""), ("Seed", "1")]),
        ] {
            let found = pairs(line);
            let found: Vec<_> = found
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_prompt_may_look_like_settings() {
        let text = "Steps: a guide, Seed: a story, Size: a tale\nNegative prompt: Steps: none\nNegative prompt: more";
        let read = read(text);
        assert_eq!(read.prompt, "Steps: a guide, Seed: a story, Size: a tale");
        assert_eq!(
            (read.negative_prompt.as_str(), read.fields.len()),
            ("Steps: none\nmore", 0)
        );
    }

    #[test]
    fn text_without_pairs_is_all_prompt() {
        for text in [
            "",
            "just: a prompt",
            "\"",
            "a: \"",
            ":",
            "a\nb",
            "Steps: \"\\u",
            ", , :",
        ] {
            let read = read(text);
            assert_eq!(
                (read.prompt.as_str(), read.fields.len()),
                (text, 0),
                "{text:?}"
            );
        }
    }
}
