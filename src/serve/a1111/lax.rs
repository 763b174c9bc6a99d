//! Values as A1111 takes them from a request: pydantic's lax reading of numbers and switches, and what asks for nothing.

use serde_json::Value;

/// A number: also as text, and true and false as 1 and 0.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number: also as text, with a point and nothing behind it, and true and false as 1 and 0.
pub(super) fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Number(exact) if exact.is_u64() => exact.as_u64().map(i128::from),
        Value::Number(exact) if exact.is_i64() => exact.as_i64().map(i128::from),
        Value::String(text) if text.trim().parse::<i128>().is_ok() => text.trim().parse().ok(),
        _ => {
            let number = number(value)?;
            // Beyond this not every whole number is one that a float can hold.
            (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i128)
        }
    }
}

/// Yes or no, in pydantic's words.
pub(super) fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "1.0" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "0.0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => None,
        },
        _ => match whole(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Nothing at all: null, 0, false, empty text, `None`, or a list or an object of such.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => is_no_name(text) || switch(value) == Some(false),
        Value::Array(values) => values.iter().all(is_nothing),
        Value::Object(object) => object.values().all(is_nothing),
    }
}

/// The words for no choice.
pub(super) fn is_no_name(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("none")
}

/// Whether what goes to a script leaves it switched off: nothing, an object that says so, or a list that begins with
/// false or holds nothing else than such.
pub(super) fn is_off(arguments: &Value) -> bool {
    match arguments {
        Value::Object(object) => {
            let says_no = |name: &str| object.get(name).is_some_and(|value| switch(value) == Some(false));
            let arguments = || object.get("args").filter(|_| object.len() == 1).is_some_and(is_off);
            says_no("enabled") || says_no("enable") || arguments() || object.values().all(is_off)
        }
        Value::Array(values) => values.first() == Some(&Value::Bool(false)) || values.iter().all(is_off),
        other => is_nothing(other),
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
            assert_eq!(whole(&value), expected, "{value}");
        }
        assert_eq!(
            (number(&json!("7.5")), number(&json!(false)), number(&json!("inf"))),
            (Some(7.5), Some(0.0), None)
        );
        let read = [json!("on"), json!("False"), json!(1), json!(0.0), json!(2), json!("maybe")]
            .map(|value| switch(&value));
        assert_eq!(read, [Some(true), Some(false), Some(true), Some(false), None, None]);
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
            assert!(is_off(&off), "{off}");
        }
        for on in [
            json!({"args": [true]}),
            json!({"args": [{"module": "canny"}]}),
            json!({"args": [{"enabled": false}, {"enabled": true}]}),
            json!({"args": [{"ad_model": "face_yolov8n.pt"}]}),
        ] {
            assert!(!is_off(&on), "{on}");
        }
    }
}
