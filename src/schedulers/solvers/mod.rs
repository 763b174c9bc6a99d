//! Samplers: the table and their formulas. A sampler is a formula over (x, x₀, σ), independent of
//! models, prompts and guidance.
//!
//! Adding a sampler: one file with a `SPEC` and a `Solver`, its `mod` line and its line in
//! `SAMPLERS`.

mod ddim;
mod ddpm;
mod deis;
mod dpm2;
mod dpm2_a;
mod dpm_solver;
mod dpmpp_2s_a;
mod dpmpp_multistep;
mod dpmpp_sde;
mod dpmpp_singlestep;
mod euler;
mod euler_a;
mod heun;
mod ipndm;
mod lcm;
mod lms;
mod pndm;
mod tcd;
mod unipc;

use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::{Deserialize, Deserializer};

use super::scheduler_file::SchedulerFile;
use super::types::{Algorithm, Sampler, SamplerSpec, Schedule, Spacing};
use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;

/// Every sampler, in the order that help shows them.
pub static SAMPLERS: &[&SamplerSpec] = &[
    &ddpm::SPEC,
    &ddim::SPEC,
    &pndm::SPEC,
    &ipndm::SPEC,
    &lms::SPEC,
    &euler::SPEC,
    &euler_a::SPEC,
    &heun::SPEC,
    &dpm2::SPEC,
    &dpm2_a::SPEC,
    &dpmpp_2s_a::SPEC,
    &dpmpp_sde::SPEC,
    &dpmpp_multistep::SECOND,
    &dpmpp_multistep::SECOND_SDE,
    &dpmpp_multistep::THIRD,
    &dpmpp_multistep::THIRD_SDE,
    &dpmpp_singlestep::SPEC,
    &unipc::SPEC,
    &deis::SPEC,
    &lcm::SPEC,
    &tcd::SPEC,
];

/// The first row, for uses in which the sampler does not matter.
impl Default for Sampler {
    fn default() -> Self {
        Self::of(SAMPLERS[0])
    }
}

impl Sampler {
    /// The sampler of this name.
    ///
    /// # Errors
    /// An unknown name, with the closest known one as a hint.
    pub fn parse(field: &str, name: &str) -> Result<Self> {
        SAMPLERS
            .iter()
            .find(|row| row.name == name)
            .map(|row| Self::of(row))
            .ok_or_else(|| {
                Error::unknown(field, "sampler", name, SAMPLERS.iter().map(|row| row.name))
            })
    }

    /// The sampler that a scheduler_config.json names by its class.
    pub(crate) fn of_file(file: &SchedulerFile) -> Result<Self> {
        let class = file.class();
        let (algorithm, order) = file.variant(true)?;
        // A variant without a row of its own runs on the row that adds noise or not as it does, and
        // whose order is 3 or lower as its own is.
        let near = |variant: (Algorithm, usize)| {
            (variant.0.adds_noise(), variant.1 == 3) == (algorithm.adds_noise(), order == 3)
        };
        SAMPLERS
            .iter()
            .find(|row| [row.class, row.edm].contains(&Some(class)) && row.variant.is_none_or(near))
            .map(|row| Self::of(row))
            .ok_or_else(|| {
                Error::new(
                    Kind::ModelFile,
                    format!("scheduler_config.json: sdgen has no sampler for class `{class}`"),
                )
                .hint("choose one with `--sampler`")
            })
    }
}

impl<'de> Deserialize<'de> for Sampler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse("sampler", &name).map_err(serde::de::Error::custom)
    }
}

/// Sampler names for the command line's help, completion and typo check.
pub fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        SAMPLERS
            .iter()
            .map(|row| PossibleValue::new(row.name).help(row.about)),
    )
}

/// Schedule names, for the same uses as [`names`].
pub fn schedule_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Schedule::ALL.iter().map(|row| row.1))
}

/// Spacing names, for the same uses as [`names`].
pub fn spacing_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Spacing::ALL.iter().map(|row| row.1))
}
