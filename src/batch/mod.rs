//! Batches: from files of jobs (TOML, lines of prompts, CSV, JSONL) to plans, the manifest of
//! finished jobs, and shards. Plain data; generating the images is not part of this module.

mod claims;
mod draft;
mod fields;
mod formats;
mod grouping;
mod job;
mod manifest;
mod manifest_line;
mod manifest_paths;
mod matrix;
mod plan;
mod shard;
mod wildcards;

pub use claims::Moved;
pub use draft::{Choices, Draft, Output, Source};
pub use fields::{Diagnostic, Fields, Place};
pub use formats::Form;
pub use grouping::forwards;
pub use job::{Job, jobs};
pub use manifest::Manifest;
pub use manifest_line::State;
pub use manifest_paths::{ManifestPaths, Origin};
pub use matrix::Coordinate;
pub use plan::{DEFAULT_TEMPLATE, Planned, plan};
pub use shard::Shard;
