//! Models that are on this machine; nothing is fetched.

use crate::catalog::{self, Fetch, ModelFiles, ModelRef};
use crate::env::Hub;
use crate::error::Result;
use crate::event::{Event, Flow};

/// The hub for a run that fetches nothing.
pub(super) fn offline_hub() -> Result<Hub> {
    Ok(Hub {
        offline: true,
        ..Hub::from_env()?
    })
}

/// The model with this name, path or repository.
pub(super) fn find_local_model(name: &str) -> Result<ModelFiles> {
    let model = ModelRef::parse(name)?;
    let fetch = Fetch {
        hub: offline_hub()?,
        ..Fetch::default()
    };
    catalog::locate(&model, &fetch, &mut |_: &Event| Flow::Continue)
}
