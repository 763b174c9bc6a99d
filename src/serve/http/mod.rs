//! Parts of HTTP that all routes share; nothing here knows a route.

pub(crate) mod body;
pub(crate) mod listen;
pub(crate) mod middleware;
pub(crate) mod responses;
pub(crate) mod wait;
