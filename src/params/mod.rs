//! A request as data: `Params` (the user's options) and `Request` (every value, resolved and
//! validated).

mod adapters;
mod alike;
mod check;
mod control;
mod decoding;
mod defaults;
mod dimensions;
mod interval;
mod ip_adapter;
mod memory;
mod options;
mod profiles;
mod prompts;
mod recall;
mod refiner;
mod resolve;
mod seed;
mod shortcuts;
mod sizes;
mod start_image;
mod uncounted;

pub use adapters::{Adapter, embeddings};
pub use check::check;
pub use control::Control;
pub use decoding::decoding_alone;
pub use dimensions::scaled_down;
pub use interval::Interval;
pub use ip_adapter::IpAdapterInput;
pub use memory::{Memory, VaeTiling};
pub use options::{Params, bystanders, given, not_finite, overlay};
pub use profiles::Profiles;
pub use refiner::Refiner;
pub use resolve::Request;
pub use seed::Seed;
pub use shortcuts::Shortcuts;
pub use sizes::Sizes;
pub use start_image::{Posterior, StartImage, StrengthSteps};
pub use uncounted::counted;
