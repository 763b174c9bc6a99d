//! Batches: from files of jobs (TOML, lines of prompts, CSV, JSONL) to plans, the manifest of
//! finished jobs, and shards. Plain data; generating the images is not part of this module.

mod choices;
mod claims;
mod fields;
mod job;
mod keeping;
mod lines;
mod manifest;
mod matrix;
mod order;
mod plan;
mod shard;
mod source;
mod table;
mod toml_file;

pub use claims::Moved;
pub use fields::{Diagnostic, Fields, Place};
pub use job::{Job, jobs};
pub use keeping::{Keeping, Origin};
pub use manifest::{Manifest, State, digest};
pub use matrix::Coordinate;
pub use order::forwards;
pub use plan::{DEFAULT_TEMPLATE, Planned, plan};
pub use shard::Shard;
pub use source::{Choices, Form, Output, Source};
