//! APIs of other servers on the same jobs.

pub(crate) mod a1111;
pub(crate) mod openai;
