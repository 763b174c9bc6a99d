//! What a request has beside its model, as the pipeline is handed it.

use crate::adapters::Adapters;
use crate::plan::Plan;
use crate::registry::Networks;

/// What a request has beside its model.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// Networks of their own.
    pub(crate) networks: &'a Networks,
    /// LoRAs and embeddings.
    pub(crate) adapters: &'a Adapters,
}

impl<'a> Beside<'a> {
    /// What `plan` found.
    pub(crate) fn of(plan: &'a Plan) -> Self {
        Self {
            networks: &plan.networks,
            adapters: &plan.adapters,
        }
    }
}
