//! Values of single options: their written form, parsed once, and the types that only a request
//! has.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::catalog::Preset;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::imaging::{Extend, Thresholds};
use crate::named_enum::{Named, named_enum};
use crate::schedulers::Sampler;

/// A value that users write as text.
pub trait FromText: Clone {
    /// Parses the text; `field` is the option that an error names.
    fn from_text(field: &str, text: &str) -> Result<Self>;
}

impl<T: Named> FromText for T {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        Self::parse(field, text)
    }
}

impl FromText for Sampler {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        Self::parse(field, text)
    }
}

impl FromText for DeviceChoice {
    fn from_text(_: &str, text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl FromText for &'static Preset {
    fn from_text(_: &str, text: &str) -> Result<Self> {
        Preset::parse(text)
    }
}

impl FromText for Extend {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        Self::parse(field, text)
    }
}

impl FromText for Thresholds {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            Error::expected(field, "`LOW,HIGH` such as `100,200`, at most 2040", text)
        })
    }
}

/// A value with the text that it was parsed from. Text of another form is kept as well, so that
/// [`super::check`] can report all errors of a request at once.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "String", into = "String", bound = "T: FromText")]
pub struct Parsed<T> {
    text: String,
    value: Option<T>,
}

impl<T: FromText> Parsed<T> {
    /// The value.
    ///
    /// # Errors
    /// The text has another form; the error names `field`.
    pub fn get(&self, field: &str) -> Result<T> {
        match &self.value {
            Some(value) => Ok(value.clone()),
            None => T::from_text(field, &self.text),
        }
    }

    /// The value; none if the text has another form.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The written form of a value.
    pub fn new(value: T) -> Self
    where
        T: fmt::Display,
    {
        Self {
            text: value.to_string(),
            value: Some(value),
        }
    }
}

/// The value of an option, if it is given.
pub(super) fn get<T: FromText>(field: &str, option: &Option<Parsed<T>>) -> Result<Option<T>> {
    option.as_ref().map(|parsed| parsed.get(field)).transpose()
}

/// The values of an option that may be repeated.
pub(super) fn get_all<T: FromText>(field: &str, option: &Option<Vec<Parsed<T>>>) -> Result<Vec<T>> {
    let values = option.iter().flatten();
    values.map(|parsed| parsed.get(field)).collect()
}

/// Checks that a number, if it is given, is within its range.
pub(super) fn in_range<T: PartialOrd + fmt::Display + Copy>(
    field: &str,
    value: Option<T>,
    low: T,
    high: T,
) -> Result<()> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            let expected = format!("a number from {low} to {high}");
            Err(Error::expected(field, expected, value))
        }
        _ => Ok(()),
    }
}

impl<T: FromText> From<String> for Parsed<T> {
    fn from(text: String) -> Self {
        let value = T::from_text("", &text).ok();
        Self { text, value }
    }
}

impl<T: FromText> From<&str> for Parsed<T> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<T> From<Parsed<T>> for String {
    fn from(parsed: Parsed<T>) -> Self {
        parsed.text
    }
}

impl<T> PartialEq for Parsed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The seed of a request's first picture; written as a number, -1 for a random one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// A random seed.
    Random,
    /// This number.
    Number(u64),
}

/// Written form of a random seed, as in A1111.
const RANDOM: i64 = -1;
/// Accepted form of a seed, for messages.
const FORM: &str = "a whole number from 0, or -1 for a random one";

impl Seed {
    /// The seed's number; none for a random seed.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Random => None,
            Self::Number(number) => Some(number),
        }
    }
}

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(RANDOM) => Ok(Self::Random),
            _ => text
                .parse()
                .map(Self::Number)
                .map_err(|_| format!("expected {FORM}")),
        }
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Random => serializer.serialize_i64(RANDOM),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Seed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Seed, E> {
        Ok(Seed::Number(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Seed, E> {
        match u64::try_from(number) {
            Ok(number) => Ok(Seed::Number(number)),
            Err(_) if number == RANDOM => Ok(Seed::Random),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

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

impl FromText for Interval {
    /// Parses `A..B`, where a missing end is the run's own.
    fn from_text(field: &str, text: &str) -> Result<Self> {
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
}

impl Interval {
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
        Self::from_text("interval", &text).map_err(serde::de::Error::custom)
    }
}

named_enum! {
    /// Decoding of latents in overlapping tiles.
    #[derive(Default)]
    pub enum VaeTiling("tiling") {
        /// Only where memory would not suffice otherwise.
        #[default]
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

/// Memory limit of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// All memory of the machine: everything stays loaded where it fits.
    #[default]
    Auto,
    /// As little as possible.
    Low,
    /// This many bytes: everything stays loaded where it fits, else as [`Self::Low`].
    Limit(u64),
}

/// Units of a size, and their bytes.
const UNITS: [(&str, u64); 6] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("m", 1 << 20),
];

impl FromText for Memory {
    /// Parses `auto`, `low`, or a size such as `6 GiB`, `6G` or `800MiB`.
    fn from_text(field: &str, text: &str) -> Result<Self> {
        let lower = text.trim().to_lowercase();
        match lower.as_str() {
            "auto" => return Ok(Self::Auto),
            "low" => return Ok(Self::Low),
            _ => {}
        }
        let size = UNITS.iter().find_map(|(unit, bytes)| {
            let number = lower.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
            Some(number * *bytes as f64)
        });
        match size {
            Some(bytes) if (1.0..1e15).contains(&bytes) => Ok(Self::Limit(bytes as u64)),
            _ => Err(Error::expected(
                field,
                "`auto`, `low` or a size such as `6 GiB`",
                text,
            )),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Low => f.write_str("low"),
            Self::Limit(bytes) => write!(f, "{:.2} GiB", *bytes as f64 / f64::from(1 << 30)),
        }
    }
}

/// Calls of the network from one computation of the deep features to the next (Ma et al.,
/// "DeepCache", 2023); written `deep:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeepCache(pub usize);

/// Default interval of DeepCache.
const CACHE_EVERY: usize = 3;

impl FromText for DeepCache {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        let every = match text.split_once(':') {
            None if text == "deep" => Some(CACHE_EVERY),
            Some(("deep", n)) => n.parse().ok().filter(|n| (2..=100).contains(n)),
            _ => None,
        };
        let expected = "`deep` or `deep:N` with N from 2 to 100, such as `deep:3`";
        every
            .map(Self)
            .ok_or_else(|| Error::expected(field, expected, text))
    }
}

impl fmt::Display for DeepCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deep:{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn minus_one_is_random_and_other_numbers_below_0_are_refused() {
        for (text, seed) in [
            ("-1", Seed::Random),
            ("0", 0.into()),
            ("18446744073709551615", u64::MAX.into()),
        ] {
            assert_eq!(text.parse(), Ok(seed));
            let written: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_value::<Seed>(written.clone()).unwrap(),
                seed
            );
            assert_eq!(serde_json::to_value(seed).unwrap(), written);
            let params: super::super::Params = toml::from_str(&format!("seed = {text}")).unwrap();
            assert_eq!(params.seed, Some(seed));
        }
        for text in ["-2", "1.5", "x", "", "18446744073709551616"] {
            assert!(
                text.parse::<Seed>()
                    .unwrap_err()
                    .contains("-1 for a random one"),
                "{text}"
            );
        }
        for wrong in [json!(-2), json!(1.5), json!("7"), json!(true)] {
            let error = serde_json::from_value::<Seed>(wrong)
                .unwrap_err()
                .to_string();
            assert!(error.contains("-1 for a random one"), "{error}");
        }
    }

    #[test]
    fn an_interval_parses_prints_and_chooses_calls() {
        let middle = Interval::from_text("cfg_interval", "0.25..0.75").unwrap();
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
            Interval::from_text("cfg_interval", "..").unwrap(),
            Interval::default()
        );
        assert!((0..9).all(|i| Interval::default().contains(i, 9)));
    }

    #[test]
    fn a_wrong_interval_is_named() {
        for text in ["", "0.5", "0.8..0.2", "-0.1..1", "0..2", "a..b", "NaN..1"] {
            let error = Interval::from_text("cfg_interval", text).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("cfg_interval: expected `A..B`"),
                "{error}"
            );
        }
    }

    #[test]
    fn sizes_have_units() {
        let bytes = |text: &str| Memory::from_text("memory", text).ok();
        assert_eq!(bytes("low"), Some(Memory::Low));
        for text in ["6 GiB", "6gib", "6G", "6144 MiB"] {
            assert_eq!(bytes(text), Some(Memory::Limit(6 << 30)), "{text}");
        }
        assert_eq!(bytes("1.5 GB"), Some(Memory::Limit(1_500_000_000)));
        for text in [
            "", "6", "GiB", "-1 GiB", "nan GiB", "inf G", "1e30 GiB", "much",
        ] {
            assert!(bytes(text).is_none(), "{text}");
        }
    }
}
