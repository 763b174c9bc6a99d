//! `sdgen`: Stable Diffusion images from a command line, on candle.
//!
//! The library is what the binary is made of: say what you want in [`Params`], let a [`Planner`]
//! turn it into a [`Plan`], hand that to an [`Engine`], and watch [`Event`]s.

pub mod adapters;
pub mod batch;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod convert;
pub mod engine;
pub mod error;
pub mod event;
pub mod input;
pub(crate) mod models;
pub mod named;
pub(crate) mod nn;
pub mod output;
pub(crate) mod pipeline;
pub mod plan;
pub mod prompt;
pub mod registry;
pub mod request;
pub mod rng;
pub mod sampler;
#[cfg(feature = "serve")]
pub mod serve;
pub(crate) mod text;

#[doc(hidden)]
pub use nn::kernels;

pub use engine::{Engine, Estimate, Image};
pub use error::{Error, Kind, Result};
pub use event::{Event, Flow, Observer, Stage};
pub use plan::{Plan, Planner};
pub use request::{Params, Request};
