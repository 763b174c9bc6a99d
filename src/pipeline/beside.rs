//! Extra networks and adapters of a request, as the pipeline receives them.

use crate::adapters::Adapters;
use crate::catalog::Networks;
use crate::planner::Plan;

/// Extra networks and adapters of a request.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// ControlNets, IP-Adapter with its image encoder, and another autoencoder.
    pub(crate) networks: &'a Networks,
    /// LoRAs and embeddings.
    pub(crate) adapters: &'a Adapters,
}

impl<'a> Beside<'a> {
    /// The networks and adapters that `plan` found.
    pub(crate) fn of(plan: &'a Plan) -> Self {
        Self {
            networks: &plan.networks,
            adapters: &plan.adapters,
        }
    }
}
