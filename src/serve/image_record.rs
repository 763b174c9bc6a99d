//! Record of a finished image: how it is stored, and its link for clients.

use serde::{Deserialize, Serialize};

/// A finished image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) index: u64,
    pub(crate) seed: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Size of the file in bytes.
    pub(crate) bytes: u64,
}

/// A finished image with its URL.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ImageLink {
    /// Path on this server.
    pub(crate) url: String,
    #[serde(flatten)]
    pub(crate) image: ImageRecord,
}
