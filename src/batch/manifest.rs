//! Manifest of a batch: the state of each job, as lines of JSON that are only ever appended, each
//! on disk before the next job begins. An incomplete last line, left by a killed process, is
//! ignored.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::claims::{Claims, Moved};
use super::manifest_line::{Line, State, parse_lines};
use super::manifest_paths::ManifestPaths;
use super::plan::Planned;
use crate::error::{Error, Kind, Result};
use crate::hash::sha256;

/// The manifest of a batch, locked by one process.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    source: String,
    file: File,
    /// Finished images: key and file → hash.
    done: HashMap<(String, PathBuf), String>,
    /// Jobs that have a line in this file.
    known: HashSet<(String, PathBuf)>,
    /// File names of this batch and of others.
    claims: Claims,
    /// True if earlier results are ignored.
    restart: bool,
}

impl Manifest {
    /// Opens and locks the manifest of `manifest_paths`. Images that other shards have finished
    /// count too, and file names of other batches stay reserved. With `restart` all earlier results
    /// are ignored.
    ///
    /// # Errors
    /// Another process holds it; a line in its middle is damaged; the disk refuses.
    pub fn open(manifest_paths: &ManifestPaths, restart: bool) -> Result<Self> {
        let ManifestPaths {
            path,
            source,
            shards,
            others,
        } = manifest_paths;
        let failed = |e: std::io::Error| write_error(path, e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another process is drawing the batch of `{}`",
                    path.display()
                );
                return Err(Error::new(Kind::Usage, message).hint(
                    "wait for it, or share the work: `--shard 0/2` here and `--shard 1/2` there",
                ));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let (path, source) = (path.clone(), source.clone());
        let (done, known, claims) = (HashMap::new(), HashSet::new(), Claims::default());
        let mut manifest = Self {
            path,
            source,
            file,
            done,
            known,
            claims,
            restart,
        };
        let path = &manifest_paths.path;
        for other in others {
            let text = std::fs::read_to_string(other).unwrap_or_default();
            parse_lines(&text, other)?
                .0
                .iter()
                .for_each(|line| manifest.claims.of_others(line));
        }
        for shard in shards {
            let text = std::fs::read_to_string(shard).unwrap_or_default();
            parse_lines(&text, shard)?
                .0
                .iter()
                .for_each(|line| manifest.apply_line(line));
        }
        manifest.known.clear();
        let mut text = String::new();
        manifest.file.read_to_string(&mut text).map_err(failed)?;
        let (lines, mut whole) = parse_lines(&text, path)?;
        lines.iter().for_each(|line| manifest.apply_line(line));
        if restart {
            manifest.done.clear();
            manifest.known.clear();
            whole = 0;
        }
        manifest.file.set_len(whole).map_err(failed)?;
        manifest.file.seek(SeekFrom::Start(whole)).map_err(failed)?;
        Ok(manifest)
    }

    fn apply_line(&mut self, line: &Line) {
        let id = (line.key.clone(), line.file.clone());
        self.claims.own(line);
        self.known.insert(id.clone());
        match &line.state {
            State::Done { sha256, .. } => {
                self.done.insert(id, sha256.clone());
            }
            State::Planned => {}
            State::Failed { .. } => {
                self.done.remove(&id);
            }
        }
    }

    /// Assigns a path to each image: the one that it already has, else the one that its name gives,
    /// else the next free name. An existing file is replaced only if a killed run left it, or with
    /// `--overwrite` or `--restart`. Returns the names that other jobs own, and those used instead.
    ///
    /// # Errors
    /// A file is there that no batch has named.
    pub fn settle(&self, planned: &mut [Planned]) -> Result<Vec<Moved>> {
        let unchanged =
            |id: &(String, PathBuf)| self.done.get(id).map(|hash| has_hash(&id.1, hash));
        self.claims.settle(planned, self.restart, &unchanged)
    }

    /// Appends jobs as still to be generated, in one write.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn plan<'a>(&mut self, planned: impl Iterator<Item = &'a Planned>) -> Result<()> {
        let new: Vec<&Planned> = planned
            .filter(|planned| !self.known.contains(&planned.id()))
            .collect();
        let lines: Vec<Line> = new
            .into_iter()
            .map(|planned| self.line_of(planned, State::Planned))
            .collect();
        self.append_lines(&lines)
    }

    /// Appends the state of a job.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn note(&mut self, planned: &Planned, state: State) -> Result<()> {
        self.append_lines(&[self.line_of(planned, state)])
    }

    fn line_of(&self, planned: &Planned, state: State) -> Line {
        let Planned { job, key, path, .. } = planned;
        let source = Some(self.source.clone());
        Line {
            job: job.name.clone(),
            key: key.clone(),
            file: path.clone(),
            source,
            state,
        }
    }

    fn append_lines(&mut self, lines: &[Line]) -> Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|e| Error::internal("no line of a manifest").source(e))?;
            text.push(b'\n');
            self.apply_line(line);
        }
        if text.is_empty() {
            return Ok(());
        }
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        written.map_err(|e| write_error(&self.path, e))
    }
}

/// Returns true if the content of the file has this hash.
fn has_hash(path: &Path, hash: &str) -> bool {
    std::fs::read(path).is_ok_and(|bytes| sha256(&bytes) == hash)
}

fn write_error(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        Kind::Output,
        format!("cannot keep the manifest `{}`", path.display()),
    )
    .source(error)
}
