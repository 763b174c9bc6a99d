//! Ownership of output file names: those of this batch's jobs, those of other batches in the
//! folder, and the path of each image that is still to be generated.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::manifest_line::{Line, State};
use super::plan::Planned;
use crate::error::{Error, Kind, Result};
use crate::output::atomic_file::numbered;

/// Output file names that are in use.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Files of this batch: key → name and file of each job, the oldest first.
    own: HashMap<String, Vec<(String, PathBuf)>>,
    /// Every file in `own`.
    files: HashSet<PathBuf>,
    /// Files of other batches.
    others: HashSet<PathBuf>,
}

/// A file name that another job owns, and the name used instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The name that the job asked for.
    pub wanted: PathBuf,
    /// The next free name.
    pub taken: PathBuf,
}

/// Check of an earlier image by key and path: true if its file is still as it was written; `None`
/// if the image was never finished.
type Unchanged<'a> = &'a dyn Fn(&(String, PathBuf)) -> Option<bool>;

impl Claims {
    /// Records a manifest line of this batch.
    pub(super) fn own(&mut self, line: &Line) {
        self.files.insert(line.file.clone());
        let known = self.own.entry(line.key.clone()).or_default();
        if !known.iter().any(|(_, file)| *file == line.file) {
            known.push((line.job.clone(), line.file.clone()));
        }
    }

    /// Records a manifest line of another batch.
    pub(super) fn of_others(&mut self, line: &Line) {
        match line.state {
            State::Failed { .. } => drop(self.others.remove(&line.file)),
            State::Planned | State::Done { .. } => drop(self.others.insert(line.file.clone())),
        }
    }

    /// Assigns a path to each of `planned` ([`super::Manifest::settle`]).
    pub(super) fn settle(
        &self,
        planned: &mut [Planned],
        restart: bool,
        unchanged: Unchanged<'_>,
    ) -> Result<Vec<Moved>> {
        let mut taken = HashSet::new();
        let mut open: Vec<&mut Planned> = Vec::new();
        // Jobs with a path from an earlier run come first, so that no other job takes it.
        for planned in planned.iter_mut() {
            let may_replace = restart || planned.job.params.overwrite == Some(true);
            match self.earlier_path(planned, &taken, may_replace, unchanged) {
                Some((path, finished)) => {
                    taken.insert(path.clone());
                    (planned.path, planned.finished, planned.replaces) = (path, finished, true);
                }
                None => open.push(planned),
            }
        }
        let mut moved = Vec::new();
        let wanted: HashSet<PathBuf> = open.iter().map(|planned| planned.path.clone()).collect();
        for planned in open {
            let overwrite = planned.job.params.overwrite == Some(true);
            let own = self.files.contains(&planned.path);
            if taken.contains(&planned.path)
                || self.is_of_another(&planned.path, overwrite, restart)
            {
                let free = self.next_free(&planned.path, |path| {
                    taken.contains(path) || wanted.contains(path)
                });
                moved.push(Moved {
                    wanted: std::mem::replace(&mut planned.path, free.clone()),
                    taken: free,
                });
            } else if planned.path.exists() {
                if !own && !overwrite {
                    return Err(unknown_file_error(&planned.path));
                }
                planned.replaces = true;
            }
            taken.insert(planned.path.clone());
        }
        Ok(moved)
    }

    /// Path of an image since an earlier run, written or planned, and whether it is finished. An
    /// image that the user has changed since is left alone, unless `may_replace`.
    fn earlier_path(
        &self,
        planned: &Planned,
        taken: &HashSet<PathBuf>,
        may_replace: bool,
        unchanged: Unchanged<'_>,
    ) -> Option<(PathBuf, bool)> {
        let known = self.own.get(&planned.key)?;
        let its = known.iter().filter(|(name, file)| {
            let called = *name == planned.job.name || planned.job.numbered;
            called && is_named(file, &planned.path_as(name)) && !taken.contains(file)
        });
        // The name that the job would have now comes first.
        let (same, others): (Vec<_>, Vec<_>) = its.partition(|(_, file)| *file == planned.path);
        same.into_iter().chain(others).find_map(|(_, file)| {
            let state = unchanged(&(planned.key.clone(), file.clone()));
            let is_ours = state != Some(false) || may_replace || !is_picture(file);
            is_ours.then(|| (file.clone(), state == Some(true)))
        })
    }

    /// Returns true if the path belongs to an image of another job.
    fn is_of_another(&self, path: &Path, overwrite: bool, restart: bool) -> bool {
        let own = self.files.contains(path) && path.exists() && !restart && is_picture(path);
        (own || self.others.contains(path)) && !overwrite
    }

    fn next_free(&self, path: &Path, taken: impl Fn(&PathBuf) -> bool) -> PathBuf {
        let free = |path: &PathBuf| {
            !taken(path)
                && !self.files.contains(path)
                && !self.others.contains(path)
                && !path.exists()
        };
        // Invariant: there are infinitely many names, and finitely many files.
        (1..)
            .map(|n| numbered(path, n))
            .find(free)
            .unwrap_or_default()
    }
}

/// Returns true if the file has this name, or this name with a number (`-1`, `-2` ...).
fn is_named(file: &Path, name: &Path) -> bool {
    if file == name {
        return true;
    }
    let stem = |path: &Path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let (Some(own), Some(stem)) = (stem(file), stem(name)) else {
        return false;
    };
    let number = own
        .strip_prefix(&stem)
        .and_then(|rest| rest.strip_prefix('-'));
    file.parent() == name.parent()
        && number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns true if the file can be decoded as an image to its end.
fn is_picture(path: &Path) -> bool {
    image::open(path).is_ok()
}

fn unknown_file_error(path: &Path) -> Error {
    let message = format!(
        "`{}` is there already, and not of this batch",
        path.display()
    );
    Error::new(Kind::Output, message)
        .hint("move it away, choose another `dir` in `[output]`, or replace it with `--overwrite`")
}
