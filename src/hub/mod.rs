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

pub use cache::free_space;
pub(crate) use cache::{
    BlobHash, RepoCache, Repository, commit_of, repository_of_folder, repository_of_snapshot,
};
pub(crate) use client::ListedFile;
pub use client::{Reach, reach};
pub(crate) use download::{Begun, Download, disk_error};
