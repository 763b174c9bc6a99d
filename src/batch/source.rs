//! A parsed batch file: drafts of jobs, before matrices are expanded. The file extension decides
//! the format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::{Diagnostic, Fields, Place};
use super::matrix::Axis;
use super::{lines, table, toml_file};
use crate::error::{Error, Kind, Result};
use crate::named_enum::named_enum;

named_enum! {
    /// Format of a batch file.
    pub enum Form("form of batch") {
        /// Tables of jobs.
        Toml = "toml",
        /// One prompt per line, with flags.
        Txt = "txt",
        /// A header with field names, then one job per line.
        Csv = "csv",
        /// One JSON object per line.
        Jsonl = "jsonl",
    }
}

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
    pub faults: Vec<Diagnostic>,
}

impl Form {
    /// The form of the file `path`; a name without a known extension is a list of prompts.
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("toml") => Self::Toml,
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Txt,
        }
    }
}

impl Source {
    /// Reads the batch file `path`.
    ///
    /// # Errors
    /// The file cannot be read. What is wrong inside is among the faults.
    pub fn read(path: &Path, form: Form) -> Result<Self> {
        Ok(Self::parse(&text(path)?, path, form))
    }

    /// Parses a batch; `path` is its name in messages, and files that the batch names are relative
    /// to the folder of `path`.
    pub fn parse(text: &str, path: &Path, form: Form) -> Self {
        let file: Arc<str> = path.display().to_string().into();
        let mut source = Self::default();
        match form {
            Form::Toml => toml_file::read(text, path, &mut source),
            Form::Txt => lines::read(text, &file, &mut source),
            Form::Csv => table::read_csv(text, &file, &mut source),
            Form::Jsonl => table::read_jsonl(text, &file, &mut source),
        }
        let folder = folder_of(path);
        if form != Form::Toml {
            source
                .drafts
                .iter_mut()
                .for_each(|draft| draft.folder.clone_from(&folder));
        }
        source
    }
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

/// The folder that holds `path`.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// A batch file as text.
pub(super) fn text(path: &Path) -> Result<String> {
    crate::text::read(path).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("cannot read the batch `{}`", path.display()),
        )
        .source(e)
    })
}
