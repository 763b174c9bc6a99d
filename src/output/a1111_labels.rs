//! A1111's names for samplers and schedules, and its rules for reading them: aliases in any case, a
//! schedule behind the sampler's name, and the schedule that a sampler has where none is named. One
//! reader for pictures and for the server.

use crate::error::{Error, Result};
use crate::named_enum::Named;
use crate::schedulers::{SAMPLERS, SamplerSpec, Schedule};

/// The word for the schedule that the sampler has by itself.
pub const AUTOMATIC: &str = "Automatic";

/// Sampler and schedule that A1111's labels stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Name of the sampler in sdgen.
    pub sampler: &'static str,
    /// Name of the schedule in sdgen.
    pub schedule: &'static str,
    /// True if a schedule was named that the sampler ignores.
    pub unheard: bool,
    /// True if the sampler adds noise, scaled by `eta` and `s_noise` in A1111.
    pub draws: bool,
}

/// Meaning of the schedule `Automatic`, and of a missing schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic {
    /// The sampler's own, as in A1111 since 1.9.
    Own,
    /// The plain one, as in A1111 before 1.9, and in programs that only use the same text format.
    Plain,
}

impl Automatic {
    /// The rule of the program that a text's `Version` names (`v1.6.0`,
    /// `f2.0.1v1.10.1-previous-664`).
    pub fn of(version: Option<&str>) -> Self {
        let Some(version) = version else {
            return Self::Own;
        };
        let is_number = |at: &usize| version[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let number = version
            .rmatch_indices('v')
            .map(|(at, _)| at)
            .find(is_number);
        let numbers = number.map_or(version, |at| &version[at + 1..]);
        let mut numbers = numbers
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(1)), Some(Ok(minor))) if minor < 9 => Self::Plain,
            (Some(Ok(1..)), _) => Self::Own,
            _ => Self::Plain,
        }
    }
}

/// Reads both labels as A1111 does. `fields` names them in errors.
///
/// # Errors
/// An unknown sampler or schedule, with the closest label as a hint.
pub fn sampling(
    fields: [&str; 2],
    label: &str,
    schedule: Option<&str>,
    rule: Automatic,
) -> Result<Sampling> {
    let (row, suffix) = split(label).ok_or_else(|| unknown_sampler(fields[0], label))?;
    let named_schedule = match schedule {
        Some(text) => schedule_of(fields[1], text)?,
        None => None,
    };
    let named = suffix.or(named_schedule);
    let automatic = if rule == Automatic::Own {
        row.a1111.automatic
    } else {
        Schedule::Normal
    };
    let has_schedules = !row.a1111.own_timesteps && row.grid.respaces();
    let schedule = if has_schedules {
        named.unwrap_or(automatic)
    } else {
        Schedule::Normal
    };
    Ok(Sampling {
        sampler: row.name,
        schedule: schedule.name(),
        unheard: !has_schedules && named.is_some_and(|name| name != Schedule::Normal),
        draws: row.a1111.adds_noise,
    })
}

/// The schedule of this label; nothing for `Automatic`.
///
/// # Errors
/// An unknown schedule.
pub fn schedule_of(field: &str, label: &str) -> Result<Option<Schedule>> {
    if label.eq_ignore_ascii_case(AUTOMATIC) {
        return Ok(None);
    }
    let known = || std::iter::once(AUTOMATIC).chain(schedules_by_name().map(|row| row.a1111().0));
    schedule(label)
        .map(Some)
        .ok_or_else(|| Error::unknown(field, "schedule", label, known()))
}

/// The samplers in the order of their names.
fn samplers_by_name() -> Vec<&'static SamplerSpec> {
    let mut rows = SAMPLERS.to_vec();
    rows.sort_by_key(|row| row.name);
    rows
}

/// The schedules in the order of their names.
fn schedules_by_name() -> impl Iterator<Item = Schedule> {
    let mut rows = Schedule::ALL.to_vec();
    rows.sort_by_key(|row| row.1);
    rows.into_iter().map(|row| row.0)
}

/// The sampler's row, and the schedule that follows its name in the label.
fn split(label: &str) -> Option<(&'static SamplerSpec, Option<Schedule>)> {
    if let Some(row) = row(label) {
        return Some((row, None));
    }
    // The schedule's name may have blanks of its own.
    label.match_indices([' ', '_']).find_map(|(at, _)| {
        let (stem, suffix) = (&label[..at], &label[at + 1..]);
        let row = row(stem)?;
        let named = if suffix.eq_ignore_ascii_case(AUTOMATIC) {
            row.a1111.automatic
        } else {
            schedule(suffix)?
        };
        Some((row, Some(named)))
    })
}

fn row(label: &str) -> Option<&'static SamplerSpec> {
    let same = |name: &str| name.eq_ignore_ascii_case(label);
    SAMPLERS.iter().copied().find(|row| {
        same(row.a1111.label) || same(row.name) || row.a1111.aliases.iter().any(|name| same(name))
    })
}

fn schedule(label: &str) -> Option<Schedule> {
    let same = |name: &str| name.eq_ignore_ascii_case(label);
    schedules_by_name().find(|schedule| {
        let (name, aliases) = schedule.a1111();
        same(schedule.name()) || same(name) || aliases.iter().any(|name| same(name))
    })
}

fn unknown_sampler(field: &str, label: &str) -> Error {
    let known = samplers_by_name();
    Error::unknown(
        field,
        "sampler",
        label,
        known.iter().map(|row| row.a1111.label),
    )
}

/// A1111's labels of this sampler and this schedule.
pub fn labels(sampler: &SamplerSpec, schedule: Schedule) -> (&'static str, &'static str) {
    let plain = sampler.a1111.automatic == Schedule::Normal;
    let schedule = if plain && schedule == Schedule::Normal {
        AUTOMATIC
    } else {
        schedule.a1111().0
    };
    (sampler.a1111.label, schedule)
}

/// A1111's label of a sampler of sdgen.
pub fn label_of(sampler: &str) -> Option<&'static str> {
    let found = SAMPLERS.iter().find(|row| row.name == sampler);
    found.map(|row| row.a1111.label)
}

/// Every sampler: label, and its other names.
pub fn samplers() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    samplers_by_name().into_iter().map(|row| {
        let names = std::iter::once(row.name).chain(row.a1111.aliases.iter().copied());
        (row.a1111.label, names.collect())
    })
}

/// The schedule that a sampler has by itself, by the sampler's label; nothing for the plain one.
pub fn own_schedule(label: &str) -> Option<&'static str> {
    let automatic = row(label)?.a1111.automatic;
    (automatic != Schedule::Normal).then_some(automatic.name())
}

/// Every schedule: name, label, and other names.
pub fn schedules() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    let automatic = ("automatic", AUTOMATIC, &[][..]);
    std::iter::once(automatic).chain(schedules_by_name().map(|schedule| {
        let name = if schedule == Schedule::Normal {
            "uniform"
        } else if schedule == Schedule::Ays {
            "align_your_steps"
        } else {
            schedule.name()
        };
        let (label, aliases) = schedule.a1111();
        (name, label, aliases)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> &'static SamplerSpec {
        SAMPLERS.iter().find(|row| row.name == name).unwrap()
    }

    fn read(label: &str, schedule: Option<&str>) -> Option<(&'static str, &'static str)> {
        let read = sampling(["sampler", "schedule"], label, schedule, Automatic::Own).ok()?;
        Some((read.sampler, read.schedule))
    }

    #[test]
    fn labels_are_read_in_any_case_with_the_schedule_behind_or_beside_them() {
        for (label, schedule, expected) in [
            ("Euler A", None, ("euler_a", "normal")),
            ("dpm++ 2m karras", None, ("dpmpp_2m", "karras")),
            (
                "DPM++ 2M SDE Exponential",
                Some("Karras"),
                ("dpmpp_2m_sde", "exponential"),
            ),
            ("DPM++ 2M Align Your Steps", None, ("dpmpp_2m", "ays")),
            (
                "k_euler_ancestral",
                Some("sgm_uniform"),
                ("euler_a", "sgm_uniform"),
            ),
            ("dpmpp_2m_sde_karras", None, ("dpmpp_2m_sde", "karras")),
            ("Heun", Some("SGMUniform"), ("heun", "sgm_uniform")),
            ("LMS", Some("Polyexponential"), ("lms", "exponential")),
            ("euler_a discrete", None, ("euler_a", "normal")),
            ("DPM++ 2M", Some("NORMAL"), ("dpmpp_2m", "normal")),
        ] {
            assert_eq!(
                read(label, schedule),
                Some(expected),
                "{label} {schedule:?}"
            );
        }
    }

    #[test]
    fn no_label_is_taken_for_a_neighbours() {
        let strange = [
            "Euler Max",
            "Euler a2",
            "DPM++ 2M alt Karras",
            "DPM++ 2M SDE Heun",
            "DDIM CFG++",
            "DPM fast",
            "",
        ];
        for label in strange {
            assert_eq!(read(label, None), None, "{label}");
        }
        for schedule in ["KL Optimal", "DDIM", "Turbo", "Align Your Steps GITS"] {
            let error =
                sampling(["a", "scheduler"], "Euler", Some(schedule), Automatic::Own).unwrap_err();
            assert_eq!(error.field_name(), Some("scheduler"), "{schedule}");
        }
    }

    #[test]
    fn automatic_is_the_samplers_own_schedule_since_1_9() {
        for (label, own) in [
            ("DPM++ 2M", "karras"),
            ("DPM++ 2S a", "karras"),
            ("DPM++ SDE", "karras"),
            ("DPM2", "karras"),
            ("DPM2 a", "karras"),
            ("DPM++ 2M SDE", "exponential"),
            ("DPM++ 3M SDE", "exponential"),
            ("Euler", "normal"),
            ("UniPC", "normal"),
        ] {
            for schedule in [None, Some("Automatic"), Some("automatic")] {
                assert_eq!(
                    read(label, schedule).map(|read| read.1),
                    Some(own),
                    "{label} {schedule:?}"
                );
            }
            assert_eq!(
                read(label, Some("Uniform")).map(|read| read.1),
                Some("normal"),
                "{label}"
            );
        }
        for (version, rule) in [
            (None, Automatic::Own),
            (Some("v1.10.1"), Automatic::Own),
            (Some("v1.9.0-RC"), Automatic::Own),
            (Some("f2.0.1v1.10.1-previous-664-gd557aef9"), Automatic::Own),
            (Some("v1.6.0-2-g4afaaf8a"), Automatic::Plain),
            (Some("f0.0.17v1.8.0rc-latest"), Automatic::Plain),
            (Some("stable-diffusion.cpp"), Automatic::Plain),
            (Some("ComfyUI"), Automatic::Plain),
        ] {
            assert_eq!(Automatic::of(version), rule, "{version:?}");
        }
    }

    #[test]
    fn samplers_with_timesteps_of_their_own_do_not_hear_of_schedules() {
        for (label, schedule, unheard) in [
            ("DDIM", "Karras", true),
            ("PLMS", "Automatic", false),
            ("UniPC", "Exponential", true),
            ("DDIM", "Uniform", false),
        ] {
            let read = sampling(["a", "b"], label, Some(schedule), Automatic::Own).unwrap();
            assert_eq!(
                (read.schedule, read.unheard),
                ("normal", unheard),
                "{label} {schedule}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for row in SAMPLERS {
            for &(schedule, name) in Schedule::ALL {
                let (label, named_schedule) = labels(row, schedule);
                let read =
                    sampling(["a", "b"], label, Some(named_schedule), Automatic::Own).unwrap();
                assert_eq!(read.sampler, row.name);
                assert!(
                    read.unheard || read.schedule == name || !row.grid.respaces(),
                    "{label} {named_schedule}"
                );
            }
        }
        assert_eq!(
            labels(spec("dpmpp_2m"), Schedule::Normal),
            ("DPM++ 2M", "Uniform")
        );
        assert_eq!(
            labels(spec("euler"), Schedule::Normal),
            ("Euler", "Automatic")
        );
        assert_eq!(labels(spec("dpmpp_2m"), Schedule::Karras).1, "Karras");
    }
}
