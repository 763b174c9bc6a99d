//! Memory limit of a run, and tiled decoding.

use std::fmt;

use crate::error::{Error, Result};
use crate::named_enum::named_enum;

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

impl Memory {
    /// Reads `auto`, `low`, or a size such as `6 GiB`, `6G` or `800MiB`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self> {
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
                "memory",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let bytes = |text: &str| Memory::parse(text).ok();
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
