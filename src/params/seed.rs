//! The seed parameter: a number, or -1 for a random seed.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

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
}
