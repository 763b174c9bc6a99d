//! Input images of a request, identified by their content.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::hash::{sha256, sha256_of_file};
use crate::image::ImageSource;
use crate::params::Request;

/// Cache of image hashes: each file is read once, until its size or modification time changes.
#[derive(Default)]
pub(super) struct Inputs(HashMap<PathBuf, (Stamp, String)>);

/// Size in bytes and modification time of a file.
type Stamp = (u64, Option<SystemTime>);

impl Inputs {
    /// Returns field → SHA-256 of the image that it names; further images of one field are
    /// numbered: `control_2`.
    pub(super) fn hashes_of(&mut self, request: &Request) -> Result<BTreeMap<String, String>> {
        let mut hashes = BTreeMap::new();
        for (field, source) in request.inputs() {
            let same = (2..).map(|n| format!("{field}_{n}"));
            let key = std::iter::once(field.to_owned())
                .chain(same)
                .find(|key| !hashes.contains_key(key));
            let hash = match source {
                ImageSource::Path(path) => self.file_hash(Path::new(path)).map_err(|error| {
                    Error::field(field, format!("cannot read `{path}`"))
                        .source(error)
                        .hint(
                            "give the path of a picture; paths are relative to the current folder",
                        )
                })?,
                ImageSource::Bytes { bytes, .. } => Some(sha256(bytes)),
            };
            hashes.extend(key.zip(hash));
        }
        Ok(hashes)
    }

    /// Returns the hash of a file; `None` for anything but a regular file: a pipe can be read only
    /// once.
    fn file_hash(&mut self, path: &Path) -> std::io::Result<Option<String>> {
        let about = std::fs::metadata(path)?;
        if !about.is_file() {
            return Ok(None);
        }
        let stamp = (about.len(), about.modified().ok());
        if let Some((_, hash)) = self.0.get(path).filter(|(kept, _)| *kept == stamp) {
            return Ok(Some(hash.clone()));
        }
        let hash = sha256_of_file(path)?;
        self.0.insert(path.to_owned(), (stamp, hash.clone()));
        Ok(Some(hash))
    }
}
