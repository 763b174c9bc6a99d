//! Words of a prompt with vectors of their own (textual inversion).

/// A word with vectors of its own, with all its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Spellings in a prompt. One that begins and ends with punctuation is found anywhere, others
    /// only between blanks and punctuation.
    pub names: Vec<String>,
    /// Number of vectors.
    pub vectors: usize,
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// Text for the vocabulary, and the byte at which it begins.
    Text(&'a str, usize),
    /// A word by its number, and the byte at which it begins.
    Word(usize, usize),
}

impl Word {
    /// Returns true if `text` contains this word.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        find(text, 0, std::slice::from_ref(self)).is_some()
    }
}

/// Splits the text at its words. Case does not matter; of several names the longest wins.
pub(crate) fn split_at_words<'a>(text: &'a str, words: &[Word]) -> Vec<Segment<'a>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = find(text, at, words) {
        parts.extend((found.start > at).then(|| Segment::Text(&text[at..found.start], at)));
        parts.push(Segment::Word(found.word, found.start));
        at = found.start + found.length;
    }
    parts.extend((at < text.len()).then(|| Segment::Text(&text[at..], at)));
    parts
}

struct Found {
    word: usize,
    start: usize,
    length: usize,
}

/// The first word from byte `from` on.
fn find(text: &str, from: usize, words: &[Word]) -> Option<Found> {
    let names = words
        .iter()
        .enumerate()
        .flat_map(|(i, word)| word.names.iter().map(move |name| (i, name)));
    let names: Vec<(usize, &String)> = names.filter(|(_, name)| !name.is_empty()).collect();
    let mut places = text
        .char_indices()
        .map(|(at, _)| at)
        .filter(|at| *at >= from);
    places.find_map(|start| {
        let here = names
            .iter()
            .filter(|(_, name)| is_whole_word(text, start, name));
        let (word, name) =
            here.max_by_key(|(word, name)| (name.len(), std::cmp::Reverse(*word)))?;
        Some(Found {
            word: *word,
            start,
            length: name.len(),
        })
    })
}

/// Returns true if `name` is at the byte `start`, in any case, and not part of a longer word.
fn is_whole_word(text: &str, start: usize, name: &str) -> bool {
    let Some(found) = text.get(start..start + name.len()) else {
        return false;
    };
    let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let (before, after) = (
        text[..start].chars().next_back(),
        text[start + name.len()..].chars().next(),
    );
    let open = inner(name.chars().next()) && inner(before);
    let continued = inner(name.chars().next_back()) && inner(after);
    found.eq_ignore_ascii_case(name) && !open && !continued
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(names: &[&str]) -> Word {
        Word {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            vectors: 1,
        }
    }

    #[test]
    fn words_are_taken_out_of_the_text() {
        let words = [word(&["<tok-a>", "tok-a"]), word(&["tok-a-b"])];
        let (text, a, b) = (
            Segment::Text,
            |at| Segment::Word(0, at),
            |at| Segment::Word(1, at),
        );
        let table: &[(&str, &[Segment<'_>])] = &[
            ("a <tok-a>, b", &[text("a ", 0), a(2), text(", b", 9)]),
            ("TOK-A at sea", &[a(0), text(" at sea", 5)]),
            ("tok-a-b tok-a", &[b(0), text(" ", 7), a(8)]),
            ("x<tok-a>y", &[text("x", 0), a(1), text("y", 8)]),
            ("(tok-a)", &[text("(", 0), a(1), text(")", 6)]),
            (
                "tok-ab mytok-a tok-a_1",
                &[text("tok-ab mytok-a tok-a_1", 0)],
            ),
            ("é tok-a", &[text("é ", 0), a(3)]),
            ("", &[]),
        ];
        for (prompt, expected) in table {
            assert_eq!(split_at_words(prompt, &words), *expected, "{prompt}");
        }
        assert!(words[1].is_in("a tok-a-b") && !words[1].is_in("a tok-a"));
    }
}
