//! Character references of HTML, as Python's `html.unescape` reads them and as ftfy does.

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

/// Names without their ampersand, most of them with a semicolon at the end (assets/html/make.py).
static NAMES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let packed: &[u8] = include_bytes!("../../../assets/html/entities.txt.gz");
    let mut table = String::new();
    // Invariant: the table is compiled in and a test reads it.
    let _ = flate2::read::GzDecoder::new(packed).read_to_string(&mut table);
    let rows = table.lines().filter_map(|line| line.split_once('\t'));
    rows.map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
});

/// Windows-1252 from 0x80 on; bytes that it leaves out stand for themselves.
const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// Longest name of a reference that is looked for.
const LONGEST: usize = 32;
/// Longest name of a reference that ftfy looks for.
const LONGEST_CAREFUL: usize = 24;

/// A C1 control character as what Windows-1252 has in its place; any other as it is.
pub(super) fn windows(c: char) -> char {
    let place = u32::from(c).checked_sub(0x80).map(|place| place as usize);
    place
        .and_then(|place| WINDOWS.chars().nth(place))
        .unwrap_or(c)
}

/// `html.unescape`: every reference of HTML 5, those without a semicolon too.
pub(super) fn unescape(text: &str) -> String {
    replaced(text, |rest| numeric(rest).or_else(|| named(rest)))
}

/// ftfy's reading: only references that end in a semicolon, and names of lower case in upper case
/// as well.
pub(super) fn unescape_careful(text: &str) -> String {
    replaced(text, |rest| {
        let (inside, _) = rest.split_once(';')?;
        let name = inside.strip_prefix('#').unwrap_or(inside);
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain || name.len() > LONGEST_CAREFUL {
            return None;
        }
        let length = inside.len() + 1;
        if inside.starts_with('#') {
            return numeric(rest).filter(|(_, taken)| *taken == length);
        }
        let key = &rest[..length];
        let exact = NAMES.get(key).cloned();
        exact
            .or_else(|| in_capitals(key))
            .map(|text| (text, length))
    })
}

/// The text of an upper-case name such as `&NTILDE;`, which HTML does not define.
fn in_capitals(key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    let shouted = key.to_ascii_uppercase() == key && named(key).is_none();
    NAMES
        .get(&lower)
        .filter(|_| shouted)
        .map(|text| text.to_uppercase())
}

/// The text with its references replaced; `read` takes what follows an ampersand and returns its
/// text and length.
fn replaced(text: &str, read: impl Fn(&str) -> Option<(String, usize)>) -> String {
    let mut output = String::new();
    let mut rest = text;
    while let Some(place) = rest.find('&') {
        let (before, after) = (&rest[..place], &rest[place + 1..]);
        output.push_str(before);
        let (text, length) = read(after).unwrap_or_else(|| ("&".to_owned(), 0));
        output.push_str(&text);
        rest = &after[length..];
    }
    output + rest
}

/// `#39;` or `#x27;`, with or without its semicolon.
fn numeric(rest: &str) -> Option<(String, usize)> {
    let digits = rest.strip_prefix('#')?;
    let (digits, radix) = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    let count = digits
        .bytes()
        .take_while(|b| char::from(*b).is_digit(radix))
        .count();
    let number = &digits[..count];
    let semicolon = usize::from(digits[count..].starts_with(';'));
    let length = rest.len() - digits.len() + count + semicolon;
    // A number too large for u32 is no character either.
    let code = (count > 0).then(|| u32::from_str_radix(number, radix).unwrap_or(u32::MAX))?;
    Some((character(code), length))
}

/// The character of a number, by the rules of HTML for numbers that have none.
fn character(code: u32) -> String {
    let Some(c) = char::from_u32(code).filter(|c| *c != '\0') else {
        return '\u{fffd}'.to_string();
    };
    match code {
        0x80..=0x9f => windows(c).to_string(),
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => String::new(),
        _ if code & 0xfffe == 0xfffe => String::new(),
        _ => c.to_string(),
    }
}

/// The longest name that `rest` begins with.
fn named(rest: &str) -> Option<(String, usize)> {
    let in_name = |c: &char| !"\t\n\u{c} <&#;".contains(*c);
    let name: String = rest.chars().take(LONGEST).take_while(in_name).collect();
    let whole = name.len() + usize::from(rest[name.len()..].starts_with(';'));
    let lengths = (2..=whole)
        .rev()
        .filter(|length| rest.is_char_boundary(*length));
    let mut found =
        lengths.filter_map(|length| Some((NAMES.get(&rest[..length])?.clone(), length)));
    found.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_python_reads_them() {
        assert_eq!(NAMES.len(), 2231);
        for (text, expected) in [
            ("black &amp; white", "black & white"),
            ("&lt;b&gt; &quot;it&#39;s&quot; &#x27;", "<b> \"it's\" '"),
            ("this&not that &ampere &copy2024", "this¬ that &ere ©2024"),
            ("&notin; &notit;", "∉ ¬it;"),
            (
                "R&D, rock & roll, a&b; &; &#; &#x; &",
                "R&D, rock & roll, a&b; &; &#; &#x; &",
            ),
            (
                "&#146;&#0;&#55296;&#x110000;&#1;&#99999999999;",
                "’\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("&amp;amp;", "&amp;"),
            ("&é &灯台amp;", "&é &灯台amp;"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn ftfy_wants_a_semicolon_and_knows_capitals() {
        for (text, expected) in [
            ("&lt;tag&gt; this&not that &amp", "<tag> this&not that &amp"),
            (
                "P&EACUTE;REZ &ntilde; &Ntilde; &NTILDE; &nTILDE;",
                "PÉREZ ñ Ñ Ñ &nTILDE;",
            ),
            (
                "BUNDESSTRA&SZLIG;E &#39; &#x2019; &AMP;",
                "BUNDESSTRASSE ' ’ &",
            ),
            ("&NOTIN; &#12a; &a-b;", "∉ &#12a; &a-b;"),
        ] {
            assert_eq!(unescape_careful(text), expected, "{text}");
        }
    }
}
