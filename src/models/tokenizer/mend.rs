//! ftfy's repairs of text, in its order and until nothing changes: straight quotes, taken-apart
//! ligatures, usual widths, one kind of line break, no control characters, composed accents. Text
//! in a wrong encoding stays as it is.

use tokenizers::NormalizedString;

use super::entities::{unescape_careful, windows};

/// The text as `ftfy.fix_text` returns it, line by line. HTML character references are decoded up
/// to the first line with a `<`.
pub(super) fn mended(text: &str) -> String {
    let mut references = true;
    let line = |line: &str| {
        references &= !line.contains('<');
        mended_line(line, references)
    };
    text.split_inclusive('\n').map(line).collect()
}

fn mended_line(line: &str, references: bool) -> String {
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
            assert_eq!(mended(text), expected, "{text:?}");
        }
    }
}
