//! Client of the Hugging Face Hub: what a repository holds, downloads, and the cache that Python's
//! `huggingface_hub` shares. It does not know what the files are for.
//!
//! The hf-hub crate names the folders of the cache and writes its refs. The rest is by hand: hf-hub
//! does not check hashes, report sizes beforehand, keep the token from other hosts, or stop while
//! the network is silent.

mod cache;
mod client;
mod download;
mod errors;
mod workers;

use std::path::Path;

pub(crate) use cache::{
    BlobHash, RepoCache, commit_of, repository_of_folder, repository_of_snapshot,
};
pub(crate) use client::ListedFile;
pub(crate) use download::{Begun, Download, disk_error};

use crate::env::Hub;
use crate::error::{Error, Kind, Result};

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// `org/name`.
    pub(crate) id: String,
    /// Branch, tag or commit.
    pub(crate) revision: String,
}

impl Repository {
    /// Reads `org/name[@rev]` in the hub's alphabet; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (org, name) = id.split_once('/')?;
        let legal = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        // A revision is a path below refs/ in the cache: none may lead out of it.
        let is_valid = legal(org) && legal(name) && revision.split('/').all(legal);
        is_valid.then(|| Self::new(id, revision))
    }

    pub(crate) fn new(id: &str, revision: &str) -> Self {
        Self {
            id: id.to_owned(),
            revision: revision.to_owned(),
        }
    }

    /// The repository as users name it: without `main`, which is meant anyway.
    pub(crate) fn display_name(&self) -> String {
        if self.revision == "main" {
            self.id.clone()
        } else {
            format!("{}@{}", self.id, self.revision)
        }
    }
}

/// Answer of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The hub answers.
    Answers,
    /// The hub answers, and refuses the token.
    RefusesToken,
}

/// Asks whether the hub answers, and whether it accepts the token.
///
/// # Errors
/// No answer, or no hub.
pub fn reach(hub: &Hub) -> Result<Reach> {
    match client::Client::new(hub).check_access() {
        Ok(()) => Ok(Reach::Answers),
        Err(error) if error.is_refused_token() => Ok(Reach::RefusesToken),
        Err(error) => {
            let message = format!("{}: {}", hub.endpoint, error.summary());
            Err(Error::new(Kind::Network, message))
        }
    }
}

/// Bytes that are free where the cache is, or will be; nothing where the file system does not say.
pub fn free_space(hub: &Hub) -> Option<u64> {
    free_space_at(hub.cache.as_deref()?)
}

/// Bytes that are free where a folder is, or will be.
fn free_space_at(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    fs4::available_space(existing).ok()
}
