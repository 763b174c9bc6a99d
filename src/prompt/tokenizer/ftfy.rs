//! ftfy's repairs of text, in its order and until nothing changes: straight quotes, taken-apart
//! ligatures, usual widths, one kind of line break, no control characters, composed accents,
//! character references of HTML. Text in a wrong encoding stays as it is.

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

use tokenizers::NormalizedString;

/// The text as `ftfy.fix_text` returns it, line by line. HTML character references are decoded up
/// to the first line with a `<`.
pub(super) fn fix_text(text: &str) -> String {
    let mut references = true;
    let line = |line: &str| {
        references &= !line.contains('<');
        fix_line(line, references)
    };
    text.split_inclusive('\n').map(line).collect()
}

fn fix_line(line: &str, references: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let read = if references {
            unescape_careful(&text)
        } else {
            text.clone()
        };
        let usual: String = read.chars().map(windows).collect();
        let usual = straight(&widened(&apart(&usual)));
        let broken = usual
            .replace("\r\n", "\n")
            .replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        let kept: String = without_escapes(&broken)
            .chars()
            .filter(|c| !is_control(*c))
            .collect();
        let composed = NormalizedString::from(kept).nfc().get().to_owned();
        if composed == text {
            return text;
        }
        text = composed;
    }
}

/// Ligatures of Latin letters as the letters.
fn apart(text: &str) -> String {
    const LIGATURES: &[(char, &str)] = &[
        ('Ĳ', "IJ"),
        ('ĳ', "ij"),
        ('ŉ', "ʼn"),
        ('Ǳ', "DZ"),
        ('ǲ', "Dz"),
        ('ǳ', "dz"),
        ('Ǆ', "DŽ"),
        ('ǅ', "Dž"),
        ('ǆ', "dž"),
        ('Ǉ', "LJ"),
        ('ǈ', "Lj"),
        ('ǉ', "lj"),
        ('Ǌ', "NJ"),
        ('ǋ', "Nj"),
        ('ǌ', "nj"),
        ('ﬀ', "ff"),
        ('ﬁ', "fi"),
        ('ﬂ', "fl"),
        ('ﬃ', "ffi"),
        ('ﬄ', "ffl"),
        ('ﬅ', "ſt"),
        ('ﬆ', "st"),
    ];
    let mut output = String::new();
    for c in text.chars() {
        match LIGATURES.iter().find(|row| row.0 == c) {
            Some((_, letters)) => output.push_str(letters),
            None => output.push(c),
        }
    }
    output
}

/// Full and half widths as the usual one.
fn widened(text: &str) -> String {
    let mut output = String::new();
    for c in text.chars() {
        match c {
            '\u{3000}' => output.push(' '),
            '\u{ff01}'..='\u{ffef}' => {
                output.push_str(NormalizedString::from(c.to_string()).nfkc().get());
            }
            _ => output.push(c),
        }
    }
    output
}

/// Typographic quotes as those of typewriters.
fn straight(text: &str) -> String {
    let quote = |c| match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => c,
    };
    text.chars().map(quote).collect()
}

/// The text without the escape sequences of a terminal for colours and cursor movement:
/// `ESC [ 1;31 m`.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut output = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_numeric() || c == ';');
        match rest.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(rest) => output.push_str(rest),
            None => output.extend(["\u{1b}[", part]),
        }
    }
    output
}

/// Returns true for control characters that ftfy removes; white space and joiners are not among
/// them.
fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}')
}

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
fn windows(c: char) -> char {
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
fn unescape_careful(text: &str) -> String {
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
    fn text_is_mended_as_ftfy_does_it() {
        for (text, expected) in [
            ("wow!! it\u{2019}s", "wow!! it's"),
            ("\u{201c}ﬁne\u{201d} ﬂuﬃeﬆ ŉ", "\"fine\" fluffiest 'n"),
            (
                "ＬＯＵＤ\u{3000}ＮＯＩＳＥＳ Ｕﾀｰﾝ ｶﾞ",
                "LOUD NOISES Uターン ガ",
            ),
            ("a\r\nb\rc\u{2028}d", "a\nb\nc\nd"),
            (
                "\u{1b}[36;44mblue\u{1b}[0m \u{1b}[x? \u{feff}bom\u{7}",
                "blue ? bom",
            ),
            (
                "Broken text&hellip; it&#x2019;s ﬂubberiﬁc!",
                "Broken text… it's flubberific!",
            ),
            ("<b>&amp;</b>\n&amp;", "<b>&amp;</b>\n&amp;"),
            ("&amp;lt;", "<"),
            ("cafe\u{301} 5\u{2032} — ¿灯台?", "café 5\u{2032} — ¿灯台?"),
            ("it\u{92}s", "it's"),
        ] {
            assert_eq!(fix_text(text), expected, "{text:?}");
        }
    }

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
