//! The integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs
)]
#![allow(
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm
)]

mod adapters;
mod bad_models;
mod batch;
mod batch_names;
mod checkpoints;
mod cli;
mod completions;
mod defaults;
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
mod models;
mod networks;
mod noise;
mod output;
#[cfg(feature = "serve")]
mod pictures;
mod precision;
mod prompts;
mod properties;
mod records;
mod replay;
mod samplers;
mod samplers_gaussian;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod serve_clients;
#[cfg(feature = "serve")]
mod serve_openai;
#[cfg(feature = "serve")]
mod serve_prompts;
#[cfg(all(unix, feature = "redis"))]
mod serve_shared;
mod server;
mod start_pictures;
mod uncounted;
