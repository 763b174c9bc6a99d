//! A request as data: `Params` (the user's options) and `Request` (every value, resolved and
//! validated).

mod adapters;
mod approximations;
mod cache_keys;
mod control;
mod dimensions;
mod ineffective;
mod micro_conditioning;
mod options;
mod profiles;
mod refiner;
mod request;
mod resolve;
mod start_image;
mod values;

pub use adapters::Adapter;
pub use approximations::Approximations;
pub use cache_keys::RequestKey;
pub use control::{Control, IpAdapterInput};
pub use dimensions::scaled_down;
pub use micro_conditioning::{MicroConditioning, Pair};
pub use options::{Combine, Params};
pub use profiles::Profiles;
pub use refiner::Refiner;
pub use request::Request;
pub use resolve::{Checked, check};
pub use start_image::{Posterior, StartImage, StrengthSteps};
pub use values::{DeepCache, FromText, Interval, Memory, Parsed, Seed, VaeTiling};
