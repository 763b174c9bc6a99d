//! A1111's names for samplers and schedules, and its rules for reading them: aliases in any case, a
//! schedule behind the sampler's name, and the schedule that a sampler has where none is named. One
//! reader for pictures and for the server.

use crate::error::{Error, Result};
use crate::schedulers::{SAMPLERS, Schedule};

/// A sampler under its name in A1111.
struct Label {
    /// Name in sdgen.
    ours: &'static str,
    /// Name in A1111 and its forks; for a sampler that they lack, sdgen's name in their style.
    label: &'static str,
    /// Other names in A1111, k-diffusion, ComfyUI and stable-diffusion.cpp.
    aliases: &'static [&'static str],
    /// The schedule that `Automatic` stands for since A1111 1.9.
    automatic: &'static str,
    /// True if the sampler has timesteps of its own in A1111, whatever schedule is named.
    timesteps: bool,
    /// True if the sampler adds noise, scaled by `eta` and `s_noise` in A1111.
    draws: bool,
}

const fn label(ours: &'static str, label: &'static str, aliases: &'static [&'static str]) -> Label {
    Label {
        ours,
        label,
        aliases,
        automatic: PLAIN,
        timesteps: false,
        draws: false,
    }
}

impl Label {
    const fn automatic(self, automatic: &'static str) -> Self {
        Self { automatic, ..self }
    }

    const fn draws(self) -> Self {
        Self {
            draws: true,
            ..self
        }
    }

    const fn timesteps(self) -> Self {
        Self {
            timesteps: true,
            ..self
        }
    }
}

/// The schedule of a sampler that has none of its own: A1111's `Uniform`.
const PLAIN: &str = "normal";

const LABELS: &[Label] = &[
    label("ddim", "DDIM", &[]).timesteps(),
    label("ddpm", "DDPM", &[]),
    label("deis", "DEIS", &[]),
    label("dpm2", "DPM2", &["k_dpm_2", "dpm_2"]).automatic("karras"),
    label("dpm2_a", "DPM2 a", &["k_dpm_2_a", "dpm_2_ancestral"])
        .automatic("karras")
        .draws(),
    label("dpmpp_2m", "DPM++ 2M", &["k_dpmpp_2m", "dpm++2m"]).automatic("karras"),
    label("dpmpp_2m_sde", "DPM++ 2M SDE", &["k_dpmpp_2m_sde"])
        .automatic("exponential")
        .draws(),
    label(
        "dpmpp_2s_a",
        "DPM++ 2S a",
        &["k_dpmpp_2s_a", "dpmpp_2s_ancestral", "dpm++2s_a"],
    )
    .automatic("karras")
    .draws(),
    label("dpmpp_3m", "DPM++ 3M", &[]),
    label("dpmpp_3m_sde", "DPM++ 3M SDE", &["k_dpmpp_3m_sde"])
        .automatic("exponential")
        .draws(),
    label("dpmpp_sde", "DPM++ SDE", &["k_dpmpp_sde"])
        .automatic("karras")
        .draws(),
    label("dpmpp_singlestep", "DPM++ 2S", &[]),
    label("euler", "Euler", &["k_euler"]),
    label(
        "euler_a",
        "Euler a",
        &["k_euler_a", "k_euler_ancestral", "euler_ancestral"],
    )
    .draws(),
    label("heun", "Heun", &["k_heun"]),
    label("ipndm", "IPNDM", &[]),
    label("lcm", "LCM", &["k_lcm"]),
    label("lms", "LMS", &["k_lms"]),
    label("pndm", "PLMS", &[]).timesteps(),
    label("tcd", "TCD", &[]),
    label("unipc", "UniPC", &["uni_pc"]).timesteps(),
];

/// Schedules: ours, A1111's label, and other names of the same levels. `Polyexponential` is
/// `Exponential` unless its ρ is set to something else than 1, and `Normal` is k-diffusion's
/// `Uniform` on any model whose levels A1111 knows.
const SCHEDULES: &[(&str, &str, &[&str])] = &[
    ("ays", "Align Your Steps", &["align_your_steps"]),
    ("beta", "Beta", &[]),
    ("exponential", "Exponential", &["Polyexponential"]),
    ("karras", "Karras", &[]),
    ("lu", "Lu", &[]),
    (PLAIN, "Uniform", &["Normal", "discrete"]),
    ("sgm_uniform", "SGM Uniform", &["SGMUniform"]),
    ("simple", "Simple", &[]),
];

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
    let beside = schedule
        .map(|text| schedule_of(fields[1], text))
        .transpose()?
        .flatten();
    let named = suffix.or(beside);
    let automatic = if rule == Automatic::Own {
        row.automatic
    } else {
        PLAIN
    };
    let has_schedules = !row.timesteps && respaces(row.ours);
    Ok(Sampling {
        sampler: row.ours,
        schedule: if has_schedules {
            named.unwrap_or(automatic)
        } else {
            PLAIN
        },
        unheard: !has_schedules && named.is_some_and(|name| name != PLAIN),
        draws: row.draws,
    })
}

/// The schedule of this label; nothing for `Automatic`.
///
/// # Errors
/// An unknown schedule.
pub fn schedule_of(field: &str, label: &str) -> Result<Option<&'static str>> {
    if label.eq_ignore_ascii_case(AUTOMATIC) {
        return Ok(None);
    }
    let known = || std::iter::once(AUTOMATIC).chain(SCHEDULES.iter().map(|row| row.1));
    schedule(label)
        .map(Some)
        .ok_or_else(|| Error::unknown(field, "schedule", label, known()))
}

/// The sampler's row, and the schedule that follows its name in the label.
fn split(label: &str) -> Option<(&'static Label, Option<&'static str>)> {
    if let Some(row) = row(label) {
        return Some((row, None));
    }
    // The schedule's name may have blanks of its own.
    label.match_indices([' ', '_']).find_map(|(at, _)| {
        let (stem, suffix) = (&label[..at], &label[at + 1..]);
        let row = row(stem)?;
        let named = if suffix.eq_ignore_ascii_case(AUTOMATIC) {
            row.automatic
        } else {
            schedule(suffix)?
        };
        Some((row, Some(named)))
    })
}

fn row(label: &str) -> Option<&'static Label> {
    let same = |name: &&str| name.eq_ignore_ascii_case(label);
    LABELS
        .iter()
        .find(|row| same(&row.label) || same(&row.ours) || row.aliases.iter().any(same))
}

fn schedule(label: &str) -> Option<&'static str> {
    let same = |name: &&str| name.eq_ignore_ascii_case(label);
    let found = SCHEDULES
        .iter()
        .find(|row| same(&row.0) || same(&row.1) || row.2.iter().any(same));
    found.map(|row| row.0)
}

fn respaces(sampler: &str) -> bool {
    SAMPLERS
        .iter()
        .any(|row| row.name == sampler && row.grid.respaces())
}

fn unknown_sampler(field: &str, label: &str) -> Error {
    Error::unknown(field, "sampler", label, LABELS.iter().map(|row| row.label))
}

/// A1111's labels of this sampler and this schedule.
pub fn labels(sampler: &str, schedule: Schedule) -> (String, String) {
    let name = schedule.name();
    let row = LABELS.iter().find(|row| row.ours == sampler);
    let plain = row.is_none_or(|row| row.automatic == PLAIN);
    let schedule = match SCHEDULES.iter().find(|row| row.0 == name) {
        Some((PLAIN, ..)) if plain => AUTOMATIC,
        Some((_, label, _)) => label,
        None => name,
    };
    (
        row.map_or(sampler, |row| row.label).to_owned(),
        schedule.to_owned(),
    )
}

/// A1111's label of a sampler of sdgen.
pub fn label_of(sampler: &str) -> Option<&'static str> {
    LABELS
        .iter()
        .find(|row| row.ours == sampler)
        .map(|row| row.label)
}

/// Every sampler: label, and its other names.
pub fn samplers() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    LABELS.iter().map(|row| {
        (
            row.label,
            std::iter::once(row.ours)
                .chain(row.aliases.iter().copied())
                .collect(),
        )
    })
}

/// The schedule that a sampler has by itself, by the sampler's label; nothing for the plain one.
pub fn own_schedule(label: &str) -> Option<&'static str> {
    row(label)
        .map(|row| row.automatic)
        .filter(|name| *name != PLAIN)
}

/// Every schedule: name, label, and other names.
pub fn schedules() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    let automatic = ("automatic", AUTOMATIC, &[][..]);
    std::iter::once(automatic).chain(SCHEDULES.iter().map(|(ours, label, aliases)| {
        let name = match *ours {
            PLAIN => "uniform",
            "ays" => "align_your_steps",
            other => other,
        };
        (name, *label, *aliases)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named_enum::Named;

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
            assert!(
                LABELS.iter().any(|label| label.ours == row.name),
                "{} has no label",
                row.name
            );
            for &(schedule, name) in Schedule::ALL {
                let (label, beside) = labels(row.name, schedule);
                let read = sampling(["a", "b"], &label, Some(&beside), Automatic::Own).unwrap();
                assert_eq!(read.sampler, row.name);
                assert!(
                    read.unheard || read.schedule == name || !row.grid.respaces(),
                    "{label} {beside}"
                );
            }
        }
        assert_eq!(
            labels("dpmpp_2m", Schedule::Normal),
            ("DPM++ 2M".to_owned(), "Uniform".to_owned())
        );
        assert_eq!(
            labels("euler", Schedule::Normal),
            ("Euler".to_owned(), "Automatic".to_owned())
        );
        assert_eq!(labels("dpmpp_2m", Schedule::Karras).1, "Karras");
    }
}
