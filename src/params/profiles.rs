//! The user's defaults: a TOML file whose keys are fields of `Params`, with `[profile.NAME]` tables
//! over them. Every wrong key or value is an error with the file's line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::{Combine, Params};
use crate::error::{Error, Kind, Result, closest};

/// Contents of the user's configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles {
    path: PathBuf,
    base: Params,
    named: BTreeMap<String, Params>,
}

impl Profiles {
    /// Reads the file; a missing file gives no defaults and no profiles.
    ///
    /// # Errors
    /// It cannot be read, or a key or value is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        match crate::text::read(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::absent(path)),
            Err(error) => Err(
                Error::new(Kind::Usage, format!("cannot read `{}`", path.display())).source(error),
            ),
        }
    }

    /// The contents of a missing file: no defaults and no profiles.
    pub fn absent(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// A key or value is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |error: &toml::de::Error| {
            located(path, text, error.span().map(|at| at.start), error.message())
        };
        let mut root = DeTable::parse(text).map_err(|error| wrong(&error))?;
        let params = |table: Spanned<DeTable<'_>>| {
            let infinite = table
                .get_ref()
                .iter()
                .find(|(_, value)| is_infinite(value.get_ref()));
            let infinite = infinite.map(|(key, _)| key.get_ref().to_string());
            let params =
                Params::deserialize(Deserializer::from(table)).map_err(|error| wrong(&error))?;
            let Some(field) = infinite else {
                return Ok(params);
            };
            let message = format!("{}: `{field}` has to be a finite number", path.display());
            Err(Error::new(Kind::Usage, message))
        };
        let tables = root.get_mut().remove("profile");
        let base = params(root)?;
        let mut named = BTreeMap::new();
        if let Some(tables) = tables {
            for (name, table) in as_table(tables, path, text)? {
                let span = table.span();
                let table = Spanned::new(span, as_table(table, path, text)?);
                named.insert(name.into_inner().into_owned(), params(table)?);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            base,
            named,
        })
    }

    /// The defaults, with those of a profile over them.
    ///
    /// # Errors
    /// There is no such profile.
    pub fn params(&self, profile: Option<&str>) -> Result<Params> {
        let Some(name) = profile else {
            return Ok(self.base.clone());
        };
        match self.named.get(name) {
            Some(over) => Ok(over.clone().combine(self.base.clone())),
            None if self.named.is_empty() => {
                Err(
                    Error::new(Kind::Usage, format!("there is no profile `{name}`")).hint(format!(
                        "`{}` has no table `[profile.{name}]`",
                        self.path.display()
                    )),
                )
            }
            None => {
                let known = self.named.keys().map(String::as_str);
                let error = Error::unknown("profile", "profile", name, known);
                Err(error.hint(format!("profiles are tables of `{}`", self.path.display())))
            }
        }
    }

    /// The names of the profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Path of the file, whether the file exists or not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a hint to the error of a request if its field came from this file, which holds if the
    /// field is in `defaults` and not in `given`.
    #[must_use]
    pub fn blamed(&self, error: Error, defaults: &Params, given: &Params) -> Error {
        match error.field_name().map(str::to_owned) {
            Some(field) if defaults.has(&field) && !given.has(&field) => {
                error.hint(format!("`{field}` comes from `{}`", self.path.display()))
            }
            _ => error,
        }
    }
}

/// Returns true for infinities and NaN, alone or in a list.
fn is_infinite(value: &DeValue<'_>) -> bool {
    let is_special = |number: &str| number.ends_with("inf") || number.ends_with("nan");
    match value {
        DeValue::Float(number) => is_special(number.as_str()),
        DeValue::Array(values) => values.iter().any(|value| is_infinite(value.get_ref())),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => false,
    }
}

fn as_table<'a>(value: Spanned<DeValue<'a>>, path: &Path, text: &str) -> Result<DeTable<'a>> {
    let start = value.span().start;
    if let DeValue::Table(table) = value.into_inner() {
        return Ok(table);
    }
    Err(located(
        path,
        text,
        Some(start),
        "expected tables `[profile.NAME]`",
    ))
}

/// The error for `message` with path and line (of byte `at`), and for an unknown key with the
/// closest known one as a hint.
fn located(path: &Path, text: &str, at: Option<usize>, message: &str) -> Error {
    let line = text
        .get(..at.unwrap_or(0))
        .unwrap_or_default()
        .matches('\n')
        .count()
        + 1;
    let place = format!("{}:{line}", path.display());
    let (what, known) = message
        .split_once(", expected one of ")
        .unwrap_or((message, ""));
    let what = what.replace("unknown field", "unknown key");
    let error = Error::new(
        Kind::Usage,
        format!("{place}: {}", what.trim_end().replace('\n', "; ")),
    );
    let Some(key) = what
        .strip_prefix("unknown key `")
        .and_then(|rest| rest.split('`').next())
    else {
        return error;
    };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let key = key.replace('-', "_");
    match closest(&key, &known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("keys are the long flags with underscores: `sdgen --help`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "steps = 30\nmodel = \"sdxl\"\n\n[profile.draft]\nsteps = 8\nsampler = \"lcm\"\n";

    fn parse(text: &str) -> Result<Profiles> {
        Profiles::parse(Path::new("c.toml"), text)
    }

    #[test]
    fn a_profile_lies_over_the_defaults_and_under_what_is_said() {
        let file = parse(FILE).unwrap();
        let of = |profile| {
            let params = file.params(profile).unwrap();
            (params.steps, params.model, params.sampler)
        };
        assert_eq!(of(None), (Some(30), Some("sdxl".into()), None));
        assert_eq!(
            of(Some("draft")),
            (Some(8), Some("sdxl".into()), Some("lcm".into()))
        );
        let given = Params {
            steps: Some(4),
            ..Params::default()
        };
        let draft = file.params(Some("draft")).unwrap();
        assert_eq!(given.combine(draft).steps, Some(4));
        let error = file.params(Some("drft")).unwrap_err();
        assert!(
            error.hints()[0].contains("did you mean `draft`"),
            "{error:?}"
        );
        assert!(parse("").unwrap().params(Some("x")).is_err());
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_line() {
        let cases = [
            ("steps = 3\nstepz = 4", "c.toml:2: unknown key `stepz`"),
            (
                "[profile.draft]\nsteps = 8\n\nsampelr = \"lcm\"",
                "c.toml:4: unknown key `sampelr`",
            ),
            (
                "[profiles.draft]\nsteps = 8",
                "c.toml:1: unknown key `profiles`",
            ),
            (
                "width = 512\nsteps = \"many\"",
                "c.toml:2: invalid type: string \"many\"",
            ),
            ("[profile]\ndraft = 3", "c.toml:2: expected tables"),
            ("steps = 3\nsteps = 4", "c.toml:2: duplicate key"),
            ("eta = nan", "c.toml: `eta` has to be a finite number"),
            ("a = 1\nsteps = ", "c.toml:2: "),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{text:?}: {error}");
        }
        let error = parse("cfg-scale = 3").unwrap_err();
        assert_eq!(error.hints(), ["did you mean `cfg_scale`?"]);
    }

    #[test]
    fn the_file_is_blamed_for_its_own_values_alone() {
        let file = parse("steps = 0").unwrap();
        let defaults = file.params(None).unwrap();
        let error = |given: &Params| {
            file.blamed(
                Error::expected("steps", "a number from 1 to 1000", 0),
                &defaults,
                given,
            )
        };
        assert_eq!(
            error(&Params::default()).hints(),
            ["`steps` comes from `c.toml`"]
        );
        assert!(
            error(&Params {
                steps: Some(0),
                ..Params::default()
            })
            .hints()
            .is_empty()
        );
    }
}
