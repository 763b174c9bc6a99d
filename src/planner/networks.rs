//! Extra networks of a request (VAE, ControlNets, IP-Adapter); like the models, each is found once.

use std::sync::Arc;

use super::{Planner, Wanted};
use crate::error::Result;
use crate::event::Observer;
use crate::family::Family;
use crate::params::Request;
use crate::registry::{Layout, Network, Networks, autoencoder};

/// Request for a network, the key of the networks found so far.
pub(super) type Asked = (Wanted, Layout);

impl Planner {
    /// The networks of `request`, for a model of `family`.
    pub(super) fn networks(
        &mut self,
        request: &Request,
        family: Family,
        wanted: &Wanted,
        observer: &mut dyn Observer,
    ) -> Result<Networks> {
        let mut find = |name: &str, layout| self.network(name, layout, wanted, observer);
        let vae = request
            .vae
            .as_deref()
            .map(|name| find(autoencoder(name, family), Layout::AUTOENCODER));
        let autoencoder = vae.transpose()?;
        let controls = request
            .controls
            .iter()
            .map(|control| find(&control.model, Layout::CONTROL));
        let controls = controls.collect::<Result<Vec<_>>>()?;
        let picture_prompt = match &request.picture_prompt {
            None => None,
            Some(picture) => {
                let adapter = find(&picture.adapter, Layout::picture_adapter(family))?;
                let encoder =
                    adapter.beside(Layout::PICTURE_ENCODER, &self.fetch(wanted)?, observer)?;
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
        layout: Layout,
        wanted: &Wanted,
        observer: &mut dyn Observer,
    ) -> Result<Arc<Network>> {
        let asked = (
            Wanted {
                name: name.to_owned(),
                ..wanted.clone()
            },
            layout,
        );
        if let Some(network) = self.networks.get(&asked) {
            return Ok(network.clone());
        }
        let network = Arc::new(Network::locate(
            name,
            layout,
            &self.fetch(wanted)?,
            observer,
        )?);
        self.networks.insert(asked, network.clone());
        Ok(network)
    }
}
