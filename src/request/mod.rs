//! A request as data: `Params` (what the user said) and `Request` (every value, resolved and validated).

mod alike;
mod control;
mod defaults;
mod dimensions;
mod init;
mod interval;
mod params;
mod picture_prompt;
mod profiles;
mod recall;
mod refiner;
mod resolve;
mod sizes;

pub use control::Control;
pub use init::{Init, Posterior};
pub use interval::Interval;
pub use params::{Params, overlay};
pub use picture_prompt::PicturePrompt;
pub use profiles::Profiles;
pub use refiner::Refiner;
pub use resolve::{DeviceChoice, Dtype, Request, Rng, check};
pub use sizes::Sizes;
