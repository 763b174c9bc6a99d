//! A parsed batch file: drafts of jobs, before matrices are expanded.

use std::path::PathBuf;

use super::fields::{Diagnostic, Fields, Place};
use super::matrix::Axis;
use crate::named_enum::named_enum;

named_enum! {
    /// Treatment of alternatives in prompts.
    pub enum Choices("way to choose") {
        /// The seed chooses one.
        Seed = "seed",
        /// Each becomes a job.
        Expand = "expand",
    }
}

/// A job, or a matrix of them, as it was written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name of the job, if it has one.
    pub name: Option<String>,
    /// Fields of the job.
    pub fields: Fields,
    /// Axes of the matrix.
    pub axes: Vec<Axis>,
    /// Treatment of alternatives in prompts.
    pub choices: Choices,
    /// Folder of the wildcard files.
    pub folder: PathBuf,
    /// Position in the batch file.
    pub place: Place,
}

/// Destination of the images, as the batch file gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The folder, relative to the current one.
    pub dir: Option<String>,
    /// Template of file names.
    pub template: Option<String>,
}

/// A batch file, read.
#[derive(Debug, Default)]
pub struct Source {
    /// Jobs in the order of the file.
    pub drafts: Vec<Draft>,
    /// Destination of the images.
    pub output: Output,
    /// Every error in the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl Draft {
    /// A job without a matrix.
    pub(super) fn plain(name: Option<String>, fields: Fields, place: Place) -> Self {
        Self {
            name,
            fields,
            axes: Vec::new(),
            choices: Choices::Seed,
            folder: PathBuf::new(),
            place,
        }
    }
}
