//! Paths of the environment with `~` and variables in them, read as Python's `os.path.expanduser`
//! and `os.path.expandvars` read them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Lookup of an environment variable; the value may be empty.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A path after `expandvars(expanduser(path))`; a path that is not UTF-8 is left as it is.
pub(super) fn expanded(path: &OsStr, variables: Variables<'_>) -> PathBuf {
    match path.to_str() {
        Some(text) => PathBuf::from(with_variables(&with_home(text, variables), variables)),
        None => PathBuf::from(path),
    }
}

/// The user's home folder: `HOME`, else what the system says.
pub(super) fn home(variables: Variables<'_>) -> Option<PathBuf> {
    let said = variables("HOME")
        .filter(|home| cfg!(unix) && !home.is_empty())
        .map(PathBuf::from);
    said.or_else(|| Some(directories::BaseDirs::new()?.home_dir().to_owned()))
}

/// Expands `~` or `~name` at the beginning; an unknown user is left as it is.
fn with_home(text: &str, variables: Variables<'_>) -> String {
    let Some(rest) = text.strip_prefix('~') else {
        return text.to_owned();
    };
    let (name, rest) = rest.split_at(rest.find(is_separator).unwrap_or(rest.len()));
    let home = if name.is_empty() {
        home(variables)
    } else {
        home_of(name)
    };
    let Some(home) = home.as_ref().and_then(|home| home.to_str()) else {
        return text.to_owned();
    };
    let path = format!("{}{rest}", home.trim_end_matches(is_separator));
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

fn is_separator(c: char) -> bool {
    std::path::is_separator(c)
}

/// The home folder of another user of this machine.
fn home_of(name: &str) -> Option<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let user = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|user| user[0] == name)?;
    user.get(5).map(PathBuf::from)
}

/// Expands `$NAME` and `${NAME}`; variables that are not set are left as they are. Values are not
/// expanded again.
fn with_variables(text: &str, variables: Variables<'_>) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        whole.push_str(before);
        let (name, length) = named(&from[1..]).unwrap_or(("", 0));
        let (said, after) = from.split_at(1 + length);
        let value = variables(name).filter(|_| !name.is_empty());
        whole.push_str(
            value
                .as_ref()
                .and_then(|value| value.to_str())
                .unwrap_or(said),
        );
        rest = after;
    }
    whole + rest
}

/// The name after a dollar sign, and its length with the braces.
fn named(text: &str) -> Option<(&str, usize)> {
    if let Some(inside) = text.strip_prefix('{') {
        let end = inside.find('}')?;
        return Some((&inside[..end], end + 2));
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    Some((&text[..end], end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_home_of_another_user_is_that_of_the_system() {
        let none = |_: &str| None;
        assert_eq!(
            expanded(OsStr::new("~root/x"), &none),
            home_of("root").unwrap().join("x")
        );
        assert_eq!(
            expanded(OsStr::new("~rootless/x"), &none),
            PathBuf::from("~rootless/x")
        );
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_stand_as_they_are() {
        use std::os::unix::ffi::OsStrExt;
        let path = OsStr::from_bytes(b"~/\xff$HOME");
        assert_eq!(expanded(path, &|_| Some("/h".into())), PathBuf::from(path));
    }
}
