//! Fields of a job before they become `Params`: each value keeps the position where it was written,
//! for error messages.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use clap::Args as _;
use serde_json::{Map, Value};

use crate::error::{Error, closest};
use crate::params::Params;

/// Position in a batch file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line number from 1; 0 if there are no lines.
    pub line: usize,
}

impl Place {
    /// Line `line` of `file`.
    pub fn new(file: &Arc<str>, line: usize) -> Self {
        Self {
            file: file.clone(),
            line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// An error in a batch, and its position; the key is the error's field.
#[derive(Debug)]
pub struct Fault {
    /// Position of the value or the job.
    pub place: Place,
    /// The error.
    pub error: Error,
}

impl Fault {
    /// `error` at `place`.
    pub fn new(place: &Place, error: Error) -> Self {
        Self {
            place: place.clone(),
            error,
        }
    }
}

/// A value and its position.
#[derive(Clone, Debug)]
struct Cell {
    value: Value,
    place: Place,
}

/// Fields by their names in `Params`. The names come from `Params` itself, so that a new field
/// needs no line here.
#[derive(Clone, Debug, Default)]
pub struct Fields(BTreeMap<String, Cell>);

/// Every field's name.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let command = Params::augment_args(clap::Command::new("fields"));
    command
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .collect()
});

impl Fields {
    /// Returns the fields that are set in `params`.
    pub fn of(params: &Params, place: &Place) -> Self {
        let mut fields = Self::default();
        fields.put(object(params), place);
        fields
    }

    /// Sets a field after checking its name and type.
    ///
    /// # Errors
    /// No such field, or a value of another type.
    pub fn set(&mut self, key: &str, value: Value, place: &Place) -> Result<(), Fault> {
        let map = Map::from_iter([(key.to_owned(), value)]);
        match serde_json::from_value::<Params>(map.into()) {
            Ok(params) => {
                self.put(object(&params), place);
                Ok(())
            }
            Err(error) => Err(Fault::new(place, refusal(key, &error))),
        }
    }

    fn put(&mut self, map: Map<String, Value>, place: &Place) {
        self.0.extend(map.into_iter().map(|(key, value)| {
            (
                key,
                Cell {
                    value,
                    place: place.clone(),
                },
            )
        }));
    }

    /// Returns these fields, overridden by those of `top`.
    #[must_use]
    pub fn under(mut self, top: &Self) -> Self {
        self.0
            .extend(top.0.iter().map(|(key, cell)| (key.clone(), cell.clone())));
        self
    }

    /// Returns true if the field is set.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The text of a field.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.value.as_str()
    }

    /// The whole number of a field.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.value.as_u64()
    }

    /// Position at which a field was set.
    pub fn place(&self, key: &str) -> Option<&Place> {
        self.0.get(key).map(|cell| &cell.place)
    }

    /// Replaces a value and keeps its position.
    pub(super) fn replace(&mut self, key: &str, value: Value) {
        if let Some(cell) = self.0.get_mut(key) {
            cell.value = value;
        }
    }

    /// Every name and value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, cell)| (key.as_str(), &cell.value))
    }

    /// Converts the fields to request parameters.
    ///
    /// # Errors
    /// None: each field has been looked at.
    pub fn params(&self) -> crate::error::Result<Params> {
        let map: Map<String, Value> = self
            .0
            .iter()
            .map(|(key, cell)| (key.clone(), cell.value.clone()))
            .collect();
        serde_json::from_value(map.into())
            .map_err(|e| Error::internal("fields that fit no request").source(e))
    }
}

fn object(params: &Params) -> Map<String, Value> {
    match serde_json::to_value(params) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Error for a field that `Params` rejects.
fn refusal(key: &str, error: &serde_json::Error) -> Error {
    let known: Vec<&str> = NAMES.iter().map(String::as_str).collect();
    if known.contains(&key) {
        return Error::field(key, error.to_string());
    }
    let error = Error::field(key, "there is no such field");
    match closest(key, &known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(
            "fields have the names of the flags, with `_` for `-`: `sdgen --help` lists them",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::new(&"a.toml".into(), 3)
    }

    #[test]
    fn a_field_is_refused_by_name_type_and_place() {
        let mut fields = Fields::default();
        fields.set("guidance_scale", 7.into(), &place()).unwrap();
        assert!(
            fields.has("cfg_scale"),
            "aliases end under the field's own name"
        );
        let fault = fields.set("stepz", 3.into(), &place()).unwrap_err();
        assert_eq!(
            (
                fault.place.to_string().as_str(),
                fault.error.hints()[0].as_str()
            ),
            ("a.toml:3", "did you mean `steps`?")
        );
        let fault = fields.set("steps", "many".into(), &place()).unwrap_err();
        assert!(
            fault
                .error
                .to_string()
                .starts_with("steps: invalid type: string \"many\""),
            "{:?}",
            fault.error
        );
        assert_eq!(fields.params().unwrap().cfg_scale, Some(7.0));
    }
}
