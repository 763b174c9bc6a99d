//! Messages of the command line, adapted for clients of the server: fields instead of flags, no
//! advice that only the operator can follow, and no paths of the server.

use super::fields::{Access, access};

/// Paths of this server with their replacements; empty for paths that clients need not know.
pub(super) type Secrets = [(String, String)];

/// A text without the paths of this server.
pub(super) fn bare(text: &str, secrets: &Secrets) -> String {
    secrets.iter().fold(text.to_owned(), |text, (path, name)| {
        text.replace(path, name)
    })
}

/// A text with fields in place of flags: `--batch-size 1` is `batch_size: 1`.
pub(super) fn in_fields(text: &str) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, flag, after)) = next_flag(rest) {
        whole.push_str(before);
        whole.push_str(&flag.replace('-', "_"));
        // A value follows within the same quotes.
        let is_quoted = before.ends_with('`');
        rest = match after.strip_prefix(' ') {
            Some(value) if is_quoted => {
                whole.push_str(": ");
                value
            }
            _ => after,
        };
    }
    whole + rest
}

/// The part of a hint that a client can follow, if any: alternatives that name the server's own
/// flags, its environment or its commands are left out.
pub(super) fn advice(hint: &str) -> Option<String> {
    let is_clients = |text: &str| {
        let mut rest = text;
        while let Some((_, flag, after)) = next_flag(rest) {
            if access(&flag.replace('-', "_")) == Access::Server {
                return false;
            }
            rest = after;
        }
        !["`sdgen ", "`cargo ", "HF_", "SDGEN_"]
            .iter()
            .any(|word| text.contains(word))
    };
    if is_clients(hint) {
        return Some(in_fields(hint));
    }
    let (verb, alternatives) = hint
        .split_once(' ')
        .filter(|(verb, _)| ["try", "use"].contains(verb))?;
    let alternatives = alternatives
        .split(';')
        .next()
        .unwrap_or_default()
        .replace(" or ", ", ")
        .replace(",,", ",");
    let open: Vec<&str> = alternatives
        .split(", ")
        .filter(|text| !text.is_empty() && is_clients(text))
        .collect();
    let (last, others) = open.split_last()?;
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("{} or ", others.join(", "))
    };
    Some(in_fields(&format!("{verb} {others}{last}")))
}

/// The next flag of a text: (what is before it, its name, what is after it).
fn next_flag(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("--")?;
        let name = &text[at + 2..];
        let end = name
            .find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-')
            .unwrap_or(name.len());
        let is_begun = text[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '-');
        if is_begun && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Some((&text[..at], &name[..end], &name[end..]));
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_as_fields() {
        for (told, heard) in [
            ("leave out `--steps`", "leave out `steps`"),
            (
                "override it with `--prediction epsilon|v|sample`",
                "override it with `prediction: epsilon|v|sample`",
            ),
            (
                "white is painted anew; `--invert-mask` swaps black and white",
                "white is painted anew; `invert_mask` swaps black and white",
            ),
            (
                "--width: expected a multiple of 8",
                "width: expected a multiple of 8",
            ),
            ("a -- b, a--b and --9 stay", "a -- b, a--b and --9 stay"),
        ] {
            assert_eq!(in_fields(told), heard);
        }
    }

    #[test]
    fn advice_is_what_a_client_can_do() {
        let hint = "try `--memory low`, `--vae-tiling on`, a smaller size or `--batch-size 1`";
        assert_eq!(
            advice(hint).unwrap(),
            "try a smaller size or `batch_size: 1`"
        );
        let hint = "try another seed or `--dtype f32`; if it stays, the weights are damaged";
        assert_eq!(advice(hint).unwrap(), "try another seed");
        assert_eq!(
            advice("did you mean `steps`? known: a, b").unwrap(),
            "did you mean `steps`? known: a, b"
        );
        for hint in [
            "name a folder that can be written: `--state DIR`",
            "`sdgen models pull x` downloads it",
            "the cache is `/x`; HF_HOME chooses another",
            "use `--device cpu`",
            "int8 is for `--device cpu`",
        ] {
            assert_eq!(advice(hint), None, "{hint}");
        }
    }

    #[test]
    fn paths_are_told_by_their_names() {
        let secrets = [
            ("/srv/models/mine".to_owned(), "mine".to_owned()),
            ("/srv/cache/".to_owned(), String::new()),
        ];
        assert_eq!(
            bare("`/srv/models/mine/unet` and `/srv/cache/x`", &secrets),
            "`mine/unet` and `x`"
        );
    }
}
