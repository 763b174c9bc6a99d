//! Lenient reading of values as in A1111: pydantic's lax mode for numbers and booleans, and values
//! that count as empty.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Fields of a request, removed one by one as they are read, so that none remains unchecked.
pub(crate) struct RequestFields(pub(crate) Map<String, Value>);

impl RequestFields {
    /// Removes and returns the value of a field; `None` if it is missing or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        wanted: &str,
        read: fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        read(&value)
            .map(Some)
            .ok_or_else(|| Error::expected(name, wanted, value))
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", parse_number)
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<u64>> {
        let read = |value: &Value| parse_integer(value).and_then(|number| number.try_into().ok());
        self.read(name, "a whole number from 0", read)
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", parse_bool)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let read = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Ok(self
            .read(name, "text", read)?
            .filter(|text| !text.is_empty()))
    }
}

/// A finite number, also given as text, or as true or false (1 or 0).
pub(crate) fn parse_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// An integer, also given as text, with a zero fraction, or as true or false (1 or 0).
pub(crate) fn parse_integer(value: &Value) -> Option<i128> {
    let exact = value
        .as_u64()
        .map(i128::from)
        .or(value.as_i64().map(i128::from));
    if let Some(exact) = exact.or_else(|| value.as_str()?.trim().parse().ok()) {
        return Some(exact);
    }
    // Beyond this limit, not every integer is exact as a float.
    let number =
        parse_number(value).filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15)?;
    Some(number as i128)
}

/// A boolean, in any of the words that pydantic accepts.
pub(crate) fn parse_bool(value: &Value) -> Option<bool> {
    let word = value.as_str().map(|text| text.trim().to_ascii_lowercase());
    match word.as_deref() {
        Some("true" | "t" | "yes" | "y" | "on") => return Some(true),
        Some("false" | "f" | "no" | "n" | "off") => return Some(false),
        _ => {}
    }
    match parse_integer(value)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Returns true for empty values: null, 0, false (also as text), empty text, `None`, or a list or
/// an object of empty values.
pub(crate) fn is_empty_value(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => is_unset_name(text) || parse_bool(value) == Some(false),
        Value::Array(values) => values.iter().all(is_empty_value),
        Value::Object(object) => object.values().all(is_empty_value),
    }
}

/// Returns true for empty text or `none`, in any case.
pub(crate) fn is_unset_name(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("none")
}

/// Returns true if the arguments of a script leave it switched off: empty values, an object that
/// says so, or a list that begins with false or holds only such arguments.
pub(crate) fn is_disabled(arguments: &Value) -> bool {
    match arguments {
        Value::Object(object) => {
            let says_no = |name: &str| {
                object
                    .get(name)
                    .is_some_and(|value| parse_bool(value) == Some(false))
            };
            let arguments = || {
                object
                    .get("args")
                    .filter(|_| object.len() == 1)
                    .is_some_and(is_disabled)
            };
            says_no("enabled")
                || says_no("enable")
                || arguments()
                || object.values().all(is_disabled)
        }
        Value::Array(values) => {
            values.first() == Some(&Value::Bool(false)) || values.iter().all(is_disabled)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            is_empty_value(arguments)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_taken_as_pydantic_takes_them() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(" 7 "), Some(7)),
            (json!("-1"), Some(-1)),
            (json!(128.0), Some(128)),
            (json!("128.0"), Some(128)),
            (json!(true), Some(1)),
            (json!(u64::MAX), Some(i128::from(u64::MAX))),
            (json!("18446744073709551615"), Some(i128::from(u64::MAX))),
            (json!(7.5), None),
            (json!("seven"), None),
            (json!(""), None),
            (json!([7]), None),
        ] {
            assert_eq!(parse_integer(&value), expected, "{value}");
        }
        assert_eq!(
            (
                parse_number(&json!("7.5")),
                parse_number(&json!(false)),
                parse_number(&json!("inf"))
            ),
            (Some(7.5), Some(0.0), None)
        );
        let read = [
            json!("on"),
            json!("False"),
            json!(1),
            json!(0.0),
            json!(2),
            json!("maybe"),
        ]
        .map(|value| parse_bool(&value));
        assert_eq!(
            read,
            [Some(true), Some(false), Some(true), Some(false), None, None]
        );
    }

    #[test]
    fn scripts_are_off_where_their_arguments_say_so() {
        for off in [
            json!({}),
            json!({"args": []}),
            json!({"args": [false]}),
            json!({"args": [{"enabled": false, "module": "canny"}, {"enabled": false}]}),
            json!({"args": [false, false, {"ad_model": "face_yolov8n.pt"}]}),
            json!({"args": [{"ad_model": "None"}]}),
            json!({"args": {"0": {"enabled": "false", "weight": 1}}}),
            json!([null, ""]),
        ] {
            assert!(is_disabled(&off), "{off}");
        }
        for on in [
            json!({"args": [true]}),
            json!({"args": [{"module": "canny"}]}),
            json!({"args": [{"enabled": false}, {"enabled": true}]}),
            json!({"args": [{"ad_model": "face_yolov8n.pt"}]}),
        ] {
            assert!(!is_disabled(&on), "{on}");
        }
    }
}
