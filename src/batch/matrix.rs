//! Axes of a matrix and their cross product. The first axis moves slowest.

use serde::Serialize;
use serde_json::{Number, Value};

use super::fields::Assignment;
use crate::error::{Error, Result};

/// A list of points, named after the field that varies.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The field, or the name of a list of tables.
    pub name: String,
    /// Points of the axis.
    pub points: Vec<Point>,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub struct Point {
    /// Displayed value.
    pub label: String,
    /// Values of the fields that the point sets.
    pub assignments: Vec<Assignment>,
}

/// Coordinate of a job on one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coordinate {
    /// Name of the axis.
    pub axis: String,
    /// Displayed value.
    pub value: String,
}

/// Longest value that is part of a job's name, in bytes.
const MAX_IN_NAME: usize = 24;
/// Maximum number of values in a range.
const MAX_RANGE: u64 = 1_000_000;

impl Axis {
    /// Suffixes that the points add to a job's name: their values if those are short words that
    /// differ, else their numbers from 1.
    fn name_parts(&self) -> Vec<String> {
        let plain = |label: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !label.is_empty() && label.len() <= MAX_IN_NAME && label.chars().all(legal)
        };
        let mut labels: Vec<String> = self
            .points
            .iter()
            .map(|point| point.label.clone())
            .collect();
        let fit = labels.iter().all(|label| plain(label));
        labels.sort();
        labels.dedup();
        if fit && labels.len() == self.points.len() {
            return self
                .points
                .iter()
                .map(|point| point.label.clone())
                .collect();
        }
        (1..=self.points.len())
            .map(|number| number.to_string())
            .collect()
    }
}

/// One element of a cross product.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    /// Values of the fields that the points set.
    pub assignments: Vec<Assignment>,
    /// Suffix of the job's name.
    pub name: String,
    /// Coordinates on the axes.
    pub at: Vec<Coordinate>,
}

/// Returns every combination of the axes' points, with the last axis varying fastest.
pub(super) fn cross_product(axes: &[Axis]) -> Vec<Element> {
    axes.iter()
        .fold(vec![Element::default()], |elements, axis| {
            let names = axis.name_parts();
            let with = |element: &Element, (point, name): (&Point, &String)| {
                let mut element = element.clone();
                element.assignments.extend_from_slice(&point.assignments);
                element.name = format!("{}-{name}", element.name);
                element.at.push(Coordinate {
                    axis: axis.name.clone(),
                    value: point.label.clone(),
                });
                element
            };
            let points = || axis.points.iter().zip(&names);
            elements
                .iter()
                .flat_map(|element| points().map(move |point| with(element, point)))
                .collect()
        })
}

/// Values of a range `1..=16`, `1..16` or `10..=50 step 10`; `None` for text that is no range.
pub(super) fn parse_range(key: &str, text: &str) -> Result<Option<Vec<Value>>> {
    let (bounds, step) = text.split_once("step").unwrap_or((text, "1"));
    let Some((low, high)) = bounds.split_once("..") else {
        return Ok(None);
    };
    let (high, inclusive) = match high.strip_prefix('=') {
        Some(high) => (high, true),
        None => (high, false),
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (Some(low), Some(high), Some(step)) = (number(low), number(high), number(step)) else {
        return Ok(None);
    };
    let last = if inclusive {
        Some(high)
    } else {
        high.checked_sub(1)
    };
    let count = last
        .and_then(|last| last.checked_sub(low))
        .zip(Some(step).filter(|step| *step > 0));
    match count.map(|(span, step)| span / step) {
        None => Err(Error::field(
            key,
            format!("the range `{text}` has no values"),
        )),
        Some(count) if count >= MAX_RANGE => Err(Error::field(
            key,
            format!("the range `{text}` has more than {MAX_RANGE} values"),
        )),
        Some(count) => Ok(Some(
            (0..=count)
                .map(|i| Value::Number(Number::from(low + i * step)))
                .collect(),
        )),
    }
}

/// A value as displayed text.
pub(super) fn display_label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{Fields, Place};
    use super::*;

    fn axis(key: &str, values: &[Value]) -> Axis {
        let place = Place::new(&"a".into(), 1);
        let point = |value: &Value| {
            let mut fields = Fields::default();
            fields.set(key, value.clone(), &place).unwrap();
            Point {
                label: display_label(value),
                assignments: fields.assignments(),
            }
        };
        Axis {
            name: key.to_owned(),
            points: values.iter().map(point).collect(),
        }
    }

    #[test]
    fn ranges_are_lists_of_numbers() {
        let list = |text: &str| {
            parse_range("seed", text)
                .unwrap()
                .map(|values| values.iter().filter_map(Value::as_u64).collect::<Vec<_>>())
        };
        assert_eq!(list("1..=3"), Some(vec![1, 2, 3]));
        assert_eq!(list("1..3"), Some(vec![1, 2]));
        assert_eq!(list("10..=50 step 20"), Some(vec![10, 30, 50]));
        assert_eq!(list("euler"), None);
        assert_eq!(list("a..b"), None);
        for empty in [
            "3..3",
            "3..=2",
            "0..0",
            "1..=5 step 0",
            "0..=18446744073709551615",
        ] {
            assert_eq!(
                parse_range("seed", empty).unwrap_err().field_name(),
                Some("seed"),
                "{empty}"
            );
        }
    }

    #[test]
    fn the_last_axis_moves_fastest_and_names_tell_the_values() {
        let axes = [
            axis("sampler", &["euler".into(), "ddim".into()]),
            axis("steps", &[4.into(), 8.into()]),
        ];
        let names: Vec<String> = cross_product(&axes)
            .into_iter()
            .map(|element| element.name)
            .collect();
        assert_eq!(names, ["-euler-4", "-euler-8", "-ddim-4", "-ddim-8"]);
        let long = axis(
            "prompt",
            &["a cat on a mat in the sun".into(), "a dog".into()],
        );
        let names: Vec<String> = cross_product(&[long])
            .into_iter()
            .map(|element| element.name)
            .collect();
        assert_eq!(names, ["-1", "-2"]);
        assert_eq!(cross_product(&[]).len(), 1);
    }
}
