//! A sampler as data: its row, the defaults of diffusers' class, and the name by which it is
//! parsed, shown and stored.

use std::fmt;

use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::{Algorithm, Config, Schedule, Spacing};
use super::schedule::{Grid, Level, SigmaSchedule};
use super::{SAMPLERS, SchedulerFile, Solver};
use crate::error::{Error, Kind, Result};
use crate::named_enum::Named;

/// A sampler as data.
pub struct SamplerSpec {
    /// The name that users type.
    pub name: &'static str,
    /// One phrase for help.
    pub about: &'static str,
    /// diffusers' class of the same arithmetic, where there is one.
    pub class: Option<&'static str>,
    /// diffusers' class of the same arithmetic for networks with EDM preconditioning, where there
    /// is one.
    pub edm: Option<&'static str>,
    /// `algorithm_type` and `solver_order` of this sampler, where that class holds several.
    pub variant: Option<(Algorithm, usize)>,
    /// Family of its timestep grid.
    pub grid: Grid,
    /// Values that diffusers' class assumes for keys missing from a scheduler_config.json.
    pub defaults: Defaults,
    /// Calls of the network in a step, but for the last one: 1 or 2.
    pub order: usize,
    /// The order of its calls, where that is not one call for each level of the grid.
    pub visits: Option<EvalOrder>,
    /// A fresh solver for one run.
    pub solver: fn(&Config, &SigmaSchedule) -> Box<dyn Solver>,
}

/// The calls of a run, from its falling grid and σ of every training timestep.
pub type EvalOrder = fn(&Config, &[Level], &[f64]) -> Result<Vec<Level>>;

/// A class's own values for missing keys.
pub struct Defaults {
    /// `timestep_spacing`.
    pub spacing: Spacing,
    /// `set_alpha_to_one`.
    pub set_alpha_to_one: bool,
    /// `clip_sample`.
    pub clip_sample: bool,
    /// `lower_order_final`.
    pub lower_order_final: bool,
    /// `final_sigmas_type` is `sigma_min`.
    pub final_sigma_min: bool,
    /// A `final_sigmas_type` of `sigma_min` is the last level once more where levels are respaced.
    pub repeats_last: bool,
    /// `beta_start` and `beta_end`.
    pub betas: [f64; 2],
    /// `beta_schedule` is `scaled_linear`, not `linear`.
    pub scaled_betas: bool,
    /// Noise added at each step, as a request would give it.
    pub eta: f64,
    /// True if a request's `eta` sets that noise.
    pub takes_eta: bool,
    /// Keys that the class does not read.
    pub lacks: &'static [Key],
}

/// A key of scheduler_config.json that some classes do not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `timestep_spacing`.
    Spacing,
    /// `use_karras_sigmas` and the similar switches of other schedules.
    Respacing,
    /// `final_sigmas_type`.
    FinalSigma,
    /// `clip_sample`.
    ClipSample,
    /// `rescale_betas_zero_snr`.
    ZeroSnr,
    /// `set_alpha_to_one`.
    SetAlphaToOne,
    /// `sigma_min` and `sigma_max`, where the levels are spaced as Karras et al. have them.
    KarrasEnds,
}

/// Defaults of the classes over sigmas.
pub(super) const SIGMA_DEFAULTS: Defaults = Defaults {
    spacing: Spacing::Linspace,
    set_alpha_to_one: true,
    clip_sample: false,
    lower_order_final: true,
    final_sigma_min: false,
    repeats_last: false,
    betas: [0.0001, 0.02],
    scaled_betas: false,
    eta: 0.0,
    takes_eta: false,
    lacks: &[Key::ClipSample],
};

/// `beta_start` and `beta_end` of Stable Diffusion, which some classes assume.
pub(super) const SD_BETAS: [f64; 2] = [0.00085, 0.012];

/// Defaults of the classes over whole timesteps.
pub(super) const DISCRETE_DEFAULTS: Defaults = Defaults {
    spacing: Spacing::Leading,
    lacks: &[],
    ..SIGMA_DEFAULTS
};

/// One row of [`SAMPLERS`].
#[derive(Clone, Copy)]
pub struct Sampler(&'static SamplerSpec);

/// The first row, for uses in which the sampler does not matter.
impl Default for Sampler {
    fn default() -> Self {
        Self(SAMPLERS[0])
    }
}

impl Sampler {
    /// The sampler's data.
    pub fn row(self) -> &'static SamplerSpec {
        self.0
    }

    /// The sampler of this name.
    ///
    /// # Errors
    /// An unknown name, with the closest known one as a hint.
    pub fn parse(field: &str, name: &str) -> Result<Self> {
        SAMPLERS
            .iter()
            .find(|row| row.name == name)
            .map(|row| Self(row))
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
            .map(|row| Self(row))
            .ok_or_else(|| {
                Error::new(
                    Kind::ModelFile,
                    format!("scheduler_config.json: sdgen has no sampler for class `{class}`"),
                )
                .hint("choose one with `--sampler`")
            })
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Sampler {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Serialize for Sampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
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
