//! A request as data: `Params` (what the user said) and `Request` (every value, resolved and validated).

mod interval;
mod params;
mod resolve;

pub use interval::Interval;
pub use params::{Params, overlay};
pub use resolve::{DeviceChoice, Dtype, Request, Rng, check};
