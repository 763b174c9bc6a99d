//! `sdgen`: Stable Diffusion images from a command line, on candle.
//!
//! The library is what the binary is made of: say what you want in [`Params`], let a [`Planner`]
//! turn it into a [`Plan`], hand that to an [`Engine`], and watch [`Event`]s.

pub mod adapters;
pub mod batch;
pub mod catalog;
pub mod cli;
pub mod convert;
pub mod device;
pub mod engine;
pub mod env;
pub mod error;
pub mod event;
pub mod family;
pub mod guidance;
pub(crate) mod hash;
pub mod hub;
pub mod image;
pub mod imaging;
#[doc(hidden)]
pub mod kernels;
pub(crate) mod models;
pub mod named_enum;
pub(crate) mod nn;
pub mod output;
pub mod params;
pub(crate) mod pipeline;
pub mod planner;
pub mod prompt;
pub mod rng;
pub mod schedulers;
#[cfg(feature = "serve")]
pub mod serve;
pub mod tensor_file;
pub(crate) mod text;

pub use engine::{Engine, Estimate};
pub use error::{Error, Kind, Result};
pub use event::{Event, Flow, Observer, Stage};
pub use image::{Image, Size};
pub use params::{Params, Request};
pub use planner::{Plan, Planner};
