//! A request as data: `Params` (what the user said) and `Request` (every value, resolved and validated).

mod params;
mod resolve;
mod sizes;

pub use params::{Params, overlay};
pub use resolve::{DeviceChoice, Dtype, Request, Rng, check};
pub use sizes::Sizes;
