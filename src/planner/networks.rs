//! Extra networks of a request (VAE, ControlNets, IP-Adapter); like the models, each is found once.

use std::sync::Arc;

use super::{ModelKey, Planner};
use crate::catalog::{Network, NetworkLayout, Networks, autoencoder};
use crate::error::Result;
use crate::event::Observer;
use crate::family::Family;
use crate::params::Request;

/// Everything that decides which files a network has: the key of the networks found so far.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct NetworkRequest {
    model: ModelKey,
    layout: NetworkLayout,
}

impl Planner {
    /// The networks of `request`, for a model of `family`.
    pub(super) fn networks(
        &mut self,
        request: &Request,
        family: Family,
        key: &ModelKey,
        observer: &mut dyn Observer,
    ) -> Result<Networks> {
        let mut find = |name: &str, layout| self.network(name, layout, key, observer);
        let autoencoder = match &request.vae {
            None => None,
            Some(name) => Some(find(autoencoder(name, family), NetworkLayout::AUTOENCODER)?),
        };
        let mut controls = Vec::new();
        for control in &request.controls {
            controls.push(find(&control.model, NetworkLayout::CONTROL)?);
        }
        let picture_prompt = match &request.picture_prompt {
            None => None,
            Some(picture) => {
                let adapter = find(&picture.adapter, NetworkLayout::ip_adapter(family))?;
                let encoder = adapter.image_encoder(&self.fetch_options(key)?, observer)?;
                Some([adapter, Arc::new(encoder)])
            }
        };
        Ok(Networks {
            autoencoder,
            controls,
            picture_prompt,
        })
    }

    fn network(
        &mut self,
        name: &str,
        layout: NetworkLayout,
        key: &ModelKey,
        observer: &mut dyn Observer,
    ) -> Result<Arc<Network>> {
        let request = NetworkRequest {
            model: ModelKey {
                name: name.to_owned(),
                ..key.clone()
            },
            layout,
        };
        if let Some(network) = self.networks.get(&request) {
            return Ok(network.clone());
        }
        let network = Arc::new(Network::locate(
            name,
            layout,
            &self.fetch_options(key)?,
            observer,
        )?);
        self.networks.insert(request, network.clone());
        Ok(network)
    }
}
