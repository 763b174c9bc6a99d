//! Lock files of plans: written from the files that were found, or checked against them; each
//! model, network and adapter once.

use std::path::Path;
use std::sync::Arc;

use super::{Model, Planner};
use crate::catalog::{LockFile, Network, Networks};
use crate::error::Result;
use crate::params::{Params, Request};

/// Networks and adapters of a plan that were not yet recorded in the lock file or checked against
/// it.
struct Fresh<'a> {
    networks: Vec<&'a Network>,
    /// File and SHA-256 of LoRAs and embeddings.
    adapters: Vec<(&'a str, &'a str)>,
}

impl Fresh<'_> {
    fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.adapters.is_empty()
    }
}

impl Planner {
    /// Records the plan's files in the lock file that `params` name, or checks them against it; the
    /// models were checked when they were found.
    pub(super) fn lock<'a>(
        &mut self,
        params: &Params,
        request: &Request,
        models: impl Iterator<Item = &'a Arc<Model>>,
        networks: &Networks,
    ) -> Result<()> {
        if let Some(path) = &params.lock {
            let key = |model: &Model| (path.to_owned(), model.files.origin.clone());
            let models: Vec<_> = models
                .filter(|model| self.locked.insert(key(model)))
                .collect();
            return record(path, &models, &self.fresh(path, request, networks));
        }
        let Some(path) = &params.locked else {
            return Ok(());
        };
        let fresh = self.fresh(path, request, networks);
        if fresh.is_empty() {
            return Ok(());
        }
        let lock = LockFile::read(Path::new(path))?;
        fresh.networks.iter().try_for_each(|network| {
            lock.check_files(&network.origin, &network.files, &network.paths())
        })?;
        fresh
            .adapters
            .iter()
            .try_for_each(|(file, hash)| lock.check_adapter(file, hash))
    }

    fn fresh<'a>(&mut self, path: &str, request: &'a Request, networks: &'a Networks) -> Fresh<'a> {
        let mut new = |what: String| self.locked.insert((path.to_owned(), what));
        let adapters = request.loras.iter().chain(&request.embeddings);
        let adapters =
            adapters.filter_map(|adapter| Some((adapter.file.as_str(), adapter.hash.as_deref()?)));
        Fresh {
            adapters: adapters
                .filter(|(file, hash)| new(format!("{file} {hash}")))
                .collect(),
            networks: networks
                .all()
                .filter(|network| new(format!("{}/{}", network.origin, network.weights)))
                .collect(),
        }
    }
}

fn record(path: &str, models: &[&Arc<Model>], fresh: &Fresh<'_>) -> Result<()> {
    if models.is_empty() && fresh.is_empty() {
        return Ok(());
    }
    let mut lock = LockFile::open(Path::new(path))?;
    models
        .iter()
        .try_for_each(|model| lock.record(&model.files))?;
    fresh.networks.iter().try_for_each(|network| {
        lock.record_files(&network.origin, &network.files, &network.paths())
    })?;
    fresh
        .adapters
        .iter()
        .for_each(|(file, hash)| lock.record_adapter(file, hash));
    lock.write()
}
