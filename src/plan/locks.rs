//! Lock files of plans: written from what was found, or held against it; each model and network once.

use std::path::Path;
use std::sync::Arc;

use super::{Model, Planner};
use crate::error::Result;
use crate::registry::{LockFile, Network, Networks};
use crate::request::Params;

impl Planner {
    /// Writes the models and networks into the lock file that `params` name, or holds the networks to it; the models
    /// were held to it when they were found.
    pub(super) fn lock<'a>(
        &mut self,
        params: &Params,
        models: impl Iterator<Item = &'a Arc<Model>>,
        networks: &Networks,
    ) -> Result<()> {
        if let Some(path) = &params.lock {
            return self.record(path, models, networks);
        }
        let Some(path) = &params.locked else { return Ok(()) };
        let fresh = self.fresh(path, networks);
        if fresh.is_empty() {
            return Ok(());
        }
        let lock = LockFile::read(Path::new(path))?;
        fresh.iter().try_for_each(|network| lock.check_network(network))
    }

    fn record<'a>(
        &mut self,
        path: &str,
        models: impl Iterator<Item = &'a Arc<Model>>,
        networks: &Networks,
    ) -> Result<()> {
        let key = |model: &Model| (path.to_owned(), model.files.origin.clone());
        let models: Vec<_> = models.filter(|model| self.locked.insert(key(model))).collect();
        let networks = self.fresh(path, networks);
        if models.is_empty() && networks.is_empty() {
            return Ok(());
        }
        let mut lock = LockFile::open(Path::new(path))?;
        models.iter().try_for_each(|model| lock.record(&model.files))?;
        networks.iter().try_for_each(|network| lock.record_network(network))?;
        lock.write()
    }

    /// The networks that this lock file has not met yet.
    fn fresh<'a>(&mut self, path: &str, networks: &'a Networks) -> Vec<&'a Network> {
        let key = |network: &Network| (path.to_owned(), format!("{}/{}", network.origin, network.weights));
        networks.all().filter(|network| self.locked.insert(key(network))).collect()
    }
}
