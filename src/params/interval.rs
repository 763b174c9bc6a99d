//! A part of a run, as `A..B` in fractions of its calls.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// The calls from the fraction `from` up to, but not including, the fraction `to`; written `A..B`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// First fraction, 0 or more.
    pub from: f64,
    /// Last fraction, 1 or less.
    pub to: f64,
}

impl Default for Interval {
    fn default() -> Self {
        Self { from: 0.0, to: 1.0 }
    }
}

impl Interval {
    /// Reads `A..B`; a missing end is the run's own.
    ///
    /// # Errors
    /// Text of another form, an end outside 0 to 1, or ends in the wrong order.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let end = |text: &str, default: f64| match text.trim() {
            "" => Some(default),
            number => number.parse().ok(),
        };
        let ends = text
            .split_once("..")
            .and_then(|(from, to)| Some((end(from, 0.0)?, end(to, 1.0)?)));
        match ends {
            Some((from, to)) if 0.0 <= from && from <= to && to <= 1.0 => Ok(Self { from, to }),
            _ => Err(Error::expected(
                field,
                "`A..B` with 0 <= A <= B <= 1, such as `0.2..0.8`",
                text,
            )),
        }
    }

    /// Returns true if call `i` of `calls` begins within the interval.
    pub fn contains(self, i: usize, calls: usize) -> bool {
        let share = i as f64 / calls.max(1) as f64;
        (self.from..self.to).contains(&share)
    }

    /// Returns true if call `i` of `calls` lies within the interval from its beginning to its end.
    pub fn covers(self, i: usize, calls: usize) -> bool {
        let share = |i: usize| i as f64 / calls.max(1) as f64;
        self.from <= share(i) && share(i + 1) <= self.to
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse("interval", &text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_parses_prints_and_chooses_calls() {
        let middle = Interval::parse("cfg_interval", "0.25..0.75").unwrap();
        let chosen: Vec<usize> = (0..4).filter(|&i| middle.contains(i, 4)).collect();
        assert_eq!(
            (middle.to_string().as_str(), chosen),
            ("0.25..0.75", vec![1, 2])
        );
        let whole: Vec<usize> = (0..4)
            .filter(|&i| Interval { from: 0.2, to: 0.8 }.covers(i, 4))
            .collect();
        assert_eq!(whole, [1, 2]);
        assert_eq!(
            Interval::parse("cfg_interval", "..").unwrap(),
            Interval::default()
        );
        assert!((0..9).all(|i| Interval::default().contains(i, 9)));
    }

    #[test]
    fn a_wrong_interval_is_named() {
        for text in ["", "0.5", "0.8..0.2", "-0.1..1", "0..2", "a..b", "NaN..1"] {
            let error = Interval::parse("cfg_interval", text).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("cfg_interval: expected `A..B`"),
                "{error}"
            );
        }
    }
}
