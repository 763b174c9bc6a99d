//! What has become of each job: lines of JSON that are only ever added to, each on the disk before the next job
//! begins. A torn last line, which a killed process leaves, counts for nothing.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::Planned;
use crate::error::{Error, Kind, Result};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The job's name.
    pub job: String,
    /// What it draws and with which weights ([`Planned::key`]).
    pub key: String,
    /// Where its picture is.
    pub file: PathBuf,
    /// What has become of it.
    #[serde(flatten)]
    pub state: State,
}

/// What has become of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It is to be drawn; its file's name is taken.
    Planned,
    /// Its picture is on the disk.
    Done {
        /// Hash of the file.
        sha256: String,
        /// Wall-clock seconds that it took, its share where it was drawn in company.
        seconds: f64,
    },
    /// It could not be drawn.
    Failed {
        /// Why.
        error: String,
        /// Where the latents are that could not be decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latents: Option<PathBuf>,
    },
}

/// The manifest of a batch, held by one process.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    file: File,
    /// Finished pictures: key and file → hash.
    done: HashMap<(String, PathBuf), String>,
    /// Jobs that have a line.
    known: HashSet<(String, PathBuf)>,
    /// Every file that this batch ever named.
    claimed: HashSet<PathBuf>,
}

impl Manifest {
    /// Opens the manifest at `path` and holds it; what its `siblings` (other shards') finished counts too. With
    /// `restart` everything that was done is forgotten.
    ///
    /// # Errors
    /// Another process holds it; a line in its middle is damaged; the disk refuses.
    pub fn open(path: &Path, siblings: &[PathBuf], restart: bool) -> Result<Self> {
        let failed = |e: std::io::Error| cannot(path, e);
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
                let message = format!("another process is drawing the batch of `{}`", path.display());
                return Err(Error::new(Kind::Usage, message)
                    .hint("wait for it, or share the work: `--shard 0/2` here and `--shard 1/2` there"));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let (done, known, claimed) = (HashMap::new(), HashSet::new(), HashSet::new());
        let mut manifest = Self { path: path.to_owned(), file, done, known, claimed };
        for sibling in siblings {
            let text = std::fs::read_to_string(sibling).unwrap_or_default();
            lines(&text, sibling)?.0.iter().for_each(|line| manifest.take(line));
        }
        manifest.known.clear();
        let mut text = String::new();
        manifest.file.read_to_string(&mut text).map_err(failed)?;
        let (lines, mut whole) = lines(&text, path)?;
        lines.iter().for_each(|line| manifest.take(line));
        if restart {
            manifest.done.clear();
            manifest.known.clear();
            whole = 0;
        }
        manifest.file.set_len(whole).map_err(failed)?;
        manifest.file.seek(SeekFrom::Start(whole)).map_err(failed)?;
        Ok(manifest)
    }

    fn take(&mut self, line: &Line) {
        let id = (line.key.clone(), line.file.clone());
        self.claimed.insert(line.file.clone());
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

    /// Whether a file is this batch's to replace.
    pub fn claims(&self, file: &Path) -> bool {
        self.claimed.contains(file)
    }

    /// Whether the job's picture is there and is what was written.
    pub fn is_done(&self, planned: &Planned) -> bool {
        let hash = self.done.get(&planned.id());
        hash.is_some_and(|hash| std::fs::read(&planned.path).is_ok_and(|bytes| digest(&bytes) == *hash))
    }

    /// Notes that jobs are to be drawn, in one write.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn plan<'a>(&mut self, planned: impl Iterator<Item = &'a Planned>) -> Result<()> {
        let new: Vec<&Planned> = planned.filter(|planned| !self.known.contains(&planned.id())).collect();
        let lines: Vec<Line> = new.into_iter().map(|planned| line(planned, State::Planned)).collect();
        self.add(&lines)
    }

    /// Notes what became of a job.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn note(&mut self, planned: &Planned, state: State) -> Result<()> {
        self.add(&[line(planned, state)])
    }

    fn add(&mut self, lines: &[Line]) -> Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|e| Error::internal("no line of a manifest").source(e))?;
            text.push(b'\n');
            self.take(line);
        }
        if text.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|e| cannot(&self.path, e))
    }
}

fn line(planned: &Planned, state: State) -> Line {
    Line { job: planned.job.name.clone(), key: planned.key.clone(), file: planned.path.clone(), state }
}

/// The lines of a manifest, and the bytes that hold them.
fn lines(text: &str, path: &Path) -> Result<(Vec<Line>, u64)> {
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let mut lines = Vec::new();
    for (number, line) in text[..whole].lines().enumerate() {
        lines.push(serde_json::from_str(line).map_err(|e| {
            let message = format!("{}:{}: no line of a manifest", path.display(), number + 1);
            Error::new(Kind::Usage, message)
                .source(e)
                .hint("`--restart` draws everything anew; or name another file with `--manifest`")
        })?);
    }
    Ok((lines, whole as u64))
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Output, format!("cannot keep the manifest `{}`", path.display())).source(error)
}

/// The hash of a file's bytes, as the manifest tells it.
pub fn digest(bytes: &[u8]) -> String {
    crate::registry::hex(&Sha256::digest(bytes))
}
