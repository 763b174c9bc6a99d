//! Batches: files of jobs (TOML, lines of prompts, CSV, JSONL) to plans, the manifest of what is
//! done, and which part of the work is whose. Plain data; drawing is others' business.

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
pub use fields::{Fault, Fields, Place};
pub use job::{Job, jobs};
pub use keeping::{Keeping, Origin};
pub use manifest::{Manifest, State, digest};
pub use matrix::Coordinate;
pub use order::forwards;
pub use plan::{DEFAULT_TEMPLATE, Planned, plan};
pub use shard::Shard;
pub use source::{Choices, Form, Output, Source};
