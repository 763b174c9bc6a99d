//! Options of a job, each with the position where it was written, for error messages.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, closest};
use crate::params::{Combine, Params};

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
pub struct Diagnostic {
    /// Position of the value or the job.
    pub place: Place,
    /// The error.
    pub error: Error,
}

impl Diagnostic {
    /// `error` at `place`.
    pub fn new(place: &Place, error: Error) -> Self {
        Self {
            place: place.clone(),
            error,
        }
    }
}

/// Options, and the position of each one that is given.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    params: Params,
    places: Arc<Places>,
}

/// Positions of fields.
pub(super) type Places = BTreeMap<&'static str, Place>;

/// A value that a point of a matrix gives a field.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The field.
    pub field: &'static str,
    /// A value of the field's type.
    pub value: Value,
    /// Position of the value.
    pub place: Place,
}

impl Fields {
    /// The options of `params`, all at one position.
    pub fn of(params: &Params, place: &Place) -> Self {
        let places = params.given().map(|field| (field, place.clone()));
        Self {
            params: params.clone(),
            places: Arc::new(places.collect()),
        }
    }

    /// Sets a field after checking its name and type; null sets nothing.
    ///
    /// # Errors
    /// No such field, or a value of another type.
    pub fn set(&mut self, key: &str, value: Value, place: &Place) -> Result<(), Diagnostic> {
        let refused = |error| Diagnostic::new(place, error);
        let field = Params::field(key).ok_or_else(|| refused(unknown_field(key)))?;
        if value.is_null() {
            return Ok(());
        }
        let set = self.params.set(field, value);
        set.map_err(|error| refused(Error::field(key, error.to_string())))?;
        Arc::make_mut(&mut self.places).insert(field, place.clone());
        Ok(())
    }

    /// Returns these fields, overridden by those of `top`.
    #[must_use]
    pub fn under(mut self, top: &Self) -> Self {
        let places = top.places.iter();
        let places = places.map(|(field, place)| (*field, place.clone()));
        Arc::make_mut(&mut self.places).extend(places);
        Self {
            params: top.params.clone().combine(self.params),
            places: self.places,
        }
    }

    /// Returns these fields, overridden by `assignments`.
    #[must_use]
    pub(super) fn assigned(mut self, assignments: &[Assignment]) -> Self {
        for Assignment {
            field,
            value,
            place,
        } in assignments
        {
            // The value has the field's type.
            let _ = self.params.set(field, value.clone());
            if self.places.get(field) != Some(place) {
                Arc::make_mut(&mut self.places).insert(field, place.clone());
            }
        }
        self
    }

    /// The fields that are given, one by one.
    pub(super) fn assignments(&self) -> Vec<Assignment> {
        let mut values = self.values();
        let places = self.places.iter();
        let assignments = places.filter_map(|(field, place)| {
            Some(Assignment {
                field,
                value: values.remove(*field)?,
                place: place.clone(),
            })
        });
        assignments.collect()
    }

    /// Positions of the fields.
    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The options.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Position at which a field was set.
    pub fn place(&self, field: &str) -> Option<&Place> {
        self.places.get(field)
    }

    /// Values by the names of their fields, for display.
    pub(super) fn values(&self) -> BTreeMap<String, Value> {
        let values = serde_json::to_value(&self.params).ok();
        values
            .and_then(|values| serde_json::from_value(values).ok())
            .unwrap_or_default()
    }
}

fn unknown_field(key: &str) -> Error {
    let error = Error::field(key, "there is no such field");
    match closest(key, Params::FIELDS) {
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
            fields.params().has("cfg_scale"),
            "aliases end under the field's own name"
        );
        let diagnostic = fields.set("stepz", 3.into(), &place()).unwrap_err();
        assert_eq!(
            (
                diagnostic.place.to_string().as_str(),
                diagnostic.error.hints()[0].as_str()
            ),
            ("a.toml:3", "did you mean `steps`?")
        );
        let diagnostic = fields.set("steps", "many".into(), &place()).unwrap_err();
        assert!(
            diagnostic
                .error
                .to_string()
                .starts_with("steps: invalid type: string \"many\""),
            "{:?}",
            diagnostic.error
        );
        assert_eq!(fields.params().cfg_scale, Some(7.0));
    }
}
