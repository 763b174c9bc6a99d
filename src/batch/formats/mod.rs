//! Formats of batch files: TOML, lines of prompts, CSV and JSONL. The file extension decides.

mod table;
mod text;
mod toml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::draft::Source;
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
    /// The file cannot be read. What is wrong inside is among the diagnostics.
    pub fn read(path: &Path, form: Form) -> Result<Self> {
        Ok(Self::parse(&read_text(path)?, path, form))
    }

    /// Parses a batch; `path` is its name in messages, and files that the batch names are relative
    /// to the folder of `path`.
    pub fn parse(text: &str, path: &Path, form: Form) -> Self {
        let file: Arc<str> = path.display().to_string().into();
        let mut source = Self::default();
        match form {
            Form::Toml => toml::read(text, path, &mut source),
            Form::Txt => text::read(text, &file, &mut source),
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

/// The folder that holds `path`.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// A batch file as text.
fn read_text(path: &Path) -> Result<String> {
    crate::text::read(path).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("cannot read the batch `{}`", path.display()),
        )
        .source(e)
    })
}
