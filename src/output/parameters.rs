//! A1111's `parameters` text: prompt, `Negative prompt:` and one line of `Key: value` pairs. Written for other
//! programs; read from pictures that any of them made.

use serde::Serialize;

const NEGATIVE: &str = "Negative prompt:";

/// The text, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// What was drawn.
    pub prompt: String,
    /// What was kept out; empty when nothing was.
    pub negative_prompt: String,
    /// The pairs of the last line, in order.
    #[serde(serialize_with = "as_object")]
    pub fields: Vec<(String, String)>,
}

fn as_object<S: serde::Serializer>(fields: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(key, value)| (key, value)))
}

/// Writes the text.
pub fn write(prompt: &str, negative_prompt: &str, fields: &[(&str, String)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {}", quoted(value))).collect();
    let negative = match negative_prompt {
        "" => String::new(),
        text => format!("\n{NEGATIVE} {text}"),
    };
    format!("{prompt}{negative}\n{}", pairs.join(", "))
}

/// A value with a comma, colon or line break stands in JSON's quotes.
fn quoted(value: &str) -> String {
    match value.contains([',', ':', '\n']) {
        true => serde_json::Value::from(value).to_string(),
        false => value.to_owned(),
    }
}

/// Takes the text apart; whatever is no pair belongs to the prompts, so that nothing is lost.
pub fn read(text: &str) -> Parameters {
    let (head, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let fields = pairs(last);
    // A prompt of one line may hold a colon or two; A1111 asks for three pairs as well.
    let (prompts, fields) = if fields.len() < 3 { (text, Vec::new()) } else { (head, fields) };
    let (prompt, negative_prompt) = match prompts.strip_prefix(NEGATIVE) {
        Some(negative) => ("", negative),
        None => prompts.split_once(&format!("\n{NEGATIVE}")).unwrap_or((prompts, "")),
    };
    Parameters { prompt: prompt.to_owned(), negative_prompt: negative_prompt.trim().to_owned(), fields }
}

/// The `Key: value` pairs of a line, separated by commas.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while let Some((key, after)) = rest.split_once(':') {
        let after = after.trim_start();
        let (value, next) = value(after);
        pairs.push((key.trim().to_owned(), value));
        rest = next.trim_start_matches([',', ' ']);
    }
    pairs
}

/// A value at the head of `text`, in quotes or up to the next comma, and what follows it.
fn value(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = values.next() {
            return (value, &text[values.byte_offset()..]);
        }
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(parameters: &'a Parameters, key: &str) -> Option<&'a str> {
        parameters.fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
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
        for (prompt, negative) in [("a", "b"), ("a", ""), ("", "b"), ("", ""), ("x: y", "two\nlines")] {
            let read = read(&write(prompt, negative, &fields));
            assert_eq!((read.prompt.as_str(), read.negative_prompt.as_str()), (prompt, negative));
            assert_eq!(field(&read, "Model"), Some("odd, name: \"x\"\n\\"));
        }
    }

    #[test]
    fn text_without_pairs_is_all_prompt() {
        for text in ["", "just: a prompt", "\"", "a: \"", ":", "a\nb", "Steps: \"\\u", ", , :"] {
            let read = read(text);
            assert_eq!((read.prompt.as_str(), read.fields.len()), (text, 0), "{text:?}");
        }
    }
}
