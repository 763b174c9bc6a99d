//! Presets: sampling settings of distilled models, for files that look like the model they were
//! distilled from.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::schedulers::{Sampler, Schedule, Spacing};

/// One table of presets.toml.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The name.
    pub name: String,
    /// One phrase for people.
    pub about: String,
    /// Native side length in pixels, where it is not that of the model it was distilled from.
    pub size: Option<u32>,
    /// Number of steps.
    pub steps: usize,
    /// Guidance.
    pub cfg_scale: f64,
    /// Sampler.
    pub sampler: Sampler,
    /// Schedule, where it is not the model's.
    pub schedule: Option<Schedule>,
    /// Timestep spacing, where it is not the model's.
    pub timestep_spacing: Option<Spacing>,
}

#[derive(Deserialize)]
struct Table {
    preset: Vec<Preset>,
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    // Invariant: the file is compiled in and a test parses it.
    toml::from_str::<Table>(include_str!("presets.toml"))
        .map(|table| table.preset)
        .unwrap_or_default()
});

/// Every preset.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

impl Preset {
    /// The preset of this name.
    ///
    /// # Errors
    /// An unknown name, with the closest known one as a hint.
    pub fn parse(name: &str) -> Result<&'static Self> {
        let names = || presets().iter().map(|preset| preset.name.as_str());
        let found = presets().iter().find(|preset| preset.name == name);
        found.ok_or_else(|| Error::unknown("preset", "preset", name, names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_unknown_ones_are_refused() {
        let table: Table = toml::from_str(include_str!("presets.toml")).unwrap();
        assert_eq!(table.preset.len(), presets().len());
        assert_eq!(Preset::parse("lightning").unwrap().steps, 4);
        let error = Preset::parse("lightening").unwrap_err();
        assert!(error.hints()[0].contains("`lightning`"), "{error:?}");
    }
}
