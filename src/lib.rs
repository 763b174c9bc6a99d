//! `sdgen`: Stable Diffusion images from a command line, on candle.
//!
//! The library is what the binary is made of: say what you want in [`Params`], turn it into a [`Request`],
//! hand it to an [`Engine`], and watch [`Event`]s.

pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod input;
pub(crate) mod models;
pub mod named;
pub(crate) mod nn;
pub mod output;
pub(crate) mod pipeline;
pub mod prompt;
pub mod registry;
pub mod request;
pub mod rng;
pub mod sampler;

#[doc(hidden)]
pub use nn::kernels;

pub use engine::{Engine, Image};
pub use error::{Error, Kind, Result};
pub use event::{Event, Flow, Observer, Stage};
pub use request::{Params, Request};
