//! Shards: the part of a batch that this process generates. The keys of the jobs decide their
//! shard, so that shards are the same on every machine, disjoint and complete.

use std::fmt;

use crate::env::ArrayTask;
use crate::error::{Error, Result};

/// Shard `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Index of the shard, from 0.
    pub index: u64,
    /// Number of shards, at least 1.
    pub count: u64,
}

impl Shard {
    /// The whole batch.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Parses `I/N`, or `auto/N` if a scheduler gives the index of this task.
    ///
    /// # Errors
    /// Another form; no scheduler that gives an index.
    pub fn parse(text: &str, task: Option<&ArrayTask>) -> Result<Self> {
        let wrong = || {
            Error::expected("shard", "I/N with I from 0 to N-1", text).hint(
                "three machines share a batch with `--shard 0/3`, `--shard 1/3` and `--shard 2/3`",
            )
        };
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let index = match index {
            "auto" => task.map(|task| task.index).ok_or_else(|| {
                Error::field("shard", "no scheduler tells which task this is")
                    .hint("`auto` reads SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX")
            })?,
            number => number.parse().map_err(|_| wrong())?,
        };
        let count = count.parse().map_err(|_| wrong())?;
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(wrong())
        }
    }

    /// Shard given by the flag, else by the scheduler, else the whole batch.
    ///
    /// # Errors
    /// As [`Self::parse`]; a scheduler that gives a task's index and not the number of tasks.
    pub fn choose(flag: Option<&str>, task: Option<&ArrayTask>) -> Result<Self> {
        match (flag, task) {
            (Some(text), task) => Self::parse(text, task),
            (None, None) => Ok(Self::WHOLE),
            (
                None,
                Some(ArrayTask {
                    index,
                    count: Some(count),
                    ..
                }),
            ) if index < count => Ok(Self {
                index: *index,
                count: *count,
            }),
            (None, Some(ArrayTask { index, name, .. })) => {
                let message = format!("{name} says that this is task {index}, and not of how many");
                Err(Error::field("shard", message)
                    .hint("say it: `--shard auto/8`; or draw everything here: `--shard 0/1`"))
            }
        }
    }

    /// Returns true if the job with this key belongs to the shard.
    pub fn has(self, key: &str) -> bool {
        // A key is the hexadecimal digits of a hash.
        let number = key
            .get(..16)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.unwrap_or_default() % self.count == self.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(index: u64, count: Option<u64>) -> ArrayTask {
        ArrayTask {
            index,
            count,
            name: "SLURM_ARRAY_TASK_ID",
        }
    }

    #[test]
    fn parts_are_told_by_flag_or_scheduler() {
        assert_eq!(Shard::choose(None, None).unwrap(), Shard::WHOLE);
        assert_eq!(
            Shard::choose(Some("1/3"), Some(&task(0, Some(2))))
                .unwrap()
                .to_string(),
            "1/3"
        );
        assert_eq!(
            Shard::choose(None, Some(&task(1, Some(2))))
                .unwrap()
                .to_string(),
            "1/2"
        );
        assert_eq!(
            Shard::choose(Some("auto/8"), Some(&task(5, None)))
                .unwrap()
                .to_string(),
            "5/8"
        );
        for wrong in ["3/3", "0/0", "x", "1", "-1/2", "auto/2"] {
            assert_eq!(
                Shard::choose(Some(wrong), None).unwrap_err().field_name(),
                Some("shard"),
                "{wrong}"
            );
        }
        assert!(
            Shard::choose(None, Some(&task(5, None)))
                .unwrap_err()
                .hints()[0]
                .contains("auto/8")
        );
    }

    #[test]
    fn every_key_is_of_one_part() {
        for seed in 0..100u64 {
            let key = format!("{:016x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let parts = (0..3)
                .filter(|index| {
                    Shard {
                        index: *index,
                        count: 3,
                    }
                    .has(&key)
                })
                .count();
            assert_eq!(parts, 1);
        }
    }
}
