//! The integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::too_many_lines, clippy::wildcard_enum_match_arm)]

mod bad_models;
mod cli;
mod completions;
mod demo;
mod docs;
mod faults;
mod golden;
mod harness;
mod hostile;
mod hub;
mod invalid_pictures;
mod layers;
mod memory;
mod output;
mod prompts;
mod properties;
mod samplers;
mod samplers_gaussian;
mod server;
mod start_pictures;
